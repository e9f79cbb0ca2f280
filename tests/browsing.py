"""Pages of one browser, lent to one test after the other.

To open a window costs Chromium seconds of a core, to go elsewhere in one hardly any.
"""

from __future__ import annotations

import base64
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

# as text: playwright takes seconds over so many numbers
LEVELS = """(c) => {
  const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
  let text = "";
  for (let i = 0; i < data.length; i += 8192)
    text += String.fromCharCode(...data.subarray(i, i + 8192));
  return [c.width, btoa(text)];
}"""


def levels(canvas: Locator) -> torch.Tensor:
    """What a canvas shows, (3, height, width) in [0, 1]."""
    width, text = canvas.evaluate(LEVELS)
    found = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return found.view(-1, width, 4).permute(2, 0, 1)[:3] / 255


class Pages:
    """The pages that no test has at the moment, by the options of their contexts."""

    def __init__(self, browser: Browser, folder: Path):
        self.browser, self.free = browser, defaultdict(list)
        self.blank = f"file://{folder}/blank.html"
        (folder / "blank.html").write_text("<!DOCTYPE html><title>blank</title>")

    @contextlib.contextmanager
    def lent(
        self,
        width: int = 1280,
        height: int = 720,
        heard: dict[str, Callable] | None = None,
        color_scheme: str = "light",
        reduced_motion: str = "no-preference",
        **options,
    ) -> Iterator[Page]:
        """A blank page, as a new one: without a network, storage or listeners but ``heard``, by
        event; ``options`` are its context's.
        """
        free = self.free[repr(sorted(options.items()))]
        page = free.pop() if free else self._new(**options)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(media="null", color_scheme=color_scheme, reduced_motion=reduced_motion)
        for event, listener in (heard or {}).items():
            page.on(event, listener)
        yield page
        for event, listener in (heard or {}).items():
            page.remove_listener(event, listener)
        page.goto(self.blank)  # nothing moves, or speaks, in a page that nobody has
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        free.append(page)

    def _new(self, **options) -> Page:
        page = self.browser.new_context(offline=True, **options).new_page()
        page.goto(self.blank)
        return page

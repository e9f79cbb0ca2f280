"""Takes each live figure's still picture from the figure itself.

python book/live/stills.py [NAME ...]    of the figures called so, or of all

It opens the built book (`make book`) in Chromium; a new figure needs any book/live/NAME.png first.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "_ext"))
from course.live import SHARED  # noqa: E402, what is no figure's

BOOK = HERE.parents[1] / "_build" / "html" / "book"


def page_with(name: str) -> Path:
    return next(
        p for p in sorted(BOOK.glob("*.html")) if f'data-live="{name}"' in p.read_text("utf8")
    )


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser; SystemExit where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        sys.exit("no Chromium here, in which the figures live")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


def main(names: list[str]) -> None:
    with chromium() as browser:
        context = browser.new_context(
            viewport={"width": 1200, "height": 900}, device_scale_factor=2, reduced_motion="reduce"
        )
        for name in names:
            page = context.new_page()
            page.goto(f"file://{page_with(name)}")
            figure = page.locator(f"#live-{name}")
            figure.scroll_into_view_if_needed()
            page.wait_for_selector(f"#live-{name}.live-open")
            figure.evaluate("(figure) => figure.still?.()")  # one that has to get somewhere first
            page.wait_for_timeout(1500)  # what is computed little by little is done
            path = HERE / f"{name}.png"
            figure.locator(".live-body").screenshot(path=path)
            Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE).save(
                path, optimize=True
            )  # a third of the bytes
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:] or sorted(p.stem for p in HERE.glob("*.js") if p.name not in SHARED))

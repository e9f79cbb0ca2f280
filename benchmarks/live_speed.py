"""How quick the live figures are: first response, a move, what they weigh, how a training runs.

python benchmarks/live_speed.py    under a minute on 2 cores; reads the built book (`make book`) and
                                   prints two tables
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page
from shared import ROOT, markdown

sys.path.append(str(ROOT / "book" / "live"))
from stills import BOOK, chromium, page_with

# the measuring scripts are none of the book's own
WINDOW = {"viewport": {"width": 1200, "height": 900}, "bypass_csp": True}
# what a reader does again and again: 30 times with other values, each until it is painted
MOVES = {
    "plane": "{ z: [3 * Math.sin(i), 3 * Math.cos(i)] }",
    "draw": "{ digit: 7 * i, samples: 16 }",
    "convolution": "{ h: 3 + i % 14, k: 1 + i % 3 }",
    "playground": "{ beta: i / 4 }",
}
MOVED = """async ([name, move]) => {
  const figure = document.getElementById(`live-${name}`);
  const state = new Function("i", `return ${move}`);
  const times = [];
  for (let i = 0; i < 30; i++) {
    const start = performance.now();
    figure.set(state(i));
    times.push(performance.now() - start);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  return times;
}"""
LONG = """new PerformanceObserver((list) => (window.blocked ??= []).push(
  ...list.getEntries().map((entry) => entry.duration))).observe({ entryTypes: ["longtask"] })"""


def page_with_figure(browser: Browser, name: str) -> tuple[Page, float, int]:
    """A page with this figure alive; the seconds from sight to life; the bytes that it added."""
    page, files = browser.new_page(**WINDOW), []
    page.on("request", lambda request: files.append(request.url))
    page.goto(f"file://{page_with(name)}", wait_until="load")
    took = page.evaluate(
        """async (name) => {
          const figure = document.getElementById(`live-${name}`), start = performance.now();
          figure.scrollIntoView();
          while (!figure.get) await new Promise((done) => setTimeout(done, 2));
          return (performance.now() - start) / 1000;
        }""",
        name,
    )
    ours = {Path(url.removeprefix("file://").partition("?")[0]) for url in files if "/live" in url}
    return page, took, sum(path.stat().st_size for path in ours)


def figures(browser: Browser) -> list[list[str]]:
    rows = []
    for name, move in MOVES.items():
        page, took, weight = page_with_figure(browser, name)
        times = page.evaluate(MOVED, [name, move])
        rows.append(
            [
                name,
                f"{1000 * took:.0f}",
                f"{statistics.median(times):.1f}",
                f"{max(times):.1f}",
                f"{weight / 1000:.0f}",
            ]
        )
        page.close()
    return rows


def training(browser: Browser) -> list[list[str]]:
    """The playground: steps, what it comes to after ten seconds, the longest block of the page."""
    page, *_ = page_with_figure(browser, "playground")
    page.evaluate(LONG)
    page.evaluate("document.getElementById('live-playground').set({ running: true })")
    page.wait_for_function(
        "document.getElementById('live-playground').get().last?.seconds > 10", timeout=120_000
    )
    last, blocked = page.evaluate(
        "[document.getElementById('live-playground').get().last, window.blocked ?? []]"
    )
    page.close()
    per_step = 1000 * last["seconds"] / last["steps"]
    return [
        [
            f"{last['steps']}",
            f"{per_step:.1f}",
            f"{last['elbo']:.1f}",
            f"{len(blocked)}",
            f"{max(blocked, default=0):.0f}",
        ]
    ]


def main() -> None:
    if not BOOK.is_dir():
        sys.exit(f"{BOOK} is missing: type `make book`")
    with chromium() as browser:
        heads = ["figure", "first response, ms", "a move, ms (median)", "(longest)", "kB added"]
        print(markdown([heads, *figures(browser)]), end="\n\n")
        heads = ["steps in 10 s", "ms a step", "test ELBO, nats", "tasks over 50 ms", "longest, ms"]
        print(markdown([heads, *training(browser)]))


if __name__ == "__main__":
    main()

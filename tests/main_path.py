"""What a reader of a page meets who unfolds nothing: its words, and how soon something moves.

python tests/main_path.py [BOOK]    a table of the chapters of a built book (`make book`)
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from notebooks import ROOT

WORDS_A_MINUTE = 200
WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True)
class MainPath:
    """Words (a formula is one) outside folded blocks; words before the first live figure."""

    words: int
    folded: int
    pictures: int
    live: int
    before_live: int | None


def words(element: Tag) -> int:
    return len(WORD.findall(element.get_text(" ")))


def main_path(html: str) -> MainPath:
    """Of one built page."""
    article = BeautifulSoup(html, "html.parser").select_one("article")
    assert article is not None, "a page of the book has an article"
    for formula in article.select(".math"):
        formula.replace_with(" x ")
    for part in article.select("script, style, nav, .chapter-bar, .headerlink"):
        part.decompose()
    pictures, live = len(article.select("figure:not(.live)")), len(article.select("figure.live"))
    total = words(article)
    for part in article.select(".dropdown"):
        part.decompose()
    shown = words(article)
    first = article.select_one("figure.live")
    before = None
    if first is not None:
        for part in list(first.find_all_next()):
            if part.name is not None and first not in part.parents:
                part.decompose()
        before = words(article) - words(first)
    return MainPath(shown, total - shown, pictures, live, before)


def main(book: Path) -> None:
    print("page | words | folded | pictures | live figures | minutes to the first that moves")
    for page in sorted((book / "book").glob("[01][0-9]-*.html")):
        m = main_path(page.read_text("utf8"))
        soon = "never" if m.before_live is None else f"{m.before_live / WORDS_A_MINUTE:.1f}"
        print(f"{page.stem} | {m.words} | {m.folded} | {m.pictures} | {m.live} | {soon}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "_build" / "html")

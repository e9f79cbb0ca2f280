"""Link each glossary term from its first use on every chapter's page and notebook.

The writer writes plain words; the terms are those that book/glossary.md lists.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config

from .chapter_links import chapter_number

GLOSSARY = re.compile(r"^```\{glossary\}\n(.*?)^```$", re.M | re.S)
SKIP = (
    nodes.reference,
    nodes.literal,
    nodes.math,
    nodes.raw,
    nodes.title,
    nodes.caption,
    nodes.citation_reference,
    addnodes.pending_xref,
)
# "learning rate" and "exchange rate" are not the rate of rate and distortion
AMBIGUOUS = {"rate": r"(?<!learning )(?<!exchange )(?<!at a )", "evidence": r"(?<!the )"}


def read_terms(app: Sphinx, config: Config) -> None:
    text = Path(app.srcdir, "book", "glossary.md").read_text("utf8")
    glossary = GLOSSARY.search(text)
    terms = re.findall(r"^(\S.*)$", glossary[1], re.M) if glossary else []
    config.course_terms = sorted(terms, key=len, reverse=True)


def pattern(term: str) -> str:
    # an abbreviation is written as it is; a word may begin a sentence, and may have a plural
    first, rest = term[0], re.escape(term[1:])
    word = term if term.isupper() else f"[{first.upper()}{first.lower()}]{rest}"
    return f"{AMBIGUOUS.get(term, '')}(?<![\\w-]){word}(?:s|es)?(?![\\w-])"


@cache
def any_of(terms: tuple[str, ...]) -> re.Pattern[str]:
    """A group a term, in their order: of two that begin at one place the first is found."""
    return re.compile("|".join(f"({pattern(term)})" for term in terms))


def link_first_uses(app: Sphinx, doctree: nodes.document) -> None:
    if chapter_number(app.env.docname) is None:
        return
    waiting = set(app.config.course_terms)
    for text in list(doctree.findall(nodes.Text)):
        if not waiting:
            return
        if _in_prose(text):
            pieces = _linked(app, text, waiting)
            if len(pieces) > 1:
                parent = text.parent
                at = parent.index(text)
                parent.remove(text)
                for offset, piece in enumerate(pieces):
                    parent.insert(at + offset, piece)


def _in_prose(text: nodes.Text) -> bool:
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, SKIP):
            return False
        in_paragraph = in_paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def _linked(app: Sphinx, text: nodes.Text, waiting: set[str]) -> list[nodes.Node]:
    """``text`` in pieces, a waiting term's first use a link; what is linked waits no longer."""
    pieces: list[nodes.Node] = []
    terms = tuple(app.config.course_terms)
    whole, at = str(text), 0
    for found in any_of(terms).finditer(whole):
        assert found.lastindex is not None, "each term is a group"
        term = terms[found.lastindex - 1]
        if term not in waiting:
            continue
        waiting.remove(term)
        link = addnodes.pending_xref(
            "",
            nodes.inline(found[0], found[0], classes=["term"]),
            refdomain="std",
            reftype="term",
            reftarget=term,
            refdoc=app.env.docname,
            refwarn=True,
            refexplicit=True,
        )
        pieces += [nodes.Text(whole[at : found.start()]), link]
        at = found.end()
    return [*pieces, nodes.Text(whole[at:])]


def setup(app: Sphinx) -> None:
    app.add_config_value("course_terms", [], "env")
    app.connect("config-inited", read_terms)
    app.connect("doctree-read", link_first_uses)

"""Link each glossary term from its first use on every chapter's page and notebook.

The writer writes plain words; the terms are those that book/glossary.md lists.
"""

import re
from pathlib import Path

from docutils import nodes
from equations import CHAPTER
from sphinx import addnodes

GLOSSARY = re.compile(r"^```\{glossary\}\n(.*?)^```$", re.M | re.S)
SKIP = (nodes.reference, nodes.literal, nodes.math, nodes.raw, nodes.title, nodes.caption, nodes.citation_reference)
# "learning rate" and "exchange rate" are not the rate of rate and distortion
AMBIGUOUS = {"rate": r"(?<!learning )(?<!exchange )(?<!at a )", "evidence": r"(?<!the )"}


def read_terms(app, config):
    text = Path(app.srcdir, "book", "glossary.md").read_text("utf8")
    config.course_terms = re.findall(r"^(\S.*)$", GLOSSARY.search(text).group(1), re.M)


def pattern(term: str) -> str:
    # an abbreviation is written as it is; a word may begin a sentence, and may have a plural
    word = term if term.isupper() else f"[{term[0].upper()}{term[0].lower()}]{re.escape(term[1:])}"
    return f"{AMBIGUOUS.get(term, '')}(?<![\\w-]){word}(?:s|es)?(?![\\w-])"


def link_first_uses(app, doctree):
    if not CHAPTER.search(app.env.docname):
        return
    waiting = dict.fromkeys(sorted(app.config.course_terms, key=len, reverse=True))
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


def _in_prose(text) -> bool:
    node, in_paragraph = text.parent, False
    while node is not None:
        if isinstance(node, (*SKIP, addnodes.pending_xref)):
            return False
        in_paragraph = in_paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def _linked(app, text, waiting) -> list:
    """``text`` in pieces, each first use of a waiting term a link; what is linked waits no longer."""
    pieces, rest = [], str(text)
    while waiting:
        found = re.search("|".join(f"({pattern(term)})" for term in waiting), rest)
        if not found:
            break
        term = list(waiting)[found.lastindex - 1]
        del waiting[term]
        link = addnodes.pending_xref(
            "", nodes.inline(found[0], found[0], classes=["term"]), refdomain="std", reftype="term", reftarget=term,
            refdoc=app.env.docname, refwarn=True, refexplicit=True,
        )  # fmt: skip
        pieces += [nodes.Text(rest[: found.start()]), link]
        rest = rest[found.end() :]
    return [*pieces, nodes.Text(rest)]


def setup(app):
    app.add_config_value("course_terms", [], "env")
    app.connect("config-inited", read_terms)
    app.connect("doctree-read", link_first_uses)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Numbers as in the PDF, on equations and figures; `eq:name` in code or docstrings as a link."""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from .chapter_links import chapter_number
from .latex_labels import notes_of

logger = logging.getLogger(__name__)
NUMBER = re.compile(r"\((\d+\.\d+)\)")
LITERAL = re.compile(r"eq:[a-z0-9-]+")
DOCSTRING_LABEL = re.compile(r"``(eq:[a-z0-9-]+)``|\((eq:[a-z0-9-]+)\)|(?<![\w:`])(eq:[a-z0-9-]+)")


def number_equations(app: Sphinx, doctree: nodes.document) -> None:
    """chapter.n, whichever page the derivation stands on."""
    labels, equations = notes_of(app.env).labels, app.env.domaindata["math"]["objects"]
    for node in doctree.findall(nodes.math_block):
        label = node.get("label")
        if not label:
            continue
        known = labels.get(label)
        if known is None or known.kind != "equation":
            logger.warning(
                "equation %s is labelled, but no derivation numbers it", label, location=node
            )
            continue
        node["number"] = known.number
        equations[label] = (app.env.docname, known.number)


def number_figures(app: Sphinx, env: BuildEnvironment) -> None:
    """Figures as in the notes, others without a number; exercises (chapter.)n, counted by page."""
    figures = {
        nodes.make_id(label): tuple(map(int, known.number.split(".")))
        for label, known in notes_of(env).labels.items()
        if known.kind == "figure"
    }
    for docname, numbers in env.toc_fignumbers.items():
        if "figure" in numbers:
            found = numbers["figure"]
            numbers["figure"] = {key: figures[key] for key in found if key in figures}
        if "exercise" in numbers:
            chapter = chapter_number(docname)
            before = () if chapter is None else (chapter,)
            exercises = enumerate(numbers["exercise"], 1)
            numbers["exercise"] = {key: (*before, n) for n, key in exercises}


def link_literals(app: Sphinx, doctree: nodes.document) -> None:
    """`eq:elbo` reads well where roles are not known (Colab); here it becomes the link."""
    for node in list(doctree.findall(nodes.literal)):
        label = node.astext()
        known = notes_of(app.env).labels.get(label)
        if not LITERAL.fullmatch(label) or isinstance(node.parent, addnodes.pending_xref):
            continue
        if known and isinstance(node.parent, nodes.title):
            # titles are copied into the contents: no links there
            node.replace_self(nodes.Text(f"({known.number})"))
        else:
            link = addnodes.pending_xref(
                "",
                nodes.literal(label, label),
                refdomain="math",
                reftype="eq",
                reftarget=label,
                refdoc=app.env.docname,
                refwarn=True,
            )
            link.source, link.line = node.source, node.line
            node.replace_self(link)


def link_docstrings(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """vaelib's docstrings are plain text: the notes' labels become links, `name` becomes code."""

    def link(match: re.Match[str]) -> str:
        label = match[1] or match[2] or match[3]
        return f":eq:`{label}`" if label in notes_of(app.env).labels else match[0]

    code = [re.sub(r"(?<![:`])`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    lines[:] = [DOCSTRING_LABEL.sub(link, line) for line in code]


def undouble_parentheses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """A number that stands in round brackets of the text's own comes without its own: (7.2)."""
    for node in doctree.findall(nodes.reference):
        number, before = NUMBER.fullmatch(node.astext()), node.previous_sibling()
        if number and isinstance(before, nodes.Text) and before.endswith("("):
            (text,) = node.findall(nodes.Text)
            text.parent.replace(text, nodes.Text(number[1]))


def setup(app: Sphinx) -> None:
    for handler in (number_equations, link_literals):
        app.connect("doctree-read", handler, priority=400)  # before Sphinx collects titles
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", link_docstrings)
    app.connect("doctree-resolved", undouble_parentheses)
    app.connect("env-check-consistency", number_figures)  # after Sphinx has stored its own

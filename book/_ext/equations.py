"""Numbers as in the PDF, the cells that check an equation, and `eq:name` in inline code as a link.

A label `eq:name` is a promise that some notebook cell tagged `checks:eq:name` tests it by running it.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging

logger = logging.getLogger(__name__)
LITERAL = re.compile(r"eq:[a-z0-9-]+")
TAG = "tag_checks:"
CHAPTER = re.compile(r"(\d+)-[^/]*$")


def number_equations(app, doctree):
    """chapter.n, whichever page the derivation stands on."""
    env, domain = app.env, app.env.get_domain("math")
    for node in doctree.findall(nodes.math_block):
        label = node.get("label")
        if not label:
            continue
        known = env.course_notes.labels.get(label)
        if known is None or known.kind != "equation":
            logger.warning("equation %s is labelled, but no derivation numbers it", label, location=node)
            continue
        node["number"] = known.number
        domain.equations[label] = (env.docname, known.number)


def number_figures(app, env):
    """Figures as in the notes (others carry no number); exercises chapter.n, counted on their page."""
    notes = {
        nodes.make_id(label): tuple(known.number.split("."))
        for label, known in env.course_notes.labels.items()
        if known.kind == "figure"
    }
    for docname, numbers in env.toc_fignumbers.items():
        if "figure" in numbers:
            numbers["figure"] = {key: notes[key] for key in numbers["figure"] if key in notes}
        chapter = CHAPTER.search(docname)
        if chapter and "exercise" in numbers:
            numbers["exercise"] = {key: (int(chapter[1]), n) for n, key in enumerate(numbers["exercise"], 1)}


def note_checks(app, doctree):
    """Anchor each cell tagged `checks:eq:name`, and remember where it is."""
    for cell in doctree.findall(nodes.container):
        for name in cell["classes"]:
            if name.startswith(TAG):
                label = name.removeprefix(TAG)
                anchor = f"check-{label.replace(':', '-')}"
                if label not in app.env.course_checks:
                    cell["ids"].append(anchor)
                    app.env.course_checks[label] = (app.env.docname, anchor)


def link_literals(app, doctree):
    """`eq:elbo` reads well where roles are not known (Colab); here it becomes the numbered link."""
    for node in list(doctree.findall(nodes.literal)):
        label = node.astext()
        known = app.env.course_notes.labels.get(label)
        if not LITERAL.fullmatch(label) or isinstance(node.parent, addnodes.pending_xref):
            continue
        if known and isinstance(node.parent, nodes.title):  # titles are copied into the contents: no links there
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


def link_docstrings(app, what, name, obj, options, lines):
    """vaelib's docstrings are plain text: labels that the notes have become links, `name` becomes code."""

    def link(match):
        label = match[1] or match[2] or match[3]
        return f":eq:`{label}`" if label in app.env.course_notes.labels else match[0]

    code = [re.sub(r"(?<![:`])`([^`]+)`(?!`)", r"``\1``", line) for line in lines]
    lines[:] = [
        re.sub(r"``(eq:[a-z0-9-]+)``|\((eq:[a-z0-9-]+)\)|(?<![\w:`])(eq:[a-z0-9-]+)", link, line) for line in code
    ]


def start(app, env, docnames):
    env.course_checks = getattr(env, "course_checks", {})
    env.course_checks_shown = dict(env.course_checks)


def purge(app, env, docname):
    checks = getattr(env, "course_checks", {})
    env.course_checks = {label: place for label, place in checks.items() if place[0] != docname}


def merge(app, env, docnames, other):
    env.course_checks |= {label: place for label, place in other.course_checks.items() if place[0] in docnames}


def rewrite_when_checks_move(app, env):
    if env.course_checks == env.course_checks_shown:
        return []
    return sorted({docname for docname, _ in env.get_domain("math").equations.values()})


def compare(app, env):
    """Every labelled equation is checked by a cell, and every check belongs to an equation."""
    equations = env.get_domain("math").equations
    for label in sorted(equations.keys() - env.course_checks.keys()):
        logger.warning("no notebook cell is tagged checks:%s", label, location=equations[label][0])
    for label in sorted(env.course_checks.keys() - equations.keys()):
        logger.warning(
            "a cell is tagged checks:%s, but no page shows that equation", label, location=env.course_checks[label][0]
        )


def mark_checked(app, doctree, docname):
    """Put a tick after each checked equation, which leads to the cell that checks it."""
    for node in list(doctree.findall(nodes.math_block)):
        place = app.env.course_checks.get(node.get("label"))
        if not place:
            continue
        chapter = CHAPTER.search(place[0])
        title = "Checked by running it" + (f": chapter {int(chapter[1])}’s notebook" if chapter else "")
        target = f"{app.builder.get_relative_uri(docname, place[0])}#{place[1]}"
        tick = f'<a class="eq-check" href="{target}" title="{title}" aria-label="{title}">✓</a></div>'
        node.replace_self(
            [nodes.raw("", '<div class="checked-equation">', format="html"), node, nodes.raw("", tick, format="html")]
        )


def setup(app):
    app.connect("env-before-read-docs", start)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    for handler in (number_equations, note_checks, link_literals):
        app.connect("doctree-read", handler, priority=400)  # before Sphinx collects titles
    app.connect("autodoc-process-docstring", link_docstrings)
    app.connect("env-updated", rewrite_when_checks_move)
    app.connect("env-check-consistency", number_figures)  # after Sphinx has stored its own
    app.connect("env-check-consistency", compare)
    app.connect("doctree-resolved", mark_checked)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}

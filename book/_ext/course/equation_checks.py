"""A label `eq:name` is a promise: some notebook cell tagged `checks:eq:name` tests it by running.

The book holds the promise to account and puts a tick after the equation, which leads to the cell.
"""

from dataclasses import dataclass, field

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from .chapter_links import chapter_number

logger = logging.getLogger(__name__)
TAG = "tag_checks:"
Places = dict[str, tuple[str, str]]  # label -> page and anchor of the cell


@dataclass
class Checks:
    """Where each equation is checked, now and when the pages were last written."""

    places: Places = field(default_factory=dict)
    shown: Places = field(default_factory=dict)


def checks_of(env: BuildEnvironment) -> Checks:
    """Sphinx lets an extension keep its state as an attribute of the environment."""
    if not hasattr(env, "course_checks"):
        env.course_checks = Checks()  # type: ignore[attr-defined]
    found = env.course_checks  # type: ignore[attr-defined]
    assert isinstance(found, Checks)
    return found


def equations_of(env: BuildEnvironment) -> Places:
    """label -> page and number, as Sphinx keeps them."""
    found: Places = env.domaindata["math"]["objects"]
    return found


def start(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    checks = checks_of(env)
    checks.shown = dict(checks.places)


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    checks = checks_of(env)
    checks.places = {k: place for k, place in checks.places.items() if place[0] != docname}


def merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    found = checks_of(other).places.items()
    checks_of(env).places |= {label: place for label, place in found if place[0] in docnames}


def note_checks(app: Sphinx, doctree: nodes.document) -> None:
    """Anchor each cell tagged `checks:eq:name`, and remember where it is."""
    places = checks_of(app.env).places
    for cell in doctree.findall(nodes.container):
        for name in cell["classes"]:
            if name.startswith(TAG):
                label = name.removeprefix(TAG)
                anchor = f"check-{label.replace(':', '-')}"
                if label not in places:
                    cell["ids"].append(anchor)
                    places[label] = (app.env.docname, anchor)


def rewrite_when_checks_move(app: Sphinx, env: BuildEnvironment) -> list[str]:
    checks = checks_of(env)
    if checks.places == checks.shown:
        return []
    return sorted({docname for docname, _ in equations_of(env).values()})


def compare(app: Sphinx, env: BuildEnvironment) -> None:
    """Every labelled equation is checked by a cell, and every check belongs to an equation."""
    equations, places = equations_of(env), checks_of(env).places
    for label in sorted(equations.keys() - places.keys()):
        logger.warning("no notebook cell is tagged checks:%s", label, location=equations[label][0])
    for label in sorted(places.keys() - equations.keys()):
        logger.warning(
            "a cell is tagged checks:%s, but no page shows that equation",
            label,
            location=places[label][0],
        )


def mark_checked(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put a tick after each checked equation, which leads to the cell that checks it."""
    places = checks_of(app.env).places
    for node in list(doctree.findall(nodes.math_block)):
        place = places.get(node.get("label"))
        if not place:
            continue
        page, anchor = place
        chapter = chapter_number(page)
        title = "Checked by running it"
        if chapter is not None:
            title += f": chapter {chapter}’s notebook"
        target = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
        tick = f'<a class="eq-check" href="{target}" title="{title}" aria-label="{title}">✓</a>'
        node.replace_self(
            [
                nodes.raw("", '<div class="checked-equation">', format="html"),
                node,
                nodes.raw("", f"{tick}</div>", format="html"),
            ]
        )


def setup(app: Sphinx) -> None:
    app.connect("env-before-read-docs", start)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("doctree-read", note_checks)
    app.connect("env-updated", rewrite_when_checks_move)
    app.connect("env-check-consistency", compare)
    app.connect("doctree-resolved", mark_checked)

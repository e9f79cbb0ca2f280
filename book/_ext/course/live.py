"""The directive `{live} NAME`: a figure that moves, book/live/NAME.js, and what it reads.

What figures share is `vaelib.live`'s, which makes pages of a reader's own models of it.

A figure has its question above, a picture for print and for readers without JavaScript, and one
line below that says what was to be seen. Weights and digits reach the page as scripts written at
build time, because a browser lets no page that was opened from a folder read the files beside it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from .live_data import DATA, model_script

# scripts that are no figure: what the playground and the configuration are made of, and the toy of
# chapters 1 to 4
SHARED = ("trainer.js", "clinic.js", "settings.js", "ring.js")
# a figure's first words name what it reads: live.figure("plane", ["mnist-z2", "digits"], ...
FIRST_WORDS = re.compile(r'^live\.figure\("([\w-]+)", (\[[^\]]*\]),', re.MULTILINE)
# and what it loads (live.load) when the reader chooses it: const onDemand = ["sprites-vae", ...
ON_DEMAND = re.compile(r"^  const onDemand = (\[[^\]]*\]);", re.MULTILINE)


def folder(app: Sphinx) -> Path:
    return Path(app.srcdir, "book", "live")


def needs(script: Path) -> list[str]:
    """The names of the models and data that a figure's script reads, at once or on demand."""
    text = script.read_text("utf8")
    found, later = FIRST_WORDS.search(text), ON_DEMAND.search(text)
    if not found or found[1] != script.stem:
        raise ValueError(f'{script.name} must call live.figure("{script.stem}", [...], ...)')
    names: list[str] = json.loads(found[2])
    return names + (json.loads(later[1]) if later else [])


class LiveFigure(nodes.General, nodes.Element):
    """The figure's element: question, picture and last line are its children."""


class Live(SphinxDirective):
    """Refuses a figure that lacks its script, its picture, its question, its line or its words."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"alt": directives.unchanged, "caption": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        script, picture = (folder(self.env.app) / f"{name}{ending}" for ending in (".js", ".png"))
        for path in (script, picture):
            self.env.note_dependency(str(path))
            if not path.is_file():
                raise self.error(f"live figure {name!r}: book/live/{path.name} is missing")
        for option, what in (("alt", "alternative text"), ("caption", "line below it")):
            if not self.options.get(option, "").strip():
                raise self.error(f"live figure {name!r}: its {what} is missing, give :{option}:")
        if not self.content:
            raise self.error(
                f"live figure {name!r}: its question is missing, write it as the content"
            )
        try:
            needs(script)
        except ValueError as error:
            raise self.error(str(error)) from None
        figure = LiveFigure(name=name)
        question = nodes.container(classes=["live-question"])
        self.state.nested_parse(self.content, self.content_offset, question)
        still = nodes.image(
            uri=f"/book/live/{name}.png", alt=self.options["alt"], classes=["live-still"]
        )
        words, problems = self.state.inline_text(self.options["caption"], self.lineno)
        figure += [
            question,
            still,
            nodes.container("", nodes.paragraph("", "", *words), classes=["live-caption"]),
        ]
        self.set_source_info(figure)
        return [figure, *problems]


def visit_live(self: HTML5Translator, node: LiveFigure) -> None:
    self.body.append(f'<figure class="live" id="live-{node["name"]}" data-live="{node["name"]}">')


def depart_live(self: HTML5Translator, node: LiveFigure) -> None:
    self.body.append("</figure>\n")


def add_loader(
    app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Only a page with a live figure loads anything of theirs."""
    if doctree is not None and next(doctree.findall(LiveFigure), None) is not None:
        app.add_js_file("live/live.js")


def read_by_figures(app: Sphinx) -> set[str]:
    scripts = [path for path in folder(app).glob("*.js") if path.name not in SHARED]
    return {need for script in scripts for need in needs(script) if f"{need}.js" not in SHARED}


def write_scripts(app: Sphinx, target: Path) -> None:
    """Style and scripts of the figures, and the models and data that they read."""
    from vaelib import live

    target.mkdir(parents=True, exist_ok=True)
    for file in (*live.SHARED, *folder(app).glob("*.js")):
        (target / file.name).write_bytes(file.read_bytes())
    for need in read_by_figures(app):
        text = DATA[need]() if need in DATA else model_script(need)
        (target / f"{need}.js").write_text(text, "utf8")


def write_into_book(app: Sphinx) -> None:
    # before the pages: Sphinx looks a page's scripts up when it writes the page
    if app.builder.format == "html":
        write_scripts(app, Path(app.outdir, "_static", "live"))


def setup(app: Sphinx) -> None:
    app.add_node(LiveFigure, html=(visit_live, depart_live))
    app.add_directive("live", Live)
    app.connect("builder-inited", write_into_book)
    app.connect("html-page-context", add_loader)
    app.add_css_file("live/live.css")

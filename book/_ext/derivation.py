"""The directive `{derivation} NAME`: latex/derivations/NAME.tex, read into a page; and the boxes it uses.

One LaTeX source serves the PDF and the book. Numbers come from `notes.py`, the translation from
`tex_to_myst.py`; equations, their checks and the chapters' links are the modules `equations` and `chapters`.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from notes import BOXES, macros, read_notes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from tex_to_myst import Walk

logger = logging.getLogger(__name__)


def latex_folder(app) -> Path:
    return Path(app.srcdir, "latex")


class Derivation(SphinxDirective):
    """Parse one derivation in place, its section one level below where the directive stands."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        source = latex_folder(self.env.app) / "derivations" / f"{name}.tex"
        self.env.note_dependency(str(source))
        if not source.is_file():
            raise self.error(f"no derivation {name!r}: {source} is missing")
        chapter = self.env.course_notes.chapters.get(name)
        if chapter is None:
            logger.warning(
                "%s.tex has no \\derivation line in vae_maths.tex, so its numbers are unknown",
                name,
                location=self.get_location(),
            )
        renderer = self.state._renderer
        levels = renderer._level_to_section
        walk = Walk(
            self.env.course_notes,
            chapter,
            lambda text: logger.warning("%s", text, location=str(source)),
            level=max(levels) + 1,
        )
        text = walk.convert(source.read_text("utf8"))
        content = nodes.Element()
        # sections are attached to the innermost open one: let that be `content` while parsing
        renderer._level_to_section = {max(levels): content}
        try:
            lines = StringList(text.split("\n"), source=str(source))
            self.state.nested_parse(lines, self.content_offset, content, match_titles=True)
        finally:
            renderer._level_to_section = levels
        return content.children


class Box(SphinxDirective):
    """A theorem, definition, proof, ...: "Theorem 2.1 (Gibbs' inequality)", and what it says."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"label": directives.unchanged, "number": directives.unchanged, "class": directives.class_option}

    def run(self):
        box = nodes.admonition(classes=["box", self.name, *self.options.get("class", [])])
        self.set_source_info(box)
        title = nodes.title("", *self.heading())
        self.set_source_info(title)
        box += title
        if "label" in self.options:
            self.options["name"] = self.options["label"]
            self.add_name(box)
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]

    def heading(self) -> list[nodes.Node]:
        head = nodes.Text(" ".join(filter(None, [self.name.capitalize(), self.options.get("number")])))
        extra, _ = self.state.inline_text(self.arguments[0], self.lineno) if self.arguments else ([], [])
        if self.name == "proof":
            return extra or [head]
        if not extra:
            return [head]
        return [head, nodes.inline("", "", nodes.Text(" ("), *extra, nodes.Text(")"), classes=["box-name"])]


def title_labels(app, doctree):
    """`{ref}` to a box needs no text: it reads "Theorem 2.1"."""
    standard, notes = app.env.get_domain("std"), app.env.course_notes
    for box in doctree.findall(nodes.admonition):
        for name in box["names"]:
            known = notes.labels.get(name)
            if known and known.kind in BOXES:
                standard.labels[name] = (app.env.docname, box["ids"][0], f"{known.kind.capitalize()} {known.number}")


def load_macros(app, config):
    """notation.sty's macros reach MathJax beside those that are configured already."""
    style = latex_folder(app) / "notation.sty"
    settings = config.mathjax3_config = dict(config.mathjax3_config or {})
    tex = settings["tex"] = dict(settings.get("tex", {}))
    tex["macros"] = {**tex.get("macros", {}), **macros(style.read_text("utf8"))}


def reread_when_numbers_change(app, env, added, changed, removed):
    """Every page may cite any number: when one moves, read all pages again."""
    notes = read_notes(latex_folder(app))
    if getattr(env, "course_notes", None) == notes:
        return []
    env.course_notes = notes
    return list(env.found_docs)


def setup(app):
    app.add_directive("derivation", Derivation)
    for kind in (*BOXES, "proof"):
        app.add_directive(kind, Box)
    app.connect("config-inited", load_macros)
    app.connect("doctree-read", title_labels)
    app.connect("env-get-outdated", reread_when_numbers_change)
    app.setup_extension("equations")
    app.setup_extension("chapters")
    app.setup_extension("glossary")
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}

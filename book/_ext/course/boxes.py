"""Theorems, definitions, proofs, ...: the directives that draw them, and references to them."""

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from .latex_labels import BOXES, notes_of


class Box(SphinxDirective):
    """ "Theorem 2.1 (Gibbs' inequality)", and what it says."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = {
        "label": directives.unchanged,
        "number": directives.unchanged,
        "class": directives.class_option,
    }

    def run(self) -> list[nodes.Node]:
        box = nodes.admonition(classes=["box", self.name, *self.options.get("class", [])])
        self.set_source_info(box)
        title = nodes.title("", "", *self.heading())
        self.set_source_info(title)
        box += title
        if "label" in self.options:
            self.options["name"] = self.options["label"]
            self.add_name(box)
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]

    def heading(self) -> list[nodes.Node]:
        words = [self.name.capitalize(), self.options.get("number")]
        head = nodes.Text(" ".join(filter(None, words)))
        extra: list[nodes.Node] = []
        if self.arguments:
            extra, _ = self.state.inline_text(self.arguments[0], self.lineno)
        if self.name in ("proof", "detour"):
            return extra or [head]
        if not extra:
            return [head]
        bracketed = [nodes.Text(" ("), *extra, nodes.Text(")")]
        return [head, nodes.inline("", "", *bracketed, classes=["box-name"])]


def title_labels(app: Sphinx, doctree: nodes.document) -> None:
    """`{ref}` to a box needs no text: it reads "Theorem 2.1"."""
    labels = app.env.domaindata["std"]["labels"]
    for box in doctree.findall(nodes.admonition):
        for name in box["names"]:
            known = notes_of(app.env).labels.get(name)
            if known and known.kind in BOXES:
                text = f"{known.kind.capitalize()} {known.number}"
                labels[name] = (app.env.docname, box["ids"][0], text)


def setup(app: Sphinx) -> None:
    for kind in (*BOXES, "proof", "detour"):
        app.add_directive(kind, Box)
    app.connect("doctree-read", title_labels)

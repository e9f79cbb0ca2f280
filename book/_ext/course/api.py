"""The pages of the module vaelib: what autodoc leaves out, and the table of shipped models.

`{shipped-models}` on a page puts in a row for each model that comes with the package, from its card
in vaelib/pretrained.
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from .tables import table

COLUMNS = {"name": 20, "trained on": 25, "latents, in use": 12, "minimised": 30, "ELBO, nats": 13}


def is_field(member: object) -> bool:
    """Whether it is a field of a named tuple, of which autodoc says only its number."""
    return type(member).__name__ == "_tuplegetter"


def skip(app: Sphinx, what: str, name: str, member: object, skipped: bool, options: Any) -> Any:
    return True if is_field(member) else None


def shape(card: dict) -> str:
    return "\u2009×\u2009".join(map(str, card["config"]["image_shape"]))


def row(card: dict) -> list[str]:
    """The cells of a model's row."""
    scores, latents = card["scores"], card["config"]["latent_dim"]
    data = card.get("trained_on") or card["data"]["name"]
    elbo = card.get("scores_mnist", scores)["elbo"]  # on all of the test set that it was made for
    return [
        card["name"],
        f"{data}; images {shape(card)}",
        f"{latents}, {scores['active_units']}",
        card["objective"],
        f"{elbo:.1f}".replace("-", "\u2212"),
    ]


def cards(root: Path) -> list[dict]:
    paths = sorted(root.glob("vaelib/pretrained/*.json"), key=lambda path: path.stem)
    return [json.loads(path.read_text()) for path in paths]


class ShippedModels(SphinxDirective):
    """The table, a row a model."""

    def run(self) -> list[nodes.Node]:
        found = cards(Path(self.env.srcdir))
        for card in found:
            self.env.note_dependency(f"vaelib/pretrained/{card['name']}.json")
        rows = (row(card) for card in found)
        return [
            table(
                COLUMNS, ([nodes.literal(name, name), *map(nodes.Text, of)] for name, *of in rows)
            )
        ]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("shipped-models", ShippedModels)
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Measured results as substitutions, so that pages quote measured numbers, never typed ones."""

import json
import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config


def load_results(app: Sphinx, config: Config) -> None:
    """book/results/05-vae.json is the substitution `vae`, start.json is `start`.

    So are those of the other pages; those of the long studies are none.
    """
    results = {}
    folder = Path(app.srcdir, "book", "results")
    pages = [folder / f"{name}.json" for name in ("start", "answers")]
    for path in sorted([*folder.glob("[0-9]*.json"), *filter(Path.exists, pages)]):
        name = re.sub(r"^\d+-", "", path.stem).replace("-", "_")
        results[name] = json.loads(path.read_text("utf8"))
    config.myst_substitutions = {**(config.myst_substitutions or {}), **results}


def setup(app: Sphinx) -> None:
    app.connect("config-inited", load_results)

"""The directive `{derivation} NAME`: latex/derivations/NAME.tex, read into a page.

One LaTeX source serves the PDF and the book. Numbers come from `notes`, the translation from
`tex_to_myst`.
"""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from .latex_labels import keep_notes, macros, notes_of, read_notes
from .tex_to_myst import Walk

logger = logging.getLogger(__name__)


def latex_folder(app: Sphinx) -> Path:
    return Path(app.srcdir, "latex")


class Derivation(SphinxDirective):
    """One derivation as if it were written in the page: its section stands beside the page's own.

    Text after it, up to the next heading, belongs to the derivation's last section.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        source = latex_folder(self.env.app) / "derivations" / f"{name}.tex"
        self.env.note_dependency(str(source))
        if not source.is_file():
            raise self.error(f"no derivation {name!r}: {source} is missing")
        # the renderer itself, as for MyST's own `include`: `nested_parse` would hang the sections
        # below whichever heading comes before
        renderer = self.state._renderer  # type: ignore[attr-defined]  # MyST's, not docutils' state
        if not isinstance(renderer.current_node, nodes.document | nodes.section):
            raise self.error("a derivation stands in the page itself, not in another block")
        notes = notes_of(self.env)
        chapter = notes.chapters.get(name)
        if chapter is None:
            logger.warning(
                "%s.tex has no \\derivation line in vae_maths.tex, so its numbers are unknown",
                name,
                location=self.get_location(),
            )
        walk = Walk(
            notes,
            chapter,
            lambda text: logger.warning("%s", text, location=str(source)),
            notes.boxes_before.get(name, 0),
        )
        renderer.nested_render_text(walk.convert(source.read_text("utf8")), self.lineno)
        return []


def load_macros(app: Sphinx, config: Config) -> None:
    """notation.sty's macros reach MathJax beside those that are configured already."""
    style = latex_folder(app) / "notation.sty"
    settings = config.mathjax3_config = dict(config.mathjax3_config or {})
    tex = settings["tex"] = dict(settings.get("tex", {}))
    tex["macros"] = {**tex.get("macros", {}), **macros(style.read_text("utf8"))}


def reread_when_numbers_change(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Every page may cite any number: when one moves, read all pages again."""
    changed_notes = keep_notes(env, read_notes(latex_folder(app)))
    return list(env.found_docs) if changed_notes else []


def setup(app: Sphinx) -> None:
    app.add_directive("derivation", Derivation)
    app.connect("config-inited", load_macros)
    app.connect("env-get-outdated", reread_when_numbers_change)

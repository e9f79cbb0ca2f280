"""The book's own Sphinx extension: each part is a module with a `setup` of its own.

LaTeX becomes pages: `latex_labels` reads macros and numbers, `tex_to_myst` translates,
`derivation` puts the result into a page, `boxes` draws its theorems. Marks: `numbering` gives
equations and figures the numbers of the PDF, `equation_checks` ties equations to the cells that
test them. `chapter_links` links a chapter's forms, `results` brings measured numbers, `glossary`
links terms, `citations` prints round brackets, `live` puts figures that move into a page and
`live_data` makes what they read, `command_line` writes the reference of vaelib's options, `api`
the table of its shipped models, `beside` puts code beside mathematics, `tables` makes a table,
`csp` says which scripts may run there.
"""

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from . import (
    api,
    beside,
    boxes,
    chapter_links,
    citations,
    command_line,
    csp,
    derivation,
    equation_checks,
    glossary,
    live,
    numbering,
    results,
)

PARTS = (
    derivation,
    boxes,
    beside,
    numbering,
    equation_checks,
    chapter_links,
    results,
    glossary,
    citations,
    live,
    command_line,
    api,
    csp,
)


def setup(app: Sphinx) -> ExtensionMetadata:
    for part in PARTS:
        part.setup(app)
    # env_version: raise it when what a part keeps in the environment changes its form
    return {
        "version": "1",
        "env_version": 4,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }

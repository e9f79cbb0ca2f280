"""Chapters: the bar that ties page, notebook, Colab and notes together."""

import re
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

COLAB = "https://colab.research.google.com/github/{owner}/blob/{branch}/notebooks/{stem}.ipynb"
NOTES = "vae_maths.pdf"  # html_extra_path puts it at the root of the book


def chapter_number(docname: str) -> int | None:
    """5 for book/05-vae and for notebooks/05-vae, None for a page that is no chapter."""
    found = re.search(r"(\d+)-[^/]*$", docname)
    return int(found[1]) if found else None


def colab_url(config: Config, stem: str) -> str:
    options = config.html_theme_options
    owner = options["repository_url"].removeprefix("https://github.com/").rstrip("/")
    return COLAB.format(owner=owner, branch=options["repository_branch"], stem=stem)


def link(href: str, text: str, title: str) -> str:
    return f'<a href="{escape(href)}" title="{escape(title)}">{escape(text)}</a>'


def other_forms(app: Sphinx, docname: str) -> list[str]:
    """Links from a chapter's page to notebook and Colab, and back; other pages have none."""
    folder, _, stem = docname.partition("/")
    both = {f"book/{stem}", f"notebooks/{stem}"}
    if folder not in ("book", "notebooks") or not both <= app.env.found_docs:
        return []
    uri = app.builder.get_relative_uri
    if folder == "notebooks":  # its first cell has its own Colab badge
        title = "This chapter's derivation and what its results mean"
        return [link(uri(docname, f"book/{stem}"), "Read it: the chapter", title)]
    return [
        link(
            uri(docname, f"notebooks/{stem}"),
            "Run it: the notebook",
            "This chapter as code, with its results",
        ),
        link(
            colab_url(app.config, stem),
            "Open in Colab",
            "Run the notebook in your browser, nothing to install",
        ),
    ]


def add_bar(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Under the title of every page: its other forms, and the notes."""
    title = next(doctree.findall(nodes.title), None)
    if title is None:
        return
    pdf = "../" * docname.count("/") + NOTES
    notes = link(pdf, "Notes (PDF)", "All derivations, for printing")
    links = "".join([*other_forms(app, docname), notes])
    bar = f'<nav class="chapter-bar" aria-label="Forms of this page">{links}</nav>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", bar, format="html"))


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", add_bar)

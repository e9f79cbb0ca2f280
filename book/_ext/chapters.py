"""Chapters: the bar that ties page, notebook, Colab and notes together; measured results."""

import json
import re
from html import escape
from pathlib import Path

from docutils import nodes

COLAB = "https://colab.research.google.com/github/{owner}/blob/{branch}/notebooks/{stem}.ipynb"
NOTES = "vae_maths.pdf"  # html_extra_path puts it at the root of the book


def load_results(app, config):
    """book/results/05-vae.json -> the substitution `vae`, so that pages quote measured numbers, never typed ones.

    The long studies' own results, such as sprites.json, are read by chapters' studies alone.
    """
    results = {}
    for path in sorted(Path(app.srcdir, "book", "results").glob("[0-9]*.json")):
        name = re.sub(r"^\d+-", "", path.stem).replace("-", "_")
        results[name] = json.loads(path.read_text("utf8"))
    config.myst_substitutions = {**(config.myst_substitutions or {}), **results}


def colab_url(config, stem: str) -> str:
    options = config.html_theme_options
    owner = options["repository_url"].removeprefix("https://github.com/").rstrip("/")
    return COLAB.format(owner=owner, branch=options["repository_branch"], stem=stem)


def link(href: str, text: str, title: str) -> str:
    return f'<a href="{escape(href)}" title="{escape(title)}">{escape(text)}</a>'


def other_forms(app, docname) -> list[str]:
    """Links from a chapter's page to its notebook and to Colab, from a notebook to its page; other pages have none."""
    folder, _, stem = docname.partition("/")
    if folder not in ("book", "notebooks") or not {f"book/{stem}", f"notebooks/{stem}"} <= app.env.found_docs:
        return []
    uri = app.builder.get_relative_uri
    if folder == "notebooks":  # its first cell has its own Colab badge
        page = uri(docname, f"book/{stem}")
        return [link(page, "Read it: the chapter", "This chapter's derivation and what its results mean")]
    return [
        link(uri(docname, f"notebooks/{stem}"), "Run it: the notebook", "This chapter as code, with its results"),
        link(colab_url(app.config, stem), "Open in Colab", "Run the notebook in your browser, nothing to install"),
    ]


def add_bar(app, doctree, docname):
    """Under the title of every page: its other forms, and the notes."""
    title = next(doctree.findall(nodes.title), None)
    if title is None:
        return
    notes = link("../" * docname.count("/") + NOTES, "Notes (PDF)", "All derivations, for printing")
    links = "".join([*other_forms(app, docname), notes])
    bar = f'<nav class="chapter-bar" aria-label="Forms of this page">{links}</nav>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", bar, format="html"))


def setup(app):
    app.connect("config-inited", load_results)
    app.connect("doctree-resolved", add_bar)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}

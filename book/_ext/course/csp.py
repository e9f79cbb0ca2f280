"""A content-security policy in every page: its own scripts run, and nothing that came in otherwise.

The policy stands in the page, for it is read from a folder as well as from a server; there each
file is an origin of its own, which 'self' does not mean, so `file:` is allowed besides. Scripts in
the page are allowed by their digests. Styles may stand anywhere: the theme and MathJax write them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
HANDLER = re.compile(r'<[^<>]*?\son[a-z]+="([^"]*)"')
CHARSET = re.compile(r'<meta charset="[^"]*"\s*/?>', re.IGNORECASE)
META = re.compile(r'\s*<meta http-equiv="Content-Security-Policy"[^>]*>')
OWN = "'self' file:"


def digest(script: str) -> str:
    """What allows this script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def handlers(page: str) -> set[str]:
    """The scripts that stand in attributes of the page's elements, such as onclick."""
    return {unescape(handler) for handler in HANDLER.findall(page)}


def policy(page: str, attributes: set[str]) -> str:
    """The policy that lets the scripts in ``page``, and in the book's files, run.

    ``attributes`` are the `handlers` of the whole book: the search page reads the others.
    """
    scripts = sorted({digest(script) for script in INLINE.findall(page) if script})
    if attributes:
        scripts += ["'unsafe-hashes'", *sorted(map(digest, attributes))]
    rules = {
        "default-src": "'none'",
        "script-src": " ".join([OWN, *scripts]),
        "style-src": f"{OWN} 'unsafe-inline'",
        "img-src": f"{OWN} data: blob:",
        "font-src": f"{OWN} data:",
        "media-src": OWN,
        "connect-src": OWN,
        "worker-src": f"{OWN} blob:",
        "form-action": OWN,
        "base-uri": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def with_policy(page: str, attributes: set[str]) -> str:
    """``page`` with its policy, right behind the line that says how it is encoded."""
    rules = policy(page, attributes)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{rules}" />'
    return CHARSET.sub(lambda found: f"{found[0]}\n    {meta}", page, count=1)


def write_policies(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    paths = [path for path in Path(app.outdir).rglob("*.html") if "_static" not in path.parts]
    pages = {path: path.read_text("utf8") for path in paths}
    attributes = set().union(*map(handlers, pages.values()))
    for path, page in pages.items():
        # of a page that was not written anew the old policy goes
        path.write_text(with_policy(META.sub("", page), attributes), "utf8")


def setup(app: Sphinx) -> ExtensionMetadata:
    # the last to touch the pages, which parts of the theme write when the rest is done
    app.connect("build-finished", write_policies, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

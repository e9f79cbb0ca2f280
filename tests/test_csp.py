"""The pages' content-security policy: what is the book's runs, what came in otherwise does not."""

import re

from course import csp
from test_book import seen  # noqa: F401  (a fixture)

PAGE = """<!DOCTYPE html>
<html><head>
<meta charset="utf-8" />
<script>document.documentElement.dataset.inline = "ran";</script>
<script src="own.js"></script>
</head><body>
<button onclick="document.body.dataset.clicked = 'a' &amp;&amp; 'b'">b</button>
</body></html>
"""
INJECTED = """
() => {
  const script = document.createElement("script");
  script.textContent = "window.injected = true";
  document.head.append(script);
  const picture = document.createElement("div");
  picture.innerHTML = '<img src="data:," onerror="window.injected = true">';
  document.body.append(picture);
}
"""


class Builder:
    format = "html"


class App:
    builder = Builder()

    def __init__(self, outdir):
        self.outdir = outdir


def test_a_policy_names_each_script_of_its_page():
    policy = csp.policy(PAGE, csp.handlers(PAGE))
    scripts = re.search(r"script-src ([^;]*)", policy).group(1).split()
    assert csp.handlers(PAGE) == {"document.body.dataset.clicked = 'a' && 'b'"}
    inline = csp.digest('document.documentElement.dataset.inline = "ran";')
    handler = csp.digest("document.body.dataset.clicked = 'a' && 'b'")
    assert scripts == ["'self'", "file:", inline, "'unsafe-hashes'", handler]
    assert csp.digest("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy and "http" not in policy


def test_a_page_that_is_not_written_anew_keeps_one_policy(tmp_path):
    (tmp_path / "a.html").write_text(PAGE)
    for _ in range(2):
        csp.write_policies(App(tmp_path), None)
    text = (tmp_path / "a.html").read_text()
    assert text.count("Content-Security-Policy") == 1
    assert text.index("charset") < text.index("Content-Security-Policy") < text.index("<script")


def test_what_is_the_books_runs_and_what_came_in_does_not(tmp_path, seen):  # noqa: F811
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "own.js").write_text('document.documentElement.dataset.file = "ran";')
    csp.write_policies(App(tmp_path), None)
    page, wrong = seen
    page.goto(f"file://{tmp_path}/a.html")
    assert page.evaluate("() => ({...document.documentElement.dataset})") == {
        "inline": "ran",
        "file": "ran",
    }
    page.click("button")
    assert page.evaluate("() => document.body.dataset.clicked") == "b"
    assert wrong == []
    page.evaluate(INJECTED)
    page.wait_for_timeout(200)
    assert page.evaluate("() => window.injected") is None
    assert len(wrong) >= 2 and all("Content Security Policy" in line for line in wrong)

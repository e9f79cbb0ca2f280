"""What stands on a page's main path, and that a link into a folded block opens it."""

import pytest
from main_path import main_path

from notebooks import ROOT

PAGE = """<article><h1>A b</h1><p>One <span class="math">x + y = z</span> three.</p>
<figure class="live"><p>Drag it.</p></figure><p>Five six.</p>
<div class="admonition dropdown"><p>Folded words here.</p></div><figure><img></figure></article>"""


def test_words_pictures_and_the_first_thing_that_moves():
    seen = main_path(PAGE)
    assert (seen.words, seen.folded) == (2 + 3 + 2 + 2, 3)
    assert (seen.pictures, seen.live, seen.before_live) == (1, 1, 5)
    assert main_path(PAGE.replace("live", "dead")).before_live is None


FOLDED = """<style>.toggle-hidden > :not(.admonition-title) {{ display: none }}</style>
<div class="admonition toggle-hidden"><p class="admonition-title">Proof</p>
<details><summary>More</summary><p id="eq">x = y</p></details></div>
<script>
document.querySelector(".admonition-title").onclick = (event) =>
  event.target.parentElement.classList.toggle("toggle-hidden");
{script}</script>"""


@pytest.mark.timeout(120)
def test_a_link_into_a_folded_block_opens_it(tabs, tmp_path):
    script = (ROOT / "book" / "_static" / "targets.js").read_text("utf8")
    (tmp_path / "page.html").write_text(FOLDED.format(script=script))
    with tabs.lent() as page:
        page.goto(f"file://{tmp_path}/page.html")
        assert not page.locator("#eq").is_visible()
        page.goto(f"file://{tmp_path}/page.html#eq")
        page.wait_for_function("document.getElementById('eq').checkVisibility()")
        page.goto(f"file://{tmp_path}/page.html#none")
        assert page.locator("#eq").is_visible()

"""Code beside mathematics: vaelib's own lines, each symbol beside the line that it means."""

import inspect
import re

import pytest
from course.beside import line_with, source_of
from docutils import nodes
from test_tex_to_myst import parsed

from notebooks import ROOT
from vaelib import losses, models

PAGE = """# A

```{beside} vaelib.losses.negative_elbo
def negative_elbo :: the loss $-L$
return :: $\\beta$ times the KL
```
"""


def test_each_symbol_stands_beside_its_line_and_nothing_is_left_out(tmp_path):
    (tmp_path / "vaelib").symlink_to(ROOT / "vaelib")
    page, warnings = parsed(tmp_path, PAGE)
    assert warnings == ""
    (box,) = (c for c in page.findall(nodes.container) if "beside" in c["classes"])
    rows = [c for c in box.children if isinstance(c, nodes.container)]
    words = [row[1].astext() for row in rows]
    code = [row[0].astext() for row in rows]
    assert words == ["the loss -L", "\\beta times the KL"]
    assert code[0].startswith("def negative_elbo") and code[1].strip().startswith("return")
    source = inspect.getsource(losses.negative_elbo)
    doc = re.search(r'    """.*?"""\n', source, re.S).group()
    assert "\n".join(code) == source.replace(doc, "").rstrip("\n")


def test_a_method_is_found_and_dedented():
    path, first, lines = source_of(ROOT, "vaelib.models.VAE.reconstruct")
    assert path.name == "models.py" and lines[0].startswith("def reconstruct(self")
    assert first == inspect.getsourcelines(models.VAE.reconstruct)[1]


def test_a_module_is_shown_whole_without_its_docstring(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "two.py").write_text('"""Says what."""\n\na = 1\nb = 2\n')
    path, first, lines = source_of(tmp_path, "book.two")
    assert (path.name, first, lines) == ("two.py", 1, ["", "a = 1", "b = 2"])
    assert source_of(ROOT, "book.start")[2] == (ROOT / "book/start.py").read_text().splitlines()


@pytest.mark.parametrize(
    "content, words",
    [
        ("```{beside} vaelib.losses.none\n```\n", "losses.py has no 'none'"),
        ("```{beside} vaelib.none.f\n```\n", "has no 'none'|no module"),
        (PAGE.replace("return ::", "log ::"), "stands in [02-9] lines of the code, not in one"),
        (PAGE.replace("return ::", "return:"), "lacks '::'"),
    ],
)
def test_a_line_that_is_not_there_is_one_warning(tmp_path, content, words):
    (tmp_path / "vaelib").symlink_to(ROOT / "vaelib")
    _, warnings = parsed(tmp_path, content if content.startswith("#") else f"# A\n\n{content}")
    assert re.search(words, warnings), warnings
    assert warnings.count("ERROR") == 1


def test_a_part_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="in 2 lines"):
        line_with(["a = b", "b = c"], "b")

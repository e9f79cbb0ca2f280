"""What every committed notebook must be: executed, whole, free of ignored cells, readable, and
alone sufficient.
"""

import re

import pytest
import yaml

from notebooks import KERNEL, NOTEBOOKS, ROOT, code_cells, read, tags

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
URL, BRANCH = CONFIG["repository"]["url"], CONFIG["repository"]["branch"]
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 1


@every_notebook
def test_every_code_cell_was_executed_in_order_and_none_failed(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]
    assert not [out for cell in cells for out in cell.outputs if out.get("name") == "stderr"]


@every_notebook
def test_no_cell_is_left_out_of_the_comparison(path):
    for cell in code_cells(path):
        assert "NBVAL" not in cell.source, cell.source
        assert not [tag for tag in tags(cell) if tag.startswith(("nbval", "raises"))], tags(cell)


@every_notebook
def test_every_picture_has_alternative_text(path):
    for cell in code_cells(path):
        if any("image/png" in out.get("data", {}) for out in cell.outputs):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt) > 30, f"no alternative text: {cell.source[:80]}"


@every_notebook
def test_a_notebook_is_a_chapter_with_a_page(path):
    assert (ROOT / "book" / f"{path.stem}.md").exists()
    toc = (ROOT / "_toc.yml").read_text()
    assert f"file: book/{path.stem}\n" in toc and f"file: notebooks/{path.stem}\n" in toc


@every_notebook
def test_badge_and_set_up_follow_the_one_setting(path):
    """The repository's address is typed in _config.yml; everything else must agree with it."""
    first, second = read(path).cells[:2]
    owner = URL.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{owner}/blob/{BRANCH}/notebooks/{path.name}"
    assert f'<a href="{colab}">' in first.source and "data:image/svg+xml" in first.source
    assert f'%pip install -q --no-deps "vaelib @ git+{URL}@{BRANCH}"' in second.source
    assert second.source.index('"google.colab" in sys.modules') < second.source.index("%pip"), (
        "guarded"
    )
    addresses = re.findall(
        r"https://github\.com/[\w.-]+/[\w.-]+", "\n".join(c.source for c in read(path).cells)
    )
    assert {a.removesuffix(".git") for a in addresses} == {URL}


@every_notebook
def test_a_notebook_needs_nothing_beside_it(path):
    code = "\n".join(cell.source for cell in code_cells(path))
    assert not re.search(r"\.\./|open\(|Path\(|read_csv|__file__", code), (
        "reads a file by relative path"
    )


@every_notebook
def test_normalised(path):
    notebook = read(path)
    assert notebook.metadata == KERNEL
    assert [c.id for c in notebook.cells] == [f"cell-{i:02d}" for i in range(len(notebook.cells))]
    assert not any("execution" in cell.metadata for cell in notebook.cells)


@every_notebook
def test_text_uses_no_macro_that_colab_does_not_know(path):
    """Pages take their macros from notation.sty; Colab has MathJax only."""
    macros = re.findall(
        r"^\\newcommand\{\\(\w+)\}", (ROOT / "latex" / "notation.sty").read_text(), re.M
    )
    text = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    used = [m for m in macros if re.search(rf"\\{m}(?![A-Za-z])", text)]
    assert used == []
    assert not re.search(r"\{(eq|cite|prf|numref|ref|term|doc)(:\w+)?\}`", text), (
        "a role shows as raw text in Colab"
    )

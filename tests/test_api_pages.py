"""The pages of the module: every public module once, what the first page says, the models."""

import json
import re
import statistics

import pytest
from course import api
from docutils import nodes
from test_docstrings import WITH_EXAMPLES

import vaelib
from notebooks import ROOT
from vaelib import losses, metrics, pretrained
from vaelib.data.load import data_root

FIRST = (ROOT / "book" / "api.md").read_text()
WITHOUT = {"vaelib.history", "vaelib.data.dsprites"}  # described, and without examples of their own
PARTS = sorted((ROOT / "book").glob("api-*.md"))


def test_every_public_module_is_described_once():
    described = []
    for path in PARTS:
        described += re.findall(r"^\.\. automodule:: (\S+)$", path.read_text(), re.M)
        assert f"          - file: book/{path.stem}\n" in (ROOT / "_toc.yml").read_text()
        assert f"]({path.name})" in FIRST
    # what load has besides load and data_root is the registry itself; the exercises are chapters'
    others = {"vaelib.data.load", "vaelib.exercises"}
    assert sorted(described) == sorted({*WITH_EXAMPLES, *WITHOUT} - others)
    assert set(re.findall(r"`vaelib\.(\w+)`", FIRST)) >= {
        name for name in vaelib.__all__ if name not in ("History", "models", "pretrained")
    }


def test_the_first_pages_example_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", FIRST, re.S)
    made: dict = {}
    exec(code, made)
    images, elbo = made["images"], made["history"].test["elbo"]
    assert tuple(images.shape) == (8, 1, 28, 28) and 0 <= images.min() <= images.max() <= 1
    assert len(elbo) == 2 and -350 < elbo[0] < elbo[1] < -150
    assert (tmp_path / "model.safetensors").exists()


def test_downloads_are_kept_where_the_page_says(monkeypatch, tmp_path):
    given, named, cache = (tmp_path / name for name in ("root", "VAELIB_DATA", "XDG_CACHE_HOME"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("VAELIB_DATA", str(named))
    found = [data_root(given), data_root()]
    monkeypatch.delenv("VAELIB_DATA")
    found.append(data_root())
    monkeypatch.delenv("XDG_CACHE_HOME")
    found.append(data_root())
    assert found == [given, named, cache / "vaelib", tmp_path / ".cache" / "vaelib"]
    places = re.findall(r"^\d\. (.*)$", FIRST, re.M)
    assert [re.search(r"`([^`]+)`", place).group(1) for place in places] == [
        "root",
        "VAELIB_DATA",
        "vaelib",
    ]


def test_a_row_for_each_shipped_model_from_its_card():
    rows = {card["name"]: api.row(card) for card in api.cards(ROOT)}
    assert list(rows) == pretrained.names()
    card = json.loads((ROOT / "vaelib" / "pretrained" / "digits-2.json").read_text())
    assert rows["digits-2"] == [
        "digits-2",
        "mnist-5k; images 1\u2009×\u200928\u2009×\u200928",
        "2, 2",
        "beta 1, the plain VAE",
        f"\u2212{-card['scores']['elbo']:.1f}",
    ]
    for name, row in rows.items():
        model = vaelib.load_pretrained(name)
        assert row[2].startswith(f"{model.latent_dim}, ") and len(row) == len(api.COLUMNS)


@pytest.mark.parametrize("name", ["digits-2", "digits-16"])
def test_other_draws_move_an_elbo_of_500_digits_by_tenths_of_a_nat(name):
    model, images = vaelib.load_pretrained(name), vaelib.load("mnist-5k", binarize=True).test
    means = [metrics.elbo(model, images, seed=seed).mean().item() for seed in range(8)]
    assert 0.05 < statistics.stdev(means) < 0.5
    assert means[0] == pytest.approx(pretrained.card(name)["scores"]["elbo"], abs=0.02)


def test_the_table_has_heads_and_cells():
    made = api.table({"a": 1, "b": 2}, [[nodes.Text("1"), nodes.Text("2")]])
    assert [row.astext().split() for row in made.findall(nodes.row)] == [["a", "b"], ["1", "2"]]


@pytest.mark.parametrize(
    ("member", "left_out"),
    [(losses.KLTerms.total_correlation, True), (losses.KLTerms.count, False), (losses.kl_terms, 0)],
)
def test_a_named_tuples_fields_are_left_out(member, left_out):
    assert api.is_field(member) == left_out
    assert api.skip(None, "class", "", member, False, None) == (True if left_out else None)

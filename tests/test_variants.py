"""Every check of an equation can fail: the wrong variants in variants/*.toml, each planted, each
caught.

A check cell is run with nothing but its notebook's cells tagged `setup` and `define`; once as it
is, which must pass, and once for each variant with the formula made wrong, which must end in an
AssertionError, or in torch's refusal.
"""

import contextlib
import io
import re
import tomllib

import matplotlib
import pytest

from notebooks import CHECK_TAG, NOTEBOOKS, ROOT, checked_labels, code_cells, tags

matplotlib.use("Agg")

VARIANTS = [
    (path.stem, variant)
    for path in sorted((ROOT / "tests" / "variants").glob("*.toml"))
    for variant in tomllib.loads(path.read_text())["variant"]
]


def sources(stem: str, label: str) -> list[str]:
    """The cells that the check of ``label`` needs, and the check itself, in order."""
    cells = code_cells(ROOT / "notebooks" / f"{stem}.ipynb")
    wanted = [c for c in cells if {"setup", "define", CHECK_TAG + label} & set(tags(c))]
    assert any(CHECK_TAG + label in tags(c) for c in wanted), (
        f"{stem}: no cell is tagged checks:{label}"
    )
    return [re.sub(r"^(\s*)%.*$", r"\1pass", cell.source, flags=re.M) for cell in wanted]


def run(cells: list[str]) -> None:
    namespace = {"__name__": "__main__", "display": lambda *_: None}
    with contextlib.redirect_stdout(io.StringIO()):
        for source in cells:
            exec(compile(source, "cell", "exec"), namespace)


@pytest.mark.parametrize(
    ("stem", "label"), [(p.stem, label) for p in NOTEBOOKS for label in checked_labels(p)]
)
def test_the_check_passes_as_it_is(stem, label):
    run(sources(stem, label))


@pytest.mark.parametrize(
    ("stem", "variant"),
    VARIANTS,
    ids=[f"{stem}-{v['label']}-{i}" for i, (stem, v) in enumerate(VARIANTS)],
)
def test_a_wrong_variant_is_caught(stem, variant):
    cells = sources(stem, variant["label"])
    assert sum(cell.count(variant["before"]) for cell in cells) == 1, (
        "the text to replace must occur exactly once"
    )
    mutated = [cell.replace(variant["before"], variant["after"]) for cell in cells]
    with pytest.raises((AssertionError, RuntimeError)):
        run(mutated)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_check_has_a_wrong_variant(path):
    tried = {variant["label"] for stem, variant in VARIANTS if stem == path.stem}
    assert tried == set(checked_labels(path))

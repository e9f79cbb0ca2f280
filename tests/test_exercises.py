"""The exercises' solutions, as folded on the pages, solve them; wrong and no answers do not."""

import math
import re

import pytest
import torch
from torch import nn

import vaelib
from notebooks import NOTEBOOKS, ROOT, code_cells
from vaelib import losses, metrics
from vaelib.exercises import check, verdict

EXERCISES = [
    (path, number)
    for path in NOTEBOOKS
    for cell in code_cells(path)
    for number in re.findall(r'^check\("([\d.]+)"', cell.source, re.M)
]
every_exercise = pytest.mark.parametrize(
    ("path", "number"), EXERCISES, ids=[number for _, number in EXERCISES]
)


def solution(path, number):
    """The last function of the python block in the page's folded solution."""
    page = (ROOT / "book" / f"{path.stem}.md").read_text()
    label = "ex-" + number.replace(".", "-")
    block = re.search(rf"^(`{{3,}})\{{solution\}} {label}\n(.*?)^\1$", page, re.M | re.S)
    assert block, f"the page has no {{solution}} {label}"
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", block.group(2), re.M | re.S))
    namespace = {
        "math": math,
        "torch": torch,
        "nn": nn,
        "vaelib": vaelib,
        "losses": losses,
        "metrics": metrics,
    }
    before = set(namespace)
    exec(compile(code, label, "exec"), namespace)
    return [v for name, v in namespace.items() if name not in before and callable(v)][-1]


@every_exercise
def test_the_pages_solution_is_right(path, number, capsys):
    assert check(number, solution(path, number)) is None
    assert capsys.readouterr().out == f"Exercise {number}: right.\n"


@every_exercise
def test_dots_are_waited_for_and_nonsense_is_not_right(path, number):
    assert verdict(number, lambda *_, **__: ...) == "waiting for your answer."
    for wrong in (lambda *_, **__: 0, lambda *_, **__: torch.zeros(1), lambda *_, **__: None):
        said = verdict(number, wrong)
        assert said.startswith("not yet") and "\n" not in said


@every_exercise
def test_the_committed_notebook_leaves_the_exercise_open(path, number):
    (cell,) = [c for c in code_cells(path) if f'check("{number}"' in c.source]
    assert "..." in cell.source
    assert cell.outputs[0].text == f"Exercise {number}: waiting for your answer.\n"


def test_there_is_no_such_exercise():
    with pytest.raises(ValueError, match=r"no exercise '99\.1'"):
        check("99.1", None)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_chapter_has_at_least_four_exercises_each_with_a_folded_solution(path):
    page = (ROOT / "book" / f"{path.stem}.md").read_text()
    exercises = re.findall(r"^:label: (ex-[\d-]+)$", page, re.M)
    solutions = re.findall(r"^`{3,}\{solution\} (ex-[\d-]+)\n:class: dropdown$", page, re.M)
    assert len(exercises) >= 4 and exercises == solutions

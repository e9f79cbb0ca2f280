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


def parts_of_the_loss(model, x, noise):
    mean, log_var = model.encode(x)
    logits = model.decode(mean + torch.exp(log_var / 2) * noise)
    pixels = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return pixels, losses.kl_to_standard_normal_per_dimension(mean, log_var)


@pytest.mark.parametrize(
    ("combine", "hint"),
    [
        (lambda pixels, kl: (pixels.flatten(1).mean(1) + kl.sum(1)).mean(), "Over pixels the sum"),
        (lambda pixels, kl: (pixels.flatten(1).sum(1) + kl.mean(1)).mean(), "Over latents the sum"),
        (lambda pixels, kl: pixels.sum() + kl.sum(), "their mean is wanted"),
        (lambda pixels, kl: pixels.flatten(1).sum(1) + kl.sum(1), "one number for the whole"),
        (lambda pixels, kl: (pixels.flatten(1).sum(1) - kl.sum(1)).mean(), "wrong sign"),
        (lambda pixels, kl: pixels.flatten(1).sum(1).mean(), "KL is missing"),
        (lambda pixels, kl: -(pixels.flatten(1).sum(1) + kl.sum(1)).mean(), "This is the ELBO"),
        (lambda pixels, kl: (pixels.sum() + kl.sum()).detach() / len(kl), "no gradient leads back"),
    ],
)
def test_a_wrong_loss_is_told_what_is_wrong(combine, hint):
    assert hint in verdict("5.7", lambda *given: combine(*parts_of_the_loss(*given)))


def test_the_width_of_the_noise_is_asked_for():
    class Wide:
        def __init__(self, model):
            self.decode = model.decode
            self.encode = lambda x: [
                part * scale for part, scale in zip(model.encode(x), (1, 2), strict=True)
            ]

    def wide(model, x, noise):
        pixels, _ = parts_of_the_loss(Wide(model), x, noise)
        _, kl = parts_of_the_loss(model, x, noise)
        return (pixels.flatten(1).sum(1) + kl.sum(1)).mean()

    assert "as wide as the log-variance says" in verdict("5.7", wide)


@pytest.mark.parametrize(
    ("leave_out", "hint"),
    [
        ("zero_grad", "After the second step .* first step's gradient"),
        ("backward", "Not one weight"),
        ("step", "Not one weight"),
        ("item", "return the loss"),
    ],
)
def test_a_step_that_lacks_a_line_is_not_right(leave_out, hint):
    def step(model, optimizer, x, noise):
        pixels, kl = parts_of_the_loss(model, x, noise)
        loss = (pixels.flatten(1).sum(1) + kl.sum(1)).mean()
        if leave_out != "zero_grad":
            optimizer.zero_grad()
        if leave_out != "backward":
            loss.backward()
        if leave_out != "step":
            optimizer.step()
        return loss if leave_out == "item" else loss.item()

    assert re.search(hint, verdict("5.8", step))

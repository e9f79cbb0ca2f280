"""Docstrings: their examples run, and each begins with one sentence on one line."""

import doctest
import importlib
import inspect

import pytest
import torch
from test_house import MODULES

import vaelib

NAMES = sorted(f"vaelib.{name}".rstrip(".") for name in MODULES if name != "__main__")
WITH_EXAMPLES = {
    "vaelib.losses": 12,
    "vaelib.layers": 2,
    "vaelib.models": 1,
    "vaelib.objectives": 5,
    "vaelib.schedules": 4,
    "vaelib.metrics": 6,
    "vaelib.train": 1,
    "vaelib.files": 2,
    "vaelib.data.images": 1,
    "vaelib.data.factors": 1,
    "vaelib.data.load": 1,
    "vaelib.disentanglement": 5,
    "vaelib.pretrained": 2,
    "vaelib.plots": 1,
    "vaelib.explore": 1,
    "vaelib.exercises": 1,
}


def examples(name):
    finder = doctest.DocTestFinder(exclude_empty=True)
    module = importlib.import_module(name)
    found = finder.find(module, extraglobs={"vaelib": vaelib, "torch": torch})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tests = examples(name)
    assert len(tests) >= WITH_EXAMPLES[name]
    said = []
    for test in tests:
        assert doctest.DocTestRunner(verbose=False).run(test, out=said.append).failed == 0, said


def public(name):
    """The functions, classes and methods that a module makes and does not hide."""
    module = importlib.import_module(name)
    for own, thing in vars(module).items():
        if own.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield f"{name}.{own}", thing
        if inspect.isclass(thing):
            yield from (
                (f"{name}.{own}.{method}", part)
                for method, part in vars(thing).items()
                if inspect.isfunction(part) and not method.startswith("_")
            )


@pytest.mark.parametrize("name", [name for name in NAMES if "chapter" not in name])
def test_a_docstring_begins_with_one_line(name):
    broken = []
    for full, thing in public(name):
        lines = (thing.__doc__ or "").strip().splitlines()
        if lines and len(lines) > 1 and lines[1].strip():
            broken.append(full)
    module = importlib.import_module(name).__doc__.splitlines()
    assert broken == [] and (len(module) < 2 or not module[1].strip())

"""Docstrings: their examples run, and each begins with one sentence on one line."""

import ast
import doctest
import importlib
import inspect

import pytest
import torch
from test_architecture import MODULES

import vaelib
from notebooks import ROOT

NAMES = sorted(f"vaelib.{name}".rstrip(".") for name in MODULES if name != "__main__")
# modules whose public functions and classes have an example each, and those that need none: results
# and errors that others give, what another's example shows, and what is used inside
WITH_EXAMPLES = {
    "vaelib.losses": ["KLTerms", "kl_to_standard_normal_per_dimension"],
    "vaelib.layers": ["conv_layers", "dense_layers", "mirrored_layers"],
    "vaelib.models": ["VAEOutput", "as_float"],
    "vaelib.objectives": [],
    "vaelib.factor_vae": [],
    "vaelib.dip_vae": [],
    "vaelib.ada_gvae": [],
    "vaelib.schedules": ["as_schedule"],
    "vaelib.metrics": ["ElboTerms", "elbo"],
    "vaelib.train": ["minibatches"],
    "vaelib.saving": [
        "CheckpointError",
        "CheckpointWarning",
        "atomic_write",
        "load_checkpoint",
        "save_checkpoint",
    ],
    "vaelib.data.images": ["DataError", "Stream"],
    "vaelib.data.factors": ["ravel"],
    "vaelib.data.folder": ["FolderImages"],
    "vaelib.data.load": ["data_root"],
    "vaelib.data.sprites": ["checked_size"],
    "vaelib.disentanglement": ["Dci", "fit_and_test_rows"],
    "vaelib.pretrained": [],
    "vaelib.plots": ["show_image"],
    "vaelib.explore": ["png"],
    "vaelib.live": [],
    "vaelib.exercises": ["answered"],
}


def public(name):
    """The functions and classes that a module makes and does not hide."""
    module = importlib.import_module(name)
    return {
        own: part
        for own, part in vars(module).items()
        if (inspect.isfunction(part) or inspect.isclass(part))
        and not own.startswith("_")
        and part.__module__ == name
    }


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_what_is_public_has_an_example(name):
    without = [own for own, part in public(name).items() if ">>>" not in (part.__doc__ or "")]
    assert sorted(without) == WITH_EXAMPLES[name]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder(exclude_empty=True)
    globs = {"vaelib": vaelib, "torch": torch}
    complaints = []
    for test in finder.find(importlib.import_module(name), extraglobs=globs):
        doctest.DocTestRunner(verbose=False).run(test, out=complaints.append)
    assert complaints == [], "".join(complaints)


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_begins_with_one_sentence_on_one_line(name):
    file = importlib.import_module(name).__file__
    broken = []
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            lines = (ast.get_docstring(node) or ".").splitlines()
            if not lines[0].endswith((".", ":")) or any(lines[1:2]):
                broken.append(f"{getattr(node, 'name', name)}: {lines[0]}")
    assert broken == []


@pytest.mark.parametrize("name", [name for name in NAMES if "experiments" not in name])
def test_what_is_public_says_what_it_is(name):
    assert [own for own, part in public(name).items() if not part.__doc__] == []

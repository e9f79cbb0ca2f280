"""Trained models that come with the package, each beside its card, a JSON file.

Their weights are in half precision.
"""

from __future__ import annotations

import json
from pathlib import Path

from vaelib.models import VAE
from vaelib.saving import load_model

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """What `load_pretrained` can load.

    >>> "digits-2" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def load_pretrained(name: str) -> VAE:
    """The trained model called ``name``, on the CPU.

    Raises ValueError naming those there are when there is no such one.

    >>> load_pretrained("digits-2").latent_dim
    2
    """
    return load_model(_checked(name, ".safetensors"))


def card(name: str) -> dict:
    """How a model was made and what it scores: data, seed, steps, hardware, seconds, scores.

    And its configuration and the history of its training.

    >>> card("digits-2")["data"]
    {'name': 'mnist-5k', 'binarize': True}
    """
    return json.loads(_checked(name, ".json").read_text())


def _checked(name: str, suffix: str) -> Path:
    if name not in names():
        raise ValueError(f"unknown pretrained model {name!r}; there are: {', '.join(names())}")
    return FOLDER / f"{name}{suffix}"

"""Variational autoencoders in small, readable pieces: the module behind the course."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaelib import (
        disentanglement,
        explore,
        live,
        losses,
        metrics,
        models,
        objectives,
        plots,
        pretrained,
    )
    from vaelib.data import DataError, ImageData, sprites
    from vaelib.data.load import load
    from vaelib.history import History, TrainingError
    from vaelib.layers import ConvSpec
    from vaelib.models import VAE
    from vaelib.pretrained import load_pretrained
    from vaelib.saving import CheckpointError, load_model, save_model
    from vaelib.train import fit

__version__ = "1.0.0"

__all__ = [
    "VAE",
    "CheckpointError",
    "ConvSpec",
    "DataError",
    "History",
    "ImageData",
    "TrainingError",
    "disentanglement",
    "explore",
    "fit",
    "live",
    "load",
    "load_model",
    "load_pretrained",
    "losses",
    "metrics",
    "models",
    "objectives",
    "plots",
    "pretrained",
    "save_model",
    "sprites",
]

# where each name is: imported at its first use, so that `vaelib --help` does not wait seconds for
# torch
_HOMES = {
    "data": ("DataError", "ImageData", "load", "sprites"),
    "saving": ("CheckpointError", "load_model", "save_model"),
    "layers": ("ConvSpec",),
    "models": ("VAE",),
    "pretrained": ("load_pretrained",),
    "history": ("History", "TrainingError"),
    "train": ("fit",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"vaelib.{module}"), name)
    if name in __all__:
        return import_module(f"vaelib.{name}")
    raise AttributeError(f"module 'vaelib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

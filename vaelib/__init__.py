"""Variational autoencoders in small, readable pieces: the module behind the course."""

from vaelib import losses, metrics, models, objectives, plots, pretrained
from vaelib.checkpoint import CheckpointError
from vaelib.data import DataError, ImageData, load
from vaelib.models import VAE, ConvSpec, load_model, save_model
from vaelib.pretrained import load_pretrained
from vaelib.train import History, TrainingError, fit

__version__ = "1.0.0"

__all__ = [
    "VAE",
    "CheckpointError",
    "ConvSpec",
    "DataError",
    "History",
    "ImageData",
    "TrainingError",
    "fit",
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
]

"""What several test files need: a tiny run, a model's weights in one piece, a study's results."""

import json
import os
from pathlib import Path

import torch

from notebooks import ROOT

REAL = Path(os.environ.get("VAELIB_DATA", "/nowhere"))

# a run on a folder of pictures that takes a second; what is more goes to its last section
TINY = """
[configuration]
dataset = folder
path = {images}
image_size = 8
colour = no
[architecture]
conv_channels = [4]
z_dimension = 2
hidden = [8]
likelihood = bernoulli
[hyperparameters]
batch_size = 16
beta = 4
epochs = {epochs}
"""


def weights(model):
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def results(name: str) -> dict:
    """What the study ``name`` measured, as the book's pages quote it."""
    return json.loads((ROOT / "book" / "results" / f"{name}.json").read_text())

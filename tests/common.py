"""What several test files need: a model's weights in one piece, and where real data sets lie."""

import os
from pathlib import Path

import torch

REAL = Path(os.environ.get("VAELIB_DATA", "/nowhere"))


def weights(model):
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

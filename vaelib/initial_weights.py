"""The weights that a model starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn


def initialise(model: nn.Module, gain: float, heads: Sequence[nn.Module]) -> None:
    """Draw weights that keep the variance from layer to layer, those of ``heads`` without ``gain``.

    PyTorch's own start a VAE slowly. Biases are 0. Source: He et al. (2015).

    >>> layer = nn.Linear(10000, 100)
    >>> initialise(layer, gain=2**0.5, heads=[])
    >>> round(10000 * layer.weight.var().item(), 1)
    2.0
    """
    for layer in model.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            # each output cell is reached by in * k^2 / s^2 weights
            fan_in = layer.in_channels * math.prod(layer.kernel_size) / math.prod(layer.stride)
        elif isinstance(layer, (nn.Conv2d, nn.Linear)):
            fan_in = layer.weight[0].numel()
        else:
            continue
        nn.init.normal_(layer.weight, std=(1.0 if layer in heads else gain) / math.sqrt(fan_in))
        layer.bias.data.zero_()  # type: ignore[union-attr]  # all have one

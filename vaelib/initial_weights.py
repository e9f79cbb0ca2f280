"""The weights that a model starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def initialise(
    model: nn.Module, activation: str, heads: Sequence[nn.Module], slope: float = 0.0
) -> None:
    """Draw weights that keep the variance from layer to layer; biases are 0.

    PyTorch's own start a VAE slowly. With "relu" a weight has the variance 2 / inputs, of a leaky
    one 2 / (1 + ``slope``^2) / inputs, and 1 / inputs in ``heads``, which no activation follows (He
    et al., 2015); with "tanh", whose slope at 0 is 1, 2 / (inputs + outputs) everywhere (Glorot &
    Bengio, 2010, equation 16).

    >>> layer = nn.Linear(10000, 100)
    >>> initialise(layer, "relu", heads=[])
    >>> round(10000 * layer.weight.var().item(), 1)
    2.0
    """
    for layer in model.modules():
        if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            continue
        inputs, outputs = _fans(layer)
        if activation == "tanh":
            variance = 2 / (inputs + outputs)
        else:
            variance = (1 if layer in heads else 2 / (1 + slope**2)) / inputs
        if not layer.weight.is_meta:  # there PyTorch would import its compiler first
            nn.init.normal_(layer.weight, std=math.sqrt(variance))
        layer.bias.data.zero_()  # type: ignore[union-attr]  # all have one


def start_at_mean(model: nn.Module, images: Tensor) -> None:
    """Let every decoded image start near the mean of ``images`` (N, C, H, W), by the last bias.

    ``model`` is a `VAE`. The bias is the mean's logits for Bernoulli pixels, the mean for others;
    of each pixel where the decoder ends in a dense layer, of each channel where it ends in a
    convolution. A model then need not spend its first epochs on it.

    >>> import vaelib
    >>> model = vaelib.VAE((1, 2, 2), latent_dim=2, convs=(), hidden=8)
    >>> start_at_mean(model, torch.full((5, 1, 2, 2), 51, dtype=torch.uint8))
    >>> model.decoder[-2].bias.detach().sigmoid()
    tensor([0.2000, 0.2000, 0.2000, 0.2000])
    """
    mean = images.mean(0, dtype=torch.float64) / (255 if images.dtype == torch.uint8 else 1)
    last = last_layer(model)
    mean = mean.flatten() if isinstance(last, nn.Linear) else mean.mean((1, 2))
    if "bernoulli" in str(model.likelihood):
        # a pixel that is never on would need a logit of minus infinity
        mean = mean.clamp(1e-3, 1 - 1e-3).logit()
    with torch.no_grad():
        last.bias.copy_(mean)  # type: ignore[operator]


def last_layer(model: nn.Module) -> nn.Module:
    """The last layer of a `VAE`'s decoder that has weights.

    >>> import vaelib
    >>> last_layer(vaelib.VAE((1, 2, 2), latent_dim=2, convs=(), hidden=8))
    Linear(in_features=8, out_features=4, bias=True)
    """
    decoder = model.get_submodule("decoder").children()
    return [layer for layer in decoder if hasattr(layer, "weight")][-1]


def _fans(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> tuple[float, float]:
    """How many inputs reach one output, and how many outputs one input."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    size, stride = math.prod(layer.kernel_size), math.prod(layer.stride)
    # a convolution skips by its stride; where it is transposed, what it writes to does
    skipped = (stride, 1) if isinstance(layer, nn.ConvTranspose2d) else (1, stride)
    inputs, outputs = layer.in_channels * size, layer.out_channels * size
    return inputs / skipped[0], outputs / skipped[1]

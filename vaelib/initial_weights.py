"""The weights that a model starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaelib.checks import check_images

# of `start_at_line`: the least scale, in pixels of [0, 1]; a variance that is none; how many images
# its axes are fitted to
HALF_A_LEVEL, TINY, LINE_IMAGES = 0.5 / 255, 1e-12, 20_000


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
    images = _checked(model, images)
    mean = images.mean(0, dtype=torch.float64) / (255 if images.dtype == torch.uint8 else 1)
    last = last_layer(model)
    mean = mean.flatten() if isinstance(last, nn.Linear) else mean.mean((1, 2))
    if "bernoulli" in str(model.likelihood):
        # a pixel that is never on would need a logit of minus infinity
        mean = mean.clamp(1e-3, 1 - 1e-3).logit()
    with torch.no_grad():
        last.bias.copy_(mean)  # type: ignore[operator]


@torch.no_grad()
def start_at_line(model: Any, images: Tensor) -> None:
    """Let a model with latents as a map start as the best linear VAE of patches (thm:linear-vae).

    ``model`` is a `VAE` of ``images``, (N, C, H, W), with ``latent_map``, ReLUs and one scale for
    all pixels. Its first convolution cuts them into patches, the others keep the grid. Patches
    enter along their principal axes, with both signs, and as relu(a) - relu(-a) = a, the network
    is a straight line at first. Channels beyond twice a place's latents keep the weights that were
    drawn; they reach neither code nor image before training lets them. A scale that is learnt
    starts at its optimum, what the axes leave out, but at no less than half a grey level. Train on
    in small steps: rates far above 1e-4 lose the line. Raises ValueError for a model of another
    kind. Source: Tipping & Bishop (1999), section 3.2, for the line.

    >>> import vaelib
    >>> images = vaelib.load("sprites", image_size=32).held_out()[0]
    >>> convs = [vaelib.ConvSpec(32, kernel_size=4, stride=4, padding=0)]
    >>> kind = {"likelihood": "discretised-logistic", "latent_map": True}
    >>> model = vaelib.VAE((1, 32, 32), 16 * 8 * 8, convs, hidden=(), **kind)
    >>> start_at_line(model, images)
    >>> bool((model.reconstruct(images[:9]) - images[:9] / 255).abs().max() < 0.02)
    True
    """
    check_line(model)
    encoder, decoder = _weighted(model, "encoder"), _weighted(model, "decoder")
    first, last, to_mean, to_log_var = encoder[0], decoder[-1], model.to_mean, model.to_log_var
    d, log_sigma = model.latent_shape[0], model.log_sigma
    mean, variances, axes = _principal_axes(_checked(model, images), first.kernel_size)
    # the variance of a logistic of scale s is (pi s)^2 / 3
    of_square = math.pi**2 / 3 if model.likelihood == "discretised-logistic" else 1.0
    if isinstance(model.sigma, str):
        left_out = variances[d:].sum().item() / max(len(variances) - d, 1)
        log_sigma.fill_(math.log(max(math.sqrt(left_out / of_square), HALF_A_LEVEL)))
    noise = of_square * math.exp(2 * log_sigma.item())
    variances, axes = variances[:d], axes[:d]
    w = (variances - noise).clamp(min=0).sqrt()
    signs = torch.cat([eye := torch.eye(d, dtype=torch.float64), -eye])  # (2 d, d)

    first.weight[: 2 * d] = torch.tensordot(signs, axes, 1)
    first.bias[: 2 * d] = -first.weight[: 2 * d].cpu().double().sum((2, 3)) @ mean
    decoder[0].weight[: 2 * d, :, 0, 0] = signs
    for layer in encoder[1:]:
        _pass_on(layer.weight, 2 * d)
    for layer in decoder[1:-1]:
        _pass_on(layer.weight.transpose(0, 1), 2 * d)  # a transposed one has its inputs first
    for layer in (to_mean.weight, to_log_var.weight, last.weight):
        layer.zero_()
    to_mean.weight[:, : 2 * d, 0, 0] = (signs * (w / variances)).T
    to_log_var.bias.copy_((noise / variances).clamp(max=1).log())
    last.weight[: 2 * d] = torch.tensordot(signs * w, axes, 1)
    last.bias.copy_(mean)


def check_line(model: Any) -> None:
    """ValueError, in one line, for a model that `start_at_line` can't start; needs no images."""
    if not model.latent_map or model.activation != "relu" or not hasattr(model, "log_sigma"):
        what = "latents as a map, relu, and the likelihood gaussian or discretised-logistic"
        raise ValueError(f"to start at a line a model needs {what}")
    first, *others = model.convs
    if first.kernel_size != first.stride or first.padding != (0, 0):
        raise ValueError(
            "to start at a line the first convolution must cut the image into patches: its stride "
            f"as large as its kernel, no padding; got {first}"
        )
    for number, conv in enumerate(others, start=2):
        keeps = tuple(2 * p + 1 for p in conv.padding) == conv.kernel_size
        if not keeps or conv.stride != (1, 1):
            what = "a stride of 1, an odd kernel and half of it as padding"
            raise ValueError(
                f"to start at a line convolution {number} must keep the grid: {what}; got {conv}"
            )
    channels, patch = min(conv.channels for conv in model.convs), math.prod(first.kernel_size)
    latents, most = model.latent_shape[0], model.image_shape[0] * patch
    if channels < 2 * latents or latents > most:
        raise ValueError(
            f"to start at a line a place has at most as many latents as half of any convolution's "
            f"channels, {channels // 2}, and as its patch has values, {most}; got {latents}"
        )


def _checked(model: Any, images: Tensor) -> Tensor:
    """The images, if they are the model's, on the CPU: mps has no float64."""
    levels = getattr(images, "dtype", None) == torch.uint8  # read in double precision below
    dtype = torch.float32 if levels else model.to_mean.weight.dtype
    check_images(images, model.image_shape, model.likelihood, dtype)
    return images.cpu()


def _principal_axes(images: Tensor, patch: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,) of the pixels, variances (D,) of patches, descending, and their axes (D, C, h, w).

    About the channels' means: a convolution's bias has one number a channel.
    """
    images = images[:LINE_IMAGES].cpu()
    full = 255 if images.dtype == torch.uint8 else 1
    mean = images.mean((0, 2, 3), dtype=torch.float64) / full
    square, n = 0.0, 0
    for part in images.split(1000):
        x = (part.cpu().double() / full - mean.view(-1, 1, 1)).unfold(2, patch[0], patch[0])
        rows = x.unfold(3, patch[1], patch[1]).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
        square, n = square + rows.T @ rows, n + len(rows)
    variances, axes = torch.linalg.eigh(square / n)
    axes = axes.flip(1).T.unflatten(1, (len(mean), *patch))
    return mean, variances.flip(0).clamp(min=TINY), axes


def _pass_on(weight: Tensor, channels: int) -> None:
    """The first ``channels`` outputs of a convolution, (out, in, h, w), become its first inputs."""
    weight[:channels] = 0
    centre = weight[:channels, :channels, weight.shape[2] // 2, weight.shape[3] // 2]
    centre.fill_diagonal_(1)


def _weighted(model: nn.Module, part: str) -> list[Any]:
    return [layer for layer in model.get_submodule(part).children() if hasattr(layer, "weight")]


def last_layer(model: nn.Module) -> nn.Module:
    """The last layer of a `VAE`'s decoder that has weights.

    >>> import vaelib
    >>> last_layer(vaelib.VAE((1, 2, 2), latent_dim=2, convs=(), hidden=8))
    Linear(in_features=8, out_features=4, bias=True)
    """
    return _weighted(model, "decoder")[-1]


def _fans(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> tuple[float, float]:
    """How many inputs reach one output, and how many outputs one input."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    size, stride = math.prod(layer.kernel_size), math.prod(layer.stride)
    # a convolution skips by its stride; where it is transposed, what it writes to does
    skipped = (stride, 1) if isinstance(layer, nn.ConvTranspose2d) else (1, stride)
    inputs, outputs = layer.in_channels * size, layer.out_channels * size
    return inputs / skipped[0], outputs / skipped[1]

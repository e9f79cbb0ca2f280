"""Arguments out of range, refused in one line: what was given, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real

import torch
from torch import Tensor

from vaelib.choices import ACTIVATIONS, LIKELIHOODS, SIGMA_WORDS


def check_whole(name: str, value: object, least: int = 1) -> None:
    """ValueError unless ``value`` is a whole number, at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")
    if value >= 2**63:
        raise ValueError(f"{name} must be below 2^63; got {value!r}")


def check_weight(name: str, value: object) -> None:
    """ValueError unless ``value`` is a finite number, at least 0, or a function of the step."""
    if not callable(value) and not (isinstance(value, Real) and 0 <= float(value) < math.inf):
        what = f"{name} must be a number at least 0, or a function of the step"
        raise ValueError(f"{what}; got {value!r}")


def check_rate(name: str, value: object) -> None:
    """ValueError unless ``value`` is a finite number above 0, or a function of the step."""
    if not callable(value) and not (isinstance(value, Real) and 0 < float(value) < math.inf):
        what = f"{name} must be a positive number, or a function of the step"
        raise ValueError(f"{what}; got {value!r}")


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """ValueError unless ``value`` is one of the words in ``allowed``."""
    words = tuple(allowed)
    if value not in words:
        either = " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
        raise ValueError(f"{name} must be {either}; got {value!r}")


def check_images(
    images: Tensor, image_shape: Sequence[int], likelihood: str, dtype: torch.dtype
) -> None:
    """ValueError unless a model of ``likelihood`` and weights ``dtype`` can take ``images``.

    That is uint8 (N, C, H, W), levels 0 to 255, or floats of the model's type; finite, and in
    [0, 1] but for the Gaussian, whose pixels may be any numbers.
    """
    if not isinstance(images, Tensor):
        hint = ": torch.from_numpy(images)" * (type(images).__name__ == "ndarray")
        raise ValueError(f"images must be a torch.Tensor; got {type(images).__name__}{hint}")
    if images.is_nested or images.layout != torch.strided:
        raise ValueError("images must be a dense tensor: images.to_dense()")
    shape, given = tuple(image_shape), tuple(images.shape)
    if len(given) != 4 or given[1:] != shape or not given[0]:
        hint = ""
        if given[1:] == shape[1:] and shape[0] == 1:
            hint = "; images.unsqueeze(1) adds the channel"
        elif given[1:] == (*shape[1:], shape[0]):
            hint = "; images.permute(0, 3, 1, 2) puts the channels first"
        what = f"images must be (N, {', '.join(map(str, shape))}), at least one"
        raise ValueError(f"{what}; got {given}{hint}")
    kind = str(dtype).removeprefix("torch.")
    if images.dtype == torch.uint8 and dtype == torch.float32:
        return
    if images.dtype == torch.uint8:
        what = f"images of a model in {kind} must be {kind}; got torch.uint8"
        raise ValueError(f"{what}: images.to(torch.{kind}) / 255")
    if images.dtype != dtype:
        of_levels = "images.to(torch.uint8) makes them so, if they are levels 0 to 255"
        hint = "images.float()" if images.is_floating_point() else of_levels
        hint = "255 * images.to(torch.uint8)" if images.dtype == torch.bool else hint
        raise ValueError(f"images must be uint8 or {kind}; got {images.dtype}: {hint}")
    least, most = (value.item() for value in images.detach().aminmax())
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ValueError(f"images must be finite; their least is {least}, their greatest {most}")
    if likelihood != "gaussian" and not (least >= 0 and most <= 1):
        what = f"pixels of a {likelihood} model must be in [0, 1], or uint8 levels"
        raise ValueError(f"{what}; these go from {least:.9g} to {most:.9g}")


def check_model(
    image_shape: Sequence[int],
    latent_dim: int,
    hidden: Sequence[int],
    likelihood: str,
    activation: str,
    sigma: float | str,
) -> None:
    """ValueError unless these are the arguments of a `VAE`."""
    if len(image_shape) != 3 or not all(isinstance(n, int) and n >= 1 for n in image_shape):
        what = "image_shape must be (channels, height, width), each at least 1"
        raise ValueError(f"{what}; got {image_shape!r}")
    for name, value in [("latent_dim", latent_dim), *(("hidden", width) for width in hidden)]:
        check_whole(name, value)
    check_choice("likelihood", likelihood, LIKELIHOODS)
    check_choice("activation", activation, ACTIVATIONS)
    words = SIGMA_WORDS.get(likelihood, ("learnt",))
    if sigma not in words and not (isinstance(sigma, (int, float)) and sigma > 0):
        what = f"sigma must be a positive number or one of {', '.join(words)}"
        raise ValueError(f"{what}; got {sigma!r}")


def check_latent_map(latent_dim: int, sizes: Sequence[tuple[int, int]], hidden: tuple) -> None:
    """ValueError unless the grid of the last convolution can hold ``latent_dim`` latents.

    ``sizes`` are the heights and widths of the image and after each convolution.
    """
    height, width = sizes[-1]
    if len(sizes) == 1 or hidden:
        what = "latents as a map need a convolution, and hidden = (): dense layers lose the places"
        raise ValueError(f"{what}; got {len(sizes) - 1} convolutions and hidden = {hidden}")
    if latent_dim % (places := height * width):
        near = max(round(latent_dim / places), 1) * places
        what = f"latent_dim must be a multiple of the {height}x{width} places, such as {near}"
        raise ValueError(f"{what}; got {latent_dim}")

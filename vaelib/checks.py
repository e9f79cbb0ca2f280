"""Arguments out of range, refused in one line: what was given, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vaelib.choices import ACTIVATIONS, LIKELIHOODS, SIGMA_WORDS


def check_whole(name: str, value: object, least: int = 1) -> None:
    """ValueError unless ``value`` is a whole number, at least ``least``."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")


def check_weight(name: str, value: object) -> None:
    """ValueError unless ``value`` is a finite number, at least 0, or a function of the step."""
    if not callable(value) and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
        what = f"{name} must be a number at least 0, or a function of the step"
        raise ValueError(f"{what}; got {value!r}")


def check_rate(name: str, value: object) -> None:
    """ValueError unless ``value`` is a finite number above 0, or a function of the step."""
    if not callable(value) and not (isinstance(value, (int, float)) and 0 < value < math.inf):
        what = f"{name} must be a positive number, or a function of the step"
        raise ValueError(f"{what}; got {value!r}")


def check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    """ValueError unless ``value`` is one of the words in ``allowed``."""
    words = tuple(allowed)
    if value not in words:
        either = " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
        raise ValueError(f"{name} must be {either}; got {value!r}")


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

"""Convolutions: `ConvSpec`, the arithmetic of their sizes, and the decoder that mirrors them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import nn

from vaelib.checks import check_whole
from vaelib.conv_transpose import ConvTransposeToOne

Size = tuple[int, int]  # height and width


@dataclass(frozen=True)
class ConvSpec:
    """One convolution of the encoder.

    ``kernel_size``, ``stride`` and ``padding`` are whole numbers or (height, width) pairs.

    >>> ConvSpec(32, kernel_size=4, stride=2, padding=1).output_size((28, 28))
    (14, 14)
    """

    channels: int
    kernel_size: int | Size = 4
    stride: int | Size = 2
    padding: int | Size = 1

    def __post_init__(self):
        check_whole("channels", self.channels)
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, _pair(getattr(self, name), name, least))

    def output_size(self, size: Size) -> Size:
        """Height and width after the convolution (eq:conv-size); ValueError where it can't fit."""
        if any(k > n + 2 * p for n, k, _, p in self._axes(size)):
            fits = [n + 2 * p for n, _, _, p in self._axes(size)]
            needs = [max(p, math.ceil((k - n) / 2)) for n, k, _, p in self._axes(size)]
            kernel, padding = _by(self.kernel_size), _by(self.padding)
            raise ValueError(
                f"kernel {kernel} with padding {padding} does not fit its {_by(size)} input: "
                f"a kernel of at most {_by(fits)} would, or a padding of at least {_by(needs)}"
            )
        height, width = ((n + 2 * p - k) // s + 1 for n, k, s, p in self._axes(size))
        return height, width

    def output_padding(self, size: Size) -> Size:
        """The rows and columns the mirror must add to come back to ``size`` (eq:deconv-size)."""
        height, width = ((n + 2 * p - k) % s for n, k, s, p in self._axes(size))
        return height, width

    def _axes(self, size: Size) -> list[tuple[int, int, int, int]]:
        return list(zip(size, self.kernel_size, self.stride, self.padding))  # type: ignore[arg-type]  # pairs by now


def _by(size: Any) -> str:
    return f"{size[0]}x{size[1]}"


def _pair(value: int | Sequence[int], name: str, least: int) -> Size:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= least for v in pair):
        what = f"{name} must be a whole number or a pair of them, each at least {least}"
        raise ValueError(f"{what}; got {value!r}")
    return pair


def conv_sizes(image_shape: Sequence[int], convs: Sequence[ConvSpec]) -> list[Size]:
    """Height and width of the image and after each convolution (eq:conv-size).

    Raises ValueError naming the layer that does not fit.

    >>> conv_sizes((1, 28, 28), [ConvSpec(32), ConvSpec(64)])
    [(28, 28), (14, 14), (7, 7)]
    """
    sizes = [(image_shape[1], image_shape[2])]
    for number, conv in enumerate(convs, start=1):
        try:
            sizes.append(conv.output_size(sizes[-1]))
        except ValueError as error:
            raise ValueError(f"convolution {number} of {len(convs)}: {error}") from None
    return sizes


def conv_layers(
    convs: Sequence[ConvSpec], channels: Sequence[int], activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    """The convolutions, each with its activation; ``channels`` begins with the image's."""
    layers: list[nn.Module] = []
    for conv, before, after in zip(convs, channels, channels[1:]):
        convolution = nn.Conv2d(before, after, conv.kernel_size, conv.stride, conv.padding)
        layers += [convolution, activation()]
    return layers


def mirrored_layers(
    convs: Sequence[ConvSpec],
    channels: Sequence[int],
    sizes: Sequence[Size],
    activation: Callable[[], nn.Module],
) -> list[nn.Module]:
    """The transposed convolutions that lead back through ``sizes``, each with its activation."""
    layers: list[nn.Module] = []
    for conv, before, after, size in zip(convs, channels, channels[1:], sizes):
        kind = ConvTransposeToOne if before == 1 else nn.ConvTranspose2d
        shape = conv.kernel_size, conv.stride, conv.padding, conv.output_padding(size)
        layers = [kind(after, before, *shape), activation(), *layers]
    return layers


def dense_layers(widths: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Dense layers from width to width, each with its activation."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return layers

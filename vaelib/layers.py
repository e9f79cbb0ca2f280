"""Convolutions: `ConvSpec`, the arithmetic of their sizes, the decoder that mirrors them, and its
quick last layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ConvSpec:
    """One convolution of the encoder; kernel_size, stride and padding are whole numbers or (height,
    width) pairs.
    """

    channels: int
    kernel_size: int | tuple[int, int] = 4
    stride: int | tuple[int, int] = 2
    padding: int | tuple[int, int] = 1

    def __post_init__(self):
        if not (isinstance(self.channels, int) and self.channels >= 1):
            raise ValueError(f"channels must be a whole number, at least 1; got {self.channels!r}")
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, _pair(getattr(self, name), name, least))

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width after the convolution (eq:conv-size); ValueError when the kernel is too
        large for them.
        """
        if any(k > n + 2 * p for n, k, p in zip(size, self.kernel_size, self.padding)):
            fits = tuple(n + 2 * p for n, p in zip(size, self.padding))
            needs = tuple(
                max(p, math.ceil((k - n) / 2))
                for n, k, p in zip(size, self.kernel_size, self.padding)
            )
            raise ValueError(
                f"kernel {_by(self.kernel_size)} with padding {_by(self.padding)} does not fit its {_by(size)} input: "
                f"a kernel of at most {_by(fits)} would, or a padding of at least {_by(needs)}"
            )
        return tuple(
            (n + 2 * p - k) // s + 1
            for n, k, s, p in zip(size, self.kernel_size, self.stride, self.padding)
        )

    def output_padding(self, size: tuple[int, int]) -> tuple[int, int]:
        """The rows and columns the mirrored convolution must add to come back to ``size``
        (eq:deconv-size).
        """
        return tuple(
            (n + 2 * p - k) % s
            for n, k, s, p in zip(size, self.kernel_size, self.stride, self.padding)
        )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _pair(value: int | Sequence[int], name: str, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, int) and v >= least for v in pair):
        raise ValueError(
            f"{name} must be a whole number or a pair of them, each at least {least}; got {value!r}"
        )
    return pair


def conv_sizes(image_shape: Sequence[int], convs: Sequence[ConvSpec]) -> list[tuple[int, int]]:
    """Height and width of the image and after each convolution (eq:conv-size); ValueError naming
    the layer that fails.
    """
    sizes = [tuple(image_shape[1:])]
    for number, conv in enumerate(convs, start=1):
        try:
            sizes.append(conv.output_size(sizes[-1]))
        except ValueError as error:
            raise ValueError(f"convolution {number} of {len(convs)}: {error}") from None
    return sizes


def conv_layers(convs, channels, activation) -> list[nn.Module]:
    layers = []
    for conv, before, after in zip(convs, channels, channels[1:]):
        layers += [
            nn.Conv2d(before, after, conv.kernel_size, conv.stride, conv.padding),
            activation(),
        ]
    return layers


def mirrored_layers(convs, channels, sizes, activation) -> list[nn.Module]:
    layers = []
    for conv, before, after, size in zip(convs, channels, channels[1:], sizes):
        kind = ConvTransposeToOne if before == 1 else nn.ConvTranspose2d
        mirrored = kind(
            after, before, conv.kernel_size, conv.stride, conv.padding, conv.output_padding(size)
        )
        layers = [mirrored, activation(), *layers]
    return layers


def dense_layers(widths, activation) -> list[nn.Module]:
    layers = []
    for before, after in zip(widths, widths[1:]):
        layers += [nn.Linear(before, after), activation()]
    return layers


class ConvTransposeToOne(nn.ConvTranspose2d):
    """A transposed convolution to one channel: a matrix product makes each cell's patch, and
    patches add up where they overlap.

    On a CPU, with a stride, this is faster than nn.ConvTranspose2d, which is made for many
    channels; elsewhere it is that. The numbers are the same to rounding, and so are the weights.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or math.prod(self.stride) == 1:
            return super().forward(x)
        lengths = zip(x.shape[2:], self.stride, self.padding, self.kernel_size, self.output_padding)
        size = [(n - 1) * s - 2 * p + k + a for n, s, p, k, a in lengths]  # eq:deconv-size
        patches = self.weight.flatten(1).T @ x.flatten(2)  # (N, kernel cells, input cells)
        add_up = _AddUp.apply if patches.requires_grad else F.fold
        return add_up(
            patches, size, self.kernel_size, 1, self.padding, self.stride
        ) + self.bias.view(1, 1, 1)


class _AddUp(torch.autograd.Function):
    """F.fold to one channel; its gradient is cut out of the image's in one go, where PyTorch's
    takes image after image.
    """

    @staticmethod
    def forward(ctx, patches, size, kernel_size, dilation, padding, stride):
        ctx.geometry = kernel_size, padding, stride
        return F.fold(patches, size, kernel_size, dilation, padding, stride)

    @staticmethod
    def backward(ctx, gradient):
        (height, width), (above, left), (down, right) = ctx.geometry
        padded = F.pad(gradient, (left, left, above, above))
        cut = padded.unfold(2, height, down).unfold(
            3, width, right
        )  # (N, 1, input height, width, kernel height, width)
        return cut.flatten(4).flatten(1, 3).mT, None, None, None, None, None

"""`ConvTransposeToOne`: the decoder's last layer for grey images, quick on a CPU."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvTransposeToOne(nn.ConvTranspose2d):
    """A transposed convolution to one channel: a matrix product, then patches that add up.

    On a CPU, with a stride, this is faster than nn.ConvTranspose2d, which is made for many
    channels; elsewhere it is that. The numbers are the same to rounding, and so are the weights.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # without an output_size
        if x.device.type != "cpu" or math.prod(self.stride) == 1:
            return super().forward(x)
        strides, kernel, more = self.stride, self.kernel_size, self.output_padding
        padding: tuple[int, ...] = self.padding  # type: ignore[assignment]  # a word only in Conv2d
        lengths = zip(x.shape[2:], strides, padding, kernel, more)
        size = tuple((n - 1) * s - 2 * p + k + a for n, s, p, k, a in lengths)  # eq:deconv-size
        patches = self.weight.flatten(1).T @ x.flatten(2)  # (N, kernel cells, input cells)
        add_up = _AddUp.apply if patches.requires_grad else F.fold
        image = add_up(patches, size, kernel, 1, padding, strides)
        return image if self.bias is None else image + self.bias.view(1, 1, 1)


class _AddUp(torch.autograd.Function):
    """F.fold to one channel; its gradient is cut out of the image's in one go.

    PyTorch's own takes image after image.
    """

    @staticmethod
    def forward(ctx, patches, size, kernel_size, dilation, padding, stride):
        ctx.geometry = kernel_size, padding, stride
        return F.fold(patches, size, kernel_size, dilation, padding, stride)

    @staticmethod
    def backward(ctx, gradient):
        (height, width), (above, left), (down, right) = ctx.geometry
        padded = F.pad(gradient, (left, left, above, above))
        # (N, 1, input height, width, kernel height, width)
        cut = padded.unfold(2, height, down).unfold(3, width, right)
        return cut.flatten(4).flatten(1, 3).mT, None, None, None, None, None

"""Sprites: squares, ellipses and hearts drawn on demand, each image made of known factors."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vaelib.choices import SPRITE_SIZES, SPRITES_OPTIONS
from vaelib.data.factors import FactorImages

FACTOR_NAMES = ("shape", "scale", "orientation", "x", "y")
FACTOR_SIZES = (3, 6, 40, 32, 32)
HUES = 10

AREA = 0.07  # of every shape at scale 1, of the image's; at 64 pixels the square's side is 17
SQUARE = math.sqrt(AREA) / 2  # half the side
ELLIPSE = (math.sqrt(2 * AREA / math.pi), math.sqrt(AREA / (2 * math.pi)))  # half axes, 2 : 1
HEART = math.sqrt(AREA / (2 + math.pi / 2))  # half the diagonal of the square inside it
# its centre of mass above that square's, in units of HEART
HEART_CENTRE = (1 / 3 + math.pi / 4) / (2 + math.pi / 2)
CHUNK = 2**22  # pixels drawn at a time: a large batch needs little more memory than its images


def sprites(
    image_size: int = SPRITES_OPTIONS["image_size"],
    antialias: bool = False,
    colour: bool = SPRITES_OPTIONS["colour"],
) -> FactorImages:
    """Squares, ellipses and hearts drawn on demand, over dSprites' factors (Matthey et al., 2017).

    ``shape`` 3 (square, ellipse, heart); ``scale`` 6, from 0.5 to 1; ``orientation`` 40,
    anticlockwise by 2 pi k / 40; ``x`` (to the right) and ``y`` (downwards) 32 each, the sprite's
    centre of mass from 1/4 to 3/4 of the picture, so that no sprite is cut. ``image_size`` is 32 or
    64. A pixel is white when its centre is inside; with ``antialias`` it is grey by the part that
    is. ``colour`` adds a factor ``hue`` of 10 and draws in that fully saturated hue on black.
    Unlike dSprites all three shapes have the same area at the same scale, and the 40 orientations
    are distinct: those of dSprites include 0 and 2 pi both. A square still repeats every 10
    orientations, an ellipse every 20; and of the black-and-white pictures of 32 pixels about 4 %
    equal that of a neighbour in the grid.

    >>> drawn = sprites(image_size=32)
    >>> heart = torch.tensor([[2, 5, 0, 16, 16]])  # the largest, upright, in the middle
    >>> drawn.images(heart).shape, len(drawn)
    (torch.Size([1, 1, 32, 32]), 737280)
    """
    size = checked_size(image_size)
    draw = partial(_draw_white, size=size, antialias=antialias)
    if not colour:
        white = (1, size, size), FACTOR_NAMES, FACTOR_SIZES
        return FactorImages("sprites", *white, draw, binary=not antialias)
    names, sizes = (*FACTOR_NAMES, "hue"), (*FACTOR_SIZES, HUES)
    draw = partial(_draw_coloured, white=draw)
    return FactorImages("sprites", (3, size, size), names, sizes, draw, binary=False)


def _draw_white(factors: Tensor, size: int, antialias: bool) -> Tensor:
    images = torch.empty(len(factors), 1, size, size, dtype=torch.uint8, device=factors.device)
    for shape, signed_distance in enumerate(SHAPES.values()):
        for rows in (factors[:, 0] == shape).nonzero().flatten().split(CHUNK // size**2):
            u, v, scale = _own_axes(factors[rows], size)
            distance = signed_distance(u, v)
            if antialias:  # the pixel is taken to be cut by a straight edge at this distance
                levels = distance.mul_(-255 * size * scale[:, None, None]).add_(128)
                images[rows, 0] = levels.clamp_(0, 255).to(torch.uint8)
            else:
                images[rows, 0] = (distance < 0).to(torch.uint8).mul_(255)
    return images


def _draw_coloured(factors: Tensor, white: Callable[[Tensor], Tensor]) -> Tensor:
    hue = torch.arange(HUES, dtype=torch.float32) * 6 / HUES
    thirds = torch.tensor([0.0, 2.0, 4.0])  # red, green, blue on a circle of length 6
    away = torch.remainder(hue[:, None] - thirds + 3, 6).sub_(3).abs_()
    rgb = (2 - away).clamp_(0, 1).to(factors.device)[factors[:, 5]]
    return (white(factors[:, :5]) * rgb[:, :, None, None]).round_().to(torch.uint8)


def _own_axes(factors: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every pixel's centre in the sprite's axes at scale 1, u right, v up (n, H, W); its scale."""
    _, scale, turn, x, y = factors.unbind(1)
    scale = 0.5 + 0.1 * scale
    angle = turn * (math.tau / FACTOR_SIZES[2])
    cos, sin = (angle.cos() / scale)[:, None], (angle.sin() / scale)[:, None]
    pixels = (torch.arange(size, device=factors.device) + 0.5) / size
    right = pixels - (0.25 + 0.5 / 31 * x)[:, None]
    down = pixels - (0.25 + 0.5 / 31 * y)[:, None]
    u = (cos * right)[:, None, :] - (sin * down)[:, :, None]
    v = (-sin * right)[:, None, :] - (cos * down)[:, :, None]
    return u, v, scale


# Signed distances to the shapes' edges, negative inside; exact, or to first order in the distance,
# near an edge.


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs_(), v.abs_()).sub_(SQUARE)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    a, b = ELLIPSE
    u, v = u.square_().mul_(a**-2), v.square_().mul_(b**-2)
    gradient = (u * a**-2).add_(v, alpha=b**-2).sqrt_()  # of radius, times radius
    # 1 on the edge; not 0 at the centre, where the gradient is
    radius = u.add_(v).add_(1e-12).sqrt_()
    return (radius - 1).mul_(radius).div_(gradient)


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """A square on its corner, and on each of its upper sides a disc with that side as diameter."""
    u, v = u.abs_(), v.add_(HEART * HEART_CENTRE)
    square = (u + v.abs()).sub_(HEART).mul_(math.sqrt(0.5))
    from_disc = u.sub_(HEART / 2).square_().add_(v.sub_(HEART / 2).square_()).sqrt_()
    disc = from_disc.sub_(HEART * math.sqrt(0.5))
    return torch.minimum(square, disc)


SHAPES = {"square": _square, "ellipse": _ellipse, "heart": _heart}


def checked_size(image_size: int) -> int:
    """``image_size`` if sprites and dSprites come in it; ValueError otherwise."""
    if image_size not in SPRITE_SIZES:
        allowed = " or ".join(map(str, SPRITE_SIZES))
        raise ValueError(f"image_size must be {allowed}; got {image_size!r}")
    return image_size

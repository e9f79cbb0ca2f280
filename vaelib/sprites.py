"""Images indexed by known factors: sprites drawn on demand, and the published dSprites file, through one interface."""

from __future__ import annotations

import hashlib
import math
import os
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelib.data import DataError

FACTOR_NAMES = ("shape", "scale", "orientation", "x", "y")
FACTOR_SIZES = (3, 6, 40, 32, 32)
HUES = 10
IMAGE_SIZES = (32, 64)

AREA = 0.07  # of every shape at scale 1, in units of the image's; at 64 pixels the square's side is 17
SQUARE = math.sqrt(AREA) / 2  # half the side
ELLIPSE = (math.sqrt(2 * AREA / math.pi), math.sqrt(AREA / (2 * math.pi)))  # half axes, 2 : 1
HEART = math.sqrt(AREA / (2 + math.pi / 2))  # half the diagonal of the square inside it
HEART_CENTRE = (1 / 3 + math.pi / 4) / (2 + math.pi / 2)  # its centre of mass above that square's, in units of HEART
CHUNK = 2**22  # pixels drawn at a time, so that a large batch needs little more memory than its images

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
COMMIT = "google-deepmind/dsprites-dataset/fa310c66517cfc1939d77fe17c725154efc97127"
URL = f"https://raw.githubusercontent.com/{COMMIT}/{FILE}"
MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
PIECE = 4096  # images of it read at a time


@dataclass(frozen=True)
class FactorImages:
    """One image for each combination of factor values: ``draw`` makes uint8 images (n, C, H, W) of factors (n, F).

    The index of an image counts through the grid with the last factor fastest, which is the order of dSprites.
    """

    name: str
    image_shape: tuple[int, int, int]
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    draw: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return math.prod(self.factor_sizes)

    def images(self, factors: Tensor) -> Tensor:
        """The images of ``factors``, int64 (n, F): uint8 (n, C, H, W) on their device; ValueError for one out of range."""
        return self.draw(self._valid(factors))

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images and their factors, uniform over the grid, drawn from ``generator`` on its device."""
        indices = torch.randint(len(self), (n,), generator=generator, device=generator.device)
        factors = self.factors(indices)
        return self.draw(factors), factors

    def factors(self, indices: Tensor) -> Tensor:
        """The factor values, int64 (n, F), of the images with these ``indices`` (n,) in the grid; see `indices`."""
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(self):
            raise ValueError(f"indices must be 0 to {len(self) - 1}; got {int(indices.min())} to {int(indices.max())}")
        return torch.stack(torch.unravel_index(indices, self.factor_sizes), -1)

    def indices(self, factors: Tensor) -> Tensor:
        """The inverse of `factors`: (n, F) to int64 (n,)."""
        return _ravel(self._valid(factors), self.factor_sizes)

    def _valid(self, factors: Tensor) -> Tensor:
        if factors.ndim != 2 or factors.shape[1] != len(self.factor_sizes) or factors.is_floating_point():
            kind, names = f"{factors.dtype} {tuple(factors.shape)}", ", ".join(self.factor_names)
            raise ValueError(
                f"factors must be whole numbers (n, {len(self.factor_sizes)}), one column each of {names}; got {kind}"
            )
        sizes = torch.tensor(self.factor_sizes, device=factors.device)
        wrong = ((factors < 0) | (factors >= sizes)).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            raise ValueError(
                f"{self.factor_names[column]} must be 0 to {self.factor_sizes[column] - 1}; "
                f"got {int(factors[row, column])} in row {row}"
            )
        return factors.long()


def _ravel(factors: Tensor, sizes: tuple[int, ...]) -> Tensor:
    return sum(column * math.prod(sizes[i + 1 :]) for i, column in enumerate(factors.unbind(1)))


def sprites(image_size: int = 64, antialias: bool = False, colour: bool = False) -> FactorImages:
    """Squares, ellipses and hearts drawn on demand, over the factor grid of dSprites (Matthey et al., 2017).

    ``shape`` 3 (square, ellipse, heart); ``scale`` 6, from 0.5 to 1; ``orientation`` 40, anticlockwise by 2 pi k / 40;
    ``x`` (to the right) and ``y`` (downwards) 32 each, the sprite's centre of mass from 1/4 to 3/4 of the picture, so
    that no sprite is cut. ``image_size`` is 32 or 64. A pixel is white when its centre is inside; with ``antialias`` it
    is grey by the part that is. ``colour`` adds a factor ``hue`` of 10 and draws in that fully saturated hue on black.
    Unlike dSprites all three shapes have the same area at the same scale, and the 40 orientations are distinct: those
    of dSprites include 0 and 2 pi both. A square still repeats every 10 orientations, an ellipse every 20; and of the
    black-and-white pictures of 32 pixels about 4 % equal that of a neighbour in the grid.
    """
    size = _checked_size(image_size)
    draw = partial(_draw_white, size=size, antialias=antialias)
    if not colour:
        return FactorImages("sprites", (1, size, size), FACTOR_NAMES, FACTOR_SIZES, draw)
    names, sizes = (*FACTOR_NAMES, "hue"), (*FACTOR_SIZES, HUES)
    return FactorImages("sprites", (3, size, size), names, sizes, partial(_draw_coloured, white=draw))


def _draw_white(factors: Tensor, size: int, antialias: bool) -> Tensor:
    images = torch.empty(len(factors), 1, size, size, dtype=torch.uint8, device=factors.device)
    for shape, signed_distance in enumerate(SHAPES.values()):
        for rows in (factors[:, 0] == shape).nonzero().flatten().split(CHUNK // size**2):
            u, v, scale = _own_axes(factors[rows], size)
            distance = signed_distance(u, v)
            if antialias:  # the pixel is taken to be cut by a straight edge at this distance
                coverage = distance.mul_(-255 * size * scale[:, None, None]).add_(128).clamp_(0, 255)
                images[rows, 0] = coverage.to(torch.uint8)
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
    """Every pixel's centre in the sprite's own coordinates at scale 1, u to its right and v up (n, H, W); its scale (n,)."""
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


# Signed distances to the shapes' edges, negative inside; exact, or to first order in the distance, near an edge.


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs_(), v.abs_()).sub_(SQUARE)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    a, b = ELLIPSE
    u, v = u.square_().mul_(a**-2), v.square_().mul_(b**-2)
    gradient = (u * a**-2).add_(v, alpha=b**-2).sqrt_()  # of radius, times radius
    radius = u.add_(v).add_(1e-12).sqrt_()  # 1 on the edge; not 0 at the centre, where the gradient is
    return (radius - 1).mul_(radius).div_(gradient)


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """A square standing on its corner, and on each of its upper sides a disc with that side as diameter."""
    u, v = u.abs_(), v.add_(HEART * HEART_CENTRE)
    square = (u + v.abs()).sub_(HEART).mul_(math.sqrt(0.5))
    disc = u.sub_(HEART / 2).square_().add_(v.sub_(HEART / 2).square_()).sqrt_().sub_(HEART * math.sqrt(0.5))
    return torch.minimum(square, disc)


SHAPES = {"square": _square, "ellipse": _ellipse, "heart": _heart}


def dsprites(root: Path, download: bool = True, image_size: int = 64) -> FactorImages:
    """The published dSprites (Matthey et al., 2017) from ``root``, downloaded there (26 MB) when it is missing.

    The file's 3 GB of images are read as a stream and kept as bits, 377 MB in memory; with ``image_size`` 32 each pixel
    is white when at least two of its four are, 94 MB. Its orientations 0 and 39 are 0 and 2 pi: the same picture.
    Raises DataError when the file is missing, can't be downloaded, or does not have the published checksum.
    """
    size, path = _checked_size(image_size), root / FILE
    if not path.exists():
        _fetch(path, download)
    elif not _is_published(path):
        raise DataError(f"dsprites: {path} is truncated or corrupt; delete it and load again")
    bits, sizes = _read_npz(path, size)
    draw = partial(_unpack, bits=bits, sizes=sizes, size=size)
    return FactorImages("dsprites", (1, size, size), FACTOR_NAMES, sizes, draw)


def _unpack(factors: Tensor, bits: Tensor, sizes: tuple[int, ...], size: int) -> Tensor:
    rows = bits[_ravel(factors, sizes).to(bits.device)].to(factors.device)
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=rows.device)  # numpy packs the highest bit first
    return (rows[..., None] >> shifts).bitwise_and_(1).mul_(255).view(len(factors), 1, size, size)


def _fetch(path: Path, download: bool) -> None:
    hint = 'load("sprites") draws the same factors and needs no download'
    if not download:
        raise DataError(f"dsprites: not found under {path.parent} and download is off; {hint}")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=30) as answer, unfinished.open("wb") as file:
            while block := answer.read(2**20):
                file.write(block)
        if not _is_published(unfinished):
            raise OSError("what came has not the published checksum")
        os.replace(unfinished, path)
    except (OSError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"dsprites: not found under {path.parent} and the download failed ({reason}); {hint}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _is_published(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == MD5


def _read_npz(path: Path, size: int) -> tuple[Tensor, tuple[int, ...]]:
    """The images as packed bits, uint8 (N, size * size / 8), and the sizes of the factors after colour, which has one."""
    with zipfile.ZipFile(path) as archive:
        with archive.open("latents_classes.npy") as file:
            sizes = tuple(int(n) for n in np.lib.format.read_array(file).max(0)[1:] + 1)
        with archive.open("imgs.npy") as file:
            np.lib.format.read_magic(file)
            (n, *side), _, dtype = np.lib.format.read_array_header_1_0(file)
            if n != math.prod(sizes) or side != [64, 64] or dtype != np.uint8:
                raise DataError(f"dsprites: {path} holds {n} images {side} of {dtype}, not one for each of {sizes}")
            bits = np.empty((n, size * size // 8), dtype=np.uint8)
            for first in range(0, n, PIECE):
                rows = bits[first : first + PIECE]
                images = np.frombuffer(file.read(len(rows) * 64 * 64), dtype=np.uint8).reshape(-1, 64, 64)
                if size == 32:
                    images = images.reshape(-1, 32, 2, 32, 2).sum((2, 4)) >= 2
                rows[:] = np.packbits(images.reshape(len(rows), -1), axis=1)
    return torch.from_numpy(bits), sizes


def _checked_size(image_size: int) -> int:
    if image_size not in IMAGE_SIZES:
        raise ValueError(f"image_size must be {' or '.join(map(str, IMAGE_SIZES))}; got {image_size!r}")
    return image_size

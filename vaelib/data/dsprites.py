"""The published dSprites file, read as a stream of images with known factors."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelib.choices import IMAGE_SIZE
from vaelib.data.download import fetch
from vaelib.data.factors import FactorImages, ravel
from vaelib.data.images import DataError
from vaelib.data.sprites import FACTOR_NAMES, checked_size

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
COMMIT = "google-deepmind/dsprites-dataset/fa310c66517cfc1939d77fe17c725154efc97127"
URL = f"https://raw.githubusercontent.com/{COMMIT}/{FILE}"
MD5 = "7da33b31b13a06f4b04a70402ce90c2e"
PIECE = 4096  # images of it read at a time
MOST_FACTORS = 10**8  # bytes of a table of factors; the published one has 35 million
DAMAGES = (  # all that numpy and zipfile end in when a file is not what it should be
    *(OSError, KeyError, IndexError, ValueError, EOFError, MemoryError, zlib.error, TypeError),
    *(zipfile.BadZipFile, NotImplementedError, SyntaxError, OverflowError),
    *(tokenize.TokenError, RecursionError),  # numpy reads an array's header as Python's literals
)


def dsprites(root: Path, download: bool = True, image_size: int = IMAGE_SIZE) -> FactorImages:
    """The published dSprites (Matthey et al., 2017) from ``root``, or downloaded (26 MB).

    The file's 3 GB of images are read as a stream and kept as bits, 377 MB in memory; with
    ``image_size`` 32 each pixel is white when at least two of its four are, 94 MB. Its orientations
    0 and 39 are 0 and 2 pi: the same picture. Raises DataError when the file is missing, can't be
    downloaded, or does not have the published checksum.
    """
    from torchvision.datasets.utils import check_integrity  # a second to import

    size, path = checked_size(image_size), root / FILE
    if not path.exists():
        _fetch(path, download)
    elif not check_integrity(path, MD5):
        raise DataError(f"dsprites: {path} is truncated or corrupt; delete it and load again")
    try:
        bits, sizes = _read_npz(path, size)
    except DAMAGES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"dsprites: {path} has not the layout of dSprites ({reason})") from None
    draw = partial(_unpack, bits=bits, sizes=sizes, size=size)
    return FactorImages("dsprites", (1, size, size), FACTOR_NAMES, sizes, draw)


def _unpack(factors: Tensor, bits: Tensor, sizes: tuple[int, ...], size: int) -> Tensor:
    rows = bits[ravel(factors, sizes).to(bits.device)].to(factors.device)
    # numpy packs the highest bit first
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=rows.device)
    return (rows[..., None] >> shifts).bitwise_and_(1).mul_(255).view(len(factors), 1, size, size)


def _fetch(path: Path, download: bool) -> None:
    hint = 'load("sprites") draws the same factors and needs no download'
    if not download:
        raise DataError(f"dsprites: not found under {path.parent} and download is off; {hint}")
    try:
        fetch([URL], path, MD5)
    except OSError as error:
        what = f"dsprites: not found under {path.parent} and the download failed ({error})"
        raise DataError(f"{what}; {hint}") from None


def _read_npz(path: Path, size: int) -> tuple[Tensor, tuple[int, ...]]:
    """The images as packed bits, uint8 (N, size * size / 8), and the sizes of the factors.

    Of all but colour, which comes first and has one value.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("latents_classes.npy").file_size > MOST_FACTORS:
            raise ValueError("its latents_classes are too many")
        with archive.open("latents_classes.npy") as file:
            classes = np.lib.format.read_array(file)
            sizes = tuple(int(n) for n in classes.max(0)[1:] + 1)
        if min(sizes, default=0) < 1:
            raise ValueError(f"its factors have {sizes} values")
        places = np.ravel_multi_index(tuple(classes.T[1:]), sizes)
        if not np.array_equal(places, np.arange(math.prod(sizes))):
            raise ValueError("its images are not in the order of their factors")
        with archive.open("imgs.npy") as file:
            np.lib.format.read_magic(file)
            (n, *side), by_columns, dtype = np.lib.format.read_array_header_1_0(file)
            if n != math.prod(sizes) or side != [64, 64] or dtype != np.uint8:
                held = f"{n} images {side} of {dtype}"
                raise DataError(f"dsprites: {path} holds {held}, not one for each of {sizes}")
            if by_columns:
                raise ValueError("its images are in Fortran order")
            bits = np.empty((n, size * size // 8), dtype=np.uint8)
            for first in range(0, n, PIECE):
                rows = bits[first : first + PIECE]
                images = np.frombuffer(file.read(len(rows) * 64 * 64), dtype=np.uint8)
                images = images.reshape(-1, 64, 64)
                if size == 32:
                    images = images.reshape(-1, 32, 2, 32, 2).sum((2, 4)) >= 2
                rows[:] = np.packbits(images.reshape(len(rows), -1), axis=1)
    return torch.from_numpy(bits), sizes

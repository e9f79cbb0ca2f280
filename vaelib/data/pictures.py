"""A picture's file, opened with care, and its values of 16 bits whole."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

# by what a file holds and not by its name: of others, such as EPS, Pillow starts a program
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "JXL", "MPO", "PNG", "PPM"),
    *("TIFF", "WEBP"),
)
BYTES = "RGBA"  # of grey and transparency the upper and the lower byte of each


def opened(path: Path) -> ImageFile.ImageFile:
    """A picture whose pixels are not read yet; an error, of many kinds, where it is none."""
    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError("not a file")
    Image.init()
    with warnings.catch_warnings():  # a small file may hold gigabytes of pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


def is_cut(picture: ImageFile.ImageFile) -> bool:
    """Whether Pillow reads 16-bit values of the picture, not read yet, down to 8."""
    if picture.format == "PPM":
        return any(isinstance(t[3], tuple) and t[3][-1] == 65535 for t in picture.tile)
    return picture.format in ("PNG", "TIFF") and any(";16" in str(tile[3]) for tile in picture.tile)


def deep(picture: ImageFile.ImageFile, path: Path) -> np.ndarray | None:
    """The 16-bit values of a picture, (height, width) or (height, width, channels), or None.

    None where it has none, and where they can't be had whole. Of colours Pillow reads one byte of
    two, and which one stands in the picture's tiles: so they are read twice.
    """
    if picture.mode.startswith("I"):
        return np.asarray(picture)
    if not is_cut(picture):
        return None
    tiles = [_of_the_lower_byte(tile) for tile in picture.tile]
    if None in tiles:
        return None
    with opened(path) as other:
        other.tile = tiles
        other.load()
        lower, upper = np.asarray(other), np.asarray(picture).astype(np.uint16)
    if tiles[0][3] == BYTES:
        upper, lower = lower[..., ::2].astype(np.uint16), lower[..., 1::2]
    return upper << 8 | lower


def _of_the_lower_byte(tile: Any) -> Any:
    """The tile, if it is to give the lower byte; None where there is no such one."""
    how = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    mode, _, order = how[0].partition(";16")
    if mode == "LA":
        raw = BYTES
    elif mode in ("RGB", "RGBA", "RGBX", "R", "G", "B", "A") and order in ("L", "B", "N"):
        upper_first = order == "B" or (order == "N" and sys.byteorder == "big")
        raw = f"{mode};16{'L' if upper_first else 'B'}"
    else:
        return None
    parts = *tile[:3], ((raw, *how[1:]) if isinstance(tile[3], tuple) else raw)
    return parts if type(tile) is tuple else type(tile)(*parts)  # of Pillow before 11 it is one


def colours(values: np.ndarray) -> np.ndarray:
    """A picture's values without what says how transparent a pixel is."""
    return values[..., :-1] if values.ndim == 3 and values.shape[-1] in (2, 4) else values

"""Your own images: any tree of pictures as uint8 tensors of one size.

A file that can't be read is named and left out.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from vaelib.choices import FOLDER_OPTIONS
from vaelib.data.images import DataError, ImageData

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
NAMED = 10  # unreadable files in a warning; all are in `FolderImages.skipped`


@dataclass(frozen=True)
class FolderImages(ImageData):
    """An `ImageData` read from files: its labels' names, and the files that can't be read."""

    classes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def folder(
    root: Path,
    image_size: int = FOLDER_OPTIONS["image_size"],
    colour: bool = FOLDER_OPTIONS["colour"],
    test_fraction: float = 0.1,
    seed: int = 0,
) -> FolderImages:
    """The pictures under ``root``, cut to a square and scaled to ``image_size``; RGB, or grey.

    The folder directly under ``root`` is a picture's label, as in torchvision's ImageFolder;
    pictures in ``root`` itself have the label "". Where ``root`` holds nothing but the folders
    train and test, these are the split; otherwise ``test_fraction`` of the pictures is drawn by
    ``seed``, the same on every machine; their order is always drawn by it. A photograph's turn
    (EXIF) is followed, transparency is laid on white, 16-bit greys are cut to 8. Hidden files are
    not looked at. Memory: image_size^2 bytes a grey picture, three times that in colour: 60,000 of
    32 x 32 in colour are 184 MB. A file that can't be read is skipped; a warning names the first of
    them and counts all. Raises DataError when no two pictures are left, ValueError for an argument
    out of range.

    >>> for label, grey in [("dark", 40), ("bright", 200)]:
    ...     Path("pictures", label).mkdir(parents=True)
    ...     for i in range(2):
    ...         Image.new("L", (90, 60), grey).save(f"pictures/{label}/{i}.png")
    >>> data = folder(Path("pictures"), image_size=32, colour=False, test_fraction=0.5)
    >>> data.classes, tuple(data.train.shape)
    (('bright', 'dark'), (2, 1, 32, 32))
    """
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size must be a whole number, at least 1; got {image_size!r}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be above 0 and below 1; got {test_fraction!r}")
    files = _files(root)
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed)).tolist()
    given = {Path(file).parts[0] for file in files} == {"train", "test"}
    parts = _split([files[i] for i in order], given, max(1, round(len(files) * test_fraction)))
    skipped: list[tuple[str, str]] = []
    (train, train_files), (test, test_files) = (
        _read(root, part, name, image_size, 3 if colour else 1, skipped)
        for name, part in parts.items()
    )
    if not len(train) or not len(test):
        readable = f"{len(train) + len(test)} of the {len(files)} pictures"
        raise DataError(
            f"folder: {readable} under {root} can be read: "
            f"{len(train)} to train on and {len(test)} to test on are too few"
            + _reasons("; ", skipped)
        )
    if skipped:
        what = f"folder: {len(skipped)} of {len(files)} pictures can't be read and are left out"
        warnings.warn(what + _reasons(": ", skipped), stacklevel=4)
    names = [[_label(file, given) for file in part] for part in (train_files, test_files)]
    classes = tuple(sorted({*names[0], *names[1]}))
    number = {name: i for i, name in enumerate(classes)}
    train_labels, test_labels = (torch.tensor([number[name] for name in part]) for part in names)
    return FolderImages(
        "folder",
        torch.from_numpy(train),
        torch.from_numpy(test),
        train_labels,
        test_labels,
        classes=classes,
        skipped=tuple(skipped),
    )


def _files(root: Path) -> list[str]:
    """The pictures under ``root``, relative to it, in the same order on every machine."""
    if not root.is_dir():
        raise DataError(f"folder: {root} is not a folder")
    pictures: list[str] = []
    for where, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(where).relative_to(root)
        shown = (name for name in files if not name.startswith("."))
        names = (name for name in shown if Path(name).suffix.lower() in SUFFIXES)
        pictures += [(inside / name).as_posix() for name in names]
    if not pictures:
        suffixes = ", ".join(sorted(SUFFIXES))
        raise DataError(f"folder: no pictures under {root}; looked for {suffixes}")
    return sorted(pictures)


def _split(files: list[str], given: bool, in_test: int) -> dict[str, list[str]]:
    if not given:
        return {"train": files[in_test:], "test": files[:in_test]}
    return {
        name: [file for file in files if Path(file).parts[0] == name] for name in ("train", "test")
    }


def _read(
    root: Path,
    files: list[str],
    name: str,
    size: int,
    channels: int,
    skipped: list[tuple[str, str]],
) -> tuple[np.ndarray, list[str]]:
    """The pixels of ``files`` that can be read, and those files; the others go to ``skipped``."""
    pixels = np.empty((len(files), channels, size, size), dtype=np.uint8)
    kept: list[str] = []
    description = f"reading {name}, {pixels.nbytes / 1e6:,.1f} MB"
    silent = bool(os.environ.get("TQDM_DISABLE"))
    for file in tqdm(files, desc=description, unit=" pictures", disable=silent):
        try:
            pixels[len(kept)] = _decode(root / file, size, channels)
        except Exception as error:  # a broken picture may end in any of them
            reason = " ".join(str(error).replace(f"{root}{os.sep}", "").split())
            skipped.append((file, reason or type(error).__name__))
        else:
            kept.append(file)
    return pixels[: len(kept)], kept


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    """One picture as uint8 (channels, size, size)."""
    with Image.open(path) as file:
        file.draft(None, (2 * size, 2 * size))  # a large JPEG is read at a part of its size
        picture: Image.Image = ImageOps.exif_transpose(file)
        if picture.mode.startswith("I"):
            levels = np.asarray(picture).astype(np.int64) >> 8
            picture = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
        if picture.mode == "F":
            raise ValueError("its pixels are floating-point numbers")
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("RGB" if channels == 3 else "L")
        picture = ImageOps.fit(picture, (size, size), method=Image.Resampling.LANCZOS)
        return np.asarray(picture).reshape(size, size, channels).transpose(2, 0, 1)


def _label(file: str, given: bool) -> str:
    parts = Path(file).parts[given:]
    return parts[0] if len(parts) > 1 else ""


def _reasons(joint: str, skipped: list[tuple[str, str]]) -> str:
    rest = f"; and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    named = "; ".join(f"{file} ({reason})" for file, reason in skipped[:NAMED])
    return (joint if skipped else "") + named + rest

"""Your own images: any tree of pictures as uint8 tensors of one size.

A file that can't be read is named and left out.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from vaelib.checks import check_whole
from vaelib.choices import FOLDER_OPTIONS
from vaelib.data.images import DataError, ImageData
from vaelib.data.pictures import colours, deep, is_cut, opened
from vaelib.data.tree import SELDOM, Parts, label, parts, picture_files
from vaelib.device import free_memory

NAMED = 10  # unreadable files in a warning; all are in `FolderImages.skipped`
DEEP = {".jp2", ".pgm", ".png", ".ppm", ".tif", ".tiff"}  # whose values may be of 16 bits
BITS = (8, 10, 12, 14, 16)

Listing = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class FolderImages(ImageData):
    """An `ImageData` read from files: its labels' names, and the files that can't be read.

    ``listing`` has the names of the pictures under "train" and "test", each row's in order, with a
    digest of the file, and "beside" those left out; given as ``split`` to `folder` it makes the
    same data again.
    """

    classes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    listing: Listing = field(default_factory=dict)


def folder(
    root: Path,
    image_size: int = FOLDER_OPTIONS["image_size"],
    colour: bool = FOLDER_OPTIONS["colour"],
    test_fraction: float = 0.1,
    seed: int = 0,
    split: Listing | None = None,
) -> FolderImages:
    """The pictures under ``root``, cut to a square and scaled to ``image_size``; RGB, or grey.

    The folder directly under ``root`` is a picture's label, as in torchvision's ImageFolder;
    pictures in ``root`` itself have the label "". Folders train and test under ``root`` are the
    split (in any case, also training, test_set and the like; val stands in for a missing test), and
    what lies beside them is left out, with a warning. Otherwise a hash of its name and ``seed``
    says whether a picture is to test on, as ``test_fraction`` of them are, so that none changes
    sides when others come or go. ``split`` is the listing of earlier data: exactly its pictures are
    read, and a warning counts those that are new, gone or changed since, all of which are left out.

    A photograph's turn (EXIF) is followed, transparency is laid on white. Values of 16 bits are cut
    to 8: the upper 8 of the 8, 10, 12, 14 or 16 that hold the greatest of them all. Links are
    followed, hidden files are not looked at. Memory: image_size^2 bytes a grey picture, three times
    that in colour: 60,000 of 32 x 32 in colour are 184 MB. A file that can't be read is skipped; a
    warning names the first of them and counts all. Raises DataError when no two pictures are left,
    the pictures would not fit into memory, a link leads into a folder again, or folders' names
    leave in doubt what is to test on; ValueError for an argument out of range.

    >>> for label, grey in [("dark", 40), ("bright", 200)]:
    ...     Path("pictures", label).mkdir(parents=True)
    ...     for i in range(2):
    ...         Image.new("L", (90, 60), grey).save(f"pictures/{label}/{i}.png")
    >>> data = folder(Path("pictures"), image_size=32, colour=False, test_fraction=0.5)
    >>> data.classes, data.image_shape
    (('bright', 'dark'), (1, 32, 32))
    """
    check_whole("image_size", image_size)
    if not isinstance(test_fraction, float | int) or not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be above 0 and below 1; got {test_fraction!r}")
    check_whole("seed", seed, least=0)
    if split is not None and not _is_listing(split):
        raise ValueError("split must be the listing of earlier data; this has not its form")
    files, channels = picture_files(root), 3 if colour else 1
    if split is None:
        chosen = parts(root, files, test_fraction, seed)
        if chosen.beside:
            what = "folder: train and test are the split; left out beside them"
            _warn(f"{what}: {_first(chosen.beside)}")
    else:
        chosen = _as_it_was(root, files, split)
    files = [*chosen.train, *chosen.test]
    _refuse_too_many(root, len(files) * channels * image_size**2)
    skipped: list[tuple[str, str]] = []
    form = image_size, channels, _bits(root, files)
    (train, train_files), (test, test_files) = (
        _read(root, names, name, form, skipped)
        for names, name in ((chosen.train, "train"), (chosen.test, "test"))
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
        _warn(what + _reasons(": ", skipped))
    names = [[label(file, chosen.depth) for file in part] for part in (train_files, test_files)]
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
        listing={
            "train": train_files,
            "test": test_files,
            "beside": dict.fromkeys([*chosen.beside, *(name for name, _ in skipped)], ""),
        },
    )


def _is_listing(split: object) -> bool:
    return isinstance(split, Mapping) and all(
        isinstance(split.get(part), Mapping) for part in ("train", "test", "beside")
    )


def _as_it_was(root: Path, files: Sequence[str], split: Listing) -> Parts:
    """The parts of an earlier listing, of the pictures that are still what they were.

    A warning says which are not.
    """
    earlier = {**split["train"], **split["test"]}
    there, beside = earlier.keys() & set(files), split.get("beside", {}).keys() & set(files)
    same = {name for name in there if _digest(root / name) in (earlier[name], "")}
    counts = {
        "new": len(files) - len(there) - len(beside),
        "gone": len(earlier) - len(there),
        "changed": len(there) - len(same),
    }
    if any(counts.values()):
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        _warn(f"folder: {root} is not what it was, and these pictures are left out: {said}")
    depth = parts(root, list(earlier), 0.5, 0).depth
    train, test = ([name for name in split[part] if name in same] for part in ("train", "test"))
    return Parts(train, test, depth, sorted(beside))


def _digest(path: Path) -> str:
    """What tells a file's content from another; "" of one that can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
    except OSError:
        return ""


def _refuse_too_many(root: Path, size: int) -> None:
    if size > (most := free_memory()):
        what = f"its pictures take {size / 1e9:,.1f} GB, and {most / 1e9:,.1f} are free"
        raise DataError(f"folder: {root}: {what}; take a smaller image_size, or fewer")


def _bits(root: Path, files: Iterable[str]) -> int:
    """How many bits hold the greatest of the pictures' 16-bit values; 16 without any."""
    greatest = -1
    for file in files:
        if Path(file).suffix.lower() in DEEP:
            try:
                with opened(root / file) as picture:
                    cut = is_cut(picture)
                    if (values := deep(picture, root / file)) is not None:
                        greatest = max(greatest, int(colours(values).max()))
                    elif cut:
                        upper = int(colours(np.asarray(picture)).max())
                        greatest = max(greatest, 256 * upper + 255)
            except Exception:  # it is met again when it is read, and named
                continue
    bits = next((n for n in BITS if greatest < 2**n), 16) if greatest >= 0 else 16
    if bits < 16:
        _warn(f"folder: no 16-bit value is above {greatest}: read as values of {bits} bits")
    return bits


def _read(
    root: Path,
    files: Sequence[str],
    name: str,
    form: tuple[int, int, int],
    skipped: list[tuple[str, str]],
) -> tuple[np.ndarray, dict[str, str]]:
    """The pixels of ``files`` that can be read, and those files with their digests.

    ``form`` is size, channels and bits; the others go to ``skipped``.
    """
    size, channels, bits = form
    pixels = np.empty((len(files), channels, size, size), dtype=np.uint8)
    kept: dict[str, str] = {}
    description = f"reading {name}, {pixels.nbytes / 1e6:,.1f} MB"
    silent = bool(os.environ.get("TQDM_DISABLE"))
    for file in tqdm(files, desc=description, unit=" pictures", disable=silent):
        try:
            pixels[len(kept)] = _decode(root / file, size, channels, bits)
            kept[file] = _digest(root / file)
        except Exception as error:  # a broken picture may end in any of them
            reason = " ".join(str(error).replace(f"{root}{os.sep}", "").split())
            if Path(file).suffix.lower() in SELDOM:
                reason = "this Pillow does not read such files; make them JPEG or PNG"
            skipped.append((file, reason or type(error).__name__))
    return pixels[: len(kept)], kept


def _decode(path: Path, size: int, channels: int, bits: int) -> np.ndarray:
    """One picture as uint8 (channels, size, size)."""
    with opened(path) as file:
        file.draft(None, (2 * size, 2 * size))  # a large JPEG is read at a part of its size
        picture: Image.Image = file
        cut = is_cut(file)
        if (values := deep(file, path)) is not None:
            picture = Image.fromarray((values >> (bits - 8)).clip(0, 255).astype(np.uint8))
            picture.info = file.info
        elif bits < 16 and cut:
            what = f"colours of 16 bits, of which Pillow reads the upper 8, and {bits} are in use"
            raise ValueError(f"{what}; make it a PNG")
        picture = ImageOps.exif_transpose(picture)
        if picture.mode == "F":
            raise ValueError("its pixels are floating-point numbers")
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("RGB" if channels == 3 else "L")
        picture = ImageOps.fit(picture, (size, size), method=Image.Resampling.LANCZOS)
        return np.asarray(picture).reshape(size, size, channels).transpose(2, 0, 1)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=5)


def _first(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def _reasons(joint: str, skipped: list[tuple[str, str]]) -> str:
    rest = f"; and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
    named = "; ".join(f"{file} ({reason})" for file, reason in skipped[:NAMED])
    return (joint if skipped else "") + named + rest

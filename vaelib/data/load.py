"""`load(name)`: every data set of the course by its name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vaelib.choices import DATASETS
from vaelib.data.dsprites import dsprites
from vaelib.data.factors import FactorImages
from vaelib.data.folder import folder
from vaelib.data.images import DataError, ImageData, draw_binary
from vaelib.data.sprites import sprites
from vaelib.data.standard import embedded_digits, published

# a source takes ``root`` and ``download`` where it has files; whatever else it takes is an option
SOURCES: dict[str, Callable] = {
    "mnist-5k": embedded_digits,
    "mnist": partial(published, "mnist"),
    "fashion-mnist": partial(published, "fashion-mnist"),
    "cifar10": partial(published, "cifar10"),
    "sprites": sprites,
    "dsprites": dsprites,
    "folder": folder,
}


def load(
    name: str,
    root: str | Path | None = None,
    download: bool = True,
    binarize: bool = False,
    **options: Any,
) -> ImageData | FactorImages:
    """The data set called ``name``, one of `vaelib.choices.DATASETS`.

    "mnist-5k" is embedded; torchvision reads "mnist", "fashion-mnist" and "cifar10".
    ``root`` is the folder that downloads are kept in; without it the environment variable
    VAELIB_DATA, else a cache folder of the user's. ``binarize`` draws black-and-white pixels, see
    `ImageData`. "sprites" (drawn) and "dsprites" (downloaded) are `FactorImages`: images of known
    factors, made on demand. Their ``options`` are ``image_size`` (64 or 32) and for "sprites"
    ``antialias`` and ``colour``; see `vaelib.data.sprites`. "folder" is any tree of your own images
    under ``root``: ``options`` are ``image_size``, ``colour``, ``test_fraction``, ``seed`` and
    ``split``, see `vaelib.data.folder`. Raises ValueError for an unknown name, TypeError for an
    option that the data set does not have, DataError when the data is missing, can't be downloaded,
    or is damaged.

    >>> data = load("mnist-5k", binarize=True)  # comes with a package, nothing is downloaded
    >>> data.image_shape, len(data), len(data.test)
    ((1, 28, 28), 4500, 500)
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; there are: {', '.join(SOURCES)}")
    source = SOURCES[name]
    parameters = inspect.signature(source).parameters
    allowed = [p for p in parameters if p not in ("root", "download")]
    allowed += [] if DATASETS[name].stream else ["binarize"]
    for option in [*options, *["binarize"] * binarize]:
        if option not in allowed:
            raise TypeError(f"{name} has no option {option!r}; it has: {', '.join(allowed)}")
    if name == "folder" and root is None:
        raise ValueError("folder: give root, the folder of your images")
    if "root" in parameters:
        options |= {"root": data_root(root), "download": download}
    data = source(**{key: value for key, value in options.items() if key in parameters})
    if not binarize:
        return data
    test = draw_binary(data.test, torch.Generator().manual_seed(0))
    return replace(data, test=test.mul_(255).to(torch.uint8), binarize=True)


def data_root(root: str | Path | None = None) -> Path:
    """``root`` if given, else $VAELIB_DATA, else vaelib under the user's cache folder."""
    if root is None:
        root = os.environ.get("VAELIB_DATA")
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(root or Path(cache) / "vaelib").expanduser()
    except RuntimeError:  # a user without a home, as in a container
        raise DataError("no home folder to keep downloads in: set VAELIB_DATA to one") from None

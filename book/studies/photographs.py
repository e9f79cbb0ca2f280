"""CIFAR-10 for the gallery: the original where torchvision finds it, or its JPEG copy."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from vaelib.data import ImageData, data_root, load

# under $VAELIB_DATA; it holds train/<class>/NNNN.jpg and test/<class>/NNNN.jpg
ARCHIVE = "cifar10-jpeg.tar.gz"


def photographs() -> tuple[str, dict[str, str]]:
    """What the data are called in a table, and the keys of a configuration that load them.

    The JPEG copy is not the original: compression has smoothed its pixels, so a number of the one
    is none of the other.
    """
    archive = data_root() / ARCHIVE
    if not archive.exists():
        return "CIFAR-10", {"configuration.dataset": "CIFAR10"}
    folder = str(unpacked(archive))
    keys = {"dataset": "folder", "path": folder, "image_size": "32", "colour": "yes"}
    return "CIFAR-10 (JPEG)", {f"configuration.{key}": value for key, value in keys.items()}


def load_photographs() -> tuple[str, ImageData]:
    """What they are called in a table, and the images."""
    label, keys = photographs()
    if "configuration.path" not in keys:
        return label, load(keys["configuration.dataset"].lower())
    return label, load(
        "folder", keys["configuration.path"], image_size=int(keys["configuration.image_size"])
    )


def unpacked(archive: Path) -> Path:
    """The temporary folder with the archive's pictures: unpacked once, whole or not at all."""
    folder = Path(tempfile.gettempdir()) / "vaelib-cifar10-jpeg"
    if not folder.exists():
        partial = tempfile.mkdtemp(prefix=f"{folder.name}-")
        try:
            with tarfile.open(archive) as file:
                file.extractall(partial, filter="data")
            os.rename(partial, folder)
        except OSError:
            if not folder.exists():  # else another process was first
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder

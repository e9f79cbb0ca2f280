"""CIFAR-10's files are pickles, which may call anything: read with what builds an array alone."""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# what an array's pickle calls, as Python 2 and 3, and numpy before and since 2, wrote it
RECONSTRUCT, FROM_BUFFER = (np.zeros(1).__reduce_ex__(protocol)[0] for protocol in (2, 5))
BUILDERS: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): FROM_BUFFER for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class Cifar10(NamedTuple):
    """Images, uint8 (N, 32, 32, 3), and their labels."""

    data: np.ndarray
    targets: list[int]


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in BUILDERS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
        return BUILDERS[module, name]


def cifar10(source: Any, root: Path, train: bool) -> Cifar10:
    """The batches under ``root``, whose names and checksums torchvision's class ``source`` knows.

    Raises RuntimeError where one is missing, ValueError where a file is none.
    """
    from torchvision.datasets.utils import check_integrity  # a second to import

    images, labels = [], []
    for name, md5 in source.train_list if train else source.test_list:
        path = root / source.base_folder / name
        if not check_integrity(path, md5):
            raise RuntimeError(f"{path} is not there")
        try:
            with path.open("rb") as file:
                batch = _Arrays(file, encoding="latin1").load()
            images.append(np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32))
            labels += [int(label) for label in batch["labels"]]
        except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no batch of CIFAR-10 ({error})") from None
    return Cifar10(np.concatenate(images).transpose(0, 2, 3, 1), labels)

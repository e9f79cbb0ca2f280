"""`ImageData`: a data set in memory, and how its pixels become black and white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor


class DataError(RuntimeError):
    """A data set that can't be had or read; one line says which, where, and what to do."""


@runtime_checkable
class Stream(Protocol):
    """Images without end, drawn on demand: `load("sprites")` is one."""

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images, uint8 (n, C, H, W) on the generator's device, and their factors."""
        ...


@dataclass(frozen=True)
class ImageData:
    """A data set in memory: ``train`` and ``test`` are uint8 (N, C, H, W), the labels int64 (N,).

    ``binarize`` says that a training batch is drawn afresh as Bernoulli(pixel / 255) each time it
    is used (dynamic binarisation: Salakhutdinov & Murray, 2008; Burda et al., 2016); ``test`` is
    then already drawn, once.

    >>> images, digits = torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.tensor([7, 2, 1])
    >>> data = ImageData("mine", images[:2], images[2:], digits[:2], digits[2:])
    >>> len(data), data.image_shape, data.held_out()[1]
    (2, (1, 28, 28), tensor([1]))
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor
    binarize: bool = False

    # of what made the images, known only where they are drawn
    factor_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            if not isinstance(images := getattr(self, name), Tensor):
                hint = f": torch.from_numpy({name})" * (type(images).__name__ == "ndarray")
                what = f"{name} must be a torch.Tensor; got {type(images).__name__}"
                raise ValueError(f"{what}{hint}")
            labels = getattr(self, f"{name}_labels")
            if not isinstance(labels, Tensor) or labels.shape != images.shape[:1]:
                given = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
                what = f"{name}_labels must be a torch.Tensor ({len(images)},), one for each image"
                raise ValueError(f"{what}; got {given}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, channels, height, width = self.train.shape
        return channels, height, width

    @property
    def summary(self) -> str:
        """What it holds, for a person to read."""
        shape, drawn = "x".join(map(str, self.image_shape)), ", binarised" * self.binarize
        size = (self.train.numel() + self.test.numel()) / 1e6
        counted = f"{len(self.train):,} images {shape}{drawn}, {len(self.test):,} to test"
        return f"{counted}; {size:,.0f} MB"

    @property
    def binary(self) -> bool:
        """Whether pixels are black and white, and have a log-probability under Bernoullis."""
        return self.binarize

    def __len__(self) -> int:
        """How many images there are to train on."""
        return len(self.train)

    def held_out(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Images that no training sees, at most ``n`` of them, and their labels: the test set."""
        return self.test[:n], self.test_labels[:n]


def draw_binary(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images drawn as Bernoulli(pixel / 255): uint8 (N, ...) to floats 0 or 1 of that shape.

    >>> draw_binary(torch.tensor([0, 255], dtype=torch.uint8), torch.Generator())
    tensor([0., 1.])
    """
    if images.dtype != torch.uint8:
        what = "to draw black and white, images must be uint8 levels, 0 to 255"
        raise ValueError(f"{what}; got {images.dtype}")
    noise = torch.rand(images.shape, generator=generator, device=images.device)
    return (noise < images / 255).float()

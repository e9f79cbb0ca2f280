"""`FactorImages`: images indexed by the known factors that make them, a stream without end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HELD_OUT, HELD_OUT_SEED = 1000, 2026  # images to measure a model on, and their random stream


@dataclass(frozen=True)
class FactorImages:
    """One image for each combination of factor values.

    ``draw`` makes uint8 images (n, C, H, W) of factors (n, F). ``binary`` says that every pixel is
    black or white. The index of an image counts through the grid with the last factor fastest,
    which is the order of dSprites.

    >>> sprites = vaelib.load("sprites", image_size=32)
    >>> sprites.factors(torch.tensor([33]))  # shape, scale, orientation, x, y
    tensor([[0, 0, 0, 1, 1]])
    """

    name: str
    image_shape: tuple[int, int, int]
    factor_names: tuple[str, ...]
    factor_sizes: tuple[int, ...]
    draw: Callable[[Tensor], Tensor]
    binary: bool = True

    @property
    def summary(self) -> str:
        """What it holds, for a person to read."""
        shape = "x".join(map(str, self.image_shape))
        return f"{len(self):,} different images {shape}, drawn as they are needed"

    def __len__(self) -> int:
        """How many different images there are."""
        return math.prod(self.factor_sizes)

    def images(self, factors: Tensor) -> Tensor:
        """The images of ``factors``, int64 (n, F): uint8 (n, C, H, W) on their device.

        Raises ValueError for a factor out of range.
        """
        return self.draw(self._valid(factors))

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images and their factors, uniform over the grid, on the generator's device."""
        factors = self.sample_factors(n, generator)
        return self.draw(factors), factors

    def sample_factors(self, n: int, generator: torch.Generator) -> Tensor:
        """The factors (n, F) alone, as `sample` draws them."""
        indices = torch.randint(len(self), (n,), generator=generator, device=generator.device)
        return self.factors(indices)

    def held_out(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """``n`` images (or 1,000) to measure a model on, always the same, and their factors."""
        return self.sample(n or HELD_OUT, torch.Generator().manual_seed(HELD_OUT_SEED))

    def factors(self, indices: Tensor) -> Tensor:
        """The factors, int64 (n, F), of the images with these ``indices`` (n,); see `indices`."""
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(self):
            least, most = int(indices.min()), int(indices.max())
            raise ValueError(f"indices must be 0 to {len(self) - 1}; got {least} to {most}")
        return torch.stack(torch.unravel_index(indices, self.factor_sizes), -1)

    def indices(self, factors: Tensor) -> Tensor:
        """The inverse of `factors`: (n, F) to int64 (n,)."""
        return ravel(self._valid(factors), self.factor_sizes)

    def _valid(self, factors: Tensor) -> Tensor:
        right_shape = factors.ndim == 2 and factors.shape[1] == len(self.factor_sizes)
        if not right_shape or factors.is_floating_point():
            kind, names = f"{factors.dtype} {tuple(factors.shape)}", ", ".join(self.factor_names)
            what = f"factors must be whole numbers (n, {len(self.factor_sizes)})"
            raise ValueError(f"{what}, one column each of {names}; got {kind}")
        sizes = torch.tensor(self.factor_sizes, device=factors.device)
        wrong = ((factors < 0) | (factors >= sizes)).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            raise ValueError(
                f"{self.factor_names[column]} must be 0 to {self.factor_sizes[column] - 1}; "
                f"got {int(factors[row, column])} in row {row}"
            )
        return factors.long()


def ravel(factors: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The indices (n,) in a grid of ``sizes`` of the ``factors`` (n, F), the last one fastest."""
    places = torch.tensor([math.prod(sizes[i + 1 :]) for i in range(len(sizes))])
    return (factors * places.to(factors.device)).sum(1)

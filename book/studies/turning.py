"""How far two latents are turned against two factors, which only the labels can tell."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def standardised(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / values.std(0)


def turned_against(pair: Tensor, factors: Tensor) -> tuple[float, Tensor]:
    """Degrees from 0 to 45, and the rotation or reflection (2, 2) that turns ``pair`` back.

    pair, factors: (N, 2), standardised. Exchanging or flipping latents does not count as a turn.
    """
    slopes = torch.linalg.lstsq(factors, pair).solution.T
    U, _, Vh = torch.linalg.svd(slopes)
    nearest = U @ Vh
    angle = math.degrees(math.atan2(nearest[0, 1], nearest[0, 0]))
    return abs((angle + 45) % 90 - 45), nearest


def rotation(degrees: float) -> Tensor:
    """(2, 2), counter-clockwise, float64."""
    angle = math.radians(degrees)
    rows = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return torch.tensor(rows, dtype=torch.float64)

"""The self-tests of chapter 10."""

from __future__ import annotations

import math

import torch

from vaelib import disentanglement
from vaelib.exercises import answered


def exercise_3(corrected_information) -> None:
    """``corrected_information(code, values, bins)``: I from a histogram, its bias corrected.

    Each entropy is raised by (cells that occur - 1) / 2n.
    """
    generator = torch.Generator().manual_seed(3)

    def result_of(code, values, bins=20):
        value = torch.as_tensor(
            answered(corrected_information(code, values, bins)), dtype=torch.float64
        )
        assert value.numel() == 1, "Return one number, in nats."
        return value.item()

    n, values = 2000, torch.arange(10).repeat(200)
    value = result_of(values.double(), values)
    assert abs(value - math.log(10)) < 0.01, (
        f"A code that is the factor itself, 10 values, 2,000 images: you say {value:.3f} nats, log "
        f"10 is {math.log(10):.3f}. Do you count cells that never occur?"
    )
    noise = torch.rand(30, n, generator=generator, dtype=torch.float64)
    mean = sum(result_of(code, values) for code in noise) / 30
    assert abs(mean - 171 / 4000) > 0.005, (
        f"Codes that know nothing get {mean:.3f} nats on average. That is the bias, not yet "
        "corrected."
    )
    assert abs(mean) < 0.004, (
        f"Codes that know nothing should get 0 nats on average; yours get {mean:.3f}. "
        "Which of the three entropies is too low by how much, and with which sign does it enter?"
    )
    values = torch.randint(4, (150,), generator=generator)
    code = values + torch.randn(150, generator=generator, dtype=torch.float64)
    for bins in (5, 30):
        value, expected = result_of(code, values, bins), _corrected(code, values, bins)
        assert abs(value - expected) < 1e-6, (
            f"150 images, {bins} bins: you say {value:.4f} nats, it should be {expected:.4f}. "
            "Use `bins`, and count a cell if at least one image lies in it."
        )


def _corrected(code, values, bins) -> float:
    plug_in = disentanglement.mutual_information(code[:, None], values[:, None], bins).item()
    bin_of = disentanglement.bin_of(code[:, None], bins)[:, 0]
    cells = [len(cell.unique()) for cell in (bin_of, values, bin_of * 1000 + values)]
    return plug_in + (cells[0] + cells[1] - cells[2] - 1) / (2 * len(code))


def exercise_4(row_score) -> None:
    """``row_score(codes, factors)``: how far each coordinate knows one factor only.

    The gaps along the rows of I / H, over the sum of the rows' greatest entries.
    """

    def result_of(codes, factors):
        value = torch.as_tensor(answered(row_score(codes, factors)), dtype=torch.float64)
        assert value.numel() == 1, "Return one number."
        return value.item()

    factors = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    v1, v2 = (2.0 * factors - 3).double().T
    for name, columns, expected in (
        ("perfect", [v1, v2], 1),
        ("duplicated", [v1, v1, v2, v2], 1),
        ("rotated", [v1 + v2, v1 - v2], 0),
        ("packed", [v1 + 4 * v2, 0 * v1], 0),
    ):
        value = result_of(torch.stack(columns, 1), factors)
        assert abs(value - expected) < 1e-6, (
            f"The {name} code gets {value:.3f}, but should get {expected}. "
            "Each coordinate has a row: what does it know of its best factor, and what of the next?"
        )
    generator = torch.Generator().manual_seed(4)
    factors = torch.stack(
        [torch.randint(size, (1500,), generator=generator) for size in (2, 5, 30)], 1
    )
    codes = factors.double() @ torch.randn(3, 4, generator=generator, dtype=torch.float64)
    codes = codes + torch.randn(1500, 4, generator=generator, dtype=torch.float64)
    share = disentanglement.mutual_information(codes, factors) / disentanglement.factor_entropy(
        factors
    )
    first, second = share.topk(2, dim=1).values.T
    value, expected = result_of(codes, factors), ((first - second).sum() / first.sum()).item()
    assert abs(value - expected) < 1e-6, (
        "Right for two factors with equally many values; with 2, 5 and 30 values you say "
        f"{value:.3f}, it should be {expected:.3f}. Is the information divided by the factor's "
        "entropy, and are the sums taken before dividing?"
    )
    dead = torch.cat([codes, torch.zeros(1500, 2, dtype=torch.float64)], 1)
    assert abs(result_of(dead, factors) - expected) < 1e-6, (
        "Two coordinates that never move were added: nothing may change."
    )

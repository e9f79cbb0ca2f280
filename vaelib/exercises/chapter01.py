"""The self-tests of chapter 1."""

from __future__ import annotations

import math

import torch

from vaelib.exercises import answered


def exercise_2(log_average) -> None:
    """``log_average(log_likelihood)``: the log of eq:naive-mc, (N,), from log p(x | z), (L, N)."""
    generator = torch.Generator().manual_seed(2)
    small = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    given = answered(log_average(small))
    assert isinstance(given, torch.Tensor) and given.shape == (5,), (
        "Return one number an image, a tensor of shape (N,): the draws are the first dimension."
    )
    once, twice = answered(log_average(small[:1])), answered(log_average(small[:1].expand(2, -1)))
    assert torch.allclose(once, small[0]), (
        "With a single draw the estimate is that draw's own p(x | z)."
    )
    assert torch.allclose(once, twice), (
        "The same draw twice should change nothing: you average, not add."
    )
    assert torch.allclose(given, small.exp().mean(0).log()), (
        "The average is taken of the likelihoods, not of their logarithms."
    )
    far = answered(log_average(small - 1000))
    assert far.isfinite().all(), (
        "At -1000 nats, not rare for an image, your answer is not finite: never leave the "
        "logarithms."
    )
    assert torch.allclose(far, given - 1000), (
        "Dividing every likelihood by e^1000 should subtract 1000, and it does not."
    )


def exercise_4(grid_posterior) -> None:
    """``grid_posterior(log_joint, spacing)``: the density on the grid, log p(x) (eq:posterior)."""
    for sigma, x, spacing in [(0.5, 0.7, 0.02), (1.0, -1.2, 0.05), (0.05, 1.5, 0.01)]:
        z = torch.arange(-8, 8, spacing, dtype=torch.float64)
        log_joint = torch.distributions.Normal(z, sigma).log_prob(
            torch.tensor(x, dtype=torch.float64)
        ) + torch.distributions.Normal(0.0, 1.0).log_prob(z)
        given = answered(grid_posterior(log_joint, spacing))
        assert isinstance(given, tuple) and len(given) == 2, (
            "Return two things: the density, and log p(x)."
        )
        density, log_p = given[0], torch.as_tensor(given[1], dtype=torch.float64)
        assert isinstance(density, torch.Tensor) and density.shape == z.shape, (
            "Return one density a grid point."
        )
        variance = 1 + sigma**2
        exact = -(x**2) / (2 * variance) - 0.5 * math.log(2 * math.pi * variance)
        assert abs(log_p.item() - exact) < 1e-6, (
            f"With spacing {spacing} your log p(x) is {log_p.item():.4f}; it should be "
            f"{exact:.4f}. Does the spacing enter once?"
        )
        assert abs(density.sum().item() * spacing - 1) < 1e-6, (
            "A density sums to one when each value is weighted by the spacing; "
            f"yours sums to {density.sum().item() * spacing:.4f}."
        )
        mean = (density * z).sum().item() * spacing
        assert abs(mean - x / variance) < 1e-6, (
            "It is a density, but its mean is not the posterior's."
        )
    shifted, log_p = grid_posterior(log_joint - 1000, spacing)
    assert torch.isfinite(torch.as_tensor(log_p)) and torch.allclose(shifted, density), (
        "Subtract 1000 from every log joint, a usual size for an image, and the posterior should "
        "stay what it was."
    )


def exercise_6(draw_codes) -> None:
    """``draw_codes(codes, n, generator)``: ``n`` draws from the normal that fits ``codes``.

    With their mean and covariance.
    """
    generator = torch.Generator().manual_seed(6)
    mix = torch.tensor([[3.0, 0.0], [-2.0, 0.5]])
    codes = torch.randn(500, 2, generator=generator) @ mix.T + torch.tensor([5.0, -1.0])
    n = 50_000
    drawn = answered(draw_codes(codes, n, torch.Generator().manual_seed(0)))
    assert isinstance(drawn, torch.Tensor) and drawn.shape == (n, 2), (
        "Return n codes: a tensor of shape (n, d)."
    )
    covariance = torch.cov(codes.T)
    scale = covariance.diagonal().sqrt()
    assert ((drawn.mean(0) - codes.mean(0)).abs() < 5 * scale / n**0.5).all(), (
        "The draws have another mean than the codes."
    )
    difference = (torch.cov(drawn.T) - covariance) / scale.outer(scale)
    # five standard errors of an entry of a sample covariance, sqrt(2 / n) at most, and n - 1 for n
    # among 500 codes
    assert (difference.diagonal().abs() < 5 * (2 / n) ** 0.5 + 0.003).all(), (
        "The draws are not spread as widely as the codes: is a variance used as a standard "
        "deviation, or left out?"
    )
    assert difference.abs().max() < 5 * (2 / n) ** 0.5 + 0.003, (
        "Each coordinate is right by itself, but the codes are correlated and your draws are not "
        "in the same way."
    )
    assert drawn.unique(dim=0).shape[0] > n // 2, "These are the codes themselves: draw new ones."
    same = draw_codes(codes, 10, torch.Generator().manual_seed(3))
    assert torch.equal(same, draw_codes(codes, 10, torch.Generator().manual_seed(3))), (
        "The same generator seed must give the same draws: is the generator used?"
    )

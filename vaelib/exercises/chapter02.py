"""The self-tests of chapter 2."""

from __future__ import annotations

import math

import torch
from torch.distributions import Categorical, MultivariateNormal, kl_divergence

from vaelib.exercises import answered


def exercise_2(kl_discrete) -> None:
    """``kl_discrete(q, p)``: the divergence of two tensors of probabilities, nats (eq:kl-def)."""
    q, p = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.2, 0.3, 0.5]).double()
    given = torch.as_tensor(answered(kl_discrete(q, p)))
    assert given.shape == (), (
        "Return one number for the two distributions, not one for each outcome."
    )
    here, there = (
        float(kl_divergence(Categorical(*o), Categorical(*t)))
        for o, t in (((q,), (p,)), ((p,), (q,)))
    )
    assert not math.isclose(given, there, rel_tol=1e-6), (
        "This is the other direction: under whose draws do you average?"
    )
    assert math.isclose(given, here, rel_tol=1e-6), (
        f"For q = (0.7, 0.2, 0.1) and p = (0.2, 0.3, 0.5) you say {float(given):.4f} nats; "
        "is it the average of the log-ratio under q?"
    )
    half, quarters = (
        torch.tensor([0.5, 0.5, 0.0]).double(),
        torch.tensor([0.25, 0.25, 0.5]).double(),
    )
    value = float(kl_discrete(half, quarters))
    assert math.isclose(value, math.log(2), rel_tol=1e-9), (
        "Where q = 0 nothing is ever drawn, so nothing should be added; with such an outcome you "
        f"say {value}."
    )
    value = float(kl_discrete(quarters, half))
    assert value == math.inf, f"q can draw an outcome that p calls impossible, and you say {value}."


def exercise_4(kl_cholesky) -> None:
    """``kl_cholesky(mean0, L0, mean1, L1)``: eq:kl-gauss from Cholesky factors."""
    generator = torch.Generator().manual_seed(2)
    mean0, mean1 = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    L0, L1 = torch.linalg.cholesky(noise @ noise.mT + torch.eye(4))
    given = torch.as_tensor(answered(kl_cholesky(mean0, L0, mean1, L1)))
    assert given.shape == (), "Return one number."
    assert abs(float(kl_cholesky(mean0, L0, mean0, L0))) < 1e-9, (
        "The divergence of a normal from itself should be zero."
    )
    for name, arguments in (
        ("equal covariances", (mean0, L0, mean1, L0)),
        ("equal means", (mean0, L0, mean0, L1)),
        ("different means and covariances", (mean0, L0, mean1, L1)),
    ):
        m0, A0, m1, A1 = arguments
        exact = float(
            kl_divergence(
                MultivariateNormal(m0, scale_tril=A0), MultivariateNormal(m1, scale_tril=A1)
            )
        )
        value = float(kl_cholesky(*arguments))
        assert math.isclose(value, exact, rel_tol=1e-8), (
            f"For two normals with {name} in four dimensions you are {value - exact:+.4f} nats off."
        )
    small = 1e-3 * torch.eye(200, dtype=torch.float64)
    zero = torch.zeros(200, dtype=torch.float64)
    value = float(kl_cholesky(zero, small, zero, 2 * small))
    assert math.isclose(value, 100 * (0.25 - 1 + 2 * math.log(2)), rel_tol=1e-8), (
        f"In 200 dimensions with standard deviations of 0.001 and 0.002 you say {value}: "
        "take logarithms before you multiply, not after."
    )


def exercise_5(never_negative) -> None:
    """``never_negative(r)``: values >= 0 with the expectation of r = log q(z)/p(z) under q.

    One value for each draw.
    """
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    r = -0.5 * z**2 + 0.5 * (z - 0.5) ** 2  # q = N(0, 1), p = N(0.5, 1): 1/8 nat
    given = answered(never_negative(r))
    assert isinstance(given, torch.Tensor) and given.shape == r.shape, (
        "Return one value for each draw."
    )
    assert (given >= -1e-12).all(), f"Your smallest value is {given.min():.4f}."
    alone = never_negative(r[:10])
    assert torch.allclose(alone, given[:10]), (
        "The value of a draw should depend on that draw only, not on the others."
    )
    error, standard_error = float(given.mean() - 1 / 8), float(given.std() / len(z) ** 0.5)
    assert abs(error) < 5 * standard_error + 1e-6, (
        "For two normals whose divergence is 0.125 nats your values have the mean "
        f"{given.mean():.4f}, which is {abs(error) / max(standard_error, 1e-9):.0f} standard "
        "errors away. To what could you add a term whose expectation is known?"
    )

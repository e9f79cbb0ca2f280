"""The self-tests of chapter 4."""

from __future__ import annotations

import math

import torch

from vaelib.exercises import answered

N = 200_000
MEAN, LOG_VAR = torch.tensor(0.6, dtype=torch.float64), torch.tensor(-1.2, dtype=torch.float64)


def _noise() -> torch.Tensor:
    return torch.randn(N, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def _pair(value) -> tuple[float, float]:
    value = answered(value)
    assert isinstance(value, (tuple, list, torch.Tensor)) and len(value) == 2, (
        "Return two numbers: the derivatives with respect to the mean and the log-variance."
    )
    assert all(torch.as_tensor(v).numel() == 1 for v in value), (
        "Return two numbers, not one for each draw."
    )
    first, second = value
    return float(first), float(second)


def _compare(given, exact, tolerance, what: str) -> None:
    for name, g, e, t in zip(("mean", "log-variance"), given, exact, tolerance):
        assert math.isfinite(g) and abs(g - e) < t, (
            f"{what}: the derivative with respect to the {name} is {e:.3f}; yours is {g:.3f}, "
            "which is further off than the noise allows."
        )


def exercise_3(pathwise_gradient) -> None:
    """``pathwise_gradient(f, mean, log_var, noise)``: both derivatives of E[f(z)].

    They are taken through z = mean + sigma noise.
    """
    mean, variance, noise = MEAN.item(), LOG_VAR.exp().item(), _noise()
    given = _pair(pathwise_gradient(lambda z: 3 * z, MEAN, LOG_VAR, noise))
    assert abs(given[0] - 3) < 1e-9, (
        "For f(z) = 3 z each single draw has slope 3 in the mean, without any noise; you get "
        f"{given[0]:.4f}. Is it a mean over the draws, taken through f?"
    )
    given = _pair(pathwise_gradient(torch.square, MEAN, LOG_VAR, noise))
    _compare(given, (2 * mean, variance), (0.02, 0.02), "f(z) = z^2")
    wave = math.exp(-variance / 2)
    given = _pair(pathwise_gradient(torch.sin, MEAN, LOG_VAR, noise))
    _compare(
        given,
        (wave * math.cos(mean), -0.5 * variance * wave * math.sin(mean)),
        (0.01, 0.01),
        "f(z) = sin(z)",
    )


def exercise_4(score_function_gradient) -> None:
    """``score_function_gradient(f, mean, log_var, noise, baseline)``: the same from f's values.

    From the values of f alone, not its derivative.
    """
    noise, sigma = _noise(), math.exp(LOG_VAR.item() / 2)

    def step(z):
        return (z > 0).double().detach()

    standardised = MEAN.item() / sigma
    density = math.exp(-0.5 * standardised**2) / math.sqrt(2 * math.pi)
    exact = (density / sigma, -0.5 * standardised * density)  # of P(z > 0), by the normal CDF
    for baseline in (0.0, 0.8):
        given = _pair(score_function_gradient(step, MEAN, LOG_VAR, noise, baseline))
        _compare(given, exact, (0.03, 0.02), f"f a step at 0, baseline {baseline}")
    constant = _pair(
        score_function_gradient(lambda z: torch.full_like(z, 7.0), MEAN, LOG_VAR, noise, 7.0)
    )
    assert max(map(abs, constant)) < 1e-9, (
        "With f equal to its baseline nothing is left: the estimate must be 0."
    )
    given = _pair(score_function_gradient(torch.square, MEAN, LOG_VAR, noise, 0.5))
    _compare(given, (2 * MEAN.item(), sigma**2), (0.04, 0.03), "f(z) = z^2, baseline 0.5")


def exercise_5(draw_exponential) -> None:
    """``draw_exponential(rate, u)``: exponential draws from uniform ones.

    They are differentiable in the rate.
    """
    u = torch.rand(N, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for value in (0.5, 3.0):
        rate = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        z = answered(draw_exponential(rate, u))
        assert isinstance(z, torch.Tensor) and z.shape == u.shape, (
            "One draw for each uniform number."
        )
        assert (z >= 0).all(), "An exponential draw is never negative."
        for threshold in (0.3, 1.0):
            expected = math.exp(-value * threshold)
            share = (z > threshold).double().mean().item()
            assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / N), (
                f"At rate {value}, the share of draws above {threshold} should be {expected:.3f}; "
                f"yours is {share:.3f}. "
                "Which function of u exceeds a threshold with that probability?"
            )
        assert z.requires_grad, (
            "No gradient reaches the rate: were the draws made by a sampler, or detached?"
        )
        (slope,) = torch.autograd.grad(z.mean(), rate)
        assert abs(slope.item() + 1 / value**2) < 5 / value**2 / math.sqrt(N), (
            f"The mean of the draws is 1 / rate, so its slope at rate {value} is "
            f"{-1 / value**2:.3f}; yours is {slope.item():.3f}."
        )

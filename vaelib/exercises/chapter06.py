"""The self-tests of chapter 6."""

from __future__ import annotations

import math

import torch

from vaelib import losses
from vaelib.exercises import answered


def _kl(
    mean,
    log_var,
    *,
    linear=-1.0,
    one=-1.0,
    squares=1.0,
    variance=lambda t: t.exp(),
    reduce=torch.sum,
):
    return 0.5 * reduce(squares * mean.square() + variance(log_var) + linear * log_var + one, 1)


WRONG_KLS = {
    "has the opposite sign": lambda mean, log_var: -losses.kl_to_standard_normal(mean, log_var),
    "takes the mean over the latents": lambda mean, log_var: _kl(mean, log_var, reduce=torch.mean),
    "forgets a constant": lambda mean, log_var: _kl(mean, log_var, one=0.0),
    "forgets the half": lambda mean, log_var: 2 * losses.kl_to_standard_normal(mean, log_var),
    "forgets the means": lambda mean, log_var: _kl(mean, log_var, squares=0.0),
    "does not square the means": lambda mean, log_var: losses.kl_to_standard_normal(
        mean.abs().sqrt(), log_var
    ),
    "takes half the log-variance for the log-variance": lambda mean, log_var: (
        losses.kl_to_standard_normal(mean, log_var / 2)
    ),
    "takes the log-variance for a standard deviation": lambda mean, sigma: (
        0.5 * (mean.square() + sigma.square() - sigma.square().clamp(min=1e-12).log() - 1).sum(1)
    ),
    "flips the sign of the log-variance": lambda mean, log_var: losses.kl_to_standard_normal(
        mean, -log_var
    ),
    "adds up the whole batch": lambda mean, log_var: losses.kl_to_standard_normal(
        mean, log_var
    ).sum(),
    "sees only the first latent": lambda mean, log_var: losses.kl_to_standard_normal(
        mean[:, :1], log_var[:, :1]
    ),
}


def exercise_3(kl_is_right) -> None:
    """``kl_is_right(kl)``: whether ``kl(mean, log_var)`` computes eq:kl-standard.

    ``kl`` gives one number an image.
    """
    right = {
        "one as vaelib has it": losses.kl_to_standard_normal,
        "one written in another order": lambda mean, log_var: (
            -0.5 * (1 + log_var - mean**2 - torch.exp(log_var)).sum(dim=1)
        ),
    }
    for name, kl in right.items():
        verdict = answered(kl_is_right(kl))
        assert isinstance(verdict, bool), "Return True or False."
        assert verdict, f"You reject a right one ({name}). Rounding may differ in the last digits."
    for name, kl in WRONG_KLS.items():
        assert kl_is_right(kl) is False, f"You let one pass that {name}."


def exercise_4(logit_of_mean) -> None:
    """``logit_of_mean(g)``: the logits of continuous Bernoullis with the means g.

    The mean for a logit is that of eq:continuous-bernoulli.
    """
    g = torch.tensor([0.02, 0.1, 0.3, 0.499, 0.5, 0.501, 0.7, 0.9, 0.98], dtype=torch.float64)
    given = answered(logit_of_mean(g.clone()))
    assert isinstance(given, torch.Tensor) and given.shape == g.shape, (
        "Return one logit a grey level, a tensor like g."
    )
    assert given.isfinite().all(), f"Some logits are not finite: {given.tolist()}."
    # the means by quadrature, without a formula for them: 20,000 midpoints of [0, 1]
    x = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    weight = torch.softmax(given.double().unsqueeze(1) * x, dim=1)
    means = (weight * x).sum(1)
    worst = (means - g).abs().argmax()
    assert (means - g).abs().max() < 1e-4, (
        f"For g = {g[worst]:.3f} your logit {given[worst]:.3f} has the mean {means[worst]:.3f}."
    )


def exercise_5(discretised_normal) -> None:
    """``discretised_normal(y, mean, sigma)``: log-probabilities of grey levels.

    Those of the levels 0 to 255 under a binned normal.
    """
    y = torch.arange(256, dtype=torch.float64)
    for mean, sigma in [(100.0, 20.0), (128.3, 1.0), (3.0, 8.0), (250.0, 30.0), (-5.0, 10.0)]:
        given = answered(discretised_normal(y.clone(), mean, sigma))
        assert isinstance(given, torch.Tensor) and given.shape == y.shape, (
            "Return one log-probability a grey level."
        )
        p = given.double().exp()
        assert (p <= 1).all() and p.isfinite().all(), "A probability is a number between 0 and 1."
        assert abs(p.sum() - 1) < 1e-6, (
            f"At mean {mean} and sigma {sigma} your 256 probabilities add up to {p.sum():.4f}. "
            "Which levels take the rest?"
        )
        inner = y[1:-1]
        # one level's mass by adding up 400 slices of the density
        slices = inner.unsqueeze(1) + (torch.arange(400, dtype=torch.float64) + 0.5) / 400 - 0.5
        mass = torch.exp(-0.5 * ((slices - mean) / sigma) ** 2).mean(1) / (
            sigma * math.sqrt(2 * math.pi)
        )
        worst = (p[1:-1] - mass).abs().argmax()
        assert (p[1:-1] - mass).abs().max() < 1e-5, (
            f"At mean {mean} and sigma {sigma} you give level {int(inner[worst])} the probability "
            f"{p[1:-1][worst]:.4f}; its share of the normal is {mass[worst]:.4f}."
        )

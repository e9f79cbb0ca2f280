"""Photographs from the prior and from a normal fitted to the codes, and what a prior costs."""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaelib import VAE, losses, metrics, plots
from vaelib.models import as_float, draw_latents

FITTED_TO = 20_000  # training images
SHOWN = 8
BINS = 128  # of a latent's histogram, each of the same probability under the prior


def fit(model: VAE, images: Tensor) -> torch.distributions.MultivariateNormal:
    """The normal with mean and covariance of codes drawn from q(z | x) of all ``images``."""
    mean, log_var = metrics.encode(model, images)
    mean = mean.double()
    covariance = mean.T.cov(correction=0) + log_var.double().exp().mean(0).diag()
    return torch.distributions.MultivariateNormal(mean.mean(0), covariance)


def rates(model: VAE, fitted: torch.distributions.MultivariateNormal, images: Tensor) -> dict:
    """Mean KL of the posteriors of ``images`` to N(0, I) and to fitted normals, in bits a value.

    "each" is fitted to every latent by itself, "all" is ``fitted``.
    """
    mean, log_var = (t.double() for t in metrics.encode(model, images))
    variances = log_var.exp()
    square = (mean - fitted.mean).square() + variances
    each = 0.5 * (fitted.variance.log() - log_var + square / fitted.variance - 1)
    precision = fitted.precision_matrix
    of_all = ((mean - fitted.mean) @ precision * (mean - fitted.mean)).sum(1)
    of_all += (variances * precision.diagonal()).sum(1) - log_var.sum(1) - mean.shape[1]
    of_all = 0.5 * (of_all + 2 * fitted.scale_tril.diagonal().log().sum())
    in_nats = {
        "prior": losses.kl_to_standard_normal(mean, log_var),
        "each": each.sum(1),
        "all": of_all,
    }
    values = math.prod(model.image_shape) * math.log(2)
    return {name: kl.mean().item() / values for name, kl in in_nats.items()}


def codes(model: VAE, images: Tensor, seed: int) -> Tensor:
    """A code of each of the ``images``, drawn from q(z | x), (N, latents)."""
    mean, log_var = metrics.encode(model, images)
    return draw_latents(mean, log_var, torch.Generator().manual_seed(seed)).double()


def saved_by_histograms(fitted_to: Tensor, drawn: Tensor) -> tuple[float, float]:
    """Nats that a histogram of each latent alone saves an image, in place of N(0, I); its error.

    The mean log-ratio of the histograms of the codes ``fitted_to`` to the prior, over the codes
    ``drawn`` of other images: on average at most their dimension-wise KL. Both are (N, latents).
    """
    first, second = (
        (torch.special.ndtr(z) * BINS).long().clamp(max=BINS - 1).T.contiguous()
        for z in (fitted_to, drawn)
    )
    counts = torch.stack([of.bincount(minlength=BINS) for of in first]) + 0.5
    log_ratio = (BINS * counts / counts.sum(1, keepdim=True)).log()
    saved = log_ratio.gather(1, second).sum(0)
    return saved.mean().item(), saved.std().item() / len(saved) ** 0.5


def kurtosis(drawn: Tensor) -> Tensor:
    """The fourth power of the standardised codes on average, a latent each; of a normal it is 3."""
    return ((drawn - drawn.mean(0)) / drawn.std(0, correction=0)).pow(4).mean(0)


def picture(model: VAE, fitted: torch.distributions.MultivariateNormal, images: Tensor) -> Figure:
    """Images, their reconstructions, and samples of both priors, a row each."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(SHOWN, model.latent_dim, generator=generator)
    drawn = fitted.mean + noise.double() @ fitted.scale_tril.T
    rows = {
        "photographs": as_float(images[:SHOWN]),
        "reconstructions": model.reconstruct(images[:SHOWN]),
        "prior": model.decoded(noise),
        "fitted normal": model.decoded(drawn.float()),
    }
    figure = Figure(figsize=(8.4, 3.4))
    figure.subplots_adjust(left=0.16, right=0.995, bottom=0.01, top=0.99, hspace=0.06)
    for axis, (name, strip) in zip(figure.subplots(len(rows)), rows.items()):
        plots.show_image(axis, plots.tiled(strip, SHOWN))
        axis.set_axis_off()
        place = dict(ha="right", va="center", fontsize=9)
        axis.text(-0.012, 0.5, name, transform=axis.transAxes, **place)
    return figure

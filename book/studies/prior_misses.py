"""How far a model's codes lie from its prior: what few images can tell of it, for chapters 7, 9."""

from __future__ import annotations

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from vaelib import losses

COMPONENTS = 10  # of the mixture fitted to codes: as many as there are digits


def perfect_codes(rates: Tensor, images: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Means and log-variances, (images, d), of a model whose aggregate posterior is the prior.

    ``rates`` (d,): what each latent costs, in nats. The variance of a cloud is exp(-2 rate), and
    the means have what is left of the prior's variance, 1 - exp(-2 rate), over all images.
    """
    variance = (-2 * rates.double()).exp()
    drawn = torch.randn(images, len(rates), generator=generator, dtype=torch.float64)
    return (1 - variance).sqrt() * drawn, variance.log().expand(images, -1)


def moment_bound(mean: Tensor, log_var: Tensor) -> float:
    """KL(N(m, S) || N(0, I)), m and S the moments of q(z): at most KL(q(z) || p(z)), nats.

    The log-ratio of the two normals is quadratic, so q(z) and N(m, S) give it the same mean, and
    KL(q || p) = KL(q || N(m, S)) + KL(N(m, S) || p).
    """
    mean, variance = mean.double(), log_var.double().exp()
    centre = mean.mean(0)
    covariance = torch.cov(mean.T, correction=0).reshape(len(centre), -1) + variance.mean(0).diag()
    trace, log_det = covariance.trace(), torch.logdet(covariance)
    return 0.5 * (trace + centre.square().sum() - len(centre) - log_det).item()


def fitted_mixture(codes: Tensor) -> GaussianMixture:
    """A mixture of normals fitted to codes (N, d)."""
    return GaussianMixture(COMPONENTS, random_state=0).fit(codes.double().numpy())


def held_out_bound(mixture: GaussianMixture, codes: Tensor) -> float:
    """The mean of log r(z) - log p(z) over codes that the mixture r was not fitted to, nats.

    On average at most KL(q(z) || p(z)), by thm:gibbs, whatever r is.
    """
    log_r = torch.from_numpy(mixture.score_samples(codes.double().numpy()))
    codes = codes.double()
    log_p = losses.gaussian_log_likelihood(codes, torch.zeros_like(codes), 0.0)
    return (log_r - log_p).mean().item()


def mixture_draws(mixture: GaussianMixture, count: int, seed: int) -> Tensor:
    mixture.random_state = seed
    return torch.from_numpy(mixture.sample(count)[0]).float()

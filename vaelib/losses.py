"""Log-likelihoods, KL terms and the objective: pure functions, one value an image, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelib.checks import check_choice
from vaelib.choices import SAMPLINGS

LOG_2PI = math.log(2 * math.pi)
Formula = Callable[[Tensor], Tensor]


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """Log-probability of binary pixels under Bernoullis with these logits (eq:decoder).

    ``x`` and ``logits`` have one shape (N, ...); the result is (N,) nats, summed over pixels. For
    grey ``x`` in [0, 1] it is the expectation over pixels drawn as Bernoulli(x), not a
    log-likelihood of ``x``. Source: Kingma & Welling (2014), appendix C.1.

    >>> bernoulli_log_likelihood(torch.ones(1, 4), torch.zeros(1, 4))  # four times log(1/2)
    tensor([-2.7726])
    """
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_sigma: Tensor | float) -> Tensor:
    """Log-density under normals N(mean, sigma^2), log_sigma = log(sigma) (eq:gaussian-ll).

    ``x`` and ``mean`` have one shape (N, ...), ``log_sigma`` broadcasts to it; the result is (N,)
    nats, summed over pixels; a density, so it may be positive.
    Source: Kingma & Welling (2014), appendix C.2.

    >>> gaussian_log_likelihood(torch.zeros(1, 2), torch.zeros(1, 2), math.log(0.1))
    tensor([2.7673])
    """
    log_sigma = torch.as_tensor(log_sigma, dtype=mean.dtype, device=mean.device)
    standardised = (x - mean) * torch.exp(-log_sigma)
    return (-0.5 * standardised.square() - log_sigma - 0.5 * LOG_2PI).flatten(1).sum(1)


def optimal_log_sigma(x: Tensor, mean: Tensor) -> Tensor:
    """The log of the one sigma under which all of ``x`` is likeliest (eq:optimal-sigma).

    ``x`` and ``mean`` have one shape (N, ...); half the log of their mean squared error, at least
    1e-12, a scalar, comes back. Source: Rybkin, Daniilidis & Levine (2021), section 3.

    >>> optimal_log_sigma(torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2)).exp() ** 2
    tensor(5.)
    """
    return 0.5 * (x - mean).square().mean().clamp_min(1e-12).log()


def continuous_bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """Log-density of grey pixels under continuous Bernoullis (eq:continuous-bernoulli).

    ``x`` in [0, 1] and ``logits`` have one shape (N, ...); the result is (N,) nats, summed over
    pixels. Source: Loaiza-Ganem & Cunningham (2019), equation 7.

    >>> continuous_bernoulli_log_likelihood(torch.tensor([[0.3]]), torch.zeros(1, 1))  # uniform
    tensor([0.])
    """
    log_constant = _where_small(
        logits,
        near_zero=lambda t: math.log(2) + t.square() / 12 - 7 * t.pow(4) / 1440,
        elsewhere=lambda t: torch.log(t.abs() / torch.tanh(t.abs() / 2)),
    )
    return bernoulli_log_likelihood(x, logits) + log_constant.flatten(1).sum(1)


def continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    """The mean of a continuous Bernoulli, not its logits' sigmoid (eq:continuous-bernoulli).

    >>> continuous_bernoulli_mean(torch.tensor([0.0, 2.0]))
    tensor([0.5000, 0.6565])
    """
    return _where_small(
        logits,
        near_zero=lambda t: 0.5 + t / 12 - t.pow(3) / 720,
        elsewhere=lambda t: 1 / -torch.expm1(-t.clamp(-80, 80)) - 1 / t,
    )


def _where_small(t: Tensor, near_zero: Formula, elsewhere: Formula, bound: float = 0.1) -> Tensor:
    # each branch sees only arguments that it can take, or the other's NaN would reach the gradient
    small = t.abs() < bound
    series, formula = near_zero(torch.where(small, t, 0.0)), elsewhere(torch.where(small, 1.0, t))
    return torch.where(small, series, formula)


def discretised_logistic_log_likelihood(
    x: Tensor, mean: Tensor, log_scale: Tensor | float
) -> Tensor:
    """Log-probability of 8-bit pixels, a logistic integrated over each level (eq:bits-per-dim).

    ``x`` holds grey levels / 255, ``mean`` is on the same scale, both (N, ...); exp(log_scale) is
    the logistic's scale there. The 256 levels' probabilities add up to one; the result is (N,)
    nats, summed over pixels, never positive.
    Source: Kingma et al. (2016), appendix; the open ends: Salimans et al. (2017), section 2.1.

    >>> levels = torch.arange(256).view(256, 1) / 255
    >>> discretised_logistic_log_likelihood(levels, torch.tensor(0.4), -2.0).exp().sum()
    tensor(1.0000)
    """
    inverse = torch.exp(-torch.as_tensor(log_scale, dtype=mean.dtype, device=mean.device))
    upper = (x + 0.5 / 255 - mean) * inverse
    lower = (x - 0.5 / 255 - mean) * inverse
    # log(sigmoid(upper) - sigmoid(lower)), factored so that nothing is rounded to log 0
    inner = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-inverse / 255))
    white_or_inner = torch.where(x > 254.5 / 255, F.logsigmoid(-lower), inner)
    return torch.where(x < 0.5 / 255, F.logsigmoid(upper), white_or_inner).flatten(1).sum(1)


def bits_per_dimension(
    log_likelihood: Tensor, dimensions: int, density_on_unit_interval: bool = False
) -> Tensor:
    """Nats an image to bits a pixel value, -log p / (D log 2) (eq:bits-per-dim).

    ``dimensions`` is D = channels x height x width. Give log-probabilities of 8-bit images as they
    are. A log-density of dequantised pixels (level + u + 1/2) / 256 in [0, 1) is one of numbers
    packed 256 times closer: say ``density_on_unit_interval`` and log2(256) = 8 bits are added.
    Source: Theis, van den Oord & Bethge (2016), section 3.1.

    >>> bits_per_dimension(torch.tensor(-784 * math.log(256)), 784)  # every level alike
    tensor(8.)
    """
    return -log_likelihood / (dimensions * math.log(2)) + (8.0 if density_on_unit_interval else 0.0)


def kl_to_standard_normal_per_dimension(mean: Tensor, log_var: Tensor) -> Tensor:
    """The KL of each latent, (N, latent_dim) nats, the summands of eq:kl-standard."""
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1)


def kl_to_standard_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, diag exp(log_var)) || N(0, I)) in closed form (eq:kl-standard).

    ``mean`` and ``log_var`` are (N, latent_dim); the result is (N,) nats, summed over latent
    dimensions. Source: Kingma & Welling (2014), appendix B.

    >>> kl_to_standard_normal(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    tensor([2.5000])
    """
    return kl_to_standard_normal_per_dimension(mean, log_var).sum(1)


def negative_elbo(log_likelihood: Tensor, kl: Tensor, beta: float = 1.0) -> Tensor:
    """The loss -(log_likelihood - beta * kl): at beta = 1 the negative ELBO (eq:elbo).

    ``log_likelihood`` is log p(x | z) at z ~ q(z | x), ``kl`` is KL(q(z | x) || p(z)); both (N,)
    nats, as is the result; its mean over the batch is what `fit` descends (eq:minibatch-elbo).
    Source: Kingma & Welling (2014), equation 3; Higgins et al. (2017), equation 4.

    >>> negative_elbo(torch.tensor([-90.0]), torch.tensor([20.0]), beta=4.0)
    tensor([170.])
    """
    return beta * kl - log_likelihood


def log_importance_weight(
    log_likelihood: Tensor, z: Tensor, mean: Tensor, log_var: Tensor
) -> Tensor:
    """log w = log p(x | z) + log p(z) - log q(z | x) (the weight of eq:iwae-bound), in nats.

    ``z`` ~ q(z | x) is (N, latent_dim), one draw an image, or (K, N, latent_dim), K of them;
    ``log_likelihood`` = log p(x | z) is (N,) or (K, N), as is the result; ``mean`` and ``log_var``
    are (N, latent_dim).

    >>> z, at_prior = torch.tensor([[0.3]]), torch.zeros(1, 1)
    >>> log_importance_weight(torch.tensor([-5.0]), z, at_prior, at_prior)  # p(z) = q(z | x)
    tensor([-5.])
    """
    draws, means, log_vars = (t.expand_as(z).reshape(-1, z.shape[-1]) for t in (z, mean, log_var))
    log_prior = gaussian_log_likelihood(draws, torch.zeros_like(draws), 0.0)
    log_posterior = gaussian_log_likelihood(draws, means, 0.5 * log_vars)
    log_prior, log_posterior = (t.view_as(log_likelihood) for t in (log_prior, log_posterior))
    return log_likelihood + log_prior - log_posterior


def importance_weighted_bound(log_weight: Tensor) -> Tensor:
    """log((w_1 + ... + w_K) / K) of each image (eq:iwae-bound); K = 1 is one draw's ELBO.

    ``log_weight`` is (K, N), the result (N,), in nats.
    Source: Burda, Grosse & Salakhutdinov (2016), equation 8.

    >>> importance_weighted_bound(torch.tensor([[-90.0], [-88.0]]))
    tensor([-88.5662])
    """
    return log_weight.logsumexp(0) - math.log(len(log_weight))


def capacity_loss(log_likelihood: Tensor, kl: Tensor, capacity: float, gamma: float) -> Tensor:
    """Mean reconstruction + ``gamma * |mean kl - capacity|`` over the batch (eq:capacity).

    Two (N,) in nats, a scalar out. Source: Burgess et al. (2018), equation 8.

    >>> capacity_loss(torch.tensor([-90.0]), torch.tensor([7.0]), capacity=5.0, gamma=10.0)
    tensor(110.)
    """
    return gamma * (kl.mean() - capacity).abs() - log_likelihood.mean()


class KLTerms(NamedTuple):
    """The three parts of the KL (eq:kl-decomposition) at each z, (N,) nats.

    mutual_information = log q(z | x) - log q(z), of index and code; total_correlation = log q(z) -
    sum_j log q(z_j); dimension_wise_kl = sum_j (log q(z_j) - log p(z_j)). A single z's may be
    negative; their means, which are the parts themselves, are not.
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_wise_kl: Tensor


def kl_terms(
    z: Tensor,
    mean: Tensor,
    log_var: Tensor,
    dataset_size: int | None = None,
    sampling: str = "stratified",
    first: int = 0,
) -> KLTerms:
    """The KL taken apart at z ~ q(z | x_n), with the M images given for q(z) (eq:kl-decomposition).

    ``mean`` and ``log_var`` are (M, latent_dim), ``z`` is (N, latent_dim), row i drawn from image
    ``first`` + i. Without ``dataset_size`` the M images are the whole data set, and q(z) is exact.
    Otherwise they are a random part of it, and ``sampling`` says how they stand for the rest:
    "weighted", each with 1 / (dataset_size M) (eq:mws), or "stratified", z's own image with 1 /
    dataset_size, the others sharing the rest alike: an unbiased estimate of q(z), so too low a log.
    Memory: N x M x latent_dim floats. Source: Chen et al. (2018), sections 3 and 4, appendix C.

    >>> mean = torch.tensor([[-9.0], [9.0]])  # two images, told apart: log 2 nats
    >>> kl_terms(mean, mean, torch.zeros(2, 1)).mutual_information
    tensor([0.6931, 0.6931])
    """
    n, m = len(z), len(mean)
    size = m if dataset_size is None else dataset_size
    check_choice("sampling", sampling, SAMPLINGS)
    if size < m:
        raise ValueError(f"dataset_size must be at least the {m} images given; got {size!r}")
    if sampling == "stratified" and m > 1:
        log_weight = z.new_full((n, m), math.log((1 - 1 / size) / (m - 1)))
    else:
        log_weight = z.new_full((n, m), -math.log(size * m))
    if sampling == "stratified":
        log_weight.diagonal(first).fill_(-math.log(size))

    squares = (z.unsqueeze(1) - mean).square() * torch.exp(-log_var)
    log_density = -0.5 * (squares + log_var + LOG_2PI)
    log_conditional = log_density.diagonal(first).sum(0)
    log_joint = torch.logsumexp(log_density.sum(2) + log_weight, 1)
    log_marginals = torch.logsumexp(log_density + log_weight.unsqueeze(2), 1).sum(1)
    log_prior = -0.5 * (z.square() + LOG_2PI).sum(1)
    terms = log_conditional - log_joint, log_joint - log_marginals, log_marginals - log_prior
    return KLTerms(*terms)

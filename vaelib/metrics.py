"""What a trained model is worth: the ELBO and its terms, and the importance-weighted
log-likelihood, in nats.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib import losses
from vaelib.models import VAE, as_float, draw_latents, evaluation_mode

TEMPORARY = 2**24  # numbers in the largest temporary of `kl_decomposition`: 64 MB of float32


def encode(model: VAE, images: Tensor, batch_size: int = 512) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z | x) of every image (eq:encoder), ``batch_size`` in the model at
    a time.

    ``images`` are (N, C, H, W), uint8 or floats, on any device; two (N, latent_dim) come back, on
    the model's.
    """
    with evaluation_mode(model):
        codes = [model.encode(batch.to(model.device)) for batch in images.split(batch_size)]
    mean, log_var = (torch.cat(part) for part in zip(*codes))
    return mean, log_var


class ElboTerms(NamedTuple):
    """The two terms of the ELBO of each image, (N,) nats: reconstruction = -E_q[log p(x | z)] and
    kl.
    """

    reconstruction: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """-(reconstruction + kl), (N,) nats (eq:elbo)."""
        return -losses.negative_elbo(-self.reconstruction, self.kl)


def elbo_terms(
    model: VAE, images: Tensor, samples: int = 1, batch_size: int = 512, seed: int = 0
) -> ElboTerms:
    """Reconstruction and KL of each image (eq:elbo), the first averaged over ``samples`` draws of
    z.

    ``images`` are (N, C, H, W), uint8 or floats; at most ``batch_size`` images are in the model at
    a time.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    reconstruction, kl = [], []
    with evaluation_mode(model):
        for batch in images.split(batch_size):
            x = as_float(batch.to(model.device))
            mean, log_var = model.encode(x)
            draws = (model.decode(draw_latents(mean, log_var, generator)) for _ in range(samples))
            reconstruction.append(
                -sum(model.log_likelihood(x, output) for output in draws) / samples
            )
            kl.append(losses.kl_to_standard_normal(mean, log_var))
    return ElboTerms(torch.cat(reconstruction), torch.cat(kl))


def elbo(
    model: VAE, images: Tensor, samples: int = 1, batch_size: int = 512, seed: int = 0
) -> Tensor:
    """The ELBO of each image at beta = 1 (eq:elbo): (N, C, H, W) to (N,) nats; arguments as in
    `elbo_terms`.
    """
    return elbo_terms(model, images, samples, batch_size, seed).elbo


def log_likelihood(
    model: VAE, images: Tensor, samples: int, batch_size: int = 512, seed: int = 0
) -> Tensor:
    """Importance-weighted estimate of log p(x) with ``samples`` draws from q(z | x)
    (eq:iwae-bound): (N,) nats.

    Its expectation is a lower bound that tightens as ``samples`` grows. Give binary images to a
    Bernoulli model: of grey ones it has no log-likelihood. At most ``batch_size`` draws are decoded
    at a time, whatever ``samples``. Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    at_once = max(1, batch_size // samples)
    with evaluation_mode(model):
        return torch.cat(
            [
                _log_mean_weight(model, x, samples, batch_size, generator)
                for x in images.split(at_once)
            ]
        )


def _log_mean_weight(model, images, samples, batch_size, generator) -> Tensor:
    x = as_float(images.to(model.device))
    mean, log_var = model.encode(x)
    total = torch.full((len(x),), -math.inf, device=model.device)
    draws_at_once = max(1, batch_size // len(x))
    for start in range(0, samples, draws_at_once):
        draws = min(draws_at_once, samples - start)
        repeated = [t.expand(draws, *t.shape).flatten(0, 1) for t in (x, mean, log_var)]
        log_weights = _log_weight(model, *repeated, generator).view(draws, len(x))
        total = torch.logaddexp(total, log_weights.logsumexp(0))
    return total - math.log(samples)


def _log_weight(model, x, mean, log_var, generator) -> Tensor:
    """log of w = p(x | z) p(z) / q(z | x) at one z ~ q(z | x) an image (the weight of
    eq:iwae-bound).
    """
    z = draw_latents(mean, log_var, generator)
    return losses.log_importance_weight(model.log_likelihood(x, model.decode(z)), z, mean, log_var)


def kl_per_dimension(model: VAE, images: Tensor, batch_size: int = 512) -> Tensor:
    """The mean KL of each latent over ``images``, the summands of eq:kl-standard: (latent_dim,)
    nats.
    """
    per_image = losses.kl_to_standard_normal_per_dimension(*encode(model, images, batch_size))
    return per_image.mean(0)


def active_units(model: VAE, images: Tensor, batch_size: int = 512) -> Tensor:
    """How far each latent's posterior mean moves from image to image: its variance, (latent_dim,)
    (eq:active-units).

    A latent counts as active when this is above 0.01. Source: Burda, Grosse & Salakhutdinov (2016),
    section 5.2.
    """
    mean, _ = encode(model, images, batch_size)
    return mean.var(0, unbiased=False)


def kl_decomposition(
    model: VAE,
    images: Tensor,
    dataset_size: int | None = None,
    points: int = 2000,
    batch_size: int = 512,
    seed: int = 0,
) -> losses.KLTerms:
    """Index-code mutual information, total correlation and dimension-wise KL (eq:kl-decomposition),
    one value a point.

    One z is drawn for each of the first ``points`` images; their means are the estimates, sd /
    sqrt(points) the standard errors. Without ``dataset_size`` the aggregate posterior
    (eq:aggregate-posterior) is that of exactly these images; give the size of the set they are a
    random part of and it is estimated ("stratified", see `losses.kl_terms`): the mutual information
    then comes out too high, the less so the more images. Time: points x images. Source: Hoffman &
    Johnson (2016), equation 8; Chen et al. (2018), equation 2.
    """
    mean, log_var = encode(model, images, batch_size)
    z = draw_latents(mean, log_var, torch.Generator(mean.device).manual_seed(seed))[:points]
    rows = max(1, TEMPORARY // mean.numel())
    parts = [
        losses.kl_terms(part, mean, log_var, dataset_size, first=i * rows)
        for i, part in enumerate(z.split(rows))
    ]
    return losses.KLTerms(*(torch.cat(term) for term in zip(*parts)))

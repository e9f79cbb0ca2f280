"""What a trained model is worth: the ELBO, its terms, and log p(x), in nats."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib import losses
from vaelib.checks import check_images, check_whole
from vaelib.device import evaluation_mode
from vaelib.models import VAE, as_float, draw_latents

TEMPORARY = 2**24  # numbers in the largest temporary of `kl_decomposition`: 64 MB of float32


def encode(model: VAE, images: Tensor, batch_size: int = 512) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z | x) of every image (eq:encoder): two (N, latent_dim).

    ``images`` are (N, C, H, W), uint8 or floats, on any device, ``batch_size`` of them in the model
    at a time; what comes back is on the model's.

    >>> images = vaelib.load("mnist-5k", binarize=True).test
    >>> encode(vaelib.load_pretrained("digits-2"), images)[0].shape
    torch.Size([500, 2])
    """
    with evaluation_mode(model):
        codes = [model.encode(x) for x in _batches(model, images, batch_size)]
    mean, log_var = (torch.cat(part) for part in zip(*codes))
    return mean, log_var


def _batches(model: VAE, images: Tensor, size: int) -> Iterator[Tensor]:
    """The images as floats on the model's device, ``size`` at a time; ValueError for no images."""
    check_whole("batch_size", size)
    check_images(images, model.image_shape, model.likelihood, model.to_mean.weight.dtype)
    return (as_float(batch.to(model.device)) for batch in images.split(size))


class ElboTerms(NamedTuple):
    """The two terms of the ELBO of each image, (N,) nats: -E_q[log p(x | z)] and the KL."""

    reconstruction: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """-(reconstruction + kl), (N,) nats (eq:elbo)."""
        return -losses.negative_elbo(-self.reconstruction, self.kl)


def elbo_terms(
    model: VAE, images: Tensor, samples: int = 1, batch_size: int = 512, seed: int = 0
) -> ElboTerms:
    """Reconstruction and KL of each image (eq:elbo), the first a mean of ``samples`` draws of z.

    ``images`` are (N, C, H, W), uint8 or floats; at most ``batch_size`` images are in the model at
    a time.

    >>> images = vaelib.load("mnist-5k", binarize=True).test
    >>> terms = elbo_terms(vaelib.load_pretrained("digits-2"), images)
    >>> round(terms.reconstruction.mean().item()), round(terms.kl.mean().item())
    (149, 6)
    """
    check_whole("samples", samples)
    generator = torch.Generator(model.device).manual_seed(seed)
    reconstruction, kl = [], []
    with evaluation_mode(model):
        for x in _batches(model, images, batch_size):
            mean, log_var = model.encode(x)
            draws = (model.decode(draw_latents(mean, log_var, generator)) for _ in range(samples))
            log_likelihoods = (model.log_likelihood(x, output) for output in draws)
            reconstruction.append(-torch.as_tensor(sum(log_likelihoods)) / samples)
            kl.append(losses.kl_to_standard_normal(mean, log_var))
    return ElboTerms(torch.cat(reconstruction), torch.cat(kl))


def elbo(
    model: VAE, images: Tensor, samples: int = 1, batch_size: int = 512, seed: int = 0
) -> Tensor:
    """The ELBO of each image at beta = 1 (eq:elbo), (N,) nats; arguments as in `elbo_terms`."""
    return elbo_terms(model, images, samples, batch_size, seed).elbo


def log_likelihood(
    model: VAE, images: Tensor, samples: int, batch_size: int = 512, seed: int = 0
) -> Tensor:
    """Importance-weighted estimate of log p(x), ``samples`` draws an image (eq:iwae-bound).

    (N,) nats; its expectation is a lower bound that tightens as ``samples`` grows. Give binary
    images to a Bernoulli model: of grey ones it has no log-likelihood. At most ``batch_size`` draws
    are decoded at a time, whatever ``samples``.
    Source: Burda, Grosse & Salakhutdinov (2016), equation 8.

    >>> images = vaelib.load("mnist-5k", binarize=True).test
    >>> round(log_likelihood(vaelib.load_pretrained("digits-2"), images, samples=64).mean().item())
    -150
    """
    for name, value in (("samples", samples), ("batch_size", batch_size)):
        check_whole(name, value)
    generator = torch.Generator(model.device).manual_seed(seed)
    with evaluation_mode(model):
        parts = _batches(model, images, max(1, batch_size // samples))
        return torch.cat(
            [_log_mean_weight(model, x, samples, batch_size, generator) for x in parts]
        )


def _log_mean_weight(
    model: VAE, x: Tensor, samples: int, batch_size: int, generator: torch.Generator
) -> Tensor:
    mean, log_var = model.encode(x)
    total = torch.full((len(x),), -math.inf, device=model.device)
    draws_at_once = max(1, batch_size // len(x))
    for start in range(0, samples, draws_at_once):
        draws = min(draws_at_once, samples - start)
        xs, means, log_vars = (t.expand(draws, *t.shape).flatten(0, 1) for t in (x, mean, log_var))
        z = draw_latents(means, log_vars, generator)
        log_px_z = model.log_likelihood(xs, model.decode(z))
        log_weights = losses.log_importance_weight(log_px_z, z, means, log_vars).view(draws, len(x))
        total = torch.logaddexp(total, log_weights.logsumexp(0))
    return total - math.log(samples)


def kl_per_dimension(model: VAE, images: Tensor, batch_size: int = 512) -> Tensor:
    """The mean KL of each latent over ``images``, the summands of eq:kl-standard: (latent_dim,).

    >>> images = vaelib.load("sprites", image_size=32).held_out(200)[0]
    >>> kl = kl_per_dimension(vaelib.load_pretrained("sprites-beta-vae"), images)  # nats
    >>> int((kl > 0.1).sum())  # of ten
    3
    """
    per_image = losses.kl_to_standard_normal_per_dimension(*encode(model, images, batch_size))
    return per_image.mean(0)


def active_units(model: VAE, images: Tensor, batch_size: int = 512) -> Tensor:
    """The variance of each latent's posterior mean from image to image: (latent_dim,).

    A latent counts as active when this is above 0.01 (eq:active-units).
    Source: Burda, Grosse & Salakhutdinov (2016), section 5.2.

    >>> images = vaelib.load("sprites", image_size=32).held_out(200)[0]
    >>> int((active_units(vaelib.load_pretrained("sprites-beta16"), images) > 0.01).sum())
    3
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
    """Mutual information, total correlation and dimension-wise KL, a value a point.

    One z is drawn for each of the first ``points`` images; their means are the three parts of
    eq:kl-decomposition, sd / sqrt(points) the standard errors. Without ``dataset_size`` the
    aggregate posterior (eq:aggregate-posterior) is that of exactly these images; give the size of
    the set they are a random part of and it is estimated ("stratified", see `losses.kl_terms`): the
    mutual information then comes out too high, the less so the more images. Time: points x images.
    Source: Hoffman & Johnson (2016), equation 8; Chen et al. (2018), equation 2.

    >>> images = vaelib.load("mnist-5k", binarize=True).test
    >>> terms = kl_decomposition(vaelib.load_pretrained("digits-2"), images)
    >>> round(terms.mutual_information.mean().item())  # at most log(500) = 6.2
    5
    """
    mean, log_var = encode(model, images, batch_size)
    z = draw_latents(mean, log_var, torch.Generator(mean.device).manual_seed(seed))[:points]
    rows = max(1, TEMPORARY // mean.numel())
    pieces = enumerate(z.split(rows))
    parts = [losses.kl_terms(z, mean, log_var, dataset_size, first=i * rows) for i, z in pieces]
    return losses.KLTerms(*(torch.cat(term) for term in zip(*parts)))

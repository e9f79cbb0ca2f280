"""`VAE`: a convolutional encoder, and the decoder that mirrors it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaelib import losses
from vaelib.checks import check_images, check_latent_map, check_model, check_whole
from vaelib.choices import FIRST_SIGMA, SIGMA_WORDS
from vaelib.device import evaluation_mode
from vaelib.initial_weights import initialise, last_layer
from vaelib.layers import ConvSpec, conv_layers, conv_sizes, dense_layers, mirrored_layers

DEFAULT_CONVS = (ConvSpec(32), ConvSpec(64))


class VAEOutput(NamedTuple):
    """What a forward pass computes: decoder output (logits or means), mean and log_var, and z.

    With K samples an image ``output`` and ``z`` have a dimension K before the images'.
    """

    output: Tensor
    mean: Tensor
    log_var: Tensor
    z: Tensor


class VAE(nn.Module):
    """Encoder q(z | x) (eq:encoder), prior N(0, I), decoder p(x | z) (eq:decoder).

    ``image_shape`` is (channels, height, width); ``convs`` may be empty (fully connected);
    ``hidden`` is the width of the dense layer between convolutions and latents, a list of widths,
    or () for none; the decoder is the encoder mirrored. ``likelihood`` is "bernoulli" or
    "continuous-bernoulli" (the decoder returns logits), "gaussian" or "discretised-logistic" (it
    returns means). The last two have one scale exp(log_sigma), shared by all pixels: ``sigma`` is
    "learnt" (from 1, the logistic's from 0.1), a fixed number, or for the Gaussian "optimal"
    (eq:optimal-sigma, on each minibatch; its running mean in evaluation). ``latent_map`` gives each
    place of the last convolution's grid its share of the latents (``latent_shape``), by 1 x 1
    convolutions. A beta-VAE is this same class. Raises ValueError naming a layer that can't fit.
    Source: Kingma & Welling (2014), section 3 and appendix C.

    >>> model = VAE((1, 28, 28), latent_dim=16)
    >>> output, mean, log_var, z = model(torch.rand(8, 1, 28, 28))
    >>> tuple(output.shape), tuple(mean.shape)
    ((8, 1, 28, 28), (8, 16))
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        latent_dim: int,
        convs: Sequence[ConvSpec] = DEFAULT_CONVS,
        hidden: int | Sequence[int] = 256,
        likelihood: str = "bernoulli",
        activation: str = "relu",
        sigma: float | str = "learnt",
        latent_map: bool = False,
    ):
        super().__init__()
        hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        check_model(image_shape, latent_dim, hidden, likelihood, activation, sigma)
        self.image_shape, self.latent_dim, self.convs = tuple(image_shape), latent_dim, tuple(convs)
        self.hidden, self.likelihood = hidden, likelihood
        self.activation, self.sigma, self.latent_map = activation, sigma, latent_map

        sizes = conv_sizes(self.image_shape, self.convs)
        channels = [self.image_shape[0], *(conv.channels for conv in self.convs)]
        act = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
        encoder, features = conv_layers(self.convs, channels, act), (channels[-1], *sizes[-1])
        self.latent_shape: tuple[int, ...] = (latent_dim,)
        head: Callable[[], nn.Module]
        if latent_map:
            check_latent_map(latent_dim, sizes, hidden)
            share, width = latent_dim // math.prod(sizes[-1]), channels[-1]
            self.latent_shape = (share, *sizes[-1])
            head = partial(nn.Conv2d, width, share, kernel_size=1)
            from_latent = [nn.Unflatten(1, self.latent_shape), nn.Conv2d(share, width, 1), act()]
        else:
            widths = [math.prod(features), *hidden]
            encoder += [nn.Flatten(), *dense_layers(widths, act)]
            head = partial(nn.Linear, widths[-1], latent_dim)
            from_latent = dense_layers([latent_dim, *reversed(widths)], act)
            from_latent = from_latent if self.convs else from_latent[:-1]
            from_latent += [nn.Unflatten(1, features)]
        self.encoder, self.to_mean, self.to_log_var = nn.Sequential(*encoder), head(), head()
        to_image = mirrored_layers(self.convs, channels, sizes, act)[:-1]
        self.decoder = nn.Sequential(*from_latent, *to_image)
        if likelihood in SIGMA_WORDS:
            first = FIRST_SIGMA[likelihood] if isinstance(sigma, str) else sigma
            log_sigma = torch.tensor(math.log(first))
            if sigma == "learnt":
                self.log_sigma = nn.Parameter(log_sigma)
            else:
                self.register_buffer("log_sigma", log_sigma)
        initialise(self, activation, heads=[self.to_mean, self.to_log_var, last_layer(self)])

    @property
    def config(self) -> dict:
        """The arguments that build this model again: ``VAE(**model.config)``."""
        names = "image_shape latent_dim convs hidden likelihood activation sigma latent_map"
        return {name: getattr(self, name) for name in names.split()}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.to_mean.weight.device

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log_var of q(z | x) (eq:encoder): images (N, C, H, W) to two (N, latent_dim)."""
        features = self.encoder(as_float(x))
        mean, log_var = self.to_mean(features), self.to_log_var(features)
        return _full(mean.flatten(1)), _full(log_var.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        """The parameters of p(x | z) (eq:decoder): logits or means (N, C, H, W), not squashed."""
        return _full(self.decoder(z))

    def forward(
        self, x: Tensor, noise: torch.Generator | Tensor | None = None, samples: int = 1
    ) -> VAEOutput:
        """Encode, z = mean + sigma * epsilon, decode (eq:minibatch-elbo).

        ``noise`` is epsilon or draws it. ``samples`` above 1 draws and decodes so many z for each
        image, which is encoded once (eq:iwae-bound): output and z have them as their first
        dimension, as an epsilon (samples, N, latent_dim) has.
        """
        mean, log_var = self.encode(x)
        if samples > 1 and not isinstance(noise, Tensor):
            noise = mean.new_empty(samples, *mean.shape).normal_(generator=noise)
        z = draw_latents(mean, log_var, noise)
        output = self.decode(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        return VAEOutput(output, mean, log_var, z)

    def log_likelihood(self, x: Tensor, output: Tensor) -> Tensor:
        """log p(x | z) of images under the decoder's ``output``: (N,) nats; (K, N) of K draws."""
        if output.ndim > x.ndim:
            every = as_float(x).expand_as(output).flatten(0, 1)
            return self.log_likelihood(every, output.flatten(0, 1)).view(output.shape[:2])
        x = as_float(x)
        if self.likelihood == "bernoulli":
            return losses.bernoulli_log_likelihood(x, output)
        if self.likelihood == "continuous-bernoulli":
            return losses.continuous_bernoulli_log_likelihood(x, output)
        if self.likelihood == "discretised-logistic":
            return losses.discretised_logistic_log_likelihood(x, output, self.log_sigma)
        return losses.gaussian_log_likelihood(x, output, self._gaussian_log_sigma(x, output))

    def _gaussian_log_sigma(self, x: Tensor, output: Tensor) -> Tensor:
        if self.sigma != "optimal" or not self.training:
            return self.log_sigma
        # at the optimum the gradient through sigma vanishes, so it may be detached
        optimal = losses.optimal_log_sigma(x, output.detach())
        self.log_sigma.lerp_(optimal, 0.05)
        return optimal

    def expected_image(self, output: Tensor) -> Tensor:
        """The mean of p(x | z) as an image in [0, 1], from ``output``; other means are clipped."""
        if self.likelihood == "bernoulli":
            return output.sigmoid()
        if self.likelihood == "continuous-bernoulli":
            return losses.continuous_bernoulli_mean(output)
        return output.clamp(0, 1)

    def decoded(self, z: Tensor) -> Tensor:
        """The decoder's mean at ``z`` (N, latent_dim): (N, C, H, W) in [0, 1], no gradients."""
        with evaluation_mode(self):
            return self.expected_image(self.decode(z.to(self.device)))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` images (n, C, H, W) in [0, 1]: the decoder's mean at z ~ N(0, I)."""
        check_whole("n", n)
        z = torch.randn(n, self.latent_dim, generator=generator, device=self.device)
        return self.decoded(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The decoder's mean at the posterior mean: (N, C, H, W) to as many in [0, 1], no noise."""
        check_images(x, self.image_shape, self.likelihood, self.to_mean.weight.dtype)
        with evaluation_mode(self):
            mean, _ = self.encode(x.to(self.device))
        return self.decoded(mean)


def as_float(images: Tensor) -> Tensor:
    """uint8 pixels 0..255 as floats in [0, 1]; floats come back as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _full(t: Tensor) -> Tensor:
    """What autocast left in bfloat16 as float32, for the loss; anything else as it is."""
    return t.float() if t.dtype == torch.bfloat16 else t


def draw_latents(
    mean: Tensor, log_var: Tensor, noise: torch.Generator | Tensor | None = None
) -> Tensor:
    """z = mean + exp(log_var / 2) * epsilon (the sample of eq:minibatch-elbo).

    ``noise`` is epsilon, or a generator that draws epsilon ~ N(0, I) in the shape of ``mean``.
    Source: Kingma & Welling (2014), section 2.4.

    >>> draw_latents(torch.zeros(1), torch.tensor([2.0]).log(), noise=torch.tensor([1.0]))
    tensor([1.4142])
    """
    if not isinstance(noise, Tensor):
        noise = torch.empty_like(mean).normal_(generator=noise)
    return mean + torch.exp(0.5 * log_var) * noise

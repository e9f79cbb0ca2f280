"""`AdaGVAE` and `Pairs`: images in pairs that share some factors, and a VAE that learns from that.

Source: Locatello et al. (2020), "Weakly-supervised disentanglement without compromises".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelib import distributed
from vaelib.checks import check_whole
from vaelib.data.factors import FactorImages
from vaelib.models import VAE


def averaged(mean: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """Posteriors of pairs, one posterior for both in each latent that is close (eq:ada-gvae).

    ``mean`` and ``log_var`` are (N, d), row i paired with row i + N / 2; so is what comes back. A
    latent is close where its KL between the two is below half way from the pair's least to its
    greatest. It then takes the mean of the two means, and of the two variances: the group VAE's
    average, in place of the product of the two densities. Source: Locatello et al. (2020),
    section 4; the average: Hosoya (2019).

    >>> mean = torch.tensor([[1.0, 0.0], [3.0, 0.5]])  # one pair: apart in the first latent
    >>> averaged(mean, torch.zeros(2, 2))[0]
    tensor([[1.0000, 0.2500],
            [3.0000, 0.2500]])
    """
    (mean_1, mean_2), (var_1, var_2) = mean.chunk(2), log_var.exp().chunk(2)
    ratio = var_1 / var_2
    divergence = 0.5 * (ratio + (mean_1 - mean_2).square() / var_2 - 1 - ratio.log())
    least, greatest = divergence.aminmax(dim=1, keepdim=True)
    shared = (divergence < (least + greatest) / 2).repeat(2, 1)
    both_mean = (0.5 * (mean_1 + mean_2)).repeat(2, 1)
    both_log_var = (0.5 * (var_1 + var_2)).log().repeat(2, 1)
    return torch.where(shared, both_mean, mean), torch.where(shared, both_log_var, log_var)


class AdaGVAE(VAE):
    """A VAE whose posteriors in training are `averaged` over pairs; else a VAE like any other.

    Train it on `Pairs`, with any objective. A single image is encoded as ever, and a saved model
    comes back as the VAE that it is outside training. Raises ValueError, in training, for an odd
    number of images, or where several processes train together: pairs would be torn apart.
    Source: Locatello et al. (2020), section 4.

    >>> pairs = Pairs(vaelib.load("sprites", image_size=32))
    >>> model = AdaGVAE((1, 32, 32), latent_dim=4, convs=[], hidden=16)
    >>> history = vaelib.fit(model, pairs, steps=2, progress=False)
    """

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log_var of q(z | x), two (N, latent_dim); in training those of pairs."""
        mean, log_var = super().encode(x)
        if not self.training:
            return mean, log_var
        if len(mean) % 2 or distributed.team().size > 1:
            got = f"{len(mean)} images in {distributed.team().size} process(es)"
            raise ValueError(f"an AdaGVAE trains on pairs of images in one process; got {got}")
        return averaged(mean, log_var)


@dataclass(frozen=True)
class Pairs:
    """A stream of images in pairs that differ in ``changed`` of their factors, at random which.

    Without ``changed`` each pair draws it, uniform from 1 to one less than there are factors. The
    factors that change are drawn anew, uniform over all their values, and so may come out as they
    were. Source: Locatello et al. (2020), section 5: k = 1, or random; here the latter unless
    ``changed`` is 1. Raises ValueError for a ``changed`` that leaves no factor shared.

    >>> sprites = vaelib.load("sprites", image_size=32)
    >>> images, factors = Pairs(sprites, changed=1).sample(128, torch.Generator().manual_seed(0))
    >>> int((factors[:64] != factors[64:]).sum(1).max())
    1
    """

    of: FactorImages
    changed: int | None = None

    def __post_init__(self) -> None:
        most = len(self.of.factor_sizes) - 1
        if self.changed is not None:
            check_whole("changed", self.changed)
            if self.changed > most:
                raise ValueError(f"changed must be at most {most}; got {self.changed}")

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images and their factors: the first of every pair, then the others in order.

        They are on the generator's device. Raises ValueError for an odd ``n``.
        """
        if n % 2:
            raise ValueError(
                f"pairs make an even number of images, and an even batch_size; got {n}"
            )
        size, device = (n // 2, len(self.of.factor_sizes)), generator.device
        first, other = (self.of.sample_factors(n // 2, generator) for _ in range(2))
        if self.changed is None:
            count = torch.randint(1, size[1], (n // 2, 1), generator=generator, device=device)
        else:
            count = torch.full((n // 2, 1), self.changed, device=device)
        rank = torch.rand(size, generator=generator, device=device).argsort(1).argsort(1)
        factors = torch.cat([first, torch.where(rank < count, other, first)])
        return self.of.images(factors), factors

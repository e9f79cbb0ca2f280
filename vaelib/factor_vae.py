"""`FactorVAE`: an objective with a discriminator that estimates the total correlation."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelib.checks import check_rate, check_whole
from vaelib.initial_weights import initialise
from vaelib.layers import dense_layers
from vaelib.objectives import beta_vae
from vaelib.schedules import PROBED, Schedule, as_schedule

HIDDEN_LAYERS, SLOPE = 6, 0.2  # of the discriminator; the slope of its leaky ReLUs below 0
BETAS = 0.5, 0.9  # Adam's, of the discriminator
# added to the seed of the permutations: drawn from a stream that also makes the codes (`fit` has
# the same seeds, and 32 bits of them count) they would follow the codes, and permute nothing
ANOTHER_STREAM = 180205983


class FactorVAE:
    """The negative ELBO plus ``gamma`` times a total correlation estimate (eq:factor-vae).

    The discriminator, a network from ``latent_dim`` codes through six layers of ``width`` to one
    logit, learns to tell drawn codes from the same with each latent permuted over the minibatch;
    its logit then estimates
    log q(z) - sum_j log q(z_j) (eq:density-ratio). Each call makes one step of its Adam, of
    ``learning_rate``, and adds gamma times the mean logit to the loss, through which no gradient
    reaches it; without gradients, as under torch.no_grad, it does not learn. Step 0 begins with a
    new discriminator, drawn from ``seed``: the same arguments give the same training. Its weights,
    Adam's averages and its random stream are in ``state_dict``, and so in a checkpoint of `fit`.
    ``gamma`` is a number at least 0, or a function of the step. Raises ValueError for an argument
    out of range, or for codes of another number of latents.

    The drawn and the permuted codes are of one minibatch, where the paper takes a second one for
    the permuted: its loss is a sum of two means, and whether their samples are independent changes
    the expectation of neither. Source: Kim & Mnih (2018), equation 2, algorithms 1 and 2, and
    its appendix (width 1,000, rate 1e-4).

    >>> objective = FactorVAE(latent_dim=3, gamma=35.0, width=16)
    >>> data = vaelib.load("sprites", image_size=32)
    >>> model = vaelib.VAE(data.image_shape, latent_dim=3, convs=[], hidden=16)
    >>> history = vaelib.fit(model, data, steps=2, objective=objective, progress=False)
    """

    def __init__(
        self,
        latent_dim: int,
        gamma: float | Schedule,
        width: int = 1000,
        learning_rate: float = 1e-4,
        seed: int = 0,
    ):
        for name, value in (("latent_dim", latent_dim), ("width", width)):
            check_whole(name, value)
        check_rate("learning_rate", learning_rate)
        self.latent_dim, self.width, self.seed = latent_dim, width, seed
        self.gamma_at, self.learning_rate = as_schedule("gamma", gamma), learning_rate
        self._negative_elbo = beta_vae()
        self._begin()

    def _begin(self) -> None:
        """A discriminator that can tell nothing yet, its optimiser and its random stream."""
        widths, act = [self.latent_dim, *[self.width] * HIDDEN_LAYERS], partial(nn.LeakyReLU, SLOPE)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            last = nn.Linear(self.width, 1)
            self.discriminator = nn.Sequential(*dense_layers(widths, act), last)
            initialise(self.discriminator, "relu", [], SLOPE)
        nn.init.zeros_(last.weight)  # logit 0: it knows nothing yet, and pushes no code anywhere
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), self.learning_rate, BETAS, fused=True
        )
        self.generator = torch.Generator().manual_seed(self.seed + ANOTHER_STREAM)

    def __call__(
        self, log_likelihood: Tensor, mean: Tensor, log_var: Tensor, z: Tensor, step: int
    ) -> Tensor:
        """The loss of this minibatch, a scalar in nats an image, after a discriminator's step."""
        if step == 0:
            self._begin()
        if torch.is_grad_enabled():
            self.learn(z.detach())
        negative_elbo = self._negative_elbo(log_likelihood, mean, log_var, z, step)
        return negative_elbo + self.gamma_at(step) * self.total_correlation(z)

    def total_correlation(self, z: Tensor) -> Tensor:
        """The mean logit of codes (N, d) or (K, N, d): the total correlation it sees, in nats."""
        codes = self._codes(z)
        self.discriminator.requires_grad_(False)  # of its weights the loss asks nothing
        return self.discriminator(codes).mean()

    def learn(self, z: Tensor) -> Tensor:
        """One step of the discriminator on drawn codes (N, d) or (K, N, d); its loss, in nats.

        The mean binary cross-entropy: log 2 where it can't tell the codes from permuted ones.
        """
        codes = self._codes(z)
        self.discriminator.requires_grad_(True)
        drawn, mixed = (
            self.discriminator(codes),
            self.discriminator(permuted(codes, self.generator)),
        )
        loss = 0.5 * (F.softplus(-drawn).mean() + F.softplus(mixed).mean())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict:
        """Weights, Adam's averages, random stream, and the arguments, for a checkpoint."""
        return {
            "arguments": self._arguments(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave; ValueError for that of other arguments."""
        if state["arguments"] != (own := self._arguments()):
            raise ValueError(f"of another FactorVAE: {state['arguments']}, not {own}")
        self._go_to(next(iter(state["discriminator"].values())))
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def _arguments(self) -> dict:
        """What tells this objective from another one; gamma, maybe a function, at a few steps."""
        names = "latent_dim", "width", "learning_rate", "seed"
        gammas = [float(self.gamma_at(step)) for step in PROBED]
        return {**{name: getattr(self, name) for name in names}, "gamma": gammas}

    def _codes(self, z: Tensor) -> Tensor:
        """A code a row; the discriminator follows to where they are."""
        if z.shape[-1] != self.latent_dim:
            what = f"this discriminator takes codes of {self.latent_dim} latents"
            raise ValueError(f"{what}; got {z.shape[-1]}")
        self._go_to(z)
        return z.flatten(0, -2)

    def _go_to(self, t: Tensor) -> None:
        weight = self.discriminator[0].weight
        if (weight.device, weight.dtype) != (t.device, t.dtype):
            self.discriminator.to(t.device, t.dtype)
            # Adam's averages are put where the weights are when they are loaded
            self.optimizer.load_state_dict(self.optimizer.state_dict())


def permuted(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Each latent of ``codes`` (N, d) in an order of its own: nearly independent, as it was alone.

    Two latents of a row are still of one image once in N times. ``generator`` is a CPU's. Source:
    Kim & Mnih (2018), algorithm 1.

    >>> codes = torch.arange(4.0).repeat(2, 1).T
    >>> permuted(codes, torch.Generator().manual_seed(0)).sort(0).values.equal(codes)
    True
    """
    order = torch.rand(codes.shape, generator=generator).argsort(0)
    return codes.gather(0, order.to(codes.device))

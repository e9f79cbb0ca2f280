"""What `fit` descends: beta-VAE, annealed capacity, beta-TCVAE and IWAE, each a function."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from vaelib import losses
from vaelib.checks import check_whole

# a schedule of a weight is found here, beside what it weighs
from vaelib.schedules import Schedule, as_schedule, cyclical, falling, linear, warm_up  # noqa: F401


class Objective(Protocol):
    """What `fit` descends: any function of a minibatch that returns its loss.

    Of N images and d latents, ``log_likelihood`` = log p(x | z) is (N,); ``mean`` and ``log_var``
    of q(z | x), and ``z`` drawn from it, are (N, d); ``step`` counts from 0. With K samples an
    image ``log_likelihood`` is (K, N), ``z`` (K, N, d). The loss is a scalar, in nats an image. One
    that learns itself has a torch module's state_dict and load_state_dict, and is resumed with it.

    >>> def free_bits(log_likelihood, mean, log_var, z, step):
    ...     kl = losses.kl_to_standard_normal_per_dimension(mean, log_var)
    ...     return kl.mean(0).clamp(min=0.1).sum() - log_likelihood.mean()
    >>> data = vaelib.load("mnist-5k", binarize=True)
    >>> model = vaelib.VAE(data.image_shape, latent_dim=2, convs=[], hidden=16)
    >>> history = vaelib.fit(model, data, epochs=1, objective=free_bits, progress=False)
    """

    def __call__(
        self, log_likelihood: Tensor, mean: Tensor, log_var: Tensor, z: Tensor, step: int, /
    ) -> Tensor:
        """The loss of this minibatch."""
        ...


def beta_vae(beta: float | Schedule = 1.0) -> Objective:
    """The mean of reconstruction + beta * kl (eq:beta-elbo); beta = 1 is the negative ELBO.

    ``beta`` is a number at least 0, or a function of the step (eq:minibatch-elbo at 1).
    Source: Higgins et al. (2017), equation 4.

    >>> log_likelihood, at_prior = torch.tensor([-90.0]), torch.zeros(1, 2)
    >>> beta_vae(4.0)(log_likelihood, at_prior + 1, at_prior, at_prior, 0)  # 90 + 4 * 1
    tensor(94.)
    """
    beta_at = as_schedule("beta", beta)

    def objective(log_likelihood, mean, log_var, z, step):
        kl = losses.kl_to_standard_normal(mean, log_var)
        return losses.negative_elbo(log_likelihood, kl, beta_at(step)).mean()

    return objective


def annealed_capacity(capacity: float | Schedule, gamma: float = 100.0) -> Objective:
    """The mean reconstruction + ``gamma * |mean kl - C|``, C = ``capacity`` nats (eq:capacity).

    C is usually `linear` in the step. Source: Burgess et al. (2018), equation 8.

    >>> log_likelihood, at_prior = torch.tensor([-90.0]), torch.zeros(1, 2)
    >>> annealed_capacity(3.0, gamma=100.0)(log_likelihood, at_prior + 1, at_prior, at_prior, 0)
    tensor(290.)
    """
    capacity_at, gamma_at = as_schedule("capacity", capacity), as_schedule("gamma", gamma)

    def objective(log_likelihood, mean, log_var, z, step):
        kl = losses.kl_to_standard_normal(mean, log_var)
        return losses.capacity_loss(log_likelihood, kl, capacity_at(step), gamma_at(step))

    return objective


def beta_tcvae(
    beta: float | Schedule,
    dataset_size: int,
    sampling: str = "stratified",
    rest: float | Schedule = 1.0,
) -> Objective:
    """The negative ELBO, its total correlation weighed ``beta`` times, not once (eq:beta-tc).

    The KL is exact; the total correlation is estimated on the minibatch (eq:mws), of a training set
    of ``dataset_size`` images, with ``sampling`` "weighted" or "stratified". ``rest`` weighs the
    other two parts of the KL, both alike. Source: Chen et al. (2018), section 3.

    >>> log_likelihood, at_prior = torch.tensor([-90.0]), torch.zeros(1, 1)
    >>> beta_tcvae(6.0, dataset_size=60_000)(log_likelihood, at_prior, at_prior, at_prior, 0)
    tensor(90.)
    """
    beta_at, rest_at = as_schedule("beta", beta), as_schedule("rest", rest)
    check_whole("dataset_size", dataset_size, 2)

    def objective(log_likelihood, mean, log_var, z, step):
        kl = losses.kl_to_standard_normal(mean, log_var)
        total_correlation = losses.kl_terms(
            z, mean, log_var, dataset_size, sampling
        ).total_correlation
        extra = beta_at(step) - rest_at(step)
        return (
            losses.negative_elbo(log_likelihood, kl, rest_at(step)) + extra * total_correlation
        ).mean()

    return objective


def iwae() -> Objective:
    """The mean of -log((w_1 + ... + w_K) / K), w an image's importance weights (eq:iwae-bound).

    K is ``samples`` of `fit`; with one draw it is the negative ELBO, its KL estimated by that draw
    instead of exact. Source: Burda, Grosse & Salakhutdinov (2016), equation 8.

    >>> log_likelihood, at_prior = torch.tensor([[-90.0], [-88.0]]), torch.zeros(1, 1)
    >>> iwae()(log_likelihood, at_prior, at_prior, at_prior.expand(2, 1, 1), 0)
    tensor(88.5662)
    """

    def objective(log_likelihood, mean, log_var, z, step):
        log_weight = losses.log_importance_weight(log_likelihood, z, mean, log_var)
        return -losses.importance_weighted_bound(log_weight.view(-1, len(mean))).mean()

    return objective

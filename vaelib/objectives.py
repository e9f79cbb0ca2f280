"""What `fit` descends: beta-VAE, annealed capacity, beta-TCVAE and IWAE, each a function; and
schedules for their weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from vaelib import losses

Schedule = Callable[[int], float]


class Objective(Protocol):
    """What `fit` descends: any function of a minibatch that returns one number, a scalar tensor in
    nats an image.

    Of N images and d latents, ``log_likelihood`` = log p(x | z) is (N,); ``mean`` and ``log_var``
    of q(z | x), and ``z`` drawn from it, are (N, d); ``step`` counts from 0. With K samples an
    image ``log_likelihood`` is (K, N), ``z`` (K, N, d).

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


def linear(start: float, end: float, steps: int) -> Schedule:
    """A schedule that goes from ``start`` at step 0 to ``end`` at ``steps`` in a straight line, and
    stays there.
    """
    _at_least("steps", steps, 1)
    return lambda step: start + (end - start) * min(1.0, step / steps)


def falling(start: float, end: float, steps: int) -> Schedule:
    """A schedule that goes from ``start`` at step 0 to ``end`` at ``steps`` by a constant factor a
    step, and stays there.
    """
    _at_least("steps", steps, 1)
    if not (start > 0 and end > 0):
        raise ValueError(f"start and end must be above 0; got {start!r} and {end!r}")
    return lambda step: start * (end / start) ** min(1.0, step / steps)


def warm_up(end: float, steps: int) -> Schedule:
    """Linear from 0 to ``end`` over ``steps`` steps. Source: Bowman et al. (2016), section 3.1;
    Sonderby et al. (2016).
    """
    return linear(0.0, end, steps)


def cyclical(end: float, period: int, ramp: float = 0.5) -> Schedule:
    """In each ``period`` of steps: linear from 0 to ``end`` over its first part ``ramp``, then at
    ``end`` until the next.

    Source: Fu et al. (2019), equation 6.
    """
    _at_least("period", period, 1)
    if not 0 < ramp <= 1:
        raise ValueError(f"ramp must be above 0 and at most 1; got {ramp!r}")
    return lambda step: end * min(1.0, (step % period) / (ramp * period))


def beta_vae(beta: float | Schedule = 1.0) -> Objective:
    """The mean of reconstruction + beta * kl (eq:beta-elbo); ``beta`` = 1 is the negative ELBO
    (eq:minibatch-elbo).

    ``beta`` is a number at least 0, or a function of the step. Source: Higgins et al. (2017),
    equation 4.
    """
    beta_at = _schedule("beta", beta)

    def objective(log_likelihood, mean, log_var, z, step):
        kl = losses.kl_to_standard_normal(mean, log_var)
        return losses.negative_elbo(log_likelihood, kl, beta_at(step)).mean()

    return objective


def annealed_capacity(capacity: float | Schedule, gamma: float = 100.0) -> Objective:
    """The mean reconstruction + ``gamma * |mean kl - C|``, C = ``capacity`` nats, usually `linear`
    in the step (eq:capacity).

    Source: Burgess et al. (2018), equation 8.
    """
    capacity_at, gamma_at = _schedule("capacity", capacity), _schedule("gamma", gamma)

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
    """The negative ELBO, its total correlation weighed ``beta`` times instead of once (eq:beta-tc).

    The KL is exact; the total correlation is estimated on the minibatch (eq:mws), of a training set
    of ``dataset_size`` images, with ``sampling`` "weighted" or "stratified". ``rest`` weighs the
    other two parts of the KL, both alike. Source: Chen et al. (2018), section 3.
    """
    beta_at, rest_at = _schedule("beta", beta), _schedule("rest", rest)
    _at_least("dataset_size", dataset_size, 2)

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
    """The mean of -log((w_1 + ... + w_K) / K), w the importance weights of an image's K draws
    (eq:iwae-bound).

    K is ``samples`` of `fit`; with one draw it is the negative ELBO, its KL estimated by that draw
    instead of exact. Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
    """

    def objective(log_likelihood, mean, log_var, z, step):
        log_weight = losses.log_importance_weight(log_likelihood, z, mean, log_var)
        return -losses.importance_weighted_bound(log_weight.view(-1, len(mean))).mean()

    return objective


def _schedule(name: str, value: float | Schedule) -> Schedule:
    if callable(value):
        return value
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{name} must be a number at least 0, or a function of the step; got {value!r}"
        )
    return lambda step: value


def _at_least(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")

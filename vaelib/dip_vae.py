"""`dip_vae`: an objective that pulls the covariance of the codes towards the identity matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelib.checks import check_choice, check_weight
from vaelib.objectives import Objective, beta_vae

KINDS = "i", "ii"


def dip_vae(kind: str, off_diagonal: float, diagonal: float) -> Objective:
    """The negative ELBO plus `covariance_penalty`, of the means ("i") or of the codes ("ii").

    The covariance is that of the minibatch; ``off_diagonal`` and ``diagonal``, numbers at least 0,
    weigh its two parts (eq:dip). Source: Kumar, Sattigeri & Balakrishnan (2018), equations 6 and 7.

    >>> mean, log_var = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.zeros(2, 2)
    >>> log_likelihood = torch.zeros(2)  # the mean KL is 1; the means' covariance is all ones
    >>> dip_vae("i", off_diagonal=5.0, diagonal=50.0)(log_likelihood, mean, log_var, mean, 0)
    tensor(11.)
    >>> dip_vae("ii", off_diagonal=5.0, diagonal=5.0)(log_likelihood, mean, log_var, mean, 0)
    tensor(21.)
    """
    check_choice("kind", kind, KINDS)
    check_weight("off_diagonal", off_diagonal)
    check_weight("diagonal", diagonal)
    negative_elbo = beta_vae()

    def objective(log_likelihood, mean, log_var, z, step):
        covariance = covariance_of_means(mean)
        if kind == "ii":
            covariance = covariance + log_var.exp().mean(0).diag()
        penalty = covariance_penalty(covariance, off_diagonal, diagonal)
        return negative_elbo(log_likelihood, mean, log_var, z, step) + penalty

    return objective


def covariance_of_means(mean: Tensor) -> Tensor:
    """The covariance (d, d) of posterior means (N, d) over the images, divided by N.

    With the posteriors' mean variances on its diagonal added it is that of the drawn codes.

    >>> covariance_of_means(torch.tensor([[1.0, 2.0], [-1.0, -2.0]]))
    tensor([[1., 2.],
            [2., 4.]])
    """
    centred = mean - mean.mean(0)
    return centred.T @ centred / len(mean)


def covariance_penalty(covariance: Tensor, off_diagonal: float, diagonal: float) -> Tensor:
    """How far a covariance (d, d) is from the identity: the weighted squares of the differences.

    Each pair of latents counts twice, as it stands in the matrix. A scalar, no nats. Source: Kumar,
    Sattigeri & Balakrishnan (2018), equations 6 and 7.

    >>> covariance_penalty(torch.tensor([[3.0, 0.5], [0.5, 1.0]]), off_diagonal=10.0, diagonal=1.0)
    tensor(9.)
    """
    square = (covariance - torch.eye(len(covariance), device=covariance.device)).square()
    on = square.diagonal().sum()
    return off_diagonal * (square.sum() - on) + diagonal * on

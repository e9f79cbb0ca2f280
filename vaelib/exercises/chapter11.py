"""The self-tests of chapter 11."""

from __future__ import annotations

import math

import torch

from vaelib.exercises import answered

f64 = torch.float64


def exercise_3(iwae_loss) -> None:
    """``iwae_loss(log_likelihood, z, mean, log_var)``: minus the log of the mean weight.

    It is the mean over images; the mean weight is over an image's draws.
    """
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=f64)

    def result_of(*arguments):
        value = torch.as_tensor(answered(iwae_loss(*arguments)), dtype=f64)
        assert value.numel() == 1, "Return one number: the mean over the images."
        return value.reshape(())

    # the true posterior of x = z + noise, at which every weight is p(x)
    x = torch.tensor([[-1.0], [0.5], [2.0]], dtype=f64)
    z = x / 2 + math.sqrt(0.5) * normal(4, 3, 1)
    exact = -torch.distributions.Normal(0.0, math.sqrt(2)).log_prob(x).mean()
    log_likelihood = torch.distributions.Normal(z, 1.0).log_prob(x).sum(2)
    result = result_of(log_likelihood, z, x / 2, torch.full_like(x, math.log(0.5)))
    assert abs(result - exact) < 1e-6, (
        f"With the true posterior every weight is p(x), and the loss {exact:.4f}, whatever K is; "
        f"you say {result:.4f}. "
        "Which of the three terms of log w has the wrong sign, or is missing?"
    )
    log_likelihood, z, mean, log_var = normal(5, 6), normal(5, 6, 3), normal(6, 3), normal(6, 3)
    expected = _loss(log_likelihood, z, mean, log_var)
    result = result_of(log_likelihood, z, mean, log_var)
    assert abs(result - expected) < 1e-6, (
        f"Right for equal weights, not for weights that differ: you say {result:.4f}, it should be "
        f"{expected:.4f}. "
        "The mean over the draws is inside the logarithm, the mean over the images outside."
    )
    far = result_of(log_likelihood - 5000, z, mean, log_var)
    assert torch.isfinite(far) and abs(far - result - 5000) < 1e-6, (
        "Log-likelihoods around -5000: the weights themselves are 0 in floating point. Stay with "
        "their logarithms."
    )


def _loss(log_likelihood, z, mean, log_var):
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(2)
    posterior = torch.distributions.Normal(mean, torch.exp(log_var / 2)).log_prob(z).sum(2)
    return -(log_likelihood + prior - posterior).exp().mean(0).log().mean()


def exercise_4(difference) -> None:
    """``difference(a, b)``: the mean of a - b and its standard error.

    ``a`` and ``b`` are values on the same images.
    """
    generator = torch.Generator().manual_seed(4)
    hard = 20 * torch.randn(400, generator=generator, dtype=f64)
    a = -90 + hard + torch.randn(400, generator=generator, dtype=f64)
    b = -91 + hard + torch.randn(400, generator=generator, dtype=f64)
    given = answered(difference(a, b))
    assert isinstance(given, tuple) and len(given) == 2, (
        "Return two numbers: the mean and its standard error."
    )
    mean, error = (float(value) for value in given)
    assert abs(mean - (a - b).mean()) < 1e-6, (
        f"The mean of a - b is {(a - b).mean():.3f}; you say {mean:.3f}."
    )
    apart = math.sqrt((a.var() + b.var()) / 400)
    assert abs(error - apart) > 0.1, (
        f"{error:.2f} is the error if the two had been judged on different images. An image that "
        "is hard for one is hard for the other: what is the spread of the differences?"
    )
    exact = ((a - b).std() / 20).item()
    assert abs(error - exact) < 0.01 * exact, (
        f"The standard error of a mean of 400 differences: you say {error:.4f}, it should be "
        f"{exact:.4f}."
    )

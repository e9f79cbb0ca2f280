"""The self-tests of chapter 3."""

from __future__ import annotations

import math

import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vaelib.exercises import answered
from vaelib.models import VAE


def exercise_3(best_diagonal) -> None:
    """``best_diagonal(P)``: the variances of the best diagonal q, and its gap.

    The posterior is normal, with precision P.
    """
    generator = torch.Generator().manual_seed(3)
    for d in (1, 2, 4):
        root = torch.randn(d, d, generator=generator, dtype=torch.float64)
        P = root @ root.T + torch.eye(d, dtype=torch.float64)
        answer = answered(best_diagonal(P))
        assert isinstance(answer, tuple) and len(answer) == 2, (
            "Return two things: the variances and the gap."
        )
        variances, gap = (torch.as_tensor(part, dtype=torch.float64) for part in answer)
        assert variances.shape == (d,), f"There are {d} latents: return a tensor of {d} variances."
        assert (variances > 0).all(), "A variance is positive."
        posterior = MultivariateNormal(torch.zeros(d, dtype=torch.float64), precision_matrix=P)

        def gap_of(variances, posterior=posterior):
            return kl_divergence(MultivariateNormal(posterior.mean, variances.diag()), posterior)

        yours = gap_of(variances)
        for j in range(d):
            for factor in (0.99, 1.01):
                other = variances.clone()
                other[j] *= factor
                assert gap_of(other) >= yours - 1e-12, (
                    f"For {d} latents, {'a smaller' if factor < 1 else 'a larger'} variance of "
                    f"latent {j + 1} would bring q closer to the posterior. In which direction do "
                    "you measure the KL?"
                )
        assert gap.numel() == 1 and torch.isclose(gap.reshape(()), yours, rtol=1e-6, atol=1e-9), (
            f"The variances are right. Their gap is not {gap.sum():.4f} nats: is the factor in "
            "front right, and the sign?"
        )


def exercise_4(importance_weighted) -> None:
    """``importance_weighted(log_w)``: (K, N) log-weights to the (N,) logs of their averages."""
    log_w = torch.randn(7, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    given = answered(importance_weighted(log_w))
    assert isinstance(given, torch.Tensor) and given.shape == (5,), (
        "One value an image: a tensor of shape (N,)."
    )
    same = importance_weighted(torch.full((8, 2), -3.0, dtype=torch.float64))
    assert torch.allclose(same, torch.full_like(same, -3.0)), (
        f"If all {8} log-weights are -3, their average weight is exp(-3); you return {same[0]:.3f}."
    )
    assert torch.allclose(given.exp(), log_w.exp().mean(0)), (
        "This is not the logarithm of the average weight."
    )
    low = importance_weighted(log_w.float() - 1000)
    assert torch.isfinite(low).all(), (
        "With log-weights near -1000 your result is not finite: exp() has underflowed."
    )
    assert torch.allclose(low.double() + 1000, given, atol=1e-3), (
        "Lower all log-weights by 1000: so must the result be."
    )


def exercise_5(log_weights_of) -> None:
    """``log_weights_of(model, images, K, generator)``: log p(x, z) - log q(z | x), (K, N).

    The log-weights of K draws z ~ q(z | x) an image.
    """
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = VAE((1, 1, 3), 1, convs=(), hidden=(), likelihood="gaussian").double()
        images = torch.rand(4, 1, 1, 3, dtype=torch.float64)
    W = model.decoder[0].weight.detach()  # type: ignore[operator]
    b = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    s, K = 0.5, 4000
    with torch.no_grad():
        model.decoder[0].bias.copy_(b)  # type: ignore[operator]
        model.log_sigma.fill_(math.log(s))
        model.to_log_var.weight.mul_(0.1)
        start = math.log(s**2 / (s**2 + W.square().sum())) + 0.5
        torch.nn.init.constant_(model.to_log_var.bias, start)  # type: ignore[arg-type]  # it has one
    with torch.no_grad():
        given = answered(log_weights_of(model, images, K, torch.Generator().manual_seed(0)))
    assert isinstance(given, torch.Tensor) and given.shape == (K, 4), (
        "Return a tensor of shape (K, N)."
    )
    assert (given.std(0) > 1e-6).all(), (
        "The K weights of an image are all the same: draw a new z for each."
    )

    # E_q[log w] is the ELBO, which this model has in closed form
    with torch.no_grad():
        mean, log_var = model.encode(images)
    error = (images.flatten(1) - mean @ W.T - b).square().sum(1) + log_var.exp().squeeze(
        1
    ) * W.square().sum()
    reconstruction = error / (2 * s**2) + 1.5 * math.log(2 * math.pi * s**2)
    kl = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(1)
    off = given.mean(0) + reconstruction + kl
    assert (off.abs() < 5 * given.std(0) / math.sqrt(K)).all(), (
        "The mean of your log-weights is not the ELBO. A log-weight has three terms: are all "
        "there, with their signs, and is the scale of the noise a standard deviation?"
    )
    # the mean weight is p(x)
    covariance = W @ W.T + s**2 * torch.eye(3, dtype=torch.float64)
    evidence = MultivariateNormal(b, covariance).log_prob(images.flatten(1)).exp()
    w = given.exp()
    assert ((w.mean(0) - evidence).abs() < 5 * w.std(0) / math.sqrt(K)).all(), (
        "The mean of your log-weights is the ELBO, but the mean of the weights is not p(x): "
        "use the density of q at the very z that was drawn, not its average."
    )
    with torch.no_grad():
        again = log_weights_of(model, images, K, torch.Generator().manual_seed(0))
    assert torch.equal(given, again), (
        "The same generator seed must give the same weights: draw all noise from it."
    )

"""ELBO and importance-weighted likelihood against a linear-Gaussian model, whose likelihood is
exact.
"""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from vaelib import VAE, metrics

D, LATENTS = 6, 2


def linear_gaussian(log_var_offset: float = 0.0, mean_offset: float = 0.0):
    """A VAE without hidden layers, p(x | z) = N(Wz + b, s^2 I), W with orthogonal columns so that
    the posterior is diagonal.

    Its encoder is the exact posterior, but for the two offsets. Returns the model, p(x), the
    posterior, images from p(x).
    """
    generator = torch.Generator().manual_seed(0)
    model = VAE((1, 2, 3), LATENTS, convs=(), hidden=(), likelihood="gaussian").double()
    draw = torch.randn(D, LATENTS, generator=generator, dtype=torch.float64)
    W = torch.linalg.qr(draw).Q * torch.tensor([1.5, 0.7], dtype=torch.float64)
    b, s = torch.randn(D, generator=generator, dtype=torch.float64), 0.6
    precision = W.T @ W / s**2 + torch.eye(LATENTS, dtype=torch.float64)
    to_mean = torch.linalg.solve(precision, W.T) / s**2
    with torch.no_grad():
        model.log_sigma.fill_(math.log(s))
        decoder = next(layer for layer in model.decoder if hasattr(layer, "weight"))
        decoder.weight.copy_(W), decoder.bias.copy_(b)
        model.to_mean.weight.copy_(to_mean), model.to_mean.bias.copy_(-to_mean @ b + mean_offset)
        model.to_log_var.weight.zero_()
        model.to_log_var.bias.copy_(-precision.diagonal().log() + log_var_offset)
    evidence = MultivariateNormal(b, W @ W.T + s**2 * torch.eye(D, dtype=torch.float64))

    def posterior(x):
        return MultivariateNormal((x - b) @ to_mean.T, precision_matrix=precision)

    noise = torch.randn(40, D, generator=generator, dtype=torch.float64)
    images = (evidence.loc + noise @ evidence.scale_tril.T).reshape(40, 1, 2, 3)
    return model, evidence, posterior, images


def test_with_the_exact_posterior_every_weight_is_the_likelihood():
    model, evidence, _, images = linear_gaussian()
    exact = evidence.log_prob(images.flatten(1))
    for samples in (1, 5):
        torch.testing.assert_close(
            metrics.log_likelihood(model, images, samples), exact, rtol=0, atol=1e-10
        )


def test_elbo_plus_the_gap_is_the_likelihood():
    model, evidence, posterior, images = linear_gaussian(log_var_offset=0.8, mean_offset=0.3)
    mean, log_var = model.encode(images)
    q = MultivariateNormal(mean, torch.diag_embed(log_var.exp()))
    exact = evidence.log_prob(images.flatten(1))
    gap = kl_divergence(q, posterior(images.flatten(1))).detach()
    assert gap.mean() > 0.3, "the offsets should open a gap"
    draws = torch.stack([metrics.elbo(model, images, seed=seed) for seed in range(400)])
    error = draws.mean(1).std() / 400**0.5
    assert (draws.mean() + gap.mean() - exact.mean()).abs() < 5 * error
    assert error < 0.02


def test_the_estimate_rises_with_the_samples_and_reaches_the_likelihood():
    model, evidence, _, images = linear_gaussian(log_var_offset=0.8, mean_offset=0.3)
    exact = evidence.log_prob(images.flatten(1)).mean()
    means = [
        torch.stack(
            [metrics.log_likelihood(model, images, k, seed=s).mean() for s in range(60)]
        ).mean()
        for k in (1, 4, 16)
    ]
    assert means[0] < means[1] < means[2] < exact
    many = metrics.log_likelihood(model, images, 20_000).mean()
    assert many.item() == pytest.approx(exact.item(), abs=0.01)
    assert metrics.elbo(model, images, samples=500).mean().item() == pytest.approx(
        means[0].item(), abs=0.1
    )


def test_the_terms_are_the_elbos():
    model, _, _, images = linear_gaussian(mean_offset=0.3)
    terms = metrics.elbo_terms(model, images, samples=3, seed=5)
    mean, log_var = model.encode(images)
    q = torch.distributions.Normal(mean, torch.exp(log_var / 2))
    expected_kl = kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).detach()
    torch.testing.assert_close(terms.kl, expected_kl, check_dtype=False)
    torch.testing.assert_close(terms.elbo, -terms.reconstruction - terms.kl)
    torch.testing.assert_close(terms.elbo, metrics.elbo(model, images, samples=3, seed=5))


def test_more_samples_average_the_noise():
    model, _, _, images = linear_gaussian(log_var_offset=0.8)
    spread = [
        torch.stack([metrics.elbo(model, images, n, seed=s) for s in range(100)]).std(0).mean()
        for n in (1, 16)
    ]
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.15), (
        "16 samples quarter the standard deviation"
    )


class CountingVAE(VAE):
    """Remembers the largest batch its decoder saw."""

    largest = 0

    def decode(self, z):
        self.largest = max(self.largest, len(z))
        return super().decode(z)


@pytest.mark.parametrize(("samples", "batch_size"), [(1, 7), (50, 7), (7, 50), (3, 100), (10, 1)])
def test_memory_is_bounded_and_batching_changes_nothing_but_the_draws(samples, batch_size):
    model = CountingVAE((1, 4, 4), 2, convs=(), hidden=5)
    images = (torch.rand(23, 1, 4, 4) < 0.5).float()
    assert metrics.log_likelihood(model, images, samples, batch_size=batch_size).shape == (23,)
    assert metrics.elbo(model, images, samples, batch_size=batch_size).shape == (23,)
    assert model.largest <= batch_size


def test_every_sample_counts_whatever_the_batching():
    model, evidence, _, images = linear_gaussian(log_var_offset=0.5)
    exact = evidence.log_prob(images.flatten(1)).mean().item()
    for batch_size in (30, 1000, 100_000):
        estimate = metrics.log_likelihood(model, images, 2000, batch_size=batch_size).mean().item()
        assert estimate == pytest.approx(exact, abs=0.02)


def test_the_same_seed_gives_the_same_estimate():
    model, _, _, images = linear_gaussian(log_var_offset=0.5)
    first = metrics.log_likelihood(model, images, 10, seed=1)
    assert torch.equal(first, metrics.log_likelihood(model, images, 10, seed=1))
    assert not torch.equal(first, metrics.log_likelihood(model, images, 10, seed=2))

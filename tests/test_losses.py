"""Each loss against torch.distributions, which is somebody else's arithmetic."""

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vaelib import losses


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(1)


def test_kl_equals_torch_distributions(generator):
    mean, log_var = torch.randn(2, 64, 5, generator=generator, dtype=torch.float64)
    q = Independent(Normal(mean, torch.exp(log_var / 2)), 1)
    p = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(
        losses.kl_to_standard_normal(mean, log_var), kl_divergence(q, p), rtol=1e-12, atol=0
    )


def test_kl_known_values():
    zero = torch.zeros(1, 3)
    assert losses.kl_to_standard_normal(zero, zero).item() == 0
    # one latent at mean 2: 2^2 / 2; one at variance e: (e - 1 - 1) / 2
    assert losses.kl_to_standard_normal(torch.tensor([[2.0, 0, 0]]), zero).item() == pytest.approx(
        2.0
    )
    assert losses.kl_to_standard_normal(zero, torch.tensor([[0, 1.0, 0]])).item() == pytest.approx(
        (torch.e - 2) / 2
    )


def test_kl_per_dimension_adds_up(generator):
    mean, log_var = torch.randn(2, 7, 4, generator=generator)
    per_dimension = losses.kl_to_standard_normal_per_dimension(mean, log_var)
    assert per_dimension.shape == (7, 4)
    alone = torch.stack(
        [losses.kl_to_standard_normal(mean[:, [j]], log_var[:, [j]]) for j in range(4)], dim=1
    )
    torch.testing.assert_close(per_dimension, alone)


def test_bernoulli_equals_torch_distributions(generator):
    logits = torch.randn(8, 2, 3, 3, generator=generator, dtype=torch.float64) * 4
    x = (torch.rand(8, 2, 3, 3, generator=generator) < 0.5).double()
    expected = Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(
        losses.bernoulli_log_likelihood(x, logits), expected, rtol=1e-12, atol=0
    )


def test_bernoulli_survives_saturated_logits():
    logits = torch.tensor([[200.0, -200.0]])
    assert losses.bernoulli_log_likelihood(torch.tensor([[1.0, 0.0]]), logits).item() == 0
    assert losses.bernoulli_log_likelihood(torch.tensor([[0.0, 1.0]]), logits).item() == -400


def test_bernoulli_of_grey_pixels_is_the_expectation_over_draws(generator):
    grey, logits = torch.rand(1, 6, generator=generator), torch.randn(1, 6, generator=generator)
    draws = (torch.rand(200_000, 6, generator=generator) < grey).float()
    by_draws = losses.bernoulli_log_likelihood(draws, logits.expand_as(draws))
    five_errors = 5 * by_draws.std().item() / len(draws) ** 0.5
    assert losses.bernoulli_log_likelihood(grey, logits).item() == pytest.approx(
        by_draws.mean().item(), abs=five_errors
    )


@pytest.mark.parametrize("shape", [(), (1, 3, 4, 4)])
def test_gaussian_equals_torch_distributions(generator, shape):
    x, mean = torch.randn(2, 6, 3, 4, 4, generator=generator, dtype=torch.float64)
    log_sigma = torch.randn(shape, generator=generator, dtype=torch.float64)
    expected = Normal(mean, log_sigma.exp()).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(
        losses.gaussian_log_likelihood(x, mean, log_sigma), expected, rtol=1e-12, atol=0
    )


def test_gaussian_takes_a_number_for_log_sigma():
    x = torch.tensor([[1.0, 3.0]])
    by_hand = Normal(0.0, 2.0).log_prob(x).sum()
    result = losses.gaussian_log_likelihood(x, torch.zeros(1, 2), torch.tensor(2.0).log().item())
    assert result.item() == pytest.approx(by_hand.item())


def test_negative_elbo_values_and_sign():
    log_likelihood, kl = torch.tensor([-80.0, -100.0]), torch.tensor([20.0, 5.0])
    assert losses.negative_elbo(log_likelihood, kl).tolist() == [100, 105]
    assert losses.negative_elbo(log_likelihood, kl, beta=4).tolist() == [160, 120]
    assert losses.negative_elbo(log_likelihood, kl, beta=0.5).tolist() == [90, 102.5]


def test_every_loss_is_one_value_an_image():
    x, z = torch.rand(5, 1, 4, 4), torch.randn(5, 3)
    for value in (
        losses.bernoulli_log_likelihood(x, x),
        losses.gaussian_log_likelihood(x, x, 0.0),
        losses.kl_to_standard_normal(z, z),
        losses.negative_elbo(torch.rand(5), torch.rand(5)),
    ):
        assert value.shape == (5,)

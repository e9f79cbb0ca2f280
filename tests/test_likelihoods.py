"""Grey-pixel likelihoods against quadrature and torch.distributions, sigma in its three ways, bits
per dimension.
"""

import math

import pytest
import torch
from torch.distributions import ContinuousBernoulli, Normal

from vaelib import VAE, ConvSpec, ImageData, fit, losses, metrics


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(6)


def test_continuous_bernoulli_equals_torch_distributions(generator):
    logits = 3 * torch.randn(50, 1, 3, 3, generator=generator, dtype=torch.float64)
    x = torch.rand(50, 1, 3, 3, generator=generator, dtype=torch.float64)
    expected = ContinuousBernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(
        losses.continuous_bernoulli_log_likelihood(x, logits), expected, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "logit", [-40.0, -3.0, -0.1001, -0.0999, -1e-6, 0.0, 1e-9, 0.05, 0.1001, 2.0, 40.0]
)
def test_continuous_bernoulli_integrates_to_one_with_its_mean(logit):
    x = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    logits = torch.full_like(x, logit)
    density = losses.continuous_bernoulli_log_likelihood(x.unsqueeze(1), logits.unsqueeze(1)).exp()
    assert density.mean().item() == pytest.approx(1, abs=1e-7)
    assert losses.continuous_bernoulli_mean(logits[:1]).item() == pytest.approx(
        (density * x).mean().item(), abs=1e-7
    )


def test_continuous_bernoulli_has_a_gradient_everywhere():
    logits = torch.tensor([[-50.0, -0.1, -1e-8, 0.0, 1e-8, 0.1, 50.0]], requires_grad=True)
    losses.continuous_bernoulli_log_likelihood(torch.full((1, 7), 0.3), logits).sum().backward()
    # d/d logit of log p is x - mean
    torch.testing.assert_close(
        logits.grad, 0.3 - losses.continuous_bernoulli_mean(logits.detach()), rtol=1e-4, atol=1e-5
    )


def test_optimal_sigma_is_the_likeliest(generator):
    x, mean = torch.randn(2, 30, 1, 4, 4, generator=generator, dtype=torch.float64)
    best = losses.optimal_log_sigma(x, mean)

    def at(log_sigma):
        return losses.gaussian_log_likelihood(x, mean, log_sigma).mean()

    assert at(best) > at(best + 1e-3) and at(best) > at(best - 1e-3)
    n = 16
    assert at(best).item() == pytest.approx(
        -n * best.item() - n / 2 * (1 + math.log(2 * math.pi)), rel=1e-12
    )


@pytest.mark.parametrize(("mean", "scale"), [(0.5, 0.1), (0.02, 0.001), (1.3, 0.05), (-0.4, 2.0)])
def test_the_256_levels_of_a_discretised_logistic_add_up_to_one(mean, scale):
    levels = torch.arange(256, dtype=torch.float64).unsqueeze(1) / 255
    log_p = losses.discretised_logistic_log_likelihood(
        levels, torch.full_like(levels, mean), math.log(scale)
    )
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert (log_p <= 0).all()
    upper, lower = (1 / (1 + math.exp(-(x / 255 - mean) / scale)) for x in (100.5, 99.5))
    by_hand = upper - lower
    assert log_p[100].exp().item() == pytest.approx(by_hand, rel=1e-6, abs=1e-15)


def test_discretised_logistic_survives_a_hopeless_mean():
    x, mean = torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[1.0, -30.0, 0.0]], requires_grad=True)
    log_p = losses.discretised_logistic_log_likelihood(x, mean, -6.0)
    log_p.sum().backward()
    assert log_p.isfinite().all() and mean.grad.isfinite().all()


def test_bits_per_dimension_known_values():
    # a uniform guess among 256 levels costs 8 bits; a uniform density on [0, 1] says the same thing
    d = 12
    assert losses.bits_per_dimension(torch.tensor([-d * math.log(256)]), d).item() == pytest.approx(
        8
    )
    assert (
        losses.bits_per_dimension(torch.tensor([0.0]), d, density_on_unit_interval=True).item() == 8
    )
    assert losses.bits_per_dimension(torch.tensor([-d * math.log(2)]), d).item() == pytest.approx(1)


def test_discrete_and_dequantised_bits_agree_for_a_wide_density(generator):
    """Jensen's gap of dequantisation closes when the density is flat over one grey level."""
    levels = torch.randint(80, 180, (2000, 6), generator=generator).double()
    scale = 0.3

    def logistic(x):
        return -(x / scale) - 2 * torch.nn.functional.softplus(-(x / scale)) - math.log(scale)

    dequantised = (levels + torch.rand(levels.shape, generator=generator)) / 256
    continuous = losses.bits_per_dimension(
        logistic(dequantised - 0.5).sum(1), 6, density_on_unit_interval=True
    ).mean()
    mean = torch.full_like(levels, 0.5)
    discrete = losses.discretised_logistic_log_likelihood(levels / 255, mean, math.log(scale))
    assert losses.bits_per_dimension(discrete, 6).mean().item() == pytest.approx(
        continuous.item(), abs=0.02
    )


@pytest.fixture
def grey():
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 1, 8).expand(1, 8, 8)
    noisy = (ramp + 0.1 * torch.randn(200, 1, 8, 8, generator=generator)).clamp(0, 1)
    pixels = (noisy * 255).round().to(torch.uint8)
    labels = torch.zeros(200, dtype=torch.int64)
    return ImageData("ramp", pixels[:150], pixels[150:], labels[:150], labels[150:])


def trained(data, **arguments):
    torch.manual_seed(0)
    model = VAE(data.image_shape, 2, [ConvSpec(4)], hidden=16, **arguments)
    fit(model, data, epochs=60, batch_size=30, learning_rate=1e-2, device="cpu", progress=False)
    return model


def test_learnt_and_optimal_sigma_agree_with_the_error_that_is_left(grey):
    for sigma in ("learnt", "optimal"):
        model = trained(grey, likelihood="gaussian", sigma=sigma)
        left = (model.reconstruct(grey.test) - grey.test / 255).square().mean().sqrt().item()
        assert model.log_sigma.exp().item() == pytest.approx(left, rel=0.15), sigma


def test_a_fixed_sigma_stays(grey):
    model = trained(grey, likelihood="gaussian", sigma=0.5)
    assert model.log_sigma.exp().item() == pytest.approx(0.5)
    assert "log_sigma" not in dict(model.named_parameters())


def test_optimal_sigma_is_of_the_minibatch_in_training_and_remembered_in_evaluation(grey):
    model = VAE(grey.image_shape, 2, [ConvSpec(4)], likelihood="gaussian", sigma="optimal")
    x, output = torch.rand(2, 5, 1, 8, 8)
    optimum = losses.optimal_log_sigma(x, output)
    expected = losses.gaussian_log_likelihood(x, output, optimum)
    torch.testing.assert_close(model.log_likelihood(x, output), expected)
    remembered = model.log_sigma.clone()
    assert remembered.item() == pytest.approx(0.05 * optimum.item(), rel=1e-4)
    model.eval()
    expected = losses.gaussian_log_likelihood(x, output, remembered)
    torch.testing.assert_close(model.log_likelihood(x, output), expected)
    assert torch.equal(model.log_sigma, remembered), "evaluation must not learn"


def test_metrics_evaluate_in_evaluation_mode_and_put_the_mode_back(grey):
    model = VAE(grey.image_shape, 2, [ConvSpec(4)], likelihood="gaussian", sigma="optimal")
    assert model.training
    for call in (metrics.elbo, lambda m, x: metrics.log_likelihood(m, x, 3), metrics.active_units):
        call(model, grey.test)
        assert model.training and model.log_sigma.item() == 0
    model.sample(2)
    assert model.training and model.reconstruct(grey.test[:2]).requires_grad is False


def test_every_likelihood_trains_and_makes_pictures(grey):
    for likelihood in ("bernoulli", "continuous-bernoulli", "gaussian", "discretised-logistic"):
        model = trained(grey, likelihood=likelihood)
        picture = model.reconstruct(grey.test)
        assert picture.min() >= 0 and picture.max() <= 1
        error = (picture - grey.test / 255).square().mean().sqrt().item()
        assert error < 0.13, f"{likelihood}: {error}"  # the noise in the data is 0.1


def test_the_trained_logistic_beats_a_uniform_guess(grey):
    model = trained(grey, likelihood="discretised-logistic")
    bits = losses.bits_per_dimension(metrics.elbo(model, grey.test), 64).mean().item()
    # normal noise of 0.1 * 255 grey levels has about log2(25.5 * sqrt(2 pi e)) = 6.7 bits
    # less where the ramp ends and the noise is clipped to black or white
    assert 5.5 < bits < 7.3


def test_the_logistic_as_documented_trains_on_a_few_pictures():
    """From a scale of 1 it stayed above 8 bits, a uniform guess, for as long as this takes."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.randn(101, 3, 8, 8, generator=generator).mul(0.1).cumsum(2).cumsum(3).sigmoid()
    model = VAE((3, 8, 8), 4, [ConvSpec(8)], hidden=32, likelihood="discretised-logistic")
    fit(model, (255 * smooth).to(torch.uint8), epochs=60, batch_size=32, progress=False)
    bits = losses.bits_per_dimension(metrics.elbo(model, smooth), 192).mean().item()
    assert bits < 7.4, bits  # 9.7 from 1


@pytest.mark.parametrize(
    "arguments",
    [
        dict(sigma="best"),
        dict(sigma=0),
        dict(sigma=-1.0),
        dict(likelihood="discretised-logistic", sigma="optimal"),
    ],
)
def test_an_impossible_sigma_is_refused(arguments):
    with pytest.raises(ValueError, match="sigma must be a positive number or one of learnt"):
        VAE((1, 8, 8), 2, **{"likelihood": "gaussian", **arguments})


def test_kl_per_dimension_and_active_units():
    model = VAE((1, 1, 3), 3, convs=(), hidden=())
    with torch.no_grad():
        model.to_mean.weight.copy_(torch.diag(torch.tensor([2.0, 0.1, 0.0])))
        model.to_mean.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))
        model.to_log_var.weight.zero_()
        model.to_log_var.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    images = torch.rand(4000, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    activity = metrics.active_units(model, images, batch_size=300)
    expected = torch.tensor([4.0, 0.01, 0.0]) * images.var((0, 1, 2), unbiased=False)
    torch.testing.assert_close(activity, expected, rtol=1e-4, atol=1e-6)
    assert (activity > 0.01).tolist() == [True, False, False], (
        "the third is far from the prior, but never moves"
    )
    kl = metrics.kl_per_dimension(model, images)
    x = images[:, 0, 0]
    by_hand = torch.stack(
        [
            2 * x[:, 0].square().mean(),
            0.005 * x[:, 1].square().mean(),
            torch.tensor(12.5 + (math.exp(-1) + 1 - 1) / 2),
        ]
    )
    torch.testing.assert_close(kl, by_hand, rtol=1e-4, atol=1e-6)


def test_normal_reference():
    """The Gaussian at sigma 0.1 and Normal agree: the constants are in."""
    x, mean = torch.zeros(1, 4), torch.full((1, 4), 0.05)
    assert losses.gaussian_log_likelihood(x, mean, math.log(0.1)).item() == pytest.approx(
        Normal(mean, 0.1).log_prob(x).sum().item()
    )

"""Extreme arguments: losses and gradients stay finite, and are those of double precision."""

import itertools

import pytest
import torch

import vaelib
from vaelib import VAE, ConvSpec, losses, objectives

PIXELS = torch.tensor([0.0, 1.0, 0.5, 1 / 255, 254 / 255])
LOGITS = torch.tensor([-1e4, -89.0, -17.0, -0.1, -1e-4, 0.0, 1e-4, 0.1, 17.0, 89.0, 1e4])
LOG_SCALES = torch.tensor([-80.0, -20.0, -1.0, 0.0, 20.0, 80.0])
MEANS = torch.tensor([-1e4, -3.0, 0.0, 0.5, 1.0, 1e4])
LIKELIHOODS = ("bernoulli", "continuous-bernoulli", "gaussian", "discretised-logistic")


def rows(*columns):
    """Every combination of the columns' values, one a row, each column (N, 1)."""
    values = torch.tensor(list(itertools.product(*(column.tolist() for column in columns))))
    return [column.unsqueeze(1).contiguous() for column in values.unbind(1)]


def kl_parts(z, mean, log_var):
    return torch.stack(losses.kl_terms(z, mean, log_var, 10_000))


CASES = {
    "bernoulli": (losses.bernoulli_log_likelihood, rows(PIXELS, LOGITS)),
    "continuous bernoulli": (
        losses.continuous_bernoulli_log_likelihood,
        rows(PIXELS, LOGITS),
    ),
    "its mean": (losses.continuous_bernoulli_mean, rows(LOGITS)),
    "gaussian": (losses.gaussian_log_likelihood, rows(PIXELS, MEANS / 1e4, LOG_SCALES / 2)),
    "gaussian, far": (losses.gaussian_log_likelihood, rows(PIXELS, MEANS, LOG_SCALES[1:])),
    "logistic": (
        losses.discretised_logistic_log_likelihood,
        rows(PIXELS[:2], MEANS / 1e4, LOG_SCALES / 2),
    ),
    "kl": (losses.kl_to_standard_normal, rows(MEANS, LOG_SCALES)),
    "kl's parts": (kl_parts, rows(torch.tensor([-9.0, 0.0, 9.0]), MEANS / 1e3, LOG_SCALES)),
    "bound": (losses.importance_weighted_bound, rows(torch.tensor([-1e6, -1e4, -90.0, 0.0]))),
}


def value_and_gradients(function, arguments):
    arguments = [argument.clone().requires_grad_() for argument in arguments]
    value = function(*arguments)
    value.sum().backward()
    return value.detach(), [argument.grad for argument in arguments]


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_that_of_double_precision(name):
    """Values and gradients, to 1 in 1,000 or what float32 keeps of the largest term."""
    function, arguments = CASES[name]
    value, gradients = value_and_gradients(function, arguments)
    exact, exact_gradients = value_and_gradients(function, [a.double() for a in arguments])
    assert value.isfinite().all()
    torch.testing.assert_close(value.double(), exact, rtol=1e-3, atol=2e-3)
    for gradient, expected in zip(gradients, exact_gradients):
        assert gradient.isfinite().all()
        torch.testing.assert_close(gradient.double(), expected, rtol=1e-3, atol=2e-3)


def test_a_perfect_reconstruction_has_a_sigma():
    """Its best sigma would be 0, and its likelihood infinite."""
    mean = torch.zeros(2, 4, requires_grad=True)
    x = torch.zeros(2, 4)
    log_sigma = losses.optimal_log_sigma(x, mean)
    losses.gaussian_log_likelihood(x, mean, log_sigma).sum().backward()
    assert log_sigma.item() == pytest.approx(-13.815511) and mean.grad.isfinite().all()
    other = losses.optimal_log_sigma(x + 1e-5, mean)  # what is above the floor is as it was
    assert other.item() == pytest.approx(-11.512925)


def model_of(likelihood, latent_dim, channels=1):
    torch.manual_seed(0)
    return VAE((channels, 8, 8), latent_dim, [ConvSpec(4)], hidden=8, likelihood=likelihood)


@pytest.mark.parametrize("latent_dim", [1, 1000])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_black_and_white_images_and_any_number_of_latents(likelihood, latent_dim):
    """One image and two, in float32 and double precision: the same loss and gradients."""
    found = []
    for dtype in (torch.float32, torch.float64):
        model = model_of(likelihood, latent_dim).to(dtype)
        for n in (1, 2):
            x = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])[:n].to(dtype)
            noise = torch.full((n, latent_dim), 0.7, dtype=dtype)
            output, mean, log_var, z = model(x, noise)
            step = objectives.beta_vae(4.0)
            loss = step(model.log_likelihood(x, output), mean, log_var, z, 0)
            model.zero_grad()
            loss.backward()
            gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
            assert loss.isfinite() and gradient.isfinite().all()
            found.append((loss.detach().double(), gradient.double()))
    for (loss, gradient), (exact, expected) in zip(found[:2], found[2:]):
        torch.testing.assert_close(loss, exact, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(gradient, expected, rtol=1e-2, atol=1e-4 * expected.abs().max())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_training_on_black_and_white_images_stays_finite(likelihood, precision):
    """Of one image each time, the hardest batch; `fit` stops at a loss that is not finite."""
    images = torch.zeros(6, 1, 8, 8, dtype=torch.uint8)
    images[::2] = 255
    model = model_of(likelihood, 3)
    options = {"epochs": 3, "batch_size": 1, "progress": False, "device": "cpu"}
    history = vaelib.fit(model, images, precision=precision, **options)
    assert len(history) == 3
    terms = vaelib.metrics.elbo_terms(model, images)
    assert terms.elbo.isfinite().all()
    assert model.sample(4).isfinite().all() and model.reconstruct(images).isfinite().all()


def test_bf16_is_close_to_float32():
    images = torch.randint(0, 256, (64, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    losses_seen = []
    for precision in ("fp32", "bf16"):
        options = {"epochs": 2, "batch_size": 16, "progress": False, "device": "cpu"}
        model = model_of("bernoulli", 3)
        history = vaelib.fit(model, images.to(torch.uint8), precision=precision, **options)
        losses_seen.append(history.train["elbo"][-1])
    assert losses_seen[0] == pytest.approx(losses_seen[1], rel=0.01)
    assert losses_seen[0] != losses_seen[1]

"""The importance-weighted objective: its value by hand, its gradient, its order in K; and a
learning rate that falls.
"""

import math

import pytest
import torch
from common import weights

from vaelib import VAE, CheckpointError, ConvSpec, fit, losses, metrics, objectives
from vaelib.models import draw_latents

f64 = torch.float64


def draws(k, n=5, d=3, seed=0):
    """Random log-likelihoods (k, n), z (k, n, d), means and log-variances (n, d), in float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=f64)

    return normal(k, n) - 5, normal(k, n, d), normal(n, d), normal(n, d)


def by_hand(log_likelihood, z, mean, log_var):
    """-log mean_k exp(log p(x | z_k) + log p(z_k) - log q(z_k | x)), averaged over images, with
    torch's own normals.
    """
    prior = torch.distributions.Normal(0.0, 1.0)
    bounds = []
    for image in range(len(mean)):
        posterior = torch.distributions.Normal(mean[image], torch.exp(0.5 * log_var[image]))
        weights = [
            (log_p + prior.log_prob(point).sum() - posterior.log_prob(point).sum()).exp()
            for log_p, point in zip(log_likelihood[:, image], z[:, image])
        ]
        bounds.append((sum(weights) / len(weights)).log())
    return -sum(bounds) / len(bounds)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_objective_is_the_formula(k):
    log_likelihood, z, mean, log_var = draws(k)
    found = objectives.iwae()(log_likelihood, mean, log_var, z, 0)
    assert found.shape == () and abs(found - by_hand(log_likelihood, z, mean, log_var)) < 1e-9


def test_one_draw_is_the_single_sample_estimator_with_or_without_the_dimension():
    log_likelihood, z, mean, log_var = draws(1)
    found = objectives.iwae()(log_likelihood[0], mean, log_var, z[0], 0)
    assert torch.equal(found, objectives.iwae()(log_likelihood, mean, log_var, z, 0))
    log_ratio = losses.log_importance_weight(torch.zeros(5, dtype=f64), z[0], mean, log_var)
    torch.testing.assert_close(found, -(log_likelihood[0] + log_ratio).mean())


def test_weights_far_below_the_smallest_float_are_kept_apart():
    log_likelihood, z, mean, log_var = draws(4)
    far = objectives.iwae()(log_likelihood - 1e4, mean, log_var, z, 0)
    near = objectives.iwae()(log_likelihood, mean, log_var, z, 0)
    assert abs(far - near - 1e4) < 1e-6


def new_model(likelihood="bernoulli", seed=0):
    torch.manual_seed(seed)
    return VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8, likelihood=likelihood)


def pixels(n, seed=0):
    return (
        torch.randint(
            0, 2, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
        )
        * 255
    )


def test_the_gradient_is_autograds_of_the_formula():
    model, x = new_model().double(), pixels(6).double() / 255
    noise = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1), dtype=f64)
    output, mean, log_var, z = model(x, torch.Generator().manual_seed(1), samples=4)
    objectives.iwae()(model.log_likelihood(x, output), mean, log_var, z, 0).backward()
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    mean, log_var = model.encode(x)
    z = mean + torch.exp(0.5 * log_var) * noise
    log_likelihood = torch.stack([model.log_likelihood(x, model.decode(each)) for each in z])
    by_hand(log_likelihood, z, mean, log_var).backward()
    for gradient, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    "likelihood", ["bernoulli", "continuous-bernoulli", "gaussian", "discretised-logistic"]
)
def test_samples_are_draws_of_the_same_codes(likelihood):
    model, x = new_model(likelihood), pixels(6)
    output, mean, log_var, z = model(x, torch.Generator().manual_seed(1), samples=5)
    assert (
        output.shape == (5, 6, 1, 8, 8)
        and z.shape == (5, 6, 3)
        and mean.shape == log_var.shape == (6, 3)
    )
    again = draw_latents(
        mean.expand(5, 6, 3), log_var.expand(5, 6, 3), torch.Generator().manual_seed(1)
    )
    assert torch.equal(z, again) and len(z.flatten(0, 1).unique(dim=0)) == 30
    each = torch.stack([model.log_likelihood(x, model.decode(of_one)) for of_one in z])
    torch.testing.assert_close(model.log_likelihood(x, output), each)
    one = model(x, torch.Generator().manual_seed(2), samples=1)
    assert all(torch.equal(a, b) for a, b in zip(one, model(x, torch.Generator().manual_seed(2))))


def test_the_bound_grows_with_the_draws_and_is_what_metrics_measures():
    torch.manual_seed(3)
    model, x = new_model().eval(), pixels(2000)
    with torch.no_grad():
        model.to_log_var.bias.add_(0.7)  # clouds too wide: a gap to close
        bounds = {}
        for k in (1, 2, 5, 50):
            output, mean, log_var, z = model(x, torch.Generator().manual_seed(k), samples=k)
            bounds[k] = -objectives.iwae()(
                model.log_likelihood(x, output), mean, log_var, z, 0
            ).item()
    assert bounds[1] < bounds[2] - 0.05 < bounds[5] - 0.1 < bounds[50] - 0.15
    assert bounds[1] == pytest.approx(metrics.elbo(model, x).mean().item(), abs=0.6)
    assert bounds[50] == pytest.approx(
        metrics.log_likelihood(model, x, samples=50).mean().item(), abs=0.4
    )


def trained(**arguments):
    model = new_model()
    arguments = {"epochs": 2, "batch_size": 16, "device": "cpu", "progress": False, **arguments}
    history = fit(model, pixels(48), **arguments)
    return weights(model), history


def test_fit_hands_the_objective_all_draws_and_records_a_mean_over_them():
    shapes = []

    def seen(log_likelihood, mean, log_var, z, step):
        shapes.append((log_likelihood.shape, mean.shape, z.shape))
        return objectives.iwae()(log_likelihood, mean, log_var, z, step)

    many, history = trained(objective=seen, samples=3)
    assert shapes == [((3, 16), (16, 3), (3, 16, 3))] * 6
    assert torch.equal(many, trained(objective=objectives.iwae(), samples=3)[0])
    assert not torch.equal(many, trained(objective=objectives.iwae())[0])
    one = trained(objective=objectives.iwae())[1]
    assert history.train["reconstruction"][0] == pytest.approx(
        one.train["reconstruction"][0], rel=0.05
    )


def test_beta_vae_takes_the_mean_over_draws():
    log_likelihood, z, mean, log_var = draws(4)
    each = [objectives.beta_vae(2)(row, mean, log_var, z[0], 0) for row in log_likelihood]
    torch.testing.assert_close(
        objectives.beta_vae(2)(log_likelihood, mean, log_var, z, 0), sum(each) / 4
    )


def test_a_checkpoint_of_other_draws_is_refused(tmp_path):
    trained(objective=objectives.iwae(), samples=2, checkpoint=tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="of a run with samples 2, not 3"):
        trained(objective=objectives.iwae(), samples=3, checkpoint=tmp_path / "c.pt")
    with pytest.raises(ValueError, match="samples must be a whole number, at least 1; got 0"):
        trained(samples=0)


def test_a_constant_function_is_that_learning_rate_and_a_falling_one_is_adams():
    assert torch.equal(trained(learning_rate=lambda step: 2e-3)[0], trained(learning_rate=2e-3)[0])
    rates = []

    def falling(step):
        rates.append(step)
        return 1e-2 * 0.5**step

    weights_found, _ = trained(learning_rate=falling)
    assert rates == list(range(6))
    # once the rate is next to nothing the weights stand still: the first steps are all of the way
    stopped, _ = trained(learning_rate=lambda step: 1e-2 * 0.5**step if step < 3 else 1e-30)
    longest = 1e-2 * (0.5**3 + 0.5**4 + 0.5**5)
    assert 0 < (weights_found - stopped).abs().max() < 2 * longest


def test_a_falling_learning_rate_goes_on_where_it_was(tmp_path):
    def falling(step: int) -> float:
        return 1e-2 * 0.8**step

    whole, _ = trained(learning_rate=falling, epochs=4)
    trained(learning_rate=falling, epochs=2, checkpoint=tmp_path / "c.pt")
    resumed, _ = trained(learning_rate=falling, epochs=4, checkpoint=tmp_path / "c.pt")
    assert torch.equal(whole, resumed)


def test_a_linear_gaussian_model_reaches_its_likelihood():
    """x = z + noise in one dimension: with q = N(x / 2, 1 / 2), the true posterior, every weight is
    p(x), at any K.
    """
    x = torch.linspace(-2, 2, 5, dtype=f64)[:, None]
    mean, log_var = x / 2, torch.full_like(x, math.log(0.5))
    z = mean + torch.exp(0.5 * log_var) * torch.randn(3, 5, 1, dtype=f64)
    log_likelihood = torch.distributions.Normal(z, 1.0).log_prob(x).sum(2)
    exact = torch.distributions.Normal(0.0, 2**0.5).log_prob(x).sum(1)
    log_weight = losses.log_importance_weight(log_likelihood, z, mean, log_var)
    torch.testing.assert_close(log_weight, exact.expand(3, 5))
    torch.testing.assert_close(losses.importance_weighted_bound(log_weight), exact)

"""The objectives and their schedules: values by hand, the decomposition against models where it is
known.
"""

import math

import pytest
import torch
from common import weights

from vaelib import VAE, ConvSpec, TrainingError, fit, losses, metrics, objectives

LOG_LIKELIHOOD = torch.tensor([-90.0, -110.0])
MEAN = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
LOG_VAR = torch.zeros(2, 2)
KL = 0.5 * torch.tensor([1.0, 9.0])  # means 1 and 3, variance 1


def value(objective, step=0, z=MEAN):
    return objective(LOG_LIKELIHOOD, MEAN, LOG_VAR, z, step).item()


def test_beta_vae_is_reconstruction_plus_beta_kl():
    assert value(objectives.beta_vae()) == pytest.approx(100 + 2.5)
    assert value(objectives.beta_vae(4)) == pytest.approx(100 + 10)
    assert value(objectives.beta_vae(lambda step: step / 2), step=6) == pytest.approx(100 + 7.5)


def test_annealed_capacity_takes_the_absolute_value_of_the_mean():
    for capacity, penalty in (
        (0, 2.5),
        (2.5, 0),
        (4, 1.5),
    ):  # |mean - C|; the mean of |kl - C| would be 2 at 2.5
        assert value(objectives.annealed_capacity(capacity, gamma=10)) == pytest.approx(
            100 + 10 * penalty
        )
    rising = objectives.annealed_capacity(objectives.linear(0, 5, 10), gamma=2)
    assert [value(rising, step) for step in (0, 5, 10, 99)] == pytest.approx([105, 100, 105, 105])


def test_schedules():
    falling = objectives.linear(16, 4, 6)
    assert [falling(step) for step in (0, 3, 6, 7, 1000)] == [16, 10, 4, 4, 4]
    assert [objectives.warm_up(2.0, 4)(step) for step in range(6)] == [0, 0.5, 1, 1.5, 2, 2]
    cyclical = objectives.cyclical(4, period=8, ramp=0.5)
    assert [cyclical(step) for step in range(10)] == [0, 1, 2, 3, 4, 4, 4, 4, 0, 1]


def test_falling_goes_by_a_constant_factor_and_stays():
    price = objectives.falling(40, 2.5, 8)
    assert [price(step) for step in (0, 2, 4, 6, 8, 100)] == pytest.approx(
        [40, 20, 10, 5, 2.5, 2.5]
    )


@pytest.mark.parametrize(
    "make, named",
    [
        (
            lambda: objectives.beta_vae(-1),
            "beta must be a number at least 0, or a function of the step; got -1",
        ),
        (lambda: objectives.beta_vae(math.inf), "got inf"),
        (lambda: objectives.annealed_capacity(1, gamma=-2), "gamma must be .*; got -2"),
        (lambda: objectives.annealed_capacity(-1), "capacity must be .*; got -1"),
        (
            lambda: objectives.beta_tcvae(6, dataset_size=1),
            "dataset_size must be a whole number, at least 2; got 1",
        ),
        (lambda: objectives.falling(40, 4, 0), "steps must be a whole number, at least 1; got 0"),
        (lambda: objectives.falling(0, 4, 9), "start and end must be above 0; got 0 and 4"),
        (lambda: objectives.falling(40, 0, 9), "start and end must be above 0; got 40 and 0"),
        (lambda: objectives.linear(0, 1, 0), "steps must be a whole number, at least 1; got 0"),
        (lambda: objectives.cyclical(1, 10, ramp=0), "ramp must be above 0 and at most 1; got 0"),
        (
            lambda: losses.kl_terms(MEAN, MEAN, LOG_VAR, sampling="plain"),
            "weighted or stratified; got 'plain'",
        ),
        (
            lambda: losses.kl_terms(MEAN, MEAN, LOG_VAR, dataset_size=1),
            "at least the 2 images given; got 1",
        ),
    ],
)
def test_what_can_not_be_is_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_beta_tcvae_weighs_the_total_correlation_alone():
    generator = torch.Generator().manual_seed(0)
    mean, z = (torch.randn(6, 3, generator=generator) for _ in range(2))
    log_var, log_likelihood = (
        torch.randn(6, 3, generator=generator),
        torch.randn(6, generator=generator),
    )
    elbo = objectives.beta_vae()(log_likelihood, mean, log_var, z, 0)
    terms = losses.kl_terms(z, mean, log_var, 50)
    for beta in (1, 6):
        loss = objectives.beta_tcvae(beta, 50)(log_likelihood, mean, log_var, z, 0)
        assert loss.item() == pytest.approx(
            (elbo + (beta - 1) * terms.total_correlation.mean()).item(), rel=1e-5
        )
    kl = losses.kl_to_standard_normal(mean, log_var).mean()
    loss = objectives.beta_tcvae(6, 50, rest=3.0)(log_likelihood, mean, log_var, z, 0)
    assert loss.item() == pytest.approx(
        (elbo + 2 * kl + 3 * terms.total_correlation.mean()).item(), rel=1e-5
    )
    weighted = objectives.beta_tcvae(6, 50, "weighted")(log_likelihood, mean, log_var, z, 0)
    assert abs(weighted.item() - loss.item()) > 1


def test_weighted_sampling_moves_weights_as_if_the_data_set_had_any_size():
    """Its factor 1 / (N M) is a constant of the loss: other values, the same gradients
    (rem:mws-values).
    """
    gradients = []
    for size in (10, 10_000):
        mean = torch.linspace(-1, 1, 12).view(6, 2).requires_grad_()
        objectives.beta_tcvae(6, size, "weighted")(
            torch.zeros(6), mean, torch.zeros(6, 2), mean + 0.3, 0
        ).backward()
        gradients.append(mean.grad)
    torch.testing.assert_close(*gradients)


def mixture_by_hand(z, mean, log_var, weights):
    """log of the mixture's density and of the product of its marginals' at each z, by torch's own
    normals, in a loop.
    """
    normal = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
    joint, product = [], []
    for point, weight in zip(z, weights):
        densities = normal.log_prob(point).exp()  # (M, d)
        joint.append((weight * densities.prod(1)).sum().log())
        product.append((weight[:, None] * densities).sum(0).log().sum())
    return torch.stack(joint), torch.stack(product)


@pytest.mark.parametrize("sampling", ["stratified", "weighted"])
@pytest.mark.parametrize("first", [0, 2])
def test_kl_terms_are_the_mixtures_written_out(sampling, first):
    generator = torch.Generator().manual_seed(1)
    mean, log_var = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    z = mean[first : first + 3] + 0.5
    n, m = 20, 5
    weights = torch.full(
        (3, m),
        1 / (n * m) if sampling == "weighted" else (1 - 1 / n) / (m - 1),
        dtype=torch.float64,
    )
    if sampling == "stratified":
        weights[range(3), range(first, first + 3)] = 1 / n
    joint, product = mixture_by_hand(z, mean, log_var, weights)
    own = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
    conditional = torch.stack([own.log_prob(p)[first + i].sum() for i, p in enumerate(z)])
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    terms = losses.kl_terms(z, mean, log_var, n, sampling, first)
    torch.testing.assert_close(terms.mutual_information, conditional - joint)
    torch.testing.assert_close(terms.total_correlation, joint - product)
    torch.testing.assert_close(terms.dimension_wise_kl, product - prior)


def test_the_parts_of_jointly_normal_codes_are_the_closed_forms():
    """ex:normal-surgery: d = 2, v = 0.2, correlation 0.6: information 1.386, total correlation
    0.223, the rest 0 nats.
    """
    torch.manual_seed(0)
    rho, v, m = 0.6, 0.2, 4000
    codes = torch.tensor([[1 - v, rho], [rho, 1 - v]], dtype=torch.float64)
    mean = torch.randn(m, 2, dtype=torch.float64) @ torch.linalg.cholesky(codes).T
    log_var = torch.full((m, 2), math.log(v), dtype=torch.float64)
    z = mean + math.sqrt(v) * torch.randn(m, 2, dtype=torch.float64)
    terms = losses.kl_terms(z, mean, log_var)
    exact = (0.5 * math.log((1 - rho**2) / v**2), -0.5 * math.log(1 - rho**2), 0.0)
    for term, value in zip(terms, exact):
        assert term.mean().item() == pytest.approx(
            value, abs=4 * term.std().item() / math.sqrt(m) + 0.01
        )


def test_a_models_parts_add_up_to_its_kl():
    torch.manual_seed(0)
    model = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8)
    with torch.no_grad():
        model.to_mean.weight.mul_(3)
        model.to_log_var.bias.sub_(2)
    images = torch.randint(0, 256, (900, 1, 8, 8), dtype=torch.uint8)
    parts = metrics.kl_decomposition(model, images, points=900)
    total = sum(parts)
    kl = metrics.elbo_terms(model, images).kl.mean().item()
    assert total.mean().item() == pytest.approx(kl, abs=4 * total.std().item() / 30)
    assert parts.mutual_information.max() <= math.log(900) + 1e-5
    assert all(part.mean() > -0.01 for part in parts)
    again = metrics.kl_decomposition(model, images, points=900)
    assert all(torch.equal(a, b) for a, b in zip(parts, again))
    few = metrics.kl_decomposition(model, images, points=100)
    torch.testing.assert_close(few.total_correlation, parts.total_correlation[:100])


def test_rows_in_pieces_give_the_same_parts(monkeypatch):
    torch.manual_seed(0)
    model = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8)
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8)
    whole = metrics.kl_decomposition(model, images, 1000)
    alone = metrics.kl_decomposition(model, images)  # these images as the whole data set
    assert (whole.mutual_information - alone.mutual_information).abs().max() > 1e-3
    pieces = []
    kl_terms = losses.kl_terms
    monkeypatch.setattr(
        losses, "kl_terms", lambda *a, **k: pieces.append(len(a[0])) or kl_terms(*a, **k)
    )
    monkeypatch.setattr(metrics, "TEMPORARY", 64 * 3 * 10)
    cut = metrics.kl_decomposition(model, images, 1000)
    assert pieces == [10] * 6 + [4]
    for a, b in zip(whole, cut):
        torch.testing.assert_close(a, b)


class Noise:
    """A stream: images and, as sprites has them, their factors."""

    def __init__(self):
        self.asked = []

    def sample(self, n, generator):
        self.asked.append(n)
        images = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)
        return images, torch.zeros(n, 1, dtype=torch.int64)


def fitted(steps=250, **arguments):
    torch.manual_seed(0)
    model, stream = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8), Noise()
    history = fit(
        model, stream, steps=steps, batch_size=4, device="cpu", progress=False, **arguments
    )
    return model, stream, history


def test_a_stream_is_trained_on_for_a_number_of_steps():
    seen = []
    model, stream, history = fitted(on_record=lambda model, history: seen.append(len(history)))
    assert stream.asked == [4] * 250
    assert history.steps == [100, 200, 250] and seen == [1, 2, 3]
    assert history.test["elbo"] == []
    for kl, dimensions in zip(history.train["kl"], history.kl_per_dimension, strict=True):
        assert len(dimensions) == 3 and kl == pytest.approx(sum(dimensions), rel=1e-9)
    assert torch.equal(weights(model), weights(fitted()[0]))
    assert not torch.equal(weights(model), weights(fitted(seed=1)[0]))


def test_an_objective_replaces_the_loss():
    assert torch.equal(
        weights(fitted(beta=4.0)[0]), weights(fitted(objective=objectives.beta_vae(4))[0])
    )
    steps = []

    def counted(log_likelihood, mean, log_var, z, step):
        steps.append(step)
        assert log_likelihood.shape == (4,) and mean.shape == log_var.shape == z.shape == (4, 3)
        return objectives.beta_vae()(log_likelihood, mean, log_var, z, step)

    assert torch.equal(weights(fitted(objective=counted)[0]), weights(fitted()[0]))
    assert steps == list(range(250))
    held = fitted(steps=600, objective=objectives.annealed_capacity(3.0, 100.0))[2]
    assert held.train["kl"][-1] == pytest.approx(3.0, abs=0.3)


def test_what_fit_can_not_take_together():
    model, stream, images = VAE((1, 8, 8), 3), Noise(), torch.zeros(8, 1, 8, 8, dtype=torch.uint8)
    for data, arguments, named in (
        (stream, {"epochs": 1}, "a stream is measured in steps: give steps alone"),
        (images, {"steps": 1}, "a data set is measured in epochs: give epochs alone"),
        (stream, {}, "give steps alone"),
        (stream, {"steps": 0}, "steps must be a whole number, at least 1; got 0"),
        (
            stream,
            {"steps": 1, "beta": 2, "objective": objectives.beta_vae(2)},
            "either beta or an objective",
        ),
        (stream, {"steps": 1, "precision": "fp16"}, "precision must be fp32 or bf16; got 'fp16'"),
        (
            [1, 2],
            {"epochs": 1},
            "data must be an ImageData, a tensor of images or a stream; got list",
        ),
    ):
        with pytest.raises(ValueError, match=named):
            fit(model, data, progress=False, **arguments)


def test_a_stream_names_the_step_that_went_wrong():
    def broken(log_likelihood, mean, log_var, z, step):
        return log_likelihood.mean() * (math.nan if step == 104 else 1)

    with pytest.raises(TrainingError, match="the loss became nan at step 105; try"):
        fitted(objective=broken)


def test_bfloat16_is_close_to_float32_and_keeps_float32_weights():
    full, half = fitted(steps=100)[0], fitted(steps=100, precision="bf16")[0]
    assert all(p.dtype == torch.float32 for p in half.parameters())
    assert not torch.equal(weights(full), weights(half))
    torch.testing.assert_close(weights(full), weights(half), atol=0.02, rtol=0.05)

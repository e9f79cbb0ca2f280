"""FactorVAE, DIP-VAE and Ada-GVAE: against closed forms, numpy's covariance and pairs by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from common import weights

import vaelib
from vaelib import VAE, CheckpointError, ConvSpec, disentanglement, distributed, fit, objectives
from vaelib.ada_gvae import AdaGVAE, Pairs, averaged
from vaelib.dip_vae import covariance_of_means, covariance_penalty, dip_vae
from vaelib.factor_vae import FactorVAE, permuted

SPRITES = vaelib.load("sprites", image_size=32)
ROW = torch.zeros(4), torch.zeros(4, 3), torch.zeros(4, 3)


def normal_codes(rho, n, generator, d=2):
    """Normal codes of which the first two have correlation ``rho``."""
    codes = torch.randn(n, d, generator=generator)
    codes[:, 1] = rho * codes[:, 0] + math.sqrt(1 - rho**2) * codes[:, 1]
    return codes


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_discriminators_estimate_is_the_closed_form(rho, one_thread):
    """Of normal codes: -1/2 log(1 - rho^2), which the covariance's too is, and the losses' terms
    (test_objectives.py) are.
    """
    exact = -0.5 * math.log(1 - rho**2)
    objective = FactorVAE(3, gamma=1.0, width=16, learning_rate=3e-3, seed=0)
    # permutations of the same stream would follow the codes: 0.1 to 0.2 nats where there are none
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        objective.learn(normal_codes(rho, 512, generator, d=3))
    codes = normal_codes(rho, 20_000, generator, d=3)
    with torch.no_grad():
        estimate = objective.total_correlation(codes).item()
    assert estimate == pytest.approx(exact, abs=0.06)
    assert disentanglement.gaussian_total_correlation(codes) == pytest.approx(exact, abs=0.02)


def test_the_discriminator_that_learns_is_worth_its_binary_cross_entropy(one_thread):
    objective = FactorVAE(2, gamma=1.0, width=8)
    codes = normal_codes(0.9, 64, torch.Generator().manual_seed(0))
    other = FactorVAE(2, gamma=1.0, width=8)
    mixed = permuted(codes, other.generator)
    with torch.no_grad():
        logits = torch.cat([other.discriminator(codes), other.discriminator(mixed)])
    labels = torch.cat([torch.ones(64, 1), torch.zeros(64, 1)])
    by_torch = torch.nn.BCEWithLogitsLoss()(logits, labels)
    assert objective.learn(codes).item() == pytest.approx(by_torch.item(), rel=1e-5)
    assert objective.learn(codes) < by_torch


def test_permuted_codes_keep_their_marginals_and_lose_their_correlation():
    generator = torch.Generator().manual_seed(1)
    codes = normal_codes(0.95, 5000, generator)
    mixed = permuted(codes, generator)
    assert torch.equal(mixed.sort(0).values, codes.sort(0).values)
    assert abs(np.corrcoef(mixed.T.numpy())[0, 1]) < 0.05
    assert not torch.equal(mixed[:, 0], codes[:, 0]), "every latent is permuted"


def test_factor_vae_adds_gamma_times_the_estimate_and_only_the_codes_learn_from_it():
    mean = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    terms = torch.full((6,), -9.0), mean, torch.zeros(6, 3), mean + 0.1
    objective = FactorVAE(3, gamma=lambda step: 10.0 * step, width=8)
    assert objective(*terms, 0).item() == pytest.approx(objectives.beta_vae()(*terms, 0).item())
    with torch.no_grad():
        before = weights(objective.discriminator)
        losses = [objective(*terms, step).item() for step in (1, 3)]
        estimate = objective.total_correlation(terms[3]).item()
        assert torch.equal(before, weights(objective.discriminator)), "no step without gradients"
    elbo = objectives.beta_vae()(*terms, 0).item()
    assert losses == pytest.approx([elbo + 10 * estimate, elbo + 30 * estimate], rel=1e-5)
    objective(*terms, 1).backward()
    after = weights(objective.discriminator)
    assert not torch.equal(before, after), "one step of its own"
    assert mean.grad.abs().sum() > 0
    with torch.no_grad():
        alone = FactorVAE(3, gamma=1.0, width=8)
    for _ in range(2):  # at steps 0 and 1
        alone.learn(terms[3].detach())
    torch.testing.assert_close(weights(alone.discriminator), after, atol=0, rtol=0)


class Noise:
    def sample(self, n, generator):
        return torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=generator), None


def fitted(objective, steps=30, path=None, model=None, stream=None):
    torch.manual_seed(0)
    model = model or VAE((1, 4, 4), 3, [], hidden=8)
    fit(
        model,
        stream or Noise(),
        steps=steps,
        batch_size=8,
        objective=objective,
        device="cpu",
        progress=False,
        checkpoint=path,
    )
    return weights(model)


def factor_vae(**arguments):
    return FactorVAE(3, **{"gamma": 30.0, "width": 8, "learning_rate": 1e-3, **arguments})


def test_factor_vae_trains_to_the_same_weights_whatever_the_global_stream(one_thread):
    objective = factor_vae()
    once = fitted(objective)
    torch.rand(7)
    assert torch.equal(once, fitted(objective)), "step 0 begins with a new discriminator"
    assert not torch.equal(once, fitted(factor_vae(seed=1)))
    assert not torch.equal(once, fitted(factor_vae(width=9)))
    assert not torch.equal(once, fitted(factor_vae(gamma=0.0)))
    torch.manual_seed(5)
    untouched = torch.rand(3)
    torch.manual_seed(5)
    with torch.no_grad():
        FactorVAE(2, gamma=1.0)
    objective(*ROW, torch.randn(4, 3, generator=torch.Generator()), 0)
    assert torch.equal(torch.rand(3), untouched)


def test_factor_vae_is_resumed_bit_for_bit_and_another_one_is_refused(tmp_path, one_thread):
    path = tmp_path / "run.pt"
    whole, first = factor_vae(), factor_vae()
    weights_whole = fitted(whole, 130)
    fitted(first, 100, path)
    second = factor_vae()
    assert torch.equal(fitted(second, 130, path), weights_whole)
    assert torch.equal(weights(second.discriminator), weights(whole.discriminator))
    assert torch.equal(second.generator.get_state(), whole.generator.get_state())
    moments = [
        next(iter(o.optimizer.state_dict()["state"].values()))["exp_avg_sq"]
        for o in (second, whole)
    ]
    assert torch.equal(*moments)
    for other in (factor_vae(gamma=20.0), factor_vae(seed=1), factor_vae(width=9)):
        with pytest.raises(CheckpointError, match=r"run\.pt: of a run with another objective"):
            fitted(other, 140, path)
    with pytest.raises(CheckpointError, match=r"run\.pt: of a run with another objective"):
        fitted(objectives.beta_vae(), 140, path)
    plain = tmp_path / "plain.pt"
    fitted(objectives.beta_vae(), 100, plain)
    with pytest.raises(CheckpointError, match="of a run with another objective"):
        fitted(factor_vae(), 140, plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_discriminator_is_put_where_the_codes_are(dtype):
    codes = torch.randn(8, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    one, other = factor_vae(), factor_vae()
    for _ in range(3):
        one.learn(codes)
    assert one.total_correlation(codes).dtype == dtype
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for objective in (one, other):
        objective.learn(codes)
        assert objective.discriminator[0].weight.dtype == dtype
    assert torch.equal(weights(one.discriminator), weights(other.discriminator))


def test_factor_vae_takes_several_draws_an_image():
    log_likelihood, (_, mean, log_var) = torch.zeros(2, 4), ROW
    z = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    one, other = factor_vae(), factor_vae()
    loss = one(log_likelihood, mean, log_var, z, 0)
    other.learn(z.flatten(0, 1))
    assert loss.item() == pytest.approx(30 * other.total_correlation(z.flatten(0, 1)).item())


def test_dips_penalties_are_those_of_numpys_covariances():
    generator = torch.Generator().manual_seed(0)
    mean, log_var = (torch.randn(50, 4, generator=generator) for _ in range(2))
    terms = torch.zeros(50), mean, log_var, mean
    elbo = objectives.beta_vae()(*terms, 0).item()
    of_means = np.cov(mean.T.double().numpy(), bias=True)
    of_codes = of_means + np.diag(np.exp(log_var.double().numpy()).mean(0))
    np.testing.assert_allclose(covariance_of_means(mean).numpy(), of_means, atol=1e-5)
    for kind, covariance in (("i", of_means), ("ii", of_codes)):
        off = sum(covariance[i, j] ** 2 for i in range(4) for j in range(4) if i != j)
        on = sum((covariance[i, i] - 1) ** 2 for i in range(4))
        for weight_off, weight_on in ((5.0, 0.0), (0.0, 3.0), (5.0, 50.0)):
            loss = dip_vae(kind, weight_off, weight_on)(*terms, 0).item()
            assert loss - elbo == pytest.approx(weight_off * off + weight_on * on, rel=1e-4)
    assert covariance_penalty(torch.eye(3), 9.0, 9.0) == 0


def test_the_covariance_of_drawn_codes_is_the_sum_of_both_parts():
    generator = torch.Generator().manual_seed(0)
    mean = normal_codes(0.7, 1000, generator)
    log_var = torch.randn(1000, 2, generator=generator)
    many = mean + torch.exp(0.5 * log_var) * torch.randn(400, 1000, 2, generator=generator)
    expected = covariance_of_means(mean) + log_var.exp().mean(0).diag()
    drawn = torch.from_numpy(np.cov(many.flatten(0, 1).T.double().numpy())).float()
    torch.testing.assert_close(drawn, expected, atol=0.03, rtol=0)


def test_averages_of_pairs_by_hand():
    """Two pairs of three latents. KL of N(a, v) to N(b, w): (v/w + (a - b)^2/w - 1 - log v/w)/2.

    First pair, all variances 1: 2, 0.5, 0 nats, threshold 1: the last two are shared. Second pair:
    variances 4 and 1 in the first latent 1/2 (4 - 1 - log 4) = 0.807, and the other way round in
    the second 1/2 (1/4 - 1 + log 4) = 0.318, then 0: threshold 0.403, the last two shared.
    """
    mean = torch.tensor([[0.0, 1, 5], [1, 0, 2], [2, 2, 5], [1, 0, 2]])
    variance = torch.tensor([[1.0, 1, 1], [4, 1, 1], [1, 1, 1], [1, 4, 1]])
    new_mean, new_log_var = averaged(mean, variance.log())
    expected = torch.tensor([[0.0, 1.5, 5], [1, 0, 2], [2, 1.5, 5], [1, 0, 2]])
    torch.testing.assert_close(new_mean, expected)
    by_hand = torch.tensor([[1.0, 1, 1], [4, 2.5, 1], [1, 1, 1], [1, 2.5, 1]])
    torch.testing.assert_close(new_log_var.exp(), by_hand)


def test_the_threshold_is_half_way_between_the_least_and_the_greatest():
    """Distances 1 to 5 of unit variances: KLs 0.5, 2, 4.5, 8, 12.5, whose middle is 6.5, their
    mean 5.5 and median 4.5; with 3.5 in place of 4 it is the KL 6.125 that lies between.
    """
    mean = torch.stack([torch.zeros(5), torch.tensor([1.0, 2, 3, 3.5, 5])])
    new, _ = averaged(mean, torch.zeros(2, 5))
    assert (new[0] != mean[0]).tolist() == [True, True, True, True, False]


def test_a_pair_that_is_equally_far_in_all_latents_shares_none():
    mean = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert torch.equal(averaged(mean, torch.zeros(2, 2))[0], mean)


def test_ada_gvae_averages_in_training_alone():
    torch.manual_seed(0)
    model = AdaGVAE(SPRITES.image_shape, 3, [ConvSpec(4)], hidden=8)
    plain = VAE(**model.config)
    plain.load_state_dict(model.state_dict())
    images, _ = Pairs(SPRITES).sample(10, torch.Generator().manual_seed(0))
    model.eval(), plain.eval()
    one = plain.encode(images)
    assert all(torch.equal(a, b) for a, b in zip(model.encode(images), one))
    assert all(
        torch.equal(a, b[:1]) for a, b in zip(model.encode(images[:1]), plain.encode(images[:1]))
    )
    model.train()
    for made, expected in zip(model.encode(images), averaged(*one)):
        torch.testing.assert_close(made, expected)
    assert not torch.equal(model(images).mean, one[0])
    with pytest.raises(ValueError, match="on pairs of images in one process; got 9 images in 1"):
        model(images[:9])


def test_ada_gvae_is_refused_where_processes_share_a_minibatch(monkeypatch):
    monkeypatch.setattr(distributed, "team", lambda: distributed.Team(0, 2))
    model = AdaGVAE(SPRITES.image_shape, 3, [ConvSpec(4)], hidden=8)
    with pytest.raises(
        ValueError, match="trains on pairs of images in one process; got 4 images in 2"
    ):
        model.train()(torch.zeros(4, 1, 32, 32))


def test_a_saved_ada_gvae_comes_back_as_a_vae(tmp_path):
    model = AdaGVAE(SPRITES.image_shape, 3, [ConvSpec(4)], hidden=8)
    fitted(None, 10, model=model, stream=Pairs(SPRITES))
    vaelib.save_model(model, tmp_path / "model.safetensors")
    loaded = vaelib.load_model(tmp_path / "model.safetensors")
    images, _ = SPRITES.held_out(5)
    torch.testing.assert_close(loaded.reconstruct(images), model.reconstruct(images))


@pytest.mark.parametrize("changed", [None, 1, 4])
def test_pairs_share_all_but_k_factors(changed):
    images, factors = Pairs(SPRITES, changed).sample(4000, torch.Generator().manual_seed(0))
    assert torch.equal(images[2000:2100], SPRITES.images(factors[2000:2100]))
    differ = factors[:2000] != factors[2000:]
    # a factor is chosen with k / 5, and drawn anew comes out as it was once in its number of values
    mean_k = changed or 2.5
    for share, size in zip(differ.double().mean(0), SPRITES.factor_sizes):
        assert share.item() == pytest.approx(mean_k / 5 * (1 - 1 / size), abs=0.045)
    assert differ.sum(1).max() == (changed or 4)
    assert factors[:2000].double().mean(0).tolist() == pytest.approx(
        [(size - 1) / 2 for size in SPRITES.factor_sizes], rel=0.06
    )


def test_k_is_uniform_over_the_numbers_of_factors_that_leave_one_shared():
    """Where every factor has very many values, what changes differs."""
    many = vaelib.data.factors.FactorImages(
        "many", (1, 1, 1), ("a", "b", "c", "d"), (1000,) * 4, lambda f: f[:, :1, None, None]
    )
    _, factors = Pairs(many).sample(12_000, torch.Generator().manual_seed(0))
    counts = (factors[:6000] != factors[6000:]).sum(1).bincount(minlength=5)
    assert counts[4] == 0 and counts[0] < 20
    assert all(abs(count / 6000 - 1 / 3) < 0.03 for count in counts[1:4])


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: FactorVAE(0, 1.0), "latent_dim must be a whole number, at least 1; got 0"),
        (lambda: FactorVAE(2, -1.0), "gamma must be a number at least 0, .*; got -1"),
        (lambda: FactorVAE(2, 1.0, width=0), "width must be .*; got 0"),
        (lambda: FactorVAE(2, 1.0, learning_rate=0), "learning_rate must be .*; got 0"),
        (lambda: factor_vae()(*ROW, torch.zeros(4, 2), 0), "takes codes of 3 latents; got 2"),
        (lambda: dip_vae("iii", 1.0, 1.0), "kind must be i or ii; got 'iii'"),
        (lambda: dip_vae("i", -1.0, 1.0), "off_diagonal must be .*; got -1"),
        (lambda: dip_vae("i", 1.0, math.inf), "diagonal must be .*; got inf"),
        (lambda: Pairs(SPRITES, changed=5), "changed must be at most 4; got 5"),
        (lambda: Pairs(SPRITES, changed=0), "changed must be a whole number, at least 1; got 0"),
        (lambda: Pairs(SPRITES).sample(5, torch.Generator()), "an even batch_size; got 5"),
    ],
)
def test_what_can_not_be_is_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_the_gaussian_total_correlation_is_that_of_the_covariance():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(500, 4, generator=generator) @ torch.randn(4, 4, generator=generator)
    covariance = np.cov(codes.T.double().numpy())
    by_numpy = 0.5 * (np.log(covariance.diagonal()).sum() - np.linalg.slogdet(covariance)[1])
    total = disentanglement.gaussian_total_correlation
    assert total(codes) == pytest.approx(by_numpy, rel=1e-9)
    scaled = codes.double() * torch.tensor([1e-6, 1, 1, 1e4]) + 3
    assert total(scaled) == pytest.approx(by_numpy, rel=1e-6)
    assert total(torch.nn.functional.pad(codes, (0, 1), value=7.0)) == pytest.approx(by_numpy)
    assert total(codes[:, [0, 0]]) > 15
    for wrong in (codes[:4], codes[0]):
        with pytest.raises(ValueError, match=r"n above latent_dim; got \("):
            total(wrong)
    with pytest.raises(ValueError, match="codes must be finite"):
        total(codes / 0)

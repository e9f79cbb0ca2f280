"""The training loop: the same mathematics as the plainest loop, reproducible, and honest about
failure.
"""

import itertools
import re

import pytest
import torch
from common import weights
from torch.nn.functional import binary_cross_entropy_with_logits

import vaelib
from vaelib import VAE, ConvSpec, ImageData, TrainingError, fit
from vaelib.train import minibatches


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    train, test = (
        torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=generator)
        for n in (50, 20)
    )
    labels = torch.zeros(1, dtype=torch.int64)
    return ImageData("noise", train, test, labels.expand(50), labels.expand(20))


def new_model(seed=0, likelihood="bernoulli"):
    torch.manual_seed(seed)
    return VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8, likelihood=likelihood)


def trained(data, **arguments):
    model = new_model()
    history = fit(
        model,
        data,
        **{"epochs": 2, "batch_size": 16, "device": "cpu", "progress": False, **arguments},
    )
    return weights(model), history


def test_the_same_seed_gives_the_same_weights_bit_for_bit(data):
    assert torch.equal(trained(data, seed=3)[0], trained(data, seed=3)[0])
    assert not torch.equal(trained(data, seed=3)[0], trained(data, seed=4)[0])


def test_seeds_are_not_set_behind_the_callers_back(data):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    model = VAE((1, 8, 8), 3, [ConvSpec(4)], hidden=8)
    torch.random.set_rng_state(before)
    fit(model, data, epochs=1, device="cpu", progress=False)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("binarize", [False, True])
def test_the_loop_is_the_plainest_one(data, binarize):
    """Five steps of fit against five steps written out with torch's own pieces and the same random
    numbers.
    """
    data = ImageData(
        data.name, data.train, data.test, data.train_labels, data.test_labels, binarize
    )
    beta, model = 3.0, new_model().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(7)
    order = torch.randperm(50, generator=generator)
    for indices in order.split(10):
        x = data.train[indices].float() / 255
        if binarize:
            x = (torch.rand(x.shape, generator=generator) < x).float()
        h = model.encoder(x)
        mean, log_var = model.to_mean(h), model.to_log_var(h)
        sigma = torch.exp(log_var) ** 0.5
        z = mean + sigma * torch.empty_like(mean).normal_(generator=generator)
        reconstruction = binary_cross_entropy_with_logits(
            model.decoder(z), x, reduction="sum"
        ) / len(x)
        kl = torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, sigma), torch.distributions.Normal(0.0, 1.0)
        ).sum() / len(x)  # fmt: skip
        optimizer.zero_grad()
        (reconstruction + beta * kl).backward()
        optimizer.step()
    ours, _ = trained(data, epochs=1, batch_size=10, beta=beta, seed=7)
    torch.testing.assert_close(ours, weights(model), rtol=2e-4, atol=2e-5)


def test_beta_one_is_the_vanilla_vae_and_other_betas_are_not(data):
    vanilla, _ = trained(data)
    for beta, same in ((1.0, True), (1, True), (4.0, False), (0.0, False), (0.5, False)):
        assert torch.equal(trained(data, beta=beta)[0], vanilla) == same, f"beta = {beta}"


def test_a_larger_beta_buys_a_smaller_kl(data):
    kl = [
        trained(data, epochs=15, beta=beta, learning_rate=1e-2)[1].test["kl"][-1]
        for beta in (0.1, 1.0, 10.0)
    ]
    assert kl[0] > kl[1] > kl[2]


def test_beta_may_be_a_function_of_the_step(data):
    seen = []

    def schedule(step):
        seen.append(step)
        return 2.0

    scheduled, _ = trained(data, beta=schedule)
    assert seen == list(range(8)), "two epochs of four steps, counted from 0"
    assert torch.equal(scheduled, trained(data, beta=2.0)[0])
    assert not torch.equal(trained(data, beta=lambda step: 0.1 * step)[0], scheduled)


def test_history_says_what_happened(data):
    _, history = trained(data, epochs=3)
    assert len(history) == 3 and history.images_per_second > 0 and history.device == "cpu"
    for split in (history.train, history.test):
        for reconstruction, kl, elbo in zip(
            *(split[term] for term in ("reconstruction", "kl", "elbo")), strict=True
        ):
            assert reconstruction > 0 and kl >= 0 and elbo == pytest.approx(-(reconstruction + kl))


def test_the_test_figures_are_the_metrics(data):
    model = new_model()
    history = fit(model, data, epochs=1, device="cpu", progress=False)
    terms = vaelib.metrics.elbo_terms(model, data.test)
    assert history.test["reconstruction"][-1] == pytest.approx(
        terms.reconstruction.mean().item(), rel=1e-6
    )
    assert history.test["elbo"][-1] == pytest.approx(
        vaelib.metrics.elbo(model, data.test).mean().item(), rel=1e-6
    )


def test_train_figures_weigh_every_image_alike(data):
    """With a learning rate that moves nothing, an epoch's mean is the mean over images, the short
    last batch too.
    """
    model = new_model()
    history = fit(
        model, data, epochs=1, batch_size=32, learning_rate=1e-30, device="cpu", progress=False
    )
    kl = vaelib.metrics.elbo_terms(model, data.train).kl.mean().item()
    assert history.train["kl"][0] == pytest.approx(kl, rel=1e-5)


def test_training_learns(data):
    _, history = trained(data, epochs=30, learning_rate=1e-2)
    assert history.train["elbo"][-1] > history.train["elbo"][0] + 1


def test_plain_images_will_do(data):
    from_tensor, history = trained(data.train)
    assert torch.equal(from_tensor, trained(data)[0])
    assert history.test["elbo"] == []


def test_gaussian_models_learn_their_sigma(data):
    model = new_model(likelihood="gaussian")
    fit(model, data, epochs=60, batch_size=25, learning_rate=2e-2, device="cpu", progress=False)
    # uniform noise can't be compressed: sigma goes to its standard deviation, 0.29
    assert model.log_sigma.exp().item() == pytest.approx(0.29, abs=0.03)


def test_a_loss_that_is_not_finite_stops_training_and_says_when(data):
    def objective(log_likelihood, mean, log_var, z, step):
        return log_likelihood.mean() * (float("nan") if step >= 7 else -1.0)

    with pytest.raises(TrainingError) as stopped:
        fit(
            new_model(),
            data,
            epochs=3,
            batch_size=10,
            objective=objective,
            device="cpu",
            progress=False,
        )
    message = str(stopped.value)
    assert message.startswith(
        "the loss became nan at step 8 (epoch 2); try a smaller learning_rate"
    )
    assert "\n" not in message


def test_minibatches_cover_every_image_once():
    batches = list(minibatches(10, 4, torch.Generator().manual_seed(0)))
    assert [len(b) for b in batches] == [4, 4, 2]
    assert sorted(itertools.chain(*(b.tolist() for b in batches))) == list(range(10))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(epochs=0), "epochs"),
        (dict(epochs=1.5), "epochs"),
        (dict(batch_size=0), "batch_size"),
        (dict(learning_rate=0), "learning_rate"),
        (dict(learning_rate=float("nan")), "learning_rate"),
        (dict(beta=-1), "beta"),
        (dict(beta=float("nan")), "beta"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(data, arguments, name):
    with pytest.raises(ValueError, match=name):
        trained(data, **arguments)


def test_the_bar_shows_loss_and_rate(data, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr("vaelib.train.tqdm", __import__("tqdm").tqdm)
    _, history = trained(data, progress=True, epochs=3)
    shown = capsys.readouterr().err
    assert "images/s" in shown and "150/150" in shown
    # nats an image, a mean over the batch: the last epoch's, up to the weight of its short last
    # batch
    assert float(re.findall(r"loss=([\d.]+)", shown)[-1]) == pytest.approx(
        -history.train["elbo"][-1], rel=0.02
    )
    trained(data, progress=False)
    assert capsys.readouterr().err == ""

"""The configuration file: what is read, what is filled in, and each mistake in one line with all
that it needs to say.
"""

import math
import os
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import vaelib
from vaelib import losses
from vaelib.choices import (
    ACTIVATIONS,
    DATASETS,
    LIKELIHOODS,
    PRECISIONS,
    SCHEDULES,
    SIGMA_WORDS,
    SPRITE_SIZES,
    STARTS,
    VARIATIONS,
    WITHOUT_BETA,
)
from vaelib.experiments import config, schema
from vaelib.experiments.config import ConfigError
from vaelib.experiments.from_config import build_model, check_shapes, fit_arguments, learning_rate
from vaelib.experiments.schema import ScheduleSpec

# the format as the original repository's users know it, without the keys that came later
ORIGINAL = """
[configuration]
dataset = MNIST
path = ../datasets/
[architecture]
conv_layers = 3
conv_channels = [16, 32, 64]
conv_kernel_sizes = [(7, 7), (5, 5), (3, 3)]
conv_strides = [(2, 2), (1, 1), (3, 2)]
conv_paddings = [(1, 3), (2, 0), (0, 0)]
z_dimension = 2
[hyperparameters]
epochs = 15
batch_size = 32
learning_rate = 3e-6
beta = 0.5
"""
SPRITES = """
[configuration]
dataset = sprites
[architecture]
z_dimension = 4
[hyperparameters]
steps = 100
"""


@pytest.fixture
def file(tmp_path):
    def write(text, *changes):
        for before, after in changes:
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        path = tmp_path / "my.cfg"
        path.write_text(text)
        return path

    return write


def refused(path, **overrides):
    with pytest.raises(ConfigError) as refusal:
        config.read(path, overrides)
    message = str(refusal.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_the_original_format_is_read_as_it_was(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = config.read(file(ORIGINAL))
    assert read.configuration.dataset == "mnist" and read.image_shape == (1, 28, 28)
    assert read.configuration.path == str(tmp_path.parent / "datasets"), (
        "relative to where the command is run"
    )
    assert read.architecture.conv_channels == (16, 32, 64)
    assert read.architecture.conv_kernel_sizes == ((7, 7), (5, 5), (3, 3))
    assert read.architecture.conv_strides == ((2, 2), (1, 1), (3, 2))
    assert read.architecture.conv_paddings == ((1, 3), (2, 0), (0, 0))
    training = read.hyperparameters
    assert (training.epochs, training.batch_size, training.learning_rate, training.beta) == (
        15,
        32,
        3e-6,
        0.5,
    )
    assert (training.seed, training.precision, training.schedule) == (0, "fp32", ScheduleSpec())
    assert (read.architecture.hidden, read.architecture.activation, read.architecture.sigma) == (
        (),
        "relu",
        None,
    )
    assert build_model(read).decode(torch.zeros(1, 2)).shape == (1, 1, 28, 28)


@pytest.mark.parametrize("name", config.names())
def test_every_configuration_of_the_package_trains_a_step(name, monkeypatch):
    """On a few images of the right shape, with VAE and B-VAE; the weights move, and differently."""
    after = []
    for variation in VARIATIONS:
        chosen = config.read(name).variation(variation)
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(
            0, 256, (4, *chosen.image_shape), dtype=torch.uint8, generator=generator
        )
        labels = torch.zeros(4, dtype=torch.int64)
        data = vaelib.ImageData(
            name, images, images[:1], labels, labels[:1], bool(chosen.configuration.binarize)
        )
        model = build_model(chosen)
        before = model.to_mean.weight.clone()
        length = {"epochs": 1}
        if chosen.hyperparameters.steps:
            data, length = (
                vaelib.load(chosen.configuration.dataset, image_size=chosen.image_shape[1]),
                {"steps": 1},
            )
        arguments = {
            "batch_size": 4,
            "learning_rate": chosen.hyperparameters.learning_rate,
            "device": "cpu",
        }
        history = vaelib.fit(
            model, data, **length, **arguments, **fit_arguments(chosen, data), progress=False
        )
        assert math.isfinite(history.train["elbo"][0])
        assert not torch.equal(model.to_mean.weight, before)
        after.append(model.to_mean.weight)
    assert not torch.equal(*after)


def test_the_package_has_the_four_published_architectures():
    """Channels, kernels, strides and paddings of the original study's four, and z of 2 or 8."""
    kernels = {name: config.read(name).architecture.conv_kernel_sizes for name in config.names()}
    assert kernels["mnist"] == ((7, 7), (5, 5), (3, 3)) and kernels["fashion-mnist"] == (
        (7, 7),
        (7, 7),
        (5, 5),
    )
    assert kernels["cifar10"] == ((7, 7), (5, 5), (3, 3), (1, 1))
    channels = {name: config.read(name).architecture.conv_channels for name in config.names()}
    assert channels["mnist"] == channels["mnist-strided"] == (16, 32, 64)
    assert channels["cifar10"] == (16, 32, 64, 128) and channels["fashion-mnist"] == (64, 128, 256)
    assert config.read("mnist-strided").architecture == config.read("mnist").architecture.__class__(
        conv_layers=3,
        conv_channels=(16, 32, 64),
        conv_kernel_sizes=((7, 7), (5, 5), (3, 3)),
        conv_strides=((2, 2), (1, 1), (3, 2)),
        conv_paddings=((1, 3), (2, 0), (0, 0)),
        z_dimension=2,
        likelihood="bernoulli",
    )
    assert config.read("fashion-mnist").hyperparameters.beta == 10


@pytest.mark.parametrize("name", config.names())
def test_what_is_written_reads_as_the_same(name, tmp_path):
    for variation in VARIATIONS:
        chosen = config.read(name).variation(variation)
        path = tmp_path / f"{name}.cfg"
        path.write_text(chosen.text())
        assert replace(config.read(path), file=name) == chosen


@pytest.mark.parametrize("written", ["MNIST", "mnist", "Mnist"])
def test_names_of_data_sets_may_be_written_in_any_case(file, written):
    assert config.read(file(ORIGINAL, ("MNIST", written))).configuration.dataset == "mnist"
    for other in ("FashionMNIST", "fashion-mnist", "CIFAR10", "cifar-10", "MNIST-5k"):
        plain = other.lower().replace("-", "")
        assert (
            config.read(file(ORIGINAL, ("MNIST", other))).configuration.dataset.replace("-", "")
            == plain
        )


def test_likelihood_and_binarisation_follow_the_data_and_each_other(file):
    mnist = config.read(file(ORIGINAL))
    assert (mnist.architecture.likelihood, mnist.configuration.binarize) == ("bernoulli", True)
    cifar = config.read(file(ORIGINAL, ("MNIST", "CIFAR10")))
    assert (cifar.architecture.likelihood, cifar.configuration.binarize) == ("gaussian", False)
    assert cifar.architecture.sigma == "learnt" and cifar.image_shape == (3, 32, 32)
    grey = config.read(
        file(ORIGINAL, ("[architecture]", "[architecture]\nlikelihood = continuous-bernoulli"))
    )
    assert (grey.architecture.likelihood, grey.configuration.binarize) == (
        "continuous-bernoulli",
        False,
    )
    asked = config.read(file(ORIGINAL, ("[architecture]", "binarize = no\n[architecture]")))
    assert (asked.architecture.likelihood, asked.configuration.binarize) == ("bernoulli", False)
    sprites = config.read(file(SPRITES))
    assert (sprites.architecture.likelihood, sprites.configuration.binarize) == ("bernoulli", None)
    assert sprites.image_shape == (1, 64, 64)
    coloured = config.read(
        file(SPRITES, ("[architecture]", "colour = yes\nimage_size = 32\n[architecture]"))
    )
    assert coloured.image_shape == (3, 32, 32) and coloured.architecture.likelihood == "gaussian"


def test_no_convolutions_and_two_hidden_layers(file):
    text = "[configuration]\ndataset = MNIST\n"
    text += "[architecture]\nconv_layers = 0\nhidden = [200, 200]\nactivation = tanh\n"
    read = config.read(file(text + "z_dimension = 50\n[hyperparameters]\nepochs = 1\n"))
    model = build_model(read)
    assert (
        model.hidden == (200, 200)
        and model.convs == ()
        and model.activation == "tanh"
        and model.latent_dim == 50
    )


def test_lists_left_out_are_what_conv_spec_has(file):
    text = "[configuration]\ndataset = MNIST\n"
    text += "[architecture]\nconv_channels = [8, 16]\nz_dimension = 2\n"
    read = config.read(file(text + "[hyperparameters]\nepochs = 1\n"))
    assert check_shapes(read) == [vaelib.ConvSpec(8), vaelib.ConvSpec(16)]
    plain = config.read(file(ORIGINAL, ("[(7, 7), (5, 5), (3, 3)]", "[7, 5, 3]")))
    assert plain.architecture.conv_kernel_sizes == ((7, 7), (5, 5), (3, 3))


def test_comments_and_values_over_several_lines(file):
    text = ORIGINAL.replace("[16, 32, 64]", "[16,  # one\n  32,\n  64]").replace(
        "beta = 0.5", "beta = 0.5  # half"
    )
    read = config.read(file(text))
    assert read.architecture.conv_channels == (16, 32, 64) and read.hyperparameters.beta == 0.5


def test_a_vae_has_beta_1_and_a_b_vae_needs_one(file):
    path = file(ORIGINAL, ("beta = 0.5", "beta = 0.5\nschedule = warm-up 10"))
    vae, own = config.read(path).variation("VAE"), config.read(path).variation("B-VAE")
    assert (vae.hyperparameters.beta, vae.hyperparameters.schedule) == (1.0, ScheduleSpec())
    assert (own.hyperparameters.beta, own.hyperparameters.schedule) == (
        0.5,
        ScheduleSpec("warm-up", (10,)),
    )
    without = config.read(file(ORIGINAL, ("beta = 0.5\n", "")))
    assert without.variation("VAE").hyperparameters.beta == 1.0
    with pytest.raises(
        ConfigError, match=r"my\.cfg: \[hyperparameters\] beta is missing: B-VAE needs it"
    ):
        without.variation("B-VAE")
    assert config.read(file(ORIGINAL, ("beta = 0.5", "schedule = capacity 25 100 10"))).variation(
        "B-VAE"
    )


def terms():
    generator = torch.Generator().manual_seed(0)
    log_likelihood = -100 * torch.rand(6, generator=generator)
    mean, log_var, z = (torch.randn(6, 3, generator=generator) for _ in range(3))
    return log_likelihood, mean, log_var, z, losses.kl_to_standard_normal(mean, log_var)


@pytest.mark.parametrize(
    ("schedule", "weights"),
    [
        ("warm-up 10", {0: 0.0, 5: 2.0, 10: 4.0, 99: 4.0}),
        ("linear 16 10", {0: 16.0, 5: 10.0, 10: 4.0, 99: 4.0}),
        ("falling 16 10", {0: 16.0, 5: 8.0, 10: 4.0, 99: 4.0}),
        ("cyclical 10", {0: 0.0, 2: 1.6, 5: 4.0, 9: 4.0, 12: 1.6}),
    ],
)
def test_schedules_weigh_the_kl_as_they_say(file, schedule, weights):
    log_likelihood, mean, log_var, z, kl = terms()
    chosen = config.read(file(ORIGINAL, ("beta = 0.5", f"beta = 4\nschedule = {schedule}")))
    objective = fit_arguments(chosen, torch.empty(50))["objective"]
    for step, weight in weights.items():
        expected = (weight * kl - log_likelihood).mean()
        torch.testing.assert_close(objective(log_likelihood, mean, log_var, z, step), expected)


def test_constant_capacity_and_total_correlation(file):
    log_likelihood, mean, log_var, z, kl = terms()
    assert fit_arguments(config.read(file(ORIGINAL)), None) == {"beta": 0.5}
    capacity = config.read(file(ORIGINAL, ("beta = 0.5", "schedule = capacity 20 100 30")))
    objective = fit_arguments(capacity, None)["objective"]
    for step, nats in {0: 0.0, 50: 10.0, 200: 20.0}.items():
        expected = 30 * (kl.mean() - nats).abs() - log_likelihood.mean()
        torch.testing.assert_close(objective(log_likelihood, mean, log_var, z, step), expected)

    images = torch.zeros(50, 1, 8, 8, dtype=torch.uint8)
    data = vaelib.ImageData("fifty", images, images[:1], torch.zeros(50), torch.zeros(1))
    tc = losses.kl_terms(z, mean, log_var, 50).total_correlation
    for schedule, weights in {
        "tc": {0: 6.0},
        "tc constant": {9: 6.0},
        "tc warm-up 10": {0: 0.0, 5: 3.0},
    }.items():
        chosen = config.read(file(ORIGINAL, ("beta = 0.5", f"beta = 6\nschedule = {schedule}")))
        for step, weight in weights.items():
            expected = (kl - log_likelihood + (weight - 1) * tc).mean()
            found = fit_arguments(chosen, data)["objective"](log_likelihood, mean, log_var, z, step)
            torch.testing.assert_close(found, expected)


def test_a_learning_rate_falls_over_all_steps_by_a_constant_factor(file):
    """Of 100 images in batches of 32 an epoch has four steps; a stream's steps are given."""
    images, labels = torch.zeros(100, 1, 28, 28, dtype=torch.uint8), torch.zeros(100)
    data = vaelib.ImageData("few", images, images[:1], labels, labels[:1], True)
    chosen = config.read(file(ORIGINAL))
    assert learning_rate(chosen, data) == 3e-6
    falls = ("learning_rate = 3e-6", "learning_rate = 1e-2\nlast_learning_rate = 1e-4")
    chosen = config.read(file(ORIGINAL, falls))
    assert config.read(file(chosen.text())).hyperparameters == chosen.hyperparameters
    rate = learning_rate(chosen, data)
    torch.testing.assert_close([rate(0), rate(30), rate(60)], [1e-2, 1e-3, 1e-4])
    sprites = config.read("sprites", {"hyperparameters.last_learning_rate": "1e-5"})
    rate, steps = learning_rate(sprites, None), sprites.hyperparameters.steps
    torch.testing.assert_close([rate(0), rate(steps // 2), rate(steps)], [1e-3, 1e-4, 1e-5])


def test_iwae_draws_its_samples(file):
    log_likelihood, mean, log_var, z, _ = terms()
    chosen = config.read(file(ORIGINAL, ("beta = 0.5", "schedule = iwae\nsamples = 5"))).variation(
        "B-VAE"
    )
    assert (chosen.hyperparameters.samples, chosen.hyperparameters.schedule.kind) == (5, "iwae")
    found = fit_arguments(chosen, None)["objective"](log_likelihood, mean, log_var, z, 0)
    log_weight = losses.log_importance_weight(log_likelihood, z, mean, log_var)
    torch.testing.assert_close(found, -log_weight.mean())
    plain = chosen.variation("VAE").hyperparameters
    assert (plain.beta, plain.schedule.kind, plain.samples) == (1.0, "constant", 5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ("epochs = 15", "epochs = fifteen"),
            ["[hyperparameters] epochs = fifteen", "whole number, at least 1"],
        ),
        (("epochs = 15", "epochs = 0"), ["[hyperparameters] epochs = 0", "at least 1"]),
        (("epochs = 15", "epochs = 1.5"), ["epochs = 1.5", "whole number"]),
        (("epochs = 15", "epochs = True"), ["epochs = True", "whole number"]),
        (("epochs = 15", "epochs ="), ["epochs = : must be a whole number"]),
        (("epochs = 15", "epochs = 10**9"), ["epochs = 10**9", "whole number"]),
        (
            ("epochs = 15\n", ""),
            ["[hyperparameters] epochs is missing: a whole number, at least 1"],
        ),
        (("epochs = 15", "steps = 15"), ["[hyperparameters] steps = 15", "measured in epochs"]),
        (
            ("batch_size = 32", "batch_size = 32\nbatchsize = 3"),
            ["batchsize = 3: unknown key", "mean batch_size?", "seed"],
        ),
        (("learning_rate = 3e-6", "learning_rate = 0"), ["learning_rate = 0", "above 0", "1e-3"]),
        (("learning_rate = 3e-6", "learning_rate = nan"), ["learning_rate = nan", "above 0"]),
        (("learning_rate = 3e-6", "learning_rate = 1e999"), ["learning_rate = 1e999", "above 0"]),
        (
            ("learning_rate = 3e-6", "learning_rate = 3e-6\nlast_learning_rate = 0"),
            ["last_learning_rate = 0", "above 0 and at most learning_rate"],
        ),
        (
            ("learning_rate = 3e-6", "learning_rate = 3e-6\nlast_learning_rate = 1e-3"),
            ["last_learning_rate = 0.001", "falls, from learning_rate = 3e-06", "at most that"],
        ),
        (("beta = 0.5", "beta = -1"), ["[hyperparameters] beta = -1", "at least 0"]),
        (("beta = 0.5", "beta = four"), ["beta = four", "such as 4 or 0.5"]),
        (("beta = 0.5", "beta = __import__('os')"), ["beta = __import__('os')", "at least 0"]),
        (("beta = 0.5", "beta = 4\nseed = -1"), ["seed = -1", "0 to 4294967295"]),
        (("beta = 0.5", "beta = 4\nprecision = fp16"), ["precision = fp16: must be fp32 or bf16"]),
        (
            ("beta = 0.5", "beta = 4\nschedule = warmup 10"),
            ["schedule = warmup 10", "warm-up STEPS", "tc"],
        ),
        (("beta = 0.5", "beta = 4\nschedule = warm-up"), ["schedule = warm-up:", "warm-up STEPS"]),
        (("beta = 0.5", "beta = 0\nschedule = falling 40 10"), ["beta = 0.0", "must be above 0"]),
        (
            ("beta = 0.5", "beta = 4\nschedule = falling 0 10"),
            ["schedule = falling 0 10", "falling START STEPS"],
        ),
        (
            ("beta = 0.5", "beta = 4\nschedule = warm-up 0"),
            ["schedule = warm-up 0", "warm-up STEPS"],
        ),
        (
            ("beta = 0.5", "beta = 4\nschedule = cyclical 10 20"),
            ["schedule = cyclical 10 20", "cyclical PERIOD"],
        ),
        (
            ("beta = 0.5", "beta = 4\nschedule = tc capacity 1 2 3"),
            ["schedule = tc capacity 1 2 3", "all but capacity and iwae"],
        ),
        (
            ("beta = 0.5", "beta = 4\nschedule = capacity 25 100 10"),
            ["beta = 4.0", "capacity", "remove one of them"],
        ),
        (
            ("beta = 0.5", "beta = 4\nschedule = iwae"),
            ["beta = 4.0", "schedule = iwae", "remove one of them"],
        ),
        (("beta = 0.5", "schedule = tc iwae"), ["schedule = tc iwae", "all but capacity and iwae"]),
        (("beta = 0.5", "schedule = iwae 5"), ["schedule = iwae 5", "one of constant"]),
        (
            ("beta = 0.5", "schedule = iwae\nsamples = 0"),
            ["samples = 0", "at least 1: the latents drawn"],
        ),
        (
            ("beta = 0.5", "beta = 4\nschedule = tc\nsamples = 5"),
            ["samples = 5", "with schedule = tc it must be 1"],
        ),
        (("beta = 0.5", "beta = 4\nschedule ="), ["schedule = :", "constant"]),
        (
            ("= MNIST", "= MNITS"),
            ["[configuration] dataset = MNITS", "MNIST, FashionMNIST, CIFAR10", "folder"],
        ),
        (("= MNIST", "="), ["[configuration] dataset = : must be one of MNIST"]),
        (("dataset = MNIST\n", ""), ["[configuration] dataset is missing", "FashionMNIST"]),
        (("= ../datasets/", "="), ["[configuration] path = :", "a folder"]),
        (
            ("= MNIST", "= MNIST\nimage_size = 32"),
            ["[configuration] image_size = 32", "mnist", "remove the key"],
        ),
        (("= MNIST", "= MNIST\ncolour = no"), ["[configuration] colour = no", "remove the key"]),
        (("= MNIST", "= MNIST\nbinarize = perhaps"), ["binarize = perhaps: must be yes or no"]),
        (
            ("= MNIST\npath = ../datasets/", "= folder"),
            ["[configuration] path is missing: the folder of your images"],
        ),
        (("z_dimension = 2", "z_dimension = 0"), ["[architecture] z_dimension = 0", "at least 1"]),
        (("z_dimension = 2\n", ""), ["[architecture] z_dimension is missing"]),
        (
            ("conv_layers = 3", "conv_layers = 2"),
            ["conv_channels = [16, 32, 64]", "has 3 for 2 convolutions; give 2"],
        ),
        (("conv_layers = 3", "conv_layers = 1"), ["has 3 for 1 convolution; give 1"]),
        (
            ("(5, 5), (3, 3)]", "(5, 5)]"),
            ["conv_kernel_sizes = [(7, 7), (5, 5)]", "has 2 for 3 convolutions; give 3"],
        ),
        (
            ("(5, 5), (3, 3)]", "(5, 5), (3, 3)"),
            ["conv_kernel_sizes = [(7, 7), (5, 5), (3, 3)", "pairs"],
        ),
        (
            ("[(2, 2),", "[(2, 2, 2),"),
            ["conv_strides = [(2, 2, 2), (1, 1), (3, 2)]", "pairs", "at least 1"],
        ),
        (("[(2, 2),", "[(0, 2),"), ["conv_strides = [(0, 2), (1, 1), (3, 2)]", "at least 1"]),
        (("[(1, 3),", "[(-1, 3),"), ["conv_paddings = [(-1, 3), (2, 0), (0, 0)]", "at least 0"]),
        (
            ("[16, 32, 64]", "16, 32, sixty"),
            ["conv_channels = 16, 32, sixty", "such as [16, 32, 64]"],
        ),
        (("[16, 32, 64]", "[16, 32, 6.4]"), ["conv_channels = [16, 32, 6.4]", "whole numbers"]),
        (("z_dimension = 2", "z_dimension = 2\nhidden = [0]"), ["hidden = [0]", "[] for none"]),
        (
            ("z_dimension = 2", "z_dimension = 2\nlikelihood = normal"),
            ["likelihood = normal", "bernoulli", "gaussian"],
        ),
        (
            ("z_dimension = 2", "z_dimension = 2\nactivation = elu"),
            ["activation = elu: must be relu or tanh"],
        ),
        (
            ("z_dimension = 2", "z_dimension = 2\nsigma = 0.1"),
            ["sigma = 0.1", "bernoulli has none"],
        ),
        (
            ("z_dimension = 2", "z_dimension = 2\nsigma = small"),
            ["sigma = small", "learnt", "optimal"],
        ),
        (
            (
                "z_dimension = 2",
                "z_dimension = 2\nlikelihood = discretised-logistic\nsigma = optimal",
            ),
            ["sigma = optimal", "only the likelihood gaussian"],
        ),
        (
            ("[hyperparameters]", "[hyperparameter]"),
            ["unknown section [hyperparameter]", "mean hyperparameters?"],
        ),
        (
            ("[hyperparameters]", "[DEFAULT]"),
            ["unknown section [DEFAULT]", "There are: configuration"],
        ),
        (
            ("batch_size = 32", "batch_size = 32\nbatch_size = 64"),
            ["[hyperparameters] batch_size is given twice", "line"],
        ),
        (("[architecture]", "[configuration]"), ["[configuration] is given twice", "line"]),
        (("[configuration]", ""), ["stands before the first section, [configuration]"]),
        (
            ("z_dimension = 2", "z_dimension = 2\nz_map = 3"),
            ["[architecture] z_dimension = 2", "z_map leaves no place for it"],
        ),
        (
            ("z_dimension = 2", "z_map = 3\nhidden = [8]"),
            ["[architecture] hidden = [8]", "z_map leaves no place for it"],
        ),
        (
            ("z_dimension = 2", "z_map = 0"),
            ["[architecture] z_map = 0", "instead of z_dimension"],
        ),
        (
            ("z_dimension = 2", "z_dimension = 2\nhello"),
            ["is neither [section] nor key = value", "hello"],
        ),
    ],
)
def test_every_mistake_is_one_line_that_says_it_all(file, change, words):
    message = refused(file(ORIGINAL, change))
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("steps = 100", "epochs = 100"), ["epochs = 100", "sprites is measured in steps"]),
        (("steps = 100", ""), ["steps is missing"]),
        (("= sprites", "= sprites\nimage_size = 28"), ["image_size = 28", "32 or 64"]),
        (("= sprites", "= dsprites\ncolour = yes"), ["colour = yes", "dsprites"]),
        (("= sprites", "= sprites\nbinarize = yes"), ["binarize = yes", "drawn as they are"]),
    ],
)
def test_mistakes_about_a_stream(file, change, words):
    message = refused(file(SPRITES, change))
    for word in words:
        assert word in message, message


def test_an_impossible_shape_names_the_layer_and_what_would_fit(file):
    path = file(ORIGINAL, ("[(7, 7), (5, 5), (3, 3)]", "[(7, 7), (5, 5), (13, 3)]"))
    with pytest.raises(ConfigError) as refusal:
        check_shapes(config.read(path))
    message = str(refusal.value)
    assert message.startswith(
        f"{path}: [architecture] conv_kernel_sizes = [(7, 7), (5, 5), (13, 3)]: convolution 3 of 3"
    )
    assert "at most 12x10" in message and "\n" not in message


def test_files_that_are_none(tmp_path):
    assert "no such file" in refused(tmp_path / "none.cfg") and "mnist-5k" in refused(
        tmp_path / "none.cfg"
    )
    assert "directory" in refused(tmp_path)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    assert refused(tmp_path / "picture.png") == "not a text file in UTF-8; save it as one"
    (tmp_path / "empty.cfg").write_text("")
    assert "[configuration] dataset is missing" in refused(tmp_path / "empty.cfg")


def test_a_file_of_your_own_comes_before_one_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config.read("mnist").hyperparameters.epochs == 15
    (tmp_path / "mnist").write_text(ORIGINAL.replace("epochs = 15", "epochs = 3"))
    assert config.read("mnist").hyperparameters.epochs == 3


def test_overrides_are_checked_as_the_file_is(file):
    path = file(ORIGINAL)
    read = config.read(path, {"hyperparameters.beta": "4", "architecture.hidden": "[64, 32]"})
    assert (read.hyperparameters.beta, read.architecture.hidden) == (4.0, (64, 32))
    assert "beta = x: must be a number" in refused(path, **{"hyperparameters.beta": "x"})
    assert "unknown key; did you mean beta?" in refused(path, **{"hyperparameters.betta": "4"})
    assert "unknown section [training]" in refused(path, **{"training.beta": "4"})


def test_a_byte_order_mark_is_no_line(tmp_path):
    path = tmp_path / "bom.cfg"
    path.write_text(ORIGINAL, encoding="utf-8-sig")
    assert config.read(path).configuration.dataset == "mnist"


def test_a_key_of_another_section_is_sent_there(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text(ORIGINAL.replace("[architecture]", "[architecture]\nbatch_size = 3", 1))
    with pytest.raises(ConfigError, match=r"batch_size = 3: unknown key; it belongs to \[hyperp"):
        config.read(path)


numbers = st.integers(1, 2**31 - 1)
floats = st.floats(1e-300, 1e300)
PATHS = st.text(st.characters(exclude_characters="\0", codec=None), min_size=1)
SCHEDULE = {
    "STEPS": numbers,
    "PERIOD": numbers.filter(lambda n: n > 1),
    "START": floats,
    "NATS": floats,
    "GAMMA": floats,
}


@st.composite
def configurations(draw):
    """Every key that a configuration can have, with any value that is allowed there."""

    def maybe(values):
        return draw(st.none() | values)

    dataset = draw(st.sampled_from(sorted(DATASETS)))
    stream, options = DATASETS[dataset].stream, DATASETS[dataset].options
    layers = draw(st.integers(0, 3))
    pairs = st.lists(st.tuples(numbers, numbers), min_size=layers, max_size=layers).map(tuple)
    widths = st.lists(numbers, min_size=layers, max_size=layers).map(tuple)
    as_map = layers > 0 and draw(st.booleans())
    likelihood = draw(st.sampled_from(LIKELIHOODS))
    words = SIGMA_WORDS.get(likelihood, ())
    kind = draw(st.sampled_from(sorted(SCHEDULES)))
    tc = kind not in WITHOUT_BETA and draw(st.booleans())
    values = tuple(draw(SCHEDULE[name]) for name in SCHEDULES[kind])
    sizes = st.sampled_from(SPRITE_SIZES) if stream else st.integers(1, 4096)
    path = draw(PATHS) if dataset == "folder" else maybe(PATHS)
    return [
        schema.Configuration(
            dataset=dataset,
            path=path and os.path.abspath("/" + path),
            image_size=draw(sizes) if "image_size" in options else None,
            colour=draw(st.booleans()) if "colour" in options else None,
            binarize=None if stream else draw(st.booleans()),
        ),
        schema.Architecture(
            conv_layers=layers,
            conv_channels=draw(widths),
            conv_kernel_sizes=draw(pairs),
            conv_strides=draw(pairs),
            conv_paddings=draw(pairs),
            z_dimension=None if as_map else draw(numbers),
            z_map=draw(numbers) if as_map else None,
            hidden=() if as_map else draw(st.lists(numbers).map(tuple)),
            activation=draw(st.sampled_from(ACTIVATIONS)),
            start=draw(st.sampled_from(STARTS)),
            likelihood=likelihood,
            sigma=draw(st.sampled_from(words) | floats) if words else None,
        ),
        schema.Hyperparameters(
            **{"steps" if stream else "epochs": draw(numbers)},
            batch_size=draw(numbers),
            learning_rate=draw(floats),
            beta=None if kind in WITHOUT_BETA else draw(floats),
            schedule=schema.ScheduleSpec(kind, values, tc),
            seed=draw(st.integers(0, 2**32 - 1)),
            samples=1 if tc else draw(numbers),
            precision=draw(st.sampled_from(PRECISIONS)),
        ),
    ]


@settings(deadline=None)
@given(configurations())
def test_a_configuration_reads_back_as_it_was_written(tmp_path_factory, parts):
    path = tmp_path_factory.getbasetemp() / "written.cfg"
    written = config.Config(str(path), *parts)
    path.write_bytes(written.text().encode())
    assert config.read(path) == written


@pytest.mark.parametrize(("text", "path"), [
    ("/a/b # the pictures", "/a/b"),
    ("/a/b#1", "/a/b#1"),
    ('"/a/b #1" # the pictures', "/a/b #1"),
    ('"/a/\\"b\\"\\u00e9 "', '/a/"b"\u00e9 '),
])  # fmt: skip
def test_a_path_with_a_hash_stands_in_quotation_marks(file, text, path):
    written = file(ORIGINAL, ("../datasets/", text))
    assert config.read(written).configuration.path == path


def test_a_quotation_mark_that_is_not_closed_is_a_line(file):
    assert "must be a folder" in refused(file(ORIGINAL, ("../datasets/", '"/a/b #1')))


def test_z_map_is_so_many_latents_at_each_place(file):
    text = SPRITES.replace("z_dimension = 4", "conv_channels = [4, 6]\nz_map = 3")
    model = build_model(config.read(file(text)))
    assert model.latent_map and model.hidden == () and model.latent_shape == (3, 16, 16)
    read_again = config.read(file(config.read(file(text)).text()))
    assert read_again.architecture.z_map == 3 and read_again.architecture.z_dimension is None
    with pytest.raises(ConfigError, match=r"\[architecture\] z_map = 3: .* need a convolution"):
        config.read(file(SPRITES.replace("z_dimension = 4", "z_map = 3")))


@pytest.mark.parametrize("made", ["nothing", "a folder"])
def test_a_file_named_without_its_ending_is_found_in_the_message(tmp_path, made):
    (tmp_path / "pictures.cfg").write_text("[configuration]\ndataset = mnist-5k\n")
    if made == "a folder":
        (tmp_path / "pictures").mkdir()
    with pytest.raises(ConfigError, match=r"pictures: .*; did you mean .*pictures\.cfg\?$"):
        config.read(str(tmp_path / "pictures"))
    with pytest.raises(ConfigError, match=r"^[^?]*$"):
        config.read(str(tmp_path / "photos"))

"""What a model starts from: the weights' variances, and the image that its last bias says."""

import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import vaelib
from vaelib import VAE, ConvSpec
from vaelib.experiments import config, run
from vaelib.experiments.from_config import build_model
from vaelib.initial_weights import start_at_line, start_at_mean

WIDE = dict(image_shape=(32, 16, 16), latent_dim=300, convs=[ConvSpec(64)], hidden=200)


def variances(activation):
    torch.manual_seed(0)
    model = VAE(**WIDE, activation=activation)
    layers = {"conv": model.encoder[0], "dense": model.encoder[3], "mean": model.to_mean}
    layers |= {"transposed": model.decoder[-1]}
    assert all(not layer.bias.any() for layer in layers.values())
    return {name: layer.weight.var().item() for name, layer in layers.items()}


def test_without_memory_nothing_is_drawn(monkeypatch):
    """As when a model is loaded: PyTorch took two seconds to import what draws on no device."""
    monkeypatch.setattr(nn.init, "normal_", None)
    with torch.device("meta"):
        assert VAE(**WIDE).to_mean.weight.is_meta


def test_with_relu_the_variance_is_hes_and_without_the_2_where_no_activation_follows():
    # a 4 x 4 kernel of stride 2 reads 16 cells of each channel; transposed, an output is reached
    # by 16 / 4 of them
    inputs = {"conv": 32 * 16, "dense": 64 * 64, "mean": 200, "transposed": 64 * 4}
    factors = {"conv": 2, "dense": 2, "mean": 1, "transposed": 1}
    expected = {name: factors[name] / inputs[name] for name in inputs}
    assert variances("relu") == pytest.approx(expected, rel=0.05)


def test_with_tanh_the_variance_is_glorots():
    fans = {
        "conv": (32 * 16, 64 * 4),
        "dense": (64 * 64, 200),
        "mean": (200, 300),
        "transposed": (64 * 4, 32 * 16),
    }
    expected = {name: 2 / sum(both) for name, both in fans.items()}
    assert variances("tanh") == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("convs", [(), [ConvSpec(4)]])
def test_without_any_other_weight_every_decoded_image_is_the_mean(likelihood, convs):
    images = torch.randint(0, 200, (50, 3, 8, 8), dtype=torch.uint8)
    model = VAE((3, 8, 8), 2, convs=convs, hidden=8, likelihood=likelihood)
    start_at_mean(model, images)
    (last,) = [layer for layer in model.decoder if hasattr(layer, "weight")][-1:]
    nn.init.zeros_(last.weight)
    mean = images.double().mean(0) / 255
    if convs:
        mean = mean.mean((1, 2), keepdim=True).expand(3, 8, 8)
    output = model.decode(torch.randn(1, 2))[0]
    shown = output.sigmoid() if "bernoulli" in likelihood else output
    torch.testing.assert_close(shown.double(), mean, atol=1e-6, rtol=0)
    start_at_mean(model, images.float() / 255)
    assert torch.allclose(model.decode(torch.randn(1, 2))[0], output, atol=1e-5)


def test_a_pixel_that_is_never_on_starts_at_a_finite_logit():
    model = VAE((1, 2, 2), 1, convs=(), hidden=4)
    start_at_mean(model, torch.zeros(3, 1, 2, 2, dtype=torch.uint8))
    (last,) = [layer for layer in model.decoder if hasattr(layer, "weight")][-1:]
    assert last.bias.tolist() == pytest.approx([math.log(1e-3 / (1 - 1e-3))] * 4)


@pytest.mark.parametrize("dataset, length", [("mnist-5k", "epochs"), ("sprites", "steps")])
def test_a_run_starts_at_the_mean_where_its_configuration_says_so(tmp_path, dataset, length):
    """At a rate that moves nothing, the trained model has the bias that it started from."""
    text = f"[configuration]\ndataset = {dataset}\n[architecture]\nz_dimension = 2\n"
    text += "start = {}\n" + f"[hyperparameters]\n{length} = 1\nlearning_rate = 1e-30\n"
    biases = {}
    for word in ("mean", "drawn"):
        file = tmp_path / f"{word}.cfg"
        file.write_text(text.format(word))
        chosen = config.read(file).variation("VAE")
        run.train(chosen, tmp_path / word, device="cpu", log=lambda line: None)
        biases[word] = vaelib.load_model(tmp_path / word / "model.safetensors").decoder[-2].bias
    data = vaelib.load(dataset)
    images = data.train if dataset == "mnist-5k" else data.held_out()[0]
    expected = (images.double().mean(0) / 255).clamp(1e-3, 1 - 1e-3).logit().flatten().float()
    assert torch.equal(biases["mean"], expected) and biases["drawn"].abs().max() < 1e-20


# at a line

PATCHES = dict(image_shape=(3, 8, 8), hidden=(), likelihood="gaussian", sigma=0.1, latent_map=True)


def photographs_like(n=60):
    """Images whose neighbouring pixels and colours are alike."""
    generator = torch.Generator().manual_seed(3)
    grey, colour = (torch.rand(n, c, 4, 4, generator=generator) for c in (1, 3))
    coarse = (grey + colour).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return (coarse * 100 + 40 * torch.rand(n, 3, 8, 8, generator=generator)).byte()


PATCH = ConvSpec(20, 4, 4, 0)


def line_model(latents=7, convs=(PATCH,), **changes):
    torch.manual_seed(1)
    return VAE(latent_dim=4 * latents, convs=convs, **PATCHES | changes)


@pytest.mark.parametrize("more", [(), (ConvSpec(16, 3, 1, 1), ConvSpec(18, 1, 1, 0))])
def test_at_a_line_the_importance_weight_of_any_code_is_the_density_of_the_patches(more):
    """The best linear VAE's encoder is the posterior, so p(x, z) / q(z | x) is p(x) for every z.

    p(x) is computed without the model: a normal for each patch, whose covariance keeps the largest
    eigenvalues and has the noise's variance for the rest.
    """
    images = photographs_like()
    model = line_model(convs=(PATCH, *more)).double()
    start_at_line(model, images)
    x = images.double() / 255
    mean = x.mean((0, 2, 3))
    patches = torch.stack(
        [x[:, :, i : i + 4, j : j + 4].flatten(1) for i in (0, 4) for j in (0, 4)], 1
    )
    rows = patches - mean.repeat_interleave(16)
    covariance = torch.einsum("npi,npj->ij", rows, rows) / (4 * len(x))
    values, axes = torch.linalg.eigh(covariance)
    values[:-7] = 0.1**2  # what 7 latents leave out is noise
    normal = torch.distributions.MultivariateNormal(
        mean.repeat_interleave(16), axes @ values.clamp(min=0.1**2).diag() @ axes.T
    )
    expected = normal.log_prob(patches).sum(1)
    for seed in (0, 1):  # two different codes
        output, mu, log_var, z = model(x, torch.Generator().manual_seed(seed))
        posterior = torch.distributions.Normal(mu, (log_var / 2).exp())
        prior = torch.distributions.Normal(0.0, 1.0)
        weight = model.log_likelihood(x, output)
        weight += (prior.log_prob(z) - posterior.log_prob(z)).sum(1)
        torch.testing.assert_close(weight, expected, atol=1e-5, rtol=1e-7)


def test_channels_that_the_line_leaves_over_are_learnt():
    """They change nothing at first, and after two steps they reach code and image."""
    images = photographs_like()
    model, same = line_model(), line_model()
    for one in (model, same):
        start_at_line(one, images)
    with torch.no_grad():
        same.encoder[0].weight[14:] = 9.0
        same.decoder[1].weight[14:] = 9.0
    x = images / 255
    torch.testing.assert_close(model.reconstruct(x), same.reconstruct(x))
    vaelib.fit(model, images, epochs=2, batch_size=30, learning_rate=1e-4, progress=False)
    for weight in (model.to_mean.weight[:, 14:].transpose(0, 1), model.decoder[-1].weight[14:]):
        assert (weight.flatten(1) != 0).any(1).sum() >= 4  # of 6; some see no image


@pytest.mark.parametrize("likelihood, of_scale", [
    ("gaussian", 1.0),
    ("discretised-logistic", math.sqrt(3) / math.pi),
])  # fmt: skip
def test_a_scale_that_is_learnt_starts_at_what_the_axes_leave_out(likelihood, of_scale):
    images = photographs_like()
    model = line_model(likelihood=likelihood, sigma="learnt")
    start_at_line(model, images)
    error = (images / 255 - model.reconstruct(images / 255)).square().mean().sqrt().item()
    # the code's noise is off in a reconstruction, whose latents shrink a little instead
    left_out = model.log_sigma.exp().item() / of_scale * math.sqrt((48 - 7) / 48)
    assert left_out == pytest.approx(error, rel=0.05)
    whole = line_model(latents=48, convs=[ConvSpec(96, 4, 4, 0)], likelihood=likelihood,
                       sigma="learnt")  # fmt: skip
    start_at_line(whole, images)
    assert whole.log_sigma.exp().item() == pytest.approx(0.5 / 255)
    fixed = line_model(likelihood=likelihood, sigma=0.2)
    start_at_line(fixed, images)
    assert fixed.log_sigma.exp().item() == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(likelihood="bernoulli", sigma="learnt"), "relu, and the likelihood gaussian or"),
        (dict(activation="tanh"), "relu, and"),
        (dict(latent_map=False), "latents as a map"),
        (dict(convs=[ConvSpec(20, 4, 2, 1)]), "cut the image into patches.*padding=\\(1, 1\\)"),
        (dict(convs=[PATCH, ConvSpec(20, 2, 1, 0)], latents=1), "convolution 2"),
        (dict(convs=[ConvSpec(13, 4, 4, 0)]), "half of any convolution's channels, 6,.*got 7"),
        (dict(latents=49, convs=[ConvSpec(99, 4, 4, 0)]), "has values, 48; got 49"),
    ],
)
def test_a_model_that_can_start_at_no_line_says_why(changes, words):
    if changes.get("convs", [0])[-1] == ConvSpec(20, 2, 1, 0):  # it leaves one place of four
        model = VAE(latent_dim=1, **PATCHES | {"convs": changes["convs"]})
    elif changes.get("convs") == [ConvSpec(20, 4, 2, 1)]:
        model = VAE(latent_dim=16, **PATCHES | changes)
    else:
        model = line_model(**changes)
    with pytest.raises(ValueError, match=words):
        start_at_line(model, photographs_like(2))


LINE = """[configuration]
dataset = sprites
image_size = 32
[architecture]
conv_channels = [16]
conv_kernel_sizes = [(4, 4)]
conv_strides = [(4, 4)]
conv_paddings = [({padding}, {padding})]
z_map = 8
start = line
likelihood = gaussian
[hyperparameters]
steps = 1
learning_rate = 1e-30
"""


def test_a_run_starts_at_a_line_where_its_configuration_says_so(tmp_path):
    file = tmp_path / "line.cfg"
    file.write_text(LINE.format(padding=0))
    chosen = config.read(file).variation("VAE")
    run.train(chosen, tmp_path / "run", device="cpu", log=lambda line: None)
    images, _ = vaelib.load("sprites", image_size=32).held_out()
    model = build_model(chosen)
    start_at_line(model, images)
    ours = vaelib.load_model(tmp_path / "run" / "model.safetensors").state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(ours[name], weight, atol=1e-20, rtol=0)


def test_a_configuration_that_can_start_at_no_line_is_refused_with_its_key(tmp_path):
    file = tmp_path / "line.cfg"
    file.write_text(LINE.format(padding=2))
    with pytest.raises(config.ConfigError, match=r"\[architecture\] start = line: .* patches"):
        build_model(config.read(file))


def test_photographs_of_your_own_are_sharp_from_the_first_epoch(tmp_path):
    """The configuration that ships, on pictures of which no two patches are alike."""
    generator = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(40):
        small = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "pictures" / f"{number}.png")
    short = {"hyperparameters.epochs": "1"}
    chosen = config.read("photographs", short, str(tmp_path / "pictures")).variation("VAE")
    results = run.train(chosen, tmp_path / "run", device="cpu", log=lambda line: None)
    assert -results["elbo"] / (3 * 64 * 64 * math.log(2)) < 4  # bits a pixel value; 8 say nothing
    model = vaelib.load_model(tmp_path / "run" / "model.safetensors")
    data = vaelib.load("folder", tmp_path / "pictures", image_size=64)
    error = (data.test / 255 - model.reconstruct(data.test)).square().mean()
    assert error.sqrt() < 3 / 255
    assert model.latent_shape == (96, 8, 8)
    report = (tmp_path / "run" / "report.html").read_text()
    assert re.search(r"KL of each latent(?:.*?, ){50}and 6,094 more, none above \d", report, re.S)

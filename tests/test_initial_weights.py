"""What a model starts from: the weights' variances, and the image that its last bias says."""

import math

import pytest
import torch
from torch import nn

import vaelib
from vaelib import VAE, ConvSpec
from vaelib.experiments import config, run
from vaelib.initial_weights import start_at_mean

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
    text += "start_at_mean = {}\n" + f"[hyperparameters]\n{length} = 1\nlearning_rate = 1e-30\n"
    biases = {}
    for word in ("yes", "no"):
        file = tmp_path / f"{word}.cfg"
        file.write_text(text.format(word))
        chosen = config.read(file).variation("VAE")
        run.train(chosen, tmp_path / word, device="cpu", log=lambda line: None)
        biases[word] = vaelib.load_model(tmp_path / word / "model.safetensors").decoder[-2].bias
    data = vaelib.load(dataset)
    images = data.train if dataset == "mnist-5k" else data.held_out()[0]
    expected = (images.double().mean(0) / 255).clamp(1e-3, 1 - 1e-3).logit().flatten().float()
    assert torch.equal(biases["yes"], expected) and biases["no"].abs().max() < 1e-20

"""The VAE: shapes for any legal specification, refusals that explain, sampling, saving."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import vaelib
from vaelib import VAE, ConvSpec, metrics
from vaelib.layers import conv_sizes
from vaelib.models import draw_latents


@st.composite
def legal_architectures(draw):
    """An image shape and one to four convolutions, each of which fits what the one before it
    leaves.
    """

    def pair(low: int, high: int) -> st.SearchStrategy:
        whole = st.integers(low, high)
        return st.one_of(whole, st.tuples(whole, whole))

    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 33)), draw(st.integers(1, 33)))
    size, convs = shape[1:], []
    for _ in range(draw(st.integers(1, 4))):
        conv = ConvSpec(
            draw(st.integers(1, 4)), draw(pair(1, 7)), draw(pair(1, 4)), draw(pair(0, 3))
        )
        if all(k <= n + 2 * p for n, k, p in zip(size, conv.kernel_size, conv.padding)):
            convs.append(conv)
            size = conv.output_size(size)
    return shape, convs


@settings(max_examples=150, deadline=None)
@given(
    legal_architectures(),
    st.sampled_from([(), 5, (6, 4)]),
    st.sampled_from(["bernoulli", "gaussian"]),
)
def test_decoder_mirrors_any_legal_encoder(architecture, hidden, likelihood):
    shape, convs = architecture
    model = VAE(shape, 2, convs=convs, hidden=hidden, likelihood=likelihood)
    x = torch.rand(3, *shape)
    result = model(x)
    assert result.output.shape == x.shape
    assert result.mean.shape == result.log_var.shape == result.z.shape == (3, 2)
    assert model.sample(2).shape == (2, *shape)


@settings(max_examples=100, deadline=None)
@given(legal_architectures())
def test_shape_arithmetic_is_what_torch_does(architecture):
    shape, convs = architecture
    model = VAE(shape, 2, convs=convs)
    x, seen = torch.rand(1, *shape), [tuple(shape[1:])]
    for layer in model.encoder:
        x = layer(x)
        if isinstance(layer, torch.nn.Conv2d):
            seen.append(tuple(x.shape[2:]))
    assert seen == conv_sizes(shape, convs)


@pytest.mark.parametrize(
    ("convs", "words"),
    [
        ([ConvSpec(8, 5, 1, 0)] * 2 + [ConvSpec(8, (3, 9), 2, (0, 1))],
         ["convolution 3 of 3", "kernel 3x9", "its 4x4 input", "at most 4x6", "at least 0x3"]),
        (
            [ConvSpec(8, 30, 1, 0)],
            ["convolution 1 of 1", "its 12x12 input", "at most 12x12", "at least 9x9"],
        ),
    ],
)  # fmt: skip
def test_a_kernel_too_large_is_refused_by_name(convs, words):
    with pytest.raises(ValueError) as refusal:
        VAE((1, 12, 12), 2, convs=convs)
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_what_the_refusal_says_would_fit_does_fit():
    VAE((1, 12, 12), 2, convs=[ConvSpec(8, 30, 1, 9)])
    VAE((1, 12, 12), 2, convs=[ConvSpec(8, 12, 1, 0)])


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (dict(latent_dim=0), "latent_dim"),
        (dict(latent_dim=2.0), "latent_dim"),
        (dict(latent_dim=2, hidden=0), "hidden"),
        (dict(latent_dim=2, likelihood="poisson"), "bernoulli, gaussian"),
        (dict(latent_dim=2, activation="sigmoid"), "relu or tanh"),
        (dict(latent_dim=2, image_shape=(28, 28)), "image_shape"),
        (dict(latent_dim=49, latent_map=True), "hidden = .256,"),
        (dict(latent_dim=49, latent_map=True, hidden=(), convs=()), "got 0 convolutions"),
        (dict(latent_dim=50, latent_map=True, hidden=()), "the 7x7 places, such as 49; got 50"),
        (dict(latent_dim=2, latent_map=True, hidden=()), "such as 49; got 2"),
    ],
)
def test_impossible_arguments_are_refused_by_name(arguments, names):
    with pytest.raises(ValueError, match=names):
        VAE(**{"image_shape": (1, 28, 28), **arguments})


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0,), "channels"),
        ((8, 0), "kernel_size"),
        ((8, 3, 0), "stride"),
        ((8, 3, 1, -1), "padding"),
        ((8, (3, 3, 3)), "kernel_size"),
        ((8, "3"), "kernel_size"),
    ],
)
def test_impossible_convolutions_are_refused_by_name(arguments, name):
    with pytest.raises(ValueError, match=name):
        ConvSpec(*arguments)


def test_the_original_studys_kernel_1_with_padding_1_is_legal():
    model = VAE(
        (3, 32, 32),
        8,
        [
            ConvSpec(16, 7, 1, 1),
            ConvSpec(32, 5, 1, 1),
            ConvSpec(64, 3, 1, 1),
            ConvSpec(128, 1, 1, 1),
        ],
    )
    assert model.sample(1).shape == (1, 3, 32, 32)


def test_latents_have_the_posterior_moments():
    mean, log_var = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, -3.0]])
    z = draw_latents(
        mean.expand(200_000, 2), log_var.expand(200_000, 2), torch.Generator().manual_seed(0)
    )
    sigma = torch.exp(log_var / 2)[0]
    assert torch.allclose(z.mean(0), mean[0], atol=5 * sigma.max().item() / 200_000**0.5)
    torch.testing.assert_close(z.std(0), sigma, rtol=0.01, atol=0)


def test_gradients_reach_the_encoder_through_the_sample():
    mean, log_var = (
        torch.zeros(1, 1, requires_grad=True),
        torch.full((1, 1), -1.0, requires_grad=True),
    )
    z = draw_latents(mean, log_var, torch.Generator().manual_seed(0))
    z.sum().backward()
    noise = (z - mean).item() / torch.exp(log_var / 2).item()
    assert mean.grad.item() == 1
    assert log_var.grad.item() == pytest.approx(
        0.5 * torch.exp(log_var / 2).item() * noise, rel=1e-5
    )


def test_randomness_comes_from_the_generator_alone():
    model = VAE((1, 8, 8), 3, convs=[ConvSpec(2)], hidden=4)
    state = torch.random.get_rng_state()
    draws = [model.sample(4, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_decoder_output_is_not_squashed_and_images_are():
    model = VAE((1, 8, 8), 3, convs=[ConvSpec(2)], hidden=4)
    with torch.no_grad():
        model.decoder[-1].bias.fill_(7.0)
        assert model.decode(torch.zeros(1, 3)).min() > 1
    assert model.sample(4).max() <= 1
    assert model.reconstruct(torch.rand(4, 1, 8, 8)).shape == (4, 1, 8, 8)


def test_uint8_and_float_images_are_the_same_image():
    model = VAE((1, 8, 8), 3, convs=[ConvSpec(2)], hidden=4)
    pixels = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(model.encode(pixels)[0], model.encode(pixels / 255)[0])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_log_likelihood_is_the_models_own(likelihood):
    model = VAE((1, 4, 4), 2, convs=(), hidden=3, likelihood=likelihood)
    x, output = torch.rand(2, 3, 1, 4, 4)
    if likelihood == "gaussian":
        with torch.no_grad():
            model.log_sigma.fill_(-1.5)
        expected = (
            torch.distributions.Normal(output, torch.tensor(-1.5).exp()).log_prob(x).sum((1, 2, 3))
        )
    else:
        expected = (x * output - torch.nn.functional.softplus(output)).sum((1, 2, 3))
    torch.testing.assert_close(model.log_likelihood(x, output), expected)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_saving_and_loading_gives_the_same_model(tmp_path, likelihood):
    model = VAE(
        (3, 9, 14),
        4,
        [ConvSpec(5, (3, 2), (2, 1), (0, 2))],
        hidden=(6, 7),
        likelihood=likelihood,
        activation="tanh",
    )
    vaelib.save_model(model, tmp_path / "model.safetensors")
    again = vaelib.load_model(tmp_path / "model.safetensors")
    assert again.config == model.config
    for (name, weight), (name_again, weight_again) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert name == name_again and torch.equal(weight, weight_again)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_failed_save_leaves_nothing_behind_and_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    vaelib.save_model(VAE((1, 8, 8), 2, [ConvSpec(2)]), path)
    before = path.read_bytes()

    def full_disk(file):
        raise OSError("No space left on device")

    monkeypatch.setattr("vaelib.saving.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        vaelib.save_model(VAE((1, 8, 8), 3, [ConvSpec(2)]), path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    assert path.read_bytes() == before


def test_loading_something_else_is_refused_by_name(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors: not a model"):
        vaelib.load_model(path)
    vaelib.save_model(VAE((1, 8, 8), 2, [ConvSpec(2)]), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"other\.safetensors: not a whole"):
        vaelib.load_model(path)


def test_a_saved_file_says_in_json_what_it_is(tmp_path):
    vaelib.save_model(VAE((1, 8, 8), 2, [ConvSpec(2)]), tmp_path / "m.safetensors")
    header = (tmp_path / "m.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    config = json.loads(json.loads(header[8 : 8 + length])["__metadata__"]["config"])
    assert config["latent_dim"] == 2 and config["image_shape"] == [1, 8, 8]


def a_map(**arguments) -> VAE:
    torch.manual_seed(0)
    convs = [ConvSpec(6), ConvSpec(8)]
    return VAE((3, 16, 24), 5 * 4 * 6, convs, hidden=(), latent_map=True, **arguments)


def test_a_map_of_latents_has_latents_at_each_place_and_no_dense_layer():
    model = a_map()
    assert model.latent_shape == (5, 4, 6) and VAE((1, 8, 8), 3).latent_shape == (3,)
    assert not any(isinstance(layer, torch.nn.Linear) for layer in model.modules())
    output, mean, log_var, z = model(torch.rand(2, 3, 16, 24))
    assert output.shape == (2, 3, 16, 24) and mean.shape == log_var.shape == z.shape == (2, 120)
    many = model(torch.rand(2, 3, 16, 24), samples=7)
    assert many.z.shape == (7, 2, 120) and many.output.shape == (7, 2, 3, 16, 24)
    rebuilt = VAE(**model.config)
    rebuilt.load_state_dict(model.state_dict())
    assert rebuilt.latent_map


def window(convs, axis: int, place: int) -> range:
    """The rows (axis 0) or columns that a place reads: the recursion of the book's latent map."""
    step, width, first = 1, 1, 0
    for conv in convs:
        first -= conv.padding[axis] * step
        width += (conv.kernel_size[axis] - 1) * step
        step *= conv.stride[axis]
    return range(first + place * step, first + place * step + width)


@pytest.mark.parametrize(
    "convs",
    [
        [ConvSpec(3), ConvSpec(4)],
        [ConvSpec(3, (5, 3), (2, 1), (2, 0)), ConvSpec(4, 3, (1, 3), 1), ConvSpec(2, 2, 2, 0)],
    ],
)
def test_a_place_of_the_map_reads_and_paints_its_window_and_nothing_else(convs):
    torch.manual_seed(0)
    _, (height, width) = [*conv_sizes((1, 30, 26), convs)][-2:]
    arguments = dict(convs=convs, hidden=(), activation="tanh", latent_map=True)
    model = VAE((1, 30, 26), 2 * height * width, **arguments).double()
    for place in [(0, 0), (height - 1, width - 1), (height // 2, width // 2)]:
        image = torch.rand(1, 1, 30, 26, dtype=torch.float64, requires_grad=True)
        mean = model.encode(image)[0].view(model.latent_shape)[:, place[0], place[1]]
        (gradient,) = torch.autograd.grad(mean.sum(), image)
        z = torch.randn(1, *model.latent_shape, dtype=torch.float64)
        moved = z.clone()
        moved[0, :, place[0], place[1]] += 1
        painted = model.decode(moved.flatten(1)) - model.decode(z.flatten(1))
        inside = torch.zeros(30, 26, dtype=torch.bool)
        rows, columns = (
            [n for n in window(convs, axis, place[axis]) if 0 <= n < (30, 26)[axis]]
            for axis in (0, 1)
        )
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert torch.equal(gradient[0, 0] != 0, inside)
        assert torch.equal(painted[0, 0] != 0, inside)


def test_a_map_learns_and_its_kl_goes_by_place():
    data = torch.rand(64, 3, 16, 24)
    model = a_map(likelihood="gaussian", sigma=0.3)
    before = metrics.elbo(model, data).mean()
    vaelib.fit(model, data, epochs=3, batch_size=16, device="cpu", progress=False)
    assert metrics.elbo(model, data).mean() > before + 10
    kl = metrics.kl_per_dimension(model, data).view(model.latent_shape)
    figure = vaelib.plots.kl_map(kl)
    shown = torch.tensor(figure.axes[0].images[0].get_array().data)
    torch.testing.assert_close(shown, kl.sum(0))
    total = metrics.elbo_terms(model, data).kl.mean()
    torch.testing.assert_close(kl.sum(), total, rtol=1e-5, atol=0)

"""What is refused at the door, in one line that says what is meant; and what comes out."""

import math
import os

import pytest
import torch
from safetensors.torch import save_file

import vaelib
from vaelib import VAE, CheckpointError, ConvSpec, TrainingError, fit, metrics, objectives
from vaelib.experiments.measure import measurements
from vaelib.initial_weights import start_at_line, start_at_mean

GREY = torch.randint(
    256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
FLOATS, LABELS = GREY / 255, torch.zeros(20, dtype=torch.int64)


def model(likelihood="bernoulli", **arguments):
    torch.manual_seed(0)
    return VAE((1, 8, 8), 2, [ConvSpec(4)], hidden=8, likelihood=likelihood, **arguments)


class Drawn:
    """A stream of the same images."""

    def __init__(self, images):
        self.images = images

    def sample(self, n, generator):
        return self.images, None


def with_test(images):
    return vaelib.ImageData("mine", GREY, images, LABELS, LABELS)


DOORS = {
    "fit": lambda model, images: fit(model, images, epochs=1, progress=False),
    "a stream": lambda model, images: fit(model, Drawn(images), steps=1, progress=False),
    "start_at_mean": start_at_mean,
    "reconstruct": lambda model, images: model.reconstruct(images),
    "encode": metrics.encode,
    "elbo": metrics.elbo,
    "log_likelihood": lambda model, images: metrics.log_likelihood(model, images, samples=2),
}
NO_IMAGES = {
    "[-1, 1]": (
        2 * FLOATS - 1,
        "bernoulli model must be in [0, 1], or uint8 levels; these go from -1 to 1",
    ),
    "0 to 255": (GREY.float(), "or uint8 levels; these go from 0 to 255"),
    "not finite": (torch.full_like(FLOATS, math.nan), "images must be finite; their least is nan"),
    "(N, H, W)": (FLOATS[:, 0], "got (20, 8, 8); images.unsqueeze(1) adds the channel"),
    "(N, H, W, C)": (FLOATS.permute(0, 2, 3, 1), "got (20, 8, 8, 1); images.permute(0, 3, 1, 2)"),
    "float64": (
        FLOATS.double(),
        "images must be uint8 or float32; got torch.float64: images.float()",
    ),
    "int64": (GREY.long(), "got torch.int64: images.to(torch.uint8) makes them so"),
    "bool": (GREY > 127, "got torch.bool: 255 * images.to(torch.uint8)"),
    "a number": (torch.tensor(0.5), "images must be (N, 1, 8, 8), at least one; got ()"),
    "sparse": (FLOATS.to_sparse(), "images must be a dense tensor"),
    "a little": (FLOATS / FLOATS.max() + 2**-22, "go from 2.38418579e-07 to 1.00000024"),
    "none": (FLOATS[:0], "images must be (N, 1, 8, 8), at least one; got (0, 1, 8, 8)"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_of_the_model_is_refused_in_one_line(door, kind):
    images, words = NO_IMAGES[kind]
    with pytest.raises(ValueError) as refusal:
        DOORS[door](model(), images)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_images_to_test_on_are_looked_at_before_anything_is_trained():
    with pytest.raises(ValueError, match="these go from -1 to 1"):
        fit(
            model(),
            with_test(2 * FLOATS / FLOATS.max() - 1),
            epochs=1,
            progress=False,
            on_record=lambda *_: pytest.fail("an epoch was trained"),
            learning_rate=lambda step: pytest.fail("a step was made"),
        )


def test_what_is_to_become_black_and_white_is_of_levels():
    data = vaelib.ImageData("mine", FLOATS, GREY, LABELS, LABELS, binarize=True)
    with pytest.raises(ValueError, match=r"images must be uint8 levels, 0 to 255; got torch.float"):
        fit(model(), data, epochs=1, progress=False)


def test_a_model_of_double_precision_says_that_it_takes_no_levels():
    with pytest.raises(ValueError, match=r"must be float64; got torch.uint8: images.to\(torch.fl"):
        metrics.elbo(model().double(), GREY)


@pytest.mark.parametrize("images", [GREY, FLOATS])
def test_what_is_an_image_comes_in(images):
    assert metrics.encode(model(), images)[0].shape == (20, 2)


def test_a_gaussian_takes_any_finite_pixels():
    assert metrics.elbo(model("gaussian"), 5 * FLOATS - 1).isfinite().all()


@pytest.mark.parametrize("call", [
    lambda: metrics.elbo(model(), GREY, samples=0),
    lambda: metrics.elbo(model(), GREY, batch_size=0),
    lambda: metrics.log_likelihood(model(), GREY, samples=-1),
    lambda: metrics.log_likelihood(model(), GREY, samples=2.5),
    lambda: metrics.log_likelihood(model(), GREY, samples=2, batch_size=0),
    lambda: metrics.kl_per_dimension(model(), GREY, batch_size=0),
    lambda: model().sample(0),
])  # fmt: skip
def test_counts_below_one_are_refused_by_name(call):
    with pytest.raises(
        ValueError, match=r"^(samples|batch_size|n) must be a whole number, at least 1"
    ):
        call()


def test_a_cycle_of_one_step_would_never_weigh_the_kl():
    with pytest.raises(ValueError, match="period must be a whole number, at least 2"):
        objectives.cyclical(2.0, period=1)


@pytest.mark.parametrize("argument", ["beta", "learning_rate"])
@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf, "a", None, torch.zeros(2)])
def test_a_schedule_may_not_leave_the_numbers(argument, value):
    schedule = lambda step: value if step == 2 else 1e-3  # noqa: E731 - named for the call below
    with pytest.raises(
        ValueError, match=f"{argument} must be at least 0 at every step; got .* step 2"
    ):
        fit(model(), GREY, epochs=2, batch_size=8, progress=False, **{argument: schedule})


def test_a_training_that_diverges_at_its_last_step_has_failed(tmp_path):
    """Every loss is finite, and the weights that the last step leaves are not."""

    def objective(log_likelihood, mean, log_var, z, step):
        loss = -log_likelihood.mean()
        return loss if step < 2 else (loss - loss.detach()).sqrt()  # 0, with an infinite slope

    path = tmp_path / "run.pt"
    with pytest.raises(TrainingError, match="a weight is no longer finite after step 3"):
        fit(
            model(),
            GREY,
            epochs=1,
            batch_size=8,
            objective=objective,
            progress=False,
            checkpoint=path,
        )
    assert not path.exists()


def test_held_out_figures_that_are_no_numbers_are_a_failure(tmp_path):
    """The loss is finite, and so is every weight; the next loss would not be."""
    path, data = tmp_path / "run.pt", vaelib.ImageData("mine", GREY, GREY, LABELS, LABELS)
    with pytest.raises(TrainingError, match=r"the test images' figures are not finite \(recons"):
        fit(model(), data, epochs=1, learning_rate=1e30, progress=False, checkpoint=path)
    assert not path.exists()
    large = model()
    with torch.no_grad():
        large.to_mean.weight.fill_(1e30)
    with pytest.raises(TrainingError, match="the held-out images' figures are not finite"):
        measurements(large, GREY)


def test_a_data_set_is_of_tensors():
    pixels = GREY.numpy()
    with pytest.raises(ValueError, match=r"^train must be a .*; got ndarray: torch.from_numpy\("):
        vaelib.ImageData("mine", pixels, GREY, LABELS, LABELS)


@pytest.mark.parametrize(
    "labels", [LABELS[:-1], LABELS[:, None], LABELS.tolist(), None, torch.tensor(0)]
)
@pytest.mark.parametrize("name", ["train", "test"])
def test_each_image_of_a_data_set_has_its_label(name, labels):
    given = {"train_labels": LABELS, "test_labels": LABELS, f"{name}_labels": labels}
    with pytest.raises(ValueError, match=rf"^{name}_labels must be a torch.Tensor \(20,\)"):
        vaelib.ImageData("mine", GREY, GREY, **given)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, 2**70])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match=r"^seed must be "):
        fit(model(), GREY, epochs=1, progress=False, seed=seed)


@pytest.mark.parametrize("device", ["foo", "", None, 1.5, "cuda:x"])
def test_a_device_that_is_none_is_refused_by_name(device):
    with pytest.raises(ValueError, match=r'^device must be "auto", or what torch.device takes'):
        fit(model(), GREY, epochs=1, progress=False, device=device)


@pytest.mark.parametrize(("batch_size", "said"), [(19, "more .* than the 19"), (21, "20 .* 21")])
def test_a_stream_draws_as_many_images_as_it_is_asked_for(batch_size, said):
    with pytest.raises(ValueError, match=f"^a stream drew {said}"):
        fit(model(), Drawn(GREY), steps=1, batch_size=batch_size, progress=False)


def linear_to(end):
    return objectives.linear(0.0, end, 50)


@pytest.mark.parametrize(("first", "then", "what"), [
    ({"beta": linear_to(1.0)}, {"beta": linear_to(4.0)}, "loss of a probe at step"),
    ({"beta": lambda step: 1 + 3 * (step >= 300)}, {"beta": lambda step: 1 + 3 * (step >= 400)},
     "loss of a probe at step 300"),
    ({}, {"objective": objectives.iwae()}, "loss of a probe at step"),
    ({"learning_rate": linear_to(1e-3)}, {"learning_rate": linear_to(1e-2)}, "learning rate at"),
    ({}, {"learning_rate": linear_to(1e-4)}, "learning rate at step"),
])  # fmt: skip
def test_another_loss_or_rate_is_another_run(tmp_path, first, then, what):
    path = tmp_path / "run.pt"
    fit(model(), GREY, epochs=1, progress=False, checkpoint=path, **first)
    fit(model(), GREY, epochs=2, progress=False, checkpoint=path, **first)  # goes on
    with pytest.raises(CheckpointError, match=f"of a run with {what}"):
        fit(model(), GREY, epochs=3, progress=False, checkpoint=path, **then)


@pytest.mark.parametrize(("first", "then", "what"), [
    ({}, {"likelihood": "continuous-bernoulli"}, "likelihood 'bernoulli', not 'continuous-b"),
    ({"likelihood": "gaussian", "sigma": 0.1}, {"likelihood": "gaussian", "sigma": 0.2},
     "sigma 0.1, not 0.2"),
    ({"likelihood": "gaussian"}, {"likelihood": "discretised-logistic"}, "likelihood 'gaussian'"),
    ({}, {"activation": "tanh"}, "activation 'relu', not 'tanh'"),
])  # fmt: skip
def test_another_model_with_weights_of_the_same_shapes_is_another_run(tmp_path, first, then, what):
    path = tmp_path / "run.pt"
    fit(model(**first), GREY, epochs=1, progress=False, checkpoint=path)
    with pytest.raises(CheckpointError, match=f"of a run with {what}"):
        fit(model(**then), GREY, epochs=2, progress=False, checkpoint=path)


def test_other_images_are_another_run(tmp_path):
    path = tmp_path / "run.pt"
    fit(model(), GREY, epochs=1, progress=False, checkpoint=path)
    with pytest.raises(CheckpointError, match="of a run with images"):
        fit(model(), 255 - GREY, epochs=2, progress=False, checkpoint=path)
    with pytest.raises(CheckpointError, match="of a run with test images False, not True"):
        fit(model(), with_test(GREY), epochs=2, progress=False, checkpoint=path)
    path = tmp_path / "tested.pt"
    fit(model(), with_test(GREY), epochs=1, progress=False, checkpoint=path)
    data = vaelib.ImageData("binary", GREY, GREY, LABELS, LABELS, binarize=True)
    with pytest.raises(CheckpointError, match="of a run with binarize False, not True"):
        fit(model(), data, epochs=2, progress=False, checkpoint=path)


def test_a_checkpoint_beyond_what_is_asked_for_is_another_run(tmp_path):
    path = tmp_path / "run.pt"
    fit(model(), GREY, epochs=3, progress=False, checkpoint=path)
    assert len(fit(model(), GREY, epochs=3, progress=False, checkpoint=path)) == 3
    with pytest.raises(CheckpointError, match="of a run of 3 epochs, more than the 1 asked for"):
        fit(model(), GREY, epochs=1, progress=False, checkpoint=path)
    path = tmp_path / "stream.pt"
    fit(model(), Drawn(GREY), steps=150, batch_size=20, progress=False, checkpoint=path)
    with pytest.raises(CheckpointError, match="of a run of 150 steps, more than the 20 asked for"):
        fit(model(), Drawn(GREY), steps=20, batch_size=20, progress=False, checkpoint=path)


def test_a_checkpoint_in_no_folder_is_refused_before_anything_is_trained(tmp_path):
    before, mine = model().state_dict(), model()
    with pytest.raises(CheckpointError, match=r"there is no folder .*away to write it into"):
        fit(mine, GREY, epochs=1, progress=False, checkpoint=tmp_path / "away" / "run.pt")
    assert all(torch.equal(weight, before[name]) for name, weight in mine.state_dict().items())


@pytest.fixture
def no_float64(monkeypatch):
    """Apple's GPU has none: whatever becomes a double is on the CPU by then."""
    there, kept = set(), []
    double, cpu, mean = torch.Tensor.double, torch.Tensor.cpu, torch.Tensor.mean

    def moved(tensor):
        there.add(id(copy := cpu(tensor).clone()))
        kept.append(copy)
        return copy

    def refused(tensor):
        if id(tensor) not in there:
            raise TypeError("Cannot convert a tensor to float64: the device does not support it")
        return double(tensor)

    def averaged(tensor, *arguments, **options):
        if options.get("dtype") == torch.float64 and id(tensor) not in there:
            raise TypeError("Cannot convert a tensor to float64: the device does not support it")
        return mean(tensor, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "mean", averaged)
    monkeypatch.setattr(torch.Tensor, "cpu", moved)
    monkeypatch.setattr(torch.Tensor, "double", refused)


def test_a_device_without_float64_trains(no_float64):
    labels = torch.zeros(20, dtype=torch.int64)
    data = vaelib.ImageData("binary", GREY, GREY, labels, labels, binarize=True)
    history = fit(model(), data, epochs=1, progress=False)
    assert math.isfinite(history.test["elbo"][0])


def test_a_model_starts_from_images_on_a_device_without_float64(no_float64):
    start_at_mean(model(), GREY)
    patches = [ConvSpec(8, kernel_size=4, stride=4, padding=0)]
    arguments = {"hidden": (), "likelihood": "gaussian", "latent_map": True}
    start_at_line(VAE((1, 8, 8), 8, patches, **arguments), GREY)


def test_a_run_on_a_device_without_float64_is_measured(no_float64):
    result = measurements(model(), GREY)
    assert all(math.isfinite(result[key]) for key in ("elbo", "elbo_error", "reconstruction", "kl"))


SMALL = '{"image_shape": [1, 8, 8], "latent_dim": 2, "convs": []'


@pytest.mark.parametrize(("config", "words"), [
    ("{not json", "not a model that vaelib can build (Expecting property name"),
    ('{"image_shape": [1, 8, 8]}', "not a model that vaelib can build ('convs')"),
    (SMALL + ', "depth": 3}', "unexpected keyword argument 'depth'"),
    (SMALL + ', "hidden": []}', "Missing key(s) in state_dict"),
])  # fmt: skip
def test_a_strangers_file_is_refused_in_one_line(tmp_path, config, words):
    path = tmp_path / "theirs.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata={"format": "vaelib-1", "config": config})
    with pytest.raises(ValueError) as refusal:
        vaelib.load_model(path)
    assert words in str(refusal.value) and str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_can_not_be_opened_is_named(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    for name, kind in (("folder", IsADirectoryError), ("none", FileNotFoundError)):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(kind) as refusal:
            vaelib.load_model(path)
        assert refusal.value.filename == str(path) and refusal.value.strerror


def test_weights_that_are_no_numbers_do_not_load(tmp_path):
    broken = model()
    torch.nn.init.constant_(broken.to_mean.bias, math.nan)
    vaelib.save_model(broken, tmp_path / "nan.safetensors")
    with pytest.raises(
        ValueError, match=r"nan.safetensors: to_mean.bias holds weights that are not finite"
    ):
        vaelib.load_model(tmp_path / "nan.safetensors")


def test_a_saved_model_may_be_read_by_those_whom_the_umask_lets(tmp_path):
    before = os.umask(0o022)
    try:
        vaelib.save_model(model(), tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644

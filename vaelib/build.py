"""What a configuration means: the model, the data and the loss that it describes, and the device to train on."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from vaelib import objectives
from vaelib.config import Config, ConfigError
from vaelib.data import ImageData, load
from vaelib.machine import pick_device
from vaelib.models import VAE, ConvSpec, conv_sizes

MOST_WEIGHTS = 10**9  # 16 GB with their gradients and Adam's averages
HELD_OUT = 1000  # images drawn from a stream, which has no test set, to measure a model on


def check_shapes(config: Config) -> list[ConvSpec]:
    """The convolutions of ``config``; ConfigError when one of them does not fit what it is given."""
    net = config.architecture
    sizes = zip(net.conv_channels, net.conv_kernel_sizes, net.conv_strides, net.conv_paddings)
    convs = [ConvSpec(*of_layer) for of_layer in sizes]
    try:
        conv_sizes(config.image_shape, convs)
    except ValueError as error:
        raise config.error("architecture", "conv_kernel_sizes", str(error)) from None
    return convs


def build_model(config: Config) -> VAE:
    """The untrained model of ``config``, its weights drawn by the seed; ConfigError when it can't be built."""
    net, convs = config.architecture, check_shapes(config)
    arguments = (config.image_shape, net.z_dimension, convs, net.hidden, net.likelihood, net.activation)
    sigma = {} if net.sigma is None else {"sigma": net.sigma}
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):  # without memory
            weights = sum(p.numel() for p in VAE(*arguments, **sigma).parameters())
        if weights > MOST_WEIGHTS:
            what = f"has {weights:,} weights, more than {MOST_WEIGHTS:,}; take fewer channels, or strides of 2"
            raise ConfigError(f"{config.file}: [architecture] {what}")
        torch.manual_seed(config.hyperparameters.seed)
        return VAE(*arguments, **sigma)


def load_data(config: Config, say: Callable = print):
    """The data of ``config``, and what it is, to ``say``; files that can't be read are named."""
    wanted = config.configuration
    options = {key: getattr(wanted, key) for key in ("image_size", "colour") if getattr(wanted, key) is not None}
    with warnings.catch_warnings(record=True) as caught:
        data = load(wanted.dataset, wanted.path, binarize=bool(wanted.binarize), **options)
    for warning in caught:
        say(str(warning.message))
    shape = "x".join(map(str, data.image_shape))
    if not isinstance(data, ImageData):
        say(f"{wanted.dataset}: {len(data):,} different images {shape}, drawn as they are needed")
        return data
    size = (data.train.numel() + data.test.numel()) / 1e6
    drawn = ", binarised" if data.binarize else ""
    say(f"{wanted.dataset}: {len(data.train):,} images {shape}{drawn}, {len(data.test):,} to test; {size:,.0f} MB")
    return data


def loss(config: Config, data) -> dict:
    """The arguments of `fit` that say what is descended: ``beta``, a number, or an ``objective``."""
    beta, schedule = config.hyperparameters.beta, config.hyperparameters.schedule
    if schedule.kind == "capacity":
        nats, steps, gamma = schedule.numbers
        return {"objective": objectives.annealed_capacity(objectives.linear(0.0, nats, steps), gamma)}
    if schedule.kind == "iwae":
        return {"objective": objectives.iwae()}
    weight = {
        "constant": lambda: beta,
        "warm-up": lambda steps: objectives.warm_up(beta, steps),
        "linear": lambda start, steps: objectives.linear(start, beta, steps),
        "falling": lambda start, steps: objectives.falling(start, beta, steps),
        "cyclical": lambda period: objectives.cyclical(beta, period),
    }[schedule.kind](*schedule.numbers)
    if schedule.tc:
        return {"objective": objectives.beta_tcvae(weight, len(data.train if isinstance(data, ImageData) else data))}
    return {"beta": weight} if schedule.kind == "constant" else {"objective": objectives.beta_vae(weight)}


def held_out(data, n: int | None = None) -> tuple[Tensor, Tensor | None]:
    """Images that the model was not trained on, at most ``n``, and their labels: the test set, or drawn from a stream."""
    if isinstance(data, ImageData):
        return data.test[:n], data.test_labels[:n]
    return data.sample(n or HELD_OUT, torch.Generator().manual_seed(2026))[0], None


def checked_device(name: str) -> torch.device:
    """The device called ``name``, if this machine has it; ConfigError otherwise."""
    try:
        device = pick_device(name)
        if device.type in ("cpu", "cuda", "mps"):
            torch.empty(1, device=device)
            return device
        reason = "not a device to train on"
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
    raise ConfigError(f"--device {name}: {reason}; must be auto, cpu, cuda, cuda:N or mps, as the machine has it")

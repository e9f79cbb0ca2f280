"""What a configuration means: the model, the data, the loss and the device."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

from vaelib import objectives, schedules
from vaelib.data import FactorImages, ImageData, load
from vaelib.device import free_memory, pick_device
from vaelib.experiments.config import Config, ConfigError
from vaelib.initial_weights import check_line
from vaelib.layers import ConvSpec, conv_sizes
from vaelib.models import VAE

MOST_WEIGHTS = 10**9  # 16 GB with their gradients and Adam's averages


def check_shapes(config: Config) -> list[ConvSpec]:
    """The convolutions of ``config``; ConfigError when one does not fit what it is given."""
    net = config.architecture
    sizes = net.conv_kernel_sizes or (), net.conv_strides or (), net.conv_paddings or ()
    convs = [ConvSpec(*of_layer) for of_layer in zip(net.conv_channels, *sizes)]
    try:
        conv_sizes(config.image_shape, convs)
    except ValueError as error:
        raise config.error("architecture", "conv_kernel_sizes", str(error)) from None
    return convs


def build_model(config: Config) -> VAE:
    """The untrained model of ``config``, drawn by its seed; ConfigError when it can't be built."""
    net, convs = config.architecture, check_shapes(config)
    height, width = conv_sizes(config.image_shape, convs)[-1]
    latents = net.z_dimension if net.z_map is None else net.z_map * height * width
    arguments: dict[str, Any] = {
        "image_shape": config.image_shape,
        "latent_dim": latents,
        "latent_map": net.z_map is not None,
        "convs": convs,
        "hidden": net.hidden,
        "likelihood": net.likelihood,
        "activation": net.activation,
    }
    arguments |= {} if net.sigma is None else {"sigma": net.sigma}
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):  # without memory
            model = VAE(**arguments)
            weights = sum(p.numel() for p in model.parameters())
        if net.start == "line":
            try:
                check_line(model)
            except ValueError as error:
                raise config.error("architecture", "start", str(error)) from None
        if weights > MOST_WEIGHTS:
            what = f"has {weights:,} weights, more than {MOST_WEIGHTS:,}"
            instead = "take fewer channels, or strides of 2"
            raise ConfigError(f"{config.file}: [architecture] {what}; {instead}")
        torch.manual_seed(config.hyperparameters.seed)
        return VAE(**arguments)


def load_data(
    config: Config,
    log: Callable = print,
    download: bool = True,
    split: Mapping | None = None,
) -> ImageData | FactorImages:
    """The data of ``config``, and what it is, to ``log``; files that can't be read are named.

    Without ``download`` only what this machine has. ``split`` is the listing of pictures that a
    run has kept: of a folder only these are read.
    """
    section = config.configuration
    options: dict[str, Any] = {
        key: getattr(section, key)
        for key in ("image_size", "colour")
        if getattr(section, key) is not None
    }
    if split:
        options["split"] = split
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        binarize = bool(section.binarize)
        try:
            data = load(section.dataset, section.path, download, binarize, **options)
        finally:  # of a folder that has changed an error alone would not say so
            for warning in caught:
                log(str(warning.message))
    log(f"{section.dataset}: {data.summary}")
    if data.image_shape != config.image_shape:
        found, meant = ("x".join(map(str, d.image_shape)) for d in (data, config))
        what = f"the files hold images {found}, and {section.dataset} has {meant}"
        raise config.error("configuration", "dataset", f"{what}; is path another data set's?")
    return data


def check_memory(config: Config, data: ImageData | FactorImages, device: torch.device) -> None:
    """ConfigError when a minibatch alone is more than the machine's memory holds; of a CPU.

    Counted are the numbers that every layer of convolutions leaves, in float32, for the gradients,
    and each pixel's logit and term of the loss.
    """
    own, stream = config.hyperparameters, isinstance(data, FactorImages)
    images = own.batch_size if stream else min(own.batch_size, len(data))
    convs = check_shapes(config)
    channels = config.image_shape[0], *(conv.channels for conv in convs)
    layers = zip(channels, conv_sizes(config.image_shape, convs))
    numbers = sum(depth * height * width for depth, (height, width) in layers)
    pixels = math.prod(config.image_shape)
    # encoded once, decoded so often
    needed = 4 * images * (numbers + own.samples * (numbers + 2 * pixels))
    if device.type == "cpu" and needed > (most := free_memory()):
        what = f"a minibatch needs {needed / 1e9:,.1f} GB at least, and {most / 1e9:,.1f} are free"
        raise config.error("hyperparameters", "batch_size", f"{what}; take a smaller one")


def fit_arguments(config: Config, data: ImageData | FactorImages) -> dict:
    """The arguments of `fit` that say what is descended: a number ``beta``, or an ``objective``."""
    beta: Any = config.hyperparameters.beta  # None where the schedule needs none
    schedule = config.hyperparameters.schedule
    if schedule.kind == "capacity":
        nats, steps, gamma = schedule.numbers
        return {
            "objective": objectives.annealed_capacity(
                schedules.linear(0.0, nats, int(steps)), gamma
            )
        }
    if schedule.kind == "iwae":
        return {"objective": objectives.iwae()}
    weights: dict[str, Callable[..., Any]] = {
        "constant": lambda: beta,
        "warm-up": lambda steps: schedules.warm_up(beta, steps),
        "linear": lambda start, steps: schedules.linear(start, beta, steps),
        "falling": lambda start, steps: schedules.falling(start, beta, steps),
        "cyclical": lambda period: schedules.cyclical(beta, period),
    }
    weight = weights[schedule.kind](*schedule.numbers)
    if schedule.tc:
        return {"objective": objectives.beta_tcvae(weight, len(data))}
    return (
        {"beta": weight}
        if schedule.kind == "constant"
        else {"objective": objectives.beta_vae(weight)}
    )


def learning_rate(config: Config, data: ImageData | FactorImages) -> float | schedules.Schedule:
    """What `fit` takes: a number, or one that falls by a constant factor a step.

    It is `learning_rate` at the first step, and would be `last_learning_rate` at the one after the
    last.
    """
    training = config.hyperparameters
    if training.last_learning_rate is None:
        return training.learning_rate
    steps = training.steps or config.length * -(-len(data) // training.batch_size)
    return schedules.falling(training.learning_rate, training.last_learning_rate, steps)


def checked_device(name: str) -> torch.device:
    """The device called ``name``, if this machine has it; ConfigError otherwise."""
    reason = "not a device to train on"
    try:
        device = pick_device(name)
        if device.type in ("cpu", "cuda", "mps"):
            torch.empty(1, device=device)
            return device
    except ValueError:  # the name of none
        pass
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
    raise ConfigError(
        f"--device {name}: {reason}; must be auto, cpu, cuda, cuda:N or mps, as the machine has it"
    )

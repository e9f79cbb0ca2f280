"""The keys of a configuration file: a dataclass a section, and for each key how its text is read and what it allows."""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any

# name in `vaelib.load`: name as people write it, image shape where it is always the same
DATASETS = {
    "mnist": ("MNIST", (1, 28, 28)),
    "fashion-mnist": ("FashionMNIST", (1, 28, 28)),
    "cifar10": ("CIFAR10", (3, 32, 32)),
    "mnist-5k": ("mnist-5k", (1, 28, 28)),
    "sprites": ("sprites", None),
    "dsprites": ("dsprites", None),
    "folder": ("folder", None),
}
STREAMS = ("sprites", "dsprites")  # drawn without end: measured in steps, and already black and white
OPTIONS = {  # the keys that a data set has of its own, and their defaults
    "sprites": {"image_size": 64, "colour": False},
    "dsprites": {"image_size": 64},
    "folder": {"image_size": 64, "colour": True},
}
LIKELIHOODS = ("bernoulli", "continuous-bernoulli", "gaussian", "discretised-logistic")
SCHEDULES = {
    "constant": (),
    "warm-up": ("STEPS",),
    "linear": ("START", "STEPS"),
    "falling": ("START", "STEPS"),
    "cyclical": ("PERIOD",),
    "capacity": ("NATS", "STEPS", "GAMMA"),
    "iwae": (),
}
WITHOUT_BETA = ("capacity", "iwae")  # they say all of what is descended


@dataclass(frozen=True)
class Schedule:
    """How the weight of the KL goes with the step; ``tc``: it weighs the total correlation alone (beta-TCVAE)."""

    kind: str = "constant"
    numbers: tuple[float, ...] = ()
    tc: bool = False

    def __str__(self) -> str:
        return " ".join([*["tc"] * self.tc, self.kind, *map(str, self.numbers)])


CONSTANT = Schedule()


def _literal(text: str, kind: type | tuple) -> object:
    value = ast.literal_eval(text)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(text)
    return value


def whole(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = _literal(text, int)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return parse


def _number(text: str) -> float:
    value = float(_literal(text, (int, float)))
    if not 0 <= value < math.inf:
        raise ValueError(text)
    return value


def _positive(text: str) -> float:
    if not (value := _number(text)) > 0:
        raise ValueError(text)
    return value


def _sigma(text: str) -> float | str:
    return text if text in ("learnt", "optimal") else _positive(text)


def _whole_numbers(text: str) -> tuple[int, ...]:
    value = _literal(text, (int, list, tuple))
    return tuple(whole(1)(repr(v)) for v in ([value] if isinstance(value, int) else value))


def _pairs(least: int) -> Callable[[str], tuple[tuple[int, int], ...]]:
    def pair(value: object) -> tuple[int, int]:
        height, width = (value, value) if isinstance(value, int) else value
        return whole(least)(repr(height)), whole(least)(repr(width))

    return lambda text: tuple(pair(value) for value in _literal(text, (list, tuple)))


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        plain = lambda name: name.lower().replace("-", "").replace("_", "")
        return {plain(name): name for name in allowed}[plain(text)]

    return parse


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "no": False}[text.lower()]


def _path(text: str) -> str:
    if not text:
        raise ValueError(text)
    return os.path.abspath(os.path.expanduser(text))


def _schedule(text: str) -> Schedule:
    words = text.split()
    tc = words[0] == "tc"
    kind, *numbers = words[tc:] or ["constant"]
    names = SCHEDULES[kind]
    number = _positive if kind == "falling" else _number
    parsers = [whole(1) if name in ("STEPS", "PERIOD") else number for name in names]
    if len(numbers) != len(names) or (tc and kind in WITHOUT_BETA):
        raise ValueError(text)
    return Schedule(kind, tuple(parse(text) for parse, text in zip(parsers, numbers)), tc)


def _key(parse: Callable[[str], object], allowed: str, default: object = None) -> Any:
    return field(default=default, metadata={"parse": parse, "allowed": allowed})


_NAMES = ", ".join(written for written, _ in DATASETS.values())
_FORMS = ", ".join(" ".join([kind, *names]) for kind, names in SCHEDULES.items())
_SCHEDULES = f"one of {_FORMS}; all but the last two also with tc before it"
_SIZES = "pairs of whole numbers, each at least {}, one pair a convolution, such as [({}, {}), ({}, {})]".format


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """[configuration]: the data."""

    dataset: str = _key(_one_of(*DATASETS), f"one of {_NAMES}", MISSING)
    path: str | None = _key(_path, "a folder: of the downloads, or of your own images")
    image_size: int | None = _key(whole(1, 4096), "a whole number of pixels, 1 to 4096")
    colour: bool | None = _key(_yes_or_no, "yes or no")
    binarize: bool | None = _key(_yes_or_no, "yes or no")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """[architecture]: the encoder, which the decoder mirrors."""

    conv_layers: int | None = _key(whole(0), "a whole number, at least 0")
    conv_channels: tuple = _key(_whole_numbers, "whole numbers, one a convolution, such as [16, 32, 64]", ())
    conv_kernel_sizes: tuple | None = _key(_pairs(1), _SIZES(1, 7, 7, 5, 5))
    conv_strides: tuple | None = _key(_pairs(1), _SIZES(1, 2, 2, 1, 1))
    conv_paddings: tuple | None = _key(_pairs(0), _SIZES(0, 1, 1, 0, 0))
    z_dimension: int = _key(whole(1), "a whole number, at least 1", MISSING)
    hidden: tuple = _key(_whole_numbers, "the widths of dense layers, such as [256]; [] for none", ())
    activation: str = _key(_one_of("relu", "tanh"), "relu or tanh", "relu")
    likelihood: str | None = _key(_one_of(*LIKELIHOODS), f"one of {', '.join(LIKELIHOODS)}")
    sigma: float | str | None = _key(_sigma, "learnt, a number above 0, or for the gaussian likelihood optimal")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """[hyperparameters]: the training."""

    epochs: int | None = _key(whole(1), "a whole number, at least 1")
    steps: int | None = _key(whole(1), "a whole number, at least 1")
    batch_size: int = _key(whole(1), "a whole number, at least 1", 128)
    learning_rate: float = _key(_positive, "a number above 0, such as 1e-3", 1e-3)
    beta: float | None = _key(_number, "a number at least 0, such as 4 or 0.5")
    schedule: Schedule = field(default=CONSTANT, metadata={"parse": _schedule, "allowed": _SCHEDULES})
    seed: int = _key(whole(0, 2**32 - 1), "a whole number, 0 to 4294967295", 0)
    samples: int = _key(whole(1), "a whole number, at least 1: the latents drawn for each image", 1)
    precision: str = _key(_one_of("fp32", "bf16"), "fp32 or bf16", "fp32")


SECTIONS = {"configuration": Configuration, "architecture": Architecture, "hyperparameters": Hyperparameters}

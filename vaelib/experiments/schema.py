"""The keys of a configuration file: how each one's text is read, and what it allows."""

from __future__ import annotations

import ast
import json
import math
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from typing import Any

from vaelib.choices import (
    ACTIVATIONS,
    BATCH_SIZE,
    DATASETS,
    LEARNING_RATE,
    LIKELIHOODS,
    PRECISIONS,
    SCHEDULES,
    SIGMA_WORDS,
    STARTS,
    WITHOUT_BETA,
)


@dataclass(frozen=True)
class ScheduleSpec:
    """How the KL's weight goes with the step; ``tc``: it weighs the total correlation alone."""

    kind: str = "constant"
    numbers: tuple[float, ...] = ()
    tc: bool = False

    def __str__(self) -> str:
        return " ".join([*["tc"] * self.tc, self.kind, *map(str, self.numbers)])


CONSTANT = ScheduleSpec()


def _literal(text: str, kind: type | tuple) -> Any:
    value = ast.literal_eval(text)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(text)
    return value


def integer(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
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
    return text if any(text in words for words in SIGMA_WORDS.values()) else _positive(text)


def _whole_numbers(text: str) -> tuple[int, ...]:
    value = _literal(text, (int, list, tuple))
    return tuple(integer(1)(repr(v)) for v in ([value] if isinstance(value, int) else value))


def _pairs(least: int) -> Callable[[str], tuple[tuple[int, int], ...]]:
    def pair(value: Any) -> tuple[int, int]:
        height, width = (value, value) if isinstance(value, int) else value
        return integer(least)(repr(height)), integer(least)(repr(width))

    return lambda text: tuple(pair(value) for value in _literal(text, (list, tuple)))


def _one_of(*allowed: str) -> Callable[[str], str]:
    def plain(name: str) -> str:
        return name.lower().replace("-", "").replace("_", "")

    def parse(text: str) -> str:
        return {plain(name): name for name in allowed}[plain(text)]

    return parse


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "no": False}[text.lower()]


def _path(text: str) -> str:
    return whole_path(json.loads(text) if text.startswith('"') else text)


def whole_path(text: str) -> str:
    """``text`` as a path from the root, so that it means the same wherever it is read."""
    if not text or "\0" in text:
        raise ValueError(text)
    return os.path.abspath(os.path.expanduser(text))


def _schedule(text: str) -> ScheduleSpec:
    words = text.split()
    tc = words[0] == "tc"
    kind, *numbers = words[tc:] or ["constant"]
    names = SCHEDULES[kind]
    number = _positive if kind == "falling" else _number
    counts = {"STEPS": integer(1), "PERIOD": integer(2)}  # of one step the KL would never weigh
    parsers = [counts.get(name, number) for name in names]
    if len(numbers) != len(names) or (tc and kind in WITHOUT_BETA):
        raise ValueError(text)
    return ScheduleSpec(kind, tuple(parse(text) for parse, text in zip(parsers, numbers)), tc)


def _key(parse: Callable[[str], object], allowed: str, default: object = None) -> Any:
    return field(default=default, metadata={"parse": parse, "allowed": allowed})


_NAMES = ", ".join(choice.display_name for choice in DATASETS.values())
_FORMS = ", ".join(" ".join([kind, *names]) for kind, names in SCHEDULES.items())
_LEAST = "STEPS at least 1, PERIOD at least 2"
_SCHEDULES = (
    f"one of {_FORMS}; {_LEAST}; all but {' and '.join(WITHOUT_BETA)} also with tc before it"
)
_PAIRS = "pairs of whole numbers, each at least {}, one pair a convolution"
_SIZES = (_PAIRS + ", such as [({}, {}), ({}, {})]").format


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """[configuration]: the data."""

    dataset: str = _key(_one_of(*DATASETS), f"one of {_NAMES}", MISSING)
    path: str | None = _key(_path, "a folder: of the downloads, or of your own images")
    image_size: int | None = _key(integer(1, 4096), "a whole number of pixels, 1 to 4096")
    colour: bool | None = _key(_yes_or_no, "yes or no")
    binarize: bool | None = _key(_yes_or_no, "yes or no")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """[architecture]: the encoder, which the decoder mirrors."""

    conv_layers: int | None = _key(integer(0), "a whole number, at least 0")
    conv_channels: tuple = _key(
        _whole_numbers, "whole numbers, one a convolution, such as [16, 32, 64]", ()
    )
    conv_kernel_sizes: tuple | None = _key(_pairs(1), _SIZES(1, 7, 7, 5, 5))
    conv_strides: tuple | None = _key(_pairs(1), _SIZES(1, 2, 2, 1, 1))
    conv_paddings: tuple | None = _key(_pairs(0), _SIZES(0, 1, 1, 0, 0))
    z_dimension: int | None = _key(integer(1), "a whole number, at least 1")
    z_map: int | None = _key(integer(1), "a whole number, at least 1, instead of z_dimension")
    hidden: tuple = _key(
        _whole_numbers, "the widths of dense layers, such as [256]; [] for none", ()
    )
    activation: str = _key(_one_of(*ACTIVATIONS), " or ".join(ACTIVATIONS), "relu")
    start: str = _key(_one_of(*STARTS), ", ".join(STARTS[:-1]) + f" or {STARTS[-1]}", "drawn")
    likelihood: str | None = _key(_one_of(*LIKELIHOODS), f"one of {', '.join(LIKELIHOODS)}")
    sigma: float | str | None = _key(
        _sigma, "learnt, a number above 0, or for the gaussian likelihood optimal"
    )


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """[hyperparameters]: the training."""

    epochs: int | None = _key(integer(1), "a whole number, at least 1")
    steps: int | None = _key(integer(1), "a whole number, at least 1")
    batch_size: int = _key(integer(1), "a whole number, at least 1", BATCH_SIZE)
    learning_rate: float = _key(_positive, "a number above 0, such as 1e-3", LEARNING_RATE)
    last_learning_rate: float | None = _key(
        _positive, "a number above 0 and at most learning_rate, such as 1e-4"
    )
    beta: float | None = _key(_number, "a number at least 0, such as 4 or 0.5")
    schedule: ScheduleSpec = field(
        default=CONSTANT, metadata={"parse": _schedule, "allowed": _SCHEDULES}
    )
    seed: int = _key(integer(0, 2**32 - 1), "a whole number, 0 to 4294967295", 0)
    samples: int = _key(
        integer(1), "a whole number, at least 1: the latents drawn for each image", 1
    )
    precision: str = _key(_one_of(*PRECISIONS), " or ".join(PRECISIONS), "fp32")


SECTIONS = {
    "configuration": Configuration,
    "architecture": Architecture,
    "hyperparameters": Hyperparameters,
}

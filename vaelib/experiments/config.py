"""The configuration file, INI <-> dataclasses; a mistake is one line that says it all.

That is file, section, key, value and what is allowed.
"""

from __future__ import annotations

import configparser
import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from vaelib.choices import DATASETS, SIGMA_WORDS, SPRITE_SIZES, WITHOUT_BETA
from vaelib.experiments.schema import (
    CONSTANT,
    SECTIONS,
    Architecture,
    Configuration,
    Hyperparameters,
    whole_path,
)

QUOTED = re.compile(r'([^=:#]*[=:]\s*"(?:[^"\\]|\\.)*")\s*(?:#.*)?')
FOLDER = Path(__file__).parent / "configs"


class ConfigError(ValueError):
    """A mistake in a configuration or on the command line; the message is one line."""


@dataclass(frozen=True)
class Config:
    """A configuration with nothing left open: what a file says, and defaults for the rest."""

    file: str
    configuration: Configuration
    architecture: Architecture
    hyperparameters: Hyperparameters

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width), known before the data is loaded."""
        size, channels = self.configuration.image_size or 0, 3 if self.configuration.colour else 1
        return DATASETS[self.configuration.dataset].image_shape or (channels, size, size)

    @property
    def length(self) -> int:
        """How long to train: in epochs, or in steps where the data are a stream."""
        return self.hyperparameters.epochs or self.hyperparameters.steps or 0

    def error(self, section: str, key: str, problem: str) -> ConfigError:
        """The error, to be raised, that the value of a key is a ``problem``."""
        return _error(
            self.file, section, key, text_of(getattr(getattr(self, section), key)), problem
        )

    def items(self) -> list[tuple[str, str, str]]:
        """(section, key, value) of everything that is set, as the file would have it."""
        values = [
            (s, f.name, getattr(getattr(self, s), f.name))
            for s, kind in SECTIONS.items()
            for f in fields(kind)
        ]
        return [
            (section, key, text_of(value)) for section, key, value in values if value is not None
        ]

    def text(self) -> str:
        """The configuration file that says the same."""
        rows = dict.fromkeys(SECTIONS, "")
        for section, key, value in self.items():
            rows[section] += f"{key} = {_written(value)}\n"
        return "\n".join(f"[{section}]\n{lines}" for section, lines in rows.items())

    def at(self, path: str | None) -> Config:
        """The same with its data at ``path``, if one is given; ConfigError for none that can be."""
        if path is None:
            return self
        try:
            return replace(self, configuration=replace(self.configuration, path=whole_path(path)))
        except ValueError:
            raise ConfigError(f"--path {path!r}: must be a folder") from None

    def variation(self, name: str) -> Config:
        """For "VAE" the same with beta 1 throughout; for "B-VAE" as it is.

        Raises ConfigError where B-VAE needs a beta that it does not have.
        """
        own = self.hyperparameters
        if name == "VAE":
            return replace(self, hyperparameters=replace(own, beta=1.0, schedule=CONSTANT))
        if own.beta is None and own.schedule.kind not in WITHOUT_BETA:
            what = "beta is missing: B-VAE needs it, a number at least 0"
            raise ConfigError(f"{self.file}: [hyperparameters] {what}")
        return self


def names() -> list[str]:
    """The configurations that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.cfg"))


def read(
    file: str | Path, overrides: Mapping[str, str] | None = None, data_path: str | None = None
) -> Config:
    """The configuration in ``file``, or of the package's own with that name.

    ``overrides`` are {"section.key": "value"}; ``data_path`` stands instead of its path.
    """
    path = Path(file)
    if not path.exists() and str(file) in names():
        path = FOLDER / f"{file}.cfg"
    sections = _sections(path)
    for name, value in (overrides or {}).items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    return _resolved(Config(str(file), *_values(str(file), sections)).at(data_path))


def _sections(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        parser.read_string("\n".join(map(_uncommented, lines)))
    except OSError as error:
        if os.path.isfile(near := f"{path}.cfg"):  # False too for a name that no file can have
            raise ConfigError(f"{path}: {error.strerror}; did you mean {near}?") from None
        if not isinstance(error, FileNotFoundError):
            raise ConfigError(f"{path}: {error.strerror}") from None
        raise ConfigError(
            f"{path}: no such file; vaelib has these of its own: {', '.join(names())}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file in UTF-8; save it as one") from None
    except configparser.DuplicateOptionError as error:
        raise ConfigError(
            f"{path}: [{error.section}] {error.option} is given twice (line {error.lineno})"
        ) from None
    except configparser.DuplicateSectionError as error:
        raise ConfigError(
            f"{path}: [{error.section}] is given twice (line {error.lineno})"
        ) from None
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(
            f"{path}: line {error.lineno} stands before the first section, [configuration]"
        ) from None
    except configparser.ParsingError as error:
        number, _ = error.errors[0]  # the line itself is quoted by Python 3.11, and not by 3.13
        raise ConfigError(
            f"{path}: line {number} is neither [section] nor key = value: {lines[number - 1]!r}"
        ) from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _uncommented(line: str) -> str:
    """A line without what follows a # after a space, unless that is inside quotation marks."""
    if quoted := QUOTED.fullmatch(line):
        return quoted[1]
    return line if line.lstrip().startswith("#") else re.sub(r"(?<=\s)#.*", "", line)


def _values(file: str, sections: Mapping[str, Mapping[str, str]]) -> list:
    for name in sections:
        if name not in SECTIONS:
            raise ConfigError(f"{file}: unknown section [{name}]; {_nearest(name, SECTIONS)}")
    return [_section(file, name, kind, sections.get(name, {})) for name, kind in SECTIONS.items()]


def _section(file: str, section: str, kind: type, given: Mapping[str, str]) -> Any:
    known, values = {f.name: f for f in fields(kind)}, {}
    for key, text in given.items():
        if key not in known:
            homes = [s for s, k in SECTIONS.items() if key in {f.name for f in fields(k)}]
            hint = f"it belongs to [{homes[0]}]" if homes else _nearest(key, known)
            raise ConfigError(f"{file}: [{section}] {key} = {text}: unknown key; {hint}")
        try:
            values[key] = known[key].metadata["parse"](text)
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            SyntaxError,
            MemoryError,
            RecursionError,
        ):
            raise _error(
                file, section, key, text, f"must be {known[key].metadata['allowed']}"
            ) from None
    for key, own in known.items():
        if own.default is MISSING and key not in values:
            raise ConfigError(f"{file}: [{section}] {key} is missing: {own.metadata['allowed']}")
    return kind(**values)


def _resolved(config: Config) -> Config:
    """``config`` with its defaults filled in; ConfigError where its keys do not fit together."""
    data, net, training = config.configuration, config.architecture, config.hyperparameters
    stream, own = DATASETS[data.dataset].stream, DATASETS[data.dataset].options
    for key in ("image_size", "colour"):
        if getattr(data, key) is not None and key not in own:
            raise config.error(
                "configuration", key, f"{data.dataset} leaves no choice here; remove the key"
            )
    if stream and data.image_size not in (None, *SPRITE_SIZES):
        raise config.error(
            "configuration",
            "image_size",
            f"{data.dataset} come in {' or '.join(map(str, SPRITE_SIZES))}",
        )
    if stream and data.binarize:
        raise config.error(
            "configuration", "binarize", f"{data.dataset} are drawn as they are; remove the key"
        )
    if data.dataset == "folder" and data.path is None:
        raise ConfigError(
            f"{config.file}: [configuration] path is missing: the folder of your images"
        )
    needed, other = ("steps", "epochs") if stream else ("epochs", "steps")
    if getattr(training, other) is not None:
        raise config.error(
            "hyperparameters", other, f"training on {data.dataset} is measured in {needed}"
        )
    if getattr(training, needed) is None:
        raise ConfigError(
            f"{config.file}: [hyperparameters] {needed} is missing: a whole number, at least 1"
        )
    if training.schedule.kind in WITHOUT_BETA and training.beta is not None:
        clash = f"schedule = {training.schedule.kind} has its own weight; remove one of them"
        raise config.error("hyperparameters", "beta", clash)
    last = training.last_learning_rate
    if last is not None and last > training.learning_rate:
        above = f"the rate falls, from learning_rate = {training.learning_rate:g}"
        raise config.error(
            "hyperparameters", "last_learning_rate", f"{above}; must be at most that"
        )
    if training.schedule.tc and training.samples != 1:
        raise config.error("hyperparameters", "samples", "with schedule = tc it must be 1")
    if training.schedule.kind == "falling" and training.beta == 0:
        raise config.error(
            "hyperparameters", "beta", "schedule = falling goes by a factor; must be above 0"
        )

    data = replace(data, **{key: value for key, value in own.items() if getattr(data, key) is None})
    config = replace(config, configuration=data)
    grey = config.image_shape[0] == 1 and data.dataset != "folder"
    likelihood = net.likelihood or ("bernoulli" if grey else "gaussian")
    binarize = likelihood == "bernoulli" if data.binarize is None else data.binarize
    data = replace(data, binarize=None if stream else binarize)
    return replace(config, configuration=data, architecture=_whole_architecture(config, likelihood))


def _whole_architecture(config: Config, likelihood: str) -> Architecture:
    net = config.architecture
    layers = len(net.conv_channels) if net.conv_layers is None else net.conv_layers
    defaults = {
        "conv_channels": (),
        "conv_kernel_sizes": (4, 4),
        "conv_strides": (2, 2),
        "conv_paddings": (1, 1),
    }
    lists = {key: getattr(net, key) for key in defaults}
    for key, value in lists.items():
        if value is None:
            lists[key] = (defaults[key],) * layers
        elif len(value) != layers:
            counted = "convolution" + "s" * (layers != 1)
            raise config.error(
                "architecture", key, f"has {len(value)} for {layers} {counted}; give {layers}"
            )
    if net.z_dimension is None and net.z_map is None:
        what = "z_dimension is missing: a whole number, at least 1 (or z_map, latents as a map)"
        raise ConfigError(f"{config.file}: [architecture] {what}")
    if net.z_map is not None:
        for key, clash in (("z_dimension", net.z_dimension), ("hidden", net.hidden or None)):
            if clash is not None:
                raise config.error("architecture", key, "z_map leaves no place for it; remove one")
        if not layers:
            what = "latents as a map need a convolution, whose grid they keep"
            raise config.error("architecture", "z_map", what)
    words = SIGMA_WORDS.get(likelihood, ())
    if net.sigma is not None and not words:
        raise config.error(
            "architecture", "sigma", f"the likelihood {likelihood} has none; remove the key"
        )
    if isinstance(net.sigma, str) and net.sigma not in words:
        has = [name for name, own in SIGMA_WORDS.items() if net.sigma in own]
        problem = (
            f"only the likelihood {', '.join(has)} has this; must be {', '.join(words)} or above 0"
        )
        raise config.error("architecture", "sigma", problem)
    sigma = (net.sigma or "learnt") if words else None
    return replace(net, conv_layers=layers, **lists, likelihood=likelihood, sigma=sigma)


def text_of(value: object) -> str:
    """A value as a configuration file writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _written(text: str) -> str:
    """A value's text so that it is read back as it is: in quotation marks where it must be."""
    plain = text.isprintable() and text == text.strip() and "#" not in text and text[:1] != '"'
    return text if plain else json.dumps(text)


def _error(file: str, section: str, key: str, text: str, problem: str) -> ConfigError:
    return ConfigError(f"{file}: [{section}] {key} = {' '.join(text.split())}: {problem}")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"There are: {', '.join(known)}"

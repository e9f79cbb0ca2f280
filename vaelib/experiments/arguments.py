"""What the parsers share: mistakes in one line, kinds of argument, common options."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from vaelib.choices import VARIATIONS
from vaelib.experiments.config import ConfigError
from vaelib.experiments.schema import integer


class Parser(argparse.ArgumentParser):
    """argparse whose mistakes are one line."""

    def __init__(self, **arguments):
        super().__init__(
            **arguments, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; {self.prog} --help says more")


def run_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", type=Path, help="the folder of a finished run")


def device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (default: a GPU if there is one), cpu, cuda, cuda:1, mps",
    )
    cores = os.cpu_count() or 1
    parser.add_argument(
        "--threads",
        type=_checked(integer(1, cores), f"a whole number, 1 to {cores}"),
        help="processor threads (default: one a core); on a busy machine 1 may be faster",
    )


def path_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--path", metavar="DIR", help="where the data lie now, instead of the configuration's path"
    )


def variation(text: str) -> str:
    named = {name.lower(): name for name in VARIATIONS} | {"beta-vae": "B-VAE"}
    if text.lower() not in named:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(VARIATIONS)}; got {text!r}")
    return named[text.lower()]


def _checked(parse: Callable[[str], int], allowed: str) -> Callable[[str], int]:
    def parsed(text: str) -> int:
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            raise argparse.ArgumentTypeError(f"must be {allowed}; got {text!r}") from None

    return parsed


whole_number = _checked(integer(1), "a whole number, at least 1")
whole_from_0 = _checked(integer(0), "a whole number, at least 0")


def grid(text: str) -> tuple[str, list[str]]:
    name, _, values = text.partition("=")
    # at commas that are not inside brackets, so that a value may be a list
    split = [value.strip() for value in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", values)]
    if "." not in name or not all(split) or not split:
        raise argparse.ArgumentTypeError(f"must be SECTION.KEY=VALUE,VALUE,...; got {text!r}")
    return name.strip(), split

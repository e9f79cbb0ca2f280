"""Arguments out of range, refused in one line: what was given, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable


def check_whole(name: str, value: object, least: int = 1) -> None:
    """ValueError unless ``value`` is a whole number, at least ``least``."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")


def check_weight(name: str, value: object) -> None:
    """ValueError unless ``value`` is a finite number, at least 0, or a function of the step."""
    if not callable(value) and not (isinstance(value, (int, float)) and 0 <= value < math.inf):
        what = f"{name} must be a number at least 0, or a function of the step"
        raise ValueError(f"{what}; got {value!r}")


def check_rate(name: str, value: object) -> None:
    """ValueError unless ``value`` is a finite number above 0, or a function of the step."""
    if not callable(value) and not (isinstance(value, (int, float)) and 0 < value < math.inf):
        what = f"{name} must be a positive number, or a function of the step"
        raise ValueError(f"{what}; got {value!r}")


def check_choice(name: str, value: object, allowed: Iterable[str], joint: str = ", ") -> None:
    """ValueError unless ``value`` is one of the words in ``allowed``."""
    if value not in (allowed := tuple(allowed)):
        raise ValueError(f"{name} must be {joint.join(allowed)}; got {value!r}")

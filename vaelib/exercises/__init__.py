"""`check(number, answer)`: the self-tests of the exercises; right or not yet, never the answer.

A chapter's checks are the functions ``exercise_<n>`` of ``chapter<NN>.py``: one argument, the
reader's answer, and an AssertionError whose message is the hint.
"""

from __future__ import annotations

from importlib import import_module


def check(number: str, answer) -> None:
    """Print whether ``answer`` solves exercise ``number`` ("5.2"), with a hint where it does not.

    Raises ValueError when there is no such exercise with code.

    >>> check("5.2", lambda size, kernel, stride, padding: ...)  # as the page brings it
    Exercise 5.2: waiting for your answer.
    """
    print(f"Exercise {number}: {verdict(number, answer)}")


def verdict(number: str, answer) -> str:
    """What `check` prints: "right.", "waiting for your answer.", or "not yet" and why.

    >>> verdict("5.2", lambda size, kernel, stride, padding: (size + 2 * padding - kernel) % stride)
    'right.'
    """
    chapter, _, n = number.partition(".")
    try:
        module = import_module(f"vaelib.exercises.chapter{int(chapter):02d}")
        test = getattr(module, f"exercise_{int(n)}")
    except (ValueError, ModuleNotFoundError, AttributeError):
        raise ValueError(f"there is no exercise {number!r} with code to check") from None
    try:
        test(answer)
    except _NotAnswered:
        return "waiting for your answer."
    except AssertionError as hint:
        return f"not yet. {hint}"
    except Exception as error:
        return f"not yet: your code stopped with {type(error).__name__}: {error}"
    return "right."


class _NotAnswered(Exception):
    """The answer is still the dots that the exercise came with."""


def answered(value):
    """``value``, unless it is still ``...``; then the exercise counts as not answered yet."""
    if value is ...:
        raise _NotAnswered
    return value

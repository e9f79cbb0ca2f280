"""Numbers that change while training, such as the KL's weight: functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from vaelib.checks import check_weight, check_whole

Schedule = Callable[[int], float]
# steps at which one is asked what it is: twenty to each power of ten, up to 950,000
PROBED = sorted({n * 10**power // 2 for power in range(6) for n in range(20)})


def linear(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` at step 0 in a straight line to ``end`` at ``steps``, and there it stays.

    >>> [linear(0.0, 4.0, steps=4)(step) for step in (0, 1, 4, 9)]
    [0.0, 1.0, 4.0, 4.0]
    """
    check_whole("steps", steps)
    return lambda step: start + (end - start) * min(1.0, step / steps)


def falling(start: float, end: float, steps: int) -> Schedule:
    """From ``start`` at step 0 by a constant factor a step to ``end`` at ``steps``, where it stays.

    >>> [round(falling(40.0, 4.0, steps=2)(step), 1) for step in (0, 1, 2, 3)]
    [40.0, 12.6, 4.0, 4.0]
    """
    check_whole("steps", steps)
    if not (start > 0 and end > 0):
        raise ValueError(f"start and end must be above 0; got {start!r} and {end!r}")
    return lambda step: start * (end / start) ** min(1.0, step / steps)


def warm_up(end: float, steps: int) -> Schedule:
    """Linear from 0 to ``end`` over ``steps`` steps.

    Source: Bowman et al. (2016), section 3.1; Sonderby et al. (2016).

    >>> warm_up(1.0, steps=10)(5)
    0.5
    """
    return linear(0.0, end, steps)


def cyclical(end: float, period: int, ramp: float = 0.5) -> Schedule:
    """In each ``period`` of steps linear from 0 to ``end``, then at ``end`` until the next.

    The rise takes the period's first part ``ramp``. Source: Fu et al. (2019), equation 6.

    >>> [cyclical(1.0, period=4)(step) for step in range(6)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """
    check_whole("period", period, least=2)
    if not 0 < ramp <= 1:
        raise ValueError(f"ramp must be above 0 and at most 1; got {ramp!r}")
    return lambda step: end * min(1.0, (step % period) / (ramp * period))


def as_schedule(name: str, value: float | Schedule) -> Schedule:
    """``value`` as a function of the step; ValueError calling it ``name`` where it is no weight."""
    check_weight(name, value)
    if not callable(value):
        return lambda step: value
    schedule = value

    def checked(step: int) -> float:
        now = schedule(step)
        try:
            allowed = bool(0 <= now < math.inf)
        except (TypeError, ValueError, RuntimeError):  # a word, an array, None
            allowed = False
        if not allowed:
            raise ValueError(f"{name} must be at least 0 at every step; got {now!r} at step {step}")
        return now

    return checked

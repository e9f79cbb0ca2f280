"""Being told to stop: what SIGINT, SIGTERM and SIGHUP do to the program."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """A signal that ends the program; ``status`` is the exit status that says which."""

    def __init__(self, number: int):
        super().__init__()
        self.status = 128 + number


# those that this system has; Windows has no SIGHUP
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal)]

AGAIN = 0.01  # seconds after which a signal that was lost is raised again


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside, each of the `SIGNALS` raises Stopped; the same one again ends the program at once.

    One that is ignored, as SIGHUP is under nohup, stays ignored. In a thread other than the first
    nothing is done, for signals are not heard there. In what runs as an object goes (__del__, a
    weakref's callback) Python drops every exception, and tells sys.unraisablehook alone: a Stopped
    that was dropped is raised again, a moment later.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    lost: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        while lost:  # this is it, or the person's second
            lost.pop().cancel()
        for other in heard:  # what has been begun is brought to an end; a terminal sends several
            signal.signal(other, signal.SIG_IGN)
        signal.signal(number, lambda *_: os._exit(128 + number))
        raise Stopped(number)

    def dropped(unraisable: Any) -> None:
        stopped = unraisable.exc_value
        if not isinstance(stopped, Stopped):
            return hook(unraisable)
        number = stopped.status - 128
        signal.signal(number, stop)
        lost.append(threading.Timer(AGAIN, _thread.interrupt_main, [number]))
        lost[-1].start()

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for timer in lost:
            timer.cancel()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)

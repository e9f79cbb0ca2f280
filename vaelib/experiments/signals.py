"""Being told to stop: what SIGINT, SIGTERM and SIGHUP do to the program."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Stopped(KeyboardInterrupt):
    """A signal that ends the program; ``status`` is the exit status that says which."""

    def __init__(self, number: int):
        super().__init__()
        self.status = 128 + number


# those that this system has; Windows has no SIGHUP
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal)]


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Inside, each of the `SIGNALS` raises Stopped; the same one again ends the program at once.

    One that is ignored, as SIGHUP is under nohup, stays ignored. In a thread other than the first
    nothing is done, for signals are not heard there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for other in heard:  # what has been begun is brought to an end; a terminal sends several
            signal.signal(other, signal.SIG_IGN)
        signal.signal(number, lambda *_: os._exit(128 + number))
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

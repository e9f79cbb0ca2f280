"""Processes that tests start: they hear Ctrl-C, and none outlives its test.

A test run may itself have been started with SIGINT ignored (by a script, in the background).
Children would inherit that, and a test that interrupts one would wait for ever.
"""

import contextlib
import os
import signal
import subprocess

STARTED: list[subprocess.Popen] = []  # by the test that runs now


def start(command: list, **options) -> subprocess.Popen:
    """``command`` in a session of its own, with the default answer to SIGINT; all else as Popen."""
    # a handler of one's own becomes the default when a program is executed; SIG_IGN would stay
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        options = {"stdin": subprocess.DEVNULL, "text": True, **options}
        process = subprocess.Popen(command, start_new_session=True, **options)
    finally:
        signal.signal(signal.SIGINT, before)
    STARTED.append(process)
    return process


def started_by(pid: int) -> set[int]:
    """All processes of the session that ``pid`` leads, their children, and so on."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,sess="], capture_output=True, text=True)
    rows = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = {process for process, _, session in rows if session == pid}
    while more := {process for process, parent, _ in rows if parent in found} - found:
        found |= more
    return found


def end(pid: int) -> None:
    """Kill ``pid``, a session's leader, and all that it started, in other sessions too."""
    for process in started_by(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def end_all() -> None:
    while STARTED:
        with STARTED.pop() as process:
            end(process.pid)

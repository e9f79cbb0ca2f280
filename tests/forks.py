"""`vaelib` in processes that need not import PyTorch first: forks of one that has.

A fresh process spends four seconds of a core on that, and a fork none; in all else a fork is as
real, with a folder, an environment, streams, signals and an exit status of its own. What only a
fresh start shows (the entry point, what is imported, what Python reads as it starts) is tested
with fresh ones.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import processes

_server: list[socket.socket] = []


class Fork:
    """Used as a `subprocess.Popen` with text from pipes is."""

    def __init__(self, pid: int, out: int, err: int):
        self.pid, self.returncode = pid, None
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float = 250) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, "it goes on"
            time.sleep(0.005)
        return self.returncode

    def communicate(self, timeout: float = 250) -> tuple[str, str]:
        """What it said to its end; on stderr less than a pipe holds, 64 kB."""
        said = self.stdout.read(), self.stderr.read()
        self.wait(timeout)
        return said

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()


def start(arguments: list, code: str = "", cwd: Path | None = None, **environment: str) -> Fork:
    """`python -m vaelib` with ``arguments``, or ``code`` that finds them in sys.argv."""
    (out, its_out), (err, its_err) = os.pipe(), os.pipe()
    asked = {
        "argv": [str(argument) for argument in arguments],
        "code": code,
        "cwd": str(cwd or Path.cwd()),
        "environment": {**os.environ, **environment},
    }
    fork = Fork(_ask(asked, its_out, its_err), out, err)
    os.close(its_out)
    os.close(its_err)
    processes.STARTED.append(fork)
    return fork


def _ask(what: dict, *descriptors: int) -> int | None:
    """The server's answer; it is started at the first question, and ends with this process."""
    if not _server:
        ours, its = socket.socketpair()
        command = [sys.executable, __file__, str(its.fileno())]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # a fork would miss the others
        subprocess.Popen(
            command,
            pass_fds=[its.fileno()],
            env=one_thread,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        its.close()
        _server.append(ours)
    content = json.dumps(what).encode()
    socket.send_fds(_server[0], [len(content).to_bytes(4, "big")], descriptors)
    _server[0].sendall(content)
    return json.loads(_server[0].recv(64))


def _serve(asking: socket.socket) -> dict | None:
    """Fork for every question, until nobody is there to ask; in a fork, what it is asked to be."""
    import torch._dynamo  # half of what PyTorch imports, when it first trains
    import torch.distributed  # noqa: F401

    from vaelib.experiments import cli, export, finished_run, run, sweep  # noqa: F401

    while True:
        length, descriptors, *_ = socket.recv_fds(asking, 4, 2)
        if not length:
            return None
        asked = json.loads(asking.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
        if "poll" in asked:
            pid, status = os.waitpid(asked["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            asking.close()
            for descriptor, place in zip(descriptors, (1, 2)):
                os.dup2(descriptor, place)
                os.close(descriptor)
            return asked
        for descriptor in descriptors:
            os.close(descriptor)
        asking.sendall(json.dumps(answer).encode())


def _be(asked: dict) -> int:
    """The program that was asked for; its exit status."""
    from vaelib.experiments import cli

    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    # a test run in the background of a script has SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [str(Path(cli.__file__).parents[1] / "__main__.py"), *asked["argv"]]
    if not asked["code"]:
        return cli.main()
    exec(compile(asked["code"], "code", "exec"), {"__name__": "__main__"})
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if what := _serve(socket.socket(fileno=int(sys.argv[1]))):
        sys.exit(_be(what))

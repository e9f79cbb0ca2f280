"""Serve the built book to this machine only: python book/serve.py FOLDER [PORT]. Ctrl-C ends it."""

import contextlib
import errno
import functools
import http.server
import itertools
import os
import signal
import sys
from collections.abc import Iterator


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def server_on_free_port(folder: str, first: int) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(Handler, directory=folder)
    for port in itertools.count(first):
        try:
            return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            print(f"Port {port} is taken; trying {port + 1}.", flush=True)


def in_the_foreground() -> bool:
    """Whether the keys of the terminal at stdin, if there is one, reach this process."""
    try:
        return os.name == "posix" and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


@contextlib.contextmanager
def alone_in_the_foreground() -> Iterator[None]:
    """Let Ctrl-C reach this process and not `make` above it, which would call it an error.

    With the terminal comes the duty to answer: here Ctrl-C works even if SIGINT was ignored before.
    In the background it stays ignored: a Ctrl-C is meant for somebody else there.
    """
    if not in_the_foreground():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.getpgrp() == os.getpid():
        yield
        return
    before = os.tcgetpgrp(0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or handing the terminal over would stop us
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(0, before)


def main(folder: str, port: str = "8000") -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server_on_free_port(folder, int(port)) as server, alone_in_the_foreground():
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        end = f"kill {os.getpid()}" if ignored else "Ctrl-C"
        address = f"http://localhost:{server.server_port}"
        try:
            print(f"The book is on {address} ({end} ends it).", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nStopped.")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Serve the built book to this machine only: python book/serve.py FOLDER [PORT]. Ctrl-C ends it."""

import contextlib
import errno
import functools
import http.server
import itertools
import os
import signal
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
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


@contextlib.contextmanager
def alone_in_the_foreground():
    """Let the terminal's Ctrl-C reach this process and not `make` above it, which would call it an error."""
    if os.name != "posix" or not sys.stdin.isatty():
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
        try:
            print(
                f"The book is on http://localhost:{server.server_port} (Ctrl-C ends it).",
                flush=True,
            )
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nStopped.")


if __name__ == "__main__":
    main(*sys.argv[1:])

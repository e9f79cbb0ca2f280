"""Serve the built book to this machine only: python book/serve.py FOLDER [PORT]. Ctrl-C ends it."""

import contextlib
import errno
import functools
import http
import http.server
import io
import itertools
import os
import pathlib
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO


class Handler(http.server.SimpleHTTPRequestHandler):
    """The files of one folder, and nothing beyond it or about it."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds for a request that has begun: a client that says nothing costs a thread

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        # a page from elsewhere may have its own name lead to this machine, and would read the book
        host = self.headers.get("Host", "localhost").partition(":")[0]
        if host not in ("localhost", "127.0.0.1"):
            return self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST)
        if not self.is_of_the_book():
            return self.send_error(http.HTTPStatus.NOT_FOUND)
        return super().send_head()

    def is_of_the_book(self) -> bool:
        try:  # through any symbolic link
            path = pathlib.Path(self.translate_path(self.path)).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # not there, no name, a circle
            return False
        return path.is_relative_to(pathlib.Path(self.directory).resolve())

    def list_directory(self, path: object) -> None:
        self.send_error(http.HTTPStatus.NOT_FOUND)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait to be accepted; with 5 a busy page loses some

    def handle_error(self, *_: object) -> None:
        """A client that went away, or said what HTTP does not know, is no concern of the reader."""


def server_on_free_port(folder: str, first: int) -> Server:
    handler = functools.partial(Handler, directory=folder)
    for port in itertools.count(first):
        try:
            return Server(("127.0.0.1", port), handler)
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

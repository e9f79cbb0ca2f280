"""`make serve`: to this machine only, the book only, whatever is asked and however often."""

import contextlib
import random
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import processes
import pytest

from notebooks import ROOT

SECRET = b"not of the book"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a server of a small book, with files beside it that are none of its business."""
    root = tmp_path_factory.mktemp("served")
    (root / "secret.txt").write_bytes(SECRET)
    book = root / "book"
    (book / "_static").mkdir(parents=True)
    (book / "index.html").write_text("<p>the book</p>")
    (book / "_static" / "big.js").write_text("0;" * 50_000)
    (book / "out.txt").symlink_to(root / "secret.txt")
    (book / "up").symlink_to(root)
    (book / "circle").symlink_to(book / "circle")
    command = [sys.executable, ROOT / "book" / "serve.py", book, "0"]
    process = processes.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    processes.STARTED.remove(process)  # it is of all these tests
    yield int(re.search(r"localhost:(\d+)", process.stdout.readline()).group(1))
    process.terminate()
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "\nStopped.\n", ""), "not a word of any of it"


def ask(port, request, host="127.0.0.1"):
    """The whole answer to the bytes of a request."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(request)
        with contextlib.suppress(OSError):  # the server may have hung up before all was said
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def get(port, path, host="localhost"):
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    return ask(port, head.encode("latin-1"))


def test_it_serves_the_book(server):
    assert get(server, "/").endswith(b"\r\n\r\n<p>the book</p>")
    assert get(server, "/index.html?query#part").endswith(b"<p>the book</p>")
    assert len(get(server, "/_static/big.js")) > 100_000


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/_static/../../secret.txt",
        "//../secret.txt",
        "/..\\secret.txt",
        "/out.txt",
        "/up/secret.txt",
        "/up/",
        "/circle",
        "/_static/",
        "/secret.txt%00.html",
        "/%ff%fe",
        "/" + "a" * 5000,
        "file:///etc/passwd",
        "http://example.org/",
        "*",
    ],
)
def test_it_serves_nothing_else(server, path):
    answer = get(server, path)
    assert answer.startswith(b"HTTP/1.1 404 "), answer[:100]
    assert SECRET not in answer and b"big.js" not in answer


def test_a_name_that_is_not_this_machines_is_refused(server):
    """As of a page elsewhere whose own address is changed to 127.0.0.1 once it is open."""
    assert get(server, "/", "attacker.example:8000").startswith(b"HTTP/1.1 421 ")
    assert get(server, "/", f"127.0.0.1:{server}").startswith(b"HTTP/1.1 200 ")


def test_other_addresses_of_this_machine_do_not_answer(server):
    for host in ("127.0.0.2", "::1"):
        with pytest.raises(OSError):
            ask(server, b"GET / HTTP/1.0\r\n\r\n", host)


def test_it_survives_what_is_no_request(server):
    chance = random.Random(0)
    whole = b"GET /index.html HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-\r\n\r\n"
    malformed = [
        b"",
        b"\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\nxx",
        b"DELETE /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\x00\r\n\r\n",
        b"GET /index.html HTTP/1.1\r\nHost: localhost\r\nIf-Modified-Since: \xff\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # of TLS
        *(chance.randbytes(chance.randrange(2000)) for _ in range(100)),
        *(whole[: chance.randrange(len(whole))] for _ in range(50)),
    ]
    for request in malformed:
        try:
            answer = ask(server, request)
        except ConnectionError:  # it may hang up before all has been said
            continue
        assert not answer or answer.startswith((b"HTTP/1.1 ", b"<!DOCTYPE", b"<p>the")), request
    for _ in range(20):  # those who leave before the answer
        with socket.create_connection(("127.0.0.1", server)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            gone.sendall(b"GET /_static/big.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert get(server, "/").endswith(b"<p>the book</p>")


def test_those_who_say_nothing_keep_nobody_waiting(server):
    silent = [socket.create_connection(("127.0.0.1", server)) for _ in range(100)]
    try:
        assert get(server, "/").endswith(b"<p>the book</p>")
    finally:
        for connection in silent:
            connection.close()


@pytest.mark.parametrize("requests", [1000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_it_answers_every_one_of_many(server, requests):
    """From 16 at a time."""
    with ThreadPoolExecutor(16) as many:
        answers = list(many.map(lambda _: get(server, "/"), range(requests)))
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert all(answer.endswith(b"<p>the book</p>") for answer in answers)

"""`make links` against a server of this machine: what answers, what does not, and what is said."""

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import links
import pytest

ANSWERS = {"/good": [200], "/gone": [404], "/robots": [403], "/often": [429], "/ill": [503]}
ANSWERS |= {"/well-again": [503, 200], "/moved": [302, 302], "/moved-and-gone": [301]}
PLACES = {"/moved": "/good", "/moved-and-gone": "/gone", "/circle": "/circle"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked[self.path] += 1
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/cut":
            return
        known = ANSWERS.get(self.path, [302 if self.path in PLACES else 200])
        self.send_response(known[min(self.server.asked[self.path], len(known)) - 1])
        self.send_header("Location", PLACES.get(self.path, ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.asked = Counter()
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize(
    ("path", "reason", "tries"),
    [
        ("/good", None, 1),
        ("/gone", "status 404", 1),
        ("/robots", None, 1),
        ("/often", None, 1),
        ("/ill", "status 503", 3),
        ("/well-again", None, 2),
        ("/moved", None, 1),
        ("/moved-and-gone", "status 404", 1),
        ("/circle", "status 302", None),
        ("/slow", "timed out", 3),
        ("/cut", "Remote end closed connection without response", 3),
    ],
)
def test_what_an_address_answers(server, monkeypatch, path, reason, tries):
    monkeypatch.setattr(links, "SECONDS", 0.3 if path == "/slow" else 20)
    assert links.broken(f"http://127.0.0.1:{server.server_port}{path}") == reason
    assert tries in (server.asked[path], None)


def test_where_nobody_listens_and_what_is_no_address():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        port = made.server_port
    assert "refused" in links.broken(f"http://127.0.0.1:{port}/")
    assert links.broken("http://[nowhere/") is not None


def test_the_list_names_the_file_the_address_and_the_reason(server, monkeypatch, capsys):
    at = f"http://127.0.0.1:{server.server_port}"
    found = {f"{at}/good": "README.md", f"{at}/gone": "book/index.md"}
    monkeypatch.setattr(links, "addresses", lambda: found)
    assert links.main() == 1
    assert capsys.readouterr().out == (
        f"book/index.md: {at}/gone: status 404\n1 of 2 addresses do not answer\n"
    )
    del found[f"{at}/gone"]
    assert links.main() == 0
    assert capsys.readouterr().out == "0 of 1 addresses do not answer\n"

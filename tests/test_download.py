"""Downloads from a server that fails in every way; nothing executes that was only to be read."""

import gzip
import hashlib
import http.server
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import time
from urllib.request import Request

import forks
import pytest
from test_data import write_idx
from torchvision import datasets

from notebooks import ROOT
from vaelib.data import download, dsprites
from vaelib.data.download import fetch

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    """Its address, and what it is asked for; a path says how it answers."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            tries = asked.count(self.path)
            if self.path == "/busy" and tries < 3:
                return self.send_error(503)
            if self.path == "/none":
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if self.path == "/silent":
                return time.sleep(1)
            if self.path == "/cut" and tries < 3:
                return self.wfile.write(CONTENT[:1000])
            content = bytes(len(CONTENT)) if self.path == "/other" else CONTENT
            return self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(download, "WAIT", 0)
    monkeypatch.setattr(download, "SECONDS", 0.3)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/good", "/busy", "/cut"])
def test_a_server_that_fails_twice_is_asked_again(server, tmp_path, path):
    address, asked = server
    fetch([address + path], tmp_path / "new" / "file", MD5)
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert asked == [path] * (1 if path == "/good" else 3)
    assert os.listdir(tmp_path / "new") == ["file"]


@pytest.mark.parametrize(
    ("path", "reason", "tries"),
    [("/none", "404", 1), ("/silent", "timed out", 3), ("/other", "published checksum", 3)],
)
def test_what_can_not_be_had_leaves_nothing(server, tmp_path, path, reason, tries):
    address, asked = server
    with pytest.raises(OSError, match=reason):
        fetch([address + path], tmp_path / "file", MD5)
    assert asked == [path] * tries and os.listdir(tmp_path) == []


def test_a_second_address_is_asked(server, tmp_path):
    address, asked = server
    fetch([address + "/none", address + "/good"], tmp_path / "file", MD5)
    assert asked == ["/none", "/good"]


def test_more_than_any_file_has_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST", len(CONTENT) - 1)
    with pytest.raises(OSError, match="more came than"):
        fetch([server[0] + "/good"], tmp_path / "file", MD5)


def test_two_processes_download_at_once(server, tmp_path):
    address, asked = server
    code = (
        f"from pathlib import Path; from vaelib.data.download import fetch; "
        f"fetch(['{address}/good'], Path({str(tmp_path / 'file')!r}), {MD5!r})"
    )
    both = [forks.start([], code) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert asked in (["/good"], ["/good"] * 2)  # who comes late finds the file
    assert os.listdir(tmp_path) == ["file"]


def test_every_address_is_of_https_and_stays_so():
    for address in (dsprites.URL, download.FASHION, datasets.CIFAR10.url):
        assert address.startswith("https://")
    assert any(mirror.startswith("https://") for mirror in datasets.MNIST.mirrors)
    handler, request = download._NoWayDown(), Request("https://example.org/a")
    with pytest.raises(OSError, match="not https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/b")
    onward = handler.redirect_request(request, None, 302, "Found", {}, "https://example.org/b")
    assert onward.full_url == "https://example.org/b"


def test_archives_are_unpacked_to_where_they_are_read(server, tmp_path, monkeypatch):
    """MNIST's gzips and CIFAR-10's tar, without torchvision's own download."""

    def served(addresses, path, md5):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gz" and not path.name.endswith(".tar.gz"):
            write_idx(path.with_suffix(".idx"), __import__("numpy").zeros((2, 2, 2), "uint8"))
            path.write_bytes(gzip.compress(path.with_suffix(".idx").read_bytes()))
            path.with_suffix(".idx").unlink()
            return
        batches = tmp_path / "batches"
        batches.mkdir()
        with tarfile.open(path, "w:gz") as archive:
            for name, _ in [*source.train_list, *source.test_list, [source.meta["filename"], ""]]:
                (batches / name).write_text(name)
                archive.add(batches / name, f"{source.base_folder}/{name}")
            archive.add(batches / name, "../outside")

    monkeypatch.setattr(download, "fetch", served)
    source = datasets.MNIST
    download.fetch_published(source, tmp_path / "root")
    raw = tmp_path / "root" / "MNIST" / "raw"
    assert (raw / "train-images-idx3-ubyte").stat().st_size == 4 + 12 + 8
    source = datasets.CIFAR10
    download.fetch_published(source, tmp_path / "root")
    assert (tmp_path / "root" / source.base_folder / "test_batch").read_text() == "test_batch"
    assert not (tmp_path / "outside").exists()


HOSTILE = "import os; os.system('touch executed')"


class Hostile:
    def __reduce__(self):
        return exec, (HOSTILE,)


WATCHED = """
import contextlib, hashlib, io, os, pathlib, sys, types
import numpy as np, torch
from torchvision import datasets
import vaelib
from vaelib.experiments import cli, run
from vaelib.data import cifar
sys.path.insert(0, "tests"); from test_data import write_idx_set
run.pictures = lambda model, images: {}

def everything():
    '''What reads files of others: each file once, and then the hostile ones.'''
    done = []
    def attempt(call, *arguments, **options):
        try:
            quiet = io.StringIO()
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                found = call(*arguments, **options)
                done.append(found if isinstance(found, int) else type(found).__name__)
        except (RuntimeError, ValueError) as error:
            done.append(type(error).__name__)
    for name in ("run", "$(touch executed)"):
        command = ["-c", "tiny.cfg", "-v", "VAE", "--device", "cpu", "--output", name]
        attempt(cli.main, command)
        attempt(cli.main, [*command, "--resume"])
        attempt(cli.main, ["evaluate", name, "--device", "cpu", "--samples", "2"])
        attempt(cli.main, ["export", name])
        attempt(vaelib.load_model, f"{name}/model.safetensors")
    attempt(cli.main, ["-c", "hostile.cfg", "-v", "VAE"])
    attempt(vaelib.load, "mnist", "idx", download=False)
    attempt(vaelib.load, "dsprites", "hostile", download=False)
    attempt(vaelib.load_model, "hostile.pkl")
    attempt(cifar.cifar10, source, pathlib.Path("."), True)
    resume = ["-c", "tiny.cfg", "-v", "VAE", "--device", "cpu", "--output", "spoilt", "--resume"]
    attempt(cli.main, resume)
    return done

write_idx_set(pathlib.Path("idx"), "MNIST")
source = types.SimpleNamespace(
    base_folder=".", train_list=[["hostile.pkl", None]], test_list=[["hostile.pkl", None]]
)
everything()  # imports, which are code that was to be run
import shutil
for name in ("run", "$(touch executed)"):
    shutil.rmtree(name)
shutil.copytree("clean", "spoilt", dirs_exist_ok=True)
seen, watching = [], True
FORBIDDEN = ("exec", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork",
             "pickle.find_class", "os.startfile", "socket.connect", "socket.getaddrinfo")
def hook(event, arguments):
    if watching and event in FORBIDDEN:
        seen.append((event, str(arguments)[:200]))
sys.addaudithook(hook)
done = everything()
eval("1")
watching = False
assert seen and seen[-1][0] == "exec", "the hook hears nothing"
print(seen[:-1])
print(done)
"""


def test_nothing_executes_that_was_only_to_be_read(tmp_path):
    """Every reader, of good files and of hostile ones, under an audit hook."""
    import torch
    from common import TINY

    (tmp_path / "images").mkdir()
    from PIL import Image

    for i in range(20):
        Image.new("L", (8, 8), i * 10).save(tmp_path / "images" / f"{i}.png")
    tiny = TINY.format(images=tmp_path / "images", epochs=2)
    (tmp_path / "tiny.cfg").write_text(tiny)
    code = "__import__('os').system('touch executed')"
    (tmp_path / "hostile.cfg").write_text(tiny.replace("beta = 4", f"beta = {code}"))
    hostile = pickle.dumps({"data": Hostile(), "labels": []})
    (tmp_path / "hostile.pkl").write_bytes(hostile)
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / dsprites.FILE).write_bytes(hostile)
    state = pickle.dumps({"settings": Hostile()})
    torch.save({"settings": Hostile()}, tmp_path / "zipped.pt")
    for folder, content in (
        ("clean", state),
        ("spoilt", (tmp_path / "zipped.pt").read_bytes()),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.cfg").write_text(tiny)
        sealed = content + hashlib.sha256(content).digest()
        (tmp_path / folder / "checkpoint.pt").write_bytes(sealed)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TQDM_DISABLE": "1"}
    command = [sys.executable, "-c", WATCHED]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stderr
    seen, done = run.stdout.splitlines()[-2:]
    assert seen == "[]"
    assert done.count("0") >= 8 and "ValueError" in done and "DataError" in done, done
    assert not (tmp_path / "executed").exists()

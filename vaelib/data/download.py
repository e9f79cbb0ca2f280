"""Files from the network: over https, with a time-out and tries, whole and of a known checksum."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from vaelib.saving import atomic_write

SECONDS, TRIES, WAIT = 30, 3, 2  # of silence; and how long to wait before the second try
MOST = 2**30  # bytes: none of the files has as many
COMMIT = "b2617bb6d3ffa2e429640350f613e3291e10b141"
FASHION = f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/{COMMIT}/data/fashion/"


class _NoWayDown(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but none from https to something else."""

    def redirect_request(self, request, fp, code, message, headers, address):
        if request.type == "https" and urlsplit(address).scheme != "https":
            raise OSError(f"{request.host} sends to {address}, which is not https")
        return super().redirect_request(request, fp, code, message, headers, address)


def fetch(addresses: Sequence[str], path: Path, md5: str) -> None:
    """Download what has the checksum ``md5`` to ``path``, from the first address that has it.

    Nothing is downloaded where it lies already. Whole or not at all, so that two processes may do
    it at once. Each address is tried three times, unless it answers that it has no such file.
    Raises OSError that says why the first one failed.
    """
    from torchvision.datasets.utils import check_integrity  # a second to import

    failed: Exception | None = None
    if check_integrity(path, md5):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for address in addresses:
        for attempt in range(TRIES):
            time.sleep(WAIT * attempt)
            try:
                return _fetch(address, path, md5)
            except (OSError, HTTPException) as error:
                failed = failed or error
                if isinstance(error, HTTPError) and error.code < 500:
                    break
    reason = " ".join(str(failed).split()) or type(failed).__name__
    raise OSError(reason)


def _fetch(address: str, path: Path, md5: str) -> None:
    digest, left = hashlib.md5(usedforsecurity=False), MOST
    opener = urllib.request.build_opener(_NoWayDown)
    with opener.open(address, timeout=SECONDS) as answer, atomic_write(path) as file:
        while piece := answer.read(2**20):
            digest.update(piece)
            left -= len(piece)
            if left < 0:
                raise OSError(f"more came than {MOST:,} bytes")
            file.write(piece)
        if digest.hexdigest() != md5:
            raise OSError("what came has not the published checksum")


def fetch_published(source: Any, root: Path) -> None:
    """Download MNIST, Fashion-MNIST or CIFAR-10, a class of torchvision's, to where it looks."""
    if hasattr(source, "train_list"):
        archive = root / source.filename
        fetch([source.url], archive, source.tgz_md5)
        with tarfile.open(archive) as members:
            for name, _ in [*source.train_list, *source.test_list, [source.meta["filename"]] * 2]:
                target = root / source.base_folder / name
                _copy(partial(members.extractfile, f"{source.base_folder}/{name}"), target)
        return
    raw = root / source.__name__ / "raw"
    mirrors = [mirror for mirror in source.mirrors if mirror.startswith("https:")] or [FASHION]
    for name, md5 in source.resources:
        fetch([mirror + name for mirror in mirrors], raw / name, md5)
        _copy(partial(gzip.GzipFile, raw / name), (raw / name).with_suffix(""))


def _copy(opened: Callable[[], Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = opened()
    if stream is None:
        raise OSError(f"{path.name} is not in the archive")
    with stream, atomic_write(path) as file:
        shutil.copyfileobj(stream, file)

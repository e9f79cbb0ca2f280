"""What several test files need: a tiny run, a model's weights in one piece, a study's results."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from notebooks import ROOT

REAL = Path(os.environ.get("VAELIB_DATA", "/nowhere"))

# a run on a folder of pictures that takes a second; what is more goes to its last section
TINY = """
[configuration]
dataset = folder
path = {images}
image_size = 8
colour = no
[architecture]
conv_channels = [4]
z_dimension = 2
hidden = [8]
likelihood = bernoulli
[hyperparameters]
batch_size = 16
beta = 4
epochs = {epochs}
"""


def type_in_shell(folder: Path, typed: str) -> None:
    """Lines for a terminal in ``folder``, as a reader's: with a .venv, and without vaelib."""
    if not (Path(sys.prefix) / "bin" / "activate").exists():
        pytest.skip("this Python is no virtual environment")
    (folder / ".venv").symlink_to(sys.prefix)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    environment |= {k: os.environ[k] for k in ("OMP_NUM_THREADS",) if k in os.environ}
    run = subprocess.run(
        ["bash", "-e", "-c", typed], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def weights(model):
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def results(name: str) -> dict:
    """What the study ``name`` measured, as the book's pages quote it."""
    return json.loads((ROOT / "book" / "results" / f"{name}.json").read_text())


def deep_png(values: np.ndarray, exif: bytes = b"") -> bytes:
    """A PNG of 16-bit values (height, width, channels), which Pillow can't write in colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    chunks += chunk(b"eXIf", exif) * bool(exif)  # behind the pixels, where it may stand
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")

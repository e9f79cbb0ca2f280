"""What the studies share: where results go, what made them, how seeds are summed up, tables."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vaelib import VAE, metrics, pretrained
from vaelib.saving import write

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "book" / "results"
MOST = 150_000  # bytes of a picture that is saved in a palette


def hardware(device: str, threads: int | None = None) -> str:
    """What computed on ``device``, a History's: a GPU's name, or this machine's cores.

    ``threads``: how many of the cores, where it was not all of them.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    gpu = "no GPU" if device == "cpu" else device
    cores = f"{os.cpu_count()} cores, {platform.machine()}, {gpu}"
    return cores if threads is None else f"{threads} of {cores}"


def machine(device: str) -> dict:
    """For the `setting` of results: what computed them, torch, and the command that is running."""
    return {
        "hardware": hardware(device),
        "torch": torch.__version__,
        "command": f"python {os.path.relpath(sys.argv[0], ROOT)}",
    }


def spread(values: list[float]) -> dict:
    """Mean and sample standard deviation."""
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values)}


def mean_and_error(values: list[float]) -> dict:
    """Mean and its standard error."""
    found = spread(values)
    return {"mean": found["mean"], "error": found["sd"] / len(values) ** 0.5}


def over_runs(runs: list[dict]) -> dict:
    """The `spread` of each figure over the runs, one run a seed."""
    return {key: spread([run[key] for run in runs]) for key in runs[0]}


def markdown(rows: list[list[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    head, *others = rows
    return "\n".join(map(markdown_row, [head, ["---"] * len(head), *others]))


def markdown_row(cells: list[str]) -> str:
    """A line of a table, for those that are printed while they are measured."""
    return "| " + " | ".join(cells) + " |"


def rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def log_likelihoods(model: VAE, image: Tensor, codes: Tensor) -> Tensor:
    """log p(x | z) of one image, (1, C, H, W), at many codes (N, d): (N,) nats."""
    parts = [
        model.log_likelihood(image.expand(len(z), -1, -1, -1), model.decode(z))
        for z in codes.split(2000)
    ]
    return torch.cat(parts)


def model_scores(model: VAE, images: Tensor) -> dict:
    """The ELBO and its terms on ``images``, the KL of each latent, how many are in use; nats."""
    terms = metrics.elbo_terms(model, images)
    return {
        "elbo": terms.elbo.mean().item(),
        "reconstruction": terms.reconstruction.mean().item(),
        "kl": terms.kl.mean().item(),
        "kl_per_dimension": rounded(metrics.kl_per_dimension(model, images).tolist()),
        "active_units": int((metrics.active_units(model, images) > 0.01).sum()),
    }


def write_card(name: str, card: dict) -> None:
    """The card beside a shipped model's weights: its architecture, and ``card``."""
    model = pretrained.load_pretrained(name)
    config = {**model.config, "convs": [asdict(conv) for conv in model.convs]}
    text = json.dumps({"name": name, "config": config, **card}, indent=1, allow_nan=False)
    (pretrained.FOLDER / f"{name}.json").write_text(text + "\n")


def existing(path: Path, script: str) -> Path:
    """``path``, which ``script`` writes; SystemExit, in one line, where it has not yet."""
    if not path.exists():
        raise SystemExit(f"{os.path.relpath(path, ROOT)} is missing: python {script} makes it")
    return path


def read_json(path: Path, script: str) -> dict:
    """What ``script`` has measured; SystemExit, in one line, where it has not yet."""
    return json.loads(existing(path, script).read_text())


def cached(path: Path, stop: float, measure: Callable[[], dict]) -> dict:
    """What ``measure`` measures, kept in ``path``, where it is only measured once.

    SystemExit, in one line, where that would begin after ``stop``, a time of time.monotonic.
    """
    if not path.exists():
        if time.monotonic() > stop:
            raise SystemExit("out of time; the same command goes on")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, json.dumps(measure()))
        print(path.stem, path.read_text()[:300], flush=True)
    return json.loads(path.read_text())


def stop_time() -> float:
    """When to begin nothing more, by the command line's ``--seconds``: a time of time.monotonic."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="begin no measurement after so many"
    )
    return time.monotonic() + parser.parse_args().seconds


def write_results(stem: str, results: dict) -> None:
    """book/results/<stem>.json, whence the page has its numbers; ValueError for one not finite."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(results, indent=1, allow_nan=False)
    (RESULTS / f"{stem}.json").write_text(text + "\n")


def image_path(name: str) -> Path:
    """Where the book looks for a picture that a study draws."""
    path = ROOT / "book" / "images" / name
    path.parent.mkdir(exist_ok=True)
    return path


def save_picture(figure: Figure, name: str, dpi: int = 110, colours: int = 256) -> None:
    """book/images/NAME.png, in a palette of so many colours: a third of the size, or less."""
    stream, path = io.BytesIO(), image_path(f"{name}.png")
    figure.savefig(stream, dpi=dpi)
    Image.open(stream).convert("RGB").quantize(colours).save(path, optimize=True)
    if path.stat().st_size > MOST:
        print(f"{path.name}: {path.stat().st_size:,} bytes, more than {MOST:,}")

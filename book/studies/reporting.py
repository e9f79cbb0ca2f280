"""What the chapters' measurements share: where results go, which machine made them, how seeds are summed up."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from vaelib import VAE, metrics, pretrained

ROOT = Path(__file__).resolve().parent.parent


def machine() -> dict:
    """The hardware, the torch and the command of the script that is running, for the `setting` of its results."""
    return {
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        "torch": torch.__version__,
        "command": f"python benchmarks/{Path(sys.argv[0]).name}",
    }


def spread(values: list[float]) -> dict:
    """Mean and sample standard deviation."""
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values)}


def over_runs(runs: list[dict]) -> dict:
    """The `spread` of each figure over the runs, one run a seed."""
    return {key: spread([run[key] for run in runs]) for key in runs[0]}


def markdown(rows: list[list[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    head, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *others])


def rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def card_scores(model: VAE, images: Tensor) -> dict:
    """What the card of a shipped model of digits says it scores on ``images``."""
    terms = metrics.elbo_terms(model, images)
    return {
        "elbo": terms.elbo.mean().item(),
        "reconstruction": terms.reconstruction.mean().item(),
        "kl": terms.kl.mean().item(),
        "kl_per_dimension": rounded(metrics.kl_per_dimension(model, images).tolist()),
        "active_units": int((metrics.active_units(model, images) > 0.01).sum()),
    }


def write_card(name: str, card: dict) -> None:
    """vaelib/checkpoints/<name>.json, beside the shipped model's weights: its architecture, and ``card``."""
    model = pretrained.load_pretrained(name)
    config = {**model.config, "convs": [asdict(conv) for conv in model.convs]}
    text = json.dumps({"name": name, "config": config, **card}, indent=1, allow_nan=False)
    (pretrained.FOLDER / f"{name}.json").write_text(text + "\n")


def write_results(stem: str, results: dict) -> None:
    """book/results/<stem>.json, from which the chapter's page takes its numbers; ValueError for one that is not finite."""
    path = ROOT / "book" / "results" / f"{stem}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")


def image_path(name: str) -> Path:
    """Where the book looks for a picture that a script draws."""
    path = ROOT / "book" / "images" / name
    path.parent.mkdir(exist_ok=True)
    return path

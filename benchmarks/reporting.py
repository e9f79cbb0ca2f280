"""What the chapters' measurements share: where results go, which machine made them, how seeds are summed up."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from pathlib import Path

import torch

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

"""Every published experiment again, by the command line's own functions.

python book/studies/gallery.py                       about an hour on 2 cores, a run a core
python book/studies/gallery.py --only mnist-z2 cifar10-z8
python book/studies/gallery.py --seconds 1800        starts no new run after half an hour
python book/studies/gallery.py --seeds 1 2 3 4 --only mnist-z2      the same from other seeds
python book/studies/gallery.py --network original    networks of stride 1, as published: for a GPU

Writes a row a run to book/results/gallery.json, those of other seeds than 0 in a list of their own.
The runs' folders, each with its configuration, checkpoint, model and report, are under
_build/gallery/; stopped, it goes on where it was. MNIST and Fashion-MNIST are downloaded, or read
from $VAELIB_DATA; of CIFAR-10 cifar10-jpeg.tar.gz is taken where that folder has it. A run whose
data are missing says so and is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from photographs import photographs
from reporting import RESULTS, ROOT, hardware

from vaelib import DataError, TrainingError
from vaelib.experiments.config import Config, read
from vaelib.experiments.run import train
from vaelib.saving import write

SCRIPT = "book/studies/gallery.py"
TABLE = RESULTS / "gallery.json"
KEPT = ROOT / "_build" / "gallery"


class Run(NamedTuple):
    """One run: its data, how many latents, and beta; the rest is in the configuration."""

    data: str
    latents: int
    beta: float


RUNS = {
    # name                          data          latents beta
    "mnist-z2": Run("mnist", 2, 1),
    "mnist-z4": Run("mnist", 4, 1),
    "mnist-z8": Run("mnist", 8, 1),
    "mnist-z16": Run("mnist", 16, 1),
    "mnist-z2-beta4": Run("mnist", 2, 4),
    "mnist-z2-beta80": Run("mnist", 2, 80),
    "mnist-z2-beta150": Run("mnist", 2, 150),
    "fashion-z1": Run("fashion-mnist", 1, 1),
    "fashion-z2": Run("fashion-mnist", 2, 1),
    "fashion-z8": Run("fashion-mnist", 8, 1),
    "fashion-z16": Run("fashion-mnist", 16, 1),
    "fashion-z1-beta3": Run("fashion-mnist", 1, 3),
    "fashion-z2-beta3": Run("fashion-mnist", 2, 3),
    "fashion-z8-beta3": Run("fashion-mnist", 8, 3),
    "fashion-z16-beta3": Run("fashion-mnist", 16, 3),
    "cifar10-z8": Run("cifar10", 8, 1),
    "cifar10-z128": Run("cifar10", 128, 1),
    "sprites": Run("sprites", 10, 6),  # weighs the total correlation alone, as sprites.cfg says
}
NETWORKS = {  # the configuration, one of the package's own, that a run varies
    # 3 convolutions of stride 2: 10 epochs take 3 minutes on one core, of CIFAR-10 10 minutes
    "compact": "{}-compact",
    # stride 1, up to 256 channels: 15 to 25 epochs of up to hours on a CPU, minutes on a GPU
    "original": "{}",
}
LABELS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "sprites": "sprites"}
KEPT_RESULTS = (
    *("elbo", "elbo_error", "reconstruction", "kl", "active_units", "images", "seconds"),
    *("device", "torch"),
)


def configuration(name: str, network: str, seed: int) -> tuple[str, Config]:
    """What a run's data are called, and its configuration."""
    run = RUNS[name]
    label, keys = photographs() if run.data == "cifar10" else (LABELS[run.data], {})
    file = run.data if run.data == "sprites" else NETWORKS[network].format(run.data)
    keys |= {
        "architecture.z_dimension": str(run.latents),
        "hyperparameters.beta": str(run.beta),
        "hyperparameters.seed": str(seed),
    }
    return label, read(file, keys).variation("B-VAE")


def network_of(name: str, network: str) -> str:
    return "sprites" if RUNS[name].data == "sprites" else network  # they have one only


def folder(name: str, network: str, seed: int = 0) -> Path:
    return KEPT / network_of(name, network) / (f"{name}-seed{seed}" if seed else name)


def perform(name: str, seed: int, network: str, device: str, threads: int | None) -> dict:
    """Train a run, or go on with it; its row."""
    if threads:
        torch.set_num_threads(threads)
    label, config = configuration(name, network, seed)
    results = train(config, folder(name, network, seed), device, resume=True, log=lambda line: None)
    training, net = config.hyperparameters, config.architecture
    return {
        "name": name,
        "network": network_of(name, network),
        "configuration": config.file,
        "data": label,
        "latents": net.z_dimension,
        "beta": training.beta,
        "schedule": str(training.schedule),
        "likelihood": net.likelihood,
        "length": f"{config.length} {'epochs' if training.epochs else 'steps'}",
        "seed": training.seed,
        "hardware": hardware(results["device"], torch.get_num_threads()),
        **{key: results[key] for key in KEPT_RESULTS},
        "kl_per_dimension": [round(value, 4) for value in results["kl_per_dimension"]],
    }


def read_rows() -> list[dict]:
    """The rows of every seed."""
    if not TABLE.exists():
        return []
    table = json.loads(TABLE.read_text())
    return table["runs"] + table["other_seeds"]


def identity(row: dict) -> tuple[str, str, int]:
    return row["network"], row["name"], row["seed"]


def write_rows(rows: list[dict]) -> None:
    """The whole table, replaced at once, a run a line, in the order of RUNS."""
    order = list(RUNS)
    rows = sorted(rows, key=lambda row: (row["network"], order.index(row["name"]), row["seed"]))
    TABLE.parent.mkdir(exist_ok=True)

    def lines(rows: list[dict]) -> str:
        return ",\n".join(json.dumps(row, allow_nan=False) for row in rows)

    first = lines([row for row in rows if not row["seed"]])
    others = lines([row for row in rows if row["seed"]])
    head = f'{{"command": "python {SCRIPT}",\n'
    write(TABLE, f'{head}"runs": [\n{first}\n],\n"other_seeds": [\n{others}\n]}}\n')


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no new run after so many"
    )
    parser.add_argument(
        "--only", nargs="+", choices=RUNS, metavar="NAME", help=f"of {', '.join(RUNS)}"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--network", choices=NETWORKS, default="compact")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--jobs", type=int, help="runs at a time (default: one a core; on a GPU one)"
    )
    parser.add_argument("--threads", type=int, help="cores a run (default: an equal share)")
    return parser.parse_args()


def main() -> None:
    args, began = arguments(), time.monotonic()
    on_cpu = args.device == "cpu" or (args.device == "auto" and not torch.cuda.is_available())
    jobs = args.jobs or (os.cpu_count() if on_cpu else 1)
    threads = args.threads or (max(1, os.cpu_count() // jobs) if on_cpu else None)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    # seed by seed, so that what is stopped early has equally many seeds of every run
    waiting = [(name, seed) for seed in args.seeds for name in args.only or RUNS]
    rows = read_rows()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running: dict[Future, str] = {}
        while waiting or running:
            while waiting and len(running) < jobs and time.monotonic() - began < args.seconds:
                name, seed = waiting.pop(0)
                future = pool.submit(perform, name, seed, args.network, args.device, threads)
                running[future] = f"{name}, seed {seed}"
            if not running:
                left = "; ".join(f"{name}, seed {seed}" for name, seed in waiting)
                print(f"out of time; the same command goes on with {left}")
                return
            future = next(as_completed(running))
            label = running.pop(future)
            try:
                row = future.result()
            except (DataError, TrainingError) as error:
                print(f"{label}: {error}", flush=True)
                continue
            rows = [old for old in rows if identity(old) != identity(row)] + [row]
            write_rows(rows)
            print(
                f"{label}: ELBO {row['elbo']:.2f}, KL {row['kl']:.2f} nats, {row['seconds']:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()

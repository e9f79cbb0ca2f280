"""How time and memory grow with images, minibatch, latents, data set, samples and processes.

python benchmarks/growth.py [AXIS ...]    about 10 minutes on 2 cores; all axes without a name

Each point is a process of its own, for its peak memory. benchmarks/README.md says how to read it.
Writes benchmarks/results/growth.json, in which a run replaces the axes that it measured, and
growth.svg.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import socket
import statistics
import time

import torch
import torch.distributed as dist
from shared import ROOT, machine

from vaelib import VAE, ConvSpec, fit, metrics

RESULTS = ROOT / "benchmarks" / "results" / "growth.json"
DEVICE = "cpu"
REPETITIONS = 3
CONVS = [ConvSpec(32), ConvSpec(64), ConvSpec(128)]
USUAL = {"image_size": 28, "batch": 128, "latent_dim": 10, "images": 1280}
# axis: its values, and what of a point is timed
AXES = {
    "image size": ("image_size", [28, 64, 128], "step"),
    "batch": ("batch", [32, 128, 640, 1280], "step"),
    "latent dimension": ("latent_dim", [2, 10, 50, 250], "step"),
    "data-set size": ("images", [1280, 5120, 20480, 81920], "epoch"),
    "importance samples": ("samples", [1, 10, 100, 1000], "evaluation"),
    "processes": ("processes", [1, 2], "step"),
}
UNITS = {"step": "ms a step", "epoch": "s an epoch", "evaluation": "ms an image"}


def training(
    image_size: int, batch: int, latent_dim: int, images: int, convs: list
) -> tuple[float, float]:
    """Seconds of an epoch, a median, and of a step."""
    torch.manual_seed(0)
    model = VAE((1, image_size, image_size), latent_dim, convs, hidden=())
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(
        0, 256, (images, 1, image_size, image_size), dtype=torch.uint8, generator=generator
    )
    options = dict(epochs=1, batch_size=batch, device=DEVICE, progress=False)
    taken = median_seconds(lambda: fit(model, data, **options))
    return taken, taken / math.ceil(images / batch)


def evaluation(samples: int) -> float:
    """Seconds to estimate log p(x) of an image."""
    torch.manual_seed(0)
    model, n = VAE((1, 28, 28), 10, CONVS, hidden=()), max(4, 2048 // samples)
    images = torch.rand(n, 1, 28, 28)
    return median_seconds(lambda: metrics.log_likelihood(model, images, samples)) / n


def median_seconds(run) -> float:
    run()
    taken = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def point(connection, name: str, value: int, rank: int = 0, size: int = 1, port: int = 0) -> None:
    """One point of an axis, in a process of its own; of several that train, the first answers."""
    if size > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    elif name == "processes":
        torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if name == "samples":
        epoch = step = evaluation(value)
    else:
        convs = (
            [ConvSpec(8)] if name == "images" else CONVS
        )  # a small network, so that many images take little time
        epoch, step = training(
            **{**USUAL, **({} if name == "processes" else {name: value})}, convs=convs
        )
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if rank == 0:
        connection.send((epoch, step, memory))
    if size > 1:
        dist.destroy_process_group()


def measured(name: str, value: int, timed: str) -> dict:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    size = value if name == "processes" else 1
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [(there, name, value, rank, size, port) for rank in range(size)]
    processes = [context.Process(target=point, args=a) for a in arguments]
    for process in processes:
        process.start()
    epoch, step, memory = here.recv()
    for process in processes:
        process.join()
    return {
        "value": value,
        "time": round(epoch if timed == "epoch" else 1e3 * step, 4),
        "memory_mb": round(memory, 1),
    }


def chart(axes: dict) -> None:
    """benchmarks/results/growth.svg: time and memory on logarithmic scales, a panel an axis."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for panel in panels.flat[len(axes) :]:
        panel.set_visible(False)
    for panel, (axis, result) in zip(panels.flat, axes.items()):
        values = [p["value"] for p in result["points"]]
        times, memory = ([p[key] for p in result["points"]] for key in ("time", "memory_mb"))
        first = panel.plot(values, times, "o-", color="#1f5f8b", label=result["unit"])
        beside = panel.twinx()
        second = beside.plot(values, memory, "s--", color="#b07a2a", label="memory, MB")
        for part in (panel, beside):
            part.set_xscale("log")
            part.set_yscale("log")
            part.minorticks_off()
        panel.set_xticks(values, [f"{v:,}" for v in values], fontsize=8)
        panel.set_ylim(min(times) / 2, max(times) * 2)
        beside.set_ylim(min(memory) / 2, max(memory) * 2)
        panel.set_title(axis, loc="left", fontsize=10)
        panel.legend(handles=first + second, fontsize=7, loc="upper left")
    with plt.rc_context({"svg.hashsalt": "vaelib", "svg.fonttype": "none"}):
        figure.savefig(RESULTS.with_suffix(".svg"), metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=", ".join(AXES))
    args = parser.parse_args()
    if unknown := set(args.axes) - set(AXES):
        parser.error(f"no axis {min(unknown)!r}; there are: {', '.join(AXES)}")
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"axes": {}}
    results |= {**machine(DEVICE), "usual": USUAL}
    for axis in args.axes or AXES:
        name, values, timed = AXES[axis]
        points = []
        for value in values:
            points.append(measured(name, value, timed))
            print(axis, points[-1], flush=True)
        (a, b) = points[-2:]
        exponent = math.log(b["time"] / a["time"]) / math.log(b["value"] / a["value"])
        print(f"{axis}: between the last two, time grows with the power {exponent:.2f}")
        results["axes"][axis] = {
            "unit": UNITS[timed],
            "points": points,
            "last_exponent": round(exponent, 2),
        }
        results["axes"] = {a: results["axes"][a] for a in AXES if a in results["axes"]}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    chart(results["axes"])


if __name__ == "__main__":
    main()

"""Chapter 12: what many runs and a million images cost, and what to read in a report.

python book/studies/12-your-own.py    in seconds, from what gallery.py and benchmarks/growth.py have
                                      measured, and models that ship; writes
                                      book/results/12-your-own.json and book/images/12-reports.png
"""

from __future__ import annotations

import gallery
import torch
from in_use import IN_USE
from matplotlib.figure import Figure
from reporting import ROOT, read_json, save_picture, write_results

import vaelib
from vaelib import metrics
from vaelib.models import as_float
from vaelib.plots import COLOURS, tiled

GROWTH = ROOT / "benchmarks" / "results" / "growth.json"
RUNS, IMAGES, EPOCHS = 1000, 1_000_000, 20  # what the page asks the price of
CORES = (2, 16, 128)
REPORTS = ("mnist-z16", "mnist-z2-beta4")  # two that fail in different ways
TRAINED_ON = {"mnist-z16": 60_000, "cifar10-z128": 50_000}


def run_price(row: dict) -> dict:
    """What one run took on one core, and RUNS of them take on so many, for they share nothing."""
    hours = row["seconds"] / 3600
    return {
        "minutes": row["seconds"] / 60,
        "hardware": row["hardware"],
        "images_per_second": TRAINED_ON[row["name"]]
        * int(row["length"].split()[0])
        / row["seconds"],
        "core_hours": RUNS * hours,
        "hours": {str(cores): RUNS * hours / cores for cores in CORES},
    }


def images_price(point: dict, batch: int) -> dict:
    """What EPOCHS epochs of IMAGES grey images take at a measured step, and the images' bytes."""
    size = point["value"]
    epoch = IMAGES / batch * point["time"] / 1e3
    return {
        "ms_a_step": point["time"],
        "images_per_second": 1e3 * batch / point["time"],
        "epoch_hours": epoch / 3600,
        "training_hours": EPOCHS * epoch / 3600,
        "gigabytes": IMAGES * size**2 / 1e9,
    }


def reports(images: int = 6) -> Figure:
    """Of each of REPORTS the KL of its latents, reconstructions and samples, a row each."""
    test = vaelib.load("mnist-5k", binarize=True).test
    chosen = test[[0, 31, 62, 3, 54, 96]]
    figure = Figure(figsize=(9.6, 3.1), layout="constrained")
    axes = figure.subplots(len(REPORTS), 3, width_ratios=(1, 1.5, 1.5))
    for (bars, rebuilt, drawn), name in zip(axes, REPORTS):
        model = vaelib.load_pretrained(name)
        kl = metrics.kl_per_dimension(model, test).sort(descending=True).values.tolist()
        bars.bar(range(1, 1 + len(kl)), kl, color=COLOURS[5])
        bars.set(xlim=(0.2, 16.8), ylim=(0, 4), xticks=(1, 16), ylabel="KL, nats")
        bars.set_title(f"{sum(kl):.1f} nats, {sum(k > IN_USE for k in kl)} in use", fontsize=10)
        made = torch.cat([as_float(chosen), model.reconstruct(chosen)])
        samples = model.sample(2 * images, torch.Generator().manual_seed(2))
        for axis, pictures, word in (
            (rebuilt, made, "images, reconstructions"),
            (drawn, samples, "samples"),
        ):
            axis.imshow(tiled(pictures, images)[0], cmap="gray_r", vmin=0, vmax=1)
            axis.set_title(word, fontsize=10)
            axis.set_axis_off()
    for axis, letter in zip(axes[:, 0], "AB"):
        axis.text(-0.42, 1.12, letter, transform=axis.transAxes, fontsize=13, fontweight="bold")
    return figure


def main() -> None:
    runs = read_json(gallery.TABLE, gallery.SCRIPT)["runs"]
    rows = {row["name"]: row for row in runs if row["network"] == "compact"}
    if missing := TRAINED_ON.keys() - rows.keys():
        names = " ".join(sorted(missing))
        raise SystemExit(f"not measured yet: python {gallery.SCRIPT} --only {names} does it")
    growth = read_json(GROWTH, "benchmarks/growth.py")
    one, two = growth["axes"]["processes"]["points"]
    write_results(
        "12-your-own",
        {
            "setting": {key: growth[key] for key in ("hardware", "torch")}
            | {"command": "python book/studies/12-your-own.py"},
            "runs": RUNS,
            "images": IMAGES,
            "epochs": EPOCHS,
            "run": {name: run_price(rows[name]) for name in TRAINED_ON},
            "size": {
                str(p["value"]): images_price(p, growth["usual"]["batch"])
                for p in growth["axes"]["image size"]["points"]
            },
            "two_processes": one["time"] / two["time"],
        },
    )
    save_picture(reports(), "12-reports")


if __name__ == "__main__":
    main()

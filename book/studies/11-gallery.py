"""Chapter 11's pictures, numbers and shipped models, from what gallery.py and literature.py have left.

python book/studies/11-gallery.py    a minute; writes book/results/11-gallery.json, book/images/11-*.png, and three of the
models with their cards to vaelib/checkpoints/. A run that has not been made is left out, and named.
"""

from __future__ import annotations

import io
import json
from functools import cache

import gallery
import literature
import torch
from matplotlib.figure import Figure
from photographs import load_photographs
from PIL import Image
from reporting import (
    ROOT,
    card_scores,
    image_path,
    machine,
    markdown,
    rounded,
    write_card,
    write_results,
)

import vaelib
from vaelib import metrics, plots, pretrained, runs
from vaelib.models import as_float

NETWORK = "compact"  # whose pictures the book shows
SHIPPED = {
    "mnist-z2": "beta 1, the plain VAE",
    "mnist-z16": "beta 1, the plain VAE",
    "mnist-z2-beta4": "beta 4 throughout",
}
SHOWN = 8  # images in each half of a row
MOST = 150_000  # bytes of a picture


def models(names: list[str]) -> dict[str, vaelib.VAE]:
    """Those of the runs that are finished."""
    folders = {name: gallery.folder(name, NETWORK) for name in names}
    return {
        name: vaelib.load_model(f / runs.MODEL) for name, f in folders.items() if runs.results(f)
    }


def side_by_side(rows: dict[str, vaelib.VAE], chosen: torch.Tensor) -> Figure:
    """A row a model: the same test images rebuilt, then samples from the prior."""
    whole = [("image", as_float(chosen), None)]
    for label, model in rows.items():
        sampled = model.sample(SHOWN, torch.Generator().manual_seed(5))
        whole.append((label, model.reconstruct(chosen), sampled))
    height = 0.56 * len(whole) + 0.3
    figure = Figure(figsize=(9.6, height))
    unit = 0.56 / height
    for row, (name, left, right) in enumerate(whole):
        for half, images in enumerate((left, right)):
            if images is None:
                continue
            axis = figure.add_axes(
                (0.09 + 0.465 * half, 1 - 0.3 / height - unit * (row + 1), 0.445, 0.97 * unit)
            )
            strip = images.permute(1, 2, 0, 3).flatten(2)  # C, H, N W
            plots._show(axis, strip)
            axis.set_axis_off()
            if half == 0:
                axis.text(
                    -0.012, 0.5, name, ha="right", va="center", fontsize=9, transform=axis.transAxes
                )
    for at, text in (
        (0.3125, "reconstructions of test images"),
        (0.7775, "samples from the prior"),
    ):
        figure.text(at, 1 - 0.2 / height, text, ha="center", fontsize=10)
    return figure


def manifolds(rows: dict[str, vaelib.VAE], size: int = 12) -> Figure:
    """What the decoders draw over the plane of two latents, side by side."""
    figure = Figure(figsize=(2.6 * len(rows), 2.95), layout="constrained")
    for axis, (label, model) in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows.items()):
        plots._show(axis, plots._plane(model, size))
        axis.set(title=label, xticks=[], yticks=[])
    return figure


@cache
def shown(name: str) -> torch.Tensor:
    """Test images for the pictures, loaded where a picture needs them."""
    if name == "cifar10":
        return load_photographs()[1].test
    chosen = {"mnist": [3, 2, 1, 18, 4, 8, 11, 61], "fashion-mnist": [0, 1, 3, 5, 6, 8, 11, 18]}[
        name
    ]
    return vaelib.load(name, binarize=True).test[chosen]


def draw() -> list[str]:
    """Every picture whose models are there; the names of those that are not."""
    missing = []

    def save(name: str, wanted: dict[str, str], figure_of) -> None:
        found = models(list(wanted))
        missing.extend(run for run in wanted if run not in found)
        if len(found) == len(wanted):
            save_picture(figure_of({label: found[run] for run, label in wanted.items()}), name)

    beside = lambda data: lambda found: side_by_side(found, shown(data)[:SHOWN])
    latents = lambda data, sizes, end="": {
        f"{data}-z{n}{end}": f"{n} latent" + "s" * (n > 1) for n in sizes
    }
    prices = {
        "mnist-z2": "beta 1",
        **{f"mnist-z2-beta{beta}": f"beta {beta}" for beta in (4, 80, 150)},
    }
    save("mnist-latents", latents("mnist", (2, 4, 8, 16)), beside("mnist"))
    save("mnist-prices", prices, beside("mnist"))
    save("mnist-planes", prices, manifolds)
    save("fashion-latents", latents("fashion", (1, 2, 8, 16)), beside("fashion-mnist"))
    save("fashion-beta3", latents("fashion", (1, 2, 8, 16), "-beta3"), beside("fashion-mnist"))
    save("fashion-planes", {"fashion-z2": "beta 1", "fashion-z2-beta3": "beta 3"}, manifolds)
    save("cifar10", latents("cifar10", (8, 128)), beside("cifar10"))
    sprites = vaelib.load("sprites", image_size=32)
    start = sprites.images(torch.tensor([[2, 4, 0, 16, 16]]))[0]

    def traversals(found):
        (model,) = found.values()
        images, _ = sprites.sample(1000, torch.Generator().manual_seed(0))
        by_kl = metrics.kl_per_dimension(model, images).argsort(descending=True).tolist()
        return plots.traversals(model, start, dimensions=tuple(by_kl[:5]))

    save("sprites", {"sprites": "sprites"}, traversals)
    return missing


def codes() -> dict:
    """How far the codes of photographs are from the prior, a model each; of a run that is not here, as it was."""
    before = ROOT / "book" / "results" / "11-gallery.json"
    found = json.loads(before.read_text())["codes"] if before.exists() else {}
    photographed = models(["cifar10-z8", "cifar10-z128"])
    return found | {
        name: spread_of_codes(model, shown("cifar10")[:2000])
        for name, model in photographed.items()
    }


def spread_of_codes(model: vaelib.VAE, images: torch.Tensor) -> dict:
    """The median latent's deviation over ``images``, noise of the encoder included, and the largest mean (the prior: 1 and 0)."""
    with torch.no_grad():
        mean, log_var = model.encode(as_float(images))
    deviation = (mean.var(0) + log_var.exp().mean(0)).sqrt()
    return {
        "deviation": deviation.median().item(),
        "offset": mean.mean(0).abs().max().item(),
        "images": len(images),
    }


def learning_curves(rows: list[dict]) -> Figure:
    """-log p(x) of 1,000 test digits over training, a curve a k; the published values, at the end of theirs, as lines."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for row, colour, style in zip(rows, (0, 5, 6, 3, 7), ("-", "--", "-.", ":", "-")):
        name = "VAE" if row["k"] == 1 else f"IWAE, k = {row['k']}"
        at, values = zip(*((point["epoch"], point["nll"]) for point in row["curve"]))
        axis.plot(
            at,
            values,
            style,
            color=plots.COLOURS[colour],
            label=f"{name}, {row['of_epochs']} epochs",
        )
        axis.axhline(row["published"], color=plots.COLOURS[colour], lw=0.7, alpha=0.6)
    axis.set(
        xlabel="epoch",
        ylabel="nats",
        xscale="log",
        ylim=(83, 110),
        title="$-\\log p(x)$ of 1,000 test digits",
    )
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def save_picture(figure: Figure, name: str) -> None:
    """book/images/11-NAME.png, in a palette of 256: a third of the size."""
    stream, path = io.BytesIO(), image_path(f"11-{name}.png")
    figure.savefig(stream, dpi=110)
    Image.open(stream).convert("RGB").quantize(256).save(path, optimize=True)
    if path.stat().st_size > MOST:
        print(f"{path.name}: {path.stat().st_size:,} bytes, more than {MOST:,}")


def ship(rows: dict[str, dict]) -> None:
    """Three of the models, in half precision, each with its card: scored on the digits that come with the package."""
    data = vaelib.load("mnist-5k", binarize=True)
    for name, objective in SHIPPED.items():
        source = gallery.folder(name, NETWORK)
        if name not in rows or not runs.results(source):
            continue
        vaelib.save_model(
            vaelib.load_model(source / runs.MODEL),
            pretrained.FOLDER / f"{name}.safetensors",
            half=True,
        )
        row = rows[name]
        training = gallery.read(source / runs.CONFIG).hyperparameters
        history = [json.loads(line) for line in (source / runs.METRICS).read_text().splitlines()]
        card = {
            "data": {"name": "mnist-5k", "binarize": True},
            "trained_on": "MNIST, all 60,000 training images, binarised",
            "objective": objective,
            "method": "beta-vae",
            "weight": training.beta,
            "seed": training.seed,
            "epochs": training.epochs,
            "steps": history[-1]["step"],
            "batch_size": training.batch_size,
            "learning_rate": training.learning_rate,
            "seconds": row["seconds"],
            "scores": card_scores(vaelib.load_pretrained(name), data.test),
            "scores_mnist": {
                key: row[key] for key in ("elbo", "elbo_error", "reconstruction", "kl", "images")
            },
            "history": {
                "steps": [record["step"] for record in history],
                "reconstruction": rounded(
                    [record["train"]["reconstruction"] for record in history]
                ),
                "kl": rounded([record["train"]["kl"] for record in history]),
                "kl_per_dimension": [rounded(record["kl_per_dimension"]) for record in history],
            },
            "hardware": row["hardware"],
            "torch": row["torch"],
            "command": f"python book/studies/gallery.py --only {name}",
        }
        write_card(name, card)


def gallery_table(rows: list[dict]) -> str:
    """The gallery as the page shows it, a row a run."""
    columns = ["run", "data", "latents", "beta", "ELBO", "reconstruction", "KL", "active", "min"]
    shown = [
        [
            f"`{row['name']}`" + ("" if row["network"] != "original" else " (original network)"),
            row["data"],
            str(row["latents"]),
            f"{row['beta']:g}" + ("" if row["schedule"] == "constant" else f" ({row['schedule']})"),
            f"{row['elbo']:.1f} ± {row['elbo_error']:.1f}",
            f"{row['reconstruction']:.1f}",
            f"{row['kl']:.2f}",
            f"{row['active_units']}",
            f"{row['seconds'] / 60:.1f}",
        ]
        for row in rows
    ]
    return markdown([columns, *shown])


def main() -> None:
    rows = gallery.read_rows()
    missing = sorted({*draw(), *gallery.RUNS} - {row["name"] for row in rows})
    by_name = {row["name"]: row for row in rows if row["network"] != "original"}
    ship(by_name)
    found = literature.read()
    if found["nll"]:
        save_picture(learning_curves(sorted(found["nll"], key=lambda row: row["k"])), "literature")
    write_results(
        "11-gallery",
        {
            "setting": {**machine(), "command": "python book/studies/gallery.py"},
            "table": gallery_table(rows),
            "literature": literature.table(found),
            "photographs": literature.photograph_table(found),
            "hardware": sorted({row["hardware"] for row in rows}),
            "minutes": sum(row["seconds"] for row in rows) / 60,
            "runs": by_name,
            "codes": codes(),
            "nll_by_k": {
                str(row["k"]): row
                for row in found["nll"]
                if row["of_epochs"] == literature.EPOCHS[row["k"]]
            },
            "bits": found["bits"],
        },
    )
    if missing:
        print(f"not yet made: {', '.join(missing)}")


if __name__ == "__main__":
    main()

"""Chapter 11: the gallery's pictures, tables and shipped models.

python book/studies/11-gallery.py    a minute, from what its long studies have left

Writes book/results/11-gallery.json, book/images/11-*.png, and three of the models with their cards
to vaelib/pretrained/. A run that has not been made is left out, and named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache, partial

import beside_pythae
import gallery
import grey_digits
import literature
import torch
from matplotlib.figure import Figure
from model_rows import DPI, side_by_side, strip_box
from photographs import load_photographs
from reporting import (
    RESULTS,
    markdown,
    mean_and_error,
    model_scores,
    read_json,
    rounded,
    save_picture,
    spread,
    write_card,
    write_results,
)

import vaelib
from vaelib import metrics, plots, pretrained
from vaelib.experiments import config, run_folder
from vaelib.models import as_float

NETWORK = "compact"  # whose pictures the book shows
SHIPPED = {
    "mnist-z2": "beta 1, the plain VAE",
    "mnist-z16": "beta 1, the plain VAE",
    "mnist-z2-beta4": "beta 4 throughout",
}
SHOWN = {  # test images, of each data set but CIFAR-10, of which the first are shown
    "mnist": [3, 2, 1, 18, 4, 8, 11, 61],
    "fashion-mnist": [0, 1, 3, 5, 6, 8, 11, 18],
}
# -log p(x) of a VAE with a normal prior, and its ±, as printed in the table of density estimation
# of Norouzi, Fleet & Norouzi (2020), in the README of github.com/sajadn/Exemplar-VAE
PUBLISHED = {"MNIST": (84.45, 0.12), "Fashion-MNIST": (228.70, 0.15)}


def models(names: list[str]) -> dict[str, vaelib.VAE]:
    """Those of the runs that are finished."""
    folders = {name: gallery.folder(name, NETWORK) for name in names}
    return {
        name: vaelib.load_model(folder / run_folder.MODEL)
        for name, folder in folders.items()
        if run_folder.results(folder)
    }


def manifolds(rows: dict[str, vaelib.VAE], size: int = 12) -> Figure:
    """What the decoders draw over the plane of two latents, side by side."""
    figure = Figure(figsize=(2.6 * len(rows), 2.95), layout="constrained")
    for axis, (label, model) in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows.items()):
        plots.show_image(axis, plots.manifold_image(model, size))
        axis.set(title=label, xticks=[], yticks=[])
    return figure


@cache
def shown(name: str) -> torch.Tensor:
    """Test images for the pictures, loaded where a picture needs them."""
    if name == "cifar10":
        return load_photographs()[1].test
    return vaelib.load(name, binarize=True).test[SHOWN[name]]


def beside(data: str, rows: dict[str, vaelib.VAE]) -> Figure:
    return side_by_side(rows, shown(data))


def traversals(rows: dict[str, vaelib.VAE]) -> Figure:
    """Of the only model, the five latents with the most KL."""
    (model,) = rows.values()
    sprites = vaelib.load("sprites", image_size=32)
    start = sprites.images(torch.tensor([[2, 4, 0, 16, 16]]))[0]
    images, _ = sprites.sample(1000, torch.Generator().manual_seed(0))
    by_kl = metrics.kl_per_dimension(model, images).argsort(descending=True).tolist()
    return plots.traversals(model, start, dimensions=tuple(by_kl[:5]))


def by_latents(data: str, sizes: tuple[int, ...], end: str = "") -> dict[str, str]:
    """Runs, and what a row of a picture calls them."""
    return {f"{data}-z{n}{end}": f"{n} latent" + "s" * (n > 1) for n in sizes}


MNIST_PRICES = {
    "mnist-z2": "beta 1",
    **{f"mnist-z2-beta{beta}": f"beta {beta}" for beta in (4, 80, 150)},
}
PICTURES: dict[str, tuple[dict[str, str], Callable[[dict[str, vaelib.VAE]], Figure]]] = {
    # name: its runs with their labels, and what draws their models
    "mnist-latents": (by_latents("mnist", (2, 4, 8, 16)), partial(beside, "mnist")),
    "mnist-prices": (MNIST_PRICES, partial(beside, "mnist")),
    "mnist-planes": (MNIST_PRICES, manifolds),
    "fashion-latents": (by_latents("fashion", (1, 2, 8, 16)), partial(beside, "fashion-mnist")),
    "fashion-beta3": (
        by_latents("fashion", (1, 2, 8, 16), "-beta3"),
        partial(beside, "fashion-mnist"),
    ),
    "fashion-planes": ({"fashion-z2": "beta 1", "fashion-z2-beta3": "beta 3"}, manifolds),
    "cifar10": (by_latents("cifar10", (8, 128)), partial(beside, "cifar10")),
    "sprites": ({"sprites": "sprites"}, traversals),
}


# which picture's rows the live figure cuts out; a run that stands in two is taken from the first
ROWS = ("mnist-latents", "mnist-prices", "fashion-latents", "fashion-beta3", "cifar10")


def strips() -> dict[str, dict]:
    """Where a run's reconstructions and samples are, and the images of its data: (l, u, r, l)."""
    found: dict[str, dict] = {}
    for picture in ROWS:
        for row, run in enumerate(PICTURES[picture][0], start=1):
            boxes = {"images": (0, 0), "reconstructions": (row, 0), "samples": (row, 1)}
            where = {name: strip_box(*box) for name, box in boxes.items()}
            found.setdefault(run, {"picture": f"11-{picture}.png", **where})
    return found


def draw() -> set[str]:
    """Every picture whose models are there; the names of those runs that are not."""
    missing: set[str] = set()
    for name, (labels, figure_of) in PICTURES.items():
        trained = models(list(labels))
        missing |= labels.keys() - trained.keys()
        if len(trained) == len(labels):
            figure = figure_of({labels[run]: model for run, model in trained.items()})
            save_picture(figure, f"11-{name}", DPI)
    return missing


def codes() -> dict:
    """How far the codes of photographs are from the prior, a model each.

    Of a run whose model is not here, as it was when it was.
    """
    path = RESULTS / "11-gallery.json"
    before = json.loads(path.read_text())["codes"] if path.exists() else {}
    photographed = models(["cifar10-z8", "cifar10-z128"])
    return before | {
        name: spread_of_codes(model, shown("cifar10")[:2000])
        for name, model in photographed.items()
    }


def spread_of_codes(model: vaelib.VAE, images: torch.Tensor) -> dict:
    """The median latent's deviation over ``images`` and the largest mean (the prior: 1 and 0).

    The deviation includes the noise of the encoder.
    """
    mean, log_var = metrics.encode(model, as_float(images))
    deviation = (mean.var(0) + log_var.exp().mean(0)).sqrt()
    return {
        "deviation": deviation.median().item(),
        "offset": mean.mean(0).abs().max().item(),
        "images": len(images),
    }


def learning_curves(rows: list[dict]) -> Figure:
    """-log p(x) of 1,000 test digits over training, a curve a k; the published values as lines."""
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


def since_before(measured: dict) -> dict:
    """The rows of the recipe before; what the VAE gained at its epochs, by the curves, in nats.

    And by how much the curve's digits are easier than all, 100 samples' bias apart.
    """
    now = literature.present(measured)
    recipe = now[0]["setting"]
    before = {str(row["k"]): row for row in measured["nll"] if row["setting"] != recipe}
    (vae,) = [row for row in now if row["k"] == 1]
    nll = {point["epoch"]: point["nll"] for point in vae["curve"]}
    old = before["1"]["curve"][-1]
    return {
        "nll_before": before,
        "nll_gained": old["nll"] - nll[old["epoch"]],
        "nll_first_digits": vae["nll"] - nll[vae["epochs"]],
    }


def of_densities(row: dict) -> dict:
    """Bits a pixel value and PSNR of a Gaussian model, from its terms in nats on [0, 1].

    A level is 1/255 wide, and the standard deviation many levels, so that a level's probability
    is its density times that. At the best standard deviation the reconstruction term is
    -D/2 (log(2 pi mse) + 1), which gives the mean square error of drawn codes.
    """
    values = 3 * 32 * 32
    mse = math.exp(2 * row["reconstruction"] / values - 1) / (2 * math.pi)
    bits = math.log2(255) - row["elbo"] / values / math.log(2)
    return {"bits": bits, "psnr": -10 * math.log10(mse), "grey_levels": 255 * math.sqrt(mse)}


def ship(rows: dict[str, dict]) -> None:
    """Three of the models, in half precision, and their cards, scored on the digits of mnist-5k."""
    data = vaelib.load("mnist-5k", binarize=True)
    for name, objective in SHIPPED.items():
        source = gallery.folder(name, NETWORK)
        if name not in rows or not run_folder.results(source):
            continue
        vaelib.save_model(
            vaelib.load_model(source / run_folder.MODEL),
            pretrained.FOLDER / f"{name}.safetensors",
            half=True,
        )
        row = rows[name]
        training = config.read(source / run_folder.CONFIG).hyperparameters
        history = [
            json.loads(line) for line in (source / run_folder.METRICS).read_text().splitlines()
        ]
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
            "scores": model_scores(vaelib.load_pretrained(name), data.test),
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


def others_of(row: dict, others: list[dict]) -> list[dict]:
    """The runs of ``others`` that differ from ``row`` by their seed."""
    return [o for o in others if (o["name"], o["network"]) == (row["name"], row["network"])]


def over_seeds(rows: list[dict]) -> str:
    """Mean ELBO and its standard error over runs of several seeds; of one run nothing."""
    if len(rows) == 1:
        return ""
    elbo = mean_and_error([row["elbo"] for row in rows])
    return f"{elbo['mean']:.1f} ± {elbo['error']:.1f} ({len(rows)} seeds)"


# pairs of runs that the page compares by their ELBO: the second's less the first's
GAINS = {
    "fashion-z16": ("fashion-z8", "fashion-z16"),
    "fashion-z1-beta3": ("fashion-z1", "fashion-z1-beta3"),
}


def elbos_by_seed(trained: dict) -> dict[str, dict[int, float]]:
    """The ELBO of each run of the compact networks, by name and seed."""
    found: dict[str, dict[int, float]] = {}
    for row in trained["runs"] + trained["other_seeds"]:
        if row["network"] != "original":
            found.setdefault(row["name"], {})[row["seed"]] = row["elbo"]
    return found


def seed_spread(trained: dict) -> dict[str, float]:
    """The standard deviation of the ELBO over seeds, of those runs that the page speaks of."""
    deviations = {
        name: spread(list(of_seeds.values()))["sd"]
        for name, of_seeds in elbos_by_seed(trained).items()
        if len(of_seeds) > 1
    }
    many = [sd for name, sd in deviations.items() if gallery.RUNS[name].latents in (8, 16)]
    return {
        "fashion_z1": deviations["fashion-z1"],
        "mnist_z2": deviations["mnist-z2"],
        "most_of_8_and_16": max(many),
    }


def gains(trained: dict) -> dict[str, dict]:
    """The gains of GAINS in nats, each over the seeds that both runs have."""
    elbos, found = elbos_by_seed(trained), {}
    for name, (first, second) in GAINS.items():
        seeds = sorted(elbos[first].keys() & elbos[second].keys())
        leads = [elbos[second][seed] - elbos[first][seed] for seed in seeds]
        found[name] = {**mean_and_error(leads), "seeds": len(seeds)}
    return found


def gallery_table(rows: list[dict], others: list[dict]) -> str:
    """The gallery as the page shows it, a row a run.

    Runs of other seeds, ``others``, give a column with mean ELBO and its standard error over seeds.
    """
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
    if others:
        columns.append("ELBO over seeds")
        for row, cells in zip(rows, shown):
            cells.append(over_seeds([row, *others_of(row, others)]))
    return markdown([columns, *shown])


def published_table(by_name: dict[str, dict], estimated: dict[str, dict]) -> str:
    """VAEs of both binarised data sets: the published -log p(x), and ours.

    ``estimated`` are the rows of our dense VAE, by data.
    """
    head = ["data", "VAE", r"$-\log\ptheta(\x)$", "minus ELBO", "epochs"]
    rows = [head]

    def bound(row: dict, digits: int = 1) -> str:
        return f"{-row['elbo']:.{digits}f}"

    for data, (nll, error) in PUBLISHED.items():
        theirs = "{cite:t}`norouzi2020exemplar`"
        rows.append([data, theirs, f"{nll:.2f} ± {error:.2f}", "", "up to 2,000"])
        dense = estimated[data]
        nll = f"{dense['nll']:.2f} ± {dense['nll_error']:.2f}"
        rows.append([data, "ours, dense", nll, bound(dense, 2), f"{dense['epochs']}"])
        (ours,) = [
            r for r in by_name.values() if (r["data"], r["latents"], r["beta"]) == (data, 16, 1)
        ]
        epochs = ours["length"].removesuffix(" epochs")
        rows.append([data, f"ours, `{ours['name']}`", "", bound(ours), epochs])
    return markdown(rows)


def main() -> None:
    trained = read_json(gallery.TABLE, gallery.SCRIPT)
    rows = trained["runs"]
    measured = read_json(literature.RESULTS, literature.SCRIPT)
    grey = read_json(grey_digits.RESULTS, grey_digits.SCRIPT)
    beside = read_json(RESULTS / f"{beside_pythae.STEM}.json", beside_pythae.SCRIPT)
    without_model = draw()
    by_name = {row["name"]: row for row in rows if row["network"] != "original"}
    ship(by_name)
    nll_by_k, nll_shorter = {}, {}
    for row in literature.present(measured):
        whole = row["of_epochs"] == literature.EPOCHS[row["k"]]
        (nll_by_k if whole else nll_shorter)[str(row["k"])] = row
    save_picture(learning_curves(list(nll_by_k.values())), "11-literature", DPI)
    estimated = {"MNIST": nll_by_k["1"], "Fashion-MNIST": measured["clothes"]}
    write_results(
        "11-gallery",
        {
            "setting": {
                "hardware": "; ".join(sorted({row["hardware"] for row in rows})),
                "torch": ", ".join(sorted({row["torch"] for row in rows})),
                "command": f"python {gallery.SCRIPT}",
            },
            "table": gallery_table(rows, trained["other_seeds"]),
            "gains": gains(trained),
            "seed_spread": seed_spread(trained),
            "literature": literature.table(measured),
            "photographs": literature.photograph_table(measured),
            "grey_digits": {**grey, "table": grey_digits.table(grey)},
            "hardware": sorted({row["hardware"] for row in rows}),
            "minutes": sum(row["seconds"] for row in rows) / 60,
            "runs": by_name,
            "codes": codes(),
            "strips": strips(),
            "nll_by_k": nll_by_k,
            "nll_shorter": nll_shorter,
            "nll_short": {str(row["k"]): row for row in literature.present(measured, short=True)},
            "published": {name: list(printed) for name, printed in PUBLISHED.items()},
            "published_table": published_table(by_name, estimated),
            "clothes": measured["clothes"],
            "beside": {
                **{
                    key: beside[key] for key in ("setting", "same_step", "own_weight", "step_costs")
                },
                "arms": beside_pythae.summary(beside),
                "table": beside_pythae.table(beside),
            },
            **since_before(measured),
            **{kind: measured[kind] for kind in (*literature.BITS_RUNS, "lines")},
            "dense_128": of_densities(by_name["cifar10-z128"]),
        },
    )
    if without_model:
        print(f"not drawn anew, their models are not here: {', '.join(sorted(without_model))}")
    if missing := gallery.RUNS.keys() - {row["name"] for row in rows}:
        print(f"not yet made: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()

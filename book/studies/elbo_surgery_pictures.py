"""Chapter 9's pictures, of the KL's parts of each kind of run."""

from __future__ import annotations

import math

import torch
from elbo_surgery_tables import COUNTS, KINDS, PARTS, ends, half_width, key_of
from in_use import mig_in_use
from matplotlib.figure import Figure

from vaelib.plots import COLOURS

BESIDE = {("beta-tcvae", 15): 40, ("falling-tcvae", 10): 88}  # where they stand on the axis of beta
MARKS = {
    "beta-vae": ("β-VAE, constant β", "o", 5),
    "falling-beta": ("β-VAE, falling β", "s", 3),
    "annealed-capacity": ("annealed capacity", "^", 8),
    "beta-tcvae": ("β-TCVAE", "D", 6),
    "falling-tcvae": ("β-TCVAE, falling", "v", 1),
}


def label(method: str, weight: float) -> str:
    return {
        "beta-vae": f"{weight:g}",
        "falling-beta": f"β falls\n40 → {weight:g}",
        "annealed-capacity": f"capacity\n{weight:g} nats",
        "beta-tcvae": f"β-TCVAE\n{weight:g}",
        "falling-tcvae": f"β-TCVAE\nfalling, {weight:g}",
    }[method]


def three_parts(results: dict, kinds: list[tuple]) -> Figure:
    """Stacked bars of the parts for every kind of run, and each part against beta."""
    figure = Figure(figsize=(11.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    kinds = sorted(kinds, key=lambda kind: (KINDS.index(kind[0]), kind[1]))
    places = [at + 0.4 * (kind[0] != "beta-vae") for at, kind in enumerate(kinds)]
    for at, kind in zip(places, kinds):
        bottom = 0.0
        for part, colour in PARTS:
            value = results[key_of(*kind)][part]
            name = words(part) if at == 0 else None
            left.bar(at, value["mean"], 0.8, bottom=bottom, color=COLOURS[colour], label=name)
            if value["mean"] > 0.55:
                middle, text = bottom + value["mean"] / 2, f"{value['mean']:.1f}"
                left.text(at, middle, text, ha="center", va="center", fontsize=9)
            bottom += max(0.0, value["mean"])
            if part == "information":
                width = half_width(results[key_of(*kind)], part)
                left.errorbar(at, bottom, width, color="black", capsize=3, lw=1)
    left.set_xticks(places, [label(*kind) for kind in kinds], fontsize=8.5)
    left.set(ylabel="nats per image", title="the rate in three parts")
    left.text(
        2, -0.16, "β-VAE, constant β", ha="center", va="top", transform=left.get_xaxis_transform()
    )
    left.legend(frameon=False)
    betas = (1, 2, 4, 8, 16)
    for part, colour in PARTS:
        kinds = [results[key_of("beta-vae", beta)] for beta in betas]
        mean, bar = [kind[part]["mean"] for kind in kinds], [bar_of(kind, part) for kind in kinds]
        right.errorbar(
            betas, mean, bar, color=COLOURS[colour], marker="o", capsize=3, label=words(part)
        )
        for kind, place in BESIDE.items():
            beside = results[key_of(*kind)]
            style = dict(color=COLOURS[colour], marker="D", ms=6, capsize=3)
            right.errorbar(place, beside[part]["mean"], bar_of(beside, part), **style)
    right.set_xscale("log", base=2)
    right.set_yscale("log")
    ticks = {**{beta: str(beta) for beta in betas}, **{at: label(*k) for k, at in BESIDE.items()}}
    right.set_xticks(list(ticks), list(ticks.values()), fontsize=8.5)
    right.minorticks_off()
    right.set_ylim(0.008, 20)
    right.set(xlabel="β", title="the same, each by itself (log scale)")
    right.grid(alpha=0.3)
    return figure


def bar_of(figures: dict, part: str) -> float:
    """Half the bracket or the seeds' deviation, whichever is the larger."""
    return max(half_width(figures, part), figures[part]["sd"])


def words(part: str) -> str:
    return {"dimension_wise": "dimension-wise KL"}.get(part, part.replace("_", " "))


def how_many_images(results: dict) -> Figure:
    """The two ends of each part of two models' KL, against the images used."""
    figure = Figure(figsize=(9.6, 3.5), layout="constrained")
    titles = {"plain": "the VAE, β = 1", "tcvae": "the β-TCVAE"}
    for axis, (key, title) in zip(figure.subplots(1, 2, sharey=True), titles.items()):
        rows = [results["images"][key][f"m{count}"] for count in COUNTS]
        for part, colour in PARTS:
            for end, style, name in (
                ("low", "o-", "these images alone"),
                ("high", "s--", "stratified"),
            ):
                values, name = [row[f"{part}_{end}"] for row in rows], f"{words(part)}, {name}"
                axis.plot(COUNTS, values, style, ms=4, color=COLOURS[colour], label=name)
        most = [math.log(count) for count in COUNTS]
        axis.plot(COUNTS, most, ":", color=COLOURS[8], label="log of the images used")
        axis.set(xscale="log", xlabel="images used", title=title)
        axis.axhline(0, color="black", lw=0.8)
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("nats")
    figure.axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def order_and_correlation(results: dict, rows: list[dict]) -> Figure:
    """Each run a mark: how far one latent in use holds a factor (MIG), over its kind's bracket.

    The bracket is that of the total correlation, the mean over the kind's runs.
    """
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axis = figure.subplots()
    for method, (name, marker, colour) in MARKS.items():
        for weight in sorted({row["weight"] for row in rows if row["method"] == method}):
            migs = [mig_in_use(r) for r in rows if (r["method"], r["weight"]) == (method, weight)]
            low, high = ends(results[key_of(method, weight)], "total_correlation")
            style = dict(color=COLOURS[colour], alpha=0.8)
            axis.plot([(low + high) / 2] * len(migs), migs, marker, ms=6, label=name, **style)
            axis.plot([low, high], [sum(migs) / len(migs)] * 2, "|-", lw=1.5, **style)
            name = None
    axis.set(xlabel="total correlation, nats", ylabel="MIG", ylim=(0, None), xlim=(-0.02, 4.5))
    axis.set_xscale("symlog", linthresh=0.5)
    axis.set_xticks([0, 0.25, 0.5, 1, 2, 4], ["0", "0.25", "0.5", "1", "2", "4"])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def mismatch(results: dict) -> Figure:
    """The distortion at each constant price: the least it could be, and what the decoder adds."""
    figure = Figure(figsize=(7.2, 3), layout="constrained")
    axis, betas = figure.subplots(), (16, 8, 4, 2, 1)
    for at, beta in enumerate(betas):
        kind = results[key_of("beta-vae", beta)]
        distortion = kind["reconstruction"]["mean"]
        least = results["image_entropy"] - kind["information"]["mean"]
        names = ("$H - I$, the least possible", "decoder mismatch") if at == 0 else (None, None)
        axis.barh(at, least, color=COLOURS[2], label=names[0])
        axis.barh(at, distortion - least, left=least, color=COLOURS[1], label=names[1])
        axis.errorbar(least, at, xerr=half_width(kind, "information"), color="black", capsize=3)
        axis.text(distortion + 0.6, at, f"$D$ = {distortion:.1f}", va="center", fontsize=9)
    axis.set_yticks(range(len(betas)), [f"β = {beta}" for beta in betas])
    axis.set(xlabel="nats per image", xlim=(0, 75))
    axis.legend(frameon=False, loc="upper right")
    return figure


def straightened(z: torch.Tensor, mean: torch.Tensor, sigma: float) -> torch.Tensor:
    """The map of prop:tc-free for a mixture of round clouds: (n, 2), of standard normal law."""
    below = torch.special.ndtr((z.unsqueeze(1) - mean) / sigma)
    log_weight = -((z[:, None, 0] - mean[:, 0]) ** 2) / (2 * sigma**2)
    weight = log_weight.softmax(1)  # of each cloud, given the first coordinate
    first, second = below[:, :, 0].mean(1), (weight * below[:, :, 1]).sum(1)
    return torch.special.ndtri(torch.stack([first, second], 1))


def bananas() -> Figure:
    """Four round clouds, and what the map makes of them that leaves no total correlation."""
    mean = torch.tensor([[-0.9, 0.0], [0.9, 0.0], [0.0, 1.5], [0.0, -1.5]]).double()
    sigma, turn = 0.6, torch.linspace(0, 2 * math.pi, 200, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()], 1)
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    titles = ("the encoder's clouds", "after the map: q(z) is the prior")
    maps = (lambda z: z, lambda z: straightened(z, mean, sigma))
    for axis, title, image in zip(figure.subplots(1, 2, sharey=True), titles, maps):
        for centre, colour in zip(mean, (1, 2, 3, 6)):
            for radius in (0.5, 1, 1.5):
                axis.plot(*image(centre + radius * sigma * circle).T, color=COLOURS[colour], lw=1.3)
        axis.set(title=title, xlim=(-3, 3), ylim=(-3, 3), xlabel="$z_1$", aspect="equal")
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("$z_2$")
    return figure

"""Chapter 9's pictures, of the KL's parts of each kind of run."""

from __future__ import annotations

import math

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

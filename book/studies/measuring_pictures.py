"""Chapter 10's pictures, of the runs of the study of sprites."""

from __future__ import annotations

import statistics

import numpy as np
from in_use import IN_USE, shown
from matplotlib.figure import Figure
from measuring_tables import AGREEMENT, LABELS, MIG, SCORES, label, rank_correlations, values

from vaelib.data.sprites import FACTOR_NAMES
from vaelib.plots import COLOURS

METHOD_COLOURS = dict(zip(LABELS, (5, 2, 4, 3, 6, 1)))


def draw_information(axis, run: dict, rows: list[int]) -> object:
    matrix = np.array(shown(run))[rows]
    picture = axis.imshow(matrix, cmap="Blues", vmin=0, vmax=0.8, aspect="auto")
    for row, shares in enumerate(matrix):
        if run["kl_per_dimension"][rows[row]] <= IN_USE:
            axis.axhspan(row - 0.5, row + 0.5, color="#dddddd")
            continue
        for column, share in enumerate(shares):
            if share >= 0.1:
                style = dict(fontsize=8, color="white" if share > 0.45 else "black")
                axis.text(column, row, f"{share:.2f}"[1:], ha="center", va="center", **style)
    axis.set_xticks(range(5), FACTOR_NAMES, rotation=60, ha="right", fontsize=9)
    axis.set_yticks([])
    return picture


def sorted_latents(run: dict) -> list[int]:
    """Latents in use first, by the factor of which each knows most; then those below 0.1 nats."""
    shares, kl = np.array(shown(run)), run["kl_per_dimension"]

    def place(j: int) -> tuple:
        return kl[j] <= IN_USE, int(shares[j].argmax()), -shares[j].max()

    return sorted(range(len(kl)), key=place)


def heatmaps(chosen: dict[str, dict], columns: int = 5) -> Figure:
    """What each latent can say of each factor, a panel a run, by its title; grey: not in use."""
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(2.35 * columns + 0.8, 3.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(chosen) :]:
        axis.set_axis_off()
    for axis, (title, run) in zip(axes.flat, chosen.items()):
        picture = draw_information(axis, run, sorted_latents(run))
        axis.set_title(title, fontsize=10)
    for axis in axes[:, 0]:
        axis.set_ylabel("latents")
    figure.colorbar(picture, ax=axes, label=r"$I(\mu_j; v_k) / H(v_k)$, at most $R_j / H(v_k)$")
    return figure


def all_scores(groups: dict[tuple, list[dict]], reference: dict) -> Figure:
    """A dot a run, a bar at the median, a row a setting; a panel a score."""
    panels = [key for key in SCORES if key != "dci_informativeness"]
    figure = Figure(figsize=(12.4, 0.8 + 0.34 * len(groups)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, key in zip(axes, panels):
        for row, (setting, runs) in enumerate(groups.items()):
            scores, colour = values(runs, key), COLOURS[METHOD_COLOURS[setting[0]]]
            axis.plot(scores, [row] * len(scores), "o", color=colour, ms=5, alpha=0.75, mew=0)
            median = [statistics.median(scores)] * 2
            axis.plot(median, [row - 0.35, row + 0.35], color="black", lw=1.6)
        made = key.removesuffix("_in_use")  # a code without a model has no latents out of use
        axis.axvline(reference["factors"][made], color=COLOURS[8], linestyle="--", lw=1)
        axis.axvline(reference["noise"][made], color=COLOURS[8], linestyle=":", lw=1)
        axis.set(title=SCORES[key], xlim=(-0.03, 1.04))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(groups)), [label(setting) for setting in groups])
    axes[0].invert_yaxis()
    return figure


def agreement(groups: dict[tuple, list[dict]], runs: list[dict]) -> Figure:
    """How the scores rank the runs against one another, and MIG against the FactorVAE score."""
    figure = Figure(figsize=(11.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    rho = rank_correlations(runs)
    picture = left.imshow(rho, cmap="RdBu", vmin=-1, vmax=1)
    for i, row in enumerate(rho):
        for j, value in enumerate(row):
            colour = "white" if abs(value) > 0.65 else "black"
            left.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    names = list(AGREEMENT.values())
    left.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    left.set_yticks(range(len(names)), names, fontsize=8)
    for line in (len(SCORES) - 0.5,):
        left.axhline(line, color="black", lw=0.8)
        left.axvline(line, color="black", lw=0.8)
    left.set_title(f"rank correlation over {len(runs)} runs")
    figure.colorbar(picture, ax=left, shrink=0.8)
    markers = dict(zip(LABELS, "osP^Dv"))
    for method in LABELS:
        mine = [run for setting, some in groups.items() if setting[0] == method for run in some]
        if mine:
            at = values(mine, "factor_vae"), values(mine, MIG)
            style = dict(s=34, alpha=0.8, linewidths=0, color=COLOURS[METHOD_COLOURS[method]])
            right.scatter(*at, marker=markers[method], label=method, **style)
    right.set(xlabel="FactorVAE score", ylabel="MIG", title="two scores, a mark a run")
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8)
    return figure

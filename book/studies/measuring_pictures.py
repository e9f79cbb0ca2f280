"""Chapter 10's pictures, of the runs of the study of sprites."""

from __future__ import annotations

import statistics

import numpy as np
import torch
from in_use import IN_USE, shown
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from measuring_tables import AGREEMENT, LABELS, MIG, SCORES, label, rank_correlations, values
from turning import rotation, standardised, turned_against

import vaelib
from vaelib import disentanglement, metrics
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


def turned(seeds: list[dict], images: int, angles: range = range(0, 46, 3)) -> Figure:
    """One model's lines of equal x and y, as trained and turned by hand; its MIG by the angle.

    Of the means of the latents in use. ``seeds``: runs of the same setting, a dot each.
    """
    model, sprites = (
        vaelib.load_pretrained("sprites-beta-vae"),
        vaelib.load("sprites", image_size=32),
    )
    drawn, factors = sprites.sample(images, torch.Generator().manual_seed(2026))
    in_use = metrics.kl_per_dimension(model, drawn) > IN_USE
    code = metrics.encode(model, drawn)[0][:, in_use].double()
    pair = disentanglement.mutual_information(code, factors)[:, 3:].sum(1).topk(2).indices
    plane = code[:, pair]
    degrees, straight = turned_against(standardised(plane), standardised(factors[:, 3:].double()))
    places = torch.cartesian_prod(torch.arange(1, 32, 3), torch.arange(1, 32, 3))
    grid = torch.cat([torch.tensor([1, 3, 0]).repeat(len(places), 1), places], 1)
    net = metrics.encode(model, sprites.images(grid))[0][:, in_use][:, pair].double()
    net = (net - plane.mean(0)) / plane.std(0) @ straight
    migs = []
    for angle in angles:
        code[:, pair] = standardised(plane) @ straight @ rotation(angle)
        migs.append(disentanglement.mig(code, factors))
    figure = Figure(figsize=(10.4, 3.5), layout="constrained")
    *nets, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    most = max(run["degrees"] for run in seeds)
    for axis, angle, title in zip(nets, (degrees, most), ("as trained", "turned by hand")):
        lines = (net @ rotation(angle)).unflatten(0, (11, 11))
        for way, colour, name in ((lines, 5, "x"), (lines.transpose(0, 1), 6, "y")):
            for line in way:
                axis.plot(*line.T, color=COLOURS[colour], lw=1.3)
            axis.plot([], [], color=COLOURS[colour], label=f"equal {name}")
        axis.set(xlim=(-3, 3), ylim=(-3, 3), xticks=(), yticks=(), aspect="equal")
        axis.set(title=f"{title}: {angle:.0f}°", xlabel="one latent", ylabel="another")
    nets[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower center")
    right.plot(list(angles), migs, color=COLOURS[8], label="one model, turned by hand")
    dots = [run["degrees"] for run in seeds], [run[MIG] for run in seeds]
    right.plot(*dots, "o", ms=8, color=COLOURS[METHOD_COLOURS["falling-beta"]], label="a seed each")
    right.set(xlabel="turned against x and y by, degrees", ylabel="MIG", ylim=(0, 0.5))
    right.grid(alpha=0.3)
    right.legend(frameon=False)
    return figure


def worth(measured: dict) -> Figure:
    """What knowing each factor saves, for each nat of code, against the prices of the study."""
    both, shape, turn = (measured[k] for k in ("shape_and_orientation", "shape", "orientation"))
    rows = {
        **{name: measured[name]["per_nat"] for name in ("x", "y", "scale")},
        "shape, orientation known": shape["per_nat"],
        "orientation, shape known": turn["per_nat"],
        "shape and orientation together": both["per_nat"],
        "shape, orientation unknown": measured["shape_alone"]["per_nat"],
        "orientation, shape unknown": (both["saves"] - shape["saves"]) / turn["nats"],
    }
    figure = Figure(figsize=(8.6, 3.2), layout="constrained")
    axis = figure.subplots()
    for row, saved in enumerate(rows.values()):
        axis.barh(row, saved, color=COLOURS[6 if saved < 4 else 5], height=0.62)
        blank = dict(fc="white", ec="none", pad=0.5)
        axis.text(saved + 0.2, row, f"{saved:.1f}", va="center", fontsize=9, bbox=blank)
    for price in (1, 4, 8, 16):
        axis.axvline(price, color="#555555", lw=1, ls=":", zorder=0.5)
        axis.text(price, -0.75, rf"$\beta = {price}$", ha="center", fontsize=9)
    axis.set_yticks(range(len(rows)), list(rows))
    axis.invert_yaxis()
    axis.set(xlabel="nats of distortion saved by each nat of code", xlim=(0, 28))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure


def loops() -> Figure:
    """Each shape turned once round, and its way through the two latents that move most.

    With pictures on it of a model with the constant price 1; and of one whose price fell to 4.
    """
    sprites = vaelib.load("sprites", image_size=32)
    some = sprites.sample(2000, torch.Generator().manual_seed(0))[0]
    models = {
        name: vaelib.load_pretrained(kept)
        for name, kept in ((r"$\beta=1$", "sprites-vae"), (r"$\beta\to4$", "sprites-beta-vae"))
    }
    colours = dict(zip(models, (5, 6)))
    figure = Figure(figsize=(9.6, 3.5), layout="constrained")
    shapes = enumerate(zip(("square", "ellipse", "heart"), (10, 20, 40), (2, 2, 5)))
    for axis, (shape, (word, period, step)) in zip(figure.subplots(1, 3), shapes):
        turns = torch.tensor([[shape, 5, turn, 16, 16] for turn in range(period)])
        images = sprites.images(turns)
        for name, model in models.items():
            path = metrics.encode(model, images)[0]
            in_use = metrics.kl_per_dimension(model, some) > IN_USE
            way = (path - path.mean(0))[:, (path.std(0) * in_use).topk(2).indices]
            line = torch.cat([way, way[:1]])
            style = dict(color=COLOURS[colours[name]], lw=1.4)
            axis.plot(*line.T, "o-", ms=3, **style, label=f"a code at {name}")
            if name == r"$\beta=1$":
                for at, image in list(zip(way.tolist(), images[:, 0, 7:25, 7:25]))[::step]:
                    stamp = OffsetImage(image.numpy(), zoom=1.4, cmap="gray_r")
                    frame = dict(ec="#aaaaaa", lw=0.5)
                    axis.add_artist(AnnotationBbox(stamp, at, pad=0.05, bboxprops=frame))
        axis.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal", xticks=(), yticks=())
        axis.set(xlabel="one latent", ylabel="another")
        axis.set_title(f"{word}: the same after {360 * period // 40}°", fontsize=10)
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    return figure

"""Chapter 8's pictures, of the runs of the study of sprites, the digits and a shipped model."""

from __future__ import annotations

import numpy as np
import torch
from beta_vae_tables import METHODS, OWN, PRICES, annealed, key_of, mean_capacity
from in_use import IN_USE, at_most, gaps_in_use
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image
from plane_models import FOLDER, SHOWN
from reporting import log_likelihoods

import vaelib
from vaelib import disentanglement, metrics
from vaelib.data.sprites import FACTOR_NAMES
from vaelib.models import draw_latents
from vaelib.plots import COLOURS, tiled


def curve(
    axis, groups: list[tuple[str, dict]], colour: int, label: str, place=(6, 5), line=":"
) -> None:
    """(rate, distortion) of each group, its deviations over the seeds, and its weight beside it."""
    rate, distortion = (
        [group[term]["mean"] for _, group in groups] for term in ("rate", "distortion")
    )
    deviations = dict(
        xerr=[group["rate"]["sd"] for _, group in groups],
        yerr=[group["distortion"]["sd"] for _, group in groups],
    )
    axis.errorbar(
        rate,
        distortion,
        **deviations,
        color=COLOURS[colour],
        fmt="o" + line,
        ms=5,
        capsize=2,
        label=label,
    )
    for (name, _), at in zip(groups, zip(rate, distortion)):
        axis.annotate(
            name, at, xytext=place, textcoords="offset points", fontsize=8, color=COLOURS[colour]
        )


def equal_elbo(axis, step: int) -> None:
    right, top = axis.get_xlim()[1], axis.get_ylim()[1]
    for elbo in range(step, 1000, step):
        axis.plot([0, right], [elbo, elbo - right], color="#cccccc", lw=0.7, zorder=0)
    axis.set(xlim=(0, right), ylim=(0, top))


def rate_distortion(results: dict, study: dict) -> Figure:
    """What a price buys, of sprites and of digits; whether gamma holds the rate at the capacity."""
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for name, colour in METHODS.values():
        if name == "fast":  # it would cover the slower one
            continue
        groups = [
            (k.removeprefix(name), g) for k, g in results["sprites"].items() if k.startswith(name)
        ]
        groups.sort(key=lambda pair: float(pair[0]))
        label = {
            "constant": r"constant $\beta$",
            "falling": r"$\beta$ falls",
            "capacity": "capacity C",
        }[name]
        curve(left, groups, colour, label)
    left.set(title=f"sprites, {results['study']['steps']} steps")
    curve(
        middle,
        [(f"{price:g}", results["digits"][key_of(price)]) for price in PRICES],
        5,
        r"constant $\beta$",
    )
    middle.set(title="digits, 3 seeds")
    for axis, step in ((left, 10), (middle, 20)):
        axis.set(xlabel="rate, nats", ylabel="distortion, nats")
        axis.set_xlim(0, 1.1 * axis.get_xlim()[1])
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
        equal_elbo(axis, step)
        axis.legend(frameon=False, fontsize=8)
    for run in annealed(study):
        right.plot(run["history"]["steps"], run["history"]["kl"], color=COLOURS[7], lw=4, alpha=0.5)
    at = study["runs"][0]["history"]["steps"]
    weight = annealed(study)[0]["weight"]
    right.plot(
        at,
        [mean_capacity(study, weight, step) for step in at],
        "--",
        color="black",
        label="capacity C",
    )
    right.plot([], [], color=COLOURS[7], lw=4, alpha=0.5, label="rate, each seed")
    right.set(title=r"sprites, $\gamma = 100$", xlabel="step", ylabel="nats", ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    return figure


def shipped(name: str) -> Figure:
    """A model's heatmap of latents against factors; beside each latent, what moving it does.

    Of drawn codes; latents that are not in use are grey.
    """
    model, sprites = vaelib.load_pretrained(name), vaelib.load("sprites", image_size=32)
    images, factors = sprites.sample(10_000, torch.Generator().manual_seed(0))
    codes = draw_latents(*metrics.encode(model, images), torch.Generator().manual_seed(0))
    start, _ = metrics.encode(model, sprites.images(torch.tensor([[2, 4, 0, 16, 16]])))
    rates = metrics.kl_per_dimension(model, images)
    order = rates.argsort(descending=True).tolist()
    matrix = disentanglement.mutual_information(codes, factors)
    matrix /= disentanglement.factor_entropy(factors)
    matrix = torch.tensor(at_most(matrix.tolist(), rates.tolist()))
    figure = Figure(figsize=(10.4, 0.62 * len(order) + 0.6))
    axis = figure.add_axes((0.1, 0.02, 0.36, 0.91))
    axis.imshow(matrix[order], cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(5), FACTOR_NAMES)
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(order)), [f"$z_{{{j + 1}}}$: {rates[j]:.2f} nats" for j in order])
    axis.tick_params(length=0)
    height = 0.91 / len(order)
    for row, latent in enumerate(order):
        if rates[latent] <= IN_USE:
            axis.axhspan(row - 0.5, row + 0.5, color="#dddddd")
            axis.get_yticklabels()[row].set_color("#777777")
        for column, value in enumerate(matrix[latent].tolist()):
            style = dict(fontsize=9, color="white" if value > 0.55 else "black")
            if rates[latent] > IN_USE:
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", **style)
        bottom = 0.02 + height * (len(order) - 1 - row) + 0.004
        beside = figure.add_axes((0.48, bottom, 0.51, height - 0.008))
        beside.imshow(moved(model, start, latent), cmap="gray_r", vmin=0, vmax=1)
        beside.set_axis_off()
    return figure


def moved(model: vaelib.VAE, start: torch.Tensor, latent: int) -> torch.Tensor:
    """A strip of nine images: ``start`` (1, d) decoded with one latent moved from -2.5 to 2.5."""
    z = start.repeat(9, 1)
    z[:, latent] = torch.linspace(-2.5, 2.5, 9)
    framed = torch.nn.functional.pad(model.decoded(z).squeeze(1), (1, 1, 1, 1), value=0.35)
    return framed.permute(1, 0, 2).flatten(1)


def seeds(study: dict, degrees: dict[int, float]) -> Figure:
    """The gap of scale, x and y of every run, of its latents in use, a dot a seed; below, the turn.

    ``degrees``: by seed, how far the falling price's two latents of position are turned.
    """
    columns = {}
    for run in study["runs"]:
        if run["method"] in METHODS:
            kind = list(METHODS).index(run["method"]), run["weight"]
            columns.setdefault(kind, []).append(gaps_in_use(run))
    names = (r"$\beta={:g}$", r"$\beta\to{:g}$", r"$\beta\to{:g}$, fast", r"$C={:g}$")
    figure = Figure(figsize=(11, 5), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.2, 1.9))
    for axis, factor in zip(upper.subplots(1, 3, sharey=True), ("scale", "x", "y")):
        for at, key in enumerate(sorted(columns)):
            values = [gaps[FACTOR_NAMES.index(factor)] for gaps in columns[key]]
            spots = [at + 0.08 * (seed - (len(values) - 1) / 2) for seed in range(len(values))]
            colour = COLOURS[list(METHODS.values())[key[0]][1]]
            axis.plot(spots, values, "o", ms=5, color=colour, alpha=0.85)
        axis.axhline(OWN, color=COLOURS[8], linestyle=":", lw=1)
        ticks = [names[kind].format(weight) for kind, weight in sorted(columns)]
        axis.set_xticks(range(len(columns)), ticks, rotation=45)
        axis.set(title=factor, ylim=(-0.03, 1))
        axis.grid(axis="x", alpha=0.2)
    upper.axes[0].set_ylabel("gap")
    falling = [run for run in study["runs"] if run["method"] == "falling-beta"]
    gaps = {run["seed"]: gaps_in_use(run) for run in falling}
    for axis, seed in zip(lower.subplots(1, len(degrees)), sorted(degrees)):
        turn = torch.tensor(degrees[seed]).deg2rad()
        across, along = turn.cos().item(), turn.sin().item()
        for (x, y), colour in zip(((across, along), (-along, across)), (5, 6)):
            arrow = dict(arrowstyle="-|>", color=COLOURS[colour], lw=2)
            axis.annotate("", (x, y), (-x, -y), arrowprops=arrow)
        axis.set(xlim=(-1.1, 1.1), ylim=(1.1, -1.1), xticks=(), yticks=(), aspect="equal")
        axis.set_title(
            f"{degrees[seed]:.0f}°, gaps {gaps[seed][3]:.2f}, {gaps[seed][4]:.2f}", fontsize=10
        )
    return figure


def switching_on(study: dict) -> Figure:
    """The KL of each latent over training, first seed, under five objectives."""
    shown = [
        ("beta-vae", 1, r"$\beta = 1$"),
        ("beta-vae", 4, r"$\beta = 4$"),
        ("beta-vae", 16, r"$\beta = 16$"),
    ]
    shown += [
        ("falling-beta", 4, r"$\beta$ falls to 4"),
        ("annealed-capacity", None, "rising capacity"),
    ]
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    for axis, (method, weight, title) in zip(figure.subplots(1, 5, sharey=True), shown):
        run = next(
            r for r in study["runs"] if r["method"] == method and weight in (None, r["weight"])
        )
        record = torch.tensor(run["history"]["kl_per_dimension"])
        for latent in range(record.shape[1]):
            used = record[-1, latent] > IN_USE
            style = dict(color=COLOURS[latent], lw=1.5) if used else dict(color="#bbbbbb", lw=0.8)
            axis.plot(run["history"]["steps"], record[:, latent], **style)
        axis.set_title(f"{title}: {int((record[-1] > IN_USE).sum())} in use", fontsize=10)
        axis.set_xlabel("step")
    figure.axes[0].set(ylabel="KL of each latent, nats", ylim=(0, None))
    return figure


def digits(results: dict) -> Figure:
    """What models of digits at five prices rebuild and draw, and how much of each is legible.

    The pictures are those of models-prices.png, seed 0; the shares are means over the seeds.
    """
    sheet = torch.from_numpy(np.array(Image.open(FOLDER / "models-prices.png")))
    test, *lines = sheet.unflatten(0, (-1, 28))
    shown = {price: line for price, line in zip(PRICES, lines) if price not in (0.5, 2)}
    half = 28 * len(SHOWN)
    figure = Figure(figsize=(9.6, 0.55 * (1 + len(shown))), layout="constrained")
    axes = figure.subplots(1 + len(shown), 2, gridspec_kw=dict(hspace=0.02, wspace=0.03))
    for axis in axes.flat:
        axis.set_axis_off()
    axes[0, 0].imshow(test[:, :half], cmap="gray_r", vmin=0, vmax=255)
    axes[0, 1].imshow(torch.zeros(28, half), cmap="gray_r", vmin=0, vmax=255)
    beside(axes[0, 0], -0.02, "image", "right")
    beside(axes[0, 1], 0.5, "drawn from the prior", "center")
    for axis in axes[0]:
        beside(axis, 1.01, "legible", "left")
    for pair, (price, line) in zip(axes[1:], shown.items()):
        made = results["digits"][key_of(price)]
        beside(pair[0], -0.02, rf"$\beta = {price:g}$", "right")
        for axis, part, kind in zip(pair, line.split(half, 1), ("reconstruction", "sample")):
            axis.imshow(part, cmap="gray_r", vmin=0, vmax=255)
            beside(axis, 1.01, f"{100 * made[f'legible_{kind}']['mean']:.0f} %", "left")
    return figure


def beside(axis, x: float, text: str, align: str) -> None:
    axis.text(x, 0.5, text, transform=axis.transAxes, ha=align, va="center", fontsize=11)


@torch.no_grad()
def best_codes(digit: int = 33, prices: tuple[int, ...] = (1, 4, 16, 64)) -> Figure:
    """The best code of one test digit at each price, over the plane of a shipped decoder.

    By thm:tilted on a grid; below each, eight draws from it, decoded.
    """
    data, model = vaelib.load("mnist-5k", binarize=True), vaelib.load_pretrained("digits-2")
    ticks = torch.linspace(-4, 4, 161)
    grid = torch.cartesian_prod(ticks, ticks)
    x = data.test[digit : digit + 1].float() / 255
    fit = log_likelihoods(model, x, grid).double()
    log_prior = torch.log_softmax(-grid.double().square().sum(1) / 2, 0)
    generator = torch.Generator().manual_seed(0)
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    axes = figure.subplots(2, len(prices) + 1, height_ratios=(2, 1))
    axes[0, 0].imshow(x[0, 0], cmap="gray_r")
    axes[0, 0].set_axis_off()
    axes[1, 0].set_axis_off()
    for (plane, drawn), price in zip(axes[:, 1:].T, prices):
        log_q = torch.log_softmax(log_prior + fit / price, 0)
        rate = (log_q.exp() * (log_q - log_prior)).sum()
        cloud = log_q.exp().view(161, 161).T.sqrt()
        plane.imshow(cloud, extent=(-4, 4, -4, 4), origin="lower", cmap="Blues")
        plane.add_patch(Circle((0, 0), 2, fill=False, ec="#999999", ls="--"))
        plane.set(xlim=(-3, 3), ylim=(-3, 3), xticks=(), yticks=())
        plane.set_title(rf"$\beta = {price}$: {rate:.1f} nats")
        z = grid[torch.multinomial(log_q.exp(), 8, replacement=True, generator=generator)]
        drawn.imshow(tiled(model.decoded(z), 4)[0], cmap="gray_r")
        drawn.set_axis_off()
    return figure

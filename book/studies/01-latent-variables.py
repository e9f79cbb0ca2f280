"""Chapter 1: an autoencoder's holes, and a latent-variable model without a recognition network.

python book/studies/01-latent-variables.py    about 2 minutes on 2 cores

Writes book/results/01-latent-variables.json: means over three seeds. And book/images/01-holes.png,
01-planes.png, 01-spaces.png and 01-cells.png.
"""

from __future__ import annotations

import math

import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Circle, ConnectionPatch
from reporting import image_path, machine, over_runs, write_results
from torch import nn
from torch.distributions import Normal

import vaelib
from vaelib import losses, plots

SEEDS = range(3)
BATCH_SIZE, CELLS, FINE = 100, 24, 100
AUTOENCODER_EPOCHS, MODEL_EPOCHS = 20, 15


def batches(data, epochs: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.train), generator=generator).split(BATCH_SIZE):
            yield vaelib.data.draw_binary(data.train[batch], generator).flatten(1), generator


def step(optimizer, loss) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def trained_autoencoder(data, seed: int):
    torch.manual_seed(seed)
    encoder = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 2)
    )
    decoder = nn.Sequential(
        nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 784)
    )
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    for x, _ in batches(data, AUTOENCODER_EPOCHS, seed):
        step(optimizer, -losses.bernoulli_log_likelihood(x, decoder(encoder(x))).mean())
    return encoder, decoder


def prior_cells(side: int, generator=None):
    corners = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    inside = 0.5 if generator is None else torch.rand(side * side, 2, generator=generator)
    return torch.special.ndtri(((corners + inside) / side).clamp(1e-6, 1 - 1e-6))


def log_likelihoods(x, logits):
    return x @ logits.T - nn.functional.softplus(logits).sum(1)


def trained_model(data, seed: int):
    torch.manual_seed(seed)
    decoder = nn.Sequential(
        nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784)
    )
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3)
    for x, generator in batches(data, MODEL_EPOCHS, seed):
        terms = log_likelihoods(x, decoder(prior_cells(CELLS, generator)))
        step(optimizer, -(terms.logsumexp(1) - math.log(CELLS**2)).mean())
    return decoder


def pictures(decoder, codes):
    return decoder(codes).sigmoid()


def shares(data, images) -> dict:
    """Largest and smallest share of a digit, in per cent.

    A picture counts for the digit of the nearest training image.
    """
    nearest = torch.cdist(images, data.train.flatten(1) / 255).argmin(1)
    counted = 100 * torch.bincount(data.train_labels[nearest], minlength=10) / len(images)
    return {"largest_share": counted.max().item(), "smallest_share": counted.min().item()}


@torch.no_grad()
def autoencoder_scores(data, encoder, decoder, seed: int) -> dict:
    x = data.test.flatten(1) / 255
    codes, test_codes = encoder(data.train.flatten(1) / 255), encoder(x)
    generator = torch.Generator().manual_seed(seed)
    low, high = codes.min(0).values, codes.max(0).values
    uniform = low + (high - low) * torch.rand(2000, 2, generator=generator)
    fitted = (
        codes.mean(0)
        + torch.randn(2000, 2, generator=generator) @ torch.linalg.cholesky(torch.cov(codes.T)).T
    )

    def nearest(z):
        return torch.cdist(z, codes).min(1).values

    far = nearest(test_codes).quantile(0.99)
    return {
        "test_loss": -losses.bernoulli_log_likelihood(x, decoder(test_codes)).mean().item(),
        "width": (high - low).max().item(),
        "empty": 100 * (nearest(uniform) > far).float().mean().item(),
        "fitted_far": 100 * (nearest(fitted) > far).float().mean().item(),
        **shares(data, pictures(decoder, uniform)),
        **{f"fitted_{k}": v for k, v in shares(data, pictures(decoder, fitted)).items()},
    }


@torch.no_grad()
def model_scores(data, decoder, seed: int) -> dict:
    terms = log_likelihoods(data.test.flatten(1) / 255, decoder(prior_cells(FINE)))
    mass = torch.softmax(terms, 1)
    rho = (mass**2).sum(1) * FINE**2
    z = torch.randn(2000, 2, generator=torch.Generator().manual_seed(seed))
    return {
        "log_likelihood": (terms.logsumexp(1) - math.log(FINE**2)).mean().item(),
        "kl": (mass * (mass * FINE**2).clamp(min=1e-30).log()).sum(1).mean().item(),
        "median_rho": rho.median().item(),
        **shares(data, pictures(decoder, z)),
    }


def gaussian_model() -> dict:
    """The relative variance of a draw, and the error of log estimates, at x = 0.

    There the answers are known.
    """

    def log_ratio(n, d, sigma, generator):
        z = torch.randn(n, d, generator=generator, dtype=torch.float64)
        return -(z**2).sum(-1) / (2 * sigma**2) + d / 2 * math.log((1 + sigma**2) / sigma**2)

    growth = {}
    for d in (2, 4, 8, 12):
        generator = torch.Generator().manual_seed(d)
        squares = torch.stack(
            [torch.exp(2 * log_ratio(50_000, d, 0.5, generator)).mean() - 1 for _ in range(20)]
        )
        growth[f"d{d}"] = {
            "measured": squares.mean().item(),
            "standard_error": (squares.std() / 20**0.5).item(),
            "derived": (5 / 3) ** d - 1,
        }
    typical = {}
    for d in (2, 4, 8, 16):
        generator = torch.Generator().manual_seed(d)
        errors = log_ratio(200 * 1000, d, 0.1, generator).reshape(200, 1000).logsumexp(
            1
        ) - math.log(1000)
        typical[f"d{d}"] = {"median": errors.median().item(), "best": errors.max().item()}
    return {"growth": growth, "typical": typical}


def apart(midpoints, codes, n: int = 12):
    """The ``n`` midpoints with the largest empty circles round them that do not overlap.

    A circle is empty when no code lies in it.
    """
    room = torch.cdist(midpoints, codes).min(1).values
    left, chosen = room.clone(), []
    for _ in range(n):
        best = left.argmax()
        chosen.append(midpoints[best])
        left[(midpoints - chosen[-1]).norm(dim=1) < room[best] + room] = 0
    return torch.stack(chosen)


@torch.no_grad()
def draw_pictures(data, encoder, decoder, model) -> None:
    codes = encoder(data.train.flatten(1) / 255)
    pairs = torch.randint(len(codes), (2, 5000), generator=torch.Generator().manual_seed(1))
    midpoints = (codes[pairs[0]] + codes[pairs[1]]) / 2
    holes = apart(midpoints, codes)

    figure = Figure(figsize=(10, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for digit in range(10):
        dots = codes[data.train_labels == digit].T
        left.scatter(
            *dots, s=5, color=plots.COLOURS[digit], label=str(digit), alpha=0.6, linewidths=0
        )
    left.scatter(*holes.T, marker="x", color="black", s=45, linewidths=1.8)
    for number, place in enumerate(holes.tolist(), start=1):
        left.annotate(
            str(number),
            place,
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=10,
            fontweight="bold",
        )
    left.set(xlabel="first code", ylabel="second code")
    left.legend(frameon=False, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5))
    right.imshow(plots.tiled(pictures(decoder, holes).view(-1, 1, 28, 28), 4)[0], cmap="gray_r")
    for i in range(12):
        right.text(
            28 * (i % 4) + 1,
            28 * (i // 4) + 4,
            str(i + 1),
            fontsize=10,
            fontweight="bold",
            va="center",
        )
    right.set_title("what the decoder makes of the crosses", fontsize=11)
    right.set_axis_off()
    figure.savefig(image_path("01-holes.png"), dpi=110)

    side, low, high = 16, codes.min(0).values, codes.max(0).values
    rectangle = torch.cartesian_prod(
        torch.linspace(high[1], low[1], side), torch.linspace(low[0], high[0], side)
    ).flip(1)
    figure = Figure(figsize=(10, 5.3), layout="constrained")
    titles = (
        "autoencoder: the rectangle of its codes",
        "latent-variable model: equal shares of the prior",
    )
    planes = ((decoder, rectangle), (model, plots.manifold_grid(side)))
    for axis, title, (network, grid) in zip(figure.subplots(1, 2), titles, planes):
        axis.imshow(
            plots.tiled(pictures(network, grid).view(-1, 1, 28, 28), side)[0], cmap="gray_r"
        )
        axis.set_title(title, fontsize=11)
        axis.set_axis_off()
    figure.savefig(image_path("01-planes.png"), dpi=110)


def ring(z):
    """The decoder's mean of the notebook's model with one latent and an image of two pixels."""
    return 1.5 * torch.stack([torch.sin(1.8 * z), -torch.cos(1.8 * z)], -1)


def ring_densities(x, noise: float = 0.3):
    """A grid of latents, its step, the prior there, and p(x | z) of points x (N, 2): (N, 801)."""
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)
    log_likelihood = Normal(ring(z), noise).log_prob(x.unsqueeze(1)).sum(-1)
    return z, z[1] - z[0], Normal(0.0, 1.0).log_prob(z).exp(), log_likelihood.exp()


def draw_spaces() -> None:
    """The ring: latent space with prior and a posterior, data space with both maps, and p(x)."""
    x, span, blue, orange = torch.tensor([[0.0, 1.6]]), 2.6, plots.COLOURS[5], plots.COLOURS[6]
    z, step, prior, likelihood = ring_densities(x)
    posterior = likelihood[0] * prior / (likelihood[0] * prior * step).sum()
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    latent, data, total = figure.subplots(1, 3, width_ratios=(1, 1.15, 1.15))
    latent.fill_between(z, prior, color="0.82", label="prior p(z)")
    latent.plot(z, posterior / 4, color=orange, label="posterior p(z | ★), a quarter as high")
    latent.set(xlim=(-3.2, 3.2), ylim=(-0.1, 0.62), xlabel="z", yticks=[], title="latent space")
    latent.legend(frameon=False, fontsize=9, loc="upper center")
    shown = torch.linspace(-1.6, 1.6, 9, dtype=torch.float64)
    colours = colormaps["viridis"]((shown + 1.8) / 3.6)
    latent.scatter(shown, torch.full_like(shown, -0.045), c=colours, s=45, zorder=3)
    data.plot(*ring(torch.linspace(-1.745, 1.745, 200)).T, color="0.75")
    for at, colour in zip(shown, colours):
        shade = 0.08 + 0.5 * math.exp(-(at.item() ** 2) / 2)
        data.add_patch(Circle(ring(at).tolist(), 0.6, color=colour, alpha=shade, lw=0))
        data.scatter(*ring(at), color=[colour], s=45, zorder=3)
    data.scatter(*x[0], marker="*", color=orange, s=170, zorder=4)
    data.set_title("data space: p(x | z), as dark as p(z)")
    for z_there, x_there, words, colour, bend in (
        (shown[6], ring(shown[6]), "decoder", blue, 0.3),
        (-1.72, (-0.1, 1.62), "", orange, -0.35),
        (1.72, (-0.1, 1.62), "back, by Bayes' rule", orange, -0.15),
    ):
        forth = colour == blue
        ends = [(float(z_there), -0.045 if forth else 0.46), [float(v) for v in x_there]]
        spaces = [latent.transData, data.transData]
        if not forth:
            ends, spaces = ends[::-1], spaces[::-1]
        figure.add_artist(
            ConnectionPatch(
                *ends,
                *spaces,
                arrowstyle="-|>",
                connectionstyle=f"arc3,rad={bend}",
                color=colour,
                lw=1.6,
                mutation_scale=14,
                shrinkA=5,
                shrinkB=5,
                zorder=5,
            )
        )
        if words:
            place = (0.15, -2.45) if forth else (-2.45, 2.2)
            data.text(*place, words, color=colour, fontsize=10)
    ticks = torch.linspace(-span, span, 140, dtype=torch.float64)
    _, _, prior, likelihood = ring_densities(torch.cartesian_prod(ticks, ticks))
    density = (likelihood * prior * step).sum(1).view(140, 140).T
    extent = (-span, span, -span, span)
    total.imshow(density, origin="lower", extent=extent, cmap="Blues")
    generator = torch.Generator().manual_seed(3)
    codes = torch.randn(300, generator=generator, dtype=torch.float64)
    drawn = ring(codes) + 0.3 * torch.randn(300, 2, generator=generator, dtype=torch.float64)
    total.scatter(*drawn.T, s=5, color="black", lw=0)
    total.set_title("their sum p(x), and 300 draws")
    for axis in (data, total):
        axis.set(xlim=(-span, span), ylim=(-span, span), aspect="equal", xlabel="$x_1$")
    data.set_ylabel("$x_2$")
    figure.savefig(image_path("01-spaces.png"), dpi=110)


def draw_cells() -> None:
    """The cells of equal prior mass, once as shares of the prior and once in the plane of codes."""
    figure = Figure(figsize=(8, 4.1), layout="constrained")
    shares, plane = figure.subplots(1, 2)
    codes = prior_cells(CELLS, torch.Generator().manual_seed(0))
    edges = torch.arange(CELLS + 1) / CELLS
    walls = torch.special.ndtri(edges).clamp(-4, 4)
    for axis, lines, dots in (
        (shares, edges, torch.special.ndtr(codes)),
        (plane, walls, codes),
    ):
        for line in lines.tolist():
            axis.axhline(line, color="0.8", lw=0.6)
            axis.axvline(line, color="0.8", lw=0.6)
        axis.scatter(*dots.T, s=5, color=plots.COLOURS[5], lw=0)
        axis.set_aspect("equal")
    shares.set(xlim=(0, 1), ylim=(0, 1), title="shares of the prior")
    shares.set(xlabel="mass to the left of $z_1$", ylabel="mass below $z_2$")
    plane.set(
        xlim=(-3, 3), ylim=(-3, 3), xlabel="$z_1$", ylabel="$z_2$", title="the plane of codes"
    )
    figure.savefig(image_path("01-cells.png"), dpi=110)


def main() -> None:
    draw_spaces()
    draw_cells()
    data = vaelib.load("mnist-5k", binarize=True)
    autoencoder_runs, model_runs = [], []
    for seed in SEEDS:
        encoder, decoder = trained_autoencoder(data, seed)
        autoencoder_runs.append(autoencoder_scores(data, encoder, decoder, seed))
        model = trained_model(data, seed)
        model_runs.append(model_scores(data, model, seed))
        print(seed, autoencoder_runs[-1], model_runs[-1], flush=True)
        if seed == 0:
            draw_pictures(data, encoder, decoder, model)
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once)",
            "autoencoder_epochs": AUTOENCODER_EPOCHS,
            "model_epochs": MODEL_EPOCHS,
            "batch_size": BATCH_SIZE,
            "seeds": len(SEEDS),
            **machine("cpu"),
        },
        "autoencoder": over_runs(autoencoder_runs),
        "model": over_runs(model_runs),
        **gaussian_model(),
    }
    write_results("01-latent-variables", results)


if __name__ == "__main__":
    main()

"""Chapter 2: the two directions of the KL divergence, and what the latents of a model pay.

python book/studies/02-gaussian-kl.py    about 2 minutes on 2 cores; writes
                                         book/results/02-gaussian-kl.json and
                                         book/images/02-two-directions.png and 02-price-map.png

The fits are computed on a grid in double precision and need no seed; the models are trained with
each of three seeds.
"""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from reporting import image_path, machine, over_runs, write_results
from torch import Tensor
from torch.distributions import Normal

import vaelib
from vaelib import ConvSpec, losses, metrics
from vaelib.plots import COLOURS

SEEDS = range(3)
EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 100, 2e-3
CONVS = (ConvSpec(16), ConvSpec(32))

LINE = torch.linspace(-14, 14, 1401, dtype=torch.float64)
STARTS = [(-3.0, 1.0), (3.0, 1.0), (0.1, -1.0), (0.0, 1.5)]  # mean and log standard deviation
PATHS = (COLOURS[1], COLOURS[5], COLOURS[7], COLOURS[3])


def log_normal(mean: Tensor, log_sd: Tensor) -> Tensor:
    """Log-densities on the grid, one row for each mean and log standard deviation."""
    return Normal(mean[..., None], log_sd.exp()[..., None]).log_prob(LINE)


def two_bumps(distance: float, weight: float = 0.6, sd: float = 0.6) -> Tensor:
    """Log-density on the grid of the mixture with bumps at -distance (``weight``) and distance."""
    centres = torch.tensor([-distance, distance], dtype=torch.float64)
    weights = torch.tensor([[weight], [1 - weight]], dtype=torch.float64)
    return (log_normal(centres, torch.full_like(centres, math.log(sd))) + weights.log()).logsumexp(
        0
    )


def divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) by adding up the integrand on the grid (eq:kl-def)."""
    return (log_q.exp() * (log_q - log_p)).sum(-1) * (LINE[1] - LINE[0])


def forward(mean: Tensor, log_sd: Tensor, log_p: Tensor) -> Tensor:
    return divergence(log_p, log_normal(mean, log_sd))


def reverse(mean: Tensor, log_sd: Tensor, log_p: Tensor) -> Tensor:
    return divergence(log_normal(mean, log_sd), log_p)


def descend(objective, log_p: Tensor, starts, steps: int = 700) -> Tensor:
    """Paths (steps + 1, starts, 2) of Adam on (mean, log sd)."""
    parameters = torch.tensor(starts, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], lr=0.05)
    path = [parameters.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        objective(*parameters.T, log_p).sum().backward()
        optimizer.step()
        path.append(parameters.detach().clone())
    return torch.stack(path)


def described(fit: Tensor, log_p: Tensor) -> dict:
    mean, log_sd = fit
    return {
        "mean": mean.item(),
        "sd": log_sd.exp().item(),
        "variance": (2 * log_sd).exp().item(),
        "forward": forward(mean, log_sd, log_p).item(),
        "reverse": reverse(mean, log_sd, log_p).item(),
    }


def valleys(distance: float) -> list[dict]:
    """The different ends of reverse descents from many starts, the best first."""
    log_p = two_bumps(distance)
    starts = [
        (m, s)
        for m in (-distance, -0.5 * distance, 0.0, 0.5 * distance, distance)
        for s in (-0.6, 0.1, 0.8)
    ]
    fits: list[dict] = []
    for end in descend(reverse, log_p, starts, steps=1500)[-1]:
        fit = described(end, log_p)
        if all(abs(fit["mean"] - f["mean"]) + abs(fit["sd"] - f["sd"]) > 0.05 for f in fits):
            fits.append(fit)
    return sorted(fits, key=lambda f: f["reverse"])


def components(log_p: Tensor, sd: float = 0.6) -> dict:
    """The bumps themselves, not fitted, as ``q``: what overlap takes off -log of their weights."""
    at = {"left": -2.0, "right": 2.0}
    return {
        name: described(torch.tensor([mean, math.log(sd)], dtype=torch.float64), log_p)
        for name, mean in at.items()
    }


def trained(data, beta: float, seed: int) -> tuple[vaelib.VAE, str]:
    """The notebook's model of digits, and the device that trained it."""
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, 16, convs=CONVS, hidden=256)
    history = vaelib.fit(
        model,
        data,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        beta=beta,
        seed=seed,
    )
    return model, history.device


def per_latent(beta: float) -> tuple[dict, str]:
    """What the 16 latents of a trained model pay for the test images, over the seeds.

    And the device that trained.
    """
    data, runs = vaelib.load("mnist-5k", binarize=True), []
    for seed in SEEDS:
        model, device = trained(data, beta, seed)
        kl = metrics.kl_per_dimension(model, data.test)
        runs.append(
            {
                "kl": kl.sum().item(),
                "cheap": int((kl < 0.1).sum()),
                "largest": kl.max().item(),
                "elbo": metrics.elbo(model, data.test, samples=10).mean().item(),
            }
        )
        print(beta, seed, runs[-1], flush=True)
    return over_runs(runs), device


def picture(log_p: Tensor, paths: dict[str, Tensor]) -> Figure:
    """The two landscapes with the descents on them, and the fits below."""
    mean, log_sd = torch.meshgrid(
        torch.linspace(-4, 4, 121, dtype=torch.float64),
        torch.linspace(math.log(0.3), math.log(5.5), 81, dtype=torch.float64),
        indexing="xy",
    )
    figure = Figure(figsize=(8.6, 6), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=(3, 2))
    titles = {"forward": "forward: KL(p ‖ q)", "reverse": "reverse: KL(q ‖ p)"}
    for (upper, lower), (name, title), objective in zip(axes.T, titles.items(), (forward, reverse)):
        surface = objective(mean, log_sd, log_p)
        above = torch.tensor([0.03, 0.1, 0.25, 0.45, 0.6, 0.8, 1.2, 2, 4, 8, 16])
        levels, style = (surface.min() + above).tolist(), dict(colors="#aaaaaa", linewidths=0.8)
        upper.contour(mean, log_sd.exp(), surface, levels, **style)
        lower.fill_between(LINE, log_p.exp(), color="#dddddd")
        for colour, path in zip(PATHS, paths[name].unbind(1)):
            (*_, (end_mean, end_log_sd)), sds = path, path[:, 1].exp()
            upper.plot(path[:, 0], sds, color=colour, linewidth=1.6)
            upper.plot(path[0, 0], sds[0], "o", color=colour, markerfacecolor="white")
            upper.plot(end_mean, sds[-1], "*", color=colour, markersize=13, markeredgecolor="black")
            lower.plot(LINE, log_normal(end_mean, end_log_sd).exp(), color=colour, linewidth=1.6)
        upper.set(title=title, yscale="log", xlabel="mean of q")
        upper.set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        upper.minorticks_off()
        lower.set(xlim=(-5, 5), ylim=(0, 0.72), xlabel="z", yticks=[])
    axes[0, 0].set_ylabel("standard deviation of q")
    axes[1, 0].set_ylabel("p (grey) and the fits")
    return figure


def price_map() -> tuple[Figure, dict]:
    """Lines of equal price over mean and deviation, its pull, and two latents of 60 test digits.

    Of a model whose training counted each nat of KL four times, so that it must economise.
    """
    data = vaelib.load("mnist-5k", binarize=True)
    mean, log_var = metrics.encode(trained(data, 4.0, 0)[0].cpu(), data.test)
    kl = losses.kl_to_standard_normal_per_dimension(mean, log_var).mean(0)
    dearest, cheapest = int(kl.argmax()), int(kl.argmin())
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    across, up = (
        torch.linspace(low, high, 121)
        for low, high in ((-3.0, 3.0), (math.log(0.05), math.log(3.0)))
    )
    at, log_sd = torch.meshgrid(across, up, indexing="xy")
    price = losses.kl_to_standard_normal_per_dimension(at, 2 * log_sd)
    levels = [0.05, 0.2, 0.5, 1, 1.5, 2, 3, 4, 6]
    lines = axis.contour(at, log_sd.exp(), price, levels, colors=COLOURS[8], linewidths=0.9)
    axis.clabel(lines, fmt="%g", fontsize=8)
    at, log_sd = (t[7::15, 6::12] for t in (at, log_sd))
    pull = (-at, 1 - (2 * log_sd).exp())  # minus the slopes in the mean and in log sd
    axis.quiver(at, log_sd.exp(), *pull, color="#777777", angles="uv", width=0.003, scale=60)
    looks = ((dearest, COLOURS[6], "o", "pays most"), (cheapest, COLOURS[3], "s", "pays least"))
    for latent, colour, marker, label in looks:
        sd = (log_var[:60, latent] / 2).exp()
        axis.plot(mean[:60, latent], sd, marker, color=colour, alpha=0.7, ms=4, label=label)
    axis.plot(0, 1, "*", color="black", markersize=11)
    axis.set(yscale="log", xlabel="mean", ylabel="standard deviation")
    ticks = (0.05, 0.1, 0.2, 0.5, 1, 2)
    axis.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.legend(loc="lower center", ncols=2, fontsize=9)
    paid = {"dearest": kl[dearest].item(), "cheapest": kl[cheapest].item()}
    return figure, paid


def main() -> None:
    log_p = two_bumps(2.0)
    paths = {"forward": descend(forward, log_p, STARTS), "reverse": descend(reverse, log_p, STARTS)}
    distances = {}
    for distance in (0.6, 1.0, 1.2, 1.4, 1.6, 2.0):
        fits = valleys(distance)
        row = {"distance": distance, "valleys": len(fits), "best": fits[0]}
        distances[f"d{round(10 * distance)}"] = row
    beta1, device = per_latent(1.0)
    beta4, _ = per_latent(4.0)
    drawn, paid = price_map()
    results = {
        "setting": {
            "fits": "quadrature on 1,401 points from -14 to 14, float64, "
            "Adam with learning rate 0.05; no randomness",
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once)",
            "latents": 16,
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "seeds": len(SEEDS),
            **machine(device),
        },
        "forward": described(paths["forward"][-1, 0], log_p),
        "left": described(paths["reverse"][-1, 0], log_p),
        "right": described(paths["reverse"][-1, 1], log_p),
        "middle": described(paths["reverse"][-1, 3], log_p),
        "components": components(log_p),
        "distances": distances,
        "beta1": beta1,
        "beta4": beta4,
        "price_map": paid,
    }
    write_results("02-gaussian-kl", results)
    picture(log_p, paths).savefig(image_path("02-two-directions.png"), dpi=110)
    drawn.savefig(image_path("02-price-map.png"), dpi=110)


if __name__ == "__main__":
    main()

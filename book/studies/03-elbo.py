"""Chapter 3: how far the ELBO lies below log p(x), over three seeds, and how it climbs.

python book/studies/03-elbo.py    about 10 minutes on 2 cores; writes book/results/03-elbo.json and
                                  book/images/03-*.png: elbo-climb, clouds and bounds
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from reporting import (
    image_path,
    log_likelihoods,
    machine,
    over_runs,
    save_picture,
    write_results,
)
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.nn.functional import softplus

import vaelib
from vaelib import ConvSpec, losses, metrics
from vaelib.plots import COLOURS

DEVICE = "cpu"
CLOUDS = "digits-2"  # the shipped model whose posteriors are drawn
ONE = 35  # the test digit whose weights are
SEEDS = range(3)
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 100, 2e-3
CONVS = (ConvSpec(16, 4, 2, 1), ConvSpec(32, 4, 2, 1))
SAMPLES = (1, 10, 100, 1000)
EXTENT, SPACING, WINDOW = (
    5.0,
    0.025,
    60,
)  # a grid over [-5, 5]^2; half the side of an image's window, in cells


def axis_points() -> torch.Tensor:
    return torch.arange(-round(EXTENT / SPACING), round(EXTENT / SPACING) + 1) * SPACING


@torch.no_grad()
def log_joint_on_grid(model, images) -> torch.Tensor:
    """log p(x, z) of every image at every point of the grid: (N, side, side) nats."""
    axis, pixels = axis_points(), images.flatten(1)
    columns = []
    for first in axis:  # one line of the grid at a time
        z = torch.stack([first.expand(len(axis)), axis], 1)
        logits = model.decode(z).flatten(1)
        log_prior = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
        columns.append(pixels @ logits.T - softplus(logits).sum(1) + log_prior)
    return torch.stack(columns, 1)


def normal_on(first, second, mean, log_std) -> torch.Tensor:
    """Log-density of a diagonal normal on each image's window: (N, 2W+1, 2W+1)."""
    parts = [
        -0.5 * ((points - mean[:, [j]]) / log_std[:, [j]].exp()).square()
        - log_std[:, [j]]
        - 0.5 * math.log(2 * math.pi)
        for j, points in enumerate((first, second))
    ]
    return parts[0].unsqueeze(2) + parts[1].unsqueeze(1)


def window(log_posterior, centre) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The two axes and the table of log p(z | x) on the window round each ``centre`` (N, 2)."""
    middle = (
        ((centre + EXTENT) / SPACING)
        .round()
        .long()
        .clamp(WINDOW, log_posterior.shape[1] - 1 - WINDOW)
    )
    cells = middle.unsqueeze(2) + torch.arange(-WINDOW, WINDOW + 1)
    rows = torch.arange(len(centre)).view(-1, 1, 1)
    first, second = axis_points()[cells[:, 0]], axis_points()[cells[:, 1]]
    return first, second, log_posterior[rows, cells[:, 0].unsqueeze(2), cells[:, 1].unsqueeze(1)]


def fitted_gap(log_posterior, mean, log_std, steps: int = 150) -> tuple[torch.Tensor, torch.Tensor]:
    """KL(q || posterior), (N,) nats, of the diagonal normals given, and of those fitted to it."""
    first, second, table = window(log_posterior, mean)

    def gap(shift, stretch):
        log_q = normal_on(first, second, mean + shift * log_std.exp(), log_std + stretch)
        return (log_q.exp() * (log_q - table)).sum((1, 2)) * SPACING**2

    shift, stretch = (torch.zeros_like(mean, requires_grad=True) for _ in range(2))
    given = gap(shift, stretch).detach()
    optimizer = torch.optim.Adam([shift, stretch], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = gap(shift, stretch).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return given, gap(shift, stretch).detach()


def peak(log_posterior) -> tuple[torch.Tensor, torch.Tensor]:
    """Where each posterior is highest on the grid, and the log of its deviations round there."""
    side = log_posterior.shape[1]
    highest = log_posterior.flatten(1).argmax(1)
    centre = axis_points()[torch.stack([highest // side, highest % side], 1)]
    first, second, table = window(log_posterior, centre)
    mass = table.flatten(1).softmax(1).view_as(table)
    variances = [
        (marginal * points.square()).sum(1) - (marginal * points).sum(1).square()
        for points, marginal in ((first, mass.sum(2)), (second, mass.sum(1)))
    ]
    return centre, 0.5 * torch.stack(variances, 1).clamp(min=SPACING**2).log()


def gaps(model, images, table) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log p(x), the encoder's gap, and the least of a diagonal normal fitted to an image: (N,).

    In nats. The fit is a local search, so it starts twice: at the encoder's normal and at the
    posterior's highest point.
    """
    log_evidence = table.flatten(1).double().logsumexp(1) + 2 * math.log(SPACING)
    log_posterior = table - log_evidence.float().view(-1, 1, 1)
    with torch.no_grad():
        mean, log_var = model.encode(images)
    encoders, from_encoder = fitted_gap(log_posterior, mean, log_var / 2)
    _, from_peak = fitted_gap(log_posterior, *peak(log_posterior))
    return log_evidence.float(), encoders, torch.minimum(from_encoder, from_peak)


def scores(data, seed: int) -> dict:
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, 2, convs=CONVS, hidden=256)
    vaelib.fit(
        model,
        data,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        seed=seed,
        device=DEVICE,
    )
    run = {"elbo": metrics.elbo(model, data.test, samples=100).mean().item()}
    for k in SAMPLES:
        run[f"k{k}"] = metrics.log_likelihood(model, data.test, samples=k).mean().item()
    log_evidence, encoders, least = gaps_of(model, data.test / 255)
    run |= {
        "log_evidence": log_evidence.mean().item(),
        "gap": log_evidence.mean().item() - run["elbo"],
        "gap_on_window": encoders.mean().item(),
        "family_gap": least.mean().item(),
        "amortisation_gap": (encoders - least).mean().item(),
        **distribution("gap", encoders),
        **distribution("family", least),
        **distribution("amortisation", encoders - least),
    }
    seen = trained_on(data, seed)
    run["train_elbo"] = metrics.elbo(model, seen, samples=100).mean().item()
    log_evidence, encoders, least = gaps_of(model, seen)
    run |= {
        "train_log_evidence": log_evidence.mean().item(),
        "train_gap": log_evidence.mean().item() - run["train_elbo"],
        "train_family_gap": least.mean().item(),
        "train_amortisation_gap": (encoders - least).mean().item(),
        **distribution("train_gap", encoders),
        **distribution("train_family", least),
        **distribution("train_amortisation", encoders - least),
    }
    print(seed, run, flush=True)
    return run


def gaps_of(model, images) -> list[torch.Tensor]:
    """``gaps`` of images in [0, 1], a hundred at a time, as the grid takes memory."""
    parts = [gaps(model, x, log_joint_on_grid(model, x)) for x in images.split(100)]
    return [torch.cat(part) for part in zip(*parts)]


def distribution(name: str, nats) -> dict:
    """What a mean hides: the median, the highest hundredth and the largest over the images."""
    return {
        f"{name}_median": nats.median().item(),
        f"{name}_top_hundredth": nats.quantile(0.99).item(),
        f"{name}_largest": nats.max().item(),
    }


def trained_on(data, seed: int) -> torch.Tensor:
    """As many training images as there are test images, drawn black and white once."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randperm(len(data.train), generator=generator)[: len(data.test)]
    return vaelib.data.draw_binary(data.train[which], generator)


def strip():
    """The notebook's model of five pixels and two latents: an image's posterior and log p(x)."""
    W = torch.tensor([[1, 0], [1, 1], [1, 1], [1, 1], [0, 1]], dtype=torch.float64)
    b, s = torch.full((5,), 0.5, dtype=torch.float64), 0.5
    x = torch.tensor([1.5, 1.5, 2.0, 1.0, 0.5], dtype=torch.float64)
    covariance = torch.linalg.inv(torch.eye(2) + W.T @ W / s**2)
    posterior = MultivariateNormal(covariance @ W.T @ (x - b) / s**2, covariance)
    log_evidence = MultivariateNormal(b, W @ W.T + s**2 * torch.eye(5)).log_prob(x).item()
    return posterior, log_evidence


def climb(posterior, full: bool, steps: int = 120) -> tuple[list[float], list]:
    """The gap, and q, at each step of gradient ascent on the ELBO, from the prior.

    Over a diagonal or a full covariance.
    """
    mean, log_diagonal, below = (
        torch.zeros(n, dtype=torch.float64, requires_grad=n > 1 or full) for n in (2, 2, 1)
    )
    path, qs = [], []
    for _ in range(steps + 1):
        factor = torch.diag(log_diagonal.exp()) + torch.cat(
            [torch.zeros(2), below, torch.zeros(1)]
        ).view(2, 2)
        q = MultivariateNormal(mean, scale_tril=factor)
        gap = kl_divergence(
            q, posterior
        )  # its gradient is that of the negative ELBO: log p(x) does not move
        path.append(gap.item())
        qs.append((mean.detach().clone(), q.covariance_matrix.detach().clone()))
        parameters = [p for p in (mean, log_diagonal, below) if p.requires_grad]
        with torch.no_grad():
            for p, slope in zip(parameters, torch.autograd.grad(gap, parameters)):
                p -= 0.02 * slope
    return path, qs


def ring_fit(steps: int = 2000) -> dict:
    """The best normal for the ring of notebook 1 at its top, on one peak: nats, by quadrature."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    step, x, log_prior = z[1] - z[0], torch.tensor([0.0, 1.6]), Normal(0.0, 1.0).log_prob(z)
    ring = 1.5 * torch.stack([torch.sin(1.8 * z), -torch.cos(1.8 * z)], -1)
    log_joint = Normal(ring, 0.3).log_prob(x).sum(-1) + log_prior
    log_evidence = log_joint.logsumexp(0) + step.log()
    mean, log_std = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.5, -1.5))
    optimizer = torch.optim.Adam([mean, log_std], lr=0.01)
    for _ in range(steps):
        log_q = Normal(mean, log_std.exp()).log_prob(z)
        gap = (log_q.exp() * (log_q - log_joint + log_evidence)).sum() * step
        optimizer.zero_grad()
        gap.backward()
        optimizer.step()
    kl = (log_q.exp() * (log_q - log_prior)).sum() * step
    return {"log_evidence": log_evidence.item(), "gap": gap.item(), "kl": kl.item()}


def ellipse(mean, covariance, deviations: float = 2.0, **style) -> Ellipse:
    values, vectors = torch.linalg.eigh(covariance)
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    return Ellipse(
        mean.tolist(), *(2 * deviations * values.flip(0).sqrt()).tolist(), angle=angle, **style
    )


def draw(path: Path) -> dict:
    """Draw the ascent; return where the diagonal curve starts and ends, in nats."""
    posterior, log_evidence = strip()
    curves = {"diagonal": climb(posterior, full=False), "full": climb(posterior, full=True)}
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    plane, nats = figure.subplots(1, 2, width_ratios=[1, 1.35])
    for deviations, alpha in ((2, 0.25), (1, 0.35)):
        plane.add_patch(
            ellipse(
                posterior.loc,
                posterior.covariance_matrix,
                deviations,
                color=COLOURS[8],
                alpha=alpha,
                lw=0,
            )
        )
    for step in (0, 2, 5, 10):
        plane.add_patch(
            ellipse(*curves["diagonal"][1][step], fill=False, color=COLOURS[5], lw=1, alpha=0.45)
        )
    plane.add_patch(ellipse(*curves["diagonal"][1][-1], fill=False, color=COLOURS[5], lw=2.2))
    plane.add_patch(ellipse(*curves["full"][1][-1], fill=False, color=COLOURS[6], lw=2.2, ls="--"))
    plane.annotate(
        "start: the prior", (-1.35, 1.48), (-1.9, 2.3), fontsize=9, color=COLOURS[5], va="center"
    )
    plane.set(xlim=(-2.2, 2.4), ylim=(-2.2, 2.6), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    plane.set_title("the posterior (grey), and q on its way", fontsize=10)

    elbos = {name: [log_evidence - gap for gap in path] for name, (path, _) in curves.items()}
    steps = range(len(elbos["full"]))
    nats.axhline(log_evidence, color=COLOURS[0], lw=1.2)
    nats.text(118, log_evidence + 0.06, f"log p(x) = {log_evidence:.3f}", ha="right", fontsize=10)
    nats.fill_between(steps, elbos["diagonal"], log_evidence, color=COLOURS[5], alpha=0.12, lw=0)
    nats.plot(steps, elbos["full"], color=COLOURS[6], ls="--", lw=2, label="ELBO, full covariance")
    nats.plot(steps, elbos["diagonal"], color=COLOURS[5], lw=2, label="ELBO, diagonal covariance")
    gap = curves["diagonal"][0][-1]
    nats.annotate(
        "",
        (100, log_evidence),
        (100, log_evidence - gap),
        arrowprops={"arrowstyle": "<->", "lw": 1.1},
    )
    nats.text(98, log_evidence - gap / 2, f"gap {gap:.3f}", ha="right", va="center", fontsize=10)
    nats.set(
        ylim=(log_evidence - 2.6, log_evidence + 0.35),
        xlim=(0, 120),
        xlabel="step of gradient ascent",
        ylabel="nats",
    )
    nats.legend(frameon=False, loc="lower right")
    nats.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    return {"log_evidence": log_evidence, "start": elbos["diagonal"][0], "gap": gap}


def draw_clouds(path: Path, images: torch.Tensor) -> dict:
    """Posteriors of six images by a shipped model, on the grid, and the encoder's normals on them.

    Three of the smaller gaps and the three largest; returns the gaps in nats.
    """
    model = vaelib.load_pretrained(CLOUDS).eval()
    with torch.no_grad():
        mean, log_var = model.encode(images)
    table = log_joint_on_grid(model, images)
    log_evidence = table.flatten(1).double().logsumexp(1).float() + 2 * math.log(SPACING)
    table -= log_evidence.view(-1, 1, 1)
    found, _ = fitted_gap(table, mean, log_var / 2, steps=0)
    order = found.argsort()
    chosen = [*order[[len(order) // 5, 2 * len(order) // 5, 3 * len(order) // 5]], *order[-3:]]
    figure = Figure(figsize=(11, 3.5), layout="constrained")
    axes = figure.subplots(2, 6, height_ratios=[1, 2.2])
    ends, ticks = (-EXTENT, EXTENT, -EXTENT, EXTENT), axis_points()
    for n, top, axis in zip(chosen, *axes):
        centre, spread = mean[n], (log_var[n] / 2).exp()
        top.imshow(images[n, 0], cmap="gray_r")
        top.set_axis_off()
        top.set_title(f"gap {found[n]:.1f} nats", fontsize=10)
        mass = table[n].exp()
        where = torch.stack([(mass.sum(1) * ticks).sum(), (mass.sum(0) * ticks).sum()])
        where = where / mass.sum()
        middle, half = (where + centre) / 2, 0.3 + (where - centre).abs().max().item()
        axis.imshow(mass.T.sqrt(), origin="lower", extent=ends, cmap="Greys", aspect="equal")
        for deviations in (1, 2):
            sides = (2 * deviations * spread).tolist()
            axis.add_patch(Ellipse(centre.tolist(), *sides, fill=False, color=COLOURS[6], lw=1.6))
        axis.set(
            xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half)
        )
        axis.set_xlabel("$z_1$")
    axes[1, 0].set_ylabel("$z_2$")
    figure.savefig(path, dpi=110)
    return {"model": CLOUDS, "images": len(images), "gaps": [found[n].item() for n in chosen]}


@torch.no_grad()
def bounds(image: torch.Tensor, digits: dict, draws: int = 20_000) -> Figure:
    """log w of one image in a shipped model, and each bound of ``digits``, the page's results.

    The two lines on the left are the ELBO and the bound of that many draws.
    """
    model = vaelib.load_pretrained(CLOUDS).eval()
    mean, log_var = model.encode(image)
    noise = torch.randn(draws, 2, generator=torch.Generator().manual_seed(0))
    z = mean + (log_var / 2).exp() * noise
    log_w = losses.log_importance_weight(log_likelihoods(model, image, z), z, mean, log_var)
    elbo, bound = log_w.mean(), torch.logsumexp(log_w, 0) - math.log(draws)
    figure = Figure(figsize=(9.6, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    reach = (elbo.item() - 12, log_w.max().item() + 2)
    left.hist(log_w.numpy(), bins=90, range=reach, color=COLOURS[2])
    left.axvline(elbo, color=COLOURS[6], ls="--", lw=2, label="their mean, the ELBO")
    left.axvline(bound, color="black", lw=2, label="the log of the mean $w$")
    left.set(
        xlabel=r"$\log w$ of one digit, nats", yticks=(), xticks=range(-148, -125, 4), xlim=reach
    )
    left.legend(frameon=False, fontsize=9, loc="upper left")
    found = [digits[f"k{k}"] for k in SAMPLES]
    style = dict(fmt="o-", color=COLOURS[5], capsize=3, lw=1.2)
    right.errorbar(SAMPLES, [f["mean"] for f in found], [f["sd"] for f in found], **style)
    truth = digits["log_evidence"]
    right.axhline(truth["mean"], color="black", lw=1.5)
    right.axhspan(
        truth["mean"] - truth["sd"], truth["mean"] + truth["sd"], color="black", alpha=0.12, lw=0
    )
    right.text(1, truth["mean"] + 0.15, r"$\log p(x)$, by brute force", va="bottom", fontsize=9)
    lacking = (1, found[0]["mean"]), (1, truth["mean"])
    right.annotate("", *lacking, arrowprops={"arrowstyle": "<->", "lw": 1.1})
    gap = f"  gap {digits['gap']['mean']:.1f}"
    right.text(1, (found[0]["mean"] + truth["mean"]) / 2, gap, va="center", fontsize=10)
    right.set(xscale="log", xlabel="$K$", ylabel="nats, mean of 500 digits", xticks=SAMPLES)
    right.set_xticklabels([f"{k:,}" for k in SAMPLES])
    right.set_ylim(found[0]["mean"] - 2.2, truth["mean"] + 1.6)
    right.grid(alpha=0.3)
    return figure


def main() -> None:
    climbed = draw(image_path("03-elbo-climb.png"))
    data = vaelib.load("mnist-5k", binarize=True)
    clouds = draw_clouds(image_path("03-clouds.png"), data.test[:100] / 255)
    runs = [scores(data, seed) for seed in SEEDS]
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once)",
            "model": "2 latents, convolutions of 16 and 32 channels, 256 hidden units, Bernoulli",
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "seeds": len(SEEDS),
            "grid": f"from -{EXTENT:g} to {EXTENT:g} in both latents, in steps of {SPACING:g}",
            **machine(DEVICE),
        },
        "strip": climbed,
        "clouds": clouds,
        "ring": ring_fit(),
        "digits": over_runs(runs),
    }
    write_results("03-elbo", results)
    save_picture(bounds(data.test[ONE : ONE + 1] / 255, results["digits"]), "03-bounds")


if __name__ == "__main__":
    main()

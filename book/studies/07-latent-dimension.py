"""Measure the numbers and draw the pictures of chapter 7: models with 1 to 32 latents, three seeds each.

python book/studies/07-latent-dimension.py    about 5 minutes on 2 cores; writes book/results/07-latent-dimension.json and
book/images/07-*.png. Each finished run is kept in _build/latent-dimension/, so the command can be stopped and given again;
--seconds S starts no new run after S seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import torch
from matplotlib.figure import Figure
from reporting import ROOT, image_path, machine, over_runs, write_results
from torch import nn

import vaelib
from vaelib import losses, metrics
from vaelib.models import as_float, draw_latents, evaluation_mode
from vaelib.plots import COLOURS

KEPT = ROOT / "_build" / "latent-dimension"
SIZES, SEEDS = (1, 2, 4, 8, 16, 32), range(3)
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 100, 2e-3
IMPORTANCE_SAMPLES = 1000


def new_model(data, latent_dim: int, seed: int):
    torch.manual_seed(seed)
    return vaelib.VAE(data.image_shape, latent_dim, convs=(), hidden=256)


def trained(data, latent_dim: int, seed: int):
    model = new_model(data, latent_dim, seed)
    history = vaelib.fit(
        model,
        data,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        seed=seed,
        device="cpu",
    )
    return model, history


def doubt(images) -> float:
    """The entropy of the pixels of expected images, summed over an image, in nats: 0 for pure black and white."""
    p = as_float(images).double()
    return (-torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)).flatten(1).sum(1).mean().item()


def log_weights(model, images, samples: int, seed: int, widen: float = 1.0):
    """(samples, N) log-weights of eq:is-loglik; ``widen`` multiplies the standard deviations of the density drawn from."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    with evaluation_mode(model):
        x = as_float(images)
        mean, log_var = model.encode(x)
        log_var = log_var + 2 * math.log(widen)
        for _ in range(samples):
            z = draw_latents(mean, log_var, generator)
            prior = losses.gaussian_log_likelihood(z, torch.zeros_like(z), 0.0)
            proposal = losses.gaussian_log_likelihood(z, mean, 0.5 * log_var)
            rows.append(model.log_likelihood(x, model.decode(z)) + prior - proposal)
    return torch.stack(rows).double()


def estimate(log_w, k: int):
    """The estimates of eq:is-loglik from k weights each, (samples // k, N): disjoint groups of the weights."""
    groups = log_w[: len(log_w) // k * k].unflatten(0, (-1, k))
    return groups.logsumexp(1) - math.log(k)


def effective_sample_size(log_w):
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


@torch.no_grad()
def information(model, images, generator) -> tuple[float, float]:
    """I_q(x; z) and KL(q(z) || p(z)) of these images as the whole data set, one code an image, in nats."""
    mean, log_var = model.encode(as_float(images))
    z = draw_latents(mean, log_var, generator)
    own = losses.gaussian_log_likelihood(z, mean, 0.5 * log_var)
    prior = losses.gaussian_log_likelihood(z, torch.zeros_like(z), 0.0)
    z, mean, log_var = z.double(), mean.double(), log_var.double()
    constant = mean.shape[1] * math.log(2 * math.pi) + log_var.sum(1)
    aggregate = torch.cat(
        [
            (
                -0.5 * (((part[:, None] - mean).square() / log_var.exp()).sum(2) + constant)
            ).logsumexp(1)
            - math.log(len(mean))
            for part in z.split(100)
        ]
    )
    return (own - aggregate).mean().item(), (aggregate - prior).mean().item()


def scores(data, judge: Judge, latent_dim: int, seed: int) -> dict:
    model, history = trained(data, latent_dim, seed)
    terms = metrics.elbo_terms(model, data.test, samples=10)
    drawn_train = vaelib.data.draw_binary(data.train, torch.Generator().manual_seed(1))
    log_w = log_weights(model, data.test, IMPORTANCE_SAMPLES, seed=seed)
    log_p, ess = estimate(log_w, IMPORTANCE_SAMPLES)[0], effective_sample_size(log_w)
    activity, rates = (
        metrics.active_units(model, data.test),
        metrics.kl_per_dimension(model, data.test),
    )
    reconstructed = model.reconstruct(data.test)
    sampled = model.sample(2000, torch.Generator().manual_seed(seed))
    shared, missed = information(model, drawn_train, torch.Generator().manual_seed(seed))
    result = {
        "distortion": terms.reconstruction.mean().item(),
        "rate": terms.kl.mean().item(),
        "elbo": terms.elbo.mean().item(),
        "train_elbo": metrics.elbo(model, drawn_train).mean().item(),
        "log_likelihood": log_p.mean().item(),
        "log_likelihood_se": log_p.std().item() / len(log_p) ** 0.5,
        **{f"k{k}": estimate(log_w, k).mean().item() for k in (1, 10, 100, 1000)},
        "ess_median": ess.median().item(),
        "ess_below_10": (ess < 10).double().mean().item(),
        "active": int((activity > 0.01).sum()),
        "smallest_activity": activity.min().item(),
        "used": int((rates > 0.1).sum()),
        "smallest_rate": rates.min().item(),
        "information": shared,
        "aggregate_kl": missed,
        "doubt_reconstruction": doubt(reconstructed),
        "doubt_sample": doubt(sampled),
        "legible_reconstruction": judge.legible(reconstructed),
        "legible_sample": judge.legible(sampled),
        "seconds": history.seconds,
    }
    if latent_dim == 16:
        wide = log_weights(model, data.test, IMPORTANCE_SAMPLES, seed=seed, widen=1.2)
        result["wide_log_likelihood"] = estimate(wide, IMPORTANCE_SAMPLES).mean().item()
        result["wide_ess_median"] = effective_sample_size(wide).median().item()
        result["wide_ess_below_10"] = (effective_sample_size(wide) < 10).double().mean().item()
    if seed == 0:
        vaelib.save_model(model, KEPT / f"z{latent_dim}.safetensors")
    return result


def linear_rates(grey, sigma: float) -> dict:
    """How many latents the best linear model with this noise would use on the grey digits, and their rate in nats."""
    x = as_float(grey.train).flatten(1).double()
    rates = (
        0.5
        * (torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).clamp(min=sigma**2) / sigma**2).log()
    )
    return {"used": int((rates > 0).sum()), "rate": rates.sum().item()}


def side_by_side(data) -> Figure:
    """A row a model: the same eight test digits rebuilt, then eight samples from the prior."""
    chosen = data.test[[0, 31, 62, 3, 54, 25, 96, 17]]
    models = {size: vaelib.load_model(KEPT / f"z{size}.safetensors") for size in SIZES[:5]}
    rows = [("image", as_float(chosen), None)]
    for size, model in models.items():
        sampled = model.sample(8, torch.Generator().manual_seed(5))
        rows.append((f"{size} latent" + "s" * (size > 1), model.reconstruct(chosen), sampled))
    figure = Figure(figsize=(9.6, 3.6))
    for row, (name, left, right) in enumerate(rows):
        for half, images in enumerate((left, right)):
            if images is None:
                continue
            tiled = images.permute(2, 0, 3, 1).flatten(1).reshape(28, -1)
            axis = figure.add_axes((0.09 + 0.465 * half, 0.93 - 0.155 * (row + 1), 0.445, 0.15))
            axis.imshow(tiled, cmap="gray_r", vmin=0, vmax=1)
            axis.set_axis_off()
            if half == 0:
                axis.text(-6, 14, name, ha="right", va="center", fontsize=10)
    figure.text(0.3125, 0.95, "reconstructions of test digits", ha="center", fontsize=11)
    figure.text(0.7775, 0.95, "samples from the prior", ha="center", fontsize=11)
    return figure


def trade_off(results: dict) -> Figure:
    """What more latents buy and cost: the ELBO's two terms, the pixels' doubt, and the share of legible images."""
    figure = Figure(figsize=(10.2, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    at = range(len(SIZES))

    def curve(axis, key, label, colour, factor=1.0, **style):
        mean = [factor * results[f"z{size}"][key]["mean"] for size in SIZES]
        deviation = [abs(factor) * results[f"z{size}"][key]["sd"] for size in SIZES]
        axis.errorbar(
            at,
            mean,
            deviation,
            label=label,
            color=COLOURS[colour],
            capsize=2,
            marker="o",
            ms=4,
            **style,
        )

    curve(left, "distortion", "distortion", 2)
    curve(left, "rate", "rate", 6)
    curve(left, "log_likelihood", r"$-\log p(x)$", 0, factor=-1, linestyle="--")
    left.set(title="nats per test image")
    curve(middle, "doubt_reconstruction", "reconstructions", 5)
    curve(middle, "doubt_sample", "samples", 1, linestyle="--")
    middle.axhline(
        results["test_images"]["doubt"], color=COLOURS[8], linestyle=":", label="grey test digits"
    )
    middle.set(title="pixel entropy, nats (low is sharp)")
    curve(right, "legible_reconstruction", "reconstructions", 5, factor=100)
    curve(right, "legible_sample", "samples", 1, factor=100, linestyle="--")
    right.axhline(
        100 * results["test_images"]["legible"],
        color=COLOURS[8],
        linestyle=":",
        label="grey test digits",
    )
    right.set(title="legible images, %", ylim=(0, 105))
    for axis in (left, middle, right):
        axis.set_xticks(at, map(str, SIZES))
        axis.set_xlabel("latents")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no new run after so many"
    )
    stop = time.monotonic() + parser.parse_args().seconds
    KEPT.mkdir(parents=True, exist_ok=True)
    data, grey = vaelib.load("mnist-5k", binarize=True), vaelib.load("mnist-5k")
    judge = Judge(grey)
    runs = {}
    for seed in SEEDS:
        for size in SIZES:
            kept = KEPT / f"z{size}-seed{seed}.json"
            if not kept.exists():
                if time.monotonic() > stop:
                    print("out of time; give the same command again to go on")
                    return
                kept.write_text(json.dumps(scores(data, judge, size, seed)))
                print(size, seed, kept.read_text(), flush=True)
            runs.setdefault(size, []).append(json.loads(kept.read_text()))
    right = judge.probabilities(grey.test).argmax(1) == grey.test_labels
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once), 500 test digits",
            "model": "one hidden layer of 256 on either side, Bernoulli pixels",
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "importance_samples": IMPORTANCE_SAMPLES,
            "seeds": len(SEEDS),
            **machine(),
        },
        "test_images": {
            "doubt": doubt(grey.test),
            "legible": judge.legible(grey.test),
            "classifier_accuracy": right.double().mean().item(),
        },
        "linear": {"sigma05": linear_rates(grey, 0.5), "sigma01": linear_rates(grey, 0.1)},
        **{f"z{size}": over_runs(runs[size]) for size in SIZES},
    }
    write_results("07-latent-dimension", results)
    side_by_side(data).savefig(image_path("07-side-by-side.png"), dpi=130)
    trade_off(results).savefig(image_path("07-trade-off.png"), dpi=130)


if __name__ == "__main__":
    main()

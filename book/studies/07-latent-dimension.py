"""Chapter 7: models of digits with 1 to 32 latents, three seeds each.

python book/studies/07-latent-dimension.py    about 6 minutes on 2 cores

Writes book/results/07-latent-dimension.json and book/images/07-*.png. Each finished run is kept in
_build/latent-dimension/, so the command can be stopped and given again; --seconds S starts no new
run after S seconds.
"""

from __future__ import annotations

import math
import statistics
from functools import partial

import prior_misses
import torch
from digit_classifier import Judge
from matplotlib.figure import Figure
from model_rows import side_by_side
from reporting import ROOT, cached, image_path, machine, over_runs, stop_time, write_results

import vaelib
from vaelib import losses, metrics
from vaelib.models import as_float, draw_latents, evaluation_mode
from vaelib.plots import COLOURS

KEPT = ROOT / "_build" / "latent-dimension"
DEVICE = "cpu"
SIZES, SEEDS = (1, 2, 4, 8, 16, 32), range(3)
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 100, 2e-3
IMPORTANCE_SAMPLES = 1000
SHOWN = [0, 31, 62, 3, 54, 25, 96, 17]  # test digits


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
        device=DEVICE,
    )
    return model, history


def doubt(images) -> float:
    """The entropy of the pixels of expected images, nats an image: 0 for black and white."""
    p = as_float(images).double()
    return (-torch.xlogy(p, p) - torch.xlogy(1 - p, 1 - p)).flatten(1).sum(1).mean().item()


def log_weights(model, images, samples: int, seed: int, widen: float = 1.0):
    """(samples, N) log-weights of eq:is-loglik.

    ``widen`` multiplies the standard deviations of the density drawn from.
    """
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
    """The estimates of eq:is-loglik from disjoint groups of k weights: (samples // k, N)."""
    groups = log_w[: len(log_w) // k * k].unflatten(0, (-1, k))
    return groups.logsumexp(1) - math.log(k)


def effective_sample_size(log_w):
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


@torch.no_grad()
def information(mean, log_var, generator) -> tuple[float, float]:
    """I_q(x; z) and KL(q(z) || p(z)), nats: of these images as the whole data set, a code each."""
    z = draw_latents(mean, log_var, generator)
    own = losses.gaussian_log_likelihood(z, mean, 0.5 * log_var)
    prior = losses.gaussian_log_likelihood(z, torch.zeros_like(z), 0.0)
    z, mean, log_var = z.double(), mean.double(), log_var.double()
    constant = mean.shape[1] * math.log(2 * math.pi) + log_var.sum(1)
    parts = []
    for part in z.split(100):
        log_q = -0.5 * (((part[:, None] - mean).square() / log_var.exp()).sum(2) + constant)
        parts.append(log_q.logsumexp(1) - math.log(len(mean)))
    aggregate = torch.cat(parts)
    return (own - aggregate).mean().item(), (aggregate - prior).mean().item()


def prior_and_codes(model, train, test, judge: Judge, seed: int) -> dict:
    """What the prior misses of the codes, nats, between two bounds; what codes of each kind decode
    to, as shares of legible images: of test digits, of a mixture fitted to the training codes.

    ``aggregate_kl`` and ``information`` take the training digits for all there are.
    """
    generator = torch.Generator().manual_seed(seed)
    codes, test_codes = metrics.encode(model, train), metrics.encode(model, test)
    shared, missed = information(*codes, generator)
    mixture = prior_misses.fitted_mixture(draw_latents(*codes, generator))
    drawn = draw_latents(*test_codes, generator)
    from_mixture = prior_misses.mixture_draws(mixture, 2000, seed)
    return {
        "information": shared,
        "aggregate_kl": missed,
        "train_rate": losses.kl_to_standard_normal(*codes).mean().item(),
        "moment_bound": prior_misses.moment_bound(*codes),
        "held_out_bound": prior_misses.held_out_bound(mixture, drawn),
        "legible_drawn": judge.legible(model.decoded(drawn)),
        "legible_mixture": judge.legible(model.decoded(from_mixture)),
    }


def of_perfect_codes(rate: float, latent_dim: int, images: int) -> float:
    """KL(q_N(z) || p(z)), nats, of N images' codes, the prior exactly when there are more and more.

    They cost ``rate`` nats together and each as much. What comes out is the doing of the N images.
    """
    generator = torch.Generator().manual_seed(0)
    rates = torch.full((latent_dim,), rate / latent_dim)
    return information(*prior_misses.perfect_codes(rates, images, generator), generator)[1]


def scores(data, judge: Judge, latent_dim: int, seed: int) -> dict:
    model, history = trained(data, latent_dim, seed)
    terms = metrics.elbo_terms(model, data.test, samples=10)
    drawn_train = vaelib.data.draw_binary(data.train, torch.Generator().manual_seed(1))
    log_w = log_weights(model, data.test, IMPORTANCE_SAMPLES, seed=seed)
    log_p, ess = estimate(log_w, IMPORTANCE_SAMPLES)[0], effective_sample_size(log_w)
    activity = metrics.active_units(model, data.test)
    rates = metrics.kl_per_dimension(model, data.test)
    reconstructed = model.reconstruct(data.test)
    sampled = model.sample(2000, torch.Generator().manual_seed(seed))
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
        **prior_and_codes(model, drawn_train, data.test, judge, seed),
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
    """How many latents the best linear model with this noise uses on grey digits, and its rate."""
    x = as_float(grey.train).flatten(1).double()
    variances = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).clamp(min=sigma**2)
    rates = 0.5 * (variances / sigma**2).log()
    return {"used": int((rates > 0).sum()), "rate": rates.sum().item()}


def trade_off(results: dict) -> Figure:
    """What more latents buy and cost: the ELBO's terms, the pixels' doubt, how many are legible."""
    figure = Figure(figsize=(10.2, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    at = range(len(SIZES))

    def curve(axis, key, label, colour, factor=1.0, **style):
        mean = [factor * results[f"z{size}"][key]["mean"] for size in SIZES]
        deviation = [abs(factor) * results[f"z{size}"][key]["sd"] for size in SIZES]
        style |= dict(color=COLOURS[colour], capsize=2, marker="o", ms=4)
        axis.errorbar(at, mean, deviation, label=label, **style)

    curve(left, "distortion", "distortion", 2)
    curve(left, "rate", "rate", 6)
    curve(left, "log_likelihood", r"$-\log p(x)$", 0, factor=-1, linestyle="--")
    left.set(title="nats per test image")
    curve(middle, "doubt_reconstruction", "reconstructions", 5)
    curve(middle, "doubt_sample", "samples", 1, linestyle="--")
    level = dict(color=COLOURS[8], linestyle=":", label="grey test digits")
    middle.axhline(results["test_images"]["doubt"], **level)
    middle.set(title="pixel entropy, nats (low is sharp)")
    curve(right, "legible_reconstruction", "reconstructions", 5, factor=100)
    curve(right, "legible_sample", "samples", 1, factor=100, linestyle="--")
    right.axhline(100 * results["test_images"]["legible"], **level)
    right.set(title="legible images, %", ylim=(0, 105))
    for axis in (left, middle, right):
        axis.set_xticks(at, map(str, SIZES))
        axis.set_xlabel("latents")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    stop = stop_time()
    data, grey = vaelib.load("mnist-5k", binarize=True), vaelib.load("mnist-5k")
    judge = Judge(grey)
    runs = {}
    for seed in SEEDS:
        for size in SIZES:
            path, measure = KEPT / f"z{size}-seed{seed}.json", partial(scores, data, judge)
            runs.setdefault(size, []).append(cached(path, stop, partial(measure, size, seed)))
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
            **machine(DEVICE),
        },
        "test_images": {
            "doubt": doubt(grey.test),
            "legible": judge.legible(grey.test),
            "classifier_accuracy": right.double().mean().item(),
        },
        "linear": {"sigma05": linear_rates(grey, 0.5), "sigma01": linear_rates(grey, 0.1)},
        **{f"z{size}": over_runs(runs[size]) for size in SIZES},
        "perfect": {
            f"z{size}": of_perfect_codes(
                statistics.mean(run["train_rate"] for run in runs[size]), size, len(data.train)
            )
            for size in SIZES
        },
    }
    write_results("07-latent-dimension", results)
    few = {f"{n} latent" + "s" * (n > 1): KEPT / f"z{n}.safetensors" for n in SIZES[:5]}
    rows = {label: vaelib.load_model(path) for label, path in few.items()}
    figure = side_by_side(rows, data.test[SHOWN])
    figure.savefig(image_path("07-side-by-side.png"), dpi=130)
    trade_off(results).savefig(image_path("07-trade-off.png"), dpi=130)


if __name__ == "__main__":
    main()

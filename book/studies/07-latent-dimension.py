"""Chapter 7: models of digits with 1 latent, 2, 4 and so on until more do not help, and two cures.

python book/studies/07-latent-dimension.py    about an hour on one core

Each is trained until the ELBO of validation digits no longer rises, which are held out of the
training digits; sizes are compared on these, and reported on the test digits.

Writes book/results/07-latent-dimension.json, book/images/07-*.png and book/live/models-latents.*.
Each finished run is kept in _build/latent-dimension/, so the command can be stopped and given
again; --seconds S starts no new run after S seconds.
"""

from __future__ import annotations

import copy
import math
import statistics
from contextlib import suppress
from dataclasses import replace
from functools import partial

import latent_dimension_tables as tables
import prior_misses
import torch
from digit_classifier import Judge
from in_use import IN_USE
from matplotlib.figure import Figure
from model_rows import side_by_side
from plane_models import SHOWN, write_models
from reporting import (
    ROOT,
    cached,
    image_path,
    machine,
    over_runs,
    rounded,
    spread,
    stop_time,
    write_results,
)

import vaelib
from vaelib import losses, metrics, objectives
from vaelib.data import draw_binary
from vaelib.models import as_float, draw_latents, evaluation_mode
from vaelib.plots import COLOURS

KEPT = ROOT / "_build" / "latent-dimension"
DEVICE = "cpu"
SIZES, SEEDS = (1, 2, 4, 8, 16, 32, 64, 128), range(3)
BATCH_SIZE, LEARNING_RATE = 100, 2e-3
TRAINED, VALIDATION = 4000, 500  # digits; as many of each class
PATIENCE = 15  # epochs in which the validation ELBO has found no better value, and training ends
WARM_UP = 20  # epochs in which the KL's weight rises from 0 to 1
FREE = (0.5, 2.0)  # nats a latent that cost nothing
MOST_EPOCHS = 400
EARLY = 20  # epochs, after which a comparison comes too early
IMPORTANCE_SAMPLES = 1000
REACH, GRID = 7.0, 2801  # of the grid over one latent: to both sides, and its points


def split(data):
    """The data with the last training digits held out in the place of the test set, drawn once."""
    held_out = draw_binary(data.train[TRAINED:], torch.Generator().manual_seed(2))
    assert len(held_out) == VALIDATION
    return replace(
        data,
        train=data.train[:TRAINED],
        train_labels=data.train_labels[:TRAINED],
        test=held_out,
        test_labels=data.train_labels[TRAINED:],
    )


class Stands(Exception):
    """Training has found nothing better for PATIENCE epochs."""


class Best:
    """What `fit` calls after each epoch: keeps the weights with the best ELBO of held-out digits.

    Raises Stands when none of the last ``patience`` epochs was better.
    """

    def __init__(self, patience: int = PATIENCE):
        self.patience = patience

    def __call__(self, model, history) -> None:
        elbos = history.test["elbo"]
        self.history, self.epoch = history, elbos.index(max(elbos)) + 1
        if self.epoch == len(elbos):
            self.weights = copy.deepcopy(model.state_dict())
        if len(elbos) - self.epoch >= self.patience:
            raise Stands


def free_bits(least: float) -> objectives.Objective:
    """The negative ELBO, in which a latent costs ``least`` nats also where its mean KL is below.

    Source: Kingma et al. (2016), equation 15, the mean taken over the minibatch.
    """

    def objective(log_likelihood, mean, log_var, z, step):
        kl = losses.kl_to_standard_normal_per_dimension(mean, log_var).mean(0)
        return kl.clamp(min=least).sum() - log_likelihood.mean()

    return objective


def objective_of(way: str) -> objectives.Objective:
    """What a model is trained on: "elbo", or one of the ways of `CURES`."""
    if way == "warm_up":
        return objectives.beta_vae(objectives.warm_up(1.0, WARM_UP * TRAINED // BATCH_SIZE))
    return objectives.beta_vae() if way == "elbo" else free_bits(CURES[way])


CURES = {"warm_up": None, **{f"free_{least:g}".replace(".", ""): least for least in FREE}}
# of models with so many latents; 2 nats for each of 64 would be more than all of them cost
CURED = [(16, way) for way in CURES] + [(64, "warm_up"), (64, "free_05")]


def trained(split_data, latent_dim: int, seed: int, way: str = "elbo"):
    """A model at its best validation ELBO, and the `Best` that has watched it."""
    torch.manual_seed(seed)
    model = vaelib.VAE(split_data.image_shape, latent_dim, convs=(), hidden=256)
    watch = Best()
    with suppress(Stands):
        vaelib.fit(
            model,
            split_data,
            epochs=MOST_EPOCHS,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            objective=objective_of(way),
            seed=seed,
            device=DEVICE,
            progress=False,
            on_record=watch,
        )
    model.load_state_dict(watch.weights)
    return model.eval(), watch


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


def exact_log_likelihood(model, images):
    """log p(x) of each image under a model with one latent, nats: eq:marginal on a fine grid."""
    z = torch.linspace(-REACH, REACH, GRID).unsqueeze(1)
    log_mass = losses.gaussian_log_likelihood(z, torch.zeros_like(z), 0.0).double()
    log_mass += math.log(2 * REACH / (GRID - 1))
    with evaluation_mode(model):
        output = model.decode(z)
        parts = [
            (model.log_likelihood(x.expand_as(output), output) + log_mass).logsumexp(0)
            for x in as_float(images)
        ]
    return torch.stack(parts)


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

    ``aggregate_kl`` and ``information`` take the training digits for all there are. The mixture is
    one of the latents in use; the others are left as in the prior.
    """
    generator = torch.Generator().manual_seed(seed)
    codes, test_codes = metrics.encode(model, train), metrics.encode(model, test)
    shared, missed = information(*codes, generator)
    speak = losses.kl_to_standard_normal_per_dimension(*codes).mean(0) > IN_USE
    mixture = prior_misses.fitted_mixture(draw_latents(*codes, generator)[:, speak])
    drawn = draw_latents(*test_codes, generator)
    from_mixture = torch.randn(2000, len(speak), generator=generator)
    from_mixture[:, speak] = prior_misses.mixture_draws(mixture, 2000, seed)
    return {
        "information": shared,
        "aggregate_kl": missed,
        "train_rate": losses.kl_to_standard_normal(*codes).mean().item(),
        "moment_bound": prior_misses.moment_bound(*codes),
        "held_out_bound": prior_misses.held_out_bound(mixture, drawn[:, speak]),
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


def bound_of(log_w) -> float:
    return estimate(log_w, IMPORTANCE_SAMPLES).mean().item()


def scores(data, judge: Judge, way: str, latent_dim: int, seed: int) -> dict:
    held_out = split(data)
    model, watch = trained(held_out, latent_dim, seed, way)
    terms = metrics.elbo_terms(model, data.test, samples=10)
    drawn_train = draw_binary(held_out.train, torch.Generator().manual_seed(1))
    log_w = log_weights(model, data.test, IMPORTANCE_SAMPLES, seed=seed)
    log_p, ess = estimate(log_w, IMPORTANCE_SAMPLES)[0], effective_sample_size(log_w)
    validation = log_weights(model, held_out.test, IMPORTANCE_SAMPLES, seed=seed)
    activity = metrics.active_units(model, data.test)
    rates = metrics.kl_per_dimension(model, data.test)
    reconstructed = model.reconstruct(data.test)
    sampled = model.sample(2000, torch.Generator().manual_seed(seed))
    result = {
        "epochs": watch.epoch,
        "validation_elbo": metrics.elbo(model, held_out.test, samples=10).mean().item(),
        "validation_log_likelihood": bound_of(validation),
        "distortion": terms.reconstruction.mean().item(),
        "rate": terms.kl.mean().item(),
        "elbo": terms.elbo.mean().item(),
        "train_elbo": metrics.elbo(model, drawn_train, samples=5).mean().item(),
        "log_likelihood": log_p.mean().item(),
        "log_likelihood_se": log_p.std().item() / len(log_p) ** 0.5,
        **{f"k{k}": estimate(log_w, k).mean().item() for k in (1, 10, 100, 1000)},
        "ess_median": ess.median().item(),
        "ess_below_10": (ess < 10).double().mean().item(),
        "active": int((activity > 0.01).sum()),
        "smallest_activity": activity.min().item(),
        "used": int((rates > IN_USE).sum()),
        "smallest_rate": rates.min().item(),
        **prior_and_codes(model, drawn_train, data.test, judge, seed),
        "doubt_reconstruction": doubt(reconstructed),
        "doubt_sample": doubt(sampled),
        "legible_reconstruction": judge.legible(reconstructed),
        "legible_sample": judge.legible(sampled),
        "seconds": watch.history.seconds,
        "train_elbos": rounded(watch.history.train["elbo"]),
        "validation_elbos": rounded(watch.history.test["elbo"]),
    }
    if latent_dim == 1:
        result["exact_log_likelihood"] = exact_log_likelihood(model, data.test).mean().item()
    if latent_dim == 16:
        wide = log_weights(model, data.test, IMPORTANCE_SAMPLES, seed=seed, widen=1.2)
        result["wide_log_likelihood"] = bound_of(wide)
        result["wide_ess_median"] = effective_sample_size(wide).median().item()
        result["wide_ess_below_10"] = (effective_sample_size(wide) < 10).double().mean().item()
    if seed == 0 and way == "elbo":
        vaelib.save_model(model, KEPT / f"elbo-z{latent_dim}.safetensors")
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


def longer(runs: dict[int, list[dict]]) -> Figure:
    """The ELBO while models with more and more latents are trained, a line a seed."""
    figure = Figure(figsize=(10.2, 3.1), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, part, whose in zip(axes, ("train", "validation"), ("training", "validation")):
        for size, colour in zip((16, 32, 64), (5, 1, 6)):
            for i, run in enumerate(runs[size]):
                elbos = run[f"{part}_elbos"]
                label = None if i else f"{size} latents"
                axis.plot(range(1, len(elbos) + 1), elbos, color=COLOURS[colour], lw=1, label=label)
        axis.axvline(EARLY, color=COLOURS[8], linestyle=":")
        axis.set(
            title=f"ELBO of {whose} digits, nats",
            xlabel="epochs",
            ylim=(-135, None),
        )
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def doublings(runs: dict[int, list[dict]]) -> dict:
    """By how much each doubling of the latents raises the validation digits' log p(x), nats.

    ``chosen``: the first size whose doubling raises it, on average over the seeds, by no more than
    they differ in it (the standard deviation).
    """
    gained = {
        f"z{size}": spread(
            [
                larger["validation_log_likelihood"] - smaller["validation_log_likelihood"]
                for smaller, larger in zip(runs[size], runs[2 * size])
            ]
        )
        for size in SIZES[:-1]
    }
    gain = {size: gained[f"z{size}"] for size in SIZES[:-1]}
    chosen = next(size for size in gain if gain[size]["mean"] <= gain[size]["sd"])
    return {"gained": gained, "chosen": chosen, "swept": SIZES[-1]}


def after(runs: dict[int, list[dict]], epoch: int) -> dict:
    """The ELBO, nats, of validation digits after so many epochs, of training digits in the last."""
    return {"epoch": epoch} | {
        f"z{size}": {
            part: spread([run[f"{part}_elbos"][epoch - 1] for run in runs[size]])
            for part in ("train", "validation")
        }
        for size in SIZES
    }


def summed_up(runs: list[dict]) -> dict:
    curves = ("train_elbos", "validation_elbos")
    return over_runs([{k: v for k, v in run.items() if k not in curves} for run in runs])


def main() -> None:
    stop = stop_time()
    torch.set_num_threads(1)
    data, grey = vaelib.load("mnist-5k", binarize=True), vaelib.load("mnist-5k")
    judge = Judge(grey)

    def run(way: str, size: int, seed: int) -> dict:
        path = KEPT / f"{way}-z{size}-seed{seed}.json"
        return cached(path, stop, partial(scores, data, judge, way, size, seed))

    runs = {size: [] for size in SIZES}
    for seed in SEEDS:
        for size in SIZES:
            runs[size].append(run("elbo", size, seed))
    cured = {(size, way): [run(way, size, seed) for seed in SEEDS] for size, way in CURED}
    right = judge.probabilities(grey.test).argmax(1) == grey.test_labels
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, the others once), 500 test digits",
            "model": "one hidden layer of 256 on either side, Bernoulli pixels",
            "trained": TRAINED,
            "validation": VALIDATION,
            "patience": PATIENCE,
            "warm_up": WARM_UP,
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
        **{f"z{size}": summed_up(runs[size]) for size in SIZES},
        "doublings": doublings(runs),
        "early": after(runs, EARLY),
        "cures": {
            f"z{size}": {way: summed_up(some) for (n, way), some in cured.items() if n == size}
            for size in sorted({n for n, _ in CURED})
        },
        "perfect": {
            f"z{size}": of_perfect_codes(
                statistics.mean(run["train_rate"] for run in runs[size]), size, TRAINED
            )
            for size in SIZES
        },
    }
    made = ("table", "doubling_table", "code_table", "cure_table")
    results["tables"] = {name: getattr(tables, name)(results) for name in made}
    write_results("07-latent-dimension", results)
    few = {f"{n} latent" + "s" * (n > 1): KEPT / f"elbo-z{n}.safetensors" for n in SIZES[:5]}
    rows = {label: vaelib.load_model(path) for label, path in few.items()}
    every = {f"z{n}": vaelib.load_model(KEPT / f"elbo-z{n}.safetensors") for n in SIZES}
    write_models("latents", every, data.test)
    figure = side_by_side(rows, data.test[SHOWN])
    figure.savefig(image_path("07-side-by-side.png"), dpi=130)
    trade_off(results).savefig(image_path("07-trade-off.png"), dpi=130)
    longer(runs).savefig(image_path("07-longer.png"), dpi=130)


if __name__ == "__main__":
    main()

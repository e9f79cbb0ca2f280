"""Chapter 8: what a price on the rate does to models of sprites and digits.

python book/studies/08-beta-vae.py    about 7 minutes on 2 cores

Writes book/results/08-beta-vae.json, book/images/08-*.png and book/live/models-prices.*. Sprites:
from the table of sprites.py, the angles that 10-measuring.py finds, and the models that ship with
vaelib. Digits: trained here; each finished run is kept in _build/beta-vae/, so the command can be
stopped and given again; --seconds S starts no new run after S seconds.
"""

from __future__ import annotations

from functools import cache, partial

import beta_vae_pictures as pictures
import sprites
import torch
from beta_vae_tables import (
    PRICES,
    chords,
    going_out,
    key_of,
    standing,
    summarise_capacity,
    summarise_sprites,
    switched_on,
    total,
)
from digit_classifier import Judge
from in_use import IN_USE
from plane_models import write_models
from reporting import (
    RESULTS,
    ROOT,
    cached,
    existing,
    image_path,
    machine,
    over_runs,
    read_json,
    rounded,
    save_picture,
    stop_time,
    write_results,
)

import vaelib
from vaelib import metrics, objectives, pretrained

KEPT = ROOT / "_build" / "beta-vae"
SCRIPT = "book/studies/08-beta-vae.py"
DEVICE = "cpu"
SEEDS = range(3)
CAPACITY, GAMMAS = 15.0, (10, 100, 1000)  # of the digits: nats, reached after half the steps
EPOCHS, BATCH_SIZE, LEARNING_RATE, LATENT_DIM = 20, 100, 2e-3, 16
RISING_EPOCHS = 120  # of the models whose price rises


def objective_of(name: str, weight: float) -> objectives.Objective:
    if name == "price":
        return objectives.beta_vae(weight)
    rise = EPOCHS * 4500 // BATCH_SIZE // 2
    return objectives.annealed_capacity(objectives.linear(0, CAPACITY, rise), float(weight))


@cache
def judge() -> Judge:
    return Judge(vaelib.load("mnist-5k"))


def scores(data, name: str, weight: float, seed: int) -> dict:
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, LATENT_DIM, convs=(), hidden=256)
    options = dict(
        batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, seed=seed, device=DEVICE, progress=False
    )
    history = vaelib.fit(
        model, data, epochs=EPOCHS, objective=objective_of(name, weight), **options
    )
    drawn = vaelib.data.draw_binary(data.train, torch.Generator().manual_seed(1))
    test, train = (
        metrics.elbo_terms(model, data.test, samples=10),
        metrics.elbo_terms(model, drawn, samples=5),
    )
    log_p = metrics.log_likelihood(model, data.test, samples=100)
    if name == "price" and seed == 0:
        KEPT.mkdir(parents=True, exist_ok=True)
        vaelib.save_model(model, KEPT / f"{key_of(weight)}.safetensors")
    return {
        "distortion": test.reconstruction.mean().item(),
        "rate": test.kl.mean().item(),
        "elbo": test.elbo.mean().item(),
        "train_distortion": train.reconstruction.mean().item(),
        "train_rate": train.kl.mean().item(),
        "log_likelihood": log_p.mean().item(),
        "used": int((metrics.kl_per_dimension(model, data.test) > IN_USE).sum()),
        "legible_reconstruction": judge().legible(model.reconstruct(data.test)),
        "legible_sample": judge().legible(model.sample(2000, torch.Generator().manual_seed(seed))),
        "seconds": history.seconds,
    }


def rising_price(step: int) -> float:
    """1 for the first epochs, then up by a constant factor a step to the last of PRICES."""
    epoch = 4500 // BATCH_SIZE
    rise = objectives.falling(1.0, PRICES[-1], (RISING_EPOCHS - EPOCHS) * epoch)
    return rise(max(0, step - EPOCHS * epoch))


def while_rising(data, seed: int) -> dict:
    """The KL of each latent, nats, an epoch a record, while the price rises, and the price then."""
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, LATENT_DIM, convs=(), hidden=256)
    history = vaelib.fit(
        model,
        data,
        epochs=RISING_EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        objective=objectives.beta_vae(rising_price),
        seed=seed,
        device=DEVICE,
        progress=False,
    )
    return {
        "prices": rounded([rising_price(step) for step in history.steps]),
        "kl_per_dimension": [rounded(record) for record in history.kl_per_dimension],
    }


def main() -> None:
    stop = stop_time()
    torch.set_num_threads(1)
    study = sprites.read_study()
    turned = read_json(RESULTS / "10-measuring.json", "book/studies/10-measuring.py")["turned"]
    degrees = {run["seed"]: run["degrees"] for run in turned["runs"]}
    data, runs = vaelib.load("mnist-5k", binarize=True), {}
    wanted = [("price", price) for price in PRICES] + [("gamma", gamma) for gamma in GAMMAS]
    for seed in SEEDS:
        for name, weight in wanted:
            path = KEPT / f"{name}-{weight:g}-seed{seed}.json"
            run = cached(path, stop, partial(scores, data, name, weight, seed))
            runs.setdefault((name, weight), []).append(run)
    rising = [
        cached(KEPT / f"rising-seed{seed}.json", stop, partial(while_rising, data, seed))
        for seed in SEEDS
    ]
    sprites_points = [
        {
            r["weight"]: (r["kl"], r["reconstruction"])
            for r in study["runs"]
            if (r["method"], r["seed"]) == ("beta-vae", s)
        }
        for s in sorted({r["seed"] for r in study["runs"]})
    ]
    digits = {price: runs["price", price] for price in PRICES}
    digits_points = [
        {p: (digits[p][s]["train_rate"], digits[p][s]["train_distortion"]) for p in PRICES}
        for s in SEEDS
    ]
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once), 500 test digits",
            "model": "16 latents, one hidden layer of 256 on either side, Bernoulli pixels",
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "seeds": len(SEEDS),
            **machine(DEVICE),
        },
        "study": study["setting"],
        "fast_learning_rate": sprites.learning_rate_of(sprites.FAST),
        "digits": {key_of(price): over_runs(digits[price]) for price in PRICES},
        "digits_capacity": {
            "nats": CAPACITY,
            **{f"g{gamma}": over_runs(runs["gamma", gamma]) for gamma in GAMMAS},
        },
        "going_out": {"epochs": RISING_EPOCHS - EPOCHS, **going_out(rising)},
        "digits_chords": total([chords(points) for points in digits_points]),
        "sprites": summarise_sprites(study["runs"]),
        "sprites_chords": total([chords(points) for points in sprites_points]),
        "standing": standing(study["runs"]),
        "switched_on": switched_on(study["runs"]),
        "falling_turn": {
            "min": min(degrees.values()),
            "max": max(degrees.values()),
        },
        "capacity": summarise_capacity(study),
        "shipped": {
            name.replace("-", "_"): shipped_scores(name)
            for name in pretrained.names()
            if name.startswith("sprites")
        },
    }
    write_results("08-beta-vae", results)
    shown = {key_of(price): KEPT / f"{key_of(price)}.safetensors" for price in PRICES}
    models = {key: vaelib.load_model(existing(path, SCRIPT)) for key, path in shown.items()}
    write_models("prices", models, data.test)
    drawn = {
        "rate-distortion": pictures.rate_distortion(results, study),
        "switching-on": pictures.switching_on(study),
        "seeds": pictures.seeds(study, degrees),
        "shipped": pictures.shipped("sprites-beta-vae"),
    }
    for name, figure in drawn.items():
        figure.savefig(image_path(f"08-{name}.png"), dpi=130)
    save_picture(pictures.digits(results), "08-digits", colours=64)
    save_picture(pictures.best_codes(), "08-best-codes")


def shipped_scores(name: str) -> dict:
    card = pretrained.card(name)
    wanted = ("elbo", "reconstruction", "kl", "mig", "mig_gaps")
    return {
        "seed": card["seed"],
        "steps": card["steps"],
        **{key: card["scores"][key] for key in wanted},
    }


if __name__ == "__main__":
    main()

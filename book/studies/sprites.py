"""What beta, its schedule, the capacity and the total correlation do to the codes of sprites, over five seeds.

python book/studies/sprites.py    about an hour on 2 cores, two runs at a time; interrupted, it goes on where
it was. Writes book/results/sprites.json, from which chapters 8 to 10 take their figures and numbers, and the
models to benchmarks/models/, from which book/studies/shipped.py takes those that ship.
"""

from __future__ import annotations

import json
import math
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import torch
from reporting import ROOT, machine, rounded

import vaelib
from vaelib import ConvSpec, disentanglement, losses, metrics, objectives

TABLE = ROOT / "benchmarks" / "results" / "sprites_study.json"
MODELS = ROOT / "benchmarks" / "models"
SEEDS = range(5)
STEPS, BATCH_SIZE, LEARNING_RATE = 5000, 128, 1e-3
LATENT_DIM, CONVS, HIDDEN = 10, (ConvSpec(16), ConvSpec(32), ConvSpec(32)), 128
SCORED, SCORED_SEED = 10_000, 2026  # images, drawn once: those of every score
BETAS = (1, 2, 4, 8, 16)


def falling(price: float) -> objectives.Schedule:
    """From 40, at which every latent is off, down to ``price`` by a constant factor a step, over the first 2,000 steps."""
    return objectives.falling(40, price, 2000)


def objective(method: str, weight: float, dataset_size: int) -> objectives.Objective:
    """What a run descends; each schedule is spelt out in `setting`."""
    return {
        "beta-vae": lambda: objectives.beta_vae(weight),
        "falling-beta": lambda: objectives.beta_vae(falling(weight)),
        "falling-beta-fast": lambda: objectives.beta_vae(falling(weight)),
        "annealed-capacity": lambda: objectives.annealed_capacity(
            objectives.linear(0, weight, 4 * STEPS // 5), 100.0
        ),
        "beta-tcvae": lambda: objectives.beta_tcvae(weight, dataset_size),
        "falling-tcvae": lambda: objectives.beta_tcvae(
            falling(weight), dataset_size, rest=falling(2)
        ),
    }[method]()


# the same as falling-beta with twice the learning rate: how much of the result is the time that training had
FAST = "falling-beta-fast"
METHODS = [
    ("falling-beta", 4),
    (FAST, 4),
    ("falling-tcvae", 10),
    ("beta-tcvae", 15),
    *(("beta-vae", beta) for beta in BETAS),
    ("annealed-capacity", 10),
]
# seed by seed, so that whatever has been reached is balanced
RUNS = [(method, weight, seed) for seed in SEEDS for method, weight in METHODS]


def run(method: str, weight: float, seed: int) -> dict:
    """Train and score one model; its record, and its weights in MODELS."""
    torch.set_num_threads(1)
    sprites = vaelib.load("sprites", image_size=32)
    images, factors = sprites.sample(SCORED, torch.Generator().manual_seed(SCORED_SEED))
    torch.manual_seed(seed)
    model = vaelib.VAE(sprites.image_shape, LATENT_DIM, CONVS, HIDDEN)
    terms = {"steps": [], **{name: [] for name in losses.KLTerms._fields}}

    def watch(model, history):
        if history.steps[-1] % 500 == 0:
            parts = metrics.kl_decomposition(model, images[:2000], len(sprites), points=500)
            terms["steps"].append(history.steps[-1])
            for name, values in parts._asdict().items():
                terms[name].append(round(values.mean().item(), 4))

    history = vaelib.fit(
        model,
        sprites,
        steps=STEPS,
        batch_size=BATCH_SIZE,
        learning_rate=learning_rate_of(method),
        objective=objective(method, weight, len(sprites)),
        seed=seed,
        device="cpu",
        progress=False,
        on_record=watch,
    )
    MODELS.mkdir(exist_ok=True)
    vaelib.save_model(model, MODELS / f"{name_of(method, weight, seed)}.safetensors", half=True)
    return {
        "method": method,
        "weight": weight,
        "seed": seed,
        **scores(model, images, factors, len(sprites)),
        "seconds": round(history.seconds, 1),
        "history": {
            "steps": history.steps,
            "reconstruction": rounded(history.train["reconstruction"]),
            "kl": rounded(history.train["kl"]),
            "kl_per_dimension": [rounded(record) for record in history.kl_per_dimension],
            "terms": terms,
        },
    }


def learning_rate_of(method: str) -> float:
    return 2 * LEARNING_RATE if method == FAST else LEARNING_RATE


def scores(model, images: torch.Tensor, factors: torch.Tensor, dataset_size: int) -> dict:
    """Everything that is said of a trained model: ELBO and its terms in nats, the KL's parts, the disentanglement scores."""
    terms = metrics.elbo_terms(model, images)
    with torch.no_grad():
        codes = torch.cat([model.encode(part)[0] for part in images.split(512)])
    parts = metrics.kl_decomposition(model, images, dataset_size, points=2000)._asdict()
    information = disentanglement.mutual_information(
        codes, factors
    ) / disentanglement.factor_entropy(factors)
    return {
        "elbo": terms.elbo.mean().item(),
        "reconstruction": terms.reconstruction.mean().item(),
        "kl": terms.kl.mean().item(),
        "kl_per_dimension": rounded(metrics.kl_per_dimension(model, images).tolist()),
        "active_units": int((metrics.active_units(model, images) > 0.01).sum()),
        **{name: values.mean().item() for name, values in parts.items()},
        **{
            f"{name}_se": values.std().item() / math.sqrt(len(values))
            for name, values in parts.items()
        },
        "mig_gaps": rounded(disentanglement.mig_gaps(codes, factors).tolist()),
        **disentanglement.scores(codes, factors),
        "information": [rounded(row) for row in information.tolist()],
    }


def name_of(method: str, weight: float, seed: int) -> str:
    return f"{method}-{weight}-seed{seed}"


def setting() -> dict:
    return {
        "data": "sprites, 32 x 32, black and white; every training image drawn anew",
        "steps": STEPS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "latent_dim": LATENT_DIM,
        "network": "convolutions 16, 32, 32 (4 x 4, stride 2), a layer of 128, mirrored; Bernoulli",
        "seeds": len(SEEDS),
        "scored_images": SCORED,
        "falling-beta": "beta from 40 to the weight over the first 2,000 steps, by a constant factor a step",
        FAST: f"the same, learning rate {learning_rate_of(FAST)}",
        "falling-tcvae": "total correlation's weight as in falling-beta, the rest's from 40 to 2 likewise",
        "annealed-capacity": f"capacity from 0 to the weight, in nats, over {4 * STEPS // 5} steps, gamma 100",
        "beta-tcvae": "stratified minibatch estimate",
        **machine(),
    }


def read_runs() -> list[dict]:
    return json.loads(TABLE.read_text())["runs"] if TABLE.exists() else []


def write_runs(runs: list[dict]) -> None:
    """The whole table, replaced at once, a run a line, in the order of RUNS."""
    order = {key: i for i, key in enumerate(RUNS)}
    runs = sorted(runs, key=lambda r: order.get(key_of(r), len(order)))
    lines = ",\n".join(json.dumps(record, allow_nan=False) for record in runs)
    TABLE.parent.mkdir(exist_ok=True)
    partial = TABLE.with_suffix(".partial")
    partial.write_text(f'{{"setting": {json.dumps(setting())},\n"runs": [\n{lines}\n]}}\n')
    os.replace(partial, TABLE)


def key_of(record: dict) -> tuple[str, float, int]:
    return record["method"], record["weight"], record["seed"]


def urgency(key: tuple[str, float, int]) -> tuple[int, int]:
    """What to run first, so that a study that is stopped early has what matters most."""
    method, _, seed = key
    order = ("falling-beta", FAST, "falling-tcvae", "beta-vae", "beta-tcvae", "annealed-capacity")
    return (0 if method in order[:2] else 1 + (seed > 2) * (1 + (method in order[4:])), seed)


def main() -> None:
    runs = read_runs()
    left = [key for key in RUNS if key not in {key_of(record) for record in runs}]
    left.sort(key=urgency)
    os.environ |= {"OMP_NUM_THREADS": "1"}
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *key) for key in left]):
            record = future.result()
            runs.append(record)
            write_runs(runs)
            print(
                key_of(record),
                *(f"{k} {record[k]:.3f}" for k in ("mig", "elbo", "kl")),
                record["mig_gaps"],
                flush=True,
            )


if __name__ == "__main__":
    main()

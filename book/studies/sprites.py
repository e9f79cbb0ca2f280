"""What beta, its schedule, the capacity and the total correlation do to the codes of sprites.

python book/studies/sprites.py    about an hour on 2 cores, two runs at a time

Five seeds of each. Writes book/results/sprites.json, from which chapters 8 to 10 take their figures
and numbers, and the models to _build/sprites/, from which shipped.py takes those that ship.
Interrupted, it goes on where it was: a run is made whose record, scores of drawn codes or model is
missing.
"""

from __future__ import annotations

import json
import math
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from in_use import IN_USE
from reporting import RESULTS, ROOT, machine, model_scores, read_json, rounded

import vaelib
from vaelib import ConvSpec, disentanglement, losses, metrics, objectives
from vaelib.ada_gvae import AdaGVAE, Pairs
from vaelib.data.factors import FactorImages
from vaelib.data.images import Stream
from vaelib.dip_vae import dip_vae
from vaelib.factor_vae import FactorVAE
from vaelib.models import draw_latents
from vaelib.saving import write

TABLE = RESULTS / "sprites.json"
MODELS = ROOT / "_build" / "sprites"
SCRIPT = "book/studies/sprites.py"
DEVICE = "cpu"
SEEDS = range(5)
STEPS, BATCH_SIZE, LEARNING_RATE = 5000, 128, 1e-3
LATENT_DIM, CONVS, HIDDEN = 10, (ConvSpec(16), ConvSpec(32), ConvSpec(32)), 128
SCORED, SCORED_SEED = 10_000, 2026  # images, drawn once: those of every score
BETAS = (1, 2, 4, 8, 16)


def falling(price: float) -> objectives.Schedule:
    """From 40, at which every latent is off, down to ``price`` over the first 2,000 steps."""
    return objectives.falling(40, price, 2000)


def rising(capacity: float) -> objectives.Schedule:
    """From 0 in a straight line to ``capacity`` nats, over the first four fifths of the steps."""
    return objectives.linear(0, capacity, 4 * STEPS // 5)


# falling-beta with twice the learning rate: how much of the result is the time that training had
FAST = "falling-beta-fast"
# falling-beta on sprites whose centre moves half as far down as to the right: what answers.py
# predicts of the angle between the latents and x and y
HALF_Y = "falling-beta-half-y"
# trained on pairs of images that share factors
ADA_GVAE = "ada-gvae"
# FactorVAE's discriminator: a fifth of the published width, for that is what a step may cost here;
# the rate of the rest, as in the paper
WIDTH = 200
# the third of the six weights that Locatello et al. (2019) try, for images of half the width; the
# penalty on DIP-VAE I's diagonal is ten times the other, on II's the same, as theirs
SEPARATING = [(ADA_GVAE, 1), ("factor-vae", 30), ("dip-vae-i", 5), ("dip-vae-ii", 5)]


def objective(method: str, weight: float, dataset_size: int, seed: int = 0) -> objectives.Objective:
    """What a run descends; each schedule is spelt out in `setting`."""
    return {
        "beta-vae": lambda: objectives.beta_vae(weight),
        "falling-beta": lambda: objectives.beta_vae(falling(weight)),
        FAST: lambda: objectives.beta_vae(falling(weight)),
        HALF_Y: lambda: objectives.beta_vae(falling(weight)),
        "annealed-capacity": lambda: objectives.annealed_capacity(rising(weight), 100.0),
        "beta-tcvae": lambda: objectives.beta_tcvae(weight, dataset_size),
        "falling-tcvae": lambda: objectives.beta_tcvae(
            falling(weight), dataset_size, rest=falling(2)
        ),
        ADA_GVAE: lambda: objectives.beta_vae(weight),
        "factor-vae": lambda: FactorVAE(LATENT_DIM, weight, WIDTH, LEARNING_RATE, seed),
        "dip-vae-i": lambda: dip_vae("i", weight, 10 * weight),
        "dip-vae-ii": lambda: dip_vae("ii", weight, weight),
    }[method]()


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


def images_of(method: str) -> FactorImages:
    """Sprites; for HALF_Y those in the middle half of the rows, 16 of the 32 values of y."""
    sprites = vaelib.load("sprites", image_size=32)
    if method != HALF_Y:
        return sprites
    down = torch.tensor([0, 0, 0, 0, sprites.factor_sizes[4] // 4])
    sizes = (*sprites.factor_sizes[:4], sprites.factor_sizes[4] // 2)
    return replace(sprites, factor_sizes=sizes, draw=lambda rows: sprites.draw(rows + down))


def run(method: str, weight: float, seed: int) -> dict:
    """Train and score one model; its record, and its weights in MODELS."""
    torch.set_num_threads(1)
    sprites = images_of(method)
    images, factors = sprites.sample(SCORED, torch.Generator().manual_seed(SCORED_SEED))
    torch.manual_seed(seed)
    kind = AdaGVAE if method == ADA_GVAE else vaelib.VAE
    model = kind(sprites.image_shape, LATENT_DIM, CONVS, HIDDEN)
    stream: Stream = Pairs(sprites) if method == ADA_GVAE else sprites
    terms = {"steps": [], **{name: [] for name in losses.KLTerms._fields}}

    def watch(model, history):
        if history.steps[-1] % 500 == 0:
            parts = metrics.kl_decomposition(model, images[:2000], len(sprites), points=500)
            terms["steps"].append(history.steps[-1])
            for name, values in parts._asdict().items():
                terms[name].append(round(values.mean().item(), 4))

    history = vaelib.fit(
        model,
        stream,
        steps=STEPS,
        batch_size=BATCH_SIZE,
        learning_rate=learning_rate_of(method),
        objective=objective(method, weight, len(sprites), seed),
        seed=seed,
        device=DEVICE,
        progress=False,
        on_record=watch,
    )
    MODELS.mkdir(parents=True, exist_ok=True)
    vaelib.save_model(model, model_path((method, weight, seed)), half=True)
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
    """A trained model's ELBO and its terms in nats, the KL's parts, the disentanglement scores.

    Those are of the posterior means of all latents; the same under "in_use" of the means of the
    latents in use (empty where there are not two), under "drawn" of codes drawn from q(z | x).
    """
    mean, log_var = metrics.encode(model, images)
    drawn = draw_latents(mean, log_var, torch.Generator().manual_seed(SCORED_SEED))
    rates = losses.kl_to_standard_normal_per_dimension(mean, log_var).mean(0)
    speak = mean[:, rates > IN_USE]
    parts = metrics.kl_decomposition(model, images, dataset_size, points=2000)._asdict()
    return {
        **model_scores(model, images),
        **{name: values.mean().item() for name, values in parts.items()},
        **{
            f"{name}_se": values.std().item() / math.sqrt(len(values))
            for name, values in parts.items()
        },
        **of_codes(mean, factors),
        "in_use": of_codes(speak, factors) if speak.shape[1] > 1 else {},
        "drawn": of_codes(drawn, factors),
        "gaussian_tc": gaussian_tc(mean, drawn, rates),
    }


def gaussian_tc(mean: torch.Tensor, drawn: torch.Tensor, rates: torch.Tensor) -> dict:
    """The total correlation of a normal with the covariance of all means, of those in use, drawn.

    It knows no scale: a mean that hardly moves counts like any other.
    """
    codes = {"means": mean, "in_use": mean[:, rates > IN_USE], "drawn": drawn}
    return {
        name: disentanglement.gaussian_total_correlation(own) if own.shape[1] > 1 else 0.0
        for name, own in codes.items()
    }


def of_codes(codes: torch.Tensor, factors: torch.Tensor) -> dict:
    """The disentanglement scores of codes (N, d), and what each latent says of each factor."""
    information = disentanglement.mutual_information(codes, factors)
    information /= disentanglement.factor_entropy(factors)
    return {
        "mig_gaps": rounded(disentanglement.mig_gaps(codes, factors).tolist()),
        **disentanglement.scores(codes, factors),
        "information": [rounded(row) for row in information.tolist()],
    }


def key_of(record: dict) -> tuple[str, float, int]:
    return record["method"], record["weight"], record["seed"]


def model_path(key: tuple[str, float, int]) -> Path:
    method, weight, seed = key
    return MODELS / f"{method}-{weight}-seed{seed}.safetensors"


def setting() -> dict:
    """Of all runs, as pages quote it."""
    rise = 4 * STEPS // 5
    return {
        "data": "sprites, 32 x 32, black and white; every training image drawn anew",
        "steps": STEPS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "latent_dim": LATENT_DIM,
        "network": "convolutions 16, 32, 32 (4 x 4, stride 2), a layer of 128, mirrored; Bernoulli",
        "seeds": len(SEEDS),
        "scored_images": SCORED,
        "falling-beta": "beta from 40 to the weight over the first 2,000 steps, "
        "by a constant factor a step",
        FAST: f"the same, learning rate {learning_rate_of(FAST)}",
        HALF_Y: "as falling-beta; of y only the middle 16 of 32 values",
        "falling-tcvae": "total correlation's weight as in falling-beta, "
        "the rest's from 40 to 2 likewise",
        "annealed-capacity": f"capacity from 0 to the weight, in nats, over {rise} steps, "
        "gamma 100",
        "beta-tcvae": "stratified minibatch estimate",
        ADA_GVAE: "beta the weight; pairs in which 1 to 4 of the 5 factors change, uniform",
        "factor-vae": f"gamma the weight; discriminator of 6 layers of {WIDTH}, "
        f"learning rate {LEARNING_RATE}",
        "dip-vae-i": "off the diagonal the weight, on it ten times that",
        "dip-vae-ii": "off and on the diagonal the weight",
        **machine(DEVICE),
    }


def read_study() -> dict:
    """The setting and the runs; SystemExit where the study was not made yet."""
    return read_json(TABLE, SCRIPT)


def write_runs(table: Path, runs: list[dict], order: list[tuple]) -> None:
    """The whole table, replaced at once, a run a line, in the order given."""
    places = {key: i for i, key in enumerate(order)}
    runs = sorted(runs, key=lambda r: places.get(key_of(r), len(places)))
    lines = ",\n".join(json.dumps(record, allow_nan=False) for record in runs)
    table.parent.mkdir(exist_ok=True)
    write(table, f'{{"setting": {json.dumps(setting())},\n"runs": [\n{lines}\n]}}\n')


def urgency(key: tuple[str, float, int]) -> tuple[int, int]:
    """What to run first, so that a study that is stopped early has what matters most."""
    method, _, seed = key
    order = ("falling-beta", FAST, "falling-tcvae", "beta-vae", "beta-tcvae", "annealed-capacity")
    return (0 if method in order[:2] else 1 + (seed > 2) * (1 + (method in order[4:])), seed)


def make(table: Path, runs: list[tuple], at_once: int, first=None) -> None:
    """Make the runs that ``table`` lacks, so many at once; write each as it ends.

    The table's order is that of ``runs``; ``first``, a key to sort by, may be another to make them.
    """
    made = read_json(table, SCRIPT)["runs"] if table.exists() else []
    records = {key_of(record): record for record in made}
    left = [
        key
        for key in sorted(runs, key=first or runs.index)
        if "drawn" not in records.get(key, {}) or not model_path(key).exists()
    ]
    os.environ |= {"OMP_NUM_THREADS": "1"}
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *key) for key in left]):
            record = future.result()
            records[key_of(record)] = record
            write_runs(table, list(records.values()), runs)
            print(
                key_of(record),
                *(f"{k} {record[k]:.3f}" for k in ("mig", "elbo", "kl")),
                record["mig_gaps"],
                flush=True,
            )


def main() -> None:
    make(TABLE, RUNS, os.cpu_count() or 1, urgency)


if __name__ == "__main__":
    main()

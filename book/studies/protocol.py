"""Every objective of chapters 8 to 10 under the published protocol, as far as a CPU's hours go.

python book/studies/protocol.py                three hours on one core; goes on where it was
python book/studies/protocol.py --steps 300000 the published length: for a GPU, or weeks of a core

The protocol is that of Locatello et al. (2019): black and white sprites of 64 x 64, ten latents,
batches of 64, Adam with the rate 1e-4, their convolutions, one weight from the middle of each of
their ranges. dSprites where its file is, under $VAELIB_DATA; else the course's own sprites, which
have the same factors. A run that is asked for more steps goes on from where it stood, so that the
table may grow. Writes book/results/protocol.json; checkpoints are under _build/protocol/.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import sprites as study
import torch
from reporting import RESULTS, ROOT, machine, read_json

import vaelib
from vaelib import ConvSpec, DataError, objectives
from vaelib.ada_gvae import AdaGVAE, Pairs
from vaelib.data.factors import FactorImages
from vaelib.device import pick_device
from vaelib.factor_vae import FactorVAE

TABLE = RESULTS / "protocol.json"
KEPT = ROOT / "_build" / "protocol"
SCRIPT = "book/studies/protocol.py"
SEEDS = range(3)
STEPS, PUBLISHED_STEPS = 3000, 300_000
BATCH_SIZE, LEARNING_RATE, LATENT_DIM = 64, 1e-4, 10
CONVS, HIDDEN = (ConvSpec(32), ConvSpec(32), ConvSpec(64), ConvSpec(64)), 256
WIDTH = 1000  # of FactorVAE's discriminator
# steps over which beta falls and the capacity rises; the published capacity takes a third of all
FALL, RISE = 1000, 1000

# and their names, in the order of the table
METHODS = {
    ("vae", 1): "VAE",
    ("beta-vae", 4): "$\\beta=4$",
    ("falling-beta", 4): "falling $\\beta$ to 4",
    ("annealed-capacity", 25): "capacity to 25",
    ("beta-tcvae", 6): "TCVAE, $\\beta=6$",
    ("factor-vae", 30): "FactorVAE, $\\gamma=30$",
    ("dip-vae-i", 5): "DIP-VAE I",
    ("dip-vae-ii", 5): "DIP-VAE II",
    (study.ADA_GVAE, 1): "Ada-GVAE",
}
# seed by seed, so that whatever has been reached is balanced
RUNS = [(method, weight, seed) for seed in SEEDS for method, weight in METHODS]


def objective(method: str, weight: float, dataset_size: int, seed: int) -> objectives.Objective:
    """As in sprites.py but for the lengths, the capacity's gamma and the discriminator."""
    own = {
        "falling-beta": lambda: objectives.beta_vae(objectives.falling(40, weight, FALL)),
        "annealed-capacity": lambda: objectives.annealed_capacity(
            objectives.linear(0, weight, RISE), 1000.0
        ),
        "factor-vae": lambda: FactorVAE(LATENT_DIM, weight, WIDTH, LEARNING_RATE, seed),
    }
    if method in own:
        return own[method]()
    return study.objective("beta-vae" if method == "vae" else method, weight, dataset_size, seed)


@cache
def images() -> FactorImages:
    """The published file where it lies, else the course's own sprites."""
    try:
        return vaelib.load("dsprites", image_size=64, download=False)
    except DataError:
        return vaelib.load("sprites", image_size=64)


def checkpoint_path(key: tuple[str, float, int]) -> Path:
    method, weight, seed = key
    return KEPT / f"{images().name}-{method}-{weight}-seed{seed}.pt"


def run(method: str, weight: float, seed: int, steps: int, device: str) -> dict:
    """Train one model to so many steps, from its checkpoint where there is one, and score it."""
    torch.set_num_threads(1)
    data, paired = images(), method == study.ADA_GVAE
    torch.manual_seed(seed)
    kind = AdaGVAE if paired else vaelib.VAE
    model = kind(data.image_shape, LATENT_DIM, CONVS, HIDDEN)
    KEPT.mkdir(parents=True, exist_ok=True)
    history = vaelib.fit(
        model,
        Pairs(data) if paired else data,
        steps=steps,
        batch_size=2 * BATCH_SIZE if paired else BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        objective=objective(method, weight, len(data), seed),
        seed=seed,
        device=device,
        precision="bf16",
        progress=False,
        checkpoint=checkpoint_path((method, weight, seed)),
    )
    scored, factors = data.sample(study.SCORED, torch.Generator().manual_seed(study.SCORED_SEED))
    model.to("cpu")
    return {
        "method": method,
        "weight": weight,
        "seed": seed,
        "steps": history.steps[-1],
        **study.scores(model, scored, factors, len(data)),
        "seconds": round(history.seconds, 1),
    }


def setting(device: str) -> dict:
    """Of all runs, as the page quotes it, and in what it is not the published one."""
    return {
        "data": f"{images().name}, 64 x 64, black and white; every training image drawn anew",
        "published_steps": PUBLISHED_STEPS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "latent_dim": LATENT_DIM,
        "network": "convolutions 32, 32, 64, 64 (4 x 4, stride 2; the published encoder's last two "
        "are 2 x 2), a layer of 256, mirrored; Bernoulli; first weights of He et al., bfloat16",
        "scored_images": study.SCORED,
        "falling-beta": f"beta from 40 to the weight over {FALL:,} steps; not in the published "
        "study",
        "annealed-capacity": f"capacity from 0 to the weight over {RISE:,} steps (published: "
        "100,000), gamma 1,000",
        "factor-vae": f"gamma the weight; discriminator of 6 layers of {WIDTH:,}",
        "dip-vae-i": "off the diagonal the weight, on it ten times that",
        "dip-vae-ii": "off and on the diagonal the weight",
        study.ADA_GVAE: "beta the weight; 64 pairs a step, in which 1 to 4 of 5 factors change",
        **machine(device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = str(pick_device(args.device))
    made = read_json(TABLE, SCRIPT)["runs"] if TABLE.exists() else []
    records = {study.key_of(record): record for record in made}
    left = [key for key in RUNS if records.get(key, {"steps": 0})["steps"] < args.steps]
    os.environ |= {"OMP_NUM_THREADS": "1"}
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *key, args.steps, device) for key in left]):
            record = future.result()
            records[study.key_of(record)] = record
            study.write_runs(TABLE, list(records.values()), RUNS, setting(device))
            drawn = record["drawn"]["mig"]
            print(
                *study.key_of(record), f"elbo {record['elbo']:.1f}", f"mig {drawn:.3f}", flush=True
            )


if __name__ == "__main__":
    main()

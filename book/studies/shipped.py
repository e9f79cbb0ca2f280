"""Train anew the models of digits and sprites that ship with the package.

python book/studies/shipped.py [NAME ...]    all of them, half an hour on 2 cores from nothing, or
                                             those named

Writes them with their cards to vaelib/pretrained/. A model of sprites is one run of sprites.py,
from _build/sprites/ where the study has left it; those of digits take a minute each. Those of MNIST
are runs of gallery.py, which 11-gallery.py ships.
"""

from __future__ import annotations

import argparse

import sprites as study
import torch
from reporting import machine, model_scores, rounded, write_card

import vaelib
from vaelib import ConvSpec, pretrained
from vaelib.saving import write

# name: what it shows, and the run of the study that it is
SPRITES = {
    "sprites-vae": ("beta 1, the plain VAE", ("beta-vae", 1, 0)),
    "sprites-beta4": ("beta 4 throughout", ("beta-vae", 4, 0)),
    "sprites-beta16": ("beta 16 throughout", ("beta-vae", 16, 0)),
    "sprites-beta-vae": (
        "beta falls from 40 to 4; of the study's seeds the one with the best MIG",
        ("falling-beta", 4, 2),
    ),
    "sprites-annealed": ("capacity annealing to 10 nats", ("annealed-capacity", 10, 0)),
    "sprites-beta-tcvae": (
        "beta-TCVAE, its weight falls from 40 to 10, the rest's from 40 to 2; "
        "of the study's seeds the one with the best MIG",
        ("falling-tcvae", 10, 2),
    ),
}
DIGITS = {"digits-2": 2, "digits-16": 16}
EPOCHS, BATCH_SIZE, LEARNING_RATE = 40, 100, 2e-3


def sprites_model(name: str) -> dict:
    objective, key = SPRITES[name]
    path = study.model_path(key)
    records = {study.key_of(record): record for record in study.read_study()["runs"]}
    record = records[key] if key in records and path.exists() else study.run(*key)
    write(pretrained.FOLDER / f"{name}.safetensors", path.read_bytes())
    data = vaelib.load("sprites", image_size=32)
    images, factors = data.sample(study.SCORED, torch.Generator().manual_seed(study.SCORED_SEED))
    return {
        "data": {
            "name": "sprites",
            "image_size": 32,
            "scored_images": study.SCORED,
            "scored_seed": study.SCORED_SEED,
        },
        "objective": objective,
        "method": key[0],
        "weight": key[1],
        "seed": key[2],
        "steps": study.STEPS,
        "batch_size": study.BATCH_SIZE,
        "learning_rate": study.learning_rate_of(key[0]),
        "seconds": record["seconds"],
        # of the weights as shipped, in half precision
        "scores": study.scores(vaelib.load_pretrained(name), images, factors, len(data)),
        "history": record["history"],
        **machine(study.DEVICE),
    }


def digits_model(name: str) -> dict:
    data = vaelib.load("mnist-5k", binarize=True)
    torch.manual_seed(0)
    model = vaelib.VAE(data.image_shape, DIGITS[name], [ConvSpec(16), ConvSpec(32)], hidden=256)
    history = vaelib.fit(
        model, data, epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE
    )
    vaelib.save_model(model, pretrained.FOLDER / f"{name}.safetensors", half=True)
    return {
        "data": {"name": "mnist-5k", "binarize": True},
        "objective": "beta 1, the plain VAE",
        "method": "beta-vae",
        "weight": 1,
        "seed": 0,
        "epochs": EPOCHS,
        "steps": history.steps[-1],
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "seconds": round(history.seconds, 1),
        # of the weights as shipped
        "scores": model_scores(vaelib.load_pretrained(name), data.test),
        "history": {
            "steps": history.steps,
            "reconstruction": rounded(history.train["reconstruction"]),
            "kl": rounded(history.train["kl"]),
            "kl_per_dimension": [rounded(record) for record in history.kl_per_dimension],
        },
        **machine(history.device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    known = (*SPRITES, *DIGITS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or known
    if unknown := set(names) - set(known):
        parser.error(f"no model {min(unknown)!r}; there are: {', '.join(known)}")
    torch.set_num_threads(1)
    for name in names:
        card = sprites_model(name) if name in SPRITES else digits_model(name)
        write_card(name, card)
        print(name, {k: round(card["scores"][k], 3) for k in ("elbo", "kl")}, flush=True)


if __name__ == "__main__":
    main()

"""Chapter 9: the KL's three parts, of models of sprites and of digits.

python book/studies/09-elbo-surgery.py    about 10 minutes on 2 cores

Writes book/results/09-elbo-surgery.json and book/images/09-*.png. Sprites: the table and the models
of sprites.py. Each finished measurement is kept in _build/elbo-surgery/, so the command can be
stopped and given again; --seconds S starts none after S seconds.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache, partial
from pathlib import Path

import elbo_surgery_pictures as pictures
import prior_misses
import sprites as study
import torch
from elbo_surgery_tables import (
    BRACKETED,
    COUNTS,
    KINDS,
    PARTS,
    at_equal_terms,
    differences,
    ends,
    image_entropy,
    key_of,
    missing,
    order,
    over_seeds,
    ratios,
    seed_by_seed,
    with_brackets,
    with_migs,
    with_words,
)
from reporting import (
    ROOT,
    cached,
    existing,
    image_path,
    machine,
    over_runs,
    stop_time,
    write_results,
)

import vaelib
from vaelib import losses, metrics, objectives
from vaelib.models import draw_latents
from vaelib.pretrained import FOLDER, load_pretrained

KEPT = ROOT / "_build" / "elbo-surgery"
DEVICE = "cpu"
POINTS = 1000  # codes drawn, of the study's models
IMAGES = 50_000  # in their aggregate posterior
ON_A_LINE = 20_000  # images in the marginals: one dimension needs no more
SHIPPED = {"sprites-vae": "plain", "sprites-beta-tcvae": "tcvae"}
DIGITS = {"elbo": ("beta", 1.0), "beta4": ("beta", 4.0), "tc4": ("tc", 4.0), "tc10": ("tc", 10.0)}
DIGIT_SEEDS, EPOCHS, DIGIT_BATCH, DIGIT_RATE = range(3), 20, 100, 2e-3


def encoded(model, images) -> tuple[torch.Tensor, torch.Tensor]:
    mean, log_var = metrics.encode(model, images)
    return mean.double(), log_var.double()


def sums(z, mean, log_var) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each z the log of the sum over images of q(z | n), (points,), and of q(z_j | n).

    The latter for each latent by itself: (points, d).
    """
    inverse = torch.exp(-log_var)
    constant = -0.5 * (mean.square() * inverse + log_var + losses.LOG_2PI).sum(1)
    joint, marginals = [], []
    for part in z.split(max(1, 2**25 // len(mean))):
        log_density = part @ (mean * inverse).T - 0.5 * part.square() @ inverse.T + constant
        joint.append(log_density.logsumexp(1))
    few, precision, half_log = (
        t[:ON_A_LINE].float().T for t in (mean, inverse, 0.5 * (log_var + losses.LOG_2PI))
    )
    for part in z.float().split(max(1, 2**24 // few.numel())):
        log_density = (part[:, :, None] - few).square_().mul_(-0.5 * precision).sub_(half_log)
        marginals.append(log_density.logsumexp(2).double() + math.log(len(mean) / few.shape[1]))
    return torch.cat(joint), torch.cat(marginals)


def parts_of(mean, log_var, dataset_size: int, points: int = POINTS, seed: int = 0) -> dict:
    """The three parts and their errors, from below and from above.

    Below, these images are taken for the whole data set; above, the estimate is stratified.
    """
    z = draw_latents(mean, log_var, torch.Generator().manual_seed(seed))[:points]
    own = -0.5 * (
        (z - mean[:points]).square() / log_var[:points].exp() + log_var[:points] + losses.LOG_2PI
    )
    prior = -0.5 * (z.square() + losses.LOG_2PI)
    joint, marginals = sums(z, mean, log_var)
    parts, m, n = {}, len(mean), dataset_size
    for end in ("low", "high"):
        if end == "low" or m == n:
            log_q, log_marginals = joint - math.log(m), marginals - math.log(m)
        else:
            log_q, log_marginals = (
                stratified(total, mine, m, n)
                for total, mine in ((joint, own.sum(1)), (marginals, own))
            )
        values = own.sum(1) - log_q, log_q - log_marginals.sum(1), (log_marginals - prior).sum(1)
        for (part, _), value in zip(PARTS, values):
            parts[f"{part}_{end}"] = value.mean().item()
            parts[f"{part}_{end}_se"] = value.std().item() / math.sqrt(points)
    rate = losses.kl_to_standard_normal(mean, log_var).mean().item()
    middle = {part: (parts[f"{part}_low"] + parts[f"{part}_high"]) / 2 for part, _ in PARTS}
    return {**middle, **parts, "rate": rate}


def stratified(log_total, log_own, m: int, n: int):
    """log(own / n + (n - 1) / (n (m - 1)) (total - own)), from the logs of total and own."""
    rest = (n - 1) / (n * (m - 1))
    return log_total + torch.log(rest + (1 / n - rest) * (log_own - log_total).exp().clamp(max=1))


def digit_run(data, kind: str, weight: float, seed: int) -> dict:
    """A 10-latent model of digits; the parts are exact, over all training digits, drawn once.

    ``perfect_...``: those of codes with the same rates, latent by latent, whose aggregate posterior
    is the prior when there are more and more images: what these few make of them.
    """
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, 10, convs=(), hidden=256)
    n = len(data.train)
    objective = objectives.beta_vae(weight) if kind == "beta" else objectives.beta_tcvae(weight, n)
    vaelib.fit(
        model,
        data,
        epochs=EPOCHS,
        batch_size=DIGIT_BATCH,
        learning_rate=DIGIT_RATE,
        objective=objective,
        seed=seed,
        device=DEVICE,
        progress=False,
    )
    drawn = vaelib.data.draw_binary(data.train, torch.Generator().manual_seed(1))
    codes = encoded(model, drawn)
    parts = parts_of(*codes, dataset_size=n, points=n)
    rates = losses.kl_to_standard_normal_per_dimension(*codes).mean(0)
    flawless = prior_misses.perfect_codes(rates, n, torch.Generator().manual_seed(seed + 100))
    perfect = parts_of(*flawless, dataset_size=n, points=n)
    test = metrics.elbo_terms(model, data.test, samples=10)
    return {
        **{part: parts[part] for part, _ in PARTS},
        **{f"perfect_{part}": perfect[part] for part, _ in PARTS},
        "rate": parts["rate"],
        "distortion": test.reconstruction.mean().item(),
        "elbo": test.elbo.mean().item(),
    }


def shipped_parts(name: str) -> dict:
    """The parts of a shipped model from ever more of all its images, at last from every one."""
    order = torch.randperm(len(sprites()), generator=torch.Generator().manual_seed(1))
    model, pieces = load_pretrained(name), []
    for indices in order.split(4096):
        pieces.append(encoded(model, sprites().images(sprites().factors(indices))))
    mean, log_var = (torch.cat(part) for part in zip(*pieces))
    points = 500
    return {
        f"m{m}": parts_of(mean[:m], log_var[:m], len(sprites()), min(points, m)) for m in COUNTS
    }


@cache
def sprites():
    return vaelib.load("sprites", image_size=32)


@cache
def drawn_sprites() -> torch.Tensor:
    return sprites().sample(IMAGES, torch.Generator().manual_seed(9))[0]


def kept_path(weights: Path) -> Path:
    """Where a model's parts are kept: by its weights, so that no others' are taken for them."""
    return KEPT / f"{weights.stem}-{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}.json"


def study_parts(path: Path) -> dict:
    """The parts of one of the study's models."""
    return parts_of(*encoded(vaelib.load_model(path), drawn_sprites()), len(sprites()))


def study_records(rows: list[dict], stop: float) -> dict:
    """For each kind of run, (method, weight), a record a seed."""
    records = {}
    for row in [row for row in rows if row["method"] in KINDS]:
        path = existing(study.model_path(study.key_of(row)), study.SCRIPT)
        parts = cached(kept_path(path), stop, partial(study_parts, path))
        scored = {key: row[key] for key in ("reconstruction", "elbo", "active_units")}
        scored["reported_correlation"] = row["total_correlation"]
        by_seed = records.setdefault((row["method"], row["weight"]), {})
        by_seed[row["seed"]] = {**scored, **parts}
    return records


def summary(table: dict, records: dict, shipped: dict, digits: dict) -> dict:
    kinds = {key_of(*kind): over_seeds(list(runs.values())) for kind, runs in records.items()}
    width = {
        kind: max(run["information_high"] - run["information_low"] for run in runs.values())
        for kind, runs in records.items()
    }
    per_kind = [len(runs) for runs in records.values()]
    setting = {
        "study": table["setting"],
        "images": IMAGES,
        "points": POINTS,
        "fewest": min(per_kind),
        "most": max(per_kind),
        "models": sum(per_kind),
        "digits": "mnist-5k, binarised, 10 latents, one hidden layer of 256, "
        f"{EPOCHS} epochs, batch {DIGIT_BATCH}, learning rate {DIGIT_RATE}, "
        f"{len(DIGIT_SEEDS)} seeds",
        **machine(DEVICE),
    }
    bracket = {
        "at_1": width["beta-vae", 1],
        "others": max(w for k, w in width.items() if k != ("beta-vae", 1)),
    }
    of_digits = {name: over_runs(runs) for name, runs in digits.items()}
    measured = {"images": shipped, "digits": of_digits}
    return page(setting, kinds, bracket, differences(records), measured, table["runs"])


def page(setting, kinds, bracket, found, measured, rows) -> dict:
    """The results, from the figures of each kind of run and the rows of the study's table."""
    kinds = with_migs(kinds, rows)
    return {
        "setting": setting,
        **{key: figures | with_words(figures) for key, figures in kinds.items()},
        "bracket": {
            **bracket,
            # nothing is left out at the right end of the figure: every image is there
            "exact_at_1": measured["images"]["plain"][f"m{COUNTS[-1]}"]["information"],
            **{
                part: {
                    key: dict(zip(("least", "most"), ends(figures, part)))
                    for key, figures in kinds.items()
                }
                for part in BRACKETED
            },
        },
        "missing": missing(kinds),
        "image_entropy": image_entropy(),
        "ratios": ratios(kinds),
        "differences": with_brackets(found, kinds),
        "equal_terms": at_equal_terms(kinds),
        "order": order(kinds, rows),
        "seed_by_seed": seed_by_seed(rows),
        **measured,
    }


def main() -> None:
    stop = stop_time()
    table = study.read_study()
    records = study_records(table["runs"], stop)
    digits = vaelib.load("mnist-5k", binarize=True)
    runs = {
        name: [
            cached(
                KEPT / f"digits-{name}-{seed}.json", stop, partial(digit_run, digits, *kind, seed)
            )
            for seed in DIGIT_SEEDS
        ]
        for name, kind in DIGITS.items()
    }
    shipped = {
        key: cached(kept_path(FOLDER / f"{name}.safetensors"), stop, partial(shipped_parts, name))
        for name, key in SHIPPED.items()
    }
    results = summary(table, records, shipped, runs)
    write_results("09-elbo-surgery", results)
    drawn = {
        "three-parts": pictures.three_parts(results, list(records)),
        "order": pictures.order_and_correlation(results, table["runs"]),
        "how-many-images": pictures.how_many_images(results),
        "mismatch": pictures.mismatch(results),
        "bananas": pictures.bananas(),
    }
    for name, figure in drawn.items():
        figure.savefig(image_path(f"09-{name}.png"), dpi=130)


if __name__ == "__main__":
    main()

"""Measure the numbers and draw the pictures of chapter 9: the KL's three parts, of the study's models and of digits.

python book/studies/09-elbo-surgery.py    about 10 minutes on 2 cores; writes book/results/09-elbo-surgery.json and
book/images/09-*.png. It needs the table and the models that sprites.py leaves. Each finished measurement is
kept in _build/elbo-surgery/, so the command can be stopped and given again; --seconds S starts none after S seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from functools import cache, partial
from pathlib import Path

import torch
from disentanglement_study import MODELS, TABLE, name_of
from matplotlib.figure import Figure
from reporting import ROOT, image_path, machine, over_runs, write_results

import vaelib
from vaelib import losses, metrics, objectives
from vaelib.models import draw_latents
from vaelib.plots import COLOURS
from vaelib.pretrained import FOLDER, load_pretrained

KEPT = ROOT / "_build" / "elbo-surgery"
PARTS = (("information", 2), ("total_correlation", 6), ("dimension_wise", 3))
POINTS, IMAGES = (
    1000,
    50_000,
)  # codes drawn, and images in the aggregate posterior, of the study's models
ON_A_LINE = 20_000  # images in the marginals: one dimension needs no more
KINDS = ("beta-vae", "falling-beta", "annealed-capacity", "beta-tcvae", "falling-tcvae")
BESIDE = {("beta-tcvae", 15): 40, ("falling-tcvae", 10): 88}  # where they stand on the axis of beta
MARKS = {
    "beta-vae": ("β-VAE, constant β", "o", 5),
    "falling-beta": ("β-VAE, falling β", "s", 3),
    "annealed-capacity": ("annealed capacity", "^", 8),
    "beta-tcvae": ("β-TCVAE", "D", 6),
    "falling-tcvae": ("β-TCVAE, falling", "v", 1),
}
SHIPPED = {"sprites-vae": "plain", "sprites-beta-tcvae": "tcvae"}
COUNTS = (250, 1000, 4000, 16_000, 64_000, 737_280)
DIGITS = {"elbo": ("beta", 1.0), "beta4": ("beta", 4.0), "tc4": ("tc", 4.0), "tc10": ("tc", 10.0)}
DIGIT_SEEDS, EPOCHS, DIGIT_BATCH, DIGIT_RATE = range(3), 20, 100, 2e-3


@torch.no_grad()
def encoded(model, images) -> tuple[torch.Tensor, torch.Tensor]:
    model.eval()
    codes = [model.encode(batch) for batch in images.split(512)]
    return tuple(torch.cat(part).double() for part in zip(*codes))


def sums(z, mean, log_var) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each z the log of the sum over images of q(z | n), (points,), and of each q(z_j | n), (points, d)."""
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
    """The three parts from below (these images as the whole data set) and from above (stratified), and their errors."""
    z = draw_latents(mean, log_var, torch.Generator().manual_seed(seed))[:points]
    own = -0.5 * (
        (z - mean[:points]).square() / log_var[:points].exp() + log_var[:points] + losses.LOG_2PI
    )
    prior = -0.5 * (z.square() + losses.LOG_2PI)
    joint, marginals = sums(z, mean, log_var)
    found, m, n = {}, len(mean), dataset_size
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
            found[f"{part}_{end}"] = value.mean().item()
            found[f"{part}_{end}_se"] = value.std().item() / math.sqrt(points)
    rate = losses.kl_to_standard_normal(mean, log_var).mean().item()
    middle = {part: (found[f"{part}_low"] + found[f"{part}_high"]) / 2 for part, _ in PARTS}
    return {**middle, **found, "rate": rate}


def stratified(log_total, log_own, m: int, n: int):
    """log of own / n + (n - 1) / (n (m - 1)) (total - own), from the logs of the sum and of its own summand."""
    rest = (n - 1) / (n * (m - 1))
    return log_total + torch.log(rest + (1 / n - rest) * (log_own - log_total).exp().clamp(max=1))


def kept(name: str, stop: float, measure) -> dict | None:
    """The measurement called ``name``, made unless it is there or time is over."""
    path = KEPT / f"{name}.json"
    if not path.exists():
        if time.monotonic() > stop:
            return None
        path.write_text(json.dumps(measure()))
        print(name, path.read_text()[:300], flush=True)
    return json.loads(path.read_text())


def digit_run(data, kind: str, weight: float, seed: int) -> dict:
    """A 10-latent model of digits; the parts are exact, over all 4,500 training digits, drawn once."""
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
        device="cpu",
        progress=False,
    )
    drawn = vaelib.data.draw_binary(data.train, torch.Generator().manual_seed(1))
    found = parts_of(*encoded(model, drawn), dataset_size=n, points=n)
    test = metrics.elbo_terms(model, data.test, samples=10)
    return {
        **{part: found[part] for part, _ in PARTS},
        "rate": found["rate"],
        "distortion": test.reconstruction.mean().item(),
        "elbo": test.elbo.mean().item(),
    }


def key_of(method: str, weight: float) -> str:
    return f"{method}-{weight:g}".replace("-", "_")


def over_seeds(runs: list[dict]) -> dict:
    """Mean and standard deviation (0 of a single run) of each figure, how many runs there are, and both as a page shows them."""
    figures = (
        over_runs(runs)
        if len(runs) > 1
        else {key: {"mean": value, "sd": 0.0} for key, value in runs[0].items()}
    )
    for key, figure in figures.items():
        digits = 1 if key in ("reconstruction", "rate", "information") else 2
        figure["shown"] = f"{figure['mean']:.{digits}f}" + (
            f" ± {figure['sd']:.{digits}f}" if len(runs) > 1 else ""
        )
    return {**figures, "runs": len(runs)}


def difference(records: dict, one: tuple, other: tuple, part: str) -> dict:
    """The mean over the common seeds of the difference of a figure between two kinds of run, and its range, for a page."""
    values = [
        records[one][seed][part] - records[other][seed][part]
        for seed in records[one]
        if seed in records[other]
    ]
    digits = 2 if part in ("total_correlation", "mig") else 1
    shown = {
        "more": "{0:.{d}f} ({1:.{d}f} to {2:.{d}f})",
        "less": "{0:.{d}f} ({2:.{d}f} to {1:.{d}f})",
    }
    if len(values) == 1:
        shown = dict.fromkeys(shown, "{0:.{d}f}")
    mean, least, most = sum(values) / len(values), min(values), max(values)
    return {
        "mean": mean,
        "least": least,
        "most": most,
        "seeds": len(values),
        "more": shown["more"].format(mean, least, most, d=digits),
        "less": shown["less"].format(-mean, -least, -most, d=digits),
    }


def label(method: str, weight: float) -> str:
    return {
        "beta-vae": f"{weight:g}",
        "falling-beta": f"β falls\n40 → {weight:g}",
        "annealed-capacity": f"capacity\n{weight:g} nats",
        "beta-tcvae": f"β-TCVAE\n{weight:g}",
        "falling-tcvae": f"β-TCVAE\nfalling, {weight:g}",
    }[method]


def three_parts(results: dict, kinds: list[tuple]) -> Figure:
    """Stacked bars of the parts for every kind of run, and each part against beta on a logarithmic axis."""
    figure = Figure(figsize=(11.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    kinds = sorted(kinds, key=lambda kind: (KINDS.index(kind[0]), kind[1]))
    places = [at + 0.4 * (kind[0] != "beta-vae") for at, kind in enumerate(kinds)]
    for at, kind in zip(places, kinds):
        bottom = 0.0
        for part, colour in PARTS:
            value = results[key_of(*kind)][part]
            name = words(part) if at == 0 else None
            left.bar(at, value["mean"], 0.8, bottom=bottom, color=COLOURS[colour], label=name)
            if value["mean"] > 0.55:
                left.text(
                    at,
                    bottom + value["mean"] / 2,
                    f"{value['mean']:.1f}",
                    ha="center",
                    va="center",
                    fontsize=9,
                )
            bottom += max(0.0, value["mean"])
            left.errorbar(at, bottom, value["sd"], color="black", capsize=3, lw=1)
    left.set_xticks(places, [label(*kind) for kind in kinds], fontsize=8.5)
    left.set(ylabel="nats per image", title="the rate in three parts")
    left.text(
        2, -0.16, "β-VAE, constant β", ha="center", va="top", transform=left.get_xaxis_transform()
    )
    left.legend(frameon=False)
    betas = (1, 2, 4, 8, 16)
    for part, colour in PARTS:
        rows = [results[key_of("beta-vae", beta)][part] for beta in betas]
        mean, sd = [row["mean"] for row in rows], [row["sd"] for row in rows]
        right.errorbar(
            betas, mean, sd, color=COLOURS[colour], marker="o", capsize=3, label=words(part)
        )
        for kind, place in BESIDE.items():
            beside = results[key_of(*kind)][part]
            right.errorbar(
                place,
                beside["mean"],
                beside["sd"],
                color=COLOURS[colour],
                marker="D",
                ms=6,
                capsize=3,
            )
    right.set_xscale("log", base=2)
    right.set_yscale("log")
    right.set_xticks(
        [*betas, *BESIDE.values()],
        [*map(str, betas), *(label(*kind) for kind in BESIDE)],
        fontsize=8.5,
    )
    right.minorticks_off()
    right.set_ylim(0.008, 20)
    right.set(xlabel="β", title="the same, each by itself (log scale)")
    right.grid(alpha=0.3)
    return figure


def words(part: str) -> str:
    return {"dimension_wise": "dimension-wise KL"}.get(part, part.replace("_", " "))


def how_many_images(results: dict) -> Figure:
    """The two ends of the information and of the total correlation of two models, against the images used."""
    figure = Figure(figsize=(9.6, 3.5), layout="constrained")
    titles = {"plain": "the VAE, β = 1", "tcvae": "the β-TCVAE"}
    for axis, (key, title) in zip(figure.subplots(1, 2, sharey=True), titles.items()):
        rows = [results["images"][key][f"m{count}"] for count in COUNTS]
        for part, colour in PARTS:
            for end, style, label in (
                ("low", "o-", "these images alone"),
                ("high", "s--", "stratified"),
            ):
                values = [row[f"{part}_{end}"] for row in rows]
                axis.plot(
                    COUNTS,
                    values,
                    style,
                    ms=4,
                    color=COLOURS[colour],
                    label=f"{words(part)}, {label}",
                )
        axis.plot(
            COUNTS,
            [math.log(count) for count in COUNTS],
            ":",
            color=COLOURS[8],
            label="log of the images used",
        )
        axis.set(xscale="log", xlabel="images used", title=title)
        axis.axhline(0, color="black", lw=0.8)
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("nats")
    figure.axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def order_and_correlation(records: dict) -> Figure:
    """Each run a mark: its total correlation, and how far each factor is held by one latent (MIG)."""
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axis = figure.subplots()
    for method, (name, marker, colour) in MARKS.items():
        runs = [
            run
            for kind, by_seed in records.items()
            for run in by_seed.values()
            if kind[0] == method
        ]
        at = [run["total_correlation"] for run in runs], [run["mig"] for run in runs]
        axis.plot(*at, marker, color=COLOURS[colour], ms=6, alpha=0.8, label=name)
    axis.set(xlabel="total correlation, nats", ylabel="MIG", ylim=(0, None), xlim=(-0.05, 4.5))
    axis.set_xscale("symlog", linthresh=0.5)
    axis.set_xticks([0, 0.25, 0.5, 1, 2, 4], ["0", "0.25", "0.5", "1", "2", "4"])
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def rank_correlation(records: dict) -> float:
    """Spearman's, of total correlation and MIG over all runs."""
    runs = [run for by_seed in records.values() for run in by_seed.values()]
    ranks = (
        torch.tensor([[run[key] for key in ("total_correlation", "mig")] for run in runs])
        .argsort(0)
        .argsort(0)
    )
    return torch.corrcoef(ranks.double().T)[0, 1].item()


def best_mig_by_correlation(records: dict, at: float = 0.5) -> dict:
    """The best MIG of the models with more than ``at`` nats of total correlation, and best and worst of the others."""
    runs = [run for by_seed in records.values() for run in by_seed.values()]
    much, little = (
        [r["mig"] for r in runs if (r["total_correlation"] > at) == side] for side in (True, False)
    )
    return {"much": max(much), "little_best": max(little), "little_worst": min(little), "at": at}


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


def digest(path: Path) -> str:
    """So that what was measured on other weights is not taken for this model's."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def study_parts(path: Path) -> dict:
    """The parts of one of the study's models."""
    return parts_of(*encoded(vaelib.load_model(path), drawn_sprites()), len(sprites()))


def study_records(rows: list[dict], stop: float) -> dict | None:
    """For each kind of run, (method, weight), a record a seed; None when time was over first."""
    records, complete = {}, True
    for row in [row for row in rows if row["method"] in KINDS]:
        path = MODELS / f"{name_of(row['method'], row['weight'], row['seed'])}.safetensors"
        found = kept(f"{path.stem}-{digest(path)}", stop, partial(study_parts, path))
        complete &= found is not None
        scored = {
            key: row[key]
            for key in ("reconstruction", "elbo", "mig", "active_units", "total_correlation")
        }
        scored["reported_correlation"] = scored.pop("total_correlation")
        records.setdefault((row["method"], row["weight"]), {})[row["seed"]] = {
            **scored,
            **(found or {}),
        }
    return records if complete else None


def differences(records: dict) -> dict:
    """Paired by seed, for the comparisons that the page makes; those whose runs are there."""
    pairs = {
        "b4_b1": (("beta-vae", 4), ("beta-vae", 1)),
        "fb_b4": (("falling-beta", 4), ("beta-vae", 4)),
        "ftc_fb": (("falling-tcvae", 10), ("falling-beta", 4)),
        **{f"tc_b{beta}": (("beta-tcvae", 15), ("beta-vae", beta)) for beta in (1, 2, 4)},
    }
    of_what = (*(part for part, _ in PARTS), "reconstruction", "rate", "mig")
    return {
        name: {part: difference(records, *pair, part) for part in of_what}
        for name, pair in pairs.items()
    }


def summary(table: dict, records: dict, shipped: dict, digits: dict) -> dict:
    kinds = {key_of(*kind): over_seeds(list(found.values())) for kind, found in records.items()}
    width = {
        kind: max(
            found["information_high"] - found["information_low"] for found in by_seed.values()
        )
        for kind, by_seed in records.items()
    }
    return {
        "setting": {
            "study": table["setting"],
            "images": IMAGES,
            "points": POINTS,
            "fewest": min(len(found) for found in records.values()),
            "most": max(len(found) for found in records.values()),
            "models": sum(len(found) for found in records.values()),
            "digits": f"mnist-5k, binarised, 10 latents, one hidden layer of 256, {EPOCHS} epochs, batch {DIGIT_BATCH}, "
            f"learning rate {DIGIT_RATE}, {len(DIGIT_SEEDS)} seeds",
            **machine(),
        },
        **kinds,
        "bracket": {
            "at_1": width["beta-vae", 1],
            "others": max(w for k, w in width.items() if k != ("beta-vae", 1)),
        },
        "ratios": {
            part: {
                f"b{beta}": kinds[key_of("beta-vae", beta)][part]["mean"]
                / kinds[key_of("beta-vae", 1)][part]["mean"]
                for beta in (2, 4, 8, 16)
            }
            for part, _ in PARTS
        },
        "differences": differences(records),
        "rank_correlation": rank_correlation(records),
        "best_mig": best_mig_by_correlation(records),
        "images": shipped,
        "digits": {name: over_runs(found) for name, found in digits.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no new measurement after so many"
    )
    stop = time.monotonic() + parser.parse_args().seconds
    KEPT.mkdir(parents=True, exist_ok=True)
    table = json.loads(TABLE.read_text())
    records = study_records(table["runs"], stop)
    digits = vaelib.load("mnist-5k", binarize=True)
    runs = {
        name: [
            kept(f"digits-{name}-{seed}", stop, partial(digit_run, digits, *kind, seed))
            for seed in DIGIT_SEEDS
        ]
        for name, kind in DIGITS.items()
    }
    shipped = {
        key: kept(
            f"{name}-{digest(FOLDER / f'{name}.safetensors')}", stop, partial(shipped_parts, name)
        )
        for name, key in SHIPPED.items()
    }
    if records is None or None in shipped.values() or any(None in found for found in runs.values()):
        print("out of time; give the same command again to go on")
        return
    results = summary(table, records, shipped, runs)
    write_results("09-elbo-surgery", results)
    three_parts(results, list(records)).savefig(image_path("09-three-parts.png"), dpi=130)
    order_and_correlation(records).savefig(image_path("09-order.png"), dpi=130)
    how_many_images(results).savefig(image_path("09-how-many-images.png"), dpi=130)


if __name__ == "__main__":
    main()

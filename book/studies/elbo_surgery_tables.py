"""Chapter 9's numbers: the KL's parts over the seeds of each kind of run, and their differences."""

from __future__ import annotations

import torch
from reporting import over_runs

KINDS = ("beta-vae", "falling-beta", "annealed-capacity", "beta-tcvae", "falling-tcvae")
COUNTS = (250, 1000, 4000, 16_000, 64_000, 737_280)  # images, of a shipped model's parts
PARTS = (("information", 2), ("total_correlation", 6), ("dimension_wise", 3))  # and their colours


def key_of(method: str, weight: float) -> str:
    return f"{method}-{weight:g}".replace("-", "_")


def over_seeds(runs: list[dict]) -> dict:
    """Mean and standard deviation (0 of a single run) of each figure, and both in words."""
    if len(runs) > 1:
        figures = over_runs(runs)
    else:
        figures = {key: {"mean": value, "sd": 0.0} for key, value in runs[0].items()}
    for key, figure in figures.items():
        digits = 1 if key in ("reconstruction", "rate", "information") else 2
        figure["shown"] = f"{figure['mean']:.{digits}f}"
        if len(runs) > 1:
            figure["shown"] += f" ± {figure['sd']:.{digits}f}"
    return {**figures, "runs": len(runs)}


def difference(records: dict, one: tuple, other: tuple, part: str) -> dict:
    """A figure of one kind of run less that of another, seed by seed: the mean and the range."""
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


def rank_correlation(records: dict) -> float:
    """Spearman's, of total correlation and MIG over all runs."""
    runs = [run for by_seed in records.values() for run in by_seed.values()]
    pairs = torch.tensor([[run["total_correlation"], run["mig"]] for run in runs])
    ranks = pairs.argsort(0).argsort(0)
    return torch.corrcoef(ranks.double().T)[0, 1].item()


def best_mig_by_correlation(records: dict, at: float = 0.5) -> dict:
    """Of the models with more than ``at`` nats of total correlation the best MIG.

    Of the others the best and the worst.
    """
    runs = [run for by_seed in records.values() for run in by_seed.values()]
    much, little = (
        [r["mig"] for r in runs if (r["total_correlation"] > at) == side] for side in (True, False)
    )
    return {"much": max(much), "little_best": max(little), "little_worst": min(little), "at": at}


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

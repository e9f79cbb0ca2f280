"""Chapter 8's numbers of sprites: what the runs of the study say of a price on the rate."""

from __future__ import annotations

import statistics

from reporting import spread

from vaelib import objectives
from vaelib.data.sprites import FACTOR_NAMES

PRICES = (0.25, 0.5, 1, 2, 4, 8, 16)  # of the digits
IN_USE = 0.1  # nats
OWN = 0.4  # the least gap of a factor that has a latent of its own
METHODS = {  # of the study: name here, colour
    "beta-vae": ("constant", 5),
    "falling-beta": ("falling", 3),
    "falling-beta-fast": ("fast", 1),
    "annealed-capacity": ("capacity", 7),
}


def key_of(price: float) -> str:
    return f"b{price:g}".replace(".", "")


def chords(points: dict[float, tuple[float, float]]) -> dict:
    """How many neighbouring prices' (rate, distortion) satisfy the two bounds of prop:everett.

    Global optima satisfy them all.
    """
    held, pairs = 0, list(zip(sorted(points), sorted(points)[1:]))
    for low, high in pairs:
        saved, lost = points[low][0] - points[high][0], points[high][1] - points[low][1]
        held += low * saved <= lost <= high * saved
    return {"held": held, "of": len(pairs)}


def total(counts: list[dict]) -> dict:
    return {key: sum(count[key] for count in counts) for key in ("held", "of")}


def of_sprites(runs: list[dict]) -> dict:
    """The study's figures that this chapter needs, over the seeds of each method and weight."""
    groups = {}
    for run in runs:
        if run["method"] in METHODS:
            gaps = {f"gap_{factor}": gap for factor, gap in zip(FACTOR_NAMES, run["mig_gaps"])}
            own = {factor: gap >= OWN for factor, gap in zip(FACTOR_NAMES, run["mig_gaps"])}
            used = sum(kl > IN_USE for kl in run["kl_per_dimension"])
            kept = {
                "distortion": run["reconstruction"],
                "rate": run["kl"],
                "elbo": run["elbo"],
                "mig": run["mig"],
            }
            excess = run["kl"] - run["weight"]  # of a capacity: how far the rate is from it
            counted = {"own_scale": own["scale"], "own_place": own["x"] and own["y"]}
            counted["own_three"] = own["scale"] and counted["own_place"]
            cost = {"at_price_4": run["reconstruction"] + 4 * run["kl"]}
            record = {**kept, **cost, "used": used, "excess": excess, **counted, **gaps}
            groups.setdefault(f"{METHODS[run['method']][0]}{run['weight']:g}", []).append(record)
    return {key: summed_up(group) for key, group in groups.items()}


def summed_up(group: list[dict]) -> dict:
    """Of each figure the mean, the extremes and words for a table.

    Of what is true or false, in how many runs it is true.
    """
    figures, counts = {}, {}
    for key, value in group[0].items():
        values = [run[key] for run in group]
        if isinstance(value, bool):
            counts[key] = sum(values)
            continue
        figures[key] = {"mean": sum(values) / len(values), "min": min(values), "max": max(values)}
        figures[key]["sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
        digits = 2 if key.startswith("gap") else 1
        figures[key]["text"] = f"{figures[key]['mean']:.{digits}f}"
        if len(values) > 1:
            figures[key]["text"] += f" ± {figures[key]['sd']:.{digits}f}"
    return {**figures, **counts, "runs": len(group)}


def of_capacity(study: dict) -> dict:
    """How far the training rate was from the capacity, in nats, while that rose and after."""
    rising, after = [], []
    for run in annealed(study):
        for step, kl in zip(run["history"]["steps"], run["history"]["kl"]):
            off = abs(kl - mean_capacity(study, run["weight"], step))
            (rising if step <= capacity_steps(study) else after).append((step, off))
    settled = [off for step, off in rising if step > 300]
    return {
        "rising": spread(settled),
        "rising_worst": max(settled),
        "after": spread([off for _, off in after]),
    }


def annealed(study: dict) -> list[dict]:
    return [run for run in study["runs"] if run["method"] == "annealed-capacity"]


def capacity_steps(study: dict) -> int:
    return 4 * study["setting"]["steps"] // 5


def mean_capacity(study: dict, weight: float, step: int) -> float:
    """The capacity's mean over the 100 steps that a record ending at ``step`` averages."""
    capacity = objectives.linear(0, weight, capacity_steps(study))
    return sum(capacity(s) for s in range(step - 100, step)) / 100

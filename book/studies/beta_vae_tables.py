"""Chapter 8's numbers of sprites: what the runs of the study say of a price on the rate."""

from __future__ import annotations

import statistics

from in_use import IN_USE, gap_limits, gaps_in_use, used
from reporting import spread

from vaelib import objectives
from vaelib.data.sprites import FACTOR_NAMES

PRICES = (0.25, 0.5, 1, 2, 4, 8, 16)  # of the digits
OWN = 0.4  # the least gap of a factor that has a latent of its own
WINDOW = 500  # steps, to say whether an objective still falls
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


def summarise_sprites(runs: list[dict]) -> dict:
    """The study's figures that this chapter needs, over the seeds of each method and weight."""
    groups = {}
    for run in runs:
        if run["method"] in METHODS:
            own = {factor: gap >= OWN for factor, gap in zip(FACTOR_NAMES, gaps_in_use(run))}
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
            speak = {"used": sum(used(run)), "excess": excess}
            record = {**kept, **cost, **speak, **counted, **all_gaps(run)}
            groups.setdefault(f"{METHODS[run['method']][0]}{run['weight']:g}", []).append(record)
    return {key: summed_up(group) for key, group in groups.items()}


def all_gaps(run: dict) -> dict:
    """The gaps of each factor: of the means of the latents in use, of the means of all, and what
    those of drawn codes cannot exceed."""
    kinds = {"gap": gaps_in_use(run), "gap_all": run["mig_gaps"], "gap_limit": gap_limits(run)}
    return {
        f"{kind}_{factor}": gap
        for kind, gaps in kinds.items()
        for factor, gap in zip(FACTOR_NAMES, gaps)
    }


def gap_cell(group: dict, factor: str) -> str:
    """The gap of the latents in use, mean and deviation; in parentheses that of all, if another."""
    mine, every = group[f"gap_{factor}"], group[f"gap_all_{factor}"]["mean"]
    text = f"{mine['mean']:.2f} ± {mine['sd']:.2f}"
    return text if f"{every:.2f}" == f"{mine['mean']:.2f}" else f"{text} ({every:.2f})"


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
    summary = {**figures, **counts, "runs": len(group)}
    cells = {f"cell_{factor}": gap_cell(summary, factor) for factor in ("scale", "x", "y")}
    return {**summary, **cells}


def standing(runs: list[dict]) -> dict:
    """Whether the constant prices' runs stand still at their end, and what the price 4 has lost.

    ``falls``: by how many nats D + beta R of the training batches fell from one WINDOW to the next,
    the last two; ``lost``: D + 4 R of the constant price less that of the falling one, by the seed.
    """
    of = {(run["method"], run["weight"], run["seed"]): run for run in runs}
    falls: dict[str, list[float]] = {}
    for (method, price, _), run in of.items():
        if method == "beta-vae":
            falls.setdefault(f"b{price}", []).append(last_fall(run["history"], price))
    lost = [
        price_4(of["beta-vae", 4, seed]) - price_4(of["falling-beta", 4, seed])
        for method, price, seed in of
        if (method, price) == ("beta-vae", 4)
    ]
    return {
        "window": WINDOW,
        "falls": {key: {"least": min(v), "most": max(v)} for key, v in falls.items()},
        "lost": {"least": min(lost), "most": max(lost)},
    }


def price_4(run: dict) -> float:
    return run["reconstruction"] + 4 * run["kl"]


def last_fall(history: dict, price: float) -> float:
    end = history["steps"][-1]
    paid = list(zip(history["steps"], history["reconstruction"], history["kl"]))

    def mean(low: int) -> float:
        return statistics.mean(d + price * r for step, d, r in paid if low < step <= low + WINDOW)

    return mean(end - 2 * WINDOW) - mean(end - WINDOW)


def switched_on(runs: list[dict], at: float = 0.2) -> dict:
    """When the latents of the falling prices' runs first cost more than ``at`` nats.

    ``apart``: how many steps the first two, those of the position, are apart; ``third``: the step
    at which the next one follows.
    """
    firsts = []
    for run in runs:
        if run["method"].startswith("falling-beta"):
            steps, records = run["history"]["steps"], run["history"]["kl_per_dimension"]
            begun = [
                next((step for step, record in zip(steps, records) if record[j] > at), None)
                for j in range(len(records[0]))
            ]
            firsts.append(sorted(step for step in begun if step is not None)[:3])
    apart = [second - first for first, second, _ in firsts]
    return {
        "at": at,
        "runs": len(firsts),
        "apart_most": max(apart),
        "together": sum(gap == 0 for gap in apart),
        "third_least": min(third for _, _, third in firsts),
        "third_most": max(third for _, _, third in firsts),
    }


def going_out(runs: list[dict]) -> dict:
    """At which prices latents went out of use while the price rose, a record an epoch.

    ``alone``: how many did so in a record in which no other did; ``together``: the most in one.
    """
    prices, crowds = [], []
    for run in runs:
        records = run["kl_per_dimension"]
        last = [
            max((i for i, record in enumerate(records) if record[j] > IN_USE), default=-1)
            for j in range(len(records[0]))
        ]
        gone = [i + 1 for i in last if i + 1 < len(records)]
        prices += [run["prices"][i] for i in gone]
        crowds += [gone.count(i) for i in set(gone)]
    return {
        "runs": len(runs),
        "latents": sum(len(run["kl_per_dimension"][0]) for run in runs),
        "out": len(prices),
        "alone": crowds.count(1),
        "together": max(crowds),
        "first": min(prices),
        "last": max(prices),
    }


def summarise_capacity(study: dict) -> dict:
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

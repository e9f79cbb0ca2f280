"""Chapter 9's numbers: the KL's parts over the seeds of each kind of run, and their differences.

No part but the dimension-wise KL is known better than its bracket, so that goes into each figure.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
from in_use import mig_in_use
from reporting import over_runs
from scipy.stats import spearmanr

KINDS = ("beta-vae", "falling-beta", "annealed-capacity", "beta-tcvae", "falling-tcvae")
COUNTS = (250, 1000, 4000, 16_000, 64_000, 737_280)  # images, of a shipped model's parts
PARTS = (("information", 2), ("total_correlation", 6), ("dimension_wise", 3))  # and their colours
BRACKETED = ("information", "total_correlation")
PAIRS = {
    "b4_b1": (("beta-vae", 4), ("beta-vae", 1)),
    "fb_b4": (("falling-beta", 4), ("beta-vae", 4)),
    "ftc_fb": (("falling-tcvae", 10), ("falling-beta", 4)),
    **{f"tc_b{beta}": (("beta-tcvae", 15), ("beta-vae", beta)) for beta in (1, 2, 4)},
}


def key_of(method: str, weight: float) -> str:
    return f"{method}-{weight:g}".replace("-", "_")


def digits_of(part: str) -> int:
    return 2 if part in ("total_correlation", "mig", "mig_all", "dimension_wise") else 1


def ends(figures: dict, part: str) -> tuple[float, float]:
    """The least and the greatest that the means over a kind's runs leave possible.

    The images alone are too low in the information and too high in the total correlation, the
    stratified estimate the other way round.
    """
    return tuple(sorted(figures[f"{part}_{end}"]["mean"] for end in ("low", "high")))


def half_width(figures: dict, part: str) -> float:
    low, high = ends(figures, part) if part in BRACKETED else (0.0, 0.0)
    return (high - low) / 2


def over_seeds(runs: list[dict]) -> dict:
    """Mean and standard deviation (0 of a single run) of each figure."""
    if len(runs) > 1:
        figures = over_runs(runs)
    else:
        figures = {key: {"mean": value, "sd": 0.0} for key, value in runs[0].items()}
    return {**figures, "runs": len(runs)}


def with_words(figures: dict) -> dict:
    """The figures of a kind of run, each with what a table says of it.

    A bracket that is none at this precision is one number.
    """
    shown = {}
    for key, figure in figures.items():
        if key == "runs":
            shown[key] = figure
            continue
        digits = digits_of(key)
        low, high = ends(figures, key) if key in BRACKETED else (figure["mean"], figure["mean"])
        words = [f"{low:.{digits}f}", f"{high:.{digits}f}"]
        text = words[0] if words[0] == words[1] else "–".join(words)
        deviation = f" ± {figure['sd']:.{digits}f}" if figures["runs"] > 1 else ""
        shown[key] = {"mean": figure["mean"], "sd": figure["sd"], "shown": text + deviation}
    return shown


def difference(records: dict, one: tuple, other: tuple, part: str) -> dict:
    """A figure of one kind of run less that of another, seed by seed: mean, least and greatest."""
    values = [
        records[one][seed][part] - records[other][seed][part]
        for seed in records[one]
        if seed in records[other]
    ]
    return {
        "mean": sum(values) / len(values),
        "least": min(values),
        "most": max(values),
        "seeds": len(values),
    }


def bracketed(found: dict, one: dict, other: dict, part: str) -> dict:
    """A difference, its range widened by half of either kind's bracket, and in words."""
    width, digits = half_width(one, part) + half_width(other, part), digits_of(part)
    least, most = found["least"] - width, found["most"] + width
    if part in BRACKETED:
        more = "{1:.{d}f} to {2:.{d}f}"
        less = "{2:.{d}f} to {1:.{d}f}"
    else:
        more, less = "{0:.{d}f} ({1:.{d}f} to {2:.{d}f})", "{0:.{d}f} ({2:.{d}f} to {1:.{d}f})"
    return {
        **{key: found[key] for key in ("mean", "least", "most", "seeds")},
        "from": least,
        "to": most,
        "more": more.format(found["mean"], least, most, d=digits),
        "less": less.format(-found["mean"], -least, -most, d=digits),
    }


def differences(records: dict) -> dict:
    """Paired by seed, for the comparisons that the page makes."""
    of_what = (*(part for part, _ in PARTS), "reconstruction", "rate")
    return {
        name: {part: difference(records, *pair, part) for part in of_what}
        for name, pair in PAIRS.items()
    }


def with_brackets(found: dict, kinds: dict) -> dict:
    return {
        name: {
            part: bracketed(value, *(kinds[key_of(*kind)] for kind in PAIRS[name]), part)
            for part, value in parts.items()
        }
        for name, parts in found.items()
    }


def ratios(kinds: dict) -> dict:
    """What is left of each part at beta 4 of what it was at 1, per cent: between which figures."""
    left = {}
    for part in BRACKETED:
        (low, high), (low_1, high_1) = (
            ends(kinds[key_of("beta-vae", beta)], part) for beta in (4, 1)
        )
        left[part] = {"least": 100 * low / high_1, "most": 100 * high / low_1}
    return left


def at_equal_terms(kinds: dict) -> dict:
    """What a constant price has where its rate, or its information, is that of another kind.

    Between its neighbouring prices on a straight line. The distortion of the best models is a
    convex curve of the rate, so that the line is, if anything, too high. Of the information and the
    total correlation either end of the bracket by itself.
    """
    kinds_compared = (("beta-tcvae", 15), ("falling-tcvae", 10), ("falling-beta", 4))
    return {key_of(*kind): on_equal_terms(kinds, kinds[key_of(*kind)]) for kind in kinds_compared}


def on_equal_terms(kinds: dict, own: dict) -> dict:
    prices = [kinds[key_of("beta-vae", beta)] for beta in (16, 8, 4, 2, 1)]  # by rising rate

    def on_the_line(at: str, part: str) -> float:
        known, wanted = ([price[k]["mean"] for price in prices] for k in (at, part))
        return float(np.interp(own[at]["mean"], known, wanted))

    def between(values: list[float]) -> dict:
        return {"least": min(values), "most": max(values)}

    two_ends = ("low", "high")
    return {
        "reconstruction": own["reconstruction"]["mean"],
        "rate": own["rate"]["mean"],
        "same_rate": {
            "reconstruction": on_the_line("rate", "reconstruction"),
            **{
                part: between([on_the_line("rate", f"{part}_{end}") for end in two_ends])
                for part in BRACKETED
            },
        },
        "same_information": {
            **between([on_the_line(f"information_{end}", "reconstruction") for end in two_ends]),
            "rate": statistics.mean(on_the_line(f"information_{end}", "rate") for end in two_ends),
        },
    }


def image_entropy() -> float:
    """The entropy of a sprite's image, nats: at most this, as squares and ellipses repeat."""
    return math.log(737_280) - (math.log(4) + math.log(2)) / 3


def missing(kinds: dict) -> float:
    """By how much the mean parts of a kind of run miss its rate, at the most, nats."""
    return max(
        abs(sum(kind[part]["mean"] for part, _ in PARTS) - kind["rate"]["mean"])
        for kind in kinds.values()
    )


def order(kinds: dict, rows: list[dict], much: float = 0.5) -> dict:
    """MIG of the latents in use, run by run, against the total correlation of the kind of run.

    ``much``: of the kinds whose total correlation is above so many nats, whatever end of its
    bracket is right, the best MIG; of the others the best and the worst.
    """
    runs, groups = [], {True: [], False: []}
    for row in rows:
        if row["method"] in KINDS:
            kind = kinds[key_of(row["method"], row["weight"])]
            low, high = ends(kind, "total_correlation")
            runs.append(((low + high) / 2, mig_in_use(row)))
            groups[low > much].append(runs[-1][1])
    return {
        "at": much,
        "much": max(groups[True]),
        "little_best": max(groups[False]),
        "little_worst": min(groups[False]),
        "rank_correlation": spearmanr(runs).statistic,
    }


def seed_by_seed(rows: list[dict]) -> dict:
    """The total correlation of the kinds whose deviation is as large as their mean: its ends.

    The study's own, stratified, from fewer images: the lower end of a bracket, so maybe below 0.
    """
    found = {}
    for kind in (("beta-vae", 16), ("falling-beta", 4)):
        mine = [row for row in rows if (row["method"], row["weight"]) == kind]
        values = [row["total_correlation"] for row in mine]
        found[key_of(*kind)] = {
            "least": min(values),
            "greatest": max(values),
            "error": max(row["total_correlation_se"] for row in mine),
        }
    return found


def with_migs(kinds: dict, rows: list[dict]) -> dict:
    """The kinds with MIG over their runs: of the means of the latents in use, and of all means."""
    result = {}
    for key, figures in kinds.items():
        mine = [row for row in rows if key_of(row["method"], row["weight"]) == key]
        migs = over_seeds([{"mig": mig_in_use(row), "mig_all": row["mig"]} for row in mine])
        result[key] = {**figures, "mig": migs["mig"], "mig_all": migs["mig_all"]}
    return result

"""Chapter 10's numbers and tables, from the table of the study of sprites."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from itertools import combinations

import numpy as np
from in_use import shown
from reporting import markdown
from scipy.stats import spearmanr

from vaelib.data.sprites import FACTOR_NAMES

SCORES = {
    "mig_in_use": "MIG",
    "sap": "SAP",
    "dci_disentanglement": "disentanglement",
    "dci_completeness": "completeness",
    "dci_informativeness": "informativeness",
    "beta_vae": "beta-VAE score",
    "factor_vae": "FactorVAE score",
}
LABELS = {  # of a method with its weight, on a page and in a figure
    "beta-vae": "β = {}",
    "falling-beta": "β falling to {}",
    "falling-beta-fast": "β falling to {}, Adam 0.002",
    "annealed-capacity": "capacity to {} nats",
    "beta-tcvae": "TC weight {}",
    "falling-tcvae": "TC weight falling to {}",
}
# the method whose seeds are shown one by one: three latents in use, for scale and position
SHOWN = "falling-beta"
MIG = "mig_in_use"
AGREEMENT = {**SCORES, "elbo": "ELBO", "kl": "KL"}


def by_setting(runs: list[dict]) -> dict[tuple, list[dict]]:
    """The runs of each method and weight, by the seed; settings by LABELS, then by the weight."""
    order = list(LABELS)
    groups: dict[tuple, list[dict]] = {}
    for run in sorted(runs, key=lambda r: (order.index(r["method"]), r["weight"], r["seed"])):
        groups.setdefault((run["method"], run["weight"]), []).append(run)
    return groups


def label(setting: tuple) -> str:
    return LABELS[setting[0]].format(setting[1])


def values(runs: list[dict], key: str) -> list[float]:
    return [run[key] for run in runs]


def middle(numbers: list[float]) -> dict:
    """Median, least and greatest.

    The last two enclose the median of all possible runs with a probability of 1 - 2^(1 - n).
    """
    return {"median": statistics.median(numbers), "least": min(numbers), "greatest": max(numbers)}


def median_run(runs: list[dict]) -> dict:
    return sorted(runs, key=lambda run: run["mig_in_use"])[(len(runs) - 1) // 2]


def table(groups: dict[tuple, list[dict]], reference: dict) -> str:
    """Median and range of each score, a row a setting, as a table in Markdown."""
    heads = (n.replace("ment", "&shy;ment").replace("ness", "&shy;ness") for n in SCORES.values())
    first, *others = heads
    rows = [["", "runs", first, "MIG, all ten", *others]]
    for setting, runs in groups.items():
        spans = [span(values(runs, key)) for key in SCORES]
        all_ten = f"{statistics.median(values(runs, 'mig')):.2f}"
        rows.append([label(setting), str(len(runs)), spans[0], all_ten, *spans[1:]])
    made = {"factors": "the factors", "circle": "orientation as a circle", "noise": "noise"}
    for key, name in made.items():
        mig, *others = (
            f"{reference[key][score or 'mig']:.2f}" for score in ("", *list(SCORES)[1:])
        )
        rows.append([f"*{name}*", "", mig, mig, *others])
    return markdown(rows)


def gap_table(groups: dict[tuple, list[dict]]) -> str:
    rows = [["", *FACTOR_NAMES]]
    for setting, runs in groups.items():
        cells = []
        for k in range(5):
            mine = [run["gaps_in_use"][k] for run in runs]
            every = statistics.median(run["mig_gaps"][k] for run in runs)
            differs = f"{every:.2f}" != f"{statistics.median(mine):.2f}"
            cells.append(span(mine) + (f"<br>*all ten {every:.2f}*" if differs else ""))
        rows.append([label(setting), *cells])
    return markdown(rows)


def turned_table(straight: list[dict]) -> str:
    total = (f"{r['total_correlation']:.3f} ({r['total_correlation_se']:.3f})" for r in straight)
    rows = [
        ["seed", *(str(run["seed"]) for run in straight)],
        ["latents in use (active units)", *(str(run["active"]) for run in straight)],
        ["turned against x and y by", *(f"{run['degrees']:.0f}°" for run in straight)],
        ["MIG", *(f"{run['mig_in_use']:.2f}" for run in straight)],
        ["MIG, all ten means", *(f"{run['mig']:.2f}" for run in straight)],
        ["MIG, all ten, turned back", *(f"{run['mig_turned_back']:.2f}" for run in straight)],
        ["total correlation, lower end, nats (standard error)", *total],
    ]
    return markdown(rows)


def span(numbers: list[float]) -> str:
    return f"{statistics.median(numbers):.2f}<br>({min(numbers):.2f}–{max(numbers):.2f})"


def between(groups: list[list[float]]) -> float:
    """The share of the variance of all numbers that lies between the groups' means."""
    everything = [x for group in groups for x in group]
    within = sum((x - statistics.mean(group)) ** 2 for group in groups for x in group)
    return 1 - within / sum((x - statistics.mean(everything)) ** 2 for x in everything)


def seed_against_setting(groups: dict[tuple, list[dict]]) -> dict:
    """How much of MIG's variance over all runs lies between the settings' means.

    And MIG in some of the settings, such as the one in which it varies most.
    """
    migs = {setting: values(runs, "mig_in_use") for setting, runs in groups.items()}
    everything = [mig for some in migs.values() for mig in some]
    most = max(map(len, migs.values()))
    complete = [setting for setting in migs if len(migs[setting]) == most]
    named = {
        "widest": max(complete, key=lambda setting: max(migs[setting]) - min(migs[setting])),
        "best": max(migs, key=lambda setting: statistics.median(migs[setting])),
        "shown": next(setting for setting in migs if setting[0] == SHOWN),
        "plain": ("beta-vae", 1),
    }
    return {
        "between": between(list(migs.values())),
        "by_chance": (len(groups) - 1) / (len(everything) - 1),
        **{
            name: {"label": label(s), "runs": len(migs[s]), **middle(migs[s])}
            for name, s in named.items()
        },
    }


def factor_extremes(runs: list[dict]) -> dict:
    """Over all runs, each factor's greatest gap and greatest share of its entropy in one latent."""
    extremes = {}
    for k, factor in enumerate(FACTOR_NAMES):
        best = max(runs, key=lambda run: run["gaps_in_use"][k])
        extremes[factor] = {
            "gap": best["gaps_in_use"][k],
            "gap_where": label((best["method"], best["weight"])),
            "gap_median": statistics.median(run["gaps_in_use"][k] for run in runs),
            "information": max(row[k] for run in runs for row in shown(run)),
            "above_04": sum(run["gaps_in_use"][k] >= 0.4 for run in runs),
        }
    return extremes


def recurring(runs: list[dict]) -> dict:
    """The pair of beta-VAE and FactorVAE score, in hundredths, that most runs share."""
    pairs = [(round(run["beta_vae"], 2), round(run["factor_vae"], 2)) for run in runs]
    beta_vae, factor_vae = statistics.mode(pairs)
    return {
        "beta_vae": beta_vae,
        "factor_vae": factor_vae,
        "runs": pairs.count((beta_vae, factor_vae)),
    }


def rank_correlations(runs: list[dict], keys: Iterable[str] = AGREEMENT) -> np.ndarray:
    keys = list(keys)
    return spearmanr(np.array([[run[key] for key in keys] for run in runs])).statistic


def agreement(runs: list[dict]) -> dict:
    rho = rank_correlations(runs)
    at = {key: i for i, key in enumerate(AGREEMENT)}
    pairs = {(a, b): rho[at[a], at[b]] for a, b in combinations(SCORES, 2)}
    least, most = min(pairs, key=pairs.get), max(pairs, key=pairs.get)
    return {
        "least": {"pair": " and ".join(SCORES[key] for key in least), "rho": pairs[least]},
        "most": {"pair": " and ".join(SCORES[key] for key in most), "rho": pairs[most]},
        "median": statistics.median(pairs.values()),
        **{f"mig_{key}": rho[at[MIG], at[key]] for key in AGREEMENT if key != MIG},
    }


def peers(results: dict) -> dict:
    """The greatest difference between vaelib's and disent's value of each score, and a table."""
    setting = results["setting"]
    codes = {name: scores for name, scores in results.items() if name != "setting"}
    keys = [key for key in next(iter(codes.values())) if key != "seconds"]
    shown = ["MIG", "SAP", "SAP, R2", "FactorVAE", "D, trees", "C, trees"]
    rows = [["codes", *shown]]
    for name, scores in codes.items():
        pairs = (f"{scores[key]['vaelib']:.3f} / {scores[key]['disent']:.3f}" for key in shown)
        rows.append([name, *pairs])
    return {
        "rows": setting["rows"],
        "command": setting["command"],
        "table": markdown(rows),
        **{
            key.replace(", ", "_").replace(" ", "_"): max(
                abs(scores[key]["vaelib"] - scores[key]["disent"]) for scores in codes.values()
            )
            for key in keys
        },
        "seconds_vaelib": sum(scores["seconds"]["vaelib"] for scores in codes.values()),
        "seconds_disent": sum(scores["seconds"]["disent"] for scores in codes.values()),
    }

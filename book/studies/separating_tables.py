"""The tables and the picture of the page "What makes codes separate", from both studies' runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import protocol as published
import sprites as study
from in_use import mig_in_use
from matplotlib.figure import Figure
from measuring_tables import between, middle, rank_correlations, values
from reporting import markdown

from vaelib.plots import COLOURS

# of each row its name on the page; those of sprites.json first
ROWS = {
    ("falling-beta", 4): "falling $\\beta$ to 4",
    ("beta-vae", 4): "$\\beta=4$",
    ("beta-vae", 2): "$\\beta=2$",
    ("beta-vae", 1): "$\\beta=1$",
    ("beta-tcvae", 15): "TCVAE, $\\beta=15$",
    (study.ADA_GVAE, 1): "Ada-GVAE",
    ("factor-vae", 30): "FactorVAE, $\\gamma=30$",
    ("dip-vae-i", 5): "DIP-VAE I",
    ("dip-vae-ii", 5): "DIP-VAE II",
}
PROTOCOL_COLUMNS = ["mig_drawn", "dci_disentanglement", "factor_vae", "kl", "elbo", "seconds"]
COLUMNS = {
    "mig_in_use": ("MIG, in use", 2),
    "mig_drawn": ("MIG, drawn", 2),
    "dci_disentanglement": ("DCI", 2),
    "factor_vae": ("FactorVAE score", 2),
    "elbo": ("ELBO", 1),
    "kl": ("KL", 1),
    "total_correlation": ("TC, lower end", 2),
    "tc_drawn": ("a normal's, drawn", 2),
    "tc_means_in_use": ("means in use", 2),
    "tc_means": ("all means", 2),
    "seconds": ("seconds", 0),
}
SCORES = {
    "mig": "MIG",
    "sap": "SAP",
    "dci_disentanglement": "DCI",
    "beta_vae": "beta-VAE score",
    "factor_vae": "FactorVAE score",
}


def row_of(run: dict) -> dict:
    """The figures of a run; those that an older record lacks are None."""
    gaussian, drawn = run.get("gaussian_tc", {}), run.get("drawn", {})
    found = {name: run.get(name) for name in (*COLUMNS, *SCORES)}
    return found | {
        "mig_in_use": mig_in_use(run),
        "mig_drawn": drawn.get("mig"),
        "tc_means": gaussian.get("means"),
        "tc_means_in_use": gaussian.get("in_use"),
        "tc_drawn": gaussian.get("drawn"),
    }


def slug(method: str, weight: float) -> str:
    """The name of a row in the results: the method's, and the price of a constant one."""
    return f"{method}-{weight:g}" if method == "beta-vae" else method


def separating(runs: list[dict]) -> dict:
    """Of every method its medians, least and greatest; how scores agree; what explains them."""
    runs = [run for run in runs if run["method"] != study.HALF_Y]
    rows = rows_of(runs, ROWS)
    return {
        "rows": rows,
        "table": table_of(rows, list(COLUMNS)[:4], ends=list(COLUMNS)[:4]),
        "terms_table": table_of(rows, list(COLUMNS)[4:-1]),
        "seconds": {name: row["seconds"]["median"] for name, row in rows.items()},
        "factor_vae_in_use": in_use_but_one(runs),
        **what_decides(runs),
    }


def protocol(found: dict) -> dict:
    """The same of the runs under the published protocol."""
    runs = found["runs"]
    rows, decides = rows_of(runs, published.METHODS), what_decides(runs)
    correlations = np.array(decides["rank_correlations"])
    separate = ("beta-tcvae", "factor-vae", study.ADA_GVAE)
    dearest = max(rows[name]["elbo"]["greatest"] for name in separate)
    return {
        "setting": found["setting"],
        "rows": rows,
        "steps": sorted({run["steps"] for run in runs}),
        "minutes": sum(run["seconds"] for run in runs) / 60,
        "table": table_of(rows, PROTOCOL_COLUMNS, ends=PROTOCOL_COLUMNS[:3]),
        "paid": rows["vae"]["elbo"]["least"] - dearest,
        "least_explained": min(decides["explained_alone"].values()),
        **decides,
        # each objective has one weight, so one share is both
        "scores_table": scores_table(correlations, decides["explained_alone"]),
    }


def rows_of(runs: list[dict], names: dict[tuple, str]) -> dict:
    """Of each method and weight in ``names``, column by column, median, least and greatest.

    A column that one of its runs lacks is left out.
    """
    rows = {}
    for key, name in names.items():
        own = [row_of(run) for run in runs if (run["method"], run["weight"]) == key]
        known = {c: [row[c] for row in own if row[c] is not None] for c in COLUMNS}
        rows[slug(*key)] = {"name": name, "seeds": len(own)} | {
            c: middle(found) for c, found in known.items() if len(found) == len(own)
        }
    return rows


def what_decides(runs: list[dict]) -> dict:
    """How scores agree over all runs, and the shares of their variance between objectives."""
    groups: dict[tuple, list[dict]] = {}
    methods: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault((run["method"], run["weight"]), []).append(run)
        methods.setdefault(run["method"], []).append(run)
    alone, shares = (
        {score: between([values(own, score) for own in parts.values()]) for score in SCORES}
        for parts in (methods, groups)
    )
    correlations = rank_correlations(runs, SCORES)
    return {
        "runs": len(runs),
        "objectives": len(groups),
        "fewest_seeds": min(len(own) for own in groups.values()),
        "explained": shares,
        "explained_alone": alone,
        # what to expect of groups that say nothing
        "by_chance": (len(groups) - 1) / (len(runs) - 1),
        "by_chance_alone": (len(methods) - 1) / (len(runs) - 1),
        "rank_correlations": correlations.round(4).tolist(),
        "scores_table": scores_table(correlations, alone, shares),
    }


def in_use_but_one(runs: list[dict]) -> dict:
    """Of FactorVAE's runs the total correlation of the means in use: the most, and the next."""
    found = sorted(row_of(run)["tc_means_in_use"] for run in runs if run["method"] == "factor-vae")
    return {"most": found[-1], "next": found[-2]}


def table_of(rows: dict, columns: list[str], ends: Sequence[str] = ()) -> str:
    """Medians, in the columns ``ends`` with the least and the greatest."""

    def cell(row: dict, column: str) -> str:
        if column not in row:
            return "not kept"
        digits = COLUMNS[column][1]
        median, least, greatest = (  # + 0.0: no minus before a zero
            f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")
            for value in row[column].values()
        )
        return f"{median} ({least} to {greatest})" if column in ends else median

    head = ["trained with", "seeds", *(COLUMNS[column][0] for column in columns)]
    body = [[r["name"], str(r["seeds"]), *(cell(r, c) for c in columns)] for r in rows.values()]
    return markdown([head, *body])


def scores_table(correlations: np.ndarray, *shares: dict) -> str:
    """The rank correlations, then for each score its shares of variance."""
    rows = [
        [name, *(f"{v:.2f}".replace("-", "\u2212") for v in [*line, *(s[score] for s in shares)])]
        for (score, name), line in zip(SCORES.items(), correlations)
    ]
    heads = ["by objective", "and weight"][: len(shares)]
    return markdown([["", *SCORES.values(), *heads], *rows])


# of the picture: all runs of a method in one colour, those that differ from beta alone in black
PICTURED = {
    "beta-vae": ("constant $\\beta$", "black", "o"),
    "falling-beta": ("falling $\\beta$", COLOURS[5], "o"),
    "beta-tcvae": ("TCVAE", COLOURS[3], "s"),
    study.ADA_GVAE: ("Ada-GVAE", COLOURS[6], "D"),
    "factor-vae": ("FactorVAE", COLOURS[2], "^"),
    "dip-vae-i": ("DIP-VAE I", COLOURS[1], "v"),
    "dip-vae-ii": ("DIP-VAE II", COLOURS[4], "v"),
}


def picture(runs: list[dict]) -> Figure:
    """Every run: its MIG against its rate; and whose means have FactorVAE's total correlation."""
    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    for method, (name, colour, mark) in PICTURED.items():
        own = [row_of(run) for run in runs if run["method"] == method]
        spots = dict(color=colour, marker=mark, alpha=0.85, label=name, linestyle="")
        left.plot(values(own, "kl"), values(own, "mig_in_use"), **spots)
    left.set(xlabel="rate, nats", ylabel="MIG, means in use", xlim=(0, None), ylim=(0, None))
    left.legend(frameon=False, fontsize=9, ncols=2)
    of_codes = {"tc_drawn": "drawn", "tc_means_in_use": "means in use", "tc_means": "all means"}
    for method in (study.ADA_GVAE, "factor-vae", "dip-vae-i", "dip-vae-ii"):
        _, colour, mark = PICTURED[method]
        for run in runs:
            if run["method"] == method:
                row = row_of(run)
                heights = [row[code] for code in of_codes]
                right.plot(list(of_codes.values()), heights, color=colour, marker=mark, alpha=0.7)
    right.set(ylabel="TC of a normal with their covariance, nats", ylim=(0, None))
    right.margins(x=0.1)
    return figure

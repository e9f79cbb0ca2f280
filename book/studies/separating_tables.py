"""The tables of the page "What makes codes separate", from the runs of both studies of sprites."""

from __future__ import annotations

import numpy as np
import sprites as study
from in_use import mig_in_use
from measuring_tables import between, middle, rank_correlations, values
from reporting import markdown

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
COLUMNS = {
    "mig_in_use": ("MIG, in use", 2),
    "mig_drawn": ("MIG, drawn", 2),
    "dci_disentanglement": ("DCI", 2),
    "factor_vae": ("FactorVAE score", 2),
    "elbo": ("ELBO", 1),
    "kl": ("KL", 1),
    "total_correlation": ("TC, lower end", 2),
    "tc_means": ("a normal's, means", 2),
    "tc_drawn": ("drawn codes", 2),
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
        "tc_drawn": gaussian.get("drawn"),
    }


def slug(method: str, weight: float) -> str:
    """The name of a row in the results: the method's, and the price of a constant one."""
    return f"{method}-{weight:g}" if method == "beta-vae" else method


def separating(runs: list[dict]) -> dict:
    """Of every method its medians, least and greatest; how scores agree; what explains them."""
    runs = [run for run in runs if run["method"] != study.HALF_Y]
    rows = {}
    for key, name in ROWS.items():
        own = [row_of(run) for run in runs if (run["method"], run["weight"]) == key]
        known = {c: [row[c] for row in own if row[c] is not None] for c in COLUMNS}
        rows[slug(*key)] = {"name": name, "seeds": len(own)} | {
            c: middle(found) for c, found in known.items() if len(found) == len(own)
        }
    groups: dict[tuple, list[dict]] = {}
    for run in runs:
        groups.setdefault((run["method"], run["weight"]), []).append(run)
    shares = {score: between([values(own, score) for own in groups.values()]) for score in SCORES}
    correlations = rank_correlations(runs, SCORES)
    return {
        "rows": rows,
        "runs": len(runs),
        "objectives": len(groups),
        "fewest_seeds": min(row["seeds"] for row in rows.values()),
        "table": table_of(rows, list(COLUMNS)[:4], ends=True),
        "terms_table": table_of(rows, list(COLUMNS)[4:], ends=False),
        "explained": shares,
        "rank_correlations": correlations.round(4).tolist(),
        "scores_table": scores_table(correlations, shares),
    }


def table_of(rows: dict, columns: list[str], ends: bool) -> str:
    """Medians, with the least and the greatest where ``ends`` says so."""

    def cell(row: dict, column: str) -> str:
        if column not in row:
            return "not kept"
        digits = COLUMNS[column][1]
        median, least, greatest = (  # + 0.0: no minus before a zero
            f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\u2212")
            for value in row[column].values()
        )
        return f"{median} ({least} to {greatest})" if ends else median

    head = ["trained with", "seeds", *(COLUMNS[column][0] for column in columns)]
    body = [[r["name"], str(r["seeds"]), *(cell(r, c) for c in columns)] for r in rows.values()]
    return markdown([head, *body])


def scores_table(correlations: np.ndarray, shares: dict) -> str:
    rows = [
        [name, *(f"{value:.2f}".replace("-", "\u2212") for value in line), f"{share:.2f}"]
        for name, line, share in zip(SCORES.values(), correlations, shares.values())
    ]
    return markdown([["", *SCORES.values(), "by the objective"], *rows])

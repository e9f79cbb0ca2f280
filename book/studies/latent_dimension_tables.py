"""Chapter 7's tables, from what its study sums up over the seeds."""

from __future__ import annotations

from reporting import markdown

WAYS = {
    "elbo": "ELBO from the start",
    "warm_up": "the KL's weight rises from 0 to 1",
    "free_05": "free bits, half a nat a latent",
    "free_2": "free bits, 2 nats a latent",
}
CODES = {
    "legible_reconstruction": "posterior means of test digits",
    "legible_drawn": r"drawn from $\qphi(\z\given\x)$ of test digits",
    "legible_mixture": "drawn from the mixture fitted to the training codes",
    "legible_sample": "drawn from the prior",
}


def cell(figure: dict, digits: int = 1) -> str:
    return f"{figure['mean']:.{digits}f} ± {figure['sd']:.{digits}f}"


def share(figure: dict) -> str:
    return f"{100 * figure['mean']:.0f} ± {100 * figure['sd']:.0f} %"


def sizes(results: dict) -> list[int]:
    return [int(key[1:]) for key in results["perfect"]]


def table(results: dict) -> str:
    head = "latents|in use|epochs|distortion|rate|ELBO|$\\log\\ptheta(\\x)$ (error bar)|median ESS"
    rows = [[*head.split("|"), "missed, at least", "by these codes", "by perfect ones"]]
    for size in sizes(results):
        row = results[f"z{size}"]
        error = f"{row['log_likelihood_se']['mean']:.1f}"
        figures = [cell(row[key]) for key in ("distortion", "rate", "elbo", "log_likelihood")]
        missed = [row[key]["mean"] for key in ("held_out_bound", "aggregate_kl")]
        rows.append(
            [
                str(size),
                f"{row['used']['mean']:.0f}",
                f"{row['epochs']['mean']:.0f}",
                *figures[:3],
                f"{figures[3]} ({error})",
                f"{row['ess_median']['mean']:.0f}",
                *(f"{nats:.1f}" for nats in (*missed, results["perfect"][f"z{size}"])),
            ]
        )
    return markdown(rows)


def doubling_table(results: dict) -> str:
    gained = results["doublings"]["gained"]
    named = [f"{size} to {2 * size}" for size in sizes(results)[:-1]]
    return markdown([["latents", *named], ["nats gained", *map(cell, gained.values())]])


def code_table(results: dict) -> str:
    some = [size for size in sizes(results) if size >= 4]
    head = ["codes", f"{some[0]} latents", *map(str, some[1:])]
    rows = [
        [name, *(share(results[f"z{size}"][key]) for size in some)] for key, name in CODES.items()
    ]
    return markdown([head, *rows])


def cure_table(results: dict) -> str:
    head = "latents|training|epochs|in use|rate|$\\log\\ptheta(\\x)$|missed, at least"
    rows = [[*head.split("|"), "legible, prior", "legible, mixture"]]
    for size, cured in results["cures"].items():
        for way, row in {"elbo": results[size], **cured}.items():
            rows.append(
                [
                    size[1:],
                    WAYS[way],
                    f"{row['epochs']['mean']:.0f}",
                    f"{row['used']['mean']:.0f}",
                    *(cell(row[key]) for key in ("rate", "log_likelihood", "held_out_bound")),
                    *(share(row[key]) for key in ("legible_sample", "legible_mixture")),
                ]
            )
    return markdown(rows)

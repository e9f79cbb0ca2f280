"""Make the numbers and pictures of chapter 10 from the table of the study of sprites and that of the peers' scores.

python book/studies/10-measuring.py    about 2 minutes on 2 cores, most of them for the scores of codes without a model;
writes book/results/10-measuring.json and book/images/10-*.png. Nothing is trained: book/studies/sprites.py makes
the runs, book/studies/shipped.py the models that ship, book/studies/peers.py the comparison with disent.
"""

from __future__ import annotations

import json
import math
import statistics

import disentanglement_study as study
import numpy as np
import torch
from matplotlib.figure import Figure
from reporting import ROOT, image_path, machine, markdown, write_results
from scipy.stats import spearmanr

import vaelib
from vaelib import disentanglement, pretrained
from vaelib.models import as_float, draw_latents
from vaelib.plots import COLOURS

TABLES = ROOT / "benchmarks" / "results"
KEPT = ROOT / "_build" / "measuring" / "references.json"
FACTORS = ("shape", "scale", "orientation", "x", "y")
SCORES = {
    "mig": "MIG",
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
METHOD_COLOURS = dict(zip(LABELS, (5, 2, 4, 3, 6, 1)))
SHOWN = "falling-beta"  # the method whose seeds are shown one by one: three latents in use, for scale and position
SHIPPED = ("sprites-vae", "sprites-beta4", "sprites-beta-vae", "sprites-beta-tcvae")
BINS = (10, 20, 40)


def by_setting(runs: list[dict]) -> dict[tuple, list[dict]]:
    """The runs of each method and weight, ordered by the seed; settings in the order of LABELS, then of the weight."""
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
    """Median, least and greatest: of n runs, the last two enclose the median of all possible runs, but for 2^(1 - n)."""
    return {"median": statistics.median(numbers), "least": min(numbers), "greatest": max(numbers)}


def median_run(runs: list[dict]) -> dict:
    return sorted(runs, key=lambda run: run["mig"])[(len(runs) - 1) // 2]


# Codes that no model made


def references(images: int) -> dict:
    """The scores of the factors themselves, of the same with the orientation on a circle, and of noise, ten latents each."""
    if KEPT.exists() and (kept := json.loads(KEPT.read_text()))["images"] == images:
        return kept
    sprites = vaelib.load("sprites", image_size=32)
    factors = sprites.sample(images, torch.Generator().manual_seed(2026))[1]
    v = factors.double()
    v = (v - v.mean(0)) / v.std(0)
    angle = (factors[:, 2].double() + 0.5) * (2 * math.pi / 40)
    circle = torch.stack([v[:, 0], v[:, 1], angle.cos(), angle.sin(), v[:, 3], v[:, 4]], 1)
    noise = torch.randn(images, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    beside = lambda codes: torch.cat([codes, noise[:, codes.shape[1] :]], 1)
    codes = {"factors": beside(v), "circle": beside(circle), "noise": noise}
    scored = {
        name: disentanglement.scores(code, factors)
        | {"orientation_gap": disentanglement.mig_gaps(code, factors)[2].item()}
        for name, code in codes.items()
    }
    scored["images"] = images
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(scored))
    return scored


def shipped(images: int) -> dict:
    """MIG of the models that ship with other bins, and with codes drawn from q(z | x) instead of its mean."""
    sprites = vaelib.load("sprites", image_size=32)
    pictures, factors = sprites.sample(images, torch.Generator().manual_seed(2026))
    found = {}
    for name in SHIPPED:
        mean, log_var = codes_of(pretrained.load_pretrained(name), pictures)
        drawn = draw_latents(mean, log_var, torch.Generator().manual_seed(0))
        found[name.replace("-", "_")] = {
            **{f"bins{bins}": disentanglement.mig(mean, factors, bins) for bins in BINS},
            "drawn": disentanglement.mig(drawn, factors),
        }
    return found


def codes_of(model, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and log-variances of the encoder."""
    with torch.no_grad():
        encoded = [model.encode(as_float(part)) for part in pictures.split(500)]
    return tuple(torch.cat(part) for part in zip(*encoded))


def turned_back(runs: list[dict], images: int) -> list[dict]:
    """How far the two latents that know most of x and y are turned against them, and the MIG with them turned back.

    From the models that the study has left; without them, what was found when they were there.
    """
    paths = [study.MODELS / f"{study.name_of(*study.key_of(run))}.safetensors" for run in runs]
    if not all(path.exists() for path in paths):
        return json.loads((ROOT / "book" / "results" / "10-measuring.json").read_text())["turned"][
            "runs"
        ]
    pictures, factors = vaelib.load("sprites", image_size=32).sample(
        images, torch.Generator().manual_seed(2026)
    )
    position = factors[:, 3:].double()
    position = (position - position.mean(0)) / position.std(0)
    found = []
    for run, path in zip(runs, paths):
        code = codes_of(vaelib.load_model(path), pictures)[0].double()
        pair = torch.tensor(run["information"])[:, 3:].sum(1).topk(2).indices
        plane = (code[:, pair] - code[:, pair].mean(0)) / code[:, pair].std(0)
        slopes = torch.linalg.lstsq(position, plane).solution.T
        U, _, Vh = torch.linalg.svd(slopes)
        nearest = U @ Vh  # the nearest rotation or reflection
        angle = math.degrees(math.atan2(nearest[0, 1], nearest[0, 0]))
        straight = code.clone()
        straight[:, pair] = plane @ nearest
        found.append(
            {
                "seed": run["seed"],
                "degrees": abs(
                    (angle + 45) % 90 - 45
                ),  # exchanging or flipping latents does not count
                "mig": disentanglement.mig(code, factors),
                "mig_turned_back": disentanglement.mig(straight, factors),
                "active": run["active_units"],
                "total_correlation": run["total_correlation"],
                "total_correlation_se": run["total_correlation_se"],
            }
        )
    return found


def worth(positions: int = 100) -> dict:
    """Nats of distortion that exact knowledge of factors saves the best decoder of independent pixels, and what it says.

    Averages over random pictures; all factors but the ``unknown`` ones are known.
    """
    sprites = vaelib.load("sprites", image_size=32)
    factors = sprites.sample(positions, torch.Generator().manual_seed(0))[1]

    def distortion(unknown: list[int], shape: int | None = None) -> float:
        values = torch.cartesian_prod(*(torch.arange(sprites.factor_sizes[k]) for k in unknown))
        values = values.reshape(-1, len(unknown))
        left = []
        for row in factors:
            pictures = row.repeat(len(values), 1)
            if shape is not None:
                pictures[:, 0] = shape
            pictures[:, unknown] = values
            white = as_float(sprites.images(pictures)).double().mean(0)
            left.append(
                -(torch.xlogy(white, white) + torch.xlogy(1 - white, 1 - white)).sum().item()
            )
        return statistics.mean(left)

    def bought(saved: float, nats: float) -> dict:
        return {"saves": saved, "nats": nats, "per_nat": saved / nats}

    # what a picture holds of each: of the orientation log 20 on average over the shapes
    nats = [math.log(size) for size in sprites.factor_sizes]
    nats[2] = math.log(20)
    shape, turn = nats[0], nats[2]
    both = distortion([0, 2])
    return {
        **{name: bought(distortion([k]), nats[k]) for k, name in enumerate(sprites.factor_names)},
        "shape_alone": bought(
            both - distortion([2]), shape
        ),  # the orientation unknown before and after
        "shape_and_orientation": bought(both, shape + turn),
        **{
            name: bought(distortion([2], k), math.log(count))
            for k, (name, count) in enumerate((("square", 10), ("ellipse", 20), ("heart", 40)))
        },
    }


# Tables for the page


def table(groups: dict[tuple, list[dict]], reference: dict) -> str:
    """Median and range of each score, a row a setting, as a table in Markdown."""
    rows = [
        [
            "",
            "runs",
            *(
                name.replace("ment", "&shy;ment").replace("ness", "&shy;ness")
                for name in SCORES.values()
            ),
        ],
        *[
            [label(setting), str(len(runs)), *(span(values(runs, key)) for key in SCORES)]
            for setting, runs in groups.items()
        ],
        *[
            [name, "", *(f"{reference[key][score]:.2f}" for score in SCORES)]
            for key, name in (
                ("factors", "*the factors*"),
                ("circle", "*orientation as a circle*"),
                ("noise", "*noise*"),
            )
        ],
    ]
    return markdown(rows)


def gap_table(groups: dict[tuple, list[dict]]) -> str:
    rows = [["", *FACTORS]]
    for setting, runs in groups.items():
        gaps = [[run["mig_gaps"][k] for run in runs] for k in range(5)]
        rows.append([label(setting), *map(span, gaps)])
    return markdown(rows)


def turned_table(straight: list[dict]) -> str:
    rows = [
        ["seed", *(str(run["seed"]) for run in straight)],
        ["latents in use (active units)", *(str(run["active"]) for run in straight)],
        ["turned against x and y by", *(f"{run['degrees']:.0f}°" for run in straight)],
        ["MIG", *(f"{run['mig']:.2f}" for run in straight)],
        ["MIG, turned back", *(f"{run['mig_turned_back']:.2f}" for run in straight)],
        [
            "total correlation, nats (standard error)",
            *(
                f"{run['total_correlation']:.3f} ({run['total_correlation_se']:.3f})"
                for run in straight
            ),
        ],
    ]
    return markdown(rows)


def span(numbers: list[float]) -> str:
    return f"{statistics.median(numbers):.2f}<br>({min(numbers):.2f}–{max(numbers):.2f})"


# What the page says of the runs


def seed_against_setting(groups: dict[tuple, list[dict]]) -> dict:
    """How much of MIG's variance over all runs lies between the settings' means, and which setting varies most."""
    everything = [run["mig"] for runs in groups.values() for run in runs]
    total = sum((x - statistics.mean(everything)) ** 2 for x in everything)
    within = sum(
        (x - statistics.mean(values(runs, "mig"))) ** 2
        for runs in groups.values()
        for x in values(runs, "mig")
    )
    most = max(map(len, groups.values()))
    complete = [s for s in groups if len(groups[s]) == most]
    widest = max(
        complete, key=lambda s: max(values(groups[s], "mig")) - min(values(groups[s], "mig"))
    )
    best = max(groups, key=lambda s: statistics.median(values(groups[s], "mig")))
    plain = ("beta-vae", 1)
    shown = next(s for s in groups if s[0] == SHOWN)
    named = {"widest": widest, "best": best, "shown": shown, "plain": plain}
    return {
        "between": 1 - within / total,
        "by_chance": (len(groups) - 1) / (len(everything) - 1),
        **{
            name: {"label": label(s), "runs": len(groups[s]), **middle(values(groups[s], "mig"))}
            for name, s in named.items()
        },
    }


def factor_extremes(runs: list[dict]) -> dict:
    """For each factor the greatest gap and the greatest share of its entropy in one latent, over all runs."""
    found = {}
    for k, factor in enumerate(FACTORS):
        best = max(runs, key=lambda run: run["mig_gaps"][k])
        found[factor] = {
            "gap": best["mig_gaps"][k],
            "gap_where": label((best["method"], best["weight"])),
            "gap_median": statistics.median(run["mig_gaps"][k] for run in runs),
            "information": max(row[k] for run in runs for row in run["information"]),
            "above_04": sum(run["mig_gaps"][k] >= 0.4 for run in runs),
        }
    return found


AGREEMENT = {**SCORES, "elbo": "ELBO", "kl": "KL", "total_correlation": "total correlation"}


def rank_correlations(runs: list[dict]) -> np.ndarray:
    return spearmanr(np.array([[run[key] for key in AGREEMENT] for run in runs])).statistic


def agreement(runs: list[dict]) -> dict:
    rho = rank_correlations(runs)
    keys = list(AGREEMENT)
    pair = lambda a, b: rho[keys.index(a), keys.index(b)]
    pairs = {(a, b): pair(a, b) for i, a in enumerate(SCORES) for b in list(SCORES)[i + 1 :]}
    least, most = min(pairs, key=pairs.get), max(pairs, key=pairs.get)
    return {
        "least": {"pair": " and ".join(SCORES[key] for key in least), "rho": pairs[least]},
        "most": {"pair": " and ".join(SCORES[key] for key in most), "rho": pairs[most]},
        "median": statistics.median(pairs.values()),
        **{f"mig_{key}": pair("mig", key) for key in keys if key != "mig"},
    }


def peers() -> dict:
    """The greatest difference between vaelib's and disent's value of each score, and a table of all of them."""
    stored = json.loads((TABLES / "disentanglement_peers.json").read_text())
    setting = stored.pop("setting")
    keys = [key for key in next(iter(stored.values())) if key != "seconds"]
    shown = ["MIG", "SAP", "SAP, R2", "FactorVAE", "D, trees", "C, trees"]
    rows = [["codes", *shown]]
    for name, found in stored.items():
        rows.append(
            [name, *(f"{found[key]['vaelib']:.3f} / {found[key]['disent']:.3f}" for key in shown)]
        )
    return {
        "rows": setting["rows"],
        "command": setting["command"],
        "table": markdown(rows),
        **{
            key.replace(", ", "_").replace(" ", "_"): max(
                abs(f[key]["vaelib"] - f[key]["disent"]) for f in stored.values()
            )
            for key in keys
        },
        "seconds_vaelib": sum(f["seconds"]["vaelib"] for f in stored.values()),
        "seconds_disent": sum(f["seconds"]["disent"] for f in stored.values()),
    }


# Pictures


def draw_information(axis, run: dict, rows: list[int]) -> object:
    matrix = np.array(run["information"])[rows]
    picture = axis.imshow(matrix, cmap="Blues", vmin=0, vmax=0.8, aspect="auto")
    for row, shares in enumerate(matrix):
        for column, share in enumerate(shares):
            if share >= 0.1:
                colour = "white" if share > 0.45 else "black"
                axis.text(
                    column,
                    row,
                    f"{share:.2f}"[1:],
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=colour,
                )
    axis.set_xticks(range(5), FACTORS, rotation=60, ha="right", fontsize=9)
    axis.set_yticks([])
    return picture


def sorted_latents(run: dict) -> list[int]:
    """Latents in use first, by the factor of which each knows most; then those whose KL is below 0.1 nats."""
    shares, kl = np.array(run["information"]), run["kl_per_dimension"]
    return sorted(
        range(len(kl)), key=lambda j: (kl[j] < 0.1, int(shares[j].argmax()), -shares[j].max())
    )


def heatmaps(chosen: list[dict], titles: list[str], columns: int) -> Figure:
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(2.35 * columns + 0.8, 3.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(chosen) :]:
        axis.set_axis_off()
    for axis, run, title in zip(axes.flat, chosen, titles):
        picture = draw_information(axis, run, sorted_latents(run))
        axis.set_title(title, fontsize=10)
    for axis in axes[:, 0]:
        axis.set_ylabel("latents")
    figure.colorbar(picture, ax=axes, label=r"$I(c_j; v_k) / H(v_k)$")
    return figure


def all_scores(groups: dict[tuple, list[dict]], reference: dict) -> Figure:
    """A dot a run, a bar at the median, a row a setting; a panel a score."""
    shown = [key for key in SCORES if key != "dci_informativeness"]
    figure = Figure(figsize=(12.4, 0.8 + 0.34 * len(groups)), layout="constrained")
    axes = figure.subplots(1, len(shown), sharey=True)
    for axis, key in zip(axes, shown):
        for row, (setting, runs) in enumerate(groups.items()):
            found, colour = values(runs, key), COLOURS[METHOD_COLOURS[setting[0]]]
            axis.plot(found, [row] * len(found), "o", color=colour, ms=5, alpha=0.75, mew=0)
            axis.plot(
                [statistics.median(found)] * 2, [row - 0.35, row + 0.35], color="black", lw=1.6
            )
        axis.axvline(reference["factors"][key], color=COLOURS[8], linestyle="--", lw=1)
        axis.axvline(reference["noise"][key], color=COLOURS[8], linestyle=":", lw=1)
        axis.set(title=SCORES[key], xlim=(-0.03, 1.04))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(groups)), [label(setting) for setting in groups])
    axes[0].invert_yaxis()
    return figure


def agreement_figure(groups: dict[tuple, list[dict]], runs: list[dict]) -> Figure:
    figure = Figure(figsize=(11.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    rho = rank_correlations(runs)
    picture = left.imshow(rho, cmap="RdBu", vmin=-1, vmax=1)
    for i, row in enumerate(rho):
        for j, value in enumerate(row):
            colour = "white" if abs(value) > 0.65 else "black"
            left.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    names = list(AGREEMENT.values())
    left.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    left.set_yticks(range(len(names)), names, fontsize=8)
    for line in (len(SCORES) - 0.5,):
        left.axhline(line, color="black", lw=0.8)
        left.axvline(line, color="black", lw=0.8)
    left.set_title(f"rank correlation over {len(runs)} runs")
    figure.colorbar(picture, ax=left, shrink=0.8)
    markers = dict(zip(LABELS, "osP^Dv"))
    for method in LABELS:
        mine = [run for setting, some in groups.items() if setting[0] == method for run in some]
        if mine:
            right.scatter(
                values(mine, "factor_vae"),
                values(mine, "mig"),
                color=COLOURS[METHOD_COLOURS[method]],
                marker=markers[method],
                s=34,
                alpha=0.8,
                linewidths=0,
                label=method,
            )
    right.set(xlabel="FactorVAE score", ylabel="MIG", title="two scores, a mark a run")
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    study = json.loads((TABLES / "sprites_study.json").read_text())
    runs, setting = study["runs"], study["setting"]
    groups = by_setting(runs)
    reference = references(setting["scored_images"])
    varied = seed_against_setting(groups)
    shown = next(s for s in groups if s[0] == SHOWN)
    straight = turned_back(groups[shown], setting["scored_images"])
    results = {
        "setting": {
            **{
                key: setting[key]
                for key in (
                    "data",
                    "steps",
                    "batch_size",
                    "learning_rate",
                    "network",
                    "scored_images",
                )
            },
            "schedules": {key: setting[key] for key in LABELS if key in setting},
            "study": {key: setting[key] for key in ("hardware", "torch", "command")},
            "runs": len(runs),
            "settings": len(groups),
            "seeds": max(map(len, groups.values())),
            "fewest_seeds": min(map(len, groups.values())),
            **machine(),
        },
        "table": table(groups, reference),
        "gap_table": gap_table(groups),
        "mig": {label(s): middle(values(some, "mig")) for s, some in groups.items()},
        "varied": varied,
        "factors": factor_extremes(runs),
        "agreement": agreement(runs),
        "informativeness": middle(values(runs, "dci_informativeness")),
        "reference": reference,
        "worth": worth(),
        "turned": {
            "runs": straight,
            "table": turned_table(straight),
            **{
                key: middle(values(straight, key))
                for key in ("degrees", "mig", "mig_turned_back", "active")
            },
            "factor_vae": middle(values(groups[shown], "factor_vae")),
            "rank_mig": spearmanr(values(straight, "degrees"), values(straight, "mig")).statistic,
            "rank_total_correlation": spearmanr(
                values(straight, "degrees"), values(straight, "total_correlation")
            ).statistic,
        },
        "peers": peers(),
        "shipped": shipped(setting["scored_images"]),
    }
    write_results("10-measuring", results)
    pictures = {
        "10-seeds.png": heatmaps(
            groups[shown], [f"seed {run['seed']}: MIG {run['mig']:.2f}" for run in groups[shown]], 5
        ),
        "10-heatmaps.png": heatmaps(
            [median_run(some) for some in groups.values()],
            [f"{label(s)}\nMIG {median_run(some)['mig']:.2f}" for s, some in groups.items()],
            5,
        ),
        "10-scores.png": all_scores(groups, reference),
        "10-agreement.png": agreement_figure(groups, runs),
    }
    for name, figure in pictures.items():
        figure.savefig(image_path(name), dpi=130)


if __name__ == "__main__":
    main()

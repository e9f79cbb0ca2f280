"""Chapter 10: what the disentanglement scores say of the study of sprites, and of themselves.

python book/studies/10-measuring.py    about 2 minutes on 2 cores, most of them for the scores of
                                       codes without a model

Writes book/results/10-measuring.json and book/images/10-*.png. Nothing is trained: sprites.py makes
the runs, shipped.py the models that ship, peers.py the comparison with disent.
"""

from __future__ import annotations

import json
import math
import statistics

import measuring_pictures as pictures
import measuring_tables as tables
import sprites as study
import torch
from in_use import gaps, scored, used
from measuring_tables import MIG, label, middle, values
from reporting import RESULTS, ROOT, image_path, machine, read_json, save_picture, write_results
from scipy.stats import spearmanr
from turning import standardised, turned_against

import vaelib
from vaelib import disentanglement, losses, metrics, pretrained
from vaelib.models import as_float, draw_latents

KEPT = ROOT / "_build" / "measuring" / "references.json"
SHIPPED = (
    "sprites-vae",
    "sprites-beta4",
    "sprites-beta16",
    "sprites-beta-vae",
    "sprites-annealed",
    "sprites-beta-tcvae",
)
INFORMED = ("sprites-vae", "sprites-beta16")  # whose trees are grown on drawn codes too
BINS = (10, 20, 40)
QUOTED = ("data", "steps", "batch_size", "learning_rate", "network", "scored_images")


def references(images: int) -> dict:
    """The scores of codes that no model made, ten latents each.

    They are the factors themselves, the same with the orientation on a circle, and noise.
    """
    if KEPT.exists() and (kept := json.loads(KEPT.read_text()))["images"] == images:
        return kept
    sprites = vaelib.load("sprites", image_size=32)
    factors = sprites.sample(images, torch.Generator().manual_seed(2026))[1]
    v = factors.double()
    v = (v - v.mean(0)) / v.std(0)
    angle = (factors[:, 2].double() + 0.5) * (2 * math.pi / 40)
    circle = torch.stack([v[:, 0], v[:, 1], angle.cos(), angle.sin(), v[:, 3], v[:, 4]], 1)
    noise = torch.randn(images, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codes = {
        "factors": torch.cat([v, noise[:, 5:]], 1),
        "circle": torch.cat([circle, noise[:, 6:]], 1),
        "noise": noise,
    }
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
    """MIG of the models that ship with other bins, of the latents in use, of drawn codes.

    And of scale and x the gaps; of INFORMED the informativeness of the means and of drawn codes.
    """
    sprites = vaelib.load("sprites", image_size=32)
    some, factors = sprites.sample(images, torch.Generator().manual_seed(2026))
    entropy = disentanglement.factor_entropy(factors)
    result = {}
    for name in SHIPPED:
        model = pretrained.load_pretrained(name)
        mean, log_var = metrics.encode(model, some)
        rates = losses.kl_to_standard_normal_per_dimension(mean, log_var).mean(0).tolist()
        speak = used({"kl_per_dimension": rates})
        drawn = draw_latents(mean, log_var, torch.Generator().manual_seed(0))
        known = {
            kind: (disentanglement.mutual_information(code, factors) / entropy).tolist()
            for kind, code in (("means", mean), ("drawn", drawn))
        }
        row = {"rate": sum(rates), "used": sum(speak)}
        row |= {f"bins{bins}": disentanglement.mig(mean, factors, bins) for bins in BINS}
        for kind, information in known.items():
            for whose, who in (("", [True] * len(rates)), ("_in_use", speak)):
                found = gaps(information, who)
                row[kind + whose] = statistics.mean(found)
                row |= {
                    f"{kind}{whose}_{factor}": found[k] for k, factor in ((1, "scale"), (3, "x"))
                }
        if name in INFORMED:
            row["informed_means"] = pretrained.card(name)["scores"]["dci_informativeness"]
            row["informed_drawn"] = disentanglement.dci(drawn, factors).informativeness
        result[name.replace("-", "_")] = row
    return result


def turned_back(runs: list[dict], images: int) -> list[dict]:
    """How far the two latents that know most of x and y are turned against them.

    And the MIG with them turned back. From the models that the study has left; without them, what
    they were when they were there.
    """
    paths = [study.model_path(study.key_of(run)) for run in runs]
    if not all(path.exists() for path in paths):
        kept = read_json(RESULTS / "10-measuring.json", study.SCRIPT)["turned"]["runs"]
        migs = {run["seed"]: run["mig_in_use"] for run in runs}
        return [{**run, "mig_in_use": migs[run["seed"]]} for run in kept]
    data = vaelib.load("sprites", image_size=32)
    drawn_images, factors = data.sample(images, torch.Generator().manual_seed(2026))
    position = standardised(factors[:, 3:].double())
    turned = []
    for run, path in zip(runs, paths):
        code = metrics.encode(vaelib.load_model(path), drawn_images)[0].double()
        pair = torch.tensor(run["information"])[:, 3:].sum(1).topk(2).indices
        plane = standardised(code[:, pair])
        degrees, nearest = turned_against(plane, position)
        straight = code.clone()
        straight[:, pair] = plane @ nearest
        turned.append(
            {
                "seed": run["seed"],
                "degrees": degrees,
                "mig": disentanglement.mig(code, factors),
                "mig_in_use": run["mig_in_use"],
                "mig_turned_back": disentanglement.mig(straight, factors),
                "active": run["active_units"],
                "total_correlation": run["total_correlation"],
                "total_correlation_se": run["total_correlation_se"],
            }
        )
    return turned


def worth(positions: int = 100) -> dict:
    """What exact knowledge of factors is worth to the best decoder of independent pixels, in nats.

    What it saves of the distortion, on average over random images; all other factors are known.
    """
    sprites = vaelib.load("sprites", image_size=32)
    factors = sprites.sample(positions, torch.Generator().manual_seed(0))[1]

    def distortion(unknown: list[int], shape: int | None = None) -> float:
        combined = torch.cartesian_prod(*(torch.arange(sprites.factor_sizes[k]) for k in unknown))
        combined = combined.reshape(-1, len(unknown))
        left = []
        for row in factors:
            possible = row.repeat(len(combined), 1)
            if shape is not None:
                possible[:, 0] = shape
            possible[:, unknown] = combined
            white = as_float(sprites.images(possible)).double().mean(0)
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
        # the orientation unknown before and after
        "shape_alone": bought(both - distortion([2]), shape),
        "shape_and_orientation": bought(both, shape + turn),
        **{
            name: bought(distortion([2], k), math.log(count))
            for k, (name, count) in enumerate((("square", 10), ("ellipse", 20), ("heart", 40)))
        },
    }


def main() -> None:
    table = study.read_study()
    runs, setting = scored(table["runs"]), table["setting"]
    surgery = read_json(RESULTS / "09-elbo-surgery.json", "book/studies/09-elbo-surgery.py")
    groups = tables.by_setting(runs)
    reference = references(setting["scored_images"])
    shown = next(s for s in groups if s[0] == tables.SHOWN)
    straight = turned_back(groups[shown], setting["scored_images"])
    results = {
        "setting": {
            **{key: setting[key] for key in QUOTED},
            "schedules": {key: setting[key] for key in tables.LABELS if key in setting},
            "study": {key: setting[key] for key in ("hardware", "torch", "command")},
            "runs": len(runs),
            "settings": len(groups),
            "seeds": max(map(len, groups.values())),
            "fewest_seeds": min(map(len, groups.values())),
            **machine("cpu"),
        },
        "table": tables.table(groups, reference),
        "gap_table": tables.gap_table(groups),
        "mig": {label(s): middle(values(some, MIG)) for s, some in groups.items()},
        "varied": tables.seed_against_setting(groups),
        "factors": tables.factor_extremes(runs),
        "recurring": tables.recurring(runs),
        "agreement": tables.agreement(runs),
        "informativeness": middle(values(runs, "dci_informativeness")),
        "reference": reference,
        "worth": worth(),
        "turned": {
            "runs": straight,
            "table": tables.turned_table(straight),
            **{
                key: middle(values(straight, key))
                for key in ("degrees", MIG, "mig", "mig_turned_back", "active")
            },
            # chapter 9's two ends from more images, and the mean of the table's one end
            "total_correlation": {
                **surgery["bracket"]["total_correlation"]["falling_beta_4"],
                "reported": statistics.mean(values(straight, "total_correlation")),
                "error": statistics.mean(values(straight, "total_correlation_se")),
                "lowest": min(
                    run["total_correlation"] / run["total_correlation_se"] for run in straight
                ),
            },
            "factor_vae": middle(values(groups[shown], "factor_vae")),
            "rank_mig": spearmanr(values(straight, "degrees"), values(straight, MIG)).statistic,
            "rank_total_correlation": spearmanr(
                values(straight, "degrees"), values(straight, "total_correlation")
            ).statistic,
        },
        "peers": tables.peers(read_json(RESULTS / "peers.json", "book/studies/peers.py")),
        "shipped": shipped(setting["scored_images"]),
    }
    write_results("10-measuring", results)
    by_seed = {f"seed {run['seed']}: MIG {run[MIG]:.2f}": run for run in groups[shown]}
    medians = {setting: tables.median_run(some) for setting, some in groups.items()}
    by_median = {f"{label(s)}\nMIG {run[MIG]:.2f}": run for s, run in medians.items()}
    drawn = {
        "seeds": pictures.heatmaps(by_seed),
        "heatmaps": pictures.heatmaps(by_median),
        "scores": pictures.all_scores(groups, reference),
        "agreement": pictures.agreement(groups, runs),
    }
    for name, figure in drawn.items():
        figure.savefig(image_path(f"10-{name}.png"), dpi=130)
    save_picture(pictures.turned(straight, setting["scored_images"]), "10-turned")
    save_picture(pictures.worth(results["worth"]), "10-worth")
    save_picture(pictures.loops(), "10-loops")


if __name__ == "__main__":
    main()

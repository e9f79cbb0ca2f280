"""Measure the numbers and draw the pictures of chapter 8: what a price on the rate does to models of sprites and digits.

python book/studies/08-beta-vae.py    about 4 minutes on 2 cores; writes book/results/08-beta-vae.json and
book/images/08-*.png. Sprites: read from what sprites.py has left in benchmarks/ and from the
models that ship with vaelib. Digits: trained here; each finished run is kept in _build/beta-vae/, so the command can be
stopped and given again; --seconds S starts no new run after S seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time

import torch
from disentanglement_study import FAST, MODELS, learning_rate_of, name_of
from latent_dimension_chapter import Judge
from matplotlib.figure import Figure
from reporting import ROOT, image_path, machine, over_runs, spread, write_results

import vaelib
from vaelib import disentanglement, metrics, objectives, pretrained
from vaelib.models import evaluation_mode
from vaelib.plots import COLOURS

KEPT = ROOT / "_build" / "beta-vae"
STUDY = ROOT / "benchmarks" / "results" / "sprites_study.json"
PRICES, SEEDS = (0.25, 0.5, 1, 2, 4, 8, 16), range(3)
CAPACITY, GAMMAS = 15.0, (10, 100, 1000)  # of the digits: nats, reached after half the steps
EPOCHS, BATCH_SIZE, LEARNING_RATE, LATENT_DIM = 20, 100, 2e-3, 16
IN_USE = 0.1  # nats
OWN = 0.4  # the least gap of a factor that has a latent of its own
FACTORS = ("shape", "scale", "orientation", "x", "y")
METHODS = {  # of the study: name here, colour
    "beta-vae": ("constant", 5),
    "falling-beta": ("falling", 3),
    "falling-beta-fast": ("fast", 1),
    "annealed-capacity": ("capacity", 7),
}


def key_of(price: float) -> str:
    return f"b{price:g}".replace(".", "")


def objective_of(name: str, weight: float) -> objectives.Objective:
    if name == "price":
        return objectives.beta_vae(weight)
    rise = EPOCHS * 4500 // BATCH_SIZE // 2
    return objectives.annealed_capacity(objectives.linear(0, CAPACITY, rise), float(weight))


def scores(data, judge: Judge, name: str, weight: float, seed: int) -> dict:
    torch.manual_seed(seed)
    model = vaelib.VAE(data.image_shape, LATENT_DIM, convs=(), hidden=256)
    options = dict(
        batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, seed=seed, device="cpu", progress=False
    )
    history = vaelib.fit(
        model, data, epochs=EPOCHS, objective=objective_of(name, weight), **options
    )
    drawn = vaelib.data.draw_binary(data.train, torch.Generator().manual_seed(1))
    test, train = (
        metrics.elbo_terms(model, data.test, samples=10),
        metrics.elbo_terms(model, drawn, samples=5),
    )
    log_p = metrics.log_likelihood(model, data.test, samples=100)
    return {
        "distortion": test.reconstruction.mean().item(),
        "rate": test.kl.mean().item(),
        "elbo": test.elbo.mean().item(),
        "train_distortion": train.reconstruction.mean().item(),
        "train_rate": train.kl.mean().item(),
        "log_likelihood": log_p.mean().item(),
        "used": int((metrics.kl_per_dimension(model, data.test) > IN_USE).sum()),
        "legible_reconstruction": judge.legible(model.reconstruct(data.test)),
        "legible_sample": judge.legible(model.sample(2000, torch.Generator().manual_seed(seed))),
        "seconds": history.seconds,
    }


def chords(points: dict[float, tuple[float, float]]) -> dict:
    """How many neighbouring prices' (rate, distortion) satisfy the two bounds of prop:everett, which global optima must."""
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
            gaps = {f"gap_{factor}": gap for factor, gap in zip(FACTORS, run["mig_gaps"])}
            own = {factor: gap >= OWN for factor, gap in zip(FACTORS, run["mig_gaps"])}
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
    """Of each figure the mean, the extremes and words for a table; of what is true or false the number of runs."""
    figures, counts = {}, {}
    for key, value in group[0].items():
        values = [run[key] for run in group]
        if isinstance(value, bool):
            counts[key] = sum(values)
            continue
        figures[key] = {"mean": sum(values) / len(values), "min": min(values), "max": max(values)}
        figures[key]["sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
        digits = 2 if key.startswith("gap") else 1
        words = f"{figures[key]['mean']:.{digits}f}" + f" ± {figures[key]['sd']:.{digits}f}" * (
            len(values) > 1
        )
        figures[key]["text"] = words
    return {**figures, **counts, "runs": len(group)}


def of_capacity(study: dict) -> dict:
    """How far the training rate was from the capacity, in nats, while it rose and after, over all seeds."""
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


def curve(
    axis, groups: list[tuple[str, dict]], colour: int, label: str, place=(6, 5), line=":"
) -> None:
    """(rate, distortion) of each group with its deviations over the seeds, and its weight beside it."""
    rate, distortion = (
        [group[term]["mean"] for _, group in groups] for term in ("rate", "distortion")
    )
    deviations = dict(
        xerr=[group["rate"]["sd"] for _, group in groups],
        yerr=[group["distortion"]["sd"] for _, group in groups],
    )
    axis.errorbar(
        rate,
        distortion,
        **deviations,
        color=COLOURS[colour],
        fmt="o" + line,
        ms=5,
        capsize=2,
        label=label,
    )
    for (name, _), at in zip(groups, zip(rate, distortion)):
        axis.annotate(
            name, at, xytext=place, textcoords="offset points", fontsize=8, color=COLOURS[colour]
        )


def equal_elbo(axis, step: int) -> None:
    right, top = axis.get_xlim()[1], axis.get_ylim()[1]
    for elbo in range(step, 1000, step):
        axis.plot([0, right], [elbo, elbo - right], color="#cccccc", lw=0.7, zorder=0)
    axis.set(xlim=(0, right), ylim=(0, top))


def rate_distortion(results: dict, study: dict) -> Figure:
    """What a price buys, on sprites and on digits; and whether gamma holds the rate at the capacity."""
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for name, colour in METHODS.values():
        if name == "fast":  # it would cover the slower one
            continue
        groups = [
            (k.removeprefix(name), g) for k, g in results["sprites"].items() if k.startswith(name)
        ]
        groups.sort(key=lambda pair: float(pair[0]))
        label = {
            "constant": r"constant $\beta$",
            "falling": r"$\beta$ falls",
            "capacity": "capacity C",
        }[name]
        curve(left, groups, colour, label)
    left.set(title=f"sprites, {results['study']['steps']} steps")
    curve(
        middle,
        [(f"{price:g}", results["digits"][key_of(price)]) for price in PRICES],
        5,
        r"constant $\beta$",
    )
    middle.set(title="digits, 3 seeds")
    for axis, step in ((left, 10), (middle, 20)):
        axis.set(xlabel="rate, nats", ylabel="distortion, nats")
        axis.set_xlim(0, 1.1 * axis.get_xlim()[1])
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
        equal_elbo(axis, step)
        axis.legend(frameon=False, fontsize=8)
    for run in annealed(study):
        right.plot(run["history"]["steps"], run["history"]["kl"], color=COLOURS[7], lw=4, alpha=0.5)
    at = study["runs"][0]["history"]["steps"]
    weight = annealed(study)[0]["weight"]
    right.plot(
        at,
        [mean_capacity(study, weight, step) for step in at],
        "--",
        color="black",
        label="capacity C",
    )
    right.plot([], [], color=COLOURS[7], lw=4, alpha=0.5, label="rate, each seed")
    right.set(title=r"sprites, $\gamma = 100$", xlabel="step", ylabel="nats", ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    return figure


def shipped(name: str) -> Figure:
    """A model's heatmap of latents against factors; beside each latent in use, what moving it does."""
    model, sprites = vaelib.load_pretrained(name), vaelib.load("sprites", image_size=32)
    images, factors = sprites.sample(10_000, torch.Generator().manual_seed(0))
    with evaluation_mode(model):
        codes = torch.cat([model.encode(part)[0] for part in images.split(1000)])
        start = model.encode(sprites.images(torch.tensor([[2, 4, 0, 16, 16]])))[0]
        rates = metrics.kl_per_dimension(model, images)
        order = rates.argsort(descending=True).tolist()
        matrix = disentanglement.mutual_information(
            codes, factors
        ) / disentanglement.factor_entropy(factors)
        figure = Figure(figsize=(10.4, 0.62 * len(order) + 0.6))
        axis = figure.add_axes((0.1, 0.02, 0.36, 0.91))
        axis.imshow(matrix[order], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axis.set_xticks(range(5), FACTORS)
        axis.xaxis.tick_top()
        axis.set_yticks(range(len(order)), [f"$z_{{{j + 1}}}$: {rates[j]:.2f} nats" for j in order])
        axis.tick_params(length=0)
        for row, latent in enumerate(order):
            for column, value in enumerate(matrix[latent].tolist()):
                shade = "white" if value > 0.55 else "black"
                axis.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=9, color=shade
                )
            z = start.repeat(9, 1)
            z[:, latent] = torch.linspace(-2.5, 2.5, 9)
            strip = model.expected_image(model.decode(z)).squeeze(1)
            strip = (
                torch.nn.functional.pad(strip, (1, 1, 1, 1), value=0.35).permute(1, 0, 2).flatten(1)
            )
            height = 0.91 / len(order)
            beside = figure.add_axes(
                (0.48, 0.02 + height * (len(order) - 1 - row) + 0.004, 0.51, height - 0.008)
            )
            beside.imshow(strip, cmap="gray_r", vmin=0, vmax=1)
            beside.set_axis_off()
    return figure


def directions(run: dict) -> torch.Tensor:
    """Of the two latents that know most about the position, where in the picture each rises fastest: (2, 2), x and y."""
    model = vaelib.load_model(
        MODELS / f"{name_of(run['method'], run['weight'], run['seed'])}.safetensors"
    )
    images, factors = vaelib.load("sprites", image_size=32).sample(
        4000, torch.Generator().manual_seed(0)
    )
    with evaluation_mode(model):
        codes = torch.cat([model.encode(part)[0] for part in images.split(1000)])
    place = factors[:, 3:].float() - factors[:, 3:].float().mean(0)
    slopes = torch.linalg.lstsq(place, codes - codes.mean(0)).solution.T
    explained = (place @ slopes.T).var(0) / codes.var(0) * (codes.var(0) > 0.01)
    return slopes[explained.topk(2).indices]


def turn(slopes: torch.Tensor) -> float:
    """By how many degrees, 0 to 45, the two directions are turned against x and y, on average."""
    degrees = torch.rad2deg(torch.atan2(slopes[:, 1], slopes[:, 0])).remainder(90)
    return torch.minimum(degrees, 90 - degrees).mean().item()


def seeds(study: dict, slopes: dict[int, torch.Tensor]) -> Figure:
    """The gap of scale, x and y of every run, a dot a seed; and the directions of the falling price's two first latents."""
    columns = {}
    for run in study["runs"]:
        if run["method"] in METHODS:
            columns.setdefault((list(METHODS).index(run["method"]), run["weight"]), []).append(
                run["mig_gaps"]
            )
    names = (r"$\beta={:g}$", r"$\beta\to{:g}$", r"$\beta\to{:g}$, fast", r"$C={:g}$")
    figure = Figure(figsize=(11, 5), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.2, 1.9))
    for axis, factor in zip(upper.subplots(1, 3, sharey=True), ("scale", "x", "y")):
        for at, key in enumerate(sorted(columns)):
            values = [gaps[FACTORS.index(factor)] for gaps in columns[key]]
            spots = [at + 0.08 * (seed - (len(values) - 1) / 2) for seed in range(len(values))]
            axis.plot(
                spots,
                values,
                "o",
                ms=5,
                color=COLOURS[list(METHODS.values())[key[0]][1]],
                alpha=0.85,
            )
        axis.axhline(OWN, color=COLOURS[8], linestyle=":", lw=1)
        axis.set_xticks(
            range(len(columns)), [names[kind].format(w) for kind, w in sorted(columns)], rotation=45
        )
        axis.set(title=factor, ylim=(-0.03, 1))
        axis.grid(axis="x", alpha=0.2)
    upper.axes[0].set_ylabel("gap")
    gaps = {
        run["seed"]: run["mig_gaps"] for run in study["runs"] if run["method"] == "falling-beta"
    }
    for axis, seed in zip(lower.subplots(1, len(slopes)), sorted(slopes)):
        for (x, y), colour in zip(
            (slopes[seed] / slopes[seed].norm(dim=1, keepdim=True)).tolist(), (5, 6)
        ):
            axis.annotate(
                "", (x, y), (-x, -y), arrowprops=dict(arrowstyle="-|>", color=COLOURS[colour], lw=2)
            )
        axis.set(xlim=(-1.1, 1.1), ylim=(1.1, -1.1), xticks=(), yticks=(), aspect="equal")
        axis.set_title(rf"$\beta\to4$, gaps {gaps[seed][3]:.2f}, {gaps[seed][4]:.2f}", fontsize=10)
    return figure


def switching_on(study: dict) -> Figure:
    """The KL of each latent over training, first seed: a constant price, a falling one, a rising capacity."""
    shown = [
        ("beta-vae", 1, r"$\beta = 1$"),
        ("beta-vae", 4, r"$\beta = 4$"),
        ("beta-vae", 16, r"$\beta = 16$"),
    ]
    shown += [
        ("falling-beta", 4, r"$\beta$ falls to 4"),
        ("annealed-capacity", None, "rising capacity"),
    ]
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    for axis, (method, weight, title) in zip(figure.subplots(1, 5, sharey=True), shown):
        run = next(
            r for r in study["runs"] if r["method"] == method and weight in (None, r["weight"])
        )
        record = torch.tensor(run["history"]["kl_per_dimension"])
        for latent in range(record.shape[1]):
            used = record[-1, latent] > IN_USE
            style = dict(color=COLOURS[latent], lw=1.5) if used else dict(color="#bbbbbb", lw=0.8)
            axis.plot(run["history"]["steps"], record[:, latent], **style)
        axis.set_title(f"{title}: {int((record[-1] > IN_USE).sum())} in use", fontsize=10)
        axis.set_xlabel("step")
    figure.axes[0].set(ylabel="KL of each latent, nats", ylim=(0, None))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="start no new run after so many"
    )
    stop = time.monotonic() + parser.parse_args().seconds
    KEPT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    data, judge, runs = vaelib.load("mnist-5k", binarize=True), None, {}
    wanted = [("price", price) for price in PRICES] + [("gamma", gamma) for gamma in GAMMAS]
    for seed in SEEDS:
        for name, weight in wanted:
            kept = KEPT / f"{name}-{weight:g}-seed{seed}.json"
            if not kept.exists():
                if time.monotonic() > stop:
                    print("out of time; give the same command again to go on")
                    return
                judge = judge or Judge(vaelib.load("mnist-5k"))
                kept.write_text(json.dumps(scores(data, judge, name, weight, seed)))
                print(name, weight, seed, kept.read_text(), flush=True)
            runs.setdefault((name, weight), []).append(json.loads(kept.read_text()))
    study = json.loads(STUDY.read_text())
    sprites_points = [
        {
            r["weight"]: (r["kl"], r["reconstruction"])
            for r in study["runs"]
            if (r["method"], r["seed"]) == ("beta-vae", s)
        }
        for s in sorted({r["seed"] for r in study["runs"]})
    ]
    digits = {price: runs["price", price] for price in PRICES}
    digits_points = [
        {p: (digits[p][s]["train_rate"], digits[p][s]["train_distortion"]) for p in PRICES}
        for s in SEEDS
    ]
    slopes = {
        run["seed"]: directions(run) for run in study["runs"] if run["method"] == "falling-beta"
    }
    results = {
        "setting": {
            "data": "mnist-5k, binarised (train drawn afresh, test drawn once), 500 test digits",
            "model": "16 latents, one hidden layer of 256 on either side, Bernoulli pixels",
            "epochs": EPOCHS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "seeds": len(SEEDS),
            **machine(),
        },
        "study": study["setting"],
        "fast_learning_rate": learning_rate_of(FAST),
        "digits": {key_of(price): over_runs(digits[price]) for price in PRICES},
        "digits_capacity": {
            "nats": CAPACITY,
            **{f"g{gamma}": over_runs(runs["gamma", gamma]) for gamma in GAMMAS},
        },
        "digits_chords": total([chords(points) for points in digits_points]),
        "sprites": of_sprites(study["runs"]),
        "sprites_chords": total([chords(points) for points in sprites_points]),
        "falling_turn": {
            "min": min(map(turn, slopes.values())),
            "max": max(map(turn, slopes.values())),
        },
        "capacity": of_capacity(study),
        "shipped": {
            name.replace("-", "_"): shipped_scores(name)
            for name in pretrained.names()
            if name.startswith("sprites")
        },
    }
    write_results("08-beta-vae", results)
    rate_distortion(results, study).savefig(image_path("08-rate-distortion.png"), dpi=130)
    switching_on(study).savefig(image_path("08-switching-on.png"), dpi=130)
    seeds(study, slopes).savefig(image_path("08-seeds.png"), dpi=130)
    shipped("sprites-beta-vae").savefig(image_path("08-shipped.png"), dpi=130)


def shipped_scores(name: str) -> dict:
    card = pretrained.card(name)
    wanted = ("elbo", "reconstruction", "kl", "mig", "mig_gaps")
    return {
        "seed": card["seed"],
        "steps": card["steps"],
        **{key: card["scores"][key] for key in wanted},
    }


if __name__ == "__main__":
    main()

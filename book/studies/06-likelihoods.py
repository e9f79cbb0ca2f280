"""Chapter 6: a clinic of wrong programs, and likelihoods of grey digits, over three seeds.

python book/studies/06-likelihoods.py    about 3 minutes on 2 cores; writes
                                         book/results/06-likelihoods.json and
                                         book/images/06-*.png: clinic, sigma and bits

The programs of the clinic are not written down twice: they are read from the chapter's notebook.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from matplotlib.figure import Figure
from reporting import ROOT, image_path, machine, over_runs, save_picture, spread, write_results
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

import vaelib
from vaelib import losses, metrics
from vaelib.plots import COLOURS

SEEDS = range(3)
CLINIC_EPOCHS, EPOCHS, BATCH_SIZE, LEARNING_RATE, LATENTS = 5, 20, 100, 2e-3, 16
TITLES = {
    "mean_over_pixels": "1 mean over pixels",
    "grey_pixels": "2 grey pixels",
    "squashed_twice": "3 squashed twice",
    "log_var_as_sigma": "4 log-variance as sigma",
    "half_log_var": "5 half the log-variance",
    "variance_as_sigma": "6 variance as sigma",
    "kl_sign": "7 KL's sign",
    "beta_ignored": "8 beta = 4 ignored",
    "training_mode": "9 test in training mode",
}


def clinic(detached: bool = False) -> dict:
    """The names that the notebook's cells tagged `measured` define, and its sick programs.

    With z detached, the tenth bug.
    """
    cells = json.loads((ROOT / "notebooks" / "06-likelihoods.ipynb").read_text("utf8"))["cells"]
    sources = [
        ("measured" in cell["metadata"].get("tags", []), "".join(cell["source"])) for cell in cells
    ]
    code = "\n".join(source for tagged, source in sources if tagged)
    code += "\n" + "\n".join(
        line
        for _, source in sources
        for line in re.findall(r"^\w+ = replace\(healthy.*$", source, re.M)
    )
    if detached:
        line = (
            "    z = mean + program.noise_scale(log_var) * "
            "torch.randn(mean.shape, generator=generator)\n    return"
        )
        assert code.count(line) == 1
        code = code.replace(line, line.replace("\n    return", "\n    z = z.detach()\n    return"))
    names = dict(
        globals(),
        Callable=Callable,
        dataclass=dataclass,
        replace=replace,
        nn=nn,
        losses=losses,
        vaelib=vaelib,
    )
    names |= {
        "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
        "logsigmoid": logsigmoid,
        "__name__": __name__,
    }
    exec(compile(code, "clinic", "exec"), names)
    return names


def ward() -> tuple[dict, dict]:
    """What each program reports and what is true, over the seeds; the runs of the first seed."""
    names, tenth = clinic(), clinic(detached=True)
    plan = {"healthy": (names, "healthy", 1.0), "healthy_beta4": (names, "healthy", 4.0)}
    plan |= {key: (names, key, 4.0 if key == "beta_ignored" else 1.0) for key in TITLES}
    plan["detached"] = (tenth, "healthy", 1.0)
    results, first = {}, {}
    for key, (space, program, beta) in plan.items():
        epochs = 2 if key == "kl_sign" else CLINIC_EPOCHS
        runs = [
            space["train"](space[program], beta=beta, epochs=epochs, seed=seed) for seed in SEEDS
        ]
        first[key] = (names[program], *runs[0])
        ends = {"reported": [run[1][-1] for run in runs], "audited": [run[2][-1] for run in runs]}
        results[key] = {
            name: spread(values) for name, values in ends.items() if all(map(math.isfinite, values))
        }
        print(key, results[key], flush=True)
    grey = names["test_grey"]
    results["grey_floor"] = (
        (torch.special.entr(grey) + torch.special.entr(1 - grey)).sum(1).mean().item()
    )
    mean_image = names["train_grey"].mean(0).clamp(1e-3, 1 - 1e-3)
    binary = vaelib.load("mnist-5k", binarize=True).test.flatten(1) / 255
    shown_to_all = mean_image.logit().expand_as(binary)
    results["mean_image"] = -losses.bernoulli_log_likelihood(binary, shown_to_all).mean().item()
    return results, {"names": names, "runs": first}


def trained(data, likelihood: str, sigma: float | str, seed: int, **options):
    return clinic()["train_grey_model"](likelihood, sigma, epochs=EPOCHS, seed=seed, **options)[0]


def rms(picture, images) -> float:
    return (picture - images / 255).square().mean().sqrt().item()


def gaussian(data, sigma, seed) -> dict:
    """The ELBO, and the root mean squared errors of decoded means and of decoded draws.

    The second is the one of which eq:gaussian-ll and eq:optimal-sigma speak.
    """
    model = trained(data, "gaussian", sigma, seed)
    terms, pixels = metrics.elbo_terms(model, data.test, samples=10), data.test[0].numel()
    variance = math.exp(2 * model.log_sigma.item())
    constant = pixels / 2 * math.log(2 * math.pi * variance)
    squares = 2 * variance * (terms.reconstruction.double().mean().item() - constant)
    return {
        "sigma": variance**0.5,
        "error": rms(model.reconstruct(data.test), data.test),
        "drawn_error": math.sqrt(squares / pixels),
        "kl": terms.kl.mean().item(),
        "elbo": terms.elbo.mean().item(),
    }


def grey(data, seed) -> dict:
    """The cross-entropy on grey pixels and the continuous Bernoulli.

    Root mean squared errors, and the nats that are missing.
    """
    bare, continuous = (
        trained(data, name, "learnt", seed) for name in ("bernoulli", "continuous-bernoulli")
    )
    with torch.no_grad():
        output, logits = (model.decode(model.encode(data.test)[0]) for model in (bare, continuous))
    target = data.test / 255
    density = losses.continuous_bernoulli_log_likelihood(target, output)
    return {
        "missing": (density - losses.bernoulli_log_likelihood(target, output)).mean().item(),
        "bare_error": rms(output.sigmoid(), data.test),
        "lambda_error": rms(logits.sigmoid(), data.test),
        "mean_error": rms(losses.continuous_bernoulli_mean(logits), data.test),
    }


def bits(data, seed) -> dict:
    """Bits per dimension, three ways, of a model of dequantised pixels and one of grey levels."""
    noise = torch.rand(data.train.shape, generator=torch.Generator().manual_seed(seed))
    gaussian = trained(
        data, "gaussian", "learnt", seed, start=0.2, images=(data.train + noise) / 256
    )
    logistic = trained(data, "discretised-logistic", "learnt", seed, start=0.05)
    scores = {}
    for name, model in (("gaussian", gaussian), ("logistic", logistic)):
        three = clinic()["bits_three_ways"](model, data.test, seed)
        scores |= {f"{name}_{way}": value for way, value in three.items()}
    return scores


def over_seeds(measure, *arguments) -> dict:
    runs = [measure(*arguments, seed) for seed in SEEDS]
    result = over_runs(runs)
    print(measure.__name__, *arguments[1:], result, flush=True)
    return result


# the quiz: panels A to I, in no order that helps
PANELS = [
    "log_var_as_sigma",
    "training_mode",
    "mean_over_pixels",
    "kl_sign",
    "beta_ignored",
    "squashed_twice",
    "variance_as_sigma",
    "grey_pixels",
    "half_log_var",
]


def draw(path: Path, names: dict, runs: dict) -> None:
    """Nine unnamed panels: how far a bug's report and its truth lie from the healthy program's."""
    figure = Figure(figsize=(10.5, 9.2), layout="constrained")
    panels = figure.subfigures(3, 3).ravel()
    for index, (panel, key, letter) in enumerate(zip(panels, PANELS, "ABCDEFGHI")):
        program, model, reported, audited = runs[key]
        healthy = runs["healthy_beta4" if key == "beta_ignored" else "healthy"][2]
        curves, images = panel.subplots(2, 1, height_ratios=[2.7, 1])
        curves.axhline(0, color=COLOURS[5], lw=2, label="healthy program")
        for values, style, colour, size, name in (
            (reported, "o-", COLOURS[6], 5, "this program reports"),
            (audited, "x--", COLOURS[3], 6, "the same model, scored rightly"),
        ):
            above = [min(max(v - h, -1.2e3), 1.2e3) for v, h in zip(values, healthy)]
            curves.plot(range(1, len(above)), above[1:], style, color=colour, ms=size, label=name)
        curves.set_yscale("symlog", linthresh=1)
        curves.set(ylim=(-1500, 1500), xlim=(0.8, 5.2), xticks=range(1, 6))
        ticks = (-1000, -100, -10, -1, 0, 1, 10, 100, 1000)
        curves.set_yticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
        curves.minorticks_off()
        curves.set_title(letter, fontsize=12, fontweight="bold", loc="left")
        curves.grid(alpha=0.3)
        if key == "squashed_twice":  # where there is room
            curves.legend(frameon=False, fontsize=9, loc="lower right")
        if index % 3 == 0:
            curves.set_ylabel("nats above the healthy program")
        if index > 5:
            curves.set_xlabel("epoch")
        samples = names["pictures"](program, model)[8:15]
        images.imshow(torch.cat(list(samples), 1), cmap="gray_r", vmin=0, vmax=1)
        images.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def draw_sigmas(path: Path, data, scales: dict) -> None:
    """What each choice of sigma buys: reconstructions and samples of the first seed's models."""
    rows, labels = [torch.cat([data.test[:7, 0] / 255, torch.zeros(7, 28, 28)])], ["image"]
    for name, sigma in scales.items():
        model = trained(data, "gaussian", sigma, SEEDS[0])
        drawn = model.sample(7, torch.Generator().manual_seed(0))
        rows.append(torch.cat([model.reconstruct(data.test[:7]), drawn])[:, 0])
        kl = metrics.elbo_terms(model, data.test, samples=10).kl.mean().item()
        name = "fixed" if isinstance(sigma, float) else name
        labels.append(f"{name}: $\\sigma$ = {model.log_sigma.exp().item():.2f}\nKL {kl:.0f} nats")
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    titles = ["reconstructions", "samples from the prior"]
    clinic()["show_rows"](figure.subplots(), rows, labels, titles)
    figure.savefig(path, dpi=130)


def compared(found: dict) -> Figure:
    """Bits a pixel of both models by each convention."""
    rows = {"gaussian": "Gaussian, trained\non dequantised pixels"}
    rows["logistic"] = "logistic, trained\non grey levels, folded"
    ways = {"folded": 2, "cube": 3, "dequantised": 1}
    figure = Figure(figsize=(8.6, 2.9), layout="constrained")
    axis = figure.subplots()
    for row, model in enumerate(rows):
        for at, (way, colour) in enumerate(ways.items()):
            value, place = found[f"{model}_{way}"]["mean"], row + 0.27 * (at - 1)
            label = way if row == 0 else None
            axis.barh(place, value, 0.25, color=COLOURS[colour], label=label)
            blank = dict(fc="white", ec="none", pad=0.5)
            axis.text(value + 0.2, place, f"{value:.2f}", va="center", fontsize=9, bbox=blank)
    axis.axvline(8, color="black", ls=":", lw=1.2, zorder=0.5)
    axis.text(8, -0.62, "as stored: 8", ha="center", fontsize=9)
    axis.set_yticks(range(len(rows)), list(rows.values()))
    axis.invert_yaxis()
    axis.set(xlabel="bits a pixel", xlim=(0, 26))
    axis.legend(frameon=False, fontsize=9, loc="upper right")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    return figure


def main() -> None:
    results, first = ward()
    draw(image_path("06-clinic.png"), first["names"], first["runs"])
    data = vaelib.load("mnist-5k")
    setting = {
        "data": "mnist-5k; the clinic binarises it (train drawn afresh, test drawn once), "
        "the rest is grey",
        "model": f"{LATENTS} latents, one hidden layer of 256 each way",
        "clinic_epochs": CLINIC_EPOCHS,
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "seeds": len(SEEDS),
        **machine("cpu"),
    }
    scales = {"one": 1.0, "learnt": "learnt", "optimal": "optimal"}
    draw_sigmas(image_path("06-sigma.png"), data, scales)
    measured = {
        "setting": setting,
        "clinic": results,
        "sigma": {name: over_seeds(gaussian, data, sigma) for name, sigma in scales.items()},
        "grey": over_seeds(grey, data),
        "bits": over_seeds(bits, data),
    }
    write_results("06-likelihoods", measured)
    save_picture(compared(measured["bits"]), "06-bits")


if __name__ == "__main__":
    main()

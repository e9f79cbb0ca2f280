"""The prediction of chapter 8's mechanism, and the run that tests it.

python book/studies/answers.py predict    what the theory says of runs not yet made: seconds
python book/studies/answers.py train      makes them: twenty minutes on one core; goes on where it
                                          was
python book/studies/answers.py turn       turns two finished models and trains on: five minutes
python book/studies/answers.py axes       and lets only the noise, or only Adam, know the axes: a
                                          minute a run; goes on where it was
python book/studies/answers.py rest       trains the model that ships on, slower: two minutes
python book/studies/answers.py            compares: seconds

The prediction. At the best posterior variance, 1 / sigma^2 = 1 + h / beta in each coordinate, h
being the curvature of the distortion there. A turn by an angle of two latents whose curvatures are
h_1 and h_2 then costs beta times

    1/2 log (1 + k_1 cos^2 + k_2 sin^2)(1 + k_1 sin^2 + k_2 cos^2) / ((1 + k_1)(1 + k_2))

nats, where k = h / beta. In the sprites x and y have the same range, so their curvatures are nearly
equal, every angle costs next to nothing, and five seeds end at 3 to 37 degrees. Let y have half its
range: half the range in a latent of the same variance is half the change of the picture a unit, and
a quarter of the curvature. The angle then has its price, so:

1. with y halved, every one of five seeds ends within 10 degrees of the axes, and their mean is
   below 5 degrees;
2. the rate of the latent of x exceeds that of y by log 2 = 0.69 nats, to 0.2.

Nothing but y's range differs from falling-beta of sprites.py, whose five seeds are the comparison.

A second one, made when the first had come true, before its own run. With y halved x also begins to
pay earlier, so that one latent may have taken x before a second was there to mix with: the order
might explain the angle as well. So take a finished model of either kind, turn its two latents of
position by 30 degrees, with encoder and decoder, and train on, 1,000 steps at the price 4. The
order of long ago cannot turn it back. The price of the turn can, where there is one:

3. with y halved the angle falls below 10 degrees; with y as it is it stays above 20.

A third, before its runs. Adam scales the step of each weight by itself, so it knows the weights'
axes, and in 3 these are the noise's too. Where Adam trains the weights of the code before its turn,
which a fixed rotation then turns, only the noise knows the axes to turn back to; where the two
latents share one variance for each image, only Adam does.

4. with y halved the angle falls by more than half of what it falls in 3 where only the noise knows
   the axes, and by less than half of it where only Adam does.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from itertools import product
from pathlib import Path

import separating_tables
import sprites as study
import torch
from matplotlib.figure import Figure
from reporting import RESULTS, image_path, machine, markdown, read_json
from torch import nn
from torch.func import jvp
from torch.nn.utils import parametrize
from turning import rotation, standardised, turned_against

import vaelib
from vaelib import disentanglement, losses, metrics, pretrained
from vaelib.models import draw_latents
from vaelib.plots import COLOURS
from vaelib.saving import write

SCRIPT = "book/studies/answers.py"
PROTOCOL = RESULTS / "protocol.json"
RUNS_TABLE, TABLE = RESULTS / "sprites-answers.json", RESULTS / "answers.json"
HALVED = [(study.HALF_Y, 4, seed) for seed in study.SEEDS]
# seed by seed, so that whatever has been reached is balanced
RUNS = HALVED + [
    (method, weight, seed) for seed in study.SEEDS for method, weight in study.SEPARATING
]
SHIPPED, X, Y = "sprites-beta-vae", 3, 4  # the factors' columns
SWITCHED_ON = 0.2  # nats
BETA = 4.0  # the price at which all of them end
TURNED, TURNED_STEPS, LEFT_MOST, LEFT_LEAST = 30.0, 1000, 10.0, 20.0
OF_CURVATURE = {  # in the table of `rest`
    "by the noise": "by_variance",
    "averaged": "averaged",
    "by the decoder": "by_decoder",
}
WHO = ("noise", "adam", "both")  # who knows the axes
RESTED, RESTED_IMAGES = ((study.LEARNING_RATE, 200), (study.LEARNING_RATE / 10, 300)), 600
MOST_DEGREES, MEAN_DEGREES, RATES_APART, TOLERANCE = 10.0, 5.0, math.log(2), 0.2


def cost_of_turning(curvatures: tuple[float, float], beta: float, degrees: float) -> float:
    """Nats of the beta-ELBO that two latents lose when they are turned, at the best variances."""
    one, two = (curvature / beta for curvature in curvatures)
    c, s = math.cos(math.radians(degrees)) ** 2, math.sin(math.radians(degrees)) ** 2
    turned = (1 + one * c + two * s) * (1 + one * s + two * c)
    return beta / 2 * math.log(turned / ((1 + one) * (1 + two)))


def curvatures(model: vaelib.VAE, images: torch.Tensor) -> dict:
    """Of each latent in use, its curvature by the posterior's variance and by the decoder.

    By the decoder: the mean over codes of sum_pixels p (1 - p) (d logit / d z_j)^2, the curvature
    of the Bernoulli distortion as if the logits were straight in z (Gauss and Newton's).
    """
    mean, log_var = metrics.encode(model, images)
    rates = losses.kl_to_standard_normal_per_dimension(mean, log_var).mean(0)
    z = draw_latents(mean, log_var, torch.Generator().manual_seed(0))
    found = {}
    for j in (rates > study.IN_USE).nonzero().flatten().tolist():
        along = torch.zeros_like(z)
        along[:, j] = 1
        with torch.no_grad():
            logits, slope = jvp(model.decode, (z,), (along,))
        weight = logits.sigmoid() * (-logits).sigmoid()
        found[str(j)] = {
            "rate": rates[j].item(),
            "inverse_variance": (-log_var[:, j]).exp().mean().item(),
            "by_decoder": (weight * slope.square()).flatten(1).sum(1).mean().item(),
        }
    return found


def averaged_curvatures(model: vaelib.VAE, images: torch.Tensor, draws: int = 16) -> dict:
    """Of each latent in use, what `curvatures` has, and the curvature that its noise ought to obey.

    That is the second derivative of an image's own distortion, averaged over its cloud, in the form
    that kinks do not spoil: the mean of epsilon_j d D / d z_j, over sigma_j. Each draw is used with
    both signs.
    """
    x = images.float() / 255
    mean, log_var = metrics.encode(model, images)
    sigma, generator = (log_var / 2).exp(), torch.Generator().manual_seed(0)
    total = torch.zeros_like(mean)
    for _ in range(draws):
        noise = torch.randn(mean.shape, generator=generator)
        for epsilon in (noise, -noise):
            z = (mean + sigma * epsilon).requires_grad_()
            distortion = -model.log_likelihood(x, model.decode(z)).sum()
            total += epsilon * torch.autograd.grad(distortion, z)[0] / sigma
    averaged = total.mean(0) / (2 * draws)
    found = curvatures(model, images)
    return {
        j: {"by_variance": by_noise(row), "averaged": averaged[int(j)].item(), **row}
        for j, row in found.items()
    }


def rest() -> list[dict]:
    """The model that ships, and trained on: at its learning rate, then at a tenth of that."""
    torch.set_num_threads(1)
    model, sprites = pretrained.load_pretrained(SHIPPED), vaelib.load("sprites", image_size=32)
    images = sprites.held_out()[0][:RESTED_IMAGES]
    found = [{"steps": 0, "latents": averaged_curvatures(model, images)}]
    for rate, steps in RESTED:
        vaelib.fit(
            model,
            sprites,
            steps=steps,
            batch_size=study.BATCH_SIZE,
            learning_rate=rate,
            objective=vaelib.objectives.beta_vae(BETA),
            seed=1,
            device=study.DEVICE,
            progress=False,
        )
        latents = averaged_curvatures(model, images)
        found.append({"steps": steps, "learning_rate": rate, "latents": latents})
        print(found[-1], flush=True)
    return found


def prediction() -> dict:
    """What is expected of the runs, from the model that ships alone."""
    model = pretrained.load_pretrained(SHIPPED)
    images, _ = vaelib.load("sprites", image_size=32).held_out()
    found = curvatures(model, images)
    for row in found.values():
        row["by_variance"] = by_noise(row)
    equal, halved = (
        {str(d): cost_of_turning(pair, BETA, d) for d in (5, 10, 20, 45)}
        for pair in pairs_of_position(found)
    )
    return {
        "latents": found,
        "beta": BETA,
        "cost_of_turning": equal,
        "cost_of_turning_halved": halved,
        "most_degrees": MOST_DEGREES,
        "mean_degrees": MEAN_DEGREES,
        "rates_apart": RATES_APART,
        "rates_tolerance": TOLERANCE,
    }


class Mixed(nn.Module):
    """Rows ``pair`` of a weight, or its columns, are ``mixing`` times those that are trained."""

    def __init__(self, pair: list[int], mixing: torch.Tensor, columns: bool = False):
        super().__init__()
        self.pair, self.mixing, self.columns = torch.tensor(pair), mixing, columns

    def forward(self, trained: torch.Tensor) -> torch.Tensor:
        rows = trained.T if self.columns else trained
        mixed = rows.index_copy(0, self.pair, self.mixing @ rows[self.pair])
        return mixed.T if self.columns else mixed


def turn(model: vaelib.VAE, pair: list[int], degrees: float, axes: str = "both") -> None:
    """Turns two latents, in place: the same pictures from codes that are turned.

    Their log-variances cannot follow, for the clouds stay upright: both get the mean of
    the two. Training finds better ones in a few steps. ``axes`` says who knows those of the
    clouds: both the noise and Adam; "noise" alone, where Adam trains the weights as they were and
    a fixed rotation turns them; or "adam" alone, where the two variances stay equal.
    """
    U, even = rotation(degrees).float(), torch.full((2, 2), 0.5)
    turned = {  # layer, weight or bias, mixing: what must stay so in training, and what need not
        "mean": [(model.to_mean, "weight", U.T), (model.to_mean, "bias", U.T)],
        "log_var": [(model.to_log_var, "weight", even), (model.to_log_var, "bias", even)],
        "decoder": [(model.decoder[0], "weight", U.T)],
    }
    stay = {"both": (), "noise": ("mean", "decoder"), "adam": ("log_var",)}[axes]
    for name, weights in turned.items():
        for layer, kind, mixing in weights:
            mixed = Mixed(pair, mixing, columns=name == "decoder")
            parametrize.register_parametrization(layer, kind, mixed)
            if name not in stay:
                parametrize.remove_parametrizations(layer, kind)


def train_turned(model: vaelib.VAE, method: str, axes: str = "both") -> dict:
    """Turns a finished model's latents of position and trains on; the angle every 100 steps."""
    torch.set_num_threads(1)
    sprites = study.images_of(method)
    images, factors = sprites.sample(2000, torch.Generator().manual_seed(study.SCORED_SEED))
    position = standardised(factors[:, X:].double())
    code = metrics.encode(model, images)[0]
    known = disentanglement.mutual_information(code, factors)
    pair = known[:, X:].sum(1).topk(2).indices.tolist()

    def now() -> float:
        code = metrics.encode(model, images)[0][:, pair].double()
        return turned_against(standardised(code), position)[0]

    record = {"before": now()}
    turn(model, pair, TURNED, axes)
    record |= {"steps": [0], "degrees": [now()]}

    def watch(model, history):
        record["steps"].append(history.steps[-1])
        record["degrees"].append(now())
        print(method, axes, history.steps[-1], f"{record['degrees'][-1]:.1f}", flush=True)

    vaelib.fit(
        model,
        sprites,
        steps=TURNED_STEPS,
        batch_size=study.BATCH_SIZE,
        learning_rate=study.LEARNING_RATE,
        objective=vaelib.objectives.beta_vae(BETA),
        seed=0,
        device=study.DEVICE,
        progress=False,
        on_record=watch,
    )
    return record


def turn_both() -> None:
    halved = vaelib.load_model(study.model_path((study.HALF_Y, 4, 0)))
    whole = pretrained.load_pretrained(SHIPPED)
    for name, model, method in (("halved", halved, study.HALF_Y), ("whole", whole, "falling-beta")):
        known = json.loads(TABLE.read_text()).get("trained_on", {})
        if name not in known:
            update(TABLE, trained_on={**known, name: train_turned(model, method)})


def turn_axes() -> None:
    """Every seed's halved model, turned, where both, only the noise or only Adam know the axes.

    Of the first seed `turn_both` has made the one where both do.
    """
    first = {
        "seed": 0,
        "axes": "both",
        **read_json(TABLE, f"{SCRIPT} turn")["trained_on"]["halved"],
    }
    for seed, axes in product(study.SEEDS, WHO):
        known = json.loads(TABLE.read_text()).get("axes", {"runs": [first]})
        if [seed, axes] not in [[run["seed"], run["axes"]] for run in known["runs"]]:
            model = vaelib.load_model(study.model_path((study.HALF_Y, 4, seed)))
            record = {"seed": seed, "axes": axes, **train_turned(model, study.HALF_Y, axes)}
            update(TABLE, axes={"runs": [*known["runs"], record]})


def compare(predicted: dict) -> dict:
    """What came out: of each run the angle, the rates and the curvatures; and what was predicted.

    From the models that `train` has left; without them, what they were when they were there.
    """
    table = read_json(RUNS_TABLE, SCRIPT)
    before = read_json(RESULTS / "10-measuring.json", "book/studies/10-measuring.py")["turned"]
    if all(study.model_path(key).exists() for key in HALVED):
        runs = [measured(r) for r in table["runs"] if study.key_of(r) in HALVED]
    else:
        runs = read_json(TABLE, SCRIPT)["turned"]["runs"]
    degrees = [run["degrees"] for run in runs]
    apart = [run["x"]["rate"] - run["y"]["rate"] for run in runs]
    within = [abs(value - RATES_APART) <= TOLERANCE for value in apart]
    old = [run["degrees"] for run in before["runs"]]
    costs = {
        name: [cost_of_turning(pair, BETA, angle) for angle in angles]
        for name, angles, pair in zip(
            ("before", "after"), (old, degrees), pairs_of_position(predicted["latents"])
        )
    }
    return {
        "runs": runs,
        "before": old,
        "before_words": listed(old),
        "degrees": degrees,
        "words": listed(degrees, 1),
        "mean": statistics.mean(degrees),
        "most": max(degrees),
        "within": sum(d <= MOST_DEGREES for d in degrees),
        "angles_as_predicted": max(degrees) <= MOST_DEGREES
        and statistics.mean(degrees) < MEAN_DEGREES,
        "x_first": sum(run["x"]["on"] < run["y"]["on"] for run in runs),
        "rates_apart": apart,
        "mean_rates_apart": statistics.mean(apart),
        "rates_within": sum(within),
        "rates_as_predicted": all(within),
        "costs": costs,
        "table": turned_table(runs),
        "setting": table["setting"],
    }


def of_turned(found: dict) -> dict:
    """The second prediction, and what came of either half."""
    halved, whole = (found[kind]["degrees"] for kind in ("halved", "whole"))
    return {
        "steps": TURNED_STEPS,
        "turned": TURNED,
        "halved_below": LEFT_MOST,
        "whole_above": LEFT_LEAST,
        "halved_as_predicted": halved[-1] < LEFT_MOST,
        "whole_as_predicted": min(whole) > LEFT_LEAST,
        "halved_falls": halved[1] - halved[-1],
        "whole_falls": whole[1] - whole[-1],
    }


def asides(known: dict, predicted: dict) -> dict:
    """What the folded parts of the page on the mechanism have, from the runs that are there."""
    names = factors_of(predicted["latents"])
    runs, falls = known["axes"]["runs"], of_turned(known["trained_on"])["halved_falls"]
    return {
        "latents_table": latents_table(predicted, names),
        "rest": of_rest(known["rest"]["stages"], names),
        "axes": {"runs": runs, **of_axes(runs, falls)},
    }


def listed(values: list[float], digits: int = 0) -> str:
    *first, last = (f"{value:.{digits}f}" for value in values)
    return f"{', '.join(first)} and {last}" if first else last


def measured(record: dict) -> dict:
    """Of a run: how its two latents of position are turned, and what each of them is."""
    key = study.key_of(record)
    model = vaelib.load_model(study.model_path(key))
    images, factors = study.images_of(key[0]).sample(
        study.SCORED, torch.Generator().manual_seed(study.SCORED_SEED)
    )
    code = metrics.encode(model, images)[0].double()
    information = torch.tensor(record["information"])
    pair = information[:, X:].sum(1).topk(2).indices
    position = standardised(factors[:, X:].double())
    degrees, nearest = turned_against(standardised(code[:, pair]), position)
    of_x = int(nearest[:, 0].abs().argmax())
    found = curvatures(model, images[:2000])
    of = {
        name: {"latent": pair[at].item(), **found[str(pair[at].item())]}
        for name, at in (("x", of_x), ("y", 1 - of_x))
    }
    gaps, history = record["mig_gaps"], record["history"]
    for row in of.values():  # the first record in which it cost more than SWITCHED_ON nats
        costs = [record[row["latent"]] for record in history["kl_per_dimension"]]
        row["on"] = next(s for s, cost in zip(history["steps"], costs) if cost > SWITCHED_ON)
    return {
        "seed": record["seed"],
        "degrees": degrees,
        "used": len(found),
        "mig": record["mig"],
        "gap_x": gaps[X],
        "gap_y": gaps[Y],
        **of,
    }


def turned_table(runs: list[dict]) -> str:
    rows = {
        "turned against x and y by": lambda run: f"{run['degrees']:.1f}°",
        "latents in use": lambda run: str(run["used"]),
        "the latent of x switches on at step": lambda run: f"{run['x']['on']:,}",
        "that of y": lambda run: f"{run['y']['on']:,}",
        "rate of the latent of x, nats": lambda run: f"{run['x']['rate']:.2f}",
        "of the latent of y": lambda run: f"{run['y']['rate']:.2f}",
        "the first exceeds the second by": lambda run: f"{run['x']['rate'] - run['y']['rate']:.2f}",
        "curvature of x, by the encoder's noise": lambda run: f"{by_noise(run['x']):.0f}",
        "curvature of y": lambda run: f"{by_noise(run['y']):.0f}",
    }
    head = ["seed", *(str(run["seed"]) for run in runs)]
    body = [[name, *map(cell, runs)] for name, cell in rows.items()]
    return markdown([head, *body])


def by_noise(row: dict) -> float:
    """The curvature that a latent's variance tells of."""
    return BETA * (row["inverse_variance"] - 1)


def pairs_of_position(latents: dict) -> tuple[tuple[float, float], tuple[float, float]]:
    """The curvatures of x and y, the two greatest; and with y's range halved, a quarter for y."""
    x, y = sorted(row["by_variance"] for row in latents.values())[:0:-1]
    return (x, y), (x, y / 4)


def factors_of(latents: dict) -> dict[str, str]:
    """Of each latent in use of the model that ships the factor of which it knows most."""
    model = pretrained.load_pretrained(SHIPPED)
    sprites = vaelib.load("sprites", image_size=32)
    images, factors = sprites.held_out()
    known = disentanglement.mutual_information(metrics.encode(model, images)[0], factors)
    share = known / disentanglement.factor_entropy(factors)
    order = sorted(latents, key=lambda latent: -latents[latent]["rate"])
    return {latent: sprites.factor_names[int(share[int(latent)].argmax())] for latent in order}


def latents_table(predicted: dict, names: dict[str, str]) -> str:
    """Of each latent in use of the model that ships, its factor and both curvatures."""
    rows = [
        ["latent of", "rate, nats", "$1/\\sigma_j^2$", "curvature by the noise", "by the decoder"]
    ]
    for latent, name in names.items():
        row = predicted["latents"][latent]
        rows.append(
            [
                name,
                f"{row['rate']:.2f}",
                f"{row['inverse_variance']:.0f}",
                f"{row['by_variance']:.0f}",
                f"{row['by_decoder']:.0f}",
            ]
        )
    return markdown(rows)


def of_rest(stages: list[dict], names: dict[str, str]) -> dict:
    """How far the noise is from the curvature that it ought to obey, at every stage of `rest`."""
    apart = [
        {
            names[latent]: 100 * (row["by_variance"] / row["averaged"] - 1)
            for latent, row in stage["latents"].items()
        }
        for stage in stages
    ]
    first = stages[0]["latents"]
    too_much = [100 * (row["by_decoder"] / row["averaged"] - 1) for row in first.values()]
    y = first[next(latent for latent, name in names.items() if name == "y")]
    wide = (y["averaged"] + BETA) / (y["by_variance"] + BETA)  # its variance, over the best one
    head = ["trained on by", "curvature", *names.values()]
    body = []
    for stage in stages:
        rate = f" at {stage['learning_rate']:g}" if stage["steps"] else ""
        for kind, key in OF_CURVATURE.items():
            cells = (f"{stage['latents'][latent][key]:.0f}" for latent in names)
            body.append([f"{stage['steps']} steps{rate}", kind, *cells])
    return {
        "stages": stages,
        "images": RESTED_IMAGES,
        "apart": apart,
        "apart_at_rest": max(abs(value) for value in apart[-1].values()),
        "decoder_least": min(too_much),
        "decoder_most": max(too_much),
        "costs": BETA / 2 * (wide - 1 - math.log(wide)),
        "table": markdown([head, *body]),
    }


def of_axes(runs: list[dict], both_falls: float) -> dict:
    """The third prediction, and what came of it; how far each turned model fell."""
    falls = {
        who: [run["degrees"][0] - run["degrees"][-1] for run in runs if run["axes"] == who]
        for who in WHO
    }
    ends = {who: [run["degrees"][-1] for run in runs if run["axes"] == who] for who in WHO}
    return {
        "falls": falls,
        "ends": {who: listed(values) for who, values in ends.items()},
        "models": len(falls["adam"]),
        "as_predicted": min(falls["noise"]) > both_falls / 2 > max(falls["adam"]),
    }


def picture(results: dict) -> Figure:
    """The angles of both kinds of runs, and what a turn costs in each."""
    turned, predicted = results["turned"], results["prediction"]
    whole, halved = pairs_of_position(predicted["latents"])
    kinds = {
        "y as far as x": (turned["before"], turned["costs"]["before"], whole, COLOURS[6]),
        "y half as far": (turned["degrees"], turned["costs"]["after"], halved, COLOURS[5]),
    }
    figure = Figure(figsize=(9.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    for at, (name, (degrees, costs, pair, colour)) in enumerate(kinds.items()):
        spots = [at + 0.09 * (seed - 2) for seed in range(len(degrees))]
        left.plot(spots, degrees, "o", color=colour, ms=7)
        angles = torch.linspace(0, 45, 91).tolist()
        line = [cost_of_turning(pair, BETA, angle) for angle in angles]
        right.plot(angles, line, color=colour, lw=2, label=name)
        right.plot(degrees, costs, "o", color=colour, ms=7)
    left.plot([0.6, 1.4], [MOST_DEGREES] * 2, ":", color="black", label="predicted: below")
    left.set_xticks([0, 1], kinds)
    left.set(xlim=(-0.5, 1.5), ylim=(0, 45), ylabel="turned against x and y, degrees")
    right.set(xlabel="turn, degrees", ylabel="price, nats", xlim=(0, 45), ylim=(-0.02, None))
    for axis in (left, right):
        axis.legend(frameon=False)
    return figure


def update(path: Path, **parts: dict) -> None:
    old = json.loads(path.read_text()) if path.exists() else {}
    write(path, json.dumps({**old, **parts}, indent=1, allow_nan=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["predict", "train", "turn", "axes", "rest"], nargs="?")
    what = parser.parse_args().what
    if what == "train":
        study.make(RUNS_TABLE, RUNS, at_once=1)
    elif what == "turn":
        turn_both()
    elif what == "axes":
        turn_axes()
    elif what == "rest":
        update(TABLE, rest={"stages": rest()})
    elif what == "predict":
        update(TABLE, setting=machine("cpu"), prediction=prediction())
    else:
        predicted = read_json(TABLE, f"{SCRIPT} predict")["prediction"]
        known = read_json(TABLE, f"{SCRIPT} turn")
        turned = {**known["trained_on"], **of_turned(known["trained_on"])}
        update(TABLE, turned=compare(predicted), trained_on=turned, **asides(known, predicted))
        runs = study.read_study()["runs"] + read_json(RUNS_TABLE, SCRIPT)["runs"]
        update(
            TABLE,
            separating=separating_tables.separating(runs),
            protocol=separating_tables.protocol(read_json(PROTOCOL, "book/studies/protocol.py")),
        )
        picture(read_json(TABLE, SCRIPT)).savefig(image_path("answers-turned.png"), dpi=130)
        separating_tables.picture(runs).savefig(image_path("answers-separating.png"), dpi=130)


if __name__ == "__main__":
    main()

"""Two numbers that the literature can judge: log p(x) of digits after Burda et al. (2016), and bits a pixel value of CIFAR-10.

python book/studies/literature.py k1      the VAE: three quarters of an hour on one core
python book/studies/literature.py k5      IWAE with 5 samples: an hour on one core
python book/studies/literature.py k50     with 50: a GPU's work, a night on one core; --epochs 40 is an hour
python book/studies/literature.py bits    a convolutional VAE of CIFAR-10 with the discretised logistic: half an hour
Each may be stopped, or told to (--seconds S), and goes on where it was. Writes book/results/literature.json; what was
reached so far stands there too. Run checkpoints are under _build/literature/. MNIST is downloaded, or read from $VAELIB_DATA.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace

import torch
from gallery import hardware
from photographs import load_photographs
from reporting import ROOT, markdown

import vaelib
from vaelib import ConvSpec, DataError, losses, metrics, objectives
from vaelib.data import ImageData
from vaelib.runs import write
from vaelib.train import pick_device

RESULTS = ROOT / "benchmarks" / "results" / "literature.json"
KEPT = ROOT / "_build" / "literature"
# Burda et al. (2016), table 1, one stochastic layer: the VAE (their k = 1), and IWAE; -log p(x) in nats
PUBLISHED = {1: 86.76, 5: 85.54, 50: 84.78}
PUBLISHED_EPOCHS = sum(3**i for i in range(8))  # 3,280 passes over the data, in batches of 20
EPOCHS = {1: 600, 5: 280, 50: 600}
BATCH_SIZE, FIRST_RATE, LAST_RATE = 100, 1e-3, 1e-4
EVERY = 5  # epochs between two points of a learning curve
CURVE_IMAGES, CURVE_SAMPLES, SAMPLES, PART = 1000, 100, 5000, 500
# van den Oord et al. (2017), section 4.1, and Gregor et al. (2016), there quoted: bits, of the original pixels
PUBLISHED_BITS = {"van den Oord et al. (2017)": 4.51, "Gregor et al. (2016)": 4.54}
BITS_EPOCHS, BITS_LATENTS, BITS_CONVS, BITS_BATCH_SIZE = 12, 1024, (ConvSpec(32), ConvSpec(64)), 128
BITS_FIRST_RATE = 2e-3
FIRST_SIGMA = 0.015  # of the logistic, four grey levels: from 1 the steps of Adam would take longer than the training


def steps_of(data: ImageData, batch_size: int, epochs: int) -> int:
    return epochs * -(-len(data.train) // batch_size)


def the_papers_model() -> vaelib.VAE:
    """50 latents, two layers of 200 with tanh on either side, Bernoulli pixels."""
    torch.manual_seed(0)
    return vaelib.VAE((1, 28, 28), 50, convs=(), hidden=(200, 200), activation="tanh")


class Watched:
    """A run in rounds of EVERY epochs: between two rounds its learning curve gets a point, and it may stop."""

    def __init__(self, name: str, stop: float):
        self.folder, self.stop = KEPT / name, stop
        self.folder.mkdir(parents=True, exist_ok=True)
        self.curve = self.read("curve.json", [])

    def read(self, name: str, otherwise):
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else otherwise

    def train(self, model, data, epochs: int, every: int, measure, **arguments) -> bool:
        """Whether it came to the end before the time was up."""
        done = self.curve[-1]["epoch"] if self.curve else 0
        for epoch in [*range(done + every, epochs, every), epochs]:
            if epoch > done + every and time.monotonic() > self.stop:
                return False
            history = vaelib.fit(
                model, data, epochs=epoch, checkpoint=self.folder / "checkpoint.pt", **arguments
            )
            if epoch > done:
                point = {
                    "epoch": epoch,
                    "seconds": round(history.seconds, 1),
                    **measure(model, history),
                }
                self.curve.append(point)
                write(self.folder / "curve.json", json.dumps(self.curve))
                print(f"{self.folder.name}: {point}", flush=True)
        return True


def digits(k: int, epochs: int, device: torch.device, stop: float) -> dict:
    """Train with k samples an image and estimate log p(x) of all test images; the row, as far as it came."""
    data = vaelib.load("mnist", binarize=True)
    data = replace(data, test=data.test.to(device))
    few = replace(data, test=data.test[:CURVE_IMAGES])
    run, model = Watched(f"k{k}-{epochs}", stop), the_papers_model().to(device)

    def measure(model, history) -> dict:
        estimate = metrics.log_likelihood(model, few.test, CURVE_SAMPLES, batch_size=1000)
        return {
            "elbo": round(history.test["elbo"][-1], 3),
            "nll": round(-estimate.double().mean().item(), 3),
        }

    finished = run.train(
        model,
        few,
        epochs,
        EVERY,
        measure,
        batch_size=BATCH_SIZE,
        learning_rate=objectives.falling(FIRST_RATE, LAST_RATE, steps_of(data, BATCH_SIZE, epochs)),
        objective=objectives.iwae() if k > 1 else None,
        samples=k,
        device=device,
        progress=False,
    )
    parts = run.read("parts.json", [])
    if finished:
        for start in range(PART * len(parts), len(data.test), PART):
            if time.monotonic() > stop:
                break
            images = data.test[start : start + PART]
            at_once = SAMPLES * 10 if device.type == "cuda" else 1000
            parts.append(
                [
                    round(v, 4)
                    for v in metrics.log_likelihood(model, images, SAMPLES, at_once, start).tolist()
                ]
            )
            write(run.folder / "parts.json", json.dumps(parts))
    values = torch.tensor([value for part in parts for value in part], dtype=torch.float64)
    terms = metrics.elbo_terms(model, data.test)
    return {
        "k": k,
        "epochs": run.curve[-1]["epoch"],
        "of_epochs": epochs,
        "finished": len(values) == len(data.test),
        "seconds": run.curve[-1]["seconds"],
        "hardware": hardware(str(device), None),
        "torch": torch.__version__,
        "setting": f"batch {BATCH_SIZE}, Adam, learning rate {FIRST_RATE:g} to {LAST_RATE:g}, seed 0",
        "nll": -values.mean().item() if len(values) else None,
        "nll_error": values.std().item() / len(values) ** 0.5 if len(values) else None,
        "nll_images": len(values),
        "nll_samples": SAMPLES,
        **lead_of(values, k),
        "elbo": terms.elbo.double().mean().item(),
        "kl": terms.kl.double().mean().item(),
        "active_units": int((metrics.active_units(model, data.test) > 0.01).sum()),
        "published": PUBLISHED[k],
        "published_epochs": PUBLISHED_EPOCHS,
        "curve_images": CURVE_IMAGES,
        "curve_samples": CURVE_SAMPLES,
        "curve": run.curve,
    }


def lead_of(values: torch.Tensor, k: int) -> dict:
    """By how many nats an image k samples lead over the VAE, digit by digit, and the error of that mean; where both are done."""
    path = KEPT / f"k1-{EPOCHS[1]}" / "parts.json"
    parts = json.loads(path.read_text()) if path.exists() else []
    vae = torch.tensor([value for part in parts for value in part], dtype=torch.float64)
    if k == 1 or len(vae) != len(values):
        return {}
    lead = values - vae
    return {"lead": lead.mean().item(), "lead_error": lead.std().item() / len(lead) ** 0.5}


def bits(epochs: int, device: torch.device, stop: float) -> dict:
    """Train on photographs with the discretised logistic; the bits a pixel value of the test images, and a straight line's."""
    label, data = load_photographs()
    run = Watched(f"bits-{epochs}", stop)
    line = run.read("line.json", None)
    if line is None:
        line = {"bits": straight_line(data.train, data.test, BITS_LATENTS)}
        write(run.folder / "line.json", json.dumps(line))
    torch.manual_seed(0)
    model = vaelib.VAE(data.image_shape, BITS_LATENTS, BITS_CONVS, (), "discretised-logistic")
    with torch.no_grad():
        model.log_sigma.fill_(math.log(FIRST_SIGMA))
    values = math.prod(data.image_shape)
    in_bits = lambda nats: losses.bits_per_dimension(torch.as_tensor(nats), values).item()
    finished = run.train(
        model,
        data,
        epochs,
        1,
        lambda model, history: {"bits": round(in_bits(history.test["elbo"][-1]), 4)},
        batch_size=BITS_BATCH_SIZE,
        learning_rate=objectives.falling(
            BITS_FIRST_RATE, LAST_RATE, steps_of(data, BITS_BATCH_SIZE, epochs)
        ),
        device=device,
        progress=False,
    )
    terms = metrics.elbo_terms(model, data.test)
    estimate = metrics.log_likelihood(model, data.test[:CURVE_IMAGES], CURVE_SAMPLES).double()
    return {
        "data": label,
        "epochs": run.curve[-1]["epoch"],
        "of_epochs": epochs,
        "finished": finished,
        "seconds": run.curve[-1]["seconds"],
        "hardware": hardware(str(device), None),
        "torch": torch.__version__,
        "latents": BITS_LATENTS,
        "network": "convolutions 32, 64 (4 x 4, stride 2), a straight layer to the latents, mirrored",
        "setting": f"batch {BITS_BATCH_SIZE}, Adam, learning rate {BITS_FIRST_RATE:g} to {LAST_RATE:g}, seed 0",
        "bits": in_bits(terms.elbo.double().mean()),
        "bits_error": abs(in_bits(terms.elbo.double().std() / len(terms.elbo) ** 0.5)),
        "bits_of_kl": -in_bits(terms.kl.double().mean()),
        "active_units": int((metrics.active_units(model, data.test) > 0.01).sum()),
        "in_use": int((metrics.kl_per_dimension(model, data.test) > 0.1).sum()),
        "steps": steps_of(data, BITS_BATCH_SIZE, run.curve[-1]["epoch"]),
        "importance_bits": in_bits(estimate.mean()),
        "importance_images": CURVE_IMAGES,
        "importance_samples": CURVE_SAMPLES,
        "grey_levels": 255 * model.log_sigma.exp().item(),
        "line_bits": line["bits"],
        "published": PUBLISHED_BITS,
        "curve": run.curve,
    }


def straight_line(train: torch.Tensor, test: torch.Tensor, latents: int) -> float:
    """Bits a pixel value of the best linear VAE with so many latents (thm:linear-vae), in closed form: no training.

    Its density is of pixels with uniform noise added to their levels, whose bits are never fewer than the levels' own.
    """
    generator = torch.Generator().manual_seed(0)
    noisy = lambda part: (
        part.flatten(1).float() + torch.rand(len(part), part[0].numel(), generator=generator)
    )
    total, square, n = 0.0, 0.0, len(train)
    for part in train.split(5000):
        x = noisy(part) - 128
        total, square = total + x.double().sum(0), square + (x.T @ x).double()
    mean = total / n
    variances, axes = torch.linalg.eigh(square / n - mean.outer(mean))
    variances, axes = variances.flip(0), axes.flip(1)
    rest = variances[latents:].mean()
    variances = torch.cat([variances[:latents], rest.expand(len(variances) - latents)])
    squares = sum(
        (((noisy(part) - 128).double() - mean) @ axes).square().sum(0) for part in test.split(1000)
    )
    nats = 0.5 * (squares / len(test) / variances + variances.log() + math.log(2 * math.pi)).sum()
    return losses.bits_per_dimension(-nats, len(variances)).item()


def read() -> dict:
    """What was measured so far: {"nll": rows, a k and budget each, "bits": a row or None}."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"nll": [], "bits": None}


def table(found: dict) -> str:
    """-log p(x) of binarised digits beside the published numbers, as the page shows it."""
    shown = []
    for row in sorted(found["nll"], key=lambda row: (row["k"], row["of_epochs"])):
        if row["finished"]:
            ours = f"{row['nll']:.2f} ± {row['nll_error']:.2f}"
            apart = f"{row['nll'] - row['published']:+.2f}"
        else:
            ours, apart = f"{row['curve'][-1]['nll']:.1f}, not finished", ""
        epochs = (
            f"{row['epochs']}"
            if row["epochs"] == row["of_epochs"]
            else f"{row['epochs']} of {row['of_epochs']}"
        )
        name = "VAE" if row["k"] == 1 else f"IWAE, $k={row['k']}$"
        spent = f"{row['seconds'] / 60:.0f} min, {row['hardware']}"
        shown.append(
            [name, f"{row['published']:.2f}", ours, apart, f"{row['active_units']}", epochs, spent]
        )
    return markdown(
        [["objective", "published", "ours", "difference", "active", "epochs", "time"], *shown]
    )


def photograph_table(found: dict) -> str:
    """Bits a pixel value, beside the published numbers and the straight line's."""
    row = found["bits"]
    if row is None:
        return ""
    spent = f"{row['epochs']} epochs, {row['seconds'] / 60:.0f} min"
    shown = [
        [
            f"convolutional VAE, {row['latents']} latents (ours, {spent})",
            row["data"],
            f"{row['bits']:.2f}",
        ],
        [
            f"the best linear VAE, {row['latents']} latents (closed form)",
            row["data"],
            f"{row['line_bits']:.2f}",
        ],
    ]
    cited = {
        "van den Oord et al. (2017)": "{cite:t}`oord2017neural`",
        "Gregor et al. (2016)": "{cite:t}`gregor2016towards`",
    }
    for name, published in row["published"].items():
        shown.append(
            [f"convolutional VAE, {cited[name]}", "CIFAR-10, the original", f"{published:.2f}"]
        )
    return markdown([["model", "pixels", "bits a pixel value"], *shown])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", choices=[*(f"k{k}" for k in EPOCHS), "bits"])
    parser.add_argument(
        "--epochs",
        type=int,
        help="another budget, and another run: the learning rate falls over all of it",
    )
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    stop, device = time.monotonic() + asked.seconds, pick_device(asked.device)
    try:
        if asked.run == "bits":
            row = bits(asked.epochs or BITS_EPOCHS, device, stop)
            found = {**read(), "bits": row}
        else:
            k = int(asked.run[1:])
            row, before = digits(k, asked.epochs or EPOCHS[k], device, stop), read()
            others = [
                old
                for old in before["nll"]
                if (old["k"], old["of_epochs"]) != (k, row["of_epochs"])
            ]
            found = {**before, "nll": [*others, row]}
    except DataError as error:
        raise SystemExit(f"literature: {error}") from None
    write(
        RESULTS,
        json.dumps(
            {"command": "python book/studies/literature.py", **found}, indent=1, allow_nan=False
        )
        + "\n",
    )
    print({key: value for key, value in row.items() if key != "curve"})


if __name__ == "__main__":
    main()

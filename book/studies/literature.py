"""Two numbers that the literature can judge: log p(x) of digits, and bits a pixel of CIFAR-10.

python book/studies/literature.py k1      the VAE of Burda et al. (2016): an hour on one core
python book/studies/literature.py k5      their IWAE with 5 samples: an hour and a half
python book/studies/literature.py k50     with 50: for a GPU, or a night on one core; --epochs 40 is
                                          an hour
python book/studies/literature.py bits    a convolutional VAE of CIFAR-10 with the discretised
                                          logistic: half an hour

Each may be stopped, or stops by itself (--seconds S), and goes on where it was. Writes
book/results/literature.json, in which what was reached so far stands too. Checkpoints are under
_build/literature/. MNIST is downloaded, or read from $VAELIB_DATA.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace

import reporting
import torch
from photographs import load_photographs
from reporting import ROOT, hardware, markdown

import vaelib
from vaelib import ConvSpec, DataError, losses, metrics, objectives
from vaelib.data import ImageData
from vaelib.device import pick_device
from vaelib.initial_weights import start_at_mean
from vaelib.saving import write

SCRIPT = "book/studies/literature.py"
RESULTS = reporting.RESULTS / "literature.json"
KEPT = ROOT / "_build" / "literature"
# Burda et al. (2016), table 1, one stochastic layer: the VAE (k = 1), and IWAE; -log p(x), nats
PUBLISHED = {1: 86.76, 5: 85.54, 50: 84.78}
PUBLISHED_EPOCHS = sum(3**i for i in range(8))  # 3,280 passes over the data, in batches of 20
EPOCHS = {1: 800, 5: 400, 50: 600}
BATCH_SIZE, FIRST_RATE, LAST_RATE = 200, 4e-3, 1e-4
EVERY = 5  # epochs between two points of a learning curve
CURVE_IMAGES, CURVE_SAMPLES, SAMPLES, PART = 1000, 100, 5000, 500
# van den Oord et al. (2017), section 4.1, and Gregor et al. (2016), quoted there: bits, of the
# original pixels
PUBLISHED_BITS = {"van den Oord et al. (2017)": 4.51, "Gregor et al. (2016)": 4.54}
BITS_EPOCHS, BITS_LATENTS, BITS_CONVS, BITS_BATCH_SIZE = 12, 1024, (ConvSpec(32), ConvSpec(64)), 128
BITS_FIRST_RATE = 2e-3
# of the logistic, four grey levels: from 1 the steps of Adam would take longer than the training
FIRST_SIGMA = 0.015


def steps_of(data: ImageData, batch_size: int, epochs: int) -> int:
    return epochs * -(-len(data.train) // batch_size)


def the_papers_model(data: ImageData) -> vaelib.VAE:
    """50 latents, two layers of 200 with tanh on either side, Bernoulli pixels.

    Its first weights are the paper's too, Glorot's; its last bias starts at the mean image.
    """
    torch.manual_seed(0)
    model = vaelib.VAE((1, 28, 28), 50, convs=(), hidden=(200, 200), activation="tanh")
    start_at_mean(model, data.train)
    return model


class ResumableRun:
    """A run in rounds of some epochs, after each of which its learning curve gets a point.

    Between two rounds it may stop.
    """

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
                seconds = round(history.seconds, 1)
                point = {"epoch": epoch, "seconds": seconds, **measure(model, history)}
                self.curve.append(point)
                write(self.folder / "curve.json", json.dumps(self.curve))
                print(f"{self.folder.name}: {point}", flush=True)
        return True


def digits(k: int, epochs: int, device: torch.device, stop: float) -> dict:
    """Train with k samples an image and estimate log p(x) of all test images.

    The row, as far as it came.
    """
    data = vaelib.load("mnist", binarize=True)
    data = replace(data, test=data.test.to(device))
    few = replace(data, test=data.test[:CURVE_IMAGES])
    run, model = ResumableRun(f"k{k}-{epochs}", stop), the_papers_model(data).to(device)

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
        "hardware": hardware(str(device), torch.get_num_threads()),
        "torch": torch.__version__,
        "setting": setting(BATCH_SIZE, FIRST_RATE),
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
    """By how many nats k samples lead over the VAE, digit by digit, and the error of that mean.

    Nothing unless both are done.
    """
    path = KEPT / f"k1-{EPOCHS[1]}" / "parts.json"
    parts = json.loads(path.read_text()) if path.exists() else []
    vae = torch.tensor([value for part in parts for value in part], dtype=torch.float64)
    if k == 1 or len(vae) != len(values):
        return {}
    lead = values - vae
    return {"lead": lead.mean().item(), "lead_error": lead.std().item() / len(lead) ** 0.5}


def setting(batch_size: int, first_rate: float) -> str:
    return f"batch {batch_size}, Adam, learning rate {first_rate:g} to {LAST_RATE:g}, seed 0"


def bits(epochs: int, device: torch.device, stop: float) -> dict:
    """Train on photographs with the discretised logistic; the row, as far as it came.

    Bits a pixel value of the test images, and those of the best linear VAE.
    """
    label, data = load_photographs()
    run = ResumableRun(f"bits-{epochs}", stop)
    line = run.read("line.json", None)
    if line is None:
        line = {"bits": straight_line(data.train, data.test, BITS_LATENTS)}
        write(run.folder / "line.json", json.dumps(line))
    torch.manual_seed(0)
    model = vaelib.VAE(data.image_shape, BITS_LATENTS, BITS_CONVS, (), "discretised-logistic")
    with torch.no_grad():
        model.log_sigma.fill_(math.log(FIRST_SIGMA))
    values = math.prod(data.image_shape)

    def in_bits(nats) -> float:
        return losses.bits_per_dimension(torch.as_tensor(nats), values).item()

    def measure(model, history) -> dict:
        return {"bits": round(in_bits(history.test["elbo"][-1]), 4)}

    finished = run.train(
        model,
        data,
        epochs,
        1,
        measure,
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
        "hardware": hardware(str(device), torch.get_num_threads()),
        "torch": torch.__version__,
        "latents": BITS_LATENTS,
        "network": "convolutions 32, 64 (4 x 4, stride 2), a straight layer to the latents, "
        "mirrored",
        "setting": setting(BITS_BATCH_SIZE, BITS_FIRST_RATE),
        "bits": in_bits(terms.elbo.double().mean()),
        "bits_error": abs(in_bits(terms.elbo.double().std() / len(terms.elbo) ** 0.5)),
        "bits_of_kl": -in_bits(terms.kl.double().mean()),
        "active_units": int((metrics.active_units(model, data.test) > 0.01).sum()),
        "in_use": int((metrics.kl_per_dimension(model, data.test) > 0.1).sum()),
        "steps": steps_of(data, BITS_BATCH_SIZE, run.curve[-1]["epoch"]),
        "importance_bits": in_bits(estimate.mean()),
        "importance_images": CURVE_IMAGES,
        "importance_samples": CURVE_SAMPLES,
        "first_grey_levels": 255 * FIRST_SIGMA,
        "grey_levels": 255 * model.log_sigma.exp().item(),
        "line_bits": line["bits"],
        "published": PUBLISHED_BITS,
        "curve": run.curve,
    }


def straight_line(train: torch.Tensor, test: torch.Tensor, latents: int) -> float:
    """Bits a pixel value of the best linear VAE with so many latents (thm:linear-vae).

    In closed form, so without training. Its density is of pixels with uniform noise added to their
    levels, whose bits are never fewer than the levels' own.
    """
    generator = torch.Generator().manual_seed(0)

    def noisy(part: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(len(part), part[0].numel(), generator=generator)
        return part.flatten(1).float() + noise

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


def present(results: dict) -> list[dict]:
    """The rows of this recipe, by k and epochs; those of the one before are kept to compare."""
    rows = [row for row in results["nll"] if row["setting"] == setting(BATCH_SIZE, FIRST_RATE)]
    return sorted(rows, key=lambda row: (row["k"], row["of_epochs"]))


def table(results: dict) -> str:
    """-log p(x) of binarised digits beside the published numbers, as the page shows it."""
    shown = []
    for row in present(results):
        if row["finished"]:
            ours = f"{row['nll']:.2f} ± {row['nll_error']:.2f}"
            apart = f"{row['nll'] - row['published']:+.2f}"
        else:
            ours, apart = f"{row['curve'][-1]['nll']:.1f}, not finished", ""
        epochs = f"{row['epochs']}"
        if row["epochs"] != row["of_epochs"]:
            epochs += f" of {row['of_epochs']}"
        name = "VAE" if row["k"] == 1 else f"IWAE, $k={row['k']}$"
        spent = f"{row['seconds'] / 60:.0f} min, {row['hardware']}"
        published, active = f"{row['published']:.2f}", f"{row['active_units']}"
        shown.append([name, published, ours, apart, active, epochs, spent])
    head = ["objective", "published", "ours", "difference", "active", "epochs", "time"]
    return markdown([head, *shown])


def photograph_table(results: dict) -> str:
    """Bits a pixel value, beside the published numbers and the straight line's."""
    row = results["bits"]
    if row is None:
        return ""
    spent = f"{row['epochs']} epochs, {row['seconds'] / 60:.0f} min"
    ours = f"convolutional VAE, {row['latents']} latents (ours, {spent})"
    line = f"the best linear VAE, {row['latents']} latents (closed form)"
    shown = [
        [ours, row["data"], f"{row['bits']:.2f}"],
        [line, row["data"], f"{row['line_bits']:.2f}"],
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
    args = parser.parse_args()
    stop, device = time.monotonic() + args.seconds, pick_device(args.device)
    try:
        if args.run == "bits":
            row = bits(args.epochs or BITS_EPOCHS, device, stop)
            results = {**read(), "bits": row}
        else:
            k = int(args.run[1:])
            row, before = digits(k, args.epochs or EPOCHS[k], device, stop), read()
            same = k, row["of_epochs"]
            others = [old for old in before["nll"] if (old["k"], old["of_epochs"]) != same]
            results = {**before, "nll": [*others, row]}
    except DataError as error:
        raise SystemExit(f"literature: {error}") from None
    results = {**results, "command": f"python {SCRIPT}"}
    write(RESULTS, json.dumps(results, indent=1, allow_nan=False) + "\n")
    print({key: value for key, value in row.items() if key != "curve"})


if __name__ == "__main__":
    main()

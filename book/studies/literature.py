"""Numbers that the literature can judge: log p(x) of digits and clothes, bits a pixel of CIFAR-10.

python book/studies/literature.py k1      the VAE of Burda et al. (2016): an hour on one core
python book/studies/literature.py k5      their IWAE with 5 samples: two hours and a half
python book/studies/literature.py k50     with 50: for a GPU, or a night on one core; --epochs 15 is
                                          half an hour, and the page compares it with k1 and k5
python book/studies/literature.py clothes the VAE of k1 on Fashion-MNIST, a quarter as long
python book/studies/literature.py bits    a VAE of CIFAR-10 with latents as a map, started at a
                                          line: a quarter of an hour on one core
python book/studies/literature.py plain   the same from drawn weights
python book/studies/literature.py dense   with 1,024 latents that see all of the image: half an hour

Each may be stopped, or stops by itself (--seconds S), and goes on where it was. Writes
book/results/literature.json, in which what was reached so far stands too. Checkpoints are under
_build/literature/. The data are downloaded, or read from $VAELIB_DATA.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace

import fitted_prior
import reporting
import torch
from in_use import IN_USE
from photographs import load_photographs
from reporting import ROOT, hardware, markdown
from torch.nn.functional import logsigmoid

import vaelib
from vaelib import ConvSpec, DataError, losses, metrics, objectives
from vaelib.data import ImageData
from vaelib.device import pick_device
from vaelib.initial_weights import start_at_line, start_at_mean
from vaelib.models import as_float, draw_latents
from vaelib.saving import write

SCRIPT = "book/studies/literature.py"
RESULTS = reporting.RESULTS / "literature.json"
KEPT = ROOT / "_build" / "literature"
# Burda et al. (2016), table 1, one stochastic layer: the VAE (k = 1), and IWAE; -log p(x), nats
PUBLISHED = {1: 86.76, 5: 85.54, 50: 84.78}
PUBLISHED_EPOCHS = sum(3**i for i in range(8))  # 3,280 passes over the data, in batches of 20
EPOCHS, CLOTHES_EPOCHS = {1: 800, 5: 800, 50: 600}, 200
SHORT = 15  # epochs after which one core has seen 50 samples of every image in half an hour
BATCH_SIZE, FIRST_RATE, LAST_RATE = 200, 4e-3, 1e-4
EVERY = 5  # epochs between two points of a learning curve
CURVE_IMAGES, CURVE_SAMPLES, SAMPLES, PART = 1000, 100, 5000, 500
# van den Oord et al. (2017), section 4.1, and Gregor et al. (2016), quoted there: bits, of the
# original pixels
PUBLISHED_BITS = {"van den Oord et al. (2017)": 4.51, "Gregor et al. (2016)": 4.54}
BITS_BATCH_SIZE = 128
# patches of 8 x 8, each with as many latents as it has values
PATCH, BITS_LATENTS, BITS_WIDTH = 8, 3 * 8 * 8, 448
# epochs and learning rates; larger ones would lose the line that "bits" starts from
BITS_RUNS = {"bits": (10, 3e-5, 1e-6), "plain": (10, 1e-3, 1e-4), "dense": (12, 2e-3, 1e-4)}
FIRST_SIGMA = 0.015  # of the logistic in the other two: four grey levels
# the linear VAEs to compare with: with as many latents as the dense one, and with all
LINES = (1024, 3072)


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


def log_likelihood(
    name: str, dataset: str, k: int, epochs: int, device: torch.device, stop: float
) -> dict:
    """Train with k samples an image and estimate log p(x) of all test images.

    The row, as far as it came.
    """
    data = vaelib.load(dataset, binarize=True)
    data = replace(data, test=data.test.to(device))
    test, labels = data.test[:CURVE_IMAGES], data.test_labels[:CURVE_IMAGES]
    few = replace(data, test=test, test_labels=labels)
    run, model = ResumableRun(f"{name}-{epochs}", stop), the_papers_model(data).to(device)

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
    values = estimates(run.folder.name)
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
        "elbo": terms.elbo.double().mean().item(),
        "kl": terms.kl.double().mean().item(),
        "active_units": int((metrics.active_units(model, data.test) > 0.01).sum()),
        "curve_images": CURVE_IMAGES,
        "curve_samples": CURVE_SAMPLES,
        "curve": run.curve,
    }


def digits(k: int, epochs: int, device: torch.device, stop: float) -> dict:
    """The row of Burda et al.'s digits, beside what they report."""
    row = log_likelihood(f"k{k}", "mnist", k, epochs, device, stop)
    row |= {"published": PUBLISHED[k], "published_epochs": PUBLISHED_EPOCHS}
    return row | lead_of(estimates(f"k{k}-{epochs}"), k, SHORT if epochs == SHORT else EPOCHS[1])


def estimates(folder: str) -> torch.Tensor:
    """log p(x) of the test images of a run, as many as are estimated."""
    path = KEPT / folder / "parts.json"
    parts = json.loads(path.read_text()) if path.exists() else []
    return torch.tensor([value for part in parts for value in part], dtype=torch.float64)


def lead_of(values: torch.Tensor, k: int, epochs: int) -> dict:
    """By how many nats k samples lead over the VAE of ``epochs``: the digits' mean, and its error.

    Nothing unless both are done.
    """
    vae = estimates(f"k1-{epochs}")
    if k == 1 or len(vae) != len(values):
        return {}
    lead = values - vae
    return {"lead": lead.mean().item(), "lead_error": lead.std().item() / len(lead) ** 0.5}


def setting(batch_size: int, first_rate: float, last_rate: float = LAST_RATE) -> str:
    return f"batch {batch_size}, Adam, learning rate {first_rate:g} to {last_rate:g}, seed 0"


def model_of(kind: str, data: ImageData) -> tuple[vaelib.VAE, str]:
    """The model that a run begins with, and what it is."""
    torch.manual_seed(0)
    shape, likelihood = data.image_shape, "discretised-logistic"
    if kind == "dense":
        model = vaelib.VAE(shape, 1024, (ConvSpec(32), ConvSpec(64)), (), likelihood)
        what = "convolutions 32, 64 (4 x 4, stride 2), a straight layer to the latents, mirrored"
    else:
        places = (shape[1] // PATCH) * (shape[2] // PATCH)
        conv = ConvSpec(BITS_WIDTH, kernel_size=PATCH, stride=PATCH, padding=0)
        model = vaelib.VAE(shape, BITS_LATENTS * places, [conv], (), likelihood, latent_map=True)
        what = f"patches of {PATCH} x {PATCH} through {BITS_WIDTH} channels to {BITS_LATENTS} "
        what += "latents each, mirrored"
    if kind == "bits":
        start_at_line(model, data.train)
    else:
        torch.nn.init.constant_(model.log_sigma, math.log(FIRST_SIGMA))
    return model, what


def bits(
    kind: str, label: str, data: ImageData, epochs: int, device: torch.device, stop: float
) -> dict:
    """Train on photographs with the discretised logistic; the row, as far as it came.

    Bits a pixel value of the test images. ``kind`` is a key of BITS_RUNS, ``label`` the data's.
    """
    run, (model, network) = ResumableRun(f"{kind}-{epochs}", stop), model_of(kind, data)
    first_grey_levels = 255 * model.log_sigma.exp().item()
    values = math.prod(data.image_shape)

    def in_bits(nats) -> float:
        return losses.bits_per_dimension(torch.as_tensor(nats), values).item()

    def measure(model, history) -> dict:
        return {"bits": round(in_bits(history.test["elbo"][-1]), 4)}

    if not run.curve:
        elbo = metrics.elbo_terms(model, data.test).elbo
        run.curve.append({"epoch": 0, "seconds": 0.0, "bits": round(in_bits(elbo.mean()), 4)})
    _, first, last = BITS_RUNS[kind]
    finished = run.train(
        model,
        data,
        epochs,
        1,
        measure,
        batch_size=BITS_BATCH_SIZE,
        learning_rate=objectives.falling(first, last, steps_of(data, BITS_BATCH_SIZE, epochs)),
        device=device,
        progress=False,
    )
    terms = metrics.elbo_terms(model, data.test)
    estimate = metrics.log_likelihood(model, data.test[:CURVE_IMAGES], CURVE_SAMPLES).double()
    used = (metrics.kl_per_dimension(model, data.test) > IN_USE).cpu()
    more = {}
    if kind == "bits":
        model.to("cpu")
        few = data.train[: fitted_prior.FITTED_TO]
        fitted = fitted_prior.fit(model, few)
        drawn = fitted_prior.codes(model, data.test, 1)
        saved, saved_error = fitted_prior.saved_by_histograms(
            fitted_prior.codes(model, few, 0), drawn
        )
        more = {
            "rates": fitted_prior.rates(model, fitted, data.test),
            "histograms_save": -in_bits(saved),
            "histograms_save_error": -in_bits(saved_error),
            "kurtosis": fitted_prior.kurtosis(drawn)[used].median().item(),
            "noisy_bits": in_bits(noisy_elbo(model, data.test).mean()),
        }
        reporting.save_picture(fitted_prior.picture(model, fitted, data.test), "11-line", 100)
    error = (
        (data.test.to(model.device) / 255 - model.reconstruct(data.test)).square().mean((1, 2, 3))
    )
    return {
        "data": label,
        "epochs": run.curve[-1]["epoch"],
        "of_epochs": epochs,
        "finished": finished,
        "seconds": run.curve[-1]["seconds"],
        "hardware": hardware(str(device), torch.get_num_threads()),
        "torch": torch.__version__,
        "latents": model.latent_dim,
        "network": network,
        "setting": setting(BITS_BATCH_SIZE, first, last),
        "bits": in_bits(terms.elbo.double().mean()),
        "bits_error": abs(in_bits(terms.elbo.double().std() / len(terms.elbo) ** 0.5)),
        "bits_of_kl": -in_bits(terms.kl.double().mean()),
        "active_units": int((metrics.active_units(model, data.test) > 0.01).sum()),
        "in_use": int(used.sum()),
        "steps": steps_of(data, BITS_BATCH_SIZE, run.curve[-1]["epoch"]),
        "importance_bits": in_bits(estimate.mean()),
        "importance_images": CURVE_IMAGES,
        "importance_samples": CURVE_SAMPLES,
        "psnr": (-10 * error.double().log10()).mean().item(),
        **more,
        "first_grey_levels": first_grey_levels,
        "grey_levels": 255 * model.log_sigma.exp().item(),
        "curve": run.curve,
    }


@torch.no_grad()
def noisy_elbo(model: vaelib.VAE, images: torch.Tensor) -> torch.Tensor:
    """The ELBO (N,) as `straight_line` scores: a density of levels with noise, nothing folded.

    ``images`` are of bytes, the model's pixels logistic. The unit of the density is a grey level.
    """
    generator, elbos = torch.Generator().manual_seed(0), []
    for part in images.split(PART):
        mean, log_var = model.encode(as_float(part))
        output = 255 * model.decode(draw_latents(mean, log_var, generator)).double()
        noise = torch.rand(part.shape, generator=generator, dtype=torch.float64) - 0.5
        log_scale = model.log_sigma.double() + math.log(255)
        t = (part + noise - output) / log_scale.exp()
        log_density = (logsigmoid(t) + logsigmoid(-t) - log_scale).flatten(1).sum(1)
        elbos.append(log_density - losses.kl_to_standard_normal(mean, log_var))
    return torch.cat(elbos)


def lines(data: ImageData, stop: float) -> dict:
    """Bits of the best linear VAEs of the same pixels, by their number of latents."""
    return reporting.cached(
        KEPT / "lines.json",
        stop,
        lambda: {str(d): straight_line(data.train, data.test, d) for d in LINES},
    )


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
    """What was measured so far: {"nll": rows, a k and budget each}, and of BITS_RUNS a row each."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"nll": []}


def present(results: dict, short: bool = False) -> list[dict]:
    """The rows of this recipe, by k and epochs, the short ones or the others.

    Those of the recipe before are kept to compare.
    """
    rows = [
        row
        for row in results["nll"]
        if row["setting"] == setting(BATCH_SIZE, FIRST_RATE)
        and (row["of_epochs"] == SHORT) == short
    ]
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
    """Bits a pixel value, beside the published numbers and the straight lines'."""
    names = {
        "dense": "convolutional VAE, {latents:,} latents",
        "plain": "patches with latents of their own, drawn weights",
        "bits": "the same, started at a line",
    }
    shown = []
    for kind, name in names.items():
        if kind in results:
            row = results[kind]
            spent = f"{row['epochs']} epochs, {row['seconds'] / 60:.0f} min"
            name = f"{name.format(**row)} (ours, {spent})"
            shown.append([name, row["data"], f"{row['bits']:.2f}"])
    for latents, found in results["lines"].items():
        name = f"the best linear VAE, {int(latents):,} latents (closed form)"
        shown.append([name, results["bits"]["data"], f"{found:.2f}"])
    cited = {
        "van den Oord et al. (2017)": "{cite:t}`oord2017neural`",
        "Gregor et al. (2016)": "{cite:t}`gregor2016towards`",
    }
    for name, published in PUBLISHED_BITS.items():
        shown.append(
            [f"convolutional VAE, {cited[name]}", "CIFAR-10, the original", f"{published:.2f}"]
        )
    return markdown([["model", "pixels", "bits a pixel value"], *shown])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", choices=[*(f"k{k}" for k in EPOCHS), "clothes", *BITS_RUNS])
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
        if args.run in BITS_RUNS:
            label, data = load_photographs()
            found = lines(data, stop)
            epochs = args.epochs or BITS_RUNS[args.run][0]
            row = bits(args.run, label, data, epochs, device, stop)
            results = {**read(), args.run: row, "lines": found}
        elif args.run == "clothes":
            epochs = args.epochs or CLOTHES_EPOCHS
            row = log_likelihood("clothes", "fashion-mnist", 1, epochs, device, stop)
            results = {**read(), args.run: row}
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

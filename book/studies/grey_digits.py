"""Bits a pixel value of MNIST's 256 grey levels: a VAE, each pixel's frequencies, straight lines.

python book/studies/grey_digits.py    some minutes on one core

Stopped, or by itself after --seconds S, it goes on where it was. Writes
book/results/grey_digits.json, in which what was reached so far stands too; checkpoints are under
_build/literature/. MNIST is downloaded, or read from $VAELIB_DATA.
"""

from __future__ import annotations

import argparse
import json
import math
import time

import literature
import reporting
import torch
from reporting import hardware, markdown

import vaelib
from vaelib import DataError, losses, metrics, objectives
from vaelib.data import ImageData
from vaelib.initial_weights import start_at_mean
from vaelib.saving import write

SCRIPT = "book/studies/grey_digits.py"
RESULTS = reporting.RESULTS / "grey_digits.json"
EPOCHS, EVERY, FIRST_RATE, LAST_RATE = 10, 1, 2e-3, 1e-4
LINES = (50, 783)  # as many latents as the VAE, and as many as a linear VAE can have


def in_bits(log_likelihood: torch.Tensor) -> torch.Tensor:
    """Nats an image to bits a pixel value (Theis et al., 2016, section 3.1)."""
    return losses.bits_per_dimension(log_likelihood.double(), 28 * 28)


def model_of(data: ImageData) -> vaelib.VAE:
    """The network of the binarised digits' table; its pixels have 256 levels."""
    torch.manual_seed(0)
    kind = {"likelihood": "discretised-logistic", "activation": "tanh"}
    model = vaelib.VAE((1, 28, 28), 50, convs=(), hidden=(200, 200), **kind)
    start_at_mean(model, data.train)
    return model


def by_frequency(train: torch.Tensor, test: torch.Tensor) -> float:
    """Bits of independent pixels, each with the frequencies of its levels, one added to each count.

    ``train`` and ``test`` are of bytes, (N, C, H, W).
    """
    levels, pixels = train.flatten(1).long(), train[0].numel()
    counts = torch.ones(pixels, 256, dtype=torch.float64)
    counts.scatter_add_(1, levels.T, torch.ones(levels.T.shape, dtype=torch.float64))
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    log_likelihood = log_p.gather(1, test.flatten(1).long().T).sum(0)
    return losses.bits_per_dimension(log_likelihood.mean(), pixels).item()


def network(data: ImageData, epochs: int, stop: float) -> dict:
    """The VAE's row, as far as it came."""
    run = literature.ResumableRun(f"grey-{epochs}", stop)
    model = model_of(data)

    def measure(model, history) -> dict:
        return {"bits": round(in_bits(torch.tensor(history.test["elbo"][-1])).item(), 4)}

    size = literature.BATCH_SIZE
    steps = literature.steps_of(data, size, epochs)
    finished = run.train(
        model,
        data,
        epochs,
        EVERY,
        measure,
        batch_size=size,
        learning_rate=objectives.falling(FIRST_RATE, LAST_RATE, steps),
        device="cpu",
        progress=False,
    )
    terms = metrics.elbo_terms(model, data.test)
    few, samples = data.test[: literature.CURVE_IMAGES], literature.CURVE_SAMPLES
    bits = in_bits(terms.elbo)
    return {
        "epochs": run.curve[-1]["epoch"],
        "of_epochs": epochs,
        "finished": finished,
        "seconds": run.curve[-1]["seconds"],
        "hardware": hardware("cpu", torch.get_num_threads()),
        "torch": torch.__version__,
        "setting": literature.setting(size, FIRST_RATE, LAST_RATE),
        "bits": bits.mean().item(),
        "bits_error": (bits.std() / len(bits) ** 0.5).item(),
        "bits_of_kl": -in_bits(terms.kl.mean()).item(),
        "noisy_bits": in_bits(literature.noisy_elbo(model, data.test)).mean().item(),
        "importance_bits": in_bits(metrics.log_likelihood(model, few, samples)).mean().item(),
        "few_bits": bits[: len(few)].mean().item(),
        "importance_images": len(few),
        "importance_samples": samples,
        "active_units": int((metrics.active_units(model, data.test) > 0.01).sum()),
        "grey_levels": 255 * model.log_sigma.exp().item(),
        "curve": run.curve,
    }


def table(results: dict) -> str:
    """Bits a pixel value, as the page shows them."""
    ours = results["network"]
    spent = f"{ours['epochs']} epochs, {ours['seconds'] / 60:.0f} min"
    rows = [
        [f"VAE, 50 latents (ours, {spent})", f"{ours['bits']:.2f}"],
        ["each pixel's own frequencies", f"{results['by_frequency']:.2f}"],
        *(
            [f"the best linear VAE, {latents} latents (closed form)", f"{bits:.2f}"]
            for latents, bits in results["lines"].items()
        ),
    ]
    return markdown([["model", "bits a pixel value"], *rows])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="another budget, another run")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many")
    args = parser.parse_args()
    stop = time.monotonic() + args.seconds
    try:
        data = vaelib.load("mnist")
    except DataError as error:
        raise SystemExit(f"grey_digits: {error}") from None
    results = {
        "command": f"python {SCRIPT}",
        "network": network(data, args.epochs, stop),
        "by_frequency": by_frequency(data.train, data.test),
        "lines": {str(d): literature.straight_line(data.train, data.test, d) for d in LINES},
    }
    write(RESULTS, json.dumps(results, indent=1, allow_nan=False) + "\n")
    print(results)


if __name__ == "__main__":
    main()

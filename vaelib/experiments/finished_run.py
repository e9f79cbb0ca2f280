"""A finished run, in its folder: measured and drawn from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from vaelib import losses, metrics, plots
from vaelib.experiments.build import checked_device, load_data
from vaelib.experiments.config import ConfigError
from vaelib.experiments.measure import measurements, png, standard_error
from vaelib.experiments.run_folder import RESULTS, opened, results
from vaelib.files import write


def evaluate(
    folder: Path,
    samples: int,
    images: int,
    device: str = "auto",
    scores: bool = False,
    say: Callable = print,
) -> dict:
    """Measure a finished run on ``images`` held-out images, and add it to its results.

    `measurements`, log p(x) by ``samples`` draws, bits a pixel value.

    log p(x) is given where the images have one under the model: not for grey images and Bernoulli
    pixels. With ``scores`` the codes are compared with the factors that made the images, by all of
    `vaelib.disentanglement`, where there are any.
    """
    config, model = opened(folder)
    model.to(checked_device(device))
    data = load_data(config, say)
    if scores and not data.factor_names:
        raise ConfigError(f"--scores: {data.name} has no known factors; sprites and dsprites have")
    x, factors = data.held_out(images)
    result = measurements(model, x)
    if model.likelihood != "bernoulli" or data.binary:
        estimate = metrics.log_likelihood(model, x, samples).cpu().double()
        result |= {
            "log_likelihood": estimate.mean().item(),
            "log_likelihood_error": standard_error(estimate),
            "samples": samples,
        }
    if model.likelihood == "discretised-logistic":
        bits = losses.bits_per_dimension(estimate.mean(), x[0].numel())
        result["bits_per_dimension"] = bits.item()
    if scores:
        from vaelib import disentanglement  # scikit-learn is slow to import

        result |= disentanglement.scores(metrics.encode(model, x)[0].cpu(), factors)
    text = json.dumps({**(results(folder) or {}), "evaluation": result}, indent=1)
    write(folder / RESULTS, text + "\n")
    return result


def sample(folder: Path, number: int, seed: int, output: Path, device: str = "auto") -> None:
    """Write a picture of ``number`` images that the run in ``folder`` draws from its prior."""
    _, model = opened(folder)
    model.to(checked_device(device))
    generator = torch.Generator(model.device).manual_seed(seed)
    write(output, png(plots.samples(model, number, min(10, number), generator)))

"""A finished run, in its folder: measured, drawn from, exported."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelib import losses, metrics, plots
from vaelib.experiments.build import checked_device, load_data
from vaelib.experiments.config import ConfigError
from vaelib.experiments.measure import measurements, png, standard_error
from vaelib.experiments.run_folder import CONFIG, MODEL, keep_results, opened, results
from vaelib.files import save_model, write
from vaelib.models import VAE


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
    keep_results(folder, {**(results(folder) or {}), "evaluation": result})
    return result


def sample(folder: Path, number: int, seed: int, output: Path, device: str = "auto") -> None:
    """Write a picture of ``number`` images that the run in ``folder`` draws from its prior."""
    _, model = opened(folder)
    model.to(checked_device(device))
    generator = torch.Generator(model.device).manual_seed(seed)
    write(output, png(plots.samples(model, number, min(10, number), generator)))


def export(folder: Path, output: Path, half: bool = False, programs: bool = False) -> list[Path]:
    """Copy model and configuration of a finished run into ``output``; the files.

    ``half`` rounds the weights to float16. ``programs`` adds `encoder.pt2` (images in [0, 1] to
    mean and log-variance) and `decoder.pt2` (latents to images in [0, 1]), which torch.export.load
    reads without vaelib.
    """
    config, model = opened(folder)
    if output.resolve() == folder.resolve():
        raise ConfigError(f"--output {output}: that is the run itself; export elsewhere")
    output.mkdir(parents=True, exist_ok=True)
    save_model(model, output / MODEL, half)
    write(output / CONFIG, config.text())
    written = [output / MODEL, output / CONFIG]
    if programs:
        model.eval()
        examples = {
            "encoder": torch.zeros(2, *model.image_shape),
            "decoder": torch.zeros(2, model.latent_dim),
        }
        calls = {
            "encoder": model.encode,
            "decoder": lambda z: model.expected_image(model.decode(z)),
        }
        for name, example in examples.items():
            stream = io.BytesIO()
            any_number = ({0: torch.export.Dim.AUTO},)
            torch.export.save(
                torch.export.export(
                    _Call(model, calls[name]), (example,), dynamic_shapes=any_number
                ),
                stream,
            )
            write(output / f"{name}.pt2", stream.getvalue())
            written.append(output / f"{name}.pt2")
    return written


class _Call(torch.nn.Module):
    """One of a model's functions as a module of its own."""

    def __init__(self, model: VAE, call: Callable):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, x: Tensor) -> Any:
        return self.call(x)

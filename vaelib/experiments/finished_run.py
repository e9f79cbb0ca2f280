"""A finished run, in its folder: measured and drawn from."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from tqdm.auto import tqdm

from vaelib import losses, metrics
from vaelib.data import FactorImages
from vaelib.device import free_memory
from vaelib.experiments import report
from vaelib.experiments.config import ConfigError
from vaelib.experiments.from_config import checked_device, load_data
from vaelib.experiments.measure import contact_sheet, measurements, standard_error
from vaelib.experiments.run_folder import PICTURES, REPORT, keep_results, listing, load_run, results
from vaelib.models import VAE
from vaelib.saving import write

BATCH = 512  # images decoded at a time


def evaluate(
    folder: Path,
    samples: int,
    images: int,
    device: str = "auto",
    scores: bool = False,
    log: Callable = print,
    path: str | None = None,
) -> dict:
    """Measure a finished run on ``images`` held-out images, and add it to its results and report.

    `measurements`, log p(x) by ``samples`` draws, bits a pixel value.

    log p(x) is given where the images have one under the model: not for grey images and Bernoulli
    pixels. With ``scores`` the codes are compared with the factors that made the images, by all of
    `vaelib.disentanglement`, where there are any. ``path`` is where the data lie now, if not where
    they were. Of a folder of pictures those are taken that the run held out, if they are still what
    they were; ``log`` is told what has changed.
    """
    config, model = load_run(folder)
    model.to(checked_device(device))
    kept = listing(folder)
    if kept is None and config.configuration.dataset == "folder":
        log(f"{folder / PICTURES} is missing: the run may have trained on some of these pictures")
    data = load_data(config.at(path), log, split=kept)
    if scores and not data.factor_names:
        raise ConfigError(f"--scores: {data.name} has no known factors; sprites and dsprites have")
    if isinstance(data, FactorImages):
        _refuse_too_many("--images", images, model)
    x, factors = data.held_out(images)
    result = measurements(model, x)
    if model.likelihood != "bernoulli" or data.binary:
        with _bar_of_images(model, len(x)):
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

        log(f"the scores of {len(x):,} images take about a minute")
        try:
            result |= disentanglement.scores(metrics.encode(model, x)[0].cpu(), factors)
        except ValueError as error:
            raise ConfigError(f"--images {images}: too few for --scores ({error})") from None
    keep_results(folder, {**(results(folder) or {}), "evaluation": result})
    with suppress(FileNotFoundError, UnicodeDecodeError):
        page = (folder / REPORT).read_text(encoding="utf-8")
        write(folder / REPORT, report.evaluated(page, result))
    return result


def sample(folder: Path, number: int, seed: int, output: Path, device: str = "auto") -> None:
    """Write a picture of ``number`` images that the run in ``folder`` draws from its prior."""
    _, model = load_run(folder)
    _refuse_too_many("--number", number, model)
    model.to(checked_device(device))
    output.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator(model.device).manual_seed(seed)
    z = torch.randn(number, model.latent_dim, generator=generator, device=model.device)
    batches = tqdm(z.split(BATCH), disable=number <= BATCH or bool(os.environ.get("TQDM_DISABLE")))
    write(output, contact_sheet(map(model.decoded, batches), number))


@contextmanager
def _bar_of_images(model: VAE, number: int) -> Iterator[None]:
    """Inside, a bar counts the images that ``model`` encodes."""
    silent = bool(os.environ.get("TQDM_DISABLE"))
    with tqdm(total=number, desc="log p(x)", unit=" images", disable=silent) as bar:

        def count(_: torch.nn.Module, __: object, codes: torch.Tensor) -> None:
            # a hook's value, if it has one, is taken for the codes
            bar.update(len(codes))

        hook = model.encoder.register_forward_hook(count)
        try:
            yield
        finally:
            hook.remove()


def _refuse_too_many(option: str, images: int, model: VAE) -> None:
    size = 4 * images * math.prod(model.image_shape)
    if size > (most := free_memory()):
        what = f"these images take {size / 1e9:,.1f} GB, and {most / 1e9:,.1f} are free"
        raise ConfigError(f"{option} {images}: {what}")

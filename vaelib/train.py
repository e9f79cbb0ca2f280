"""`fit`: the one training loop, for VAE and beta-VAE alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vaelib import distributed, metrics
from vaelib.checks import check_choice, check_images, check_rate, check_whole
from vaelib.choices import BATCH_SIZE, LEARNING_RATE, PRECISIONS
from vaelib.data.images import ImageData, Stream, draw_binary
from vaelib.device import deterministic, keep_heap, pick_device
from vaelib.history import History, RunningTerms, check_finite, fingerprint, resumed
from vaelib.models import VAE, as_float
from vaelib.objectives import Objective, beta_vae
from vaelib.saving import load_checkpoint, save_checkpoint
from vaelib.schedules import Schedule, as_schedule

STEPS_A_RECORD = 100  # of a stream, which has no epochs


def fit(
    model: VAE,
    data: ImageData | Tensor | Stream,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = BATCH_SIZE,
    learning_rate: float | Schedule = LEARNING_RATE,
    beta: float | Schedule = 1.0,
    objective: Objective | None = None,
    samples: int = 1,
    seed: int = 0,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    progress: bool = True,
    on_record: Callable[[VAE, History], None] | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Train ``model`` in place with Adam on the negative ELBO of minibatches (eq:minibatch-elbo).

    ``data`` is an `ImageData`, or uint8 images (N, C, H, W) where there is no test set, and takes
    ``epochs``; or a `Stream`, and takes ``steps``. ``beta`` weighs the KL term, a number or a
    function of the step (from 0); ``objective`` replaces the loss altogether, see
    `vaelib.objectives`; ``samples`` is how many z are drawn for each image, which `objectives.iwae`
    makes the most of. ``learning_rate`` too may be a function of the step.
    ``seed`` fixes the order of the images, the noise and the binarisation: on one machine the same
    seed and initial weights give the same weights, bit for bit.
    ``device`` is "auto" (a GPU where there is one), or what torch.device takes; ``precision``
    "bf16" computes the networks in bfloat16 and the loss and the weights in float32; ``progress``
    draws a bar with loss and images a second, unless the environment sets TQDM_DISABLE;
    ``on_record`` is called with model and history after each epoch (each 100 steps of a stream).
    With ``checkpoint``, a file, the state is saved there after each epoch, and a run that finds it
    goes on from it, on one machine to the same weights as if it had never stopped, bit for bit.
    Where torch.distributed has been set up, its processes train together: each takes its rows of
    every minibatch and of the noise, for the same step as one process would make, to rounding.
    Freed memory stays with the process, see `keep_heap`.
    Raises TrainingError at the first loss that is not finite, ValueError for an argument out of
    range, CheckpointError for a checkpoint that is damaged or of a run with other arguments.
    Source: Kingma & Welling (2014), algorithm 1; beta: Higgins et al. (2017).

    >>> data = vaelib.load("mnist-5k", binarize=True)
    >>> model = vaelib.VAE(data.image_shape, latent_dim=2, convs=[], hidden=64)
    >>> history = fit(model, data, epochs=2, progress=False)
    >>> history.test["elbo"][-1] > history.test["elbo"][0]
    True
    """
    _check_length(data, epochs, steps)
    for name, value in (("batch_size", batch_size), ("samples", samples)):
        check_whole(name, value)
    check_whole("seed", seed, least=0)
    check_rate("learning_rate", learning_rate)
    check_choice("precision", precision, PRECISIONS)
    if objective is not None and beta != 1.0:
        raise ValueError("give either beta or an objective: an objective has its own weights")
    team, device = distributed.team(), pick_device(device)
    keep_heap()
    objective = objective or beta_vae(beta)
    train, test, binarize = _parts(data, device)
    form = model.image_shape, model.likelihood, model.to_mean.weight.dtype
    for images in (train, test):
        if isinstance(images, Tensor) and (images is train or len(images)):
            check_images(images, *form)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub
    team.broadcast_weights(model)
    rate_at = as_schedule("learning_rate", learning_rate)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    generator = torch.Generator(device).manual_seed(seed)
    bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    history, began = History(device=str(device)), time.perf_counter()
    settings = {"batch_size": batch_size, "seed": seed, "precision": precision, "samples": samples}
    settings |= {"test images": len(test) > 0} | ({} if callable(beta) else {"beta": beta})
    if checkpoint:
        settings |= fingerprint(model, train, binarize, objective, rate_at, device)
    state = model, optimizer, generator, objective
    if checkpoint and (saved := load_checkpoint(checkpoint, *state, settings)):
        history = resumed(checkpoint, saved, epochs, steps)
        began -= history.seconds
    step, length = history.steps[-1] if history.steps else 0, epochs or steps or 0
    if isinstance(train, Tensor):
        total, done, records = length * len(train), len(history) * len(train), length
    else:
        total, done = length * batch_size, step * batch_size
        records = len(history) + -(-(length - step) // STEPS_A_RECORD)

    with _progress_bar(progress and team.leads, total, done) as bar, deterministic():
        for record in range(len(history) + 1, records + 1):
            model.train()
            planned = min(STEPS_A_RECORD, length - step)  # of a stream
            expected = len(train) if isinstance(train, Tensor) else planned * batch_size
            seen = RunningTerms(expected, samples, model.latent_dim, device)
            for images in _batches(train, batch_size, generator, planned):
                if isinstance(train, Stream):
                    check_images(images, *form)
                n, mine = len(images), team.rows(len(images))  # one process has all the rows
                x = draw_binary(images, generator) if binarize else as_float(images)
                x = x[mine].contiguous(memory_format=torch.channels_last)
                shape = (n, model.latent_dim) if samples == 1 else (samples, n, model.latent_dim)
                noise = torch.randn(shape, generator=generator, device=device)
                with bf16:
                    output, mean, log_var, z = model(x, noise[..., mine, :])
                log_likelihood = model.log_likelihood(x, output)
                log_likelihood, mean, log_var, z = team.gather(n, log_likelihood, mean, log_var, z)
                loss = objective(log_likelihood, mean, log_var, z, step)

                optimizer.param_groups[0]["lr"] = rate_at(step)
                optimizer.zero_grad()
                loss.backward()
                team.sum_gradients(model)
                optimizer.step()

                step += 1
                seen.add(loss, log_likelihood, mean, log_var)
                # asking a GPU for the loss would make it wait
                if bar.update(n) and device.type == "cpu":
                    bar.set_postfix(epoch=record, loss=f"{loss.item():.1f}")
            mean_loss, reconstruction, kl = seen.means(record if epochs else None, step)
            check_finite(model, step)
            bar.set_postfix(epoch=record, loss=f"{mean_loss:.1f}")
            history.log("train", reconstruction, sum(kl))
            history.steps.append(step)
            history.kl_per_dimension.append(kl)
            if len(test):
                terms = metrics.elbo_terms(model, test)
                history.log("test", *(term.cpu().double().mean().item() for term in terms))
            history.seconds = time.perf_counter() - began
            history.images_per_second = min(step * batch_size, total) / history.seconds
            if on_record:
                on_record(model, history)
            if checkpoint and team.leads:
                save_checkpoint(checkpoint, *state, history.as_dict(), settings)
    model.eval()
    return history


def _check_length(data: object, epochs: int | None, steps: int | None) -> None:
    stream = isinstance(data, Stream)
    if not stream and not isinstance(data, (ImageData, Tensor)):
        what = "data must be an ImageData, a tensor of images or a stream"
        raise ValueError(f"{what}; got {type(data).__name__}")
    length, other, unit = (steps, epochs, "steps") if stream else (epochs, steps, "epochs")
    if length is None or other is not None:
        kind = "a stream" if stream else "a data set"
        raise ValueError(f"training on {kind} is measured in {unit}: give {unit} alone")
    check_whole(unit, length)


def _parts(
    data: ImageData | Tensor | Stream, device: torch.device
) -> tuple[Tensor | Stream, Tensor, bool]:
    """What to train on, what to test on (maybe nothing), and whether pixels are drawn afresh."""
    if isinstance(data, Stream):
        return data, torch.empty(0), False
    if isinstance(data, Tensor):
        return data.to(device), torch.empty(0), False
    return data.train.to(device), data.test.to(device), data.binarize


def _batches(
    train: Tensor | Stream, batch_size: int, generator: torch.Generator, steps: int
) -> Iterator[Tensor]:
    if isinstance(train, Stream):
        return (train.sample(batch_size, generator)[0] for _ in range(steps))
    return (train.index_select(0, rows) for rows in minibatches(len(train), batch_size, generator))


def minibatches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices 0..n-1 in an order drawn from ``generator``, ``batch_size`` at a time."""
    return iter(torch.randperm(n, generator=generator, device=generator.device).split(batch_size))


def _progress_bar(progress: bool, total: int, done: int) -> tqdm:
    hidden = not progress or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(total=total, initial=done, unit=" images", unit_scale=True, disable=hidden)

"""`fit`: the one training loop, for VAE and beta-VAE alike."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vaelib import distributed, losses, metrics
from vaelib.choices import BATCH_SIZE, LEARNING_RATE, PRECISIONS
from vaelib.data.images import ImageData, draw_binary
from vaelib.device import keep_heap, pick_device, repeatable
from vaelib.files import load_checkpoint, save_checkpoint
from vaelib.models import VAE, as_float
from vaelib.objectives import Objective, Schedule, beta_vae

TERMS = ("reconstruction", "kl", "elbo")
STEPS_A_RECORD = 100  # of a stream, which has no epochs


class TrainingError(RuntimeError):
    """Training that can't go on; the message is one line that says when it failed and what to try."""


@runtime_checkable
class Stream(Protocol):
    """Images without end, drawn on demand: `load("sprites")` is one."""

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` images, uint8 (n, C, H, W) on the generator's device, and their factors."""


@dataclass
class History:
    """What `fit` saw: for each epoch the mean reconstruction, kl and elbo, in nats an image, on
    train and test.

    The train figures are means over the epoch, while the weights moved; the test figures are taken
    after it. ``steps`` counts the steps done by then, ``kl_per_dimension`` is the train kl of each
    latent. A stream has a record each 100 steps instead of each epoch, and no test figures.
    """

    train: dict[str, list[float]] = field(default_factory=lambda: {term: [] for term in TERMS})
    test: dict[str, list[float]] = field(default_factory=lambda: {term: [] for term in TERMS})
    steps: list[int] = field(default_factory=list)
    kl_per_dimension: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0
    images_per_second: float = 0.0
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.train["elbo"])

    def log(self, split: str, reconstruction: float, kl: float) -> None:
        """Append one epoch's figures to ``split``, "train" or "test"; elbo = -(reconstruction + kl)
        (eq:elbo).
        """
        for term, value in zip(TERMS, (reconstruction, kl, -(reconstruction + kl))):
            getattr(self, split)[term].append(value)

    def as_dict(self) -> dict:
        """The same as plain dictionaries and lists, ready for JSON."""
        return asdict(self)


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
    makes the most of. ``learning_rate`` too may be a function of the step. ``seed`` fixes the order
    of the images, the noise and the binarisation: on one machine the same seed and initial weights
    give the same weights, bit for bit. ``device`` is "auto" (a GPU where there is one), or what
    torch.device takes; ``precision`` "bf16" computes the networks in bfloat16 and the loss and the
    weights in float32; ``progress`` draws a bar with loss and images a second, unless the
    environment sets TQDM_DISABLE; ``on_record`` is called with model and history after each epoch
    (each 100 steps of a stream). With ``checkpoint``, a file, the state is saved there after each
    epoch, and a run that finds the file goes on from it, on one machine to the same weights as if
    it had never stopped, bit for bit. Where torch.distributed has been set up, its processes train
    together: each takes its rows of every minibatch and of the noise, for the same step as one
    process would make, to rounding. Freed memory stays with the process, see `keep_heap`. Raises
    TrainingError at the first loss that is not finite, ValueError for an argument out of range,
    CheckpointError for a checkpoint that is damaged or of a run with other arguments. Source:
    Kingma & Welling (2014), algorithm 1; beta: Higgins et al. (2017).
    """
    _validate(data, epochs, steps, batch_size, learning_rate, precision, beta, objective, samples)
    team, device = distributed.team(), pick_device(device)
    keep_heap()
    objective = objective or beta_vae(beta)
    train, test, binarize = _parts(data, device)
    model.to(device, memory_format=torch.channels_last)
    team.same_weights(model)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=1.0 if callable(learning_rate) else learning_rate, fused=True
    )
    generator = torch.Generator(device).manual_seed(seed)
    bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    history, began = History(device=str(device)), time.perf_counter()
    settings = {"batch_size": batch_size, "seed": seed, "precision": precision, "samples": samples}
    settings |= {
        k: v for k, v in {"learning_rate": learning_rate, "beta": beta}.items() if not callable(v)
    }
    if checkpoint and (saved := load_checkpoint(checkpoint, model, optimizer, generator, settings)):
        history = History(**saved)
        began -= history.seconds
    step = history.steps[-1] if history.steps else 0
    total = steps * batch_size if epochs is None else epochs * len(train)
    records = epochs or len(history) + -(-(steps - step) // STEPS_A_RECORD)

    done = step * batch_size if epochs is None else len(history) * len(train)
    with _progress_bar(progress and team.leads, total, done) as bar, repeatable():
        for record in range(len(history) + 1, records + 1):
            model.train()
            planned = steps and min(STEPS_A_RECORD, steps - step)
            seen = _Seen(
                planned * batch_size if planned else len(train), samples, model.latent_dim, device
            )
            for images in _batches(train, batch_size, generator, planned):
                n, mine = len(images), team.rows(len(images))  # one process has all the rows
                x = draw_binary(images, generator) if binarize else as_float(images)
                x = x[mine].contiguous(memory_format=torch.channels_last)
                draws = (n,) if samples == 1 else (samples, n)
                noise = torch.randn(*draws, model.latent_dim, generator=generator, device=device)[
                    ..., mine, :
                ]
                with bf16:
                    output, mean, log_var, z = model(x, noise)
                log_likelihood = model.log_likelihood(x, output)
                log_likelihood, mean, log_var, z = team.gather(n, log_likelihood, mean, log_var, z)
                loss = objective(log_likelihood, mean, log_var, z, step)

                if callable(learning_rate):
                    optimizer.param_groups[0]["lr"] = learning_rate(step)
                optimizer.zero_grad()
                loss.backward()
                team.sum_gradients(model)
                optimizer.step()

                step += 1
                seen.add(loss, log_likelihood, mean, log_var)
                if (
                    bar.update(n) and device.type == "cpu"
                ):  # asking a GPU for the loss would make it wait
                    bar.set_postfix(epoch=record, loss=f"{loss.item():.1f}")
            loss, reconstruction, kl = seen.means(record if epochs else None, step)
            bar.set_postfix(epoch=record, loss=f"{loss:.1f}")
            history.log("train", reconstruction, sum(kl))
            history.steps.append(step)
            history.kl_per_dimension.append(kl)
            if len(test):
                history.log(
                    "test",
                    *(term.double().mean().item() for term in metrics.elbo_terms(model, test)),
                )
            history.seconds = time.perf_counter() - began
            history.images_per_second = min(step * batch_size, total) / history.seconds
            if on_record:
                on_record(model, history)
            if checkpoint and team.leads:
                save_checkpoint(
                    checkpoint, model, optimizer, generator, history.as_dict(), settings
                )
    model.eval()
    return history


def _parts(data, device) -> tuple[Tensor | Stream, Tensor, bool]:
    """What to train on, what to test on (maybe nothing), and whether pixels are drawn afresh."""
    if isinstance(data, ImageData):
        return data.train.to(device), data.test.to(device), data.binarize
    return (
        (data.to(device), data[:0], False)
        if isinstance(data, Tensor)
        else (data, torch.empty(0), False)
    )


def _batches(
    train: Tensor | Stream, batch_size: int, generator: torch.Generator, steps: int | None
):
    if isinstance(train, Tensor):
        return (
            train.index_select(0, indices)
            for indices in minibatches(len(train), batch_size, generator)
        )
    return (train.sample(batch_size, generator)[0] for _ in range(steps))


def minibatches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices 0..n-1 in an order drawn from ``generator``, in pieces of ``batch_size`` (the last
    may be smaller).
    """
    return iter(torch.randperm(n, generator=generator, device=generator.device).split(batch_size))


class _Seen:
    """What the steps since the last record came to: kept on the device, and only summed up when the
    record is made.

    In one piece each: thousands of small tensors between the large ones of the steps would keep the
    heap from reusing those.
    """

    def __init__(self, images: int, samples: int, latent_dim: int, device: torch.device):
        self.losses, self.images = [], 0
        self.log_likelihood = torch.empty(images, samples, device=device)
        self.mean, self.log_var = torch.empty(2, images, latent_dim, device=device)

    def add(self, loss: Tensor, log_likelihood: Tensor, mean: Tensor, log_var: Tensor) -> None:
        rows = slice(self.images, self.images + len(mean))
        self.losses.append(loss.detach())
        self.log_likelihood[rows] = log_likelihood.detach().view(-1, len(mean)).T
        self.mean[rows], self.log_var[rows] = mean.detach(), log_var.detach()
        self.images = rows.stop

    def means(self, epoch: int | None, step: int) -> tuple[float, float, list[float]]:
        """The mean loss of a step; reconstruction and kl of each latent, means over images.
        TrainingError if not finite.
        """
        losses_seen = torch.stack(self.losses).double().cpu()
        bad = (~losses_seen.isfinite()).nonzero().flatten()
        if len(bad):
            where = f"step {step - len(losses_seen) + int(bad[0]) + 1}" + (
                f" (epoch {epoch})" if epoch else ""
            )
            raise TrainingError(
                f"the loss became {losses_seen[bad[0]].item()} at {where}; "
                "try a smaller learning_rate or a smaller beta, and look for images that are not finite"
            )
        kl = losses.kl_to_standard_normal_per_dimension(self.mean, self.log_var)
        reconstruction = -self.log_likelihood.double().mean()
        return losses_seen.mean().item(), reconstruction.item(), kl.double().mean(0).tolist()


def _progress_bar(progress: bool, total: int, done: int) -> tqdm:
    hidden = not progress or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(total=total, initial=done, unit=" images", unit_scale=True, disable=hidden)


def _validate(
    data, epochs, steps, batch_size, learning_rate, precision, beta, objective, samples
) -> None:
    if not isinstance(data, (ImageData, Tensor, Stream)):
        raise ValueError(
            f"data must be an ImageData, a tensor of images or a stream; got {type(data).__name__}"
        )
    stream = not isinstance(data, (ImageData, Tensor))
    length, other, unit = (steps, epochs, "steps") if stream else (epochs, steps, "epochs")
    if length is None or other is not None:
        raise ValueError(
            f"training on {'a stream' if stream else 'a data set'} is measured in {unit}: give {unit} alone"
        )
    for name, value in ((unit, length), ("batch_size", batch_size), ("samples", samples)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}")
    if not callable(learning_rate) and not 0 < learning_rate < math.inf:
        raise ValueError(
            f"learning_rate must be a positive number, or a function of the step; got {learning_rate!r}"
        )
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be {' or '.join(PRECISIONS)}; got {precision!r}")
    if objective is not None and beta != 1.0:
        raise ValueError("give either beta or an objective: an objective has its own weights")
    if not callable(beta) and not 0 <= beta < math.inf:
        raise ValueError(
            f"beta must be a number at least 0, or a function of the step; got {beta!r}"
        )

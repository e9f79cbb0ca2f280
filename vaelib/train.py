"""`fit`: the one training loop, for VAE and beta-VAE alike."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vaelib import losses, metrics
from vaelib.data import ImageData, draw_binary
from vaelib.models import VAE, as_float

TERMS = ("reconstruction", "kl", "elbo")


class TrainingError(RuntimeError):
    """Training that can't go on; the message is one line that says when it failed and what to try."""


@dataclass
class History:
    """What `fit` saw: for each epoch the mean reconstruction, kl and elbo, in nats an image, on train and test.

    The train figures are means over the epoch, while the weights moved; the test figures are taken after it.
    """

    train: dict[str, list[float]] = field(default_factory=lambda: {term: [] for term in TERMS})
    test: dict[str, list[float]] = field(default_factory=lambda: {term: [] for term in TERMS})
    seconds: float = 0.0
    images_per_second: float = 0.0
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.train["elbo"])

    def log(self, split: str, reconstruction: float, kl: float) -> None:
        """Append one epoch's figures to ``split``, "train" or "test"; elbo = -(reconstruction + kl) (eq:elbo)."""
        for term, value in zip(TERMS, (reconstruction, kl, -(reconstruction + kl))):
            getattr(self, split)[term].append(value)

    def as_dict(self) -> dict:
        """The same as plain dictionaries and lists, ready for JSON."""
        return asdict(self)


def fit(
    model: VAE,
    data: ImageData | Tensor,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    beta: float | Callable[[int], float] = 1.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    progress: bool = True,
) -> History:
    """Train ``model`` in place with Adam on the negative ELBO of minibatches (eq:minibatch-elbo).

    ``data`` is an `ImageData`, or uint8 images (N, C, H, W) where there is no test set; ``beta`` weighs the KL term,
    a number or a function of the step (from 0); ``seed`` fixes the order of the images, the noise and the
    binarisation: on one machine the same seed and initial weights give the same weights, bit for bit.
    ``device`` is "auto" (a GPU where there is one), or what torch.device takes; ``progress`` draws a bar with loss and
    images a second, unless the environment sets TQDM_DISABLE.
    Raises TrainingError at the first loss that is not finite, ValueError for an argument out of range.
    Source: Kingma & Welling (2014), algorithm 1; beta: Higgins et al. (2017).
    """
    _validate(epochs, batch_size, learning_rate, beta)
    device = pick_device(device)
    train, test, binarize = (
        (data.train, data.test, data.binarize) if isinstance(data, ImageData) else (data, data[:0], False)
    )
    train, test = train.to(device), test.to(device)
    model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    beta_at = beta if callable(beta) else lambda step: beta
    generator = torch.Generator(device).manual_seed(seed)
    history, step, began = History(device=str(device)), 0, time.perf_counter()

    with _progress_bar(progress, epochs * len(train)) as bar, torch.backends.cudnn.flags(deterministic=True):
        for epoch in range(1, epochs + 1):
            model.train()
            seen = []
            for indices in minibatches(len(train), batch_size, generator):
                images = train[indices]
                x = draw_binary(images, generator) if binarize else as_float(images)
                output, mean, log_var, _ = model(x.contiguous(memory_format=torch.channels_last), generator)
                log_likelihood = model.log_likelihood(x, output)
                kl = losses.kl_to_standard_normal(mean, log_var)
                loss = losses.negative_elbo(log_likelihood, kl, beta_at(step)).mean()

                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

                step += 1
                seen.append(torch.stack([loss, -log_likelihood.sum(), kl.sum()]).detach())
                if bar.update(len(x)):  # true when tqdm drew the bar, so a GPU is not asked for the loss each step
                    bar.set_postfix(epoch=epoch, loss=f"{loss.item():.1f}")
            losses_seen, *sums = torch.stack(seen).double().T.cpu()
            _stop_unless_finite(losses_seen, epoch, step - len(seen))
            bar.set_postfix(epoch=epoch, loss=f"{losses_seen.mean().item():.1f}")
            history.log("train", *(total.sum().item() / len(train) for total in sums))
            if len(test):
                history.log("test", *(term.double().mean().item() for term in metrics.elbo_terms(model, test)))
    model.eval()
    history.seconds = time.perf_counter() - began
    history.images_per_second = epochs * len(train) / history.seconds
    return history


def minibatches(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices 0..n-1 in an order drawn from ``generator``, in pieces of ``batch_size`` (the last may be smaller)."""
    return iter(torch.randperm(n, generator=generator, device=generator.device).split(batch_size))


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device meant by ``device``; "auto" is CUDA where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _stop_unless_finite(losses_seen: Tensor, epoch: int, steps_before: int) -> None:
    bad = (~losses_seen.isfinite()).nonzero().flatten()
    if len(bad):
        raise TrainingError(
            f"the loss became {losses_seen[bad[0]].item()} at step {steps_before + int(bad[0]) + 1} (epoch {epoch}); "
            "try a smaller learning_rate or a smaller beta, and look for images that are not finite"
        )


def _progress_bar(progress: bool, total: int) -> tqdm:
    hidden = not progress or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(total=total, unit=" images", unit_scale=True, disable=hidden)


def _validate(epochs, batch_size, learning_rate, beta) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}")
    if not learning_rate > 0 or not math.isfinite(learning_rate):
        raise ValueError(f"learning_rate must be a positive number; got {learning_rate!r}")
    if not callable(beta) and not 0 <= beta < math.inf:
        raise ValueError(f"beta must be a number at least 0, or a function of the step; got {beta!r}")

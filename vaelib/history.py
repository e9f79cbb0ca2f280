"""What a training came to: `History`, an epoch a record, and how its figures are gathered."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from vaelib import losses
from vaelib.data.images import Stream
from vaelib.models import VAE
from vaelib.objectives import Objective
from vaelib.saving import CheckpointError
from vaelib.schedules import PROBED, Schedule

HINT = "try a smaller learning_rate or a smaller beta, and look for images that are not finite"
TERMS = ("reconstruction", "kl", "elbo")


class TrainingError(RuntimeError):
    """Training that can't go on; the message is one line: when it failed, and what to try."""


@dataclass
class History:
    """What `fit` saw, an epoch a record: the mean reconstruction, kl and elbo, in nats an image.

    The ``train`` figures are means over the epoch, while the weights moved; the ``test`` figures
    are taken after it. ``steps`` counts the steps done by then, ``kl_per_dimension`` is the train
    kl of each latent. A stream has a record each 100 steps instead, and no test figures.
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
        """Append an epoch to ``split``, "train" or "test"; elbo = -(reconstruction + kl).

        Raises TrainingError where they are not finite.
        """
        if not (math.isfinite(reconstruction) and math.isfinite(kl)):
            what = f"reconstruction {reconstruction:g}, KL {kl:g}"
            raise TrainingError(f"the {split} images' figures are not finite ({what}); {HINT}")
        for term, value in zip(TERMS, (reconstruction, kl, -(reconstruction + kl))):
            getattr(self, split)[term].append(value)

    def as_dict(self) -> dict:
        """The same as plain dictionaries and lists, ready for JSON."""
        return asdict(self)


def resumed(path: object, saved: dict, epochs: int | None, steps: int | None) -> History:
    """The history ``saved`` in the checkpoint at ``path``, of at most so many epochs or steps.

    Raises CheckpointError where it is longer.
    """
    history = History(**saved)
    done, unit = (len(history), "epochs") if epochs else (history.steps[-1], "steps")
    if done > (length := epochs or steps or 0):
        what = f"of a run of {done:,} {unit}, more than the {length:,} asked for"
        raise CheckpointError(f"{path}: {what}; ask for as many, or start elsewhere")
    return history


class RunningTerms:
    """What the steps since the last record came to, summed up when the record is made.

    Kept on the device, in one piece each: thousands of small tensors between the large ones of the
    steps would keep the heap from reusing those.
    """

    def __init__(self, images: int, samples: int, latent_dim: int, device: torch.device):
        self.losses: list[Tensor] = []
        self.images = 0
        self.log_likelihood = torch.empty(images, samples, device=device)
        self.mean, self.log_var = torch.empty(2, images, latent_dim, device=device)

    def add(self, loss: Tensor, log_likelihood: Tensor, mean: Tensor, log_var: Tensor) -> None:
        rows = slice(self.images, self.images + len(mean))
        if rows.stop > len(self.mean):
            raise ValueError(f"a stream drew more images than the {len(self.mean):,} asked for")
        self.losses.append(loss.detach())
        self.log_likelihood[rows] = log_likelihood.detach().view(-1, len(mean)).T
        self.mean[rows], self.log_var[rows] = mean.detach(), log_var.detach()
        self.images = rows.stop

    def means(self, epoch: int | None, step: int) -> tuple[float, float, list[float]]:
        """The mean loss of a step, the mean reconstruction and kl of each latent, where finite."""
        if self.images < len(self.mean):
            what = f"{self.images:,} images where {len(self.mean):,} were asked for"
            raise ValueError(f"a stream drew {what}")
        losses_seen = torch.stack(self.losses).cpu().double()
        bad = (~losses_seen.isfinite()).nonzero().flatten()
        if len(bad):
            where = f"step {step - len(losses_seen) + int(bad[0]) + 1}"
            where += f" (epoch {epoch})" if epoch else ""
            value = losses_seen[bad[0]].item()
            raise TrainingError(f"the loss became {value} at {where}; {HINT}")
        kl = losses.kl_to_standard_normal_per_dimension(self.mean, self.log_var)
        reconstruction = -self.log_likelihood.cpu().double().mean()  # mps has no float64
        return losses_seen.mean().item(), reconstruction.item(), kl.cpu().double().mean(0).tolist()


def check_finite(model: nn.Module, step: int) -> None:
    """TrainingError where the last step has left a weight that is no number."""
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise TrainingError(f"a weight is no longer finite after step {step}; {HINT}")


def fingerprint(
    model: VAE,
    train: Tensor | Stream,
    binarize: bool,
    objective: Objective,
    rate_at: Schedule,
    device: torch.device,
) -> dict:
    """What tells a training from another one: its images, and what its functions answer to probes.

    So too what weights of the same shapes do not tell of ``model``. ``objective`` is asked for the
    loss of two made-up images, and ``rate_at`` for the learning rate, at the steps `PROBED`.
    """
    if isinstance(train, Tensor):
        images = train
    else:
        images, _ = train.sample(16, torch.Generator(device).manual_seed(0))
    pixels = images.cpu().contiguous().view(torch.uint8).numpy()
    code = torch.linspace(-1.0, 2.0, 2 * model.latent_dim, device=device).view(2, -1)
    probe = torch.tensor([-90.0, -70.0], device=device), code, 0.3 * code, 0.8 * code

    def answer(step: int) -> float | None:
        try:
            loss = round(float(objective(*probe, step)), 3)
        except Exception:  # an objective of one's own may take other codes only
            return None
        return loss if math.isfinite(loss) else None  # no NaN is what it was

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        answers = {f"loss of a probe at step {step:,}": answer(step) for step in PROBED}
    names = "likelihood", "activation", "sigma", "latent_map"
    return {
        "model": type(model).__name__,
        "strides and paddings": [(conv.stride, conv.padding) for conv in model.convs],
        **{name: model.config[name] for name in names},
        "images": hashlib.sha256(pixels.tobytes()).hexdigest()[:12],
        "binarize": binarize,
        **answers,
        **{f"learning rate at step {step:,}": rate_at(step) for step in PROBED},
    }

"""A run in a folder of its own, from a configuration to its report: trained, resumed, measured."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from vaelib import metrics, parallel, plots, report
from vaelib.build import HELD_OUT, build_model, checked_device, held_out, load_data, loss
from vaelib.config import Config, ConfigError, read
from vaelib.models import VAE, save_model
from vaelib.train import History, fit

CONFIG, CHECKPOINT, MODEL, METRICS = "config.cfg", "checkpoint.pt", "model.safetensors", "metrics.jsonl"
RESULTS, REPORT = "results.json", "report.html"
ROWS = 10  # latents in a picture of traversals, those with the most KL first


def train(
    config: Config, folder: Path, device: str = "auto", resume: bool = False, data=None, say: Callable = print
) -> dict:
    """Train what ``config`` says into ``folder``, which is new, or with ``resume`` holds that run; its results.

    The folder gets the configuration as used, `metrics.jsonl` and a checkpoint after each epoch, and at the end the model,
    its pictures, results and report. Until the first epoch has ended a run that fails leaves no folder behind. ``say`` is
    called with each line for a person to read. Of several processes that train together the first writes and the others only
    compute. Raises ConfigError, DataError, CheckpointError and TrainingError.
    """
    device = checked_device(device)
    model, team = build_model(config), parallel.team()
    fresh, done = team.told(lambda: (claimable(folder, config, resume), results(folder)))
    if done and done["length"] == config.length:
        say(f"{folder}: this run is finished")
        return done
    with team.leader_first():
        data = load_data(config, say) if data is None else data
    said = f"; {team.size} processes" if team.size > 1 else ""
    say(f"{sum(p.numel() for p in model.parameters()):,} weights; {device}; {config.hyperparameters.precision}{said}")
    if team.leads:
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            write(folder / CONFIG, config.text())
    training = config.hyperparameters
    try:
        history = fit(
            model,
            data,
            epochs=training.epochs,
            steps=training.steps,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            **loss(config, data),
            samples=training.samples,
            seed=training.seed,
            device=device,
            precision=training.precision,
            on_record=(lambda _, history: keep(config, folder, history)) if team.leads else None,
            checkpoint=folder / CHECKPOINT,
        )
    except BaseException:
        if team.leads and fresh and not (folder / CHECKPOINT).exists():
            for name in (CONFIG, METRICS):
                (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return team.told(lambda: finish(config, folder, model, data, history))


def keep(config: Config, folder: Path, history: History) -> None:
    """Bring the folder of a run under way up to date, once it has gone beyond what is there: its checkpoint follows."""
    for old in (*folder.glob(".*.partial"), folder / RESULTS, folder / REPORT):  # of a killed run, or of a shorter one
        old.unlink(missing_ok=True)
    write(folder / CONFIG, config.text())
    write(folder / METRICS, lines(history))


def finish(config: Config, folder: Path, model: VAE, data, history: History) -> dict:
    """Everything that a finished training leaves in its folder; the results, which are written last."""
    images, labels = held_out(data)
    found = {"length": config.length, "seconds": round(history.seconds, 1), "device": history.device}
    found |= {"images_per_second": round(history.images_per_second), "torch": torch.__version__}
    found |= figures(model, images)
    keep(config, folder, history)
    save_model(model, folder / MODEL)
    drawn = {name: png(figure) for name, figure in pictures(model, images).items()}
    for name, picture in drawn.items():
        write(folder / f"{name}.png", picture)
    drawn["learning curves"] = png(plots.learning_curves(history))
    if model.latent_dim == 2 and labels is not None and len(labels.unique()) <= len(plots.COLOURS):
        drawn["latents"] = png(plots.latent_scatter(model, images[:2000], labels[:2000]))
    write(folder / REPORT, report.page(folder.name, config, found, drawn))
    write(folder / RESULTS, json.dumps(found, indent=1) + "\n")
    return found


def figures(model: VAE, images: Tensor) -> dict:
    """The ELBO and its terms on ``images``, means in nats, the ELBO's standard error, the KL of each latent."""
    terms = metrics.elbo_terms(model, images)
    kl = metrics.kl_per_dimension(model, images)
    return {
        "images": len(images),
        "elbo": terms.elbo.double().mean().item(),
        "elbo_error": standard_error(terms.elbo),
        "reconstruction": terms.reconstruction.double().mean().item(),
        "kl": terms.kl.double().mean().item(),
        "active_units": int((metrics.active_units(model, images) > 0.01).sum()),
        "kl_per_dimension": kl.tolist(),
    }


def pictures(model: VAE, images: Tensor) -> dict:
    """Figures of what a trained model does, by name; the manifold where it has two latents."""
    generator = torch.Generator(model.device).manual_seed(0)
    by_kl = metrics.kl_per_dimension(model, images[:HELD_OUT]).argsort(descending=True).tolist()
    drawn = {
        "reconstructions": plots.reconstructions(model, images[:10]),
        "samples": plots.samples(model, 50, generator=generator),
        "traversals": plots.traversals(model, images[0], dimensions=tuple(by_kl[:ROWS])),
    }
    return drawn | ({"manifold": plots.manifold(model)} if model.latent_dim == 2 else {})


def standard_error(values: Tensor) -> float | None:
    """The standard error of their mean."""
    return values.double().std().item() / len(values) ** 0.5 if len(values) > 1 else None


def results(folder: Path) -> dict | None:
    """What a finished run came to; None of one that is not finished."""
    try:
        return json.loads((folder / RESULTS).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def claimable(folder: Path, config: Config, resume: bool) -> bool:
    """Whether ``folder`` is new; ConfigError where a run must not go: into another run, or any folder with files in it."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return True
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: exists, and is not the folder of a run; write elsewhere with --output")
    if not resume:
        raise ConfigError(f"{folder}: there is a run already; go on with --resume, or write elsewhere with --output")
    before = read(folder / CONFIG)
    if before.length > config.length:
        raise ConfigError(
            f"{folder}: the run is of length {before.length}; it can be made longer, but not {config.length}"
        )
    was, now = ({(section, key): value for section, key, value in c.items()} for c in (before, config))
    for section, key in [*now, *was]:
        if key not in ("epochs", "steps") and was.get((section, key)) != now.get((section, key)):
            old, new = (values.get((section, key), "not set") for values in (was, now))
            raise ConfigError(
                f"{folder}: the run has [{section}] {key} = {old}, not {new}; write elsewhere with --output"
            )
    return False


def lines(history: History) -> str:
    """`metrics.jsonl`: a line an epoch (100 steps of a stream), written anew from the whole history each time."""
    rows = []
    for i, step in enumerate(history.steps):
        row = {"epoch": i + 1} if history.test["elbo"] else {}
        row |= {"step": step, "train": {term: values[i] for term, values in history.train.items()}}
        row |= {"test": {term: values[i] for term, values in history.test.items()}} if history.test["elbo"] else {}
        rows.append(json.dumps({**row, "kl_per_dimension": history.kl_per_dimension[i]}) + "\n")
    return "".join(rows)


def write(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def png(figure) -> bytes:
    """A matplotlib figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, facecolor="white", metadata={"Software": None})
    return stream.getvalue()

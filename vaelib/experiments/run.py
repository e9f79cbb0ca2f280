"""A run, from a configuration to its report: trained, resumed, finished."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vaelib import __version__, distributed, plots
from vaelib.data import FactorImages, ImageData
from vaelib.data.folder import FolderImages
from vaelib.experiments import report
from vaelib.experiments.config import Config
from vaelib.experiments.from_config import (
    build_model,
    check_memory,
    checked_device,
    fit_arguments,
    learning_rate,
    load_data,
)
from vaelib.experiments.measure import measurements, pictures, png
from vaelib.experiments.run_folder import (
    CHECKPOINT,
    CONFIG,
    EXPORT,
    METRICS,
    MODEL,
    PICTURES,
    REPORT,
    finished,
    is_new_run,
    keep_config,
    keep_listing,
    keep_results,
    listing,
    made_of_the_model,
    partial,
)
from vaelib.history import History
from vaelib.initial_weights import start_at_line, start_at_mean
from vaelib.models import VAE
from vaelib.saving import kept, save_model, write
from vaelib.train import fit


def train(
    config: Config,
    folder: Path,
    device: str = "auto",
    resume: bool = False,
    data: Any = None,
    log: Callable = print,
) -> dict:
    """Train what ``config`` says into ``folder``, new or (``resume``) of that run; its results.

    The folder gets the configuration as used, `metrics.jsonl` and a checkpoint after each epoch,
    and at the end the model, its pictures, results and report. Until the first epoch has ended a
    run that fails leaves no folder behind. ``log`` is called with each line for a person to read.
    Of several processes that train together the first writes and the others only compute. Raises
    ConfigError, DataError, CheckpointError and TrainingError.
    """
    where = checked_device(device)
    model, team = build_model(config), distributed.team()
    if refusal := team.why_unsupported(model):
        raise config.error("architecture", "sigma", refusal)
    fresh, done = team.broadcast(
        lambda: (is_new_run(folder, config, resume), finished(folder, log))
    )
    if done and done["length"] == config.length:
        log(f"{folder}: this run is finished")
        return done
    with team.leader_first():
        data = load_data(config, log, split=listing(folder)) if data is None else data
    check_memory(config, data, where)
    if start := {"mean": start_at_mean, "line": start_at_line}.get(config.architecture.start):
        start(model, data.held_out()[0] if isinstance(data, FactorImages) else data.train)
    processes = f"; {team.size} processes" if team.size > 1 else ""
    weights = f"{sum(p.numel() for p in model.parameters()):,} weights"
    log(f"{weights}; {where}; {config.hyperparameters.precision}{processes}")
    if team.leads:
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            keep_config(folder, config)
        # a kill between the two leaves the first alone, and nothing learnt
        if isinstance(data, FolderImages) and not kept(folder / CHECKPOINT):
            keep_listing(folder, data.listing)
    training = config.hyperparameters
    try:
        history = fit(
            model,
            data,
            epochs=training.epochs,
            steps=training.steps,
            batch_size=training.batch_size,
            learning_rate=learning_rate(config, data),
            **fit_arguments(config, data),
            samples=training.samples,
            seed=training.seed,
            device=where,
            precision=training.precision,
            on_record=(lambda _, history: write_progress(config, folder, history))
            if team.leads
            else None,
            checkpoint=folder / CHECKPOINT,
        )
    except BaseException:
        if team.leads and fresh and not kept(folder / CHECKPOINT):
            discard(folder)
        raise
    return team.broadcast(lambda: finish(config, folder, model, data, history))


def discard(folder: Path) -> None:
    """Take away what a run that failed before its first epoch has written.

    And the folder, where it is then empty.
    """
    for name in (CONFIG, METRICS, PICTURES):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def write_progress(config: Config, folder: Path, history: History) -> None:
    """Bring a running run's folder up to date, once it is beyond what is there.

    Its checkpoint follows.
    """
    # of a killed run, or of a shorter one
    for old in (*partial(folder), *made_of_the_model(folder)):
        old.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / EXPORT).rmdir()
    keep_config(folder, config)
    write(folder / METRICS, lines(history))


def finish(
    config: Config, folder: Path, model: VAE, data: ImageData | FactorImages, history: History
) -> dict:
    """All that a finished training leaves in its folder; the results, written last."""
    images, labels = data.held_out()
    result = {
        "length": config.length,
        "seconds": round(history.seconds, 1),
        "device": history.device,
    }
    result |= {"images_per_second": round(history.images_per_second), "torch": torch.__version__}
    result |= {"steps": history.steps[-1], "vaelib": __version__}
    result |= measurements(model, images)
    write_progress(config, folder, history)
    save_model(model, folder / MODEL)
    drawn = {name: png(figure) for name, figure in pictures(model, images).items()}
    for name, picture in drawn.items():
        write(folder / f"{name}.png", picture)
    drawn["learning curves"] = png(plots.learning_curves(history))
    if (
        model.latent_dim == 2
        and not data.factor_names
        and len(labels.unique()) <= len(plots.COLOURS)
    ):
        drawn["latents"] = png(plots.latent_scatter(model, images[:2000], labels[:2000]))
    trained_on = None if isinstance(data, FactorImages) else len(data.train)
    page = report.page(folder, config, result, drawn, history, trained_on)
    write(folder / REPORT, page)
    keep_results(folder, result)
    return result


def lines(history: History) -> str:
    """`metrics.jsonl`: a line an epoch (100 steps of a stream), from the whole history."""
    rows = []
    for i, step in enumerate(history.steps):
        row: dict[str, Any] = {"epoch": i + 1} if history.test["elbo"] else {}
        row |= {"step": step, "train": {term: values[i] for term, values in history.train.items()}}
        row |= (
            {"test": {term: values[i] for term, values in history.test.items()}}
            if history.test["elbo"]
            else {}
        )
        rows.append(json.dumps({**row, "kl_per_dimension": history.kl_per_dimension[i]}) + "\n")
    return "".join(rows)

"""A sweep: one configuration, some keys varied, several seeds; a folder a run, and one table."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vaelib.experiments import from_config, run, sweep_table
from vaelib.experiments.config import Config, ConfigError, read
from vaelib.experiments.measure import png
from vaelib.experiments.run_folder import METRICS
from vaelib.experiments.workers import cluster_rows, process_rows
from vaelib.history import TrainingError
from vaelib.saving import write
from vaelib.train import STEPS_A_RECORD

TABLE, SUMMARY, PLOT = "sweep.csv", "summary.csv", "sweep.png"


@dataclass(frozen=True)
class Point:
    """One run of a sweep: what it varies, {"section.key": value}, and its configuration."""

    varied: Mapping[str, str]
    config: Config

    @property
    def name(self) -> str:
        """The name of its folder."""
        parts = (f"{key.partition('.')[2]}={value}" for key, value in self.varied.items())
        return re.sub(r"[^\w=,.+-]+", "_", ",".join(parts))


def points(file: str, grid: Mapping[str, Sequence[str]], seeds: int, variation: str) -> list[Point]:
    """Every combination of the ``grid``'s values with seeds 0 to ``seeds`` - 1, checked.

    Each as if it stood in the file, and seed by seed, so that a sweep that was stopped has seen
    every combination alike. Raises ConfigError before any is run.
    """
    if variation == "VAE" and (
        fixed := {"hyperparameters.beta", "hyperparameters.schedule"} & grid.keys()
    ):
        raise ConfigError(f"--grid {min(fixed)}: -v VAE has beta 1 throughout; give -v B-VAE")
    wanted = []
    combinations = list(itertools.product(*grid.values()))
    for seed, values in itertools.product(range(seeds), combinations):
        varied: dict[str, str] = dict(zip(grid, values))
        if "hyperparameters.seed" not in grid:
            varied["hyperparameters.seed"] = str(seed)
        config = read(file, varied).variation(variation)
        from_config.check_shapes(config)
        wanted.append(Point(varied, config))
    if len({point.name for point in wanted}) < len(wanted):
        raise ConfigError("--grid: a value is given twice, or the seed as well as --seeds")
    return wanted


def sweep(
    sweep_points: Sequence[Point],
    folder: Path,
    device: str,
    resume: bool,
    log: Callable = print,
    jobs: int = 1,
    cluster: str | None = None,
) -> list[dict]:
    """Run every point into its own folder under ``folder``; the rows of the table.

    The table is written at the end, a summary over seeds and a plot beside it. ``jobs`` runs are
    made at a time, each in a process of its own with one thread; or all of them by the workers of
    the Dask ``cluster`` at that address, to which ``folder`` and the data must have the same names
    as here. A run whose loss is no longer finite gets a row that says so, and the others go on.
    """
    claim(folder, resume)
    folder.mkdir(parents=True, exist_ok=True)
    if cluster or jobs > 1:
        for config in {point.config.configuration: point.config for point in sweep_points}.values():
            from_config.load_data(
                config, log
            )  # so that what must be downloaded is, once, before the others look for it
    if cluster:
        rows = cluster_rows(run_point, sweep_points, folder.resolve(), device, cluster, log)
    elif jobs > 1:
        many = f"{len(sweep_points)} runs, {jobs} at a time"
        log(f"{many}; each has its files in a folder under {folder}")
        runs = sweep_points, folder
        total, done = records_planned(sweep_points), partial(records_made, *runs)
        rows = process_rows(run_point, *runs, device, jobs, log, total, done)
    else:
        rows = list(_each(sweep_points, folder, device, log))
    write(folder / TABLE, sweep_table.table(rows))
    write(folder / SUMMARY, sweep_table.table(sweep_table.summary(rows)))
    write(folder / PLOT, png(sweep_table.figure(rows)))
    return rows


def records_planned(sweep_points: Iterable[Point]) -> int:
    """The lines that all metrics.jsonl will have: one an epoch, or 100 steps of a stream."""
    return sum(
        -(-p.config.length // (1 if p.config.hyperparameters.epochs else STEPS_A_RECORD))
        for p in sweep_points
    )


def records_made(sweep_points: Iterable[Point], folder: Path) -> int:
    """The lines that they have by now."""
    made = 0
    for point in sweep_points:
        with contextlib.suppress(OSError):
            made += (folder / point.name / METRICS).read_bytes().count(b"\n")
    return made


def claim(folder: Path, resume: bool) -> None:
    """ConfigError where ``folder`` has something in it, unless ``resume`` says to go on there."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: exists, and is not a folder; write elsewhere with --output")
    if folder.exists() and any(folder.iterdir()) and not resume:
        what = "there is a sweep already; go on with --resume, or write elsewhere with --output"
        raise ConfigError(f"{folder}: {what}")


def _each(
    sweep_points: Sequence[Point], folder: Path, device: str, log: Callable
) -> Iterator[dict]:
    """One row a point, in order, one run at a time."""
    loaded = {}
    for number, point in enumerate(sweep_points, start=1):
        log(f"run {number} of {len(sweep_points)}: {point.name}")
        wanted = point.config.configuration
        if wanted not in loaded:
            loaded = {wanted: from_config.load_data(point.config, log)}
        yield run_point(point, folder, device, loaded[wanted], log)


def run_point(
    point: Point, folder: Path, device: str, data: Any = None, log: Callable = lambda line: None
) -> dict:
    """One run, and its row of the table; it knows its own configuration and folder alone."""
    row = {**point.varied, "folder": point.name, "status": "done"}
    try:
        result = run.train(
            point.config, folder / point.name, device, resume=True, data=data, log=log
        )
        row |= sweep_table.rounded(result)
    except TrainingError as error:
        log(str(error))
        row["status"] = str(error)
    return row

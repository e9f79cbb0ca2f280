"""A sweep's results: a row a run, a row a setting with mean and deviation over seeds, a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from matplotlib.figure import Figure

from vaelib.plots import COLOURS

FIGURES = ("elbo", "elbo_error", "reconstruction", "kl", "active_units", "seconds", "device")
SUMMARISED = ("elbo", "reconstruction", "kl", "active_units")
SEED = "hyperparameters.seed"
OWN = ("folder", "status", *FIGURES)
Row = Mapping[str, object]


def rounded(results: Mapping) -> dict:
    """What a row has of a run's results: thousandths of nats, and no digits beyond."""
    values = {name: results[name] for name in FIGURES}
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}


def table(rows: Sequence[Row]) -> str:
    """The rows as CSV, a column a key."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns.sort(key=lambda name: name in ("folder", "status"))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def by_setting(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each setting that the grid has, over its seeds; by a name of the setting."""
    settings: dict[str, list[Row]] = {}
    for row in rows:
        varied = [key for key in row if key not in OWN and key != SEED]
        name = ", ".join(f"{key.partition('.')[2]} = {row[key]}" for key in varied)
        settings.setdefault(name or "as in the file", []).append(row)
    return settings


def summary(rows: Sequence[Row]) -> list[dict]:
    """A row a setting: how many of its runs are done, mean and deviation of each figure."""
    found = []
    for name, runs in by_setting(rows).items():
        done = [run for run in runs if run["status"] == "done"]
        line: dict = {"setting": name, "done": len(done), "runs": len(runs)}
        for figure in SUMMARISED:
            values = [float(str(run[figure])) for run in done]
            line[figure] = round(mean(values), 3) if values else ""
            line[f"{figure}_sd"] = round(stdev(values), 3) if len(values) > 1 else ""
        found.append(line)
    return found


def readable(lines: Sequence[Mapping]) -> str:
    """A summary in columns for a terminal."""
    titles = ["setting", "runs", "ELBO", "reconstruction", "KL", "latents in use"]
    cells = [titles]
    for line in lines:
        runs = f"{line['done']}" + f" of {line['runs']}" * (line["done"] < line["runs"])
        figures = (_with_deviation(line[name], line[f"{name}_sd"]) for name in SUMMARISED)
        cells.append([line["setting"], runs, *figures])
    widths = [max(map(len, column)) for column in zip(*cells)]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in cells)
    note = "\u00b1 one standard deviation over seeds, not the error of a mean"
    return "\n".join(row.rstrip() for row in rows) + f"\n({note})"


def _with_deviation(value: float | str, deviation: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:z.2f}" + (f" \u00b1 {deviation:.2f}" if isinstance(deviation, float) else "")


def figure(rows: Sequence[Row]) -> Figure:
    """The ELBO of every run that is done: a column of dots a setting, a bar at their mean."""
    settings = by_setting(rows)
    drawn = Figure(figsize=(max(3.5, 1.2 + 0.9 * len(settings)), 3.6), layout="constrained")
    axis = drawn.subplots()
    for at, runs in enumerate(settings.values()):
        values = [float(str(run["elbo"])) for run in runs if run["status"] == "done"]
        axis.plot([at] * len(values), values, "o", color=COLOURS[5], alpha=0.6, markersize=5)
        if values:
            axis.hlines(mean(values), at - 0.25, at + 0.25, color=COLOURS[6])
    labels = [name.replace(", ", "\n") for name in settings]
    axis.set_xticks(range(len(settings)), labels, rotation=45 if len(settings) > 4 else 0)
    axis.set(ylabel="ELBO, nats an image", xlim=(-0.6, len(settings) - 0.4))
    axis.grid(axis="y", alpha=0.3)
    return drawn

"""The folder of a run: its files' names, who may write into it, what a finished one holds."""

from __future__ import annotations

import json
from pathlib import Path

from vaelib.experiments.config import Config, ConfigError, read
from vaelib.files import load_model
from vaelib.models import VAE

CONFIG, CHECKPOINT = "config.cfg", "checkpoint.pt"
MODEL, METRICS = "model.safetensors", "metrics.jsonl"
RESULTS, REPORT = "results.json", "report.html"


def claimable(folder: Path, config: Config, resume: bool) -> bool:
    """Whether ``folder`` is new; ConfigError where a run must not go.

    That is into another run, or any folder with files in it.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return True
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"{folder}: exists, and is not the folder of a run; write elsewhere with --output"
        )
    if not resume:
        what = "there is a run already; go on with --resume, or write elsewhere with --output"
        raise ConfigError(f"{folder}: {what}")
    before = read(folder / CONFIG)
    if before.length > config.length:
        what = f"the run is of length {before.length}; it can be made longer"
        raise ConfigError(f"{folder}: {what}, but not {config.length}")
    was, now = (
        {(section, key): value for section, key, value in c.items()} for c in (before, config)
    )
    for section, key in [*now, *was]:
        if key not in ("epochs", "steps") and was.get((section, key)) != now.get((section, key)):
            old, new = (values.get((section, key), "not set") for values in (was, now))
            what = f"the run has [{section}] {key} = {old}, not {new}"
            raise ConfigError(f"{folder}: {what}; write elsewhere with --output")
    return False


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run's, finished or not, rather than what `export` made of one."""
    return any((folder / name).exists() for name in (CHECKPOINT, METRICS, RESULTS, REPORT))


def results(folder: Path) -> dict | None:
    """What a finished run came to; None of one that is not finished."""
    try:
        return json.loads((folder / RESULTS).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:  # no JSON, or no text
        where = folder / RESULTS
        raise ConfigError(f"{where}: damaged; delete it, and --resume writes it anew") from None


def opened(folder: Path) -> tuple[Config, VAE]:
    """The configuration and trained model in ``folder``; ConfigError without a finished run."""
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: not the folder of a run")
    if not results(folder):
        raise ConfigError(
            f"{folder}: this run is not finished; go on with --resume --output {folder}"
        )
    config = read(folder / CONFIG)
    try:
        return config, load_model(folder / MODEL)
    except ValueError as error:  # it names the model's file
        again = f"delete {folder / RESULTS}, and --resume writes both anew"
        raise ConfigError(f"{error}; {again}") from None

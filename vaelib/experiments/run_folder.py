"""The folder of a run: its files' names, who may write into it, what a finished one holds."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from vaelib.experiments.config import Config, ConfigError, read
from vaelib.files import load_model
from vaelib.models import VAE

CONFIG, CHECKPOINT = "config.cfg", "checkpoint.pt"
MODEL, METRICS = "model.safetensors", "metrics.jsonl"
RESULTS, REPORT = "results.json", "report.html"
EXPLORER = "explorer.html"  # the model alive, of an export
EXPORT = "export"  # the folder in a run's that it is exported into, if no other is named
PICTURES = "pictures.json"  # of a folder: which were trained on, which held out


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
        # what is there, not where: the pictures' names and contents are compared when they are read
        if key not in ("epochs", "steps", "path") and was.get((section, key)) != now.get(
            (section, key)
        ):
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


def made_of_the_model(folder: Path) -> list[Path]:
    """What a finished run, and commands after it, have made: untrue once it is trained further."""
    if not (folder / RESULTS).exists():
        return [folder / REPORT]
    programs = (f"{part}.{kind}" for part in ("encoder", "decoder") for kind in ("pt2", "onnx"))
    exported = [folder / EXPORT / name for name in (MODEL, CONFIG, EXPLORER, *programs)]
    return [*exported, *folder.glob("samples-seed*.png"), folder / REPORT, folder / RESULTS]


def listing(folder: Path) -> dict | None:
    """The pictures of the run in ``folder``, as `FolderImages` lists them; None of other data."""
    where = folder / PICTURES
    try:
        found = json.loads(where.read_text(encoding="utf-8", errors="surrogateescape"))
        if all(isinstance(found[part], dict) for part in ("train", "test", "beside")):
            return found
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigError(f"{where}: damaged; without it nobody knows which pictures were held out")


def opened(folder: Path) -> tuple[Config, VAE]:
    """The configuration and trained model in ``folder``; ConfigError without a finished run."""
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: not the folder of a run")
    if not results(folder):
        again = f"go on with --resume --output {shlex.quote(str(folder))}"
        raise ConfigError(f"{folder}: this run is not finished; {again}")
    config = read(folder / CONFIG)
    try:
        return config, load_model(folder / MODEL)
    except ValueError as error:  # it names the model's file
        again = f"delete {folder / RESULTS}, and --resume writes both anew"
        raise ConfigError(f"{error}; {again}") from None

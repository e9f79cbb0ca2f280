"""The folder of a run: its files' names, who may write into it, what a finished one holds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vaelib.experiments.config import Config, ConfigError, read
from vaelib.models import VAE
from vaelib.saving import load_model, write

CONFIG, CHECKPOINT = "config.cfg", "checkpoint.pt"
MODEL, METRICS = "model.safetensors", "metrics.jsonl"
RESULTS, REPORT = "results.json", "report.html"
EXPLORER = "explorer.html"  # the model alive, of an export
EXPORT = "export"  # the folder in a run's that it is exported into, if no other is named
PICTURES = "pictures.json"  # of a folder: which were trained on, which held out
PARTIAL = ".*.partial"  # what a killed writer leaves
# the first line of a kept configuration, so that a damaged one is not taken for what was asked
SEAL = "# SHA-256 of the lines below: "


def keep_config(folder: Path, config: Config) -> None:
    """Write ``config`` into ``folder``, with its digest."""
    text = config.text()
    sealed = f"{SEAL}{_sha256(text.encode())}\n{text}".encode()
    path = folder / CONFIG
    if not path.exists() or path.read_bytes() != sealed:  # it is asked for after each epoch
        write(path, sealed)


def kept_config(folder: Path) -> Config:
    """The configuration that was kept in ``folder``; ConfigError where it is damaged or changed."""
    path = folder / CONFIG
    config = read(path)
    seal, _, text = path.read_bytes().partition(b"\n")
    digest = seal.removeprefix(SEAL.encode())
    if digest != seal and digest != _sha256(text).encode():
        what = "not as the run wrote it; --resume with -c and the configuration writes it anew"
        raise ConfigError(f"{path}: {what}")
    return config


def keep_results(folder: Path, result: dict) -> None:
    """Write ``result`` into ``folder``, with its digest and those of the run's other files.

    Where it has digests already they are left as they are.
    """
    if "files" not in result:
        kept = {name: (folder / name).read_bytes() for name in (CONFIG, METRICS, MODEL)}
        result = {"files": {name: _sha256(content) for name, content in kept.items()}, **result}
    _keep_json(folder / RESULTS, result)


def _keep_json(path: Path, content: dict) -> None:
    """Write ``content``, with its digest, as JSON."""
    sealed = {**content, "sha256": _sha256(json.dumps(content).encode())}
    write(path, json.dumps(sealed, indent=1) + "\n")


def _unsealed(found: dict) -> bool:
    """Whether ``found`` is what `_keep_json` wrote; its digest is taken out."""
    return found.pop("sha256", None) == _sha256(json.dumps(found).encode())


def finished(folder: Path, log: Callable) -> dict | None:
    """The results of a run that is finished, and whole; else None.

    What is damaged is said: it is to be made anew.
    """
    try:
        done = results(folder)
    except ConfigError:
        log(f"{folder / RESULTS}: damaged; made anew")
        return None
    damaged = [] if done is None else list(_damaged(folder, done.get("files", {})))
    for name in damaged:
        log(f"{folder / name}: damaged; made anew")
    return None if damaged else done


def _damaged(folder: Path, files: dict[str, str]) -> list[str]:
    found = {}
    for name in files:
        with contextlib.suppress(OSError):
            found[name] = _sha256((folder / name).read_bytes())
    return [name for name, digest in files.items() if found.get(name) != digest]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_new_run(folder: Path, config: Config, resume: bool) -> bool:
    """Whether ``folder`` is new; ConfigError where a run must not go.

    That is into another run, or any folder with files in it.
    """
    if not folder.exists() or (folder.is_dir() and set(folder.iterdir()) <= partial(folder)):
        return True
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"{folder}: exists, and is not the folder of a run; write elsewhere with --output"
        )
    if not resume:
        what = "there is a run already; go on with --resume, or write elsewhere with --output"
        raise ConfigError(f"{folder}: {what}")
    try:
        before = kept_config(folder)
    except ConfigError:
        if Path(config.file).resolve() == (folder / CONFIG).resolve():
            raise
        return False  # what was asked for is known, and the checkpoint refuses another run's
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


def partial(folder: Path) -> set[Path]:
    """What killed writers have left in ``folder``."""
    return set(folder.glob(PARTIAL))


def is_run(folder: Path) -> bool:
    """Whether ``folder`` is a run's, finished or not, rather than what `export` made of one."""
    return any((folder / name).exists() for name in (CHECKPOINT, METRICS, RESULTS, REPORT))


def results(folder: Path) -> dict | None:
    """What a finished run came to; None of one that is not finished."""
    try:
        found: Any = json.loads((folder / RESULTS).read_text())
        old = not {"sha256", "files"} & set(found)  # of a run before there were digests
        if not _unsealed(found) and not old:
            raise ValueError("not as it was written")
        return found
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, AttributeError, TypeError, RecursionError):  # no JSON, no text, no object
        where = folder / RESULTS
        raise ConfigError(f"{where}: damaged; delete it, and --resume writes it anew") from None


def made_of_the_model(folder: Path) -> list[Path]:
    """What a finished run, and commands after it, have made: untrue once it is trained further."""
    if not (folder / RESULTS).exists():
        return [folder / REPORT]
    programs = (f"{part}.{kind}" for part in ("encoder", "decoder") for kind in ("pt2", "onnx"))
    exported = [folder / EXPORT / name for name in (MODEL, CONFIG, EXPLORER, *programs)]
    return [*exported, *folder.glob("samples-seed*.png"), folder / REPORT, folder / RESULTS]


def keep_listing(folder: Path, listing: Mapping) -> None:
    """Write the pictures of a run, as `FolderImages` lists them, into ``folder``."""
    _keep_json(folder / PICTURES, dict(listing))


def listing(folder: Path) -> dict | None:
    """What `keep_listing` wrote; None of other data, ConfigError where it is not as it was."""
    where = folder / PICTURES
    try:
        found: Any = json.loads(where.read_text())
        if _unsealed(found):
            return found
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass
    what = "damaged or changed; without it nobody knows which pictures were held out"
    raise ConfigError(f"{where}: {what}")


def load_run(folder: Path) -> tuple[Config, VAE]:
    """The configuration and trained model in ``folder``; ConfigError without a finished run."""
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: not the folder of a run")
    if not results(folder):
        again = f"go on with --resume --output {shlex.quote(str(folder))}"
        raise ConfigError(f"{folder}: this run is not finished; {again}")
    config = kept_config(folder)
    try:
        return config, load_model(folder / MODEL)
    except ValueError as error:  # it names the model's file
        again = f"delete {folder / RESULTS}, and --resume writes both anew"
        raise ConfigError(f"{error}; {again}") from None

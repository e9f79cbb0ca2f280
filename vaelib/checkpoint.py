"""A training run on disk: everything `fit` needs to go on as if it had never stopped."""

from __future__ import annotations

import os
from pathlib import Path

import torch


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or is of another run; the message is one line that says which and why."""


def save_checkpoint(path: str | Path, model, optimizer, generator, history: dict, settings: dict) -> None:
    """Write weights, Adam's averages, the random stream, history and settings to one file, whole or not at all."""
    path = Path(path)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "history": history,
        "settings": settings,
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a name with nothing behind it
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: str | Path, model, optimizer, generator, settings: dict) -> dict | None:
    """Put the state at ``path`` into model, optimizer and generator, and return its history; None where there is no file.

    Raises CheckpointError when the file is damaged, of another model, or of a run with other ``settings``.
    """
    if not Path(path).exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["settings"]
    except Exception:  # bytes that are no checkpoint may end the reading in any of them
        raise CheckpointError(f"{path}: not a whole checkpoint of vaelib; delete it to start again") from None
    for name, value in settings.items():
        if saved.get(name) != value:
            raise CheckpointError(
                f"{path}: of a run with {name} {saved.get(name)!r}, not {value!r}; go on with that, or start elsewhere"
            )
    try:
        model.load_state_dict(state["model"])
    except RuntimeError:
        raise CheckpointError(f"{path}: of another model; go on with that one, or start elsewhere") from None
    optimizer.load_state_dict(state["optimizer"])
    try:
        generator.set_state(state["generator"])
    except (RuntimeError, TypeError):  # a GPU's random numbers are not a CPU's
        where = state["history"].get("device")
        raise CheckpointError(f"{path}: of a run on {where}; go on there, or start elsewhere") from None
    return state["history"]

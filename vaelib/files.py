"""Models and training states on disk, each file whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from vaelib.layers import ConvSpec
from vaelib.models import VAE

FORMAT = "vaelib-1"


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or is of another run; one line says which and why."""


@contextmanager
def whole(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write into that becomes ``path`` when the block ends, whole, or not at all.

    Where the block fails, nothing is left behind. Raises OSError when it can't be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a name with nothing behind it
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: str | Path, content: str | bytes) -> None:
    """Write a file, whole or not at all; text as UTF-8.

    >>> write("note.txt", "nats")
    >>> Path("note.txt").read_text()
    'nats'
    """
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def model_bytes(model: VAE, half: bool = False) -> bytes:
    """What `save_model` writes: weights and configuration as the bytes of a safetensors file.

    >>> len(model_bytes(VAE((1, 28, 28), latent_dim=2), half=True)) < 10**7
    True
    """
    config = {**model.config, "convs": [asdict(conv) for conv in model.convs]}
    dtype = torch.float16 if half else None
    state = model.state_dict().items()
    weights = {name: t.detach().to("cpu", dtype).contiguous() for name, t in state}
    return save(weights, metadata={"format": FORMAT, "config": json.dumps(config)})


def save_model(model: VAE, path: str | Path, half: bool = False) -> None:
    """Write weights and configuration to one safetensors file, whole or not at all.

    ``half`` rounds the weights to float16, half the size; `load_model` makes them float32 again.
    Raises OSError when it can't be written.

    >>> model = VAE((1, 28, 28), latent_dim=2)
    >>> save_model(model, "model.safetensors")
    >>> load_model("model.safetensors").latent_dim
    2
    """
    write(path, model_bytes(model, half))


def load_model(path: str | Path) -> VAE:
    """The model that `save_model` wrote to ``path``, on the CPU.

    Raises ValueError naming the file when it is not one of those, or its weights are not finite.

    >>> save_model(VAE((1, 28, 28), latent_dim=2), "model.safetensors", half=True)
    >>> model = load_model("model.safetensors")
    >>> next(model.parameters()).dtype
    torch.float32
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path}: not a model written by vaelib.save_model")
            names = list(file.keys())
            weights = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    try:
        config = json.loads(metadata["config"])
        config["convs"] = [ConvSpec(**conv) for conv in config["convs"]]
        with torch.device("meta"):  # without memory: a small file may ask for gigabytes
            VAE(**config).load_state_dict(weights, assign=True)
        model = VAE(**config)
        model.load_state_dict(weights)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path}: not a model that vaelib can build ({reason})") from None
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError(f"{path}: {name} holds weights that are not finite")
    return model


def save_checkpoint(
    path: str | Path,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: dict,
    settings: dict,
) -> None:
    """Write weights, Adam's averages, random stream, history and settings to one file.

    Whole or not at all. Raises OSError when it can't be written.
    """
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "history": history,
        "settings": settings,
    }
    stream = io.BytesIO()  # of a full disk torch.save has words of its own
    torch.save(state, stream)
    write(path, stream.getvalue())


def load_checkpoint(
    path: str | Path,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    settings: dict,
) -> dict | None:
    """Put the state at ``path`` into model, optimizer and generator; its history, or None.

    None where there is no file. Raises CheckpointError when the file is damaged, of another model,
    or of a run with other ``settings``.
    """
    if not Path(path).exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        saved = state["settings"]
    except Exception:  # bytes that are no checkpoint may end the reading in any of them
        what = "not a whole checkpoint of vaelib; delete it to start again"
        raise CheckpointError(f"{path}: {what}") from None
    for name, value in settings.items():
        if name in saved and saved[name] != value:
            what = f"of a run with {name} {saved[name]!r}, not {value!r}"
            raise CheckpointError(f"{path}: {what}; go on with that, or start elsewhere")
    try:
        model.load_state_dict(state["model"])
    except RuntimeError:
        what = "of another model; go on with that one, or start elsewhere"
        raise CheckpointError(f"{path}: {what}") from None
    optimizer.load_state_dict(state["optimizer"])
    try:
        generator.set_state(state["generator"])
    except (RuntimeError, TypeError):  # a GPU's random numbers are not a CPU's
        where = state["history"].get("device")
        what = f"of a run on {where}; go on there, or start elsewhere"
        raise CheckpointError(f"{path}: {what}") from None
    return state["history"]

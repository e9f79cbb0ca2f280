"""Models and training states on disk, each file whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vaelib.layers import ConvSpec
from vaelib.models import VAE

FORMAT = "vaelib-1"


DIGEST = hashlib.sha256().digest_size  # bytes at a checkpoint's end: the SHA-256 of those before


class CheckpointError(RuntimeError):
    """A checkpoint that can't be read, or is of another run; one line says which and why."""


class CheckpointWarning(UserWarning):
    """A checkpoint that was damaged, and the one before it that is used instead; one line."""


@contextmanager
def atomic_write(path: str | Path, aside: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write into that becomes ``path`` when the block ends, whole, or not at all.

    What was there is moved to ``aside``, if that is given, at the last moment. Where the block
    fails, nothing is left behind. Raises OSError, with the name of the file, when
    it can't be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a name with nothing behind it
        if aside:
            os.replace(path, aside)
        os.replace(partial, path)
        _keep_names(path.parent)
    except OSError as error:  # of a full disk write() says nothing but that
        if error.errno is None or error.filename not in (None, str(partial)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
    finally:
        partial.unlink(missing_ok=True)


def _keep_names(folder: Path) -> None:
    """Have the folder's names on the disk, as fsync does for a file; nothing where there is none.

    Source: fsync(2), of a file's entry in its directory.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: str | Path, content: str | bytes) -> None:
    """Write a file, whole or not at all; text as UTF-8.

    >>> write("note.txt", "nats")
    >>> Path("note.txt").read_text()
    'nats'
    """
    with atomic_write(path) as file:
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
    metadata = {"format": FORMAT, "config": json.dumps(config)}
    metadata["sha256"] = _digest(weights, metadata["config"])
    return _in_order(save(weights, metadata=metadata))


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


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata by name, so that the same model is the same bytes.

    They come in an order that is drawn afresh. The first eight bytes are the header's length.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    return content[:8] + text.encode().ljust(end - 8) + content[end:]


def _digest(weights: dict[str, Tensor], config: str) -> str:
    """The SHA-256 of a model's weights and configuration, in hexadecimal."""
    digest = hashlib.sha256(config.encode())
    for name, weight in sorted(weights.items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_model(path: str | Path) -> VAE:
    """The model that `save_model` wrote to ``path``, on the CPU.

    Raises ValueError naming the file when it is not one of those, or not as it was written, or its
    weights are not finite; OSError when it can't be opened.

    >>> save_model(VAE((1, 28, 28), latent_dim=2), "model.safetensors", half=True)
    >>> model = load_model("model.safetensors")
    >>> next(model.parameters()).dtype
    torch.float32
    """
    with Path(path).open("rb"):  # its errors name the file and why; those of safe_open may not
        pass
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path}: not a model written by vaelib.save_model")
            names = list(file.keys())
            weights = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    if metadata.get("sha256", digest := _digest(weights, metadata.get("config", ""))) != digest:
        raise ValueError(f"{path}: damaged since it was written (its SHA-256 is another)")
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
    objective: object,
    history: dict,
    settings: dict,
) -> None:
    """Write weights, Adam's averages, random stream, history and settings to one file.

    So too what an ``objective`` has in its state_dict, where it has one. Whole or not at all; the
    one that was there is kept as `previous`, unless it is damaged. Raises OSError when it can't be
    written.
    """
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "objective": objective.state_dict() if hasattr(objective, "state_dict") else {},
        "history": history,
        "settings": settings,
    }
    stream = io.BytesIO()  # of a full disk torch.save has words of its own
    torch.save(state, stream)
    path = Path(path)
    with atomic_write(path, previous(path) if _state(path) is not None else None) as file:
        file.write(stream.getbuffer())
        file.write(hashlib.sha256(stream.getbuffer()).digest())


def previous(path: str | Path) -> Path:
    """The file of the checkpoint before the one at ``path``.

    >>> previous("runs/mine/checkpoint.pt").as_posix()
    'runs/mine/checkpoint.previous.pt'
    """
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def kept(path: str | Path) -> bool:
    """Whether there is a checkpoint at ``path``, or the one before it.

    >>> kept("nowhere.pt")
    False
    """
    return Path(path).exists() or previous(path).exists()


def _state(path: Path) -> memoryview | None:
    """What `save_checkpoint` had to write, where the file is there and as it was written."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    state, digest = content[:-DIGEST], content[-DIGEST:]
    return state if hashlib.sha256(state).digest() == digest else None


def load_checkpoint(
    path: str | Path,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    objective: object,
    settings: dict,
) -> dict | None:
    """Put the state at ``path`` into what it is given; its history, or None.

    An ``objective`` with a load_state_dict gets its own.

    None where there is no file. Where it is damaged, or was lost between two names, the `previous`
    one is used, with a CheckpointWarning. Raises CheckpointError when neither is whole, or it is of
    another model, or of a run with other ``settings``.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: there is no folder {path.parent} to write it into")
    if not kept(path):
        return None
    content, damaged = _state(path), path.exists()
    if content is None and (content := _state(previous(path))) is not None:
        if damaged:
            what = f"{path}: damaged; going on from the one before it, {previous(path)}"
            warnings.warn(what, CheckpointWarning, stacklevel=3)
        path = previous(path)
    try:
        if content is None:
            raise ValueError("another digest")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        saved = state["settings"]
    except Exception:  # bytes that are no checkpoint may end the reading in any of them
        both = "nor is the one before it; delete both" if previous(path).exists() else "delete it"
        what = f"not a whole checkpoint of vaelib; {both} to start again"
        raise CheckpointError(f"{path}: {what}") from None
    there, here = (
        {name: weight.shape for name, weight in weights.items()}
        for weights in (state["model"], model.state_dict())
    )
    if there != here:
        what = "of another model; go on with that one, or start elsewhere"
        raise CheckpointError(f"{path}: {what}")
    for name, value in settings.items():
        if name in saved and saved[name] != value:
            what = f"of a run with {name} {saved[name]!r}, not {value!r}"
            raise CheckpointError(f"{path}: {what}; go on with that, or start elsewhere")
    try:
        if hasattr(objective, "load_state_dict"):
            objective.load_state_dict(state.get("objective", {}))
        elif state.get("objective"):
            raise ValueError("it learnt, and this one does not")
    except (RuntimeError, LookupError, ValueError):
        what = "of a run with another objective; go on with that one, or start elsewhere"
        raise CheckpointError(f"{path}: {what}") from None
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    try:
        generator.set_state(state["generator"])
    except (RuntimeError, TypeError):  # a GPU's random numbers are not a CPU's
        where = state["history"].get("device")
        what = f"of a run on {where}; go on there, or start elsewhere"
        raise CheckpointError(f"{path}: {what}") from None
    return state["history"]

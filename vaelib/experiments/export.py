"""A finished run's model, to take away: its weights, a page of it, programs that need no vaelib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelib import live
from vaelib.data.factors import HELD_OUT
from vaelib.data.images import DataError
from vaelib.experiments.config import Config, ConfigError
from vaelib.experiments.from_config import load_data
from vaelib.experiments.run_folder import (
    CONFIG,
    EXPLORER,
    MODEL,
    is_run,
    listing,
    load_run,
    results,
)
from vaelib.models import VAE
from vaelib.saving import atomic_write, model_bytes

TOLERANCE = 1e-4  # of what onnxruntime computes, against PyTorch


def export(
    folder: Path,
    output: Path,
    half: bool = False,
    programs: bool = False,
    html: bool = False,
    onnx: bool = False,
    log: Callable = print,
    path: str | None = None,
) -> list[Path]:
    """Write model and configuration of a finished run, and what else is asked for; the files.

    ``half`` rounds the weights to float16. ``html`` adds `explorer.html`, the page of
    `vaelib.live.explorer`, with held-out images where the run's data can be had without a download;
    where not, ``log`` is told. ``path`` is where they lie now, if not where they were. ``programs``
    adds `encoder.pt2` (images in [0, 1] to mean and log-variance) and `decoder.pt2` (latents to
    images in [0, 1]), which torch.export.load reads without vaelib; ``onnx`` the same as
    `encoder.onnx` and `decoder.onnx`, after onnxruntime has given PyTorch's numbers to 1e-4.
    Everything is made before anything is written. Raises ConfigError for an output that is a run,
    and where ONNX's packages are missing.
    """
    config, model = load_run(folder)
    if is_run(output):
        which = "the run itself" if output.resolve() == folder.resolve() else "a run"
        raise ConfigError(f"--output {output}: that is {which}; export elsewhere")
    files: dict[str, bytes] = {
        MODEL: model_bytes(model, half),
        CONFIG: config.text().encode(),
    }
    if onnx:
        files |= onnx_programs(model)
    if programs:
        files |= {f"{name}.pt2": _program(*call) for name, call in _calls(model).items()}
    if html:
        files[EXPLORER] = _page(folder, config.at(path), model, half, log).html.encode()
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as all_or_none:
        for name, content in files.items():
            all_or_none.enter_context(atomic_write(output / name)).write(content)
    return [output / name for name in files]


def _page(folder: Path, config: Config, model: VAE, half: bool, log: Callable) -> live.Page:
    measured: Mapping = results(folder) or {}
    latents = f"{model.latent_dim:,} latent{'s' * (model.latent_dim != 1)}"
    about = (
        f"A VAE with {latents}, trained on {config.configuration.dataset}; "
        f"ELBO {measured['elbo']:.2f} nats an image that it was not trained on."
    )
    options: dict[str, Any] = {
        "kl": measured["kl_per_dimension"],
        "title": folder.resolve().name,
        "about": about,
        "half": half,
    }
    try:
        data = load_data(config, lambda _: None, download=False, split=listing(folder))
        images, values = data.held_out(HELD_OUT)
        factors = dict(zip(data.factor_names, values.unbind(-1)))
        labels = factors if data.factor_names else values
        names = getattr(data, "classes", ())
        return live.explorer(model, images, labels, names=names, **options)
    except (DataError, OSError) as error:
        log(f"{EXPLORER} has no held-out images: {error}")
    except ValueError as error:  # images of another shape than the model's, or not to be shown
        raise ConfigError(f"--html: {error}") from None
    return live.explorer(model, **options)


def _calls(model: VAE) -> dict[str, tuple[_Call, Tensor, list[str]]]:
    """Encoder and decoder by name: as a module, with an example and what its outputs are called."""
    images, latents = torch.zeros(2, *model.image_shape), torch.zeros(2, model.latent_dim)
    encode = _Call(model, model.encode)
    decode = _Call(model, lambda z: model.expected_image(model.decode(z)))
    return {
        "encoder": (encode.eval(), images, ["mean", "log_var"]),
        "decoder": (decode.eval(), latents, ["image"]),
    }


def _program(call: _Call, example: Tensor, _: list[str]) -> bytes:
    stream = io.BytesIO()
    any_number = ({0: torch.export.Dim.AUTO},)
    torch.export.save(torch.export.export(call, (example,), dynamic_shapes=any_number), stream)
    return stream.getvalue()


def onnx_programs(model: VAE) -> dict[str, bytes]:
    """Encoder and decoder as ONNX files by name, compared with PyTorch; ConfigError where not."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        what = f"--onnx needs the package {error.name}"
        raise ConfigError(f"{what}: pip install onnx onnxruntime onnxscript") from None
    return {f"{name}.onnx": _onnx_program(name, *call) for name, call in _calls(model).items()}


def _onnx_program(name: str, call: _Call, example: Tensor, outputs: list[str]) -> bytes:
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own deprecations
        made = torch.onnx.export(
            call,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            input_names=["x" if name == "encoder" else "z"],
            output_names=outputs,
            verbose=False,
        )
    assert made is not None
    try:
        content = made.model_proto.SerializeToString()
    except ValueError:  # of a message beyond 2 GB
        raise ConfigError(f"--onnx: the {name} is too large for one file") from None
    x = torch.rand(3, *example.shape[1:], generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    found = session.run(None, {given.name: x.numpy()})
    with torch.no_grad():
        wanted = call(x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    far = max((w - torch.as_tensor(f)).abs().max().item() for w, f in zip(wanted, found))
    if not far <= TOLERANCE:
        raise ConfigError(f"--onnx: onnxruntime's {name} differs from PyTorch's by {far:.1e}")
    return content


class _Call(torch.nn.Module):
    """One of a model's functions as a module of its own."""

    def __init__(self, model: VAE, call: Callable):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, x: Tensor) -> Any:
        return self.call(x)

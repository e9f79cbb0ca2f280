"""`explorer(model, images)`: a trained model alive in one HTML page, for a browser or a notebook.

Beside this file is what the page is made of; the book's live figures are made of `SHARED`, too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import torch
from torch import Tensor

from vaelib import metrics, plots
from vaelib.explore import INACTIVE, SLIDERS
from vaelib.models import VAE, as_float
from vaelib.saving import model_bytes, write

FOLDER = Path(__file__).parent
SCRIPTS = ("live", "network", "stage")
SHARED = (*(FOLDER / f"{name}.js" for name in SCRIPTS), FOLDER / "live.css")
NAME = "explorer"  # of the page's figure, its model and its data
SHOWN = 12  # images that the page holds whole
POINTS = 1000  # codes in the plane


@dataclass(frozen=True)
class Page:
    """A whole HTML page, which requests nothing; a notebook shows it in a frame.

    >>> page = Page("<p>alive</p>", "A page")
    >>> page.save("page.html")
    >>> Path("page.html").read_text()
    '<p>alive</p>'
    """

    html: str = field(repr=False)
    title: str

    def save(self, path: str | Path) -> None:
        """Write it to ``path``, whole or not at all; OSError when it can't be written."""
        write(path, self.html)

    def _repr_html_(self) -> str:
        style = "width: 100%; height: 48rem; border: 0"  # the page corrects the height
        start = f'<iframe title="{escape(self.title)}" style="{style}" srcdoc="'
        return f'{start}{escape(self.html)}"></iframe>'


def explorer(
    model: VAE,
    images: Tensor | None = None,
    labels: Tensor | Mapping[str, Tensor] | None = None,
    *,
    names: Sequence[str] = (),
    kl: Sequence[float] | None = None,
    title: str = "Explorer",
    about: str = "",
    half: bool = False,
) -> Page:
    """A page that holds ``model`` and moves through its latents, the decoder at work in it.

    With two latents a point is dragged over the plane of codes, where those of ``images``
    (N, C, H, W), uint8 or floats, at most 1,000 of them, lie by ``labels`` (N,), or several by
    name. Otherwise each latent has a slider, the latents sorted by their KL (the summands of
    eq:kl-standard), which is measured on ``images`` unless ``kl`` says it in nats; those below 0.01
    nats are set apart, and of more than 100 those with the most have sliders. Twelve of the images
    are in the page whole. ``names`` are those of the labels' values, ``about`` is a line under the
    ``title``; ``half`` rounds the weights to float16, half the size. A cell that ends with the page
    shows it. Raises ValueError for images that the model can't take, or whose channels are neither
    1 nor 3.

    >>> data = vaelib.load("mnist-5k", binarize=True)
    >>> page = explorer(vaelib.load_pretrained("digits-2"), data.test, data.test_labels)
    >>> page.save("explorer.html")
    """
    if (channels := model.image_shape[0]) not in (1, 3):
        raise ValueError(
            f"only images of 1 or 3 channels can be shown; the model's have {channels}"
        )
    data: dict[str, Any] = {
        "inactive": INACTIVE,
        "sliders": SLIDERS,
        "kl": None if kl is None else [float(v) for v in kl],
    }
    if images is not None:
        if kl is None:
            data["kl"] = metrics.kl_per_dimension(model, images).tolist()
        data |= _held_out(model, images, labels, names)
    scripts = {name: (FOLDER / f"{name}.js").read_text("utf8") for name in (*SCRIPTS, NAME)}
    scripts["model"] = model_script(NAME, model_bytes(model, half))
    scripts["data"] = data_script(NAME, data)
    parts = (f'<script data-script="{name}">\n{code}</script>' for name, code in scripts.items())
    page = Template((FOLDER / f"{NAME}.html").read_text("utf8")).substitute(
        title=escape(title),
        about=escape(about),
        style=(FOLDER / "live.css").read_text("utf8"),
        scripts="\n".join(parts),
    )
    return Page(page, title)


def _held_out(
    model: VAE, images: Tensor, labels: Tensor | Mapping[str, Tensor] | None, names: Sequence[str]
) -> dict[str, Any]:
    """What the page is told of images: some of them, and of a plane their codes and colours."""
    some = torch.linspace(0, len(images) - 1, min(SHOWN, len(images))).round().long()
    levels = as_float(images[some].cpu()).clamp(0, 1).mul(255).round().byte()
    found: dict[str, Any] = {"images": _base64(levels), "shown": some.tolist()}
    if model.latent_dim != 2:
        return found
    mean, _ = metrics.encode(model, images[:POINTS])
    of_each = labels if isinstance(labels, Mapping) else {"label": labels}
    groups = {name: v[:POINTS].tolist() for name, v in of_each.items() if v is not None}
    found["codes"] = _base64(mean.float().cpu())
    return found | {"groups": groups, "names": list(names), "colours": plots.COLOURS}


def _base64(numbers: Tensor) -> str:
    array = numbers.contiguous().numpy()
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


def model_script(name: str, weights: bytes) -> str:
    """A safetensors file as a script that gives a page the model called ``name``.

    >>> model_script("mine", b"weights")
    '(window.VAELIB_MODELS ??= {})["mine"] = "d2VpZ2h0cw==";\\n'
    """
    return _assignment("VAELIB_MODELS", name, base64.b64encode(weights).decode())


def data_script(name: str, value: Any) -> str:
    """A script that gives a page the data called ``name``.

    >>> data_script("mine", {"kl": [1.5]})
    '(window.VAELIB_DATA ??= {})["mine"] = {"kl": [1.5]};\\n'
    """
    return _assignment("VAELIB_DATA", name, value)


def _assignment(table: str, name: str, value: Any) -> str:
    # "<" only ever stands in a string, and there might end the script that it is in
    key, text = (json.dumps(part).replace("<", "\\u003c") for part in (name, value))
    return f"(window.{table} ??= {{}})[{key}] = {text};\n"

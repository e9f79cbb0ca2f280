"""A trained model in numbers and pictures, for its report."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vaelib import losses, metrics, plots
from vaelib.data.factors import HELD_OUT
from vaelib.history import HINT, TrainingError
from vaelib.models import VAE

SIDE, WIDEST = 64, 4096  # pixels to which small images and their sheet are magnified
ROWS = 10  # latents in a picture of traversals, those with the most KL first


def measurements(model: VAE, images: Tensor) -> dict:
    """The ELBO and its terms on ``images``, means in nats, its error, the KL of each latent.

    Raises TrainingError where they are not finite.
    """
    terms = metrics.elbo_terms(model, images)
    kl = metrics.kl_per_dimension(model, images)
    found = {
        "images": len(images),
        "elbo": terms.elbo.cpu().double().mean().item(),
        "elbo_error": standard_error(terms.elbo),
        "reconstruction": terms.reconstruction.cpu().double().mean().item(),
        "kl": terms.kl.cpu().double().mean().item(),
        "active_units": int((metrics.active_units(model, images) > 0.01).sum()),
        "kl_per_dimension": kl.tolist(),
    }
    if not (terms.elbo.isfinite().all() and kl.isfinite().all()):
        what = f"ELBO {found['elbo']:g}, KL {found['kl']:g}"
        raise TrainingError(f"the held-out images' figures are not finite ({what}); {HINT}")
    if model.likelihood == "discretised-logistic":
        bits = losses.bits_per_dimension(terms.elbo.mean(), images[0].numel())
        found["bits_per_dimension"] = bits.item()
    return found


def pictures(model: VAE, images: Tensor) -> dict[str, Figure]:
    """Figures of what a trained model does, by name; the manifold only of two latents."""
    generator = torch.Generator(model.device).manual_seed(0)
    kl = metrics.kl_per_dimension(model, images[:HELD_OUT])
    by_kl = kl.argsort(descending=True).tolist()
    drawn = {
        "reconstructions": plots.reconstructions(model, images[:10]),
        "samples": plots.samples(model, 50, generator=generator),
        "traversals": plots.traversals(model, images[0], dimensions=tuple(by_kl[:ROWS])),
    }
    if model.latent_map:
        drawn["kl map"] = plots.kl_map(kl.view(model.latent_shape))
    return drawn | ({"manifold": plots.manifold(model)} if model.latent_dim == 2 else {})


def contact_sheet(images: Iterable[Tensor], number: int) -> bytes:
    """``number`` images, in batches (n, C, H, W) in [0, 1], tiled in reading order: a PNG file.

    Up to a hundred stand ten a row, more make about a square; small ones are magnified. Of grey
    images 1 is black, as ink.
    """
    columns = min(number, max(10, math.ceil(math.sqrt(number))))
    rows, at, zoom = -(-number // columns), 0, 1
    sheet: np.ndarray = np.empty((0, 0, 0))
    for batch in images:
        levels = batch.mul(255).round_().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
        _, height, width, depth = levels.shape
        if not at:
            sheet = np.full((rows * (height + 1), columns * (width + 1), depth), 255, np.uint8)
            zoom = max(1, min(SIDE // max(height, width), WIDEST // sheet.shape[1]))
        for image in 255 - levels if depth == 1 else levels:
            top, left = at // columns * (height + 1), at % columns * (width + 1)
            sheet[top : top + height, left : left + width] = image
            at += 1
    sheet = sheet[:-1, :-1]  # the gaps are between the images
    picture = Image.fromarray(sheet.squeeze(-1) if sheet.shape[2] == 1 else sheet)
    stream = io.BytesIO()
    size = picture.width * zoom, picture.height * zoom
    picture.resize(size, Image.Resampling.NEAREST).save(stream, "PNG")
    return stream.getvalue()


def standard_error(values: Tensor) -> float | None:
    """The standard error of their mean."""
    if len(values) < 2:
        return None
    return values.cpu().double().std().item() / len(values) ** 0.5  # mps has no float64


def png(figure: Figure) -> bytes:
    """A matplotlib figure as a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, facecolor="white", metadata={"Software": None})
    return stream.getvalue()

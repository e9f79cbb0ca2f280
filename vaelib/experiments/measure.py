"""A trained model in numbers and pictures, for its report."""

from __future__ import annotations

import io

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vaelib import metrics, plots
from vaelib.data.factors import HELD_OUT
from vaelib.models import VAE

ROWS = 10  # latents in a picture of traversals, those with the most KL first


def measurements(model: VAE, images: Tensor) -> dict:
    """The ELBO and its terms on ``images``, means in nats, its error, the KL of each latent."""
    terms = metrics.elbo_terms(model, images)
    kl = metrics.kl_per_dimension(model, images)
    return {
        "images": len(images),
        "elbo": terms.elbo.cpu().double().mean().item(),
        "elbo_error": standard_error(terms.elbo),
        "reconstruction": terms.reconstruction.cpu().double().mean().item(),
        "kl": terms.kl.cpu().double().mean().item(),
        "active_units": int((metrics.active_units(model, images) > 0.01).sum()),
        "kl_per_dimension": kl.tolist(),
    }


def pictures(model: VAE, images: Tensor) -> dict[str, Figure]:
    """Figures of what a trained model does, by name; the manifold where it has two latents."""
    generator = torch.Generator(model.device).manual_seed(0)
    by_kl = metrics.kl_per_dimension(model, images[:HELD_OUT]).argsort(descending=True).tolist()
    drawn = {
        "reconstructions": plots.reconstructions(model, images[:10]),
        "samples": plots.samples(model, 50, generator=generator),
        "traversals": plots.traversals(model, images[0], dimensions=tuple(by_kl[:ROWS])),
    }
    return drawn | ({"manifold": plots.manifold(model)} if model.latent_dim == 2 else {})


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

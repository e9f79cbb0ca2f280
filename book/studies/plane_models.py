"""Chapter 7's live figure: what the models that it shows rebuild and draw, and each latent's KL.

Studies 07 and 08 each write theirs to book/live/: a picture, a model a row, and its figures.
"""

from __future__ import annotations

import json

import torch
from PIL import Image
from reporting import ROOT, rounded

import vaelib
from vaelib import metrics
from vaelib.models import as_float

SHOWN = [0, 31, 62, 3, 54, 25, 96, 17]  # test digits: one of most classes
FOLDER = ROOT / "book" / "live"


def write_models(kind: str, models: dict[str, vaelib.VAE], test: torch.Tensor) -> None:
    """book/live/models-KIND.png and .json, of models by the key of their row in the results.

    In the picture the test digits SHOWN, then a row a model: those rebuilt, as many drawn.
    """
    digits, shown = as_float(test[SHOWN]), {}
    rows = [torch.cat([digits, torch.zeros_like(digits)])]
    for key, model in models.items():
        drawn = model.sample(len(SHOWN), torch.Generator().manual_seed(5))
        rows.append(torch.cat([model.reconstruct(test[SHOWN]), drawn]))
        terms = metrics.elbo_terms(model, test, samples=10)
        shown[key] = {
            "distortion": round(terms.reconstruction.mean().item(), 2),
            "kl": sorted(rounded(metrics.kl_per_dimension(model, test).tolist()), reverse=True),
        }
    sheet = torch.cat([row.squeeze(1).permute(1, 0, 2).flatten(1) for row in rows])
    levels = (255 * sheet).round().byte().numpy()
    Image.fromarray(levels).save(FOLDER / f"models-{kind}.png", optimize=True)
    text = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in shown.items())
    (FOLDER / f"models-{kind}.json").write_text(f"{{{text}}}\n")

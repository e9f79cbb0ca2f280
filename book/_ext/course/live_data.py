"""What the live figures read: shipped models, digits, films of trainings, as scripts for a page.

Each is made when the book is built, of what vaelib ships and book/studies measured.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BOOK = Path(__file__).parents[2]


def model_script(name: str) -> str:
    """A shipped model's safetensors, as they are."""
    from vaelib import live, pretrained

    return live.model_script(name, (pretrained.FOLDER / f"{name}.safetensors").read_bytes())


def bits(images: Tensor) -> str:
    """Black and white pixels, eight to a byte, as text; network.js reads them again by bitsOf."""
    import numpy as np

    return base64.b64encode(np.packbits(images.numpy() > 0).tobytes()).decode()


def digits_script() -> str:
    """mnist-5k's 500 test digits, binarised: packed pixels, labels, codes by mnist-z2, colours."""
    from vaelib import live, plots
    from vaelib.data.images import ImageData
    from vaelib.data.load import load
    from vaelib.pretrained import load_pretrained

    data = load("mnist-5k", binarize=True)
    assert isinstance(data, ImageData)
    model = load_pretrained("mnist-z2").eval()
    mean = model.encode(data.test)[0].detach().numpy().astype("<f4")
    value = {
        "labels": "".join(map(str, data.test_labels.tolist())),
        "bits": bits(data.test),
        "codes": base64.b64encode(mean.tobytes()).decode(),
        "colours": plots.COLOURS,
    }
    return live.data_script("digits", value)


def small_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """2,000 training and the 500 test digits of mnist-5k at 14 x 14, black and white, with labels.

    Half the side by means of 2 x 2 pixels, white from 0.4: (N, 196) of zeros and ones, (N,).
    """
    from torch.nn.functional import avg_pool2d

    from vaelib.data.images import ImageData
    from vaelib.data.load import load

    data = load("mnist-5k")
    assert isinstance(data, ImageData)
    train, test = (
        (avg_pool2d(images.float() / 255, 2) > 0.4).float().flatten(1)
        for images in (data.train[:2000], data.test)
    )
    return train, test, data.train_labels[:2000], data.test_labels


def small_digits_script() -> str:
    from vaelib import live, plots

    train, test, labels, test_labels = small_digits()
    value = {
        "labels": "".join(map(str, labels.tolist())),
        "test_labels": "".join(map(str, test_labels.tolist())),
        "bits": bits(train),
        "test_bits": bits(test),
        "colours": plots.COLOURS,
    }
    return live.data_script("digits-14", value)


# the models whose training the figure "price" shows: the choice's words
FILMS = {
    "sprites-vae": "β = 1",
    "sprites-beta4": "β = 4",
    "sprites-beta16": "β = 16",
    "sprites-beta-vae": "β falls from 40 to 4",
    "sprites-annealed": "capacity rises to 10 nats",
}


def study(name: str) -> ModuleType:
    """A module of book/studies, where what the figures show was measured."""
    folder = str(BOOK / "studies")
    sys.path.insert(0, folder)
    try:
        return import_module(name)
    finally:
        sys.path.remove(folder)


def weight_of(method: str, weight: float, step: int) -> tuple[str, float]:
    """What the study of sprites had set at this step: "price" or "capacity", and how much of it."""
    sprites = study("sprites")
    if method == "annealed-capacity":
        return "capacity", sprites.rising(weight)(step)
    return "price", sprites.falling(weight)(step) if method == "falling-beta" else weight


def sprites_films_script() -> str:
    """How five shipped models of sprites were trained, a record each 100 steps; three sprites."""
    import torch

    from vaelib import live
    from vaelib.data.factors import FactorImages
    from vaelib.data.load import load
    from vaelib.data.sprites import SHAPES
    from vaelib.pretrained import card

    films = {}
    for name, words in FILMS.items():
        run = card(name)
        history, method, weight = run["history"], run["method"], run["weight"]
        set_to = [weight_of(method, weight, step) for step in history["steps"]]
        films[name] = {
            "words": words,
            "steps": history["steps"],
            "kl": history["kl_per_dimension"],
            "distortion": history["reconstruction"],
            set_to[0][0]: [round(value, 4) for _, value in set_to],
        }
    data = load("sprites", image_size=32)
    assert isinstance(data, FactorImages)
    middle = torch.tensor([[shape, 4, 0, 16, 16] for shape in range(len(SHAPES))])
    shapes = zip(SHAPES, data.images(middle), strict=True)
    value = {
        "films": films,
        "starts": {name: bits(image) for name, image in shapes},
        "in_use": study("in_use").IN_USE,
        "side": 32,
    }
    return live.data_script("sprites-films", value)


def plane_models_script() -> str:
    """The trained models of digits of chapters 7 and 8 as studies 07 and 08 have measured them:
    rate and distortion over the seeds, the KL of each latent and a row of pictures of one seed."""
    import numpy as np
    from PIL import Image

    from vaelib import live

    rows = {
        "latents": json.loads((BOOK / "results" / "07-latent-dimension.json").read_text()),
        "prices": json.loads((BOOK / "results" / "08-beta-vae.json").read_text())["digits"],
    }
    names = {"b025": "β = ¼", "b05": "β = ½"}
    series: dict[str, list[dict]] = {}
    sheets = {}
    for kind, results in rows.items():
        of_one = json.loads((BOOK / "live" / f"models-{kind}.json").read_text())
        for key, one in of_one.items():
            words = names.get(key, f"{'d' if kind == 'latents' else 'β'} = {key[1:]}")
            means = {term: results[key][term]["mean"] for term in ("rate", "distortion")}
            series.setdefault(kind, []).append({"words": words, **means, "kl": one["kl"]})
        levels = np.asarray(Image.open(BOOK / "live" / f"models-{kind}.png").convert("L"))
        sheets[kind] = base64.b64encode(levels.tobytes()).decode()
    side = 28
    value = {"series": series, "shown": levels.shape[1] // side // 2, "side": side}
    value |= {"in_use": study("in_use").IN_USE}
    return live.data_script("plane-models", {**value, "sheets": sheets})


def digit_variances_script() -> str:
    """The variances of mnist-5k's grey training digits in their principal directions."""
    import torch

    from vaelib import live
    from vaelib.data.images import ImageData
    from vaelib.data.load import load

    data = load("mnist-5k")
    assert isinstance(data, ImageData)
    x = data.train.flatten(1).double() / 255
    found = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0).clamp(min=0)
    packed = base64.b64encode(found.numpy().astype("<f4").tobytes()).decode()
    return live.data_script("digit-variances", {"variances": packed})


def gallery_script() -> str:
    """The gallery's runs: their results, and strips of the pictures that chapter 11 has of them."""
    from vaelib import live

    results = json.loads((BOOK / "results" / "11-gallery.json").read_text("utf8"))
    value: dict[str, Any] = {"images": {}, "runs": {}, "in_use": study("in_use").IN_USE}
    for name, run in results["runs"].items():
        kept = {key: run[key] for key in SHOWN_OF_A_RUN}
        if name in results["strips"]:
            strips = dict(results["strips"][name])
            picture = BOOK / "images" / strips.pop("picture")
            pictures = {what: png(picture, box) for what, box in strips.items()}
            value["images"].setdefault(run["data"], pictures.pop("images"))
        else:
            pictures = {"traversals": png(BOOK / "images" / f"11-{name}.png")}
        value["runs"][name] = kept | {"pictures": pictures}
    return live.data_script("gallery-runs", value)


SHOWN_OF_A_RUN = (
    *("data", "latents", "beta", "schedule", "elbo", "reconstruction", "kl", "active_units"),
    *("kl_per_dimension", "seconds", "length"),
)


def png(path: Path, box: tuple[int, int, int, int] | None = None) -> str:
    """A picture, or what lies in a box of it, as an address that holds it."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(path) as picture:
        (picture.crop(box) if box else picture).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def configuration_script() -> str:
    """What vaelib's schema says of a configuration's keys, in its own words, and its choices."""
    from dataclasses import MISSING, fields

    from vaelib import choices, live
    from vaelib.experiments import from_config, schema

    def of(kind: type) -> dict[str, str]:
        return {key.name: key.metadata["allowed"] for key in fields(kind)}

    value = {
        "sections": {name: of(kind) for name, kind in schema.SECTIONS.items()},
        "needed": {
            name: [key.name for key in fields(kind) if key.default is MISSING]
            for name, kind in schema.SECTIONS.items()
        },
        "datasets": {name: data._asdict() for name, data in choices.DATASETS.items()},
        "likelihoods": choices.LIKELIHOODS,
        "schedules": choices.SCHEDULES,
        "without_beta": choices.WITHOUT_BETA,
        "sigma_words": choices.SIGMA_WORDS,
        "sprite_sizes": choices.SPRITE_SIZES,
        "most_weights": from_config.MOST_WEIGHTS,
    }
    return live.data_script("configuration-schema", value)


# data that figures read, by the name that they ask for; any other name is a shipped model's
DATA = {
    "digits": digits_script,
    "digits-14": small_digits_script,
    "digit-variances": digit_variances_script,
    "plane-models": plane_models_script,
    "sprites-films": sprites_films_script,
    "gallery-runs": gallery_script,
    "configuration-schema": configuration_script,
}

"""The models that come with the package: small, whole, and worth what their cards say."""

import os
from functools import cache

import pytest
import torch
from safetensors import safe_open

import vaelib
from vaelib import disentanglement, metrics, pretrained

NAMES = pretrained.names()


@cache
def drawn_sprites(side, n, seed):
    sprites = vaelib.load("sprites", image_size=side)
    return sprites.sample(n, torch.Generator().manual_seed(seed))


def scored_images(card):
    """The images the card's scores are of, and their factors (sprites) or none (digits)."""
    if card["data"]["name"] == "sprites":
        keys = ("image_size", "scored_images", "scored_seed")
        return drawn_sprites(*(card["data"][key] for key in keys))
    return vaelib.load(card["data"]["name"], binarize=card["data"]["binarize"]).test, None


def test_the_models_are_there():
    assert 6 <= len(NAMES) <= 12
    assert {
        "digits-2",
        "digits-16",
        "sprites-vae",
        "sprites-beta-vae",
        "sprites-beta-tcvae",
    } <= set(NAMES)
    with pytest.raises(
        ValueError,
        match="unknown pretrained model 'sprites'; there are: digits-16, digits-2, mnist-z16, ",
    ):
        vaelib.load_pretrained("sprites")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_small_and_its_card_says_how_it_was_made(name):
    path = pretrained.FOLDER / f"{name}.safetensors"
    assert os.path.getsize(path) < 2_000_000
    with safe_open(str(path), framework="pt") as file:
        assert {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118 - no dictionary == {torch.float16}
    card = pretrained.card(name)
    assert card["name"] == name
    told = {
        "config",
        "data",
        "objective",
        "seed",
        "batch_size",
        "learning_rate",
        "hardware",
        "torch",
        "seconds",
        "scores",
    }
    assert told <= set(card)
    model = vaelib.load_pretrained(name)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert card["config"]["latent_dim"] == model.latent_dim and card["config"]["hidden"] == list(
        model.hidden
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_model_scores_what_its_card_says(name):
    card, model = pretrained.card(name), vaelib.load_pretrained(name)
    scores = card["scores"]
    images, factors = scored_images(card)
    terms = metrics.elbo_terms(model, images)
    for term in (
        "reconstruction",
        "kl",
        "elbo",
    ):  # nats; one draw of z an image, the same on every machine
        assert getattr(terms, term).mean().item() == pytest.approx(scores[term], abs=0.02)
    active = int((metrics.active_units(model, images) > 0.01).sum())
    assert active == scores["active_units"]
    if factors is None:
        return
    with torch.no_grad():
        codes = torch.cat([model.encode(part)[0] for part in images.split(512)])
    gaps = disentanglement.mig_gaps(codes, factors)
    assert gaps.tolist() == pytest.approx(scores["mig_gaps"], abs=0.01)
    assert gaps.mean().item() == pytest.approx(scores["mig"], abs=0.005)
    assert disentanglement.factor_vae_score(codes, factors) == pytest.approx(
        scores["factor_vae"], abs=0.02
    )
    parts = metrics.kl_decomposition(model, images[:2000], 737_280, points=200)
    total = sum(parts)
    assert total.mean().item() == pytest.approx(scores["kl"], abs=5 * total.std().item() / 200**0.5)


def test_the_beta_vae_gives_x_y_and_scale_a_latent_each():
    card = pretrained.card("sprites-beta-vae")
    gaps = dict(zip(vaelib.load("sprites").factor_names, card["scores"]["mig_gaps"]))
    assert all(gaps[factor] >= 0.4 for factor in ("x", "y", "scale")), gaps

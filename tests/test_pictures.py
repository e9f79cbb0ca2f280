"""Pictures of the pages: each is what its study draws, and shows what its caption says of it."""

import runpy
import sys

import numpy as np
import pytest
import torch
from common import results
from PIL import Image

import vaelib
from notebooks import ROOT

BOOK = ROOT / "book"


@pytest.fixture
def study(monkeypatch):
    """What a file of book/studies/ defines, by its stem; its imports are forgotten afterwards."""
    monkeypatch.syspath_prepend(BOOK / "studies")
    yield lambda stem: runpy.run_path(str(BOOK / "studies" / f"{stem}.py"), run_name="imported")
    for path in (BOOK / "studies").glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def saved(study, monkeypatch, tmp_path):
    """Compares a figure, saved anew as its study saves it, with the picture of the page."""
    reporting = sys.modules.get("reporting") or __import__("reporting")
    monkeypatch.setattr(reporting, "image_path", lambda name: tmp_path / name)

    def same(figure, name: str, **options) -> None:
        reporting.save_picture(figure, name, **options)
        new, old = (
            np.asarray(Image.open(folder / f"{name}.png").convert("L"), float)
            for folder in (tmp_path, BOOK / "images")
        )
        assert new.shape == old.shape
        assert np.abs(new - old).mean() < 1, "the study draws another picture than the page has"

    return same


def spans(axis) -> list[float]:
    """How far each line with dots reaches."""
    return [np.ptp(line.get_xydata(), 0).max() for line in axis.lines]


# chapter 3


def test_the_log_of_the_mean_weight_is_some_nats_above_the_mean_of_the_log(study, saved):
    chapter, digits = study("03-elbo"), results("03-elbo")["digits"]
    data = vaelib.load("mnist-5k", binarize=True)
    figure = chapter["bounds"](data.test[chapter["ONE"]][None] / 255, digits)
    elbo, bound = (line.get_xdata()[0] for line in figure.axes[0].lines)
    assert 3 < bound - elbo < 5
    means = [digits[f"k{k}"]["mean"] for k in (1, 10, 100, 1000)]
    truth = digits["log_evidence"]
    assert means == sorted(means) and means[-1] < truth["mean"] - truth["sd"]
    saved(figure, "03-bounds")


# chapter 4


def test_three_clouds_of_one_mean_and_the_pathwise_one_shows_where_it_is(study, saved):
    chapter = study("04-reparameterization")
    data = vaelib.load("mnist-5k", binarize=True)
    image, model = data.test[1:2] / 255, vaelib.load_pretrained("digits-16")
    draws = chapter["gradient_draws"](model, image, torch.Generator().manual_seed(0), 20_000)
    exact, sd = draws["pathwise"].mean(0), draws["pathwise"].std(0)
    for way in ("score", "score_baseline"):
        error = draws[way].std(0) / 20_000**0.5
        assert ((draws[way].mean(0) - exact).abs() < 5 * error).all()
        assert (draws[way].std(0) / sd).min() > 2
    assert (exact.abs() / sd).topk(2).values.min() > 1.3  # an arrow that the cloud points out
    saved(chapter["one_draw"](data), "04-one-draw")


# chapter 6


def test_which_model_is_better_depends_on_the_convention(study, saved):
    chapter, bits = study("06-likelihoods"), results("06-likelihoods")["bits"]
    figure = chapter["compared"](bits)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    ways = [f"{m}_{w}" for m in ("gaussian", "logistic") for w in ("folded", "cube", "dequantised")]
    assert widths == [bits[way]["mean"] for way in ways]
    assert widths[3] < widths[0] < widths[1] < 8 < widths[4]
    saved(figure, "06-bits")


# chapter 8


def test_the_digits_at_each_price_stand_beside_their_shares(study, saved):
    study("08-beta-vae")
    import beta_vae_pictures as pictures

    figure, found = pictures.digits(results("08-beta-vae")), results("08-beta-vae")["digits"]
    words = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    for row, key in enumerate(("b025", "b1", "b4", "b8", "b16"), start=1):
        for column, kind in enumerate(("reconstruction", "sample")):
            share = f"{100 * found[key][f'legible_{kind}']['mean']:.0f} %"
            assert share in words[2 * row + column], key
    saved(figure, "08-digits", colours=64)


def test_a_dearer_code_of_a_digit_is_wider_and_says_less(study, saved):
    study("08-beta-vae")
    import beta_vae_pictures as pictures

    figure = pictures.best_codes()
    planes = [axis for axis in figure.axes if axis.get_title()]
    rates = [float(axis.get_title().split(":")[1].split()[0]) for axis in planes]
    sizes = [(axis.images[0].get_array() > 0.001).sum() for axis in planes]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 2 < 6 < rates[0]
    assert sizes == sorted(sizes) and sizes[-1] > 20 * sizes[0]
    saved(figure, "08-best-codes")


# chapter 10


def test_the_migs_of_the_seeds_lie_on_the_curve_of_one_model_turned_by_hand(study, saved):
    study("10-measuring")
    import measuring_pictures as pictures

    page = results("10-measuring")
    figure = pictures.turned(page["turned"]["runs"], page["setting"]["scored_images"])
    curve, dots = (line.get_xydata() for line in figure.axes[2].lines)
    assert np.abs(np.interp(dots[:, 0], *curve.T) - dots[:, 1]).max() < 0.02
    assert np.ptp(dots[:, 1]) > 0.2
    saved(figure, "10-turned")


def test_at_the_price_4_two_bars_are_too_short(study, saved):
    study("10-measuring")
    import measuring_pictures as pictures

    figure = pictures.worth(results("10-measuring")["worth"])
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    short = [n for n, bar in zip(names, figure.axes[0].patches) if bar.get_width() < 4]
    assert short == ["shape, orientation unknown", "orientation, shape unknown"]
    saved(figure, "10-worth")


def test_a_turn_is_a_loop_at_the_price_1_and_hardly_a_step_at_4(study, saved):
    study("10-measuring")
    import measuring_pictures as pictures

    figure = pictures.loops()
    rounds = []
    for axis in figure.axes:
        plain, falling = spans(axis)
        assert plain > 4 * falling
        angles = np.arctan2(*axis.lines[0].get_xydata().T)
        rounds.append(abs(np.unwrap(angles)[-1] - angles[0]) / (2 * np.pi))
    assert rounds == pytest.approx([1, 1, 3])
    assert "a tangle that runs round three times" in (BOOK / "10-measuring.md").read_text("utf8")
    saved(figure, "10-loops")


# chapter 12


def test_of_two_reports_one_has_all_latents_in_use_and_the_other_draws_more_digits(study, saved):
    chapter = study("12-your-own")
    from digit_classifier import Judge

    data = vaelib.load("mnist-5k")
    judge, legible = Judge(data, epochs=2), {}
    for name in chapter["REPORTS"]:
        model = vaelib.load_pretrained(name)
        drawn = model.sample(1000, torch.Generator().manual_seed(0))
        legible[name] = (
            judge.legible(drawn),
            judge.legible(model.reconstruct(data.test)),
        )
    (drawn_a, rebuilt_a), (drawn_b, rebuilt_b) = legible.values()
    assert drawn_a < drawn_b and rebuilt_a > rebuilt_b, legible
    figure = chapter["reports"]()
    assert [axis.get_title().split(", ")[1] for axis in figure.axes[::3]] == [
        "16 in use",
        "2 in use",
    ]
    saved(figure, "12-reports")

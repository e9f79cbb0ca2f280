"""What chapters 1 to 6, 8 and 11 say in words about their numbers: a test each on the results.

A claim that the numbers no longer carry fails here, and the page is to be changed with it.
"""

from __future__ import annotations

import json
import math
import runpy

import torch

from notebooks import ROOT

BOOK = ROOT / "book"


def results(name: str) -> dict:
    return json.loads((BOOK / "results" / f"{name}.json").read_text())


def study(monkeypatch, name: str) -> dict:
    """The names that a study defines."""
    monkeypatch.syspath_prepend(BOOK / "studies")
    return runpy.run_path(str(BOOK / "studies" / f"{name}.py"), run_name="imported")


def mean(row: dict) -> float:
    return row["mean"]


# chapter 1


def test_a_normal_fitted_to_the_codes_shrinks_two_defects_and_removes_neither():
    """Exercise 1.6, and the comparison of areas under the planes."""
    found = results("01-latent-variables")
    autoencoder, model = found["autoencoder"], found["model"]
    assert 5 < mean(autoencoder["fitted_far"]) < 0.5 * mean(autoencoder["empty"])
    largest = [
        mean(model["largest_share"]),
        mean(autoencoder["fitted_largest_share"]),
        mean(autoencoder["largest_share"]),
    ]
    smallest = [
        mean(model["smallest_share"]),
        mean(autoencoder["fitted_smallest_share"]),
        mean(autoencoder["smallest_share"]),
    ]
    assert largest[0] > 10 and largest == sorted(largest)
    assert smallest[0] < 10 and smallest == sorted(smallest, reverse=True)


def test_the_twelve_gaps_of_the_picture_are_twelve(monkeypatch):
    """Each has an empty circle of its own, as large as the gaps before it leave room for."""
    apart = study(monkeypatch, "01-latent-variables")["apart"]
    generator = torch.Generator().manual_seed(1)
    codes, midpoints = (torch.randn(n, 2, generator=generator) for n in (300, 2000))
    crosses = apart(midpoints, codes)
    room = torch.cdist(crosses, codes).min(1).values
    distances = torch.cdist(crosses, crosses) + 1e9 * torch.eye(12)
    assert (distances >= room + room.unsqueeze(1)).all()
    assert room[0] == torch.cdist(midpoints, codes).min(1).values.max()
    assert (room.diff() <= 0).all()


# chapter 2


def test_overlap_is_nearly_all_that_a_reverse_fit_pays_less_than_the_bound():
    """Solution 2.3."""
    found = results("02-gaussian-kl")
    for side, weight in (("left", 0.6), ("right", 0.4)):
        bound, component = -math.log(weight), found["components"][side]["reverse"]
        fit = found[side]["reverse"]
        assert bound > component > fit
        assert (bound - component) / (bound - fit) > 0.9
    assert round(-math.log(0.6), 5) == 0.51083 and round(-math.log(0.4), 5) == 0.91629

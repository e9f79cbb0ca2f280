"""The disentanglement scores on codes whose scores are known: identity, constant, duplicated,
rotated, noise.
"""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.metrics import mutual_info_score

from vaelib import disentanglement
from vaelib.disentanglement import beta_vae_score, dci, factor_vae_score, factor_vae_votes, mig, sap

SIZES = (5, 5, 4, 4)
FEW = {"groups": (1200, 1200)}  # groups enough for the tests; the defaults are the protocol's


def grid(sizes=SIZES, repeats: int = 10):
    """Every combination of the factors, ``repeats`` times: (n, F)."""
    return torch.cartesian_prod(*(torch.arange(size) for size in sizes)).repeat(repeats, 1)


def standardised(factors):
    values = factors.double()
    return (values - values.mean(0)) / values.std(0)


def noise(rows: int, columns: int, seed: int = 0):
    return torch.randn(
        rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def rotated(factors):
    """Factors 0 and 1 turned by 45 degrees against each other, and factors 2 and 3."""
    a, b, c, d = standardised(factors).T
    return torch.stack([a + b, a - b, c + d, c - d], 1) / math.sqrt(2)


def entangled(seed: int = 1, rows: int = 3000):
    """Factors of different sizes and five codes that know something of several of them, one of them
    in its sign.
    """
    generator = torch.Generator().manual_seed(seed)
    factors = torch.stack(
        [torch.randint(size, (rows,), generator=generator) for size in (2, 6, 4)], 1
    )
    a, b, c = standardised(factors).T
    codes = torch.stack([a + 0.3 * b, b.tanh(), b + 0.5 * c, -c, a * c], 1)
    return codes + 0.3 * noise(*codes.shape, seed=seed), factors


def sprites_like(n: int = 6000):
    generator = torch.Generator().manual_seed(3)
    return torch.stack([torch.randint(size, (n,), generator=generator) for size in (3, 6, 10)], 1)


# What the histogram measures


def test_mutual_information_is_scikit_learns_of_numpys_histogram():
    codes, factors = entangled()
    ours = disentanglement.mutual_information(codes, factors)
    assert ours.shape == (5, 3)
    for j, code in enumerate(codes.numpy().T):
        binned = np.digitize(code, np.histogram(code, 20)[1][:-1])
        for k, values in enumerate(factors.numpy().T):
            assert ours[j, k].item() == pytest.approx(mutual_info_score(values, binned), abs=1e-12)
    fewer = disentanglement.mutual_information(codes, factors, bins=3)
    assert (fewer < ours).all(), "fewer bins know less"


def test_independent_codes_have_no_information_and_never_less():
    factors = grid((3, 5, 7), repeats=1)
    information = disentanglement.mutual_information(factors.double(), factors)
    assert information.min() == 0
    assert (information - disentanglement.factor_entropy(factors).diag()).abs().max() < 1e-12


def test_factor_entropy_is_scipys():
    _, factors = entangled()
    factors[:1000, 2] = 0
    expected = [scipy.stats.entropy(values.bincount()) for values in factors.T]
    torch.testing.assert_close(
        disentanglement.factor_entropy(factors),
        torch.tensor(expected, dtype=torch.float64),
        rtol=0,
        atol=1e-12,
    )


def test_a_gap_worked_by_hand():
    factors = torch.tensor([[0], [0], [1], [1]])
    codes = torch.tensor([[0.0, 5.0], [0.0, 5.0], [1.0, 5.0], [1.0, 6.0]])
    left = 3 / 4 * (2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3))  # H(v | second code)
    torch.testing.assert_close(
        disentanglement.mutual_information(codes, factors)[:, 0],
        torch.tensor([math.log(2), math.log(2) - left], dtype=torch.float64),
    )
    assert mig(codes, factors) == pytest.approx(left / math.log(2), abs=1e-12)
    rare = torch.tensor([[0], [0], [0], [1]])
    assert mig(rare.double(), rare) == pytest.approx(1, abs=1e-12), (
        "its entropy, not log 2, is what can be known"
    )


def test_twenty_bins_cannot_hold_forty_values():
    factors = grid((40, 3))
    codes = factors.flip(1).float()
    expected = torch.tensor([math.log(20) / math.log(40), 1.0], dtype=torch.float64)
    torch.testing.assert_close(disentanglement.mig_gaps(codes, factors), expected)
    assert mig(codes, factors, bins=40) == pytest.approx(1, abs=1e-12)


def test_noise_has_the_histograms_bias_and_no_more():
    n, values, bins = 4000, 10, 20
    generator = torch.Generator().manual_seed(0)
    codes = torch.rand(n, 20, generator=generator)
    factors = torch.randint(values, (n, 1), generator=generator)
    bias = (bins - 1) * (values - 1) / (2 * n)
    assert disentanglement.mutual_information(codes, factors).mean().item() == pytest.approx(
        bias, rel=0.1
    )


# Codes whose scores are known


def test_identity_scores_one():
    factors = grid()
    codes = torch.cat([standardised(factors), noise(len(factors), 3)], 1)
    shares = dci(codes, factors, stages=20)
    assert mig(standardised(factors), factors) == pytest.approx(1, abs=1e-12)
    assert mig(codes, factors) > 0.95
    assert sap(codes, factors, "r2") > 0.95
    assert beta_vae_score(codes, factors, **FEW) > 0.95
    assert factor_vae_score(codes, factors, **FEW) == 1
    assert min(shares[:3]) > 0.95
    torch.testing.assert_close(
        shares.importance[:4], torch.eye(4, dtype=torch.float64), rtol=0, atol=0.02
    )


def test_the_svm_of_sap_cannot_reach_one_and_falls_with_the_values():
    binary = grid((2, 2, 2), repeats=300)
    assert sap(standardised(binary), binary) == pytest.approx(0.5, abs=0.03), (
        "all right against half right"
    )
    many = grid((30, 30), repeats=6)
    assert disentanglement.sap_matrix(standardised(many), many).diagonal().max() < 0.15


def test_the_svm_of_sap_gives_a_perfect_code_of_ten_values_a_tenth_or_two():
    ten = grid((10, 10), repeats=30)
    scores = [sap(ten.double() + added, ten) for added in (0, -4.5, -9, 20)]
    assert all(0.05 < score < 0.25 for score in scores), "the chapter: about 0.1 to 0.2"
    assert max(scores) - min(scores) > 0.05, "a constant added changes it"


def test_a_factor_split_over_two_codes_is_not_complete():
    factors = grid((4, 3), repeats=50)
    a, b = factors.double().T
    shares = dci(torch.stack([a // 2, a % 2, b], 1), factors, stages=20)
    assert shares.disentanglement == pytest.approx(1, abs=1e-3), "each code serves one factor"
    whole_and_half = (1 + 1 - math.log(2) / math.log(3)) / 2
    assert shares.completeness == pytest.approx(whole_and_half, abs=0.02), (
        "one of two factors needs two of three codes"
    )


def test_constant_codes_score_zero_or_chance():
    factors = grid()
    for codes in (torch.zeros(len(factors), 3), torch.full((len(factors), 1), 7.3)):
        shares = dci(codes, factors, stages=20)
        assert mig(codes, factors) == 0
        assert sap(codes, factors, "r2") == 0
        assert abs(sap(codes, factors)) <= 0.05
        assert shares.disentanglement == shares.completeness == 0
        assert shares.informativeness == pytest.approx(0.225, abs=0.03), (
            "the mean of 1/5, 1/5, 1/4, 1/4"
        )
        assert beta_vae_score(codes, factors, **FEW) == pytest.approx(1 / 4, abs=0.05)
        assert factor_vae_score(codes, factors, **FEW) == 0, "all pruned"


def test_duplicated_codes_have_no_gap():
    factors = grid()
    codes = standardised(factors).repeat(1, 2)
    shares = dci(codes, factors, stages=20)
    assert mig(codes, factors) == 0
    assert sap(codes, factors) == sap(codes, factors, "r2") == 0
    assert shares.disentanglement > 0.95
    assert shares.completeness > 0.95, "of two equal codes the first takes all"
    assert beta_vae_score(codes, factors, **FEW) == 1
    assert factor_vae_score(codes, factors, **FEW) == 1


def test_codes_turned_by_45_degrees_score_low():
    factors = grid(repeats=30)
    codes = rotated(factors)
    shares = dci(codes, factors, stages=20)
    assert mig(codes, factors) == pytest.approx(0, abs=1e-10)
    assert abs(sap(codes, factors)) < 0.03
    assert sap(codes, factors, "r2") == pytest.approx(0, abs=1e-10)
    half = 1 - math.log(2) / math.log(4)
    assert shares.disentanglement == pytest.approx(half, abs=0.1), (
        "each code serves two of four factors"
    )
    assert shares.completeness == pytest.approx(half, abs=0.1), (
        "each factor needs two of four codes"
    )
    assert shares.informativeness > 0.95, "but everything is there"
    assert factor_vae_score(codes, factors, **FEW) == pytest.approx(0.5, abs=0.06), (
        "a coin between the two of a pair"
    )
    assert beta_vae_score(codes, factors, **FEW) == pytest.approx(0.5, abs=0.06)


def test_noise_scores_zero_or_chance():
    factors = sprites_like()
    codes = noise(len(factors), 8)
    shares = dci(codes, factors, stages=20)
    assert mig(codes, factors) < 0.01
    assert sap(codes, factors, "r2") < 0.01
    assert sap(codes, factors) < 0.03
    assert max(shares.disentanglement, shares.completeness) < 0.03
    assert shares.informativeness == pytest.approx((1 / 3 + 1 / 6 + 1 / 10) / 3, abs=0.03), (
        "rows it was fitted on do better"
    )
    assert factor_vae_score(codes, factors, **FEW) == pytest.approx(1 / 3, abs=0.06)
    assert beta_vae_score(codes, factors, **FEW) == pytest.approx(1 / 3, abs=0.06)


def test_the_concentration_of_importances_worked_by_hand():
    concentration = disentanglement._concentration
    shared = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double()  # one code does everything
    assert concentration(shared) == 0 and concentration(shared.T) == 1
    quarter = 1 - (0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / math.log(2)
    weighted = torch.tensor([[3.0, 1.0], [0.0, 2.0]]).double()  # rows weigh 2/3 and 1/3
    assert concentration(weighted) == pytest.approx(2 / 3 * quarter + 1 / 3, abs=1e-6)
    assert concentration(torch.zeros(3, 2).double()) == 0


# What each predictor sees


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_svm_cuts_half_way_between_the_classes_however_rare_one_is(share):
    generator = torch.Generator().manual_seed(0)
    factors = (torch.rand(9000, 1, generator=generator) < share).long()
    codes = factors + 0.5 * noise(9000, 1)
    accuracy = disentanglement.sap_matrix(codes, factors).item()
    assert accuracy == pytest.approx(scipy.stats.norm.cdf(1), abs=0.02)


def test_predictors_are_tested_on_other_rows_than_they_are_fitted_on():
    factors = grid((2, 2), repeats=75)
    codes = standardised(factors)
    fitted, held_out = disentanglement.fit_and_test_rows(len(codes), seed=0)
    assert sorted([*fitted, *held_out]) == list(range(300)) and len(held_out) == 100
    codes[held_out] *= -1
    assert disentanglement.sap_matrix(codes, factors).diagonal().max() == 0, "all wrong"
    assert dci(codes, factors, stages=20).informativeness == 0


def test_r2_is_the_squared_correlation():
    codes, factors = entangled()
    expected = np.corrcoef(codes.numpy().T, factors.numpy().T)[:5, 5:] ** 2
    np.testing.assert_allclose(
        disentanglement.sap_matrix(codes, factors, "r2").numpy(), expected, atol=1e-12
    )


def test_importances_of_a_factor_add_up_to_one():
    codes, factors = entangled()
    shares = dci(codes, factors, stages=20)
    assert shares.importance.shape == (5, 3)
    torch.testing.assert_close(shares.importance.sum(0), torch.ones(3, dtype=torch.float64))
    assert shares.importance.argmax(0).tolist() == [0, 1, 3]


# Groups of rows


def test_the_rows_of_a_group_agree_and_are_drawn_evenly():
    values = torch.tensor([0] * 6 + [1] * 3 + [2] + [3] * 2)[
        torch.randperm(12, generator=torch.Generator().manual_seed(0))
    ]
    rows = disentanglement._rows_that_agree(values, 3000, 4, torch.Generator().manual_seed(0))
    assert rows.shape == (3000, 4)
    assert (values[rows] == values[rows[:, :1]]).all()
    drawn = rows.flatten().bincount(minlength=12)
    assert drawn[values == 2].item() == 0, "a value seen once has no company"
    others = drawn[values != 2]
    assert others.min() > 0.8 * 12_000 / 11 and others.max() < 1.2 * 12_000 / 11


def test_votes_go_to_the_codes_that_hold_the_factor_and_none_to_pruned_ones():
    factors = grid((4, 3))
    a, b = standardised(factors).T
    codes = torch.stack([0.04 * a, 100 * b, 0.06 * a, torch.zeros_like(a)], 1)
    votes = factor_vae_votes(codes, factors, groups=500)
    assert votes.shape == (4, 2) and votes.dtype == torch.int64 and votes.sum() == 500
    assert votes[1, 1] > 200 and votes[2, 0] > 200 and votes[1, 1] + votes[2, 0] == 500
    kept = factor_vae_votes(codes, factors, groups=500, prune=0.03)
    assert kept[0, 0] > 200, "the first of two equal codes, once it is not pruned"


def test_the_majority_is_learned_on_other_groups_than_it_is_scored_on():
    factors = grid((2,) * 6, repeats=20)
    codes = noise(len(factors), 300)
    few = factor_vae_score(codes, factors, groups=(300, 3000), per_group=8)
    assert few == pytest.approx(1 / 6, abs=0.04)
    few = beta_vae_score(codes, factors, groups=(100, 3000), per_group=2)
    assert few == pytest.approx(1 / 6, abs=0.04)


def test_the_factor_vae_score_divides_the_scale_of_a_code_out():
    factors = grid()
    codes = standardised(factors) + 0.3 * noise(len(factors), 4)
    assert factor_vae_score(codes, factors, **FEW) > 0.95
    assert factor_vae_score(codes * torch.tensor([1, 100, 10, 1]), factors, **FEW) > 0.95


def test_a_beta_vae_group_averages_its_pairs():
    codes, factors = entangled()
    scores = [
        beta_vae_score(codes[:, :3], factors, groups=(2000, 2000), per_group=size)
        for size in (1, 64)
    ]
    assert scores[0] < 0.75 < 0.9 < scores[1], (
        "the mean of many differences says more than one difference"
    )


# What must not matter


def test_order_and_sign_of_the_codes_do_not_matter():
    codes, factors = entangled()
    order = torch.tensor([3, 0, 4, 2, 1])
    other = codes[:, order] * torch.tensor([-1, 1, -1, -1, 1])
    torch.testing.assert_close(
        disentanglement.mutual_information(other, factors),
        disentanglement.mutual_information(codes, factors)[order],
        rtol=0,
        atol=1e-12,
    )
    assert mig(other, factors) == pytest.approx(mig(codes, factors), abs=1e-12)
    assert sap(other, factors) == pytest.approx(sap(codes, factors), abs=1e-3)
    assert sap(other, factors, "r2") == pytest.approx(sap(codes, factors, "r2"), abs=1e-12)
    assert torch.equal(
        factor_vae_votes(other, factors, 500), factor_vae_votes(codes, factors, 500)[order]
    )
    assert beta_vae_score(other, factors, **FEW) == pytest.approx(
        beta_vae_score(codes, factors, **FEW), abs=2e-3
    )
    first, second = dci(codes, factors, stages=20), dci(other, factors, stages=20)
    torch.testing.assert_close(second.importance, first.importance[order], rtol=0, atol=0.05)
    assert second[:3] == pytest.approx(first[:3], abs=0.03)


def test_order_and_names_of_the_factors_do_not_matter():
    codes, factors = entangled(rows=600)
    other = (factors * 7 - 20)[:, [2, 0, 1]].to(torch.int32)
    torch.testing.assert_close(
        disentanglement.sap_matrix(codes, other),
        disentanglement.sap_matrix(codes, factors)[:, [2, 0, 1]],
    )
    first, second = disentanglement.scores(codes, factors), disentanglement.scores(codes, other)
    assert second == pytest.approx(first, abs=0.02)
    for key in ("mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness"):
        assert second[key] == pytest.approx(first[key], abs=1e-12)


def test_two_runs_agree_and_leave_the_global_generators_alone():
    codes, factors = entangled(rows=600)
    torch.manual_seed(0), np.random.seed(0)
    first = disentanglement.scores(codes, factors, seed=4)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.manual_seed(0), np.random.seed(0)
    assert (
        torch.equal(torch.get_rng_state(), states[0])
        and (np.random.get_state()[1] == states[1]).all()
    )
    torch.manual_seed(1), np.random.seed(1)
    assert disentanglement.scores(codes, factors, seed=4) == pytest.approx(first, rel=0, abs=1e-12)
    assert list(first) == [
        "beta_vae",
        "factor_vae",
        "mig",
        "sap",
        "dci_disentanglement",
        "dci_completeness",
        "dci_informativeness",
    ]
    assert disentanglement.scores(codes, factors, seed=5) != first


def test_the_table_is_made_of_the_scores_alone():
    codes, factors = entangled(rows=600)
    codes = codes[:, :3] + 4 * noise(
        600, 3
    )  # far from the scores' ends, where every seed gives the same
    shares = dci(codes, factors, seed=2)
    assert disentanglement.scores(codes.float().requires_grad_(), factors, seed=2) == pytest.approx(
        {
            "beta_vae": beta_vae_score(codes, factors, seed=2),
            "factor_vae": factor_vae_score(codes, factors, seed=2),
            "mig": mig(codes, factors),
            "sap": sap(codes, factors, seed=2),
            "dci_disentanglement": shares.disentanglement,
            "dci_completeness": shares.completeness,
            "dci_informativeness": shares.informativeness,
        },
        abs=1e-3,
    )


# Edges


def test_one_latent_is_scored_beside_a_constant():
    factors = grid((2, 3), repeats=200)
    a = standardised(factors)[:, :1]
    both = torch.cat([a, torch.zeros_like(a)], 1)
    for score in (
        mig,
        sap,
        lambda *codes: dci(*codes, stages=20)[:3],
        lambda *codes: beta_vae_score(*codes, **FEW),
    ):
        assert score(a, factors) == pytest.approx(score(both, factors), abs=1e-12)
    assert mig(a, factors) == pytest.approx(0.5, abs=1e-12), "one factor of two"
    assert dci(a, factors, stages=20).completeness == 1
    assert dci(a, factors, stages=20).importance.shape == (1, 2), "the rival is not reported"


ALL = (
    disentanglement.mutual_information,
    disentanglement.mig_gaps,
    mig,
    disentanglement.sap_matrix,
    sap,
    dci,
    beta_vae_score,
    factor_vae_votes,
    factor_vae_score,
    disentanglement.scores,
)


@pytest.mark.parametrize("score", ALL, ids=lambda score: score.__name__)
@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (torch.full((4, 2), math.nan), grid((2, 2), 1), "4 of the 4 codes are not finite"),
        (torch.full((4, 2), math.inf), grid((2, 2), 1), "4 of the 4 codes are not finite"),
        (torch.zeros(5, 2), grid((2, 2), 1), r"these are \(5, 2\) and \(4, 2\)"),
        (torch.zeros(4), grid((2, 2), 1), r"these are \(4,\) and \(4, 2\)"),
        (torch.zeros(4, 1), torch.arange(4), r"these are \(4, 1\) and \(4,\)"),
        (torch.zeros(4, 0), grid((2, 2), 1), r"these are \(4, 0\)"),
        (torch.zeros(0, 2), torch.zeros(0, 2).long(), r"these are \(0, 2\)"),
        (torch.zeros(4, 2), grid((2, 2), 1) + 0.5, "class indices"),
        (torch.zeros(4, 2), grid((4, 1), 1) + 3, "factor 1 has the same value in all rows"),
    ],
    ids=[
        "nan",
        "inf",
        "rows",
        "flat codes",
        "flat factors",
        "no latent",
        "no row",
        "float factors",
        "one value",
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(score, codes, factors, words):
    with pytest.raises(ValueError, match=words) as error:
        score(codes, factors)
    assert "\n" not in str(error.value)


def test_scores_that_compare_factors_need_two():
    codes, factors = entangled()
    for score in (dci, beta_vae_score, factor_vae_votes, factor_vae_score):
        with pytest.raises(ValueError, match="at least 2, not 1"):
            score(codes, factors[:, :1])
    assert mig(codes, factors[:, :1]) > 0.5


def test_other_mistakes_are_said_in_one_line():
    codes, factors = entangled()
    with pytest.raises(ValueError, match=r"'svn'; allowed: 'svm', 'r2'"):
        sap(codes, factors, "svn")
    with pytest.raises(ValueError, match="never has the same value in two rows"):
        factor_vae_votes(codes, torch.stack([torch.arange(3000), factors[:, 0]], 1))


def test_a_scikit_learn_whose_trees_hide_their_gains_is_named():
    with pytest.raises(RuntimeError, match=r"^scikit-learn [\d.]+\S* keeps no `_predictors`.*$"):
        disentanglement._importance(disentanglement.BoostedTrees(), 2)  # not fitted: it has none


def test_saps_machine_is_the_same_at_any_large_scale():
    """On codes of a hundred thousand it stopped before its optimum: 0.28 in place of 0.44."""
    factors = grid((4, 3), 50)
    scores = [sap(factors * scale, factors) for scale in (10.0, 1e3, 1e5, 1e9)]
    assert scores == [scores[0]] * 4 and scores[0] > 0.4
    matrix = disentanglement.sap_matrix(factors * torch.tensor([1e5, 10.0]), factors)
    torch.testing.assert_close(matrix, disentanglement.sap_matrix(factors * 10.0, factors))


def test_no_score_is_below_zero():
    """Importances that are all alike have the greatest entropy, and rounding makes it greater."""
    for size in range(2, 60):
        assert disentanglement._concentration(torch.full((3, size), 1 / size).double()) >= 0


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_rows_too_few_are_said_in_our_own_words(rows):
    factors = torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]])[:rows]
    for score in (sap, dci, disentanglement.scores):
        try:
            score(factors.double(), factors)
        except ValueError as error:
            told = ("give more rows", "no score can speak of it", "no group can share it")
            assert str(error).endswith(told), (score, error)


def test_three_rows_of_which_two_are_fitted():
    factors = torch.tensor([[0, 1], [1, 0], [0, 0]])
    with pytest.raises(ValueError, match="2 of these 3 rows are to fit, and factor 0 has the same"):
        for seed in range(5):
            sap(factors.double(), factors, seed=seed)


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: disentanglement.mutual_information(f.double(), f, bins=0), "bins must be a whole"),
    (lambda f: dci(f.double(), f, stages=0), "stages must be a whole"),
    (lambda f: beta_vae_score(f.double(), f, groups=(0, 5)), "groups must be a whole"),
    (lambda f: beta_vae_score(f.double(), f, groups=(1, 5)), "groups: 1 to fit are too few"),
    (lambda f: factor_vae_score(f.double(), f, per_group=0), "per_group must be a whole"),
    (lambda f: factor_vae_votes(f.double(), f, groups=-1), "groups must be a whole"),
])  # fmt: skip
def test_counts_below_one_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(grid((3, 3)))

"""What the page "What makes codes separate" says of its runs, held against them."""

from common import results

FOUND = results("answers")["separating"]
ROWS = FOUND["rows"]


def test_pairs_separate_and_the_picture_pays():
    pairs, falling = ROWS["ada-gvae"], ROWS["falling-beta"]
    two, one = ROWS["beta-vae-2"], ROWS["beta-vae-1"]
    assert (
        two["kl"]["greatest"] < pairs["kl"]["least"] < pairs["kl"]["greatest"] < one["kl"]["least"]
    )
    for plain in (two, one):
        for score in ("dci_disentanglement", "factor_vae"):
            assert pairs[score]["least"] > plain[score]["greatest"]
        assert pairs["elbo"]["greatest"] < plain["elbo"]["least"]
    assert falling["kl"]["greatest"] < pairs["kl"]["least"] / 2
    assert falling["mig_in_use"]["median"] > pairs["mig_in_use"]["median"]
    assert falling["factor_vae"]["greatest"] < pairs["factor_vae"]["least"]


def test_the_total_correlation_is_in_the_means_not_in_the_drawn_codes():
    row = ROWS["factor-vae"]
    assert row["tc_drawn"]["greatest"] < 0.1 and row["tc_means"]["least"] > 1
    assert row["total_correlation"]["greatest"] < 0.1


def test_uncorrelated_is_neither_independent_nor_separated():
    for method in ("dip-vae-i", "dip-vae-ii"):
        assert ROWS[method]["tc_drawn"]["greatest"] < 0.05
        assert ROWS[method]["total_correlation"]["least"] > 1.5
        assert all(
            ROWS[method]["mig_in_use"]["median"] < row["mig_in_use"]["median"]
            for name, row in ROWS.items()
            if not name.startswith("dip")
        )
    one, plain = ROWS["dip-vae-i"], ROWS["beta-vae-1"]
    assert one["total_correlation"]["least"] > plain["total_correlation"]["greatest"] + 0.5


def test_what_was_trained_explains_half_of_one_score_and_more_of_the_others():
    least, *others = sorted(FOUND["explained"].values())
    assert 0.45 < least < 0.55 < others[0]
    assert FOUND["fewest_seeds"] >= 3

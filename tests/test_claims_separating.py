"""What the page "What makes codes separate" says of its runs, held against them."""

from common import results

from notebooks import ROOT

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
    mig, factor = pairs["mig_in_use"], ROWS["factor-vae"]["mig_in_use"]
    assert mig["least"] < factor["greatest"] < mig["median"], "in MIG one run is not above"


def test_the_total_correlation_is_in_the_means_not_in_the_drawn_codes():
    row = ROWS["factor-vae"]
    assert row["tc_drawn"]["greatest"] < 0.1 and row["tc_means"]["least"] > 1
    assert row["total_correlation"]["greatest"] < 0.1


def test_what_the_means_have_is_but_for_one_run_that_of_latents_switched_off():
    runs = [r for r in results("sprites-answers")["runs"] if r["method"] == "factor-vae"]
    in_use = sorted(r["gaussian_tc"]["in_use"] for r in runs)
    assert in_use[-2] == FOUND["factor_vae_in_use"]["next"] < 0.03
    assert in_use[-1] == FOUND["factor_vae_in_use"]["most"] > 1
    assert min(r["gaussian_tc"]["means"] for r in runs) > 1.5
    assert all(min(r["kl_per_dimension"]) < 0.1 for r in runs), "none has all ten in use"


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


def test_the_objective_explains_a_third_of_one_score_and_more_of_the_others():
    least, *others = sorted(FOUND["explained_alone"].values())
    assert least == FOUND["explained_alone"]["beta_vae"] < 0.5 < others[0]
    for score, share in FOUND["explained"].items():
        assert FOUND["by_chance_alone"] < FOUND["explained_alone"][score] < share < 1
    assert FOUND["by_chance"] == (FOUND["objectives"] - 1) / (FOUND["runs"] - 1)
    assert FOUND["fewest_seeds"] >= 3


def test_one_of_the_objectives_is_another_at_twice_the_learning_rate():
    runs = results("sprites")["runs"] + results("sprites-answers")["runs"]
    kinds = {(r["method"], r["weight"]) for r in runs} - {("falling-beta-half-y", 4)}
    assert len(kinds) == FOUND["objectives"]
    methods = {method for method, _ in kinds}
    assert {m for m in methods if m.endswith("-fast")} == {"falling-beta-fast"}
    assert FOUND["by_chance_alone"] == (len(methods) - 1) / (FOUND["runs"] - 1)


# the published protocol

PROTOCOL = results("answers")["protocol"]
UNDER_PROTOCOL = PROTOCOL["rows"]


def test_the_page_has_the_runs_of_the_protocol_and_all_have_as_many_steps():
    runs = results("protocol")["runs"]
    assert PROTOCOL["runs"] == len(runs) and PROTOCOL["fewest_seeds"] >= 2
    (steps,) = {run["steps"] for run in runs}
    assert (
        PROTOCOL["steps"] == [steps] and 50 < PROTOCOL["setting"]["published_steps"] / steps < 200
    )


def test_under_the_protocol_pairs_come_first_then_prices_on_the_total_correlation():
    pairs = UNDER_PROTOCOL["ada-gvae"]
    priced = [UNDER_PROTOCOL[name] for name in ("beta-tcvae", "factor-vae")]
    plain = [
        UNDER_PROTOCOL[name]
        for name in ("vae", "beta-vae-4", "falling-beta", "dip-vae-i", "dip-vae-ii")
    ]
    others = [row for name, row in UNDER_PROTOCOL.items() if name != "ada-gvae"]
    for score in ("mig_drawn", "dci_disentanglement"):
        assert all(pairs[score]["least"] > row[score]["greatest"] for row in others)
    for score in ("mig_drawn", "factor_vae"):
        for row in priced:
            assert all(row[score]["least"] > other[score]["greatest"] for other in plain)
    vae = UNDER_PROTOCOL["vae"]["elbo"]
    assert all(
        vae["least"] - row["elbo"]["greatest"] >= PROTOCOL["paid"] for row in [*priced, pairs]
    )
    page = (ROOT / "book" / "separating.md").read_text()
    assert "more than {{ answers.protocol.paid | int }} nats less" in page, "rounded down"
    assert PROTOCOL["paid"] > 10


def test_under_the_protocol_falling_beta_is_constant_4():
    falling, four = UNDER_PROTOCOL["falling-beta"], UNDER_PROTOCOL["beta-vae-4"]
    assert abs(falling["mig_drawn"]["median"] - four["mig_drawn"]["median"]) < 0.02
    assert falling["mig_drawn"]["greatest"] < 0.1 < ROWS["falling-beta"]["mig_in_use"]["least"]


def test_under_the_protocol_the_objective_decides():
    assert PROTOCOL["least_explained"] == min(PROTOCOL["explained_alone"].values()) > 0.7
    assert PROTOCOL["by_chance_alone"] < 0.55

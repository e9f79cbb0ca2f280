"""What the pages on lining up claim in words, held against their results; what they print, run."""

import json
import math
import re
import sys
from itertools import pairwise

import pytest
import torch
from common import results

import vaelib
from notebooks import ROOT

BOOK = ROOT / "book"


@pytest.fixture(scope="module")
def found() -> dict:
    return results("answers")


@pytest.fixture
def studies(monkeypatch):
    """book/studies/ first on the path; what is imported from there is forgotten afterwards."""
    monkeypatch.syspath_prepend(BOOK / "studies")
    yield
    for path in (BOOK / "studies").glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_it_came_out_as_predicted(found):
    turned, predicted = found["turned"], found["prediction"]
    degrees = [run["degrees"] for run in turned["runs"]]
    assert len(degrees) == 5 and max(degrees) <= predicted["most_degrees"] == 10
    assert sum(degrees) / 5 < predicted["mean_degrees"] == 5
    assert predicted["rates_apart"] == pytest.approx(math.log(2))
    for run in turned["runs"]:
        assert abs(run["x"]["rate"] - run["y"]["rate"] - math.log(2)) <= 0.2
        assert run["x"]["latent"] != run["y"]["latent"]
    assert turned["angles_as_predicted"] and turned["rates_as_predicted"]
    assert turned["words"] == "{:.1f}, {:.1f}, {:.1f}, {:.1f} and {:.1f}".format(*degrees)
    earlier = [run["x"]["on"] < run["y"]["on"] for run in turned["runs"]]
    assert sum(earlier) == turned["x_first"] > 2, "x pays earlier: another reading"


def test_it_is_compared_with_chapter_10s_runs(found):
    before = [run["degrees"] for run in results("10-measuring")["turned"]["runs"]]
    assert found["turned"]["before"] == before and max(before) > 30
    assert "five seeds of five" in re.sub(r"\s+", " ", (BOOK / "identifiability.md").read_text())
    scale = results("08-beta-vae")["sprites"]["falling4"]
    assert scale["own_scale"] == scale["runs"] == 5


def test_of_the_second_prediction_half_came_out(found):
    on = found["trained_on"]
    halved, whole = on["halved"]["degrees"], on["whole"]["degrees"]
    assert not on["halved_as_predicted"] and halved[-1] > on["halved_below"] == 10
    assert on["whole_as_predicted"] and min(whole) > on["whole_above"] == 20
    assert all(later < earlier for earlier, later in pairwise(halved[1:])), "steadily"
    assert on["halved_falls"] > 3 * on["whole_falls"] > 0
    assert halved[0] > 20 > halved[-1]
    assert "nats at 20 degrees" in (BOOK / "mechanism.md").read_text("utf8")
    assert abs(halved[0] - 30) < 1 and abs(whole[0] - 30) < 4


def test_the_noise_turns_a_finished_model_back_and_adam_alone_does_not(found):
    runs = {(run["seed"], run["axes"]): run["degrees"] for run in found["axes"]["runs"]}
    assert set(runs) == {(0, "both"), (0, "noise"), (0, "adam")}, "the page says: the model"
    assert runs[0, "both"] == found["trained_on"]["halved"]["degrees"]
    half = found["trained_on"]["halved_falls"] / 2
    for who, degrees in ((who, degrees) for (_, who), degrees in runs.items()):
        assert abs(degrees[0] - 30) < 1
        assert (degrees[0] - degrees[-1] > half) == (who != "adam")
        assert found["axes"]["ends"][who] == f"{degrees[-1]:.0f}"
    assert found["axes"]["as_predicted"]


def test_the_noise_is_off_because_training_does_not_rest_and_gauss_and_newton_are(found):
    rest = found["rest"]
    first, later, last = (stage["latents"] for stage in rest["stages"])
    excess = [100 * (row["by_decoder"] / row["averaged"] - 1) for row in first.values()]
    assert 0 < rest["decoder_least"] == min(excess) < max(excess) == rest["decoder_most"] < 10
    apart = [
        [100 * (row["by_variance"] / row["averaged"] - 1) for row in stage.values()]
        for stage in (first, later, last)
    ]
    assert min(apart[0]) == rest["apart"][0]["y"] < -10 and max(apart[1]) > 5, "to the other side"
    assert max(map(abs, apart[2])) == rest["apart_at_rest"] < 3.5
    assert 0.02 < rest["costs"] < 0.03
    assert rest["stages"][2]["learning_rate"] == rest["stages"][1]["learning_rate"] / 10


@pytest.mark.parametrize("who", ["both", "noise", "adam"])
def test_a_turned_model_keeps_what_only_one_of_them_may_know(studies, who):
    import answers

    model = vaelib.VAE((1, 8, 8), 3, convs=(), hidden=8)
    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before, weight = model.reconstruct(x), model.to_mean.weight.detach().clone()
    answers.turn(model, [0, 2], 30.0, who)
    assert (model.reconstruct(x) - before).abs().max() < 1e-5
    assert (model.to_mean.weight - weight).abs().max() > 0.01
    trained = dict(model.named_parameters())
    as_they_were = trained.get("to_mean.parametrizations.weight.original")
    assert (as_they_were is not None and torch.equal(as_they_were, weight)) == (who == "noise")
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    (model.encode(x)[1] * torch.tensor([1.0, 1.0, -1.0])).sum().backward()
    optimizer.step()
    even = torch.equal(*model.encode(x)[1][:, [0, 2]].T)
    assert even == (who == "adam")


def test_the_averaged_curvature_of_a_straight_decoder_is_exact(studies, monkeypatch):
    import answers

    model = vaelib.VAE((1, 4, 4), 2, convs=(), hidden=(), likelihood="gaussian", sigma=0.5)
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 1, 4, 4), generator=g, dtype=torch.uint8)
    monkeypatch.setattr(answers.study, "IN_USE", -1.0)
    found = answers.averaged_curvatures(model, images, draws=2000)
    columns = model.decoder[0].weight.square().sum(0) / 0.25
    for j, row in found.items():
        assert row["averaged"] == pytest.approx(columns[int(j)].item(), rel=0.05)


def test_the_encoders_noise_obeys_the_decoders_curvature(found):
    rows = found["prediction"]["latents"].values()
    assert all(abs(row["by_variance"] / row["by_decoder"] - 1) < 0.2 for row in rows)
    names = [line.split("|")[1].strip() for line in found["latents_table"].splitlines()[2:]]
    assert names == ["x", "y", "scale"]
    x, y, scale = sorted((row["by_variance"] for row in rows), reverse=True)
    assert x / y < 1.2 and x / scale > 10
    runs = found["turned"]["runs"]
    ratios = [
        (run["x"]["inverse_variance"] - 1) / (run["y"]["inverse_variance"] - 1) for run in runs
    ]
    assert all(4 < ratio < 6 for ratio in ratios), "a quarter of the curvature, nearly"


def test_the_study_prices_a_turn_as_the_equation_does(studies, found):
    import answers

    predicted = found["prediction"]
    x, y = sorted(row["by_variance"] for row in predicted["latents"].values())[:0:-1]
    for key, second in (("cost_of_turning", y), ("cost_of_turning_halved", y / 4)):
        for degrees, cost in predicted[key].items():
            k, sine = (x / 4, second / 4), math.sin(2 * math.radians(float(degrees)))
            want = 2 * math.log1p(((k[0] - k[1]) * sine) ** 2 / (4 * (1 + k[0]) * (1 + k[1])))
            assert cost == pytest.approx(want, rel=1e-6)
            turned = answers.cost_of_turning((x, second), 4, float(degrees))
            assert cost == pytest.approx(turned, rel=1e-6)


@pytest.mark.parametrize(("degrees", "seen"), [(0, 0), (17, 17), (45, 45), (60, 30), (90, 0)])
def test_a_turn_is_measured(studies, degrees, seen):
    from turning import standardised, turned_against

    g = torch.Generator().manual_seed(degrees)
    factors = standardised(torch.rand(20_000, 2, generator=g, dtype=torch.float64))
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    pair = factors @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    noisy = pair + 0.1 * torch.randn(pair.shape, generator=g, dtype=torch.float64)
    for flipped in (noisy, noisy.flip(1), noisy * torch.tensor([1, -1])):
        angle, back = turned_against(standardised(flipped), factors)
        assert angle == pytest.approx(seen, abs=0.7)
        straight = standardised(flipped) @ back
        assert torch.corrcoef(torch.cat([straight, factors], 1).T)[0, 2] > 0.98


def test_turning_a_model_keeps_its_pictures(studies):
    import answers

    model = vaelib.load_pretrained("sprites-beta-vae")
    images = vaelib.load("sprites", image_size=32).sample(20, torch.Generator().manual_seed(0))[0]
    before = model.reconstruct(images)
    answers.turn(model, [3, 8], 30.0)
    assert (model.reconstruct(images) - before).abs().max() < 1e-4
    model.decoder[0].weight.data[:, 3] *= -1
    assert (model.reconstruct(images) - before).abs().max() > 0.1


def python_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (BOOK / page).read_text(), re.M | re.S)


def test_the_code_of_the_page_on_the_mechanism_runs():
    model, g = vaelib.VAE((1, 8, 8), 3, convs=(), hidden=8), torch.Generator().manual_seed(0)
    names = {"torch": torch, "model": model, "z": torch.randn(3, generator=g), "beta": 2.0}
    (code,) = python_of("mechanism.md")
    exec(code, names)
    assert names["J"].shape == (64, 3) and names["cost"] > names["bound"] > 0


def test_the_code_of_the_page_on_identifiability_mixes_and_keeps_the_law():
    snippet, solution = python_of("identifiability.md")
    law = [torch.distributions.Uniform(-1.0, 1.0), torch.distributions.Exponential(1.0)]
    U = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    names = {"torch": torch, "law": law, "U": U, "decoder": lambda z: z.sum(1)}
    exec(snippet, names)
    torch.manual_seed(0)
    z = torch.stack([p.sample((20_000,)) for p in law], 1)
    mixed = names["mix"](z)
    for j, p in enumerate(law):
        ranks = p.cdf(mixed[:, j]).sort().values
        assert (
            ranks - torch.linspace(0, 1, len(z))
        ).abs().max() < 0.015  # Kolmogorov and Smirnov's
    assert torch.corrcoef(torch.cat([mixed, z], 1).T)[:2, 2:].abs().min() > 0.4
    assert torch.equal(names["second_decoder"](z), mixed.sum(1))

    names = {"torch": torch}
    exec(solution, names)
    g = torch.Generator().manual_seed(1)
    zero, one = torch.randn(2, 50_000, 3, generator=g)
    one = one * torch.tensor([1.0, 2.0, 4.0]).sqrt()
    A = torch.randn(3, 3, generator=g)
    found = names["axes"](zero @ A.T, one @ A.T) @ A  # a scaled permutation
    shares = found.abs() / found.abs().sum(1, keepdim=True)
    assert (shares.max(1).values > 0.9).all() and sorted(shares.argmax(1).tolist()) == [0, 1, 2]


def test_the_results_hold_the_records_that_they_are_made_of(studies):
    import answers

    records = json.loads((BOOK / "results" / "sprites-answers.json").read_text())["runs"]
    records = [record for record in records if record["method"] == answers.study.HALF_Y]
    assert [answers.study.key_of(record) for record in records] == answers.HALVED
    for record, run in zip(records, results("answers")["turned"]["runs"]):
        assert record["mig"] == run["mig"] and record["seed"] == run["seed"]
        rates = record["kl_per_dimension"]
        assert rates[run["x"]["latent"]] == pytest.approx(run["x"]["rate"], abs=0.05)

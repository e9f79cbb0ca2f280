"""The studies: each page has one, and what they make of stored results is what the pages show."""

import math
import os
import re
import runpy
import shutil
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from common import results

import vaelib
from notebooks import ROOT

BOOK = ROOT / "book"
STUDIES = sorted((BOOK / "studies").glob("*.py"))
CHAPTERS = [path for path in STUDIES if path.name[0].isdigit()]
STEMS = [path.stem for path in CHAPTERS]
LONG = ("sprites", "peers", "gallery", "literature", "grey_digits", "beside_pythae", "protocol")
OTHERS = (*LONG, "start", "answers")
RUNS = ("sprites-answers",)  # what a study of OTHERS trained, beside what it says of it


@pytest.fixture
def studies(monkeypatch):
    """book/studies/ first on the path; what is imported from there is forgotten afterwards."""
    monkeypatch.syspath_prepend(BOOK / "studies")
    yield
    for name in {path.stem for path in STUDIES} & set(sys.modules):
        del sys.modules[name]


@pytest.fixture
def reporting(studies):
    import reporting

    return reporting


def test_every_page_has_a_study_and_every_study_a_page():
    pages = sorted(path.stem for path in BOOK.glob("[0-9][0-9]-*.md"))
    assert pages == STEMS


def test_results_are_those_of_the_chapters_of_the_first_page_and_of_the_long_studies():
    assert sorted(path.stem for path in (BOOK / "results").iterdir()) == sorted(
        [*STEMS, *OTHERS, *RUNS]
    )
    for name in OTHERS:
        assert (BOOK / "studies" / f"{name}.py").exists(), name


def test_every_picture_is_on_its_chapters_page():
    for picture in (BOOK / "images").glob("[0-9][0-9]-*"):
        (page,) = BOOK.glob(f"{picture.name[:2]}-*.md")
        assert f"images/{picture.name}" in page.read_text(), picture.name


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_imports_without_running(studies, path, capsys):
    names = runpy.run_path(str(path), run_name="imported")
    assert capsys.readouterr().out == ""
    runs = "__main__" in path.read_text()
    assert runs == ("main" in names) and (runs or path not in CHAPTERS)


def test_every_command_that_results_cards_and_texts_name_is_there():
    texts = [path for folder in ("results", "studies") for path in (BOOK / folder).glob("*.*")]
    texts += [*BOOK.glob("*.md"), *(ROOT / "vaelib" / "pretrained").glob("*.json")]
    texts += [*(ROOT / "benchmarks").glob("*.*"), *(ROOT / "benchmarks" / "results").glob("*.json")]
    scripts = {
        s for t in texts for s in re.findall(r"(?:book|benchmarks)/[\w/-]+\.py", t.read_text())
    }
    assert len(scripts) > 15
    assert {script for script in scripts if not (ROOT / script).exists()} == set()


def test_the_hardware_is_what_trained(reporting, monkeypatch):
    monkeypatch.setattr(reporting.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(reporting.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the card {device}")
    assert reporting.hardware("cpu") == "8 cores, x86_64, no GPU"
    assert reporting.hardware("cpu", 2) == "2 of 8 cores, x86_64, no GPU"
    assert reporting.hardware("cuda:1") == "the card cuda:1"
    assert reporting.machine("cuda")["hardware"] == "the card cuda"


def test_a_command_is_named_from_the_root(reporting, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(BOOK / "studies" / "05-vae.py")])
    assert reporting.machine("cpu")["command"] == "python book/studies/05-vae.py"


def test_a_missing_result_is_one_line_that_says_what_makes_it(reporting):
    with pytest.raises(SystemExit) as refusal:
        reporting.read_json(ROOT / "book" / "results" / "none.json", "book/studies/sprites.py")
    assert str(refusal.value) == (
        "book/results/none.json is missing: python book/studies/sprites.py makes it"
    )


def test_a_kept_measurement_is_made_once_and_not_when_time_is_over(reporting, tmp_path):
    path, calls = tmp_path / "made" / "run.json", []

    def measure() -> dict:
        calls.append(1)
        return {"elbo": -1.5}

    with pytest.raises(SystemExit, match="out of time"):
        reporting.cached(path, 0.0, measure)
    assert not calls
    for _ in range(2):
        assert reporting.cached(path, float("inf"), measure) == {"elbo": -1.5}
    assert len(calls) == 1 and reporting.cached(path, 0.0, measure) == {"elbo": -1.5}


def test_chapter_10_tabulates_the_study_of_sprites(studies):
    import in_use
    import measuring_tables
    import sprites

    runs, page = in_use.scored(sprites.read_study()["runs"]), results("10-measuring")
    groups = measuring_tables.by_setting(runs)
    assert measuring_tables.table(groups, page["reference"]) == page["table"]
    assert measuring_tables.gap_table(groups) == page["gap_table"]
    assert measuring_tables.factor_extremes(runs) == page["factors"]
    assert measuring_tables.recurring(runs) == page["recurring"]
    assert measuring_tables.peers(results("peers"))["table"] == page["peers"]["table"]


def test_a_run_of_sprites_scores_drawn_codes_and_latents_in_use(studies, monkeypatch, tmp_path):
    import in_use
    import sprites

    tiny = {"STEPS": 100, "BATCH_SIZE": 16, "SCORED": 600, "MODELS": tmp_path}
    for name, value in tiny.items():
        monkeypatch.setattr(sprites, name, value)
    few_trees = partial(sprites.disentanglement.dci, stages=2)
    monkeypatch.setattr(sprites.disentanglement, "dci", few_trees)
    threads = torch.get_num_threads()
    record = sprites.run("beta-vae", 3, 0)
    torch.set_num_threads(threads)
    assert sprites.model_path(("beta-vae", 3, 0)).exists()
    assert record["drawn"].keys() == record["in_use"].keys() < record.keys()
    assert len(record["in_use"]["information"]) == sum(in_use.used(record)) in range(2, 10)
    assert record["in_use"]["mig_gaps"] == pytest.approx(in_use.gaps_in_use(record), abs=2e-4)
    assert record["drawn"]["information"] != record["information"]


def test_chapter_8_sums_up_the_study_of_sprites(studies):
    import beta_vae_tables
    import sprites

    rows, page = (
        beta_vae_tables.summarise_sprites(sprites.read_study()["runs"]),
        results("08-beta-vae"),
    )
    assert rows.keys() == page["sprites"].keys()
    for name, row in rows.items():
        assert row["rate"]["text"] == page["sprites"][name]["rate"]["text"]
        assert row["own_three"] == page["sprites"][name]["own_three"]
        for factor in ("scale", "x", "y"):
            assert row[f"cell_{factor}"] == page["sprites"][name][f"cell_{factor}"]
    runs = sprites.read_study()["runs"]
    assert beta_vae_tables.standing(runs) == page["standing"]
    assert beta_vae_tables.switched_on(runs) == page["switched_on"]


def test_chapter_9_brackets_the_study_of_sprites(studies):
    import elbo_surgery_tables as tables
    import sprites

    runs, page = sprites.read_study()["runs"], results("09-elbo-surgery")
    settings = {(r["method"], r["weight"]) for r in runs if r["method"] in tables.KINDS}
    kinds = {key: page[key] for key in (tables.key_of(*setting) for setting in settings)}
    assert tables.ratios(kinds) == page["ratios"]
    assert tables.at_equal_terms(kinds) == page["equal_terms"]
    assert tables.missing(kinds) == page["missing"]
    assert tables.image_entropy() == page["image_entropy"]
    assert tables.order(kinds, runs) == pytest.approx(page["order"])
    assert tables.with_brackets(page["differences"], kinds) == page["differences"]
    for key, figures in kinds.items():
        assert tables.with_words(figures) == {part: figures[part] for part in figures}, key


@pytest.fixture
def dimension(studies) -> dict:
    """The names that the study of chapter 7 defines."""
    return runpy.run_path(str(BOOK / "studies" / "07-latent-dimension.py"), run_name="imported")


def test_chapter_7_chooses_on_digits_that_it_neither_trains_on_nor_reports(dimension):
    data = vaelib.load("mnist-5k", binarize=True)
    parts = dimension["split"](data)
    assert torch.equal(parts.train, data.train[:4000]) and parts.binarize
    assert len(parts.test) == 500 and parts.test_labels.bincount().tolist() == [50] * 10
    grey = data.train[4000:] / 255
    assert parts.test.unique().tolist() == [0, 1]
    assert abs((parts.test - grey).mean()) < 0.002 and (parts.test[grey == 1] == 1).all()


def test_chapter_7_keeps_the_best_weights_and_stops_when_nothing_is_better(dimension):
    watch, model = dimension["Best"](patience=2), torch.nn.Linear(1, 1)
    history = SimpleNamespace(test={"elbo": []})
    for elbo in (-3.0, -1.0, -2.0):
        model.weight.data.fill_(elbo)
        history.test["elbo"].append(elbo)
        watch(model, history)
    history.test["elbo"].append(-1.5)
    with pytest.raises(dimension["Stands"]):
        watch(model, history)
    assert watch.epoch == 2 and watch.weights["weight"].item() == -1.0


def test_the_grid_of_chapter_7_finds_the_evidence_of_a_linear_model(dimension):
    torch.manual_seed(0)
    model = vaelib.VAE((1, 1, 3), 1, convs=(), hidden=(), likelihood="gaussian", sigma=0.3).eval()
    with torch.no_grad():
        b, at_one = (model.decode(torch.full((1, 1), z)).view(3) for z in (0.0, 1.0))
    W = at_one - b
    covariance = torch.outer(W, W) + 0.3**2 * torch.eye(3)
    images = torch.tensor([[0, 100, 200], [255, 30, 60]], dtype=torch.uint8).view(2, 1, 1, 3)
    truth = torch.distributions.MultivariateNormal(b, covariance).log_prob(images.view(2, 3) / 255)
    found = dimension["exact_log_likelihood"](model, images)
    assert torch.allclose(found, truth.double(), atol=1e-4)


def test_free_bits_charge_at_least_so_much_a_latent(dimension):
    mean, log_var = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    loss = dimension["free_bits"](0.5)(torch.tensor([-90.0, -80.0]), mean, log_var, mean, 0)
    assert loss.item() == pytest.approx(85 + 1.0 + 0.5)  # the mean KL of the first is 1 nat
    warm = dimension["objective_of"]("warm_up")
    ends = [warm(torch.zeros(2), mean, log_var, mean, step).item() for step in (0, 400, 800, 900)]
    assert ends == pytest.approx([0, 0.5, 1.0, 1.0])


def test_chapter_7_tabulates_its_results(studies):
    import latent_dimension_tables as tables

    found = results("07-latent-dimension")
    assert {name: getattr(tables, name)(found) for name in found["tables"]} == found["tables"]


def test_chapter_11_tabulates_the_gallery_and_the_literature(studies):
    import literature

    page, chapter = results("11-gallery"), runpy.run_path(str(BOOK / "studies" / "11-gallery.py"))
    gallery = results("gallery")
    assert chapter["gallery_table"](gallery["runs"], gallery["other_seeds"]) == page["table"]
    assert literature.table(results("literature")) == page["literature"]
    assert literature.photograph_table(results("literature")) == page["photographs"]
    estimated = {"MNIST": page["nll_by_k"]["1"], "Fashion-MNIST": page["clothes"]}
    assert chapter["published_table"](page["runs"], estimated) == page["published_table"]


def test_chapter_11_tabulates_the_bits_of_digits(studies):
    import grey_digits

    grey = results("grey_digits")
    shown = {**grey, "table": grey_digits.table(grey)}
    assert results("11-gallery")["grey_digits"] == shown


def test_pixels_by_their_frequencies(studies):
    """Two training images of two pixels: (0, 7) and (0, 9); one is added to each of 256 counts."""
    import grey_digits

    train = torch.tensor([[0, 7], [0, 9]], dtype=torch.uint8).view(2, 1, 1, 2)
    test = torch.tensor([[0, 7], [1, 200]], dtype=torch.uint8).view(2, 1, 1, 2)
    nats = sum(-math.log(count / 258) for count in (3, 2, 1, 1)) / 2
    assert grey_digits.by_frequency(train, test) == pytest.approx(nats / 2 / math.log(2))


def test_histograms_of_codes_save_what_their_marginals_miss(studies):
    import fitted_prior

    def drawn(seed):
        """Of two latents: the prior, and a Laplace law of variance 1."""
        torch.manual_seed(seed)
        laplace = torch.distributions.Laplace(0.0, 0.5**0.5).sample((100_000, 1))
        return torch.cat([torch.randn(100_000, 1), laplace], 1).double()

    first, second = drawn(0), drawn(1)
    saved, error = fitted_prior.saved_by_histograms(first, second)
    missed = 0.5 * math.log(math.pi) - 0.5  # KL(Laplace | normal)
    assert 0.7 * missed < saved < missed and error < 2e-3  # the last bins see no tails
    assert fitted_prior.saved_by_histograms(first[:, :1], second[:, :1])[0] < 1e-3
    assert torch.allclose(fitted_prior.kurtosis(first), torch.tensor([3.0, 6.0]).double(), atol=0.3)


def test_the_gallerys_table_tells_the_spread_over_seeds_where_there_are_several(studies):
    chapter = runpy.run_path(str(BOOK / "studies" / "11-gallery.py"))
    rows = results("gallery")["runs"][:2]
    others = [{**rows[1], "seed": seed, "elbo": rows[1]["elbo"] + seed} for seed in (1, 2, 3, 4)]
    head, _, first, second = chapter["gallery_table"](rows, others).splitlines()
    assert "over seeds" in head and first.endswith("|  |")
    # of 0 to 4 the mean is 2 and the standard error sqrt(2.5 / 5)
    assert f"| {rows[1]['elbo'] + 2:.1f} ± 0.7 (5 seeds) |" in second
    assert "seeds" not in chapter["gallery_table"](rows, [])


def test_chapter_11_compares_the_libraries(studies):
    import beside_pythae

    found, page = results("beside_pythae"), results("11-gallery")["beside"]
    assert beside_pythae.summary(found) == page["arms"]
    assert beside_pythae.table(found) == page["table"]
    assert all(page[key] == found[key] for key in page.keys() & found.keys())


def test_a_lead_over_pythae_is_of_the_same_seeds_and_positive_where_vaelib_is_better(studies):
    import beside_pythae

    def run(library: str, seed: int, nats: float, seconds: float) -> dict:
        measured = {"own_loss": nats, "nll": nats - 5, "elbo": -nats, "kl": 20.0}
        names = {"arm": "vae", "library": library, "seed": seed}
        return {**names, **measured, "seconds": seconds}

    ours = [run("vaelib", seed, 100 + seed, 2) for seed in range(5)]
    theirs = [run("pythae", seed, 101 + seed, 2 + seed) for seed in reversed(range(5))]
    row = beside_pythae.compared([*theirs, *ours], "vae")
    assert row is not None and beside_pythae.compared([*ours, *theirs[:2]], "vae") is None
    for name in ("own_loss", "nll", "elbo"):
        assert row[f"lead_{name}"] == {"mean": 1, "error": 0}
    assert row["vaelib"]["own_loss"]["mean"] == 102
    assert row["ratio"] == {"median": 2, "least": 1, "most": 3}


def test_without_pythae_the_comparison_says_so_in_one_line(studies, monkeypatch):
    import beside_pythae

    monkeypatch.setattr(sys, "argv", ["beside_pythae.py"])
    monkeypatch.setattr(beside_pythae.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^pythae is not installed here: "):
        beside_pythae.main()


def test_make_studies_goes_on_after_one_that_cannot(tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$1" in *08-*) exit 1;; esac\n')
    python.chmod(0o755)
    command = [shutil.which("make"), "--assume-old=.venv/.ready", "studies", f"BIN={tmp_path}"]
    own = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    run = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True)
    assert run.returncode != 0
    assert run.stdout.split() == [f"book/studies/{stem}.py" for stem in STEMS]
    assert "not measured: book/studies/08-beta-vae.py\n" in run.stderr

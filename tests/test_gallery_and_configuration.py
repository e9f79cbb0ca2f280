"""The live figures of chapters 11 and 12: the gallery's runs, and what a configuration builds."""

import base64
import io
import json
import random
import re
from functools import cache

import pytest
import torch
from common import results
from course import live_data
from PIL import Image
from test_live import figure, html  # noqa: F401, fixtures

import vaelib
from notebooks import ROOT
from vaelib.experiments.config import ConfigError, read
from vaelib.experiments.from_config import build_model

RUNS = {row["name"]: row for row in results("gallery")["runs"]}


def picture(address: str) -> Image.Image:
    head, data = address.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("L")


def test_the_gallery_shows_each_runs_numbers(figure):  # noqa: F811
    gallery = figure("gallery")
    seen = set()
    for name in random.Random(11).sample(sorted(RUNS), len(RUNS)):
        gallery.set(run=name)
        run = RUNS[name]
        want = {
            "distortion D": run["reconstruction"],
            "rate R, the KL": run["kl"],
            "ELBO = −D − R": run["elbo"],
            "descended: D + β R": run["reconstruction"] + run["beta"] * run["kl"],
            "latents whose mean moves (variance above 0.01)": run["active_units"],
            "latents of more than 0.1 nats": sum(kl > 0.1 for kl in run["kl_per_dimension"]),
            "training on one core": run["seconds"] / 60,
        }
        if name == "sprites":
            del want["descended: D + β R"]
        assert gallery.numbers() == pytest.approx(want, rel=1e-4), name
        assert run["elbo"] == pytest.approx(-run["reconstruction"] - run["kl"], abs=1e-3)
        assert gallery.element.locator("svg.live-latents rect").count() == run["latents"]
        assert f"--only {name}" in gallery.element.inner_text()
        images = gallery.element.locator(".live-strip:not([hidden]) img")
        kinds = 1 if name == "sprites" else 3
        assert images.count() == kinds
        seen.add(images.nth(kinds - 1).get_attribute("src"))
    assert len(seen) == len(RUNS), "every run has pictures of its own"


@pytest.mark.parametrize("name", ["mnist-z2", "mnist-z16", "mnist-z2-beta4"])
def test_the_gallerys_strips_are_the_runs_own(figure, name):  # noqa: F811
    """Of the models that are shipped: the samples drawn again are those of the strip."""
    gallery = figure("gallery")
    gallery.set(run=name)
    shown = picture(gallery.element.locator(".live-strip img").nth(2).get_attribute("src"))
    drawn = vaelib.load_pretrained(name).sample(8, torch.Generator().manual_seed(5))
    ink = 1 - torch.tensor(list(shown.resize((224, 28)).getdata())).view(28, 224) / 255
    cells = ink.view(28, 8, 28).permute(1, 0, 2)
    for i, j in ((i, j) for i in range(8) for j in range(8)):
        match = torch.corrcoef(torch.stack([cells[i].flatten(), drawn[j].flatten()]))[0, 1]
        assert (match > 0.97) == (i == j) or torch.equal(drawn[i], drawn[j]), (i, j)


def test_at_the_price_150_all_reconstructions_are_one(figure):  # noqa: F811
    gallery, differ = figure("gallery"), {}
    for name in ("mnist-z2", "mnist-z2-beta150"):
        gallery.set(run=name)
        shown = picture(gallery.element.locator(".live-strip img").nth(1).get_attribute("src"))
        cells = torch.tensor(list(shown.resize((224, 28)).getdata())).view(28, 8, 28) / 255
        differ[name] = cells.std(1).max().item()
    assert differ["mnist-z2-beta150"] < 0.05 < 0.3 < differ["mnist-z2"]


def test_a_picker_keeps_the_other_where_such_a_run_was_trained_and_says_so_where_not(
    figure,  # noqa: F811
):
    gallery = figure("gallery")
    gallery.set(run="mnist-z16")
    gallery.element.locator("fieldset:visible", has_text="β").get_by_label("150").check()
    assert gallery.get()["run"] == "mnist-z2-beta150"
    said = "With beta 150 and 16 latents no run was trained; this one has 2 latents."
    assert said in gallery.element.inner_text()
    gallery.element.get_by_role("combobox", name="Data set").select_option("Fashion-MNIST")
    gallery.element.locator("fieldset:visible", has_text="β").get_by_label("3").check()
    gallery.element.locator("fieldset:visible", has_text="Latents").get_by_label("16").check()
    assert gallery.get()["run"] == "fashion-z16-beta3"
    assert "no run was trained" not in gallery.element.inner_text()


# what people write into a configuration, and what they write wrong
WORDS = {
    "dataset": ["MNIST", "FashionMNIST", "CIFAR10", "mnist-5k", "sprites", "dsprites", "folder"],
    "path": ["pictures"],
    "image_size": ["32", "64", "28", "0", "5000", "6.5", "big", "128"],
    "colour": ["yes", "no", "YES"],
    "conv_channels": [
        *("[16, 32]", "[8]", "[8, 8, 8]", "16", "[]", "(4, 4)", "[4,]", "4, 8", "[0]", "[16 32]"),
        *("[1.5]", "sixteen", "[[4]]", "[8, 16", "0x10", "[1_6]", "[08]", "(8)", "[,]", ",", "-4"),
    ],
    "conv_kernel_sizes": [
        *("[(4, 4), (4, 4)]", "[4, 4]", "[(7, 7), (5, 5)]", "[(40, 3), (3, 3)]", "[(3, 3)]"),
        *("(3, 3)", "[(3, 3, 3), 3]", "[3]", "3", "[(9, 9), (30, 30)]", "[(0, 3), (3, 3)]"),
    ],
    "conv_strides": ["[2, 2]", "[(1, 1), (2, 2)]", "[(2, 2)]", "[0, 0]", "[(3, 2), 1]"],
    "conv_paddings": ["[0, 0]", "[(1, 1), (0, 0)]", "[1]", "[-1, 0]", "[(20, 20), 2]"],
    "z_dimension": ["8", "2", "0", "eight", "2.0", "1e1", "-3", "+3", "2147483648", "8 # few", "#"],
    "hidden": ["[128]", "[]", "128", "[256, 64]", "[1000000000]", "none", "[1e3]"],
    "likelihood": ["bernoulli", "gaussian", "continuous-bernoulli", "discretised-logistic"],
    "sigma": ["learnt", "optimal", "0.1", "0", "-1", "1", "2e-5", "learned", "1e400", ".5", "5."],
    "epochs": ["15", "0", "ten", "3.0", "1"],
    "steps": ["100", "0"],
    "batch_size": ["100", "0", "64.0"],
    "learning_rate": ["2e-3", "1", "0", "-1", "fast"],
    "beta": ["2", "0", "0.5", "-1", "b", "1e-7", "3e16", "12345678.25", "True"],
    "schedule": [
        *("constant", "warm-up 300", "warm-up", "warm-up 0", "linear 0 100", "linear 1 2.5"),
        *("falling 16 500", "falling 0 500", "cyclical 1", "tc", "tc warm-up 10", "tc iwae"),
        *("iwae", "capacity 25 1000 100", "capacity 25", "warmup 3", "Constant"),
    ],
}


def some_values(g: random.Random) -> dict[str, str]:
    """A whole configuration with up to four keys changed or taken away."""
    values = {"dataset": g.choice(WORDS["dataset"]), "z_dimension": "8", "beta": "2"}
    values |= {"conv_channels": "[16, 32]", "hidden": "[32]"}
    values["steps" if "sprites" in values["dataset"] else "epochs"] = "5"
    if values["dataset"] == "folder":
        values |= {"path": "pictures", "image_size": g.choice(["32", "64"])}
    for key in g.sample(sorted(WORDS), g.randint(0, 4)):
        values[key] = g.choice(WORDS[key])
        if g.random() < 0.1:
            del values[key]
    return values


@cache
def built(text: str) -> tuple[str, list | None]:
    """vaelib's sentence, or none and the sizes and weights of its model's layers."""
    path = "my.cfg"
    with open(path, "w") as file:
        file.write(text)
    try:
        config = read(path).variation("B-VAE")
        model = build_model(config).eval()
    except ConfigError as error:
        return str(error), None
    layers: list = []

    def note(layer, _, output):
        layers.append([list(output.shape[1:]), sum(p.numel() for p in layer.parameters())])

    for layer in model.modules():
        if hasattr(layer, "weight"):
            layer.register_forward_hook(note)
    with torch.no_grad():
        model.decode(model.encode(torch.rand(1, *config.image_shape))[0])
    if isinstance(getattr(model, "log_sigma", None), torch.nn.Parameter):
        layers.append([[1], 1])
    assert sum(own for _, own in layers) == sum(p.numel() for p in model.parameters())
    return "", [[list(config.image_shape), 0], *layers]


def test_the_configuration_says_what_vaelib_says(figure, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    shown, g, right, wrong = figure("configuration"), random.Random(12), 0, set()
    for _ in range(80):
        shown.set(values=some_values(g))
        text = shown.element.locator(".live-file").text_content()
        sentence, layers = built(text)
        assert shown.element.locator(".live-refusal").text_content() == sentence, text
        if sentence:
            wrong.add(re.sub(r"\W?\d.*", "", sentence))
            assert not shown.element.locator(".live-layers").is_visible()
            continue
        right += 1
        rows = shown.element.locator(".live-layers tbody tr").evaluate_all(
            "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        table = [
            [[int(n) for n in size.split(" × ")], int(own.replace(",", ""))]
            for _, size, own in rows
        ]
        assert table == layers, text
        numbers = shown.numbers()
        assert numbers["parameters in all"] == sum(own for _, own in layers)
    assert right >= 15 and len(wrong) >= 20


def test_the_form_begins_with_the_file_of_the_page(figure):  # noqa: F811
    page = (ROOT / "book" / "12-your-own.md").read_text()
    (text,) = re.findall(r"^```ini\n# my\.cfg\n(.*?)^```$", page, re.M | re.S)
    shown = figure("configuration").element.locator(".live-file").text_content()
    assert shown.strip() == text.strip()


def test_every_mistake_to_try_is_one_and_a_field_can_be_edited(figure):  # noqa: F811
    shown = figure("configuration")
    menu = shown.element.get_by_role("combobox", name="Make a mistake:")
    refusal, sentences = shown.element.locator(".live-refusal"), set()
    assert refusal.text_content() == ""
    for value in menu.locator("option").evaluate_all("(all) => all.map((o) => o.value)"):
        menu.select_option(value)
        sentences.add(refusal.text_content())
        assert menu.input_value() == value
    assert len(sentences) == 8 and "" in sentences
    menu.select_option("none")
    field = shown.element.get_by_label("z_dimension")
    field.fill("eight")
    allowed = json.loads(live_data.configuration_script().partition(" = ")[2].rstrip(";\n"))
    sentence = allowed["sections"]["architecture"]["z_dimension"]
    assert refusal.text_content() == (
        f"my.cfg: [architecture] z_dimension = eight: must be {sentence}"
    )
    field.fill("16")
    assert refusal.text_content() == "" and shown.get()["values"]["z_dimension"] == "16"

"""A model's own page, in a real browser without a network: it is PyTorch's model, and whole."""

import base64
import contextlib
import itertools
import json
import re
import time
import tomllib

import pytest
import torch
from browsing import levels
from common import weights

import vaelib
from notebooks import ROOT
from vaelib import ConvSpec, live

MODELS = {
    "dense": dict(image_shape=(1, 9, 7), latent_dim=2, convs=[], hidden=(12, 8), activation="tanh"),
    "plane": dict(image_shape=(1, 28, 28), latent_dim=2, convs=[ConvSpec(4), ConvSpec(6)]),
    "sliders": dict(image_shape=(1, 12, 12), latent_dim=16, convs=[ConvSpec(4)], hidden=20),
    "colour": dict(
        image_shape=(3, 8, 8),
        latent_dim=2,
        convs=[ConvSpec(5)],
        hidden=(),
        likelihood="continuous-bernoulli",
    ),
    "map": dict(
        image_shape=(3, 8, 12),
        latent_dim=24,
        convs=[ConvSpec(4), ConvSpec(5)],
        hidden=(),
        likelihood="gaussian",
        latent_map=True,
    ),
    "gaussian": dict(image_shape=(3, 8, 6), latent_dim=1, hidden=7, likelihood="gaussian"),
    "logistic": dict(
        image_shape=(1, 8, 8), latent_dim=3, hidden=7, likelihood="discretised-logistic"
    ),
}

ALIVE = "document.querySelector('figure.live').get"


def build(name: str) -> vaelib.VAE:
    """An untrained model whose biases are not zero, with latents of different KL, one dead."""
    torch.manual_seed(4)
    model = vaelib.VAE(**MODELS[name])
    for bias in (p for n, p in model.named_parameters() if n.endswith("bias")):
        torch.nn.init.normal_(bias, std=0.3)
    if model.latent_dim > 2 and not model.latent_map:
        model.to_mean.weight.data *= torch.linspace(0.5, 2, model.latent_dim)[:, None]
        for head in (model.to_mean, model.to_log_var):
            head.weight.data[1] = 0
            head.bias.data[1] = 0
    return model.eval()


def images(model, n=40):
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (n, *model.image_shape), generator=generator).byte()


def until(page, condition: str):
    """Waits for it; playwright's own waiting needs `eval`, which the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(f"!!({condition})"):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


class Opened:
    """A page of a model in a browser without a network."""

    def __init__(self, page, path):
        self.page = page
        self.page.goto(f"file://{path}")
        until(self.page, ALIVE)
        self.element = self.page.locator("figure.live")

    def set(self, **state):
        self.element.evaluate("(figure, state) => figure.set(state)", state)

    def get(self) -> dict:
        return self.element.evaluate("(figure) => figure.get()")

    def pixels(self, index: int) -> torch.Tensor:
        """A canvas as (3, height, width) in [0, 1]."""
        return levels(self.element.locator("canvas").nth(index))

    def number(self, label: str) -> float:
        shown = self.element.locator(".live-number", has_text=label).locator("data")
        return float(shown.get_attribute("value"))


@contextlib.contextmanager
def opening(tabs, path, width=1200, **options):
    """A page of a model, in a window of this width; nothing may go wrong on it."""
    wrong = []
    heard = {
        "console": lambda m: m.type == "error" and wrong.append(m.text),
        "pageerror": lambda e: wrong.append(str(e)),
        "request": lambda r: r.url == f"file://{path}" or wrong.append(r.url),
    }
    with tabs.lent(width, 800, heard, **options) as page:
        yield Opened(page, path)
        assert wrong == []


@pytest.fixture
def opened(tabs, tmp_path):
    paths = (tmp_path / f"{number}.html" for number in itertools.count())
    with contextlib.ExitStack() as shown:

        def show(page: live.Page, **options) -> Opened:
            page.save(path := next(paths))
            return shown.enter_context(opening(tabs, path, **options))

        yield show


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_decoded_in_the_page_is_pytorchs(opened, name, half, tmp_path):
    model = build(name)
    shown = opened(live.explorer(model, images(model), half=half))
    if half:
        vaelib.save_model(model, tmp_path / "half.safetensors", half=True)
        model = vaelib.load_model(tmp_path / "half.safetensors")
    generator = torch.Generator().manual_seed(6)
    for z in 2 * torch.randn(5, model.latent_dim, generator=generator):
        shown.set(z=z.tolist())
        want = model.decoded(z[None])[0]
        got = torch.tensor(shown.get()["decoded"]).view_as(want)
        assert (got - want).abs().max() < 1e-4
        assert (shown.pixels(0) - want).abs().max() < 0.51 / 255
        log_prior = torch.distributions.Normal(0, 1).log_prob(z).sum().item()
        assert shown.number("log p(z)") == pytest.approx(log_prior, rel=1e-5)


@pytest.mark.parametrize("name", ["plane", "sliders", "colour"])
def test_an_image_chosen_is_encoded(opened, name):
    model = build(name)
    data = images(model)
    shown = opened(live.explorer(model, data))
    buttons = shown.element.get_by_role("group", name="Encode an image").get_by_role("button")
    assert buttons.count() == live.SHOWN
    for i, number in ((0, 0), (5, round(5 * 39 / 11)), (11, 39)):
        buttons.nth(i).click()
        mean, log_var = vaelib.metrics.encode(model, data[[number]])
        assert shown.get()["z"] == pytest.approx(mean[0].tolist(), abs=1e-4)
        assert torch.equal(shown.pixels(1), (data[number].float() / 255).expand(3, -1, -1))
        assert buttons.nth(i).get_attribute("aria-label") == f"image {number}"
        assert buttons.nth(i).get_attribute("aria-pressed") == "true"
        kl = vaelib.losses.kl_to_standard_normal(mean, log_var).item()
        assert shown.number("of the image") == pytest.approx(kl, rel=1e-4)


def test_codes_lie_in_the_plane_by_label(opened):
    model = build("plane")
    data, digits = images(model), torch.arange(40) % 3
    labels = {"digit": digits, "age": torch.arange(40)}
    page = live.explorer(model, data, labels, names=["nought", "one"])
    shown = opened(page)
    circles = shown.element.locator(".live-points circle").evaluate_all(
        """(all) => all.map((c) => ["cx", "cy", "fill"].map((name) => c.getAttribute(name)))"""
    )
    codes = vaelib.metrics.encode(model, data)[0]
    extent = max(3.5, codes.abs().ceil().max().item())
    places = torch.tensor([[float(x), float(y)] for x, y, _ in circles])
    want = torch.stack(
        [34 + (codes[:, 0] / extent + 1) * 179, 366 - (codes[:, 1] / extent + 1) * 179], 1
    )
    assert (places - want).abs().max() < 1e-2
    ink = ["var(--pst-color-text-base)", *vaelib.plots.COLOURS[1:3]]
    assert [c[2] for c in circles] == [ink[d] for d in digits]
    legend = shown.element.get_by_role("list", name="Colours of the codes")
    assert [one.strip() for one in legend.locator("li").all_inner_texts()] == ["nought", "one", "2"]
    shown.element.get_by_role("combobox", name="Colour by").select_option("age")
    assert shown.get()["colour"] == "age" and legend.locator("li").count() == 2
    fills = shown.element.locator(".live-points circle").evaluate_all(
        "(all) => all.map((c) => c.getAttribute('fill'))"
    )
    assert len(set(fills)) == 40


def test_the_point_is_dragged_and_moved_by_keys(opened):
    shown = opened(live.explorer(build("plane")), has_touch=True)
    dot = shown.element.get_by_role("slider", name="The code z")
    before = shown.pixels(0)
    dot.focus()
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        shown.page.keyboard.press(key)
    assert shown.get()["z"] == pytest.approx([0.05, 0.3])
    assert not torch.equal(before, shown.pixels(0))
    box = shown.element.locator("svg.live-plane").bounding_box()
    unit = box["width"] / 400
    x, y = (box["x"] + unit * (34 + 1.5 * 358 / 7), box["y"] + unit * (366 - 5 * 358 / 7))
    shown.page.touchscreen.tap(x, y)
    assert shown.get()["z"] == pytest.approx([-2, 1.5], abs=0.02)
    until(shown.page, "document.querySelector('.live-said').textContent.startsWith('z1 is −')")


def test_codes_far_out_are_in_the_plane(opened):
    model = build("plane")
    model.to_mean.weight.data *= 30
    shown = opened(live.explorer(model, images(model)))
    assert vaelib.metrics.encode(model, images(model))[0].abs().max() > 20
    inside = shown.element.locator(".live-points circle").evaluate_all(
        """(all) => all.every((c) =>
             ["cx", "cy"].map((name) => +c.getAttribute(name)).every((v) => v > 0 && v < 400))"""
    )
    ticks = shown.element.locator(".live-axes text").all_text_contents()
    assert inside and "0" in ticks and len(ticks) < 45


def test_sliders_are_sorted_by_kl_and_the_dead_set_apart(opened):
    model = build("sliders")
    data = images(model)
    kl = vaelib.metrics.kl_per_dimension(model, data)
    shown = opened(live.explorer(model, data))
    labels = shown.element.locator(".live-slider label").all_text_contents()
    order = kl.argsort(descending=True).tolist()
    assert labels == [f"z{j + 1}, KL {kl[j]:.2f} nats" for j in order]
    dead = shown.element.locator("details")
    assert dead.locator("summary").inner_text() == "1 dead latent: KL below 0.01 nats"
    assert dead.locator("label").all_text_contents() == ["z2, KL 0.00 nats"]
    before = shown.get()["z"]
    slider = shown.element.get_by_label(labels[1])
    slider.focus()
    shown.page.keyboard.press("ArrowRight")
    after = shown.get()["z"]
    moved = order[1]
    assert after[moved] == pytest.approx(before[moved] + 0.01, abs=0.006) != before[moved]
    assert after[:moved] + after[moved + 1 :] == before[:moved] + before[moved + 1 :]
    far = [0.0] * 16
    far[moved] = 7.5
    shown.set(z=far)
    assert float(slider.input_value()) == 7.5, "a slider widens"
    shown.element.get_by_role("button", name="To the origin").click()
    assert shown.get()["z"] == [0.0] * 16
    shown.element.get_by_role("button", name="Draw z from the prior").click()
    drawn = shown.get()["z"]
    shown.element.get_by_role("button", name="Draw z from the prior").click()
    assert len({*drawn, *shown.get()["z"]}) == 32


def test_without_images_or_kl_the_model_is_still_alive(opened):
    shown = opened(live.explorer(build("sliders")))
    labels = shown.element.locator(".live-slider label").all_text_contents()
    assert labels == [f"z{j + 1}" for j in range(16)]
    assert shown.get()["z"] == [0.0] * 16 and shown.element.locator("canvas").count() == 1
    told = opened(live.explorer(build("sliders"), kl=[j / 100 for j in range(16)]))
    labels = told.element.locator(".live-slider label").all_text_contents()
    assert labels[0] == "z16, KL 0.15 nats"
    assert told.element.locator("details label").all_text_contents() == ["z1, KL 0.00 nats"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["plane", "sliders"])
def test_axe_finds_nothing_and_the_page_follows_the_scheme(opened, name, scheme):
    model = build(name)
    page = live.explorer(model, images(model), torch.arange(40) % 10, title="digits", about="A VAE")
    shown = opened(page, color_scheme=scheme)
    if name == "sliders":
        shown.element.locator("summary").click()
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    rules["resultTypes"] = ["violations"]  # to hand over what is right, node by node, takes longer
    from axe_playwright_python.sync_playwright import Axe  # not where no browser is

    found = Axe().run(shown.page, options=rules)
    assert found.violations_count == 0, found.generate_report()
    ground, other = "getComputedStyle(document.body).backgroundColor", {"light", "dark"} - {scheme}
    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}
    assert shown.page.evaluate(ground) == colours[scheme]
    shown.page.emulate_media(color_scheme=(other := other.pop()))
    until(shown.page, f"{ground} === '{colours[other]}'")


@pytest.mark.parametrize("name", ["plane", "sliders"])
def test_the_page_fits_a_phone(opened, name):
    model = build(name)
    shown = opened(live.explorer(model, images(model), title="a" * 60), width=320)
    assert shown.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_names_end_no_script_and_make_no_markup(opened):
    model, trap = build("plane"), "</script><b id=trap>&amp;"
    data = images(model)
    labels = {trap: torch.arange(40) % 2, "other": torch.arange(40) % 3}
    page = live.explorer(model, data, labels, names=[trap, "b"], title=trap, about=trap)
    shown = opened(page)
    assert shown.page.locator("#trap").count() == 0
    assert shown.page.title() == shown.page.locator("h1").inner_text() == trap
    assert trap in shown.element.get_by_role("combobox", name="Colour by").inner_text()
    assert trap in shown.element.get_by_role("list").inner_text()


def test_the_page_itself_forbids_requests(browser, tmp_path):
    live.explorer(build("dense")).save(tmp_path / "page.html")
    page, refused = browser.new_page(), []
    page.on("console", lambda m: refused.append(m.text))
    page.goto(f"file://{tmp_path}/page.html")
    assert (
        page.evaluate("fetch('https://example.org').then(() => 'went', () => 'refused')")
        == "refused"
    )
    assert any("Content Security Policy" in text for text in refused)
    page.close()


def test_a_notebook_shows_the_page_in_a_frame_as_high_as_it(browser, tmp_path):
    model = build("sliders")
    page = live.explorer(model, images(model), title="mine")
    assert repr(page) == "Page(title='mine')"
    (tmp_path / "cell.html").write_text(f"<!DOCTYPE html>{page._repr_html_()}<p>below</p>")
    tab = browser.new_page()
    tab.goto(f"file://{tmp_path}/cell.html")
    frame = tab.frames[1]
    until(frame, ALIVE)
    frame.evaluate("document.querySelector('figure.live').set({z: Array(16).fill(1)})")
    got = torch.tensor(frame.evaluate("document.querySelector('figure.live').get().decoded"))
    assert (got - model.decoded(torch.ones(1, 16)).flatten()).abs().max() < 1e-4
    until(tab, "document.querySelector('iframe').offsetHeight != 768")
    tab.wait_for_timeout(300)
    overhang = frame.evaluate("document.documentElement.scrollHeight - innerHeight")
    assert overhang <= 0 and tab.locator("iframe").get_attribute("title") == "mine"
    tab.close()


def test_images_that_can_not_be_shown_are_refused():
    model = vaelib.VAE((2, 8, 8), latent_dim=2)
    with pytest.raises(ValueError, match="1 or 3 channels can be shown; the model's have 2"):
        live.explorer(model)
    with pytest.raises(ValueError, match="9, 7"):
        live.explorer(build("dense"), torch.rand(3, 1, 8, 8))


def in_page(html: str, path) -> vaelib.VAE:
    """The model that a page holds, by way of a file."""
    (text,) = re.findall(r'VAELIB_MODELS \?\?= {}\)\["explorer"\] = ("[^"]*");', html)
    path.write_bytes(base64.b64decode(json.loads(text)))
    return vaelib.load_model(path)


def test_what_the_page_reads_is_the_model_as_it_is_saved(tmp_path):
    model = build("plane")
    held = in_page(live.explorer(model).html, tmp_path / "model.safetensors")
    assert held.config == model.config and torch.equal(weights(held), weights(model))


def test_an_installed_vaelib_has_the_pages_parts():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["vaelib"]
    package = ROOT / "vaelib"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    assert {p for p in (package / "live").iterdir() if p.suffix not in (".py", "")} <= packed


def test_of_many_latents_those_with_the_most_kl_have_sliders(opened):
    torch.manual_seed(4)
    model = vaelib.VAE((1, 16, 16), 2 * 64, [ConvSpec(3)], hidden=(), latent_map=True).eval()
    kl = torch.linspace(0, 1, 128)[torch.randperm(128)]
    shown = opened(live.explorer(model, images(model), kl=kl.tolist()))
    sliders = shown.element.locator("input[type=range]")
    assert sliders.count() == 100
    assert f"z{kl.argmax() + 1}, KL 1.00" in sliders.first.evaluate("(s) => s.labels[0].innerText")
    assert "100 of 128 latents have a slider" in shown.element.inner_text()
    shown.set(z=torch.ones(128).tolist())
    want = model.decoded(torch.ones(1, 128))[0]
    assert (torch.tensor(shown.get()["decoded"]).view_as(want) - want).abs().max() < 1e-4

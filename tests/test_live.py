"""Live figures in a real browser: the engine is PyTorch, each figure's numbers are vaelib's."""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browsing import levels
from common import results
from filelock import FileLock
from PIL import Image

import vaelib
from notebooks import ROOT
from vaelib import disentanglement, pretrained

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from course import live_data
from course.live import SHARED

FOLDER = ROOT / "book" / "live"
ENGINE = ROOT / "vaelib" / "live" / "network.js"


@pytest.fixture(scope="module")
def engine(tabs):
    with tabs.lent() as page:
        page.add_script_tag(content=ENGINE.read_text())
        yield page


RUN = """(text) => {  // JSON by hand: playwright takes seconds over so many numbers
  const [name, images, codes] = JSON.parse(text);
  const model = vaelib.model(name);
  const sides = images.map((x) => model.encode(x)), outputs = codes.map((z) => model.decode(z));
  return JSON.stringify({
    mean: sides.map((s) => [...s.mean]),
    log_var: sides.map((s) => [...s.log_var]),
    output: outputs.map((o) => [...o]),
    expected: outputs.map((o) => [...model.expected_image(o)]),
  });
}"""


@cache
def digits(kind: str) -> vaelib.ImageData:
    return vaelib.load(kind, binarize=True)


def images(name: str) -> torch.Tensor:
    """50 images of the kind that a shipped model was trained on, as floats."""
    kind, g = pretrained.card(name)["data"]["name"], torch.Generator().manual_seed(1)
    if kind == "sprites":
        return vaelib.load(kind, image_size=32).sample(50, g)[0].float() / 255
    test = digits(kind).test
    return test[torch.randperm(len(test), generator=g)[:50]].float() / 255


def differs(page, name: str, model, x: torch.Tensor) -> float:
    """How far the page's encode, decode and expected image are from PyTorch's, at most."""
    z = 2 * torch.randn(50, model.latent_dim, generator=torch.Generator().manual_seed(2))
    got = json.loads(page.evaluate(RUN, json.dumps([name, x.flatten(1).tolist(), z.tolist()])))
    with torch.no_grad():
        (mean, log_var), output = model.eval().encode(x), model.decode(z)
        want = {
            "mean": mean,
            "log_var": log_var,
            "output": output,
            "expected": model.expected_image(output),
        }
    return max((torch.tensor(got[k]) - v.flatten(1)).abs().max().item() for k, v in want.items())


@pytest.mark.parametrize("name", pretrained.names())
def test_the_engine_is_pytorch_for_every_shipped_model(engine, name):
    engine.add_script_tag(content=live_data.model_script(name))
    worst = differs(engine, name, vaelib.load_pretrained(name), images(name))
    print(f"{name}: {worst:.1e}")
    assert worst < 1e-4


@pytest.mark.parametrize(
    "options",
    [
        dict(
            image_shape=(2, 9, 12), latent_dim=3, convs=[vaelib.ConvSpec(3, (3, 5), (2, 3), (1, 0))]
        ),
        dict(image_shape=(1, 7, 7), latent_dim=2, convs=[], hidden=(6, 5), activation="tanh"),
        dict(
            image_shape=(1, 8, 8), latent_dim=2, hidden=(), likelihood="gaussian", activation="tanh"
        ),
        dict(image_shape=(3, 8, 8), latent_dim=2, hidden=9, likelihood="continuous-bernoulli"),
        dict(image_shape=(1, 8, 8), latent_dim=2, hidden=9, likelihood="discretised-logistic"),
    ],
)
def test_the_engine_is_pytorch_for_uneven_models(engine, monkeypatch, tmp_path, options):
    torch.manual_seed(3)
    model = vaelib.VAE(**options)
    for bias in (p for n, p in model.named_parameters() if n.endswith("bias")):
        torch.nn.init.normal_(bias)
    vaelib.save_model(model, tmp_path / "uneven.safetensors")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    name = f"uneven-{id(options)}"
    (tmp_path / "uneven.safetensors").rename(tmp_path / f"{name}.safetensors")
    engine.add_script_tag(content=live_data.model_script(name))
    assert differs(engine, name, model, torch.rand(50, *model.image_shape)) < 1e-4


def test_the_generator_draws_uniforms_and_normals(engine):
    draws = engine.evaluate("""() => [0, 1, 12345].map((seed) => {
      const g = vaelib.generator(seed);
      const draw = (kind) => Array.from({ length: 20000 }, kind);
      return { u: draw(g.uniform), n: draw(g.normal) };
    })""")
    firsts = [d["u"][0] for d in draws]
    assert len(set(firsts)) == 3
    for draw in draws:
        u, n = (
            torch.tensor(draw["u"], dtype=torch.float64),
            torch.tensor(draw["n"], dtype=torch.float64),
        )
        four = 4 / 20000**0.5  # standard errors of a mean of unit variance
        assert abs(u.mean() - 0.5) < four / 12**0.5 and abs((u**2).mean() - 1 / 3) < four * 0.3
        assert abs(n.mean()) < four and abs((n**2).mean() - 1) < four * 2**0.5
        assert (
            abs((u[1:] * u[:-1]).mean() - 0.25) < four * 0.23
            and abs((n[1:] * n[:-1]).mean()) < four
        )
    again = engine.evaluate("() => vaelib.generator(12345).uniform()")
    assert again == firsts[2]


def test_nats_are_those_of_vaelib(engine):
    g = torch.Generator().manual_seed(5)
    x, logits = torch.rand(40, generator=g).round(), 6 * torch.randn(40, generator=g)
    mean, log_var, z = torch.randn(3, 4, generator=g)
    got = engine.evaluate(
        """([x, l, m, v, z]) => [vaelib.bernoulli_log_likelihood(x, l), vaelib.bernoulli_entropy(l),
          vaelib.sum(vaelib.kl_per_dimension(m, v)), vaelib.normal_log_density(z, m, v)]""",
        [t.tolist() for t in (x, logits, mean, log_var, z)],
    )
    want = [
        vaelib.losses.bernoulli_log_likelihood(x[None], logits[None]).item(),
        torch.distributions.Bernoulli(logits=logits).entropy().sum().item(),
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, (log_var / 2).exp()),
            torch.distributions.Normal(0.0, 1.0),
        )
        .sum()
        .item(),
        torch.distributions.Normal(mean, (log_var / 2).exp()).log_prob(z).sum().item(),
    ]
    assert got == pytest.approx(want, rel=1e-5)


def test_the_rings_closed_forms_are_quadratures_and_its_slopes_derivatives(engine):
    engine.evaluate("() => { window.live ??= {}; }")
    engine.add_script_tag(content=(FOLDER / "ring.js").read_text())
    z = torch.linspace(-16, 16, 8001, dtype=torch.float64)
    step, normal = z[1] - z[0], torch.distributions.Normal

    def joint(x, z):
        ring = 1.5 * torch.stack([torch.sin(1.8 * z), -torch.cos(1.8 * z)], -1)
        return normal(ring, 0.3).log_prob(x).sum(-1), normal(0.0, 1.0).log_prob(z)

    g = torch.Generator().manual_seed(14)
    for _ in range(20):
        x = 2 * torch.randn(2, generator=g, dtype=torch.float64)
        at, mean = 1.5 * torch.randn(2, generator=g, dtype=torch.float64)
        log_var = (4 * torch.rand((), generator=g) - 3).double()
        mean, log_var, at = (v.requires_grad_() for v in (mean, log_var, at))
        got = engine.evaluate(
            """([x, z, m, v]) => { const r = live.ring; return [
              r.log_likelihood(x, z), r.log_prior(z), r.log_joint(x, z), r.score(x, z),
              r.log_evidence(x), r.log_posterior(x)(z), r.expected_log_likelihood(x, m, v),
              r.kl(m, v), r.elbo(x, m, v), ...r.slopes(x, m, v)]; }""",
            [x.tolist(), at.item(), mean.item(), log_var.item()],
        )
        likelihood, prior = joint(x, z)
        q = normal(mean, (log_var / 2).exp())
        expected = (q.log_prob(z).exp() * likelihood).sum() * step
        elbo = expected - torch.distributions.kl_divergence(q, normal(0.0, 1.0))
        evidence = (likelihood + prior).logsumexp(0) + step.log()
        here = [part.sum() for part in joint(x, at)]
        (score,) = torch.autograd.grad(sum(here), at)
        slopes = torch.autograd.grad(elbo, (mean, log_var), retain_graph=True)
        want = [*here, sum(here), score, evidence, sum(here) - evidence]
        want += [expected, expected - elbo, elbo, *slopes]
        assert got == pytest.approx([w.item() for w in want], rel=1e-6, abs=1e-8)


# ---- the figures, on small pages of their own, with the book's theme, style and directive ----

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
extensions = ["myst_parser", "sphinx.ext.mathjax", "course.live"]
myst_enable_extensions = ["dollarmath"]
html_theme = "sphinx_book_theme"
html_static_path = [{str(ROOT / "book" / "_static")!r}]
html_css_files = ["course.css"]
suppress_warnings = ["myst.xref_missing"]
"""
BLOCK = re.compile(r"^````\{live\} ([\w-]+)\n.*?^````$", re.MULTILINE | re.DOTALL)
FIGURES = {}
for chapter in sorted((ROOT / "book").glob("*.md")):
    for block in BLOCK.finditer(chapter.read_text()):
        FIGURES.setdefault(block[1], re.sub(r"\{(?:eq|ref)\}`([\w:-]+)`", r"`\1`", block[0]))


def build(source: Path, pages: dict[str, str], builder: str = "html") -> tuple[Path, str]:
    """A folder of HTML made of these pages by Sphinx and the directive, and what Sphinx said."""
    (source / "book").mkdir(parents=True)
    (source / "book" / "live").symlink_to(FOLDER)
    (source / "conf.py").write_text(CONF)
    (source / "index.md").write_text("# Figures\n\n```{toctree}\n" + "\n".join(pages) + "\n```\n")
    for name, text in pages.items():
        (source / f"{name}.md").write_text(f"# {name}\n\n{text}\n")
    out = source.parent / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", builder, source, out]
    run = subprocess.run(command, capture_output=True, text=True)
    return out, run.stderr


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The folder of every figure's page, built once for all the processes that run the tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # the workers' own lie in one folder
    with FileLock(folder / "figures.lock"):
        if not (folder / "figures" / "html").exists():
            _, said = build(folder / "figures" / "source", FIGURES)
            assert said == ""
    return folder / "figures" / "html"


class Figure:
    """A figure alive in a browser without a network; ``wrong`` is what went wrong on its page."""

    def __init__(self, page, html, name, wrong, files):
        self.page, self.name, self.wrong, self.files = page, name, wrong, files
        self.page.goto(f"file://{html}/{name}.html", wait_until="load")
        self.element = self.page.locator(f"#live-{name}")
        self.element.scroll_into_view_if_needed()
        self.page.wait_for_function(f"document.getElementById('live-{name}').get")

    def set(self, **state):
        self.element.evaluate("(figure, state) => figure.set(state)", state)

    def get(self) -> dict:
        return self.element.evaluate("(figure) => figure.get()")

    def numbers(self) -> dict[str, float]:
        """What it displays: label to value, each the rounding of its exact value."""
        shown = self.element.locator(".live-number:not([hidden])").evaluate_all(
            """(all) => all.map((p) => [p.querySelector(".live-label"), p.querySelector("data")])
                          .map(([label, it]) => [label.textContent, it.value, it.textContent])"""
        )
        for label, exact, text in shown:
            digits = len(text.partition(".")[2])
            assert abs(float(text.replace("−", "-")) - float(exact)) <= 0.5001 * 10**-digits, label
        return {label: float(exact) for label, exact, _ in shown}

    def pixels(self, index: int) -> torch.Tensor:
        """The canvas of this number, as (height, width) in [0, 1]."""
        return levels(self.element.locator("canvas").nth(index))[0]


@contextlib.contextmanager
def opened(tabs, html, name, width=1360, **options):
    """The figure of this name, on a page of this width; nothing may go wrong on it."""
    wrong, files = [], []
    ours = re.compile("theme mode|mathjax", re.I)  # MathJax comes from the book, not these pages

    def note(message):
        text = f"{message.text} {message.location['url']}"
        if message.type == "error" and not ours.search(text):
            wrong.append(text)

    heard = {
        "console": note,
        "pageerror": lambda e: wrong.append(str(e)),
        "request": lambda r: files.append(r.url),
    }
    with tabs.lent(width, 900, heard, **options) as page:
        yield Figure(page, html, name, wrong, files)
        assert wrong == []


@pytest.fixture
def figure(tabs, html):
    with contextlib.ExitStack() as shown:
        yield lambda name, **options: shown.enter_context(opened(tabs, html, name, **options))


def test_every_script_stands_in_the_book_and_every_figure_has_its_script():
    assert sorted(FIGURES) == sorted(p.stem for p in FOLDER.glob("*.js") if p.name not in SHARED)


def test_the_plane_shows_what_vaelib_computes(figure):
    plane, model = figure("plane"), vaelib.load_pretrained("mnist-z2").eval()
    g = torch.Generator().manual_seed(11)
    surplus, variance = 0.0, 0.0
    for seed in range(20):
        z, show = 6 * torch.rand(2, generator=g) - 3, ("mean", "draw")[seed % 2]
        plane.set(z=z.tolist(), show=show, seed=seed)
        with torch.no_grad():
            logits = model.decode(z[None])
        pixels = torch.distributions.Bernoulli(logits=logits[0, 0])
        want = {
            "log p(z)": torch.distributions.Normal(0, 1).log_prob(z).sum().item(),
            "entropy of p(x | z)": pixels.entropy().sum().item(),
        }
        drawn = plane.pixels(0)
        if show == "draw":
            assert set(drawn.unique().tolist()) <= {0.0, 1.0}
            want["log p(x | z) of this draw"] = model.log_likelihood(
                drawn[None, None], logits
            ).item()
            surplus += (drawn - pixels.mean).sum().item()
            variance += pixels.variance.sum().item()
        else:
            assert (drawn - pixels.mean).abs().max() < 1 / 255
        assert plane.numbers() == pytest.approx(want, rel=1e-4)
    assert abs(surplus) < 4 * variance**0.5  # the draws have the pixels' probabilities


def test_the_plane_shows_the_nearest_digit_and_the_codes_are_the_encoders(figure):
    plane, model = figure("plane"), vaelib.load_pretrained("mnist-z2").eval()
    test = digits("mnist-5k").test
    with torch.no_grad():
        codes = model.encode(test)[0]
    for i in (0, 123, 499):
        plane.set(z=(codes[i] + 0.001).tolist())
        closest = (codes - codes[i] - 0.001).square().sum(1).argmin()
        assert torch.equal(plane.pixels(1), test[closest, 0].float() / 255)
        assert f"a {int(digits('mnist-5k').test_labels[closest])}" in plane.element.locator(
            "canvas"
        ).nth(1).get_attribute("aria-label")


def test_the_plane_is_dragged_by_mouse_finger_and_arrow_keys(figure):
    plane = figure("plane", has_touch=True)
    dot = plane.element.get_by_role("slider", name="The code z")
    plane.set(z=[0.0, 0.0])
    dot.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        plane.page.keyboard.press(key)
    assert plane.get()["z"] == pytest.approx([0.1, -0.2])
    assert dot.get_attribute("aria-valuetext") == "z1 0.10, z2 −0.20".replace("−", "-")
    box = plane.element.locator("svg.live-plane").bounding_box()
    unit = box["width"] / 400  # the plane's own units: -3.5 to 3.5 between 34 and 392

    def where(x, y):
        return (
            box["x"] + unit * (34 + (x + 3.5) * 358 / 7),
            box["y"] + unit * (366 - (y + 3.5) * 358 / 7),
        )

    plane.page.mouse.move(*where(0.1, -0.2))
    plane.page.mouse.down()
    plane.page.mouse.move(*where(-2, 1.5))
    plane.page.mouse.up()
    plane.page.mouse.move(*where(3, 3))
    assert plane.get()["z"] == pytest.approx([-2, 1.5], abs=0.02)
    plane.page.touchscreen.tap(*where(1, 2))
    assert plane.get()["z"] == pytest.approx([1, 2], abs=0.02)
    plane.page.wait_for_function(
        "document.querySelector('.live-said').textContent.startsWith('z is 1.0')"
    )


def test_the_convolution_is_pytorchs_for_any_sizes(figure):
    convolution = figure("convolution", reduced_motion="reduce")
    g, refused = torch.Generator().manual_seed(12), 0
    for _ in range(20):
        h, k, s, p = (int(torch.randint(1, top + 1, (), generator=g)) for top in (16, 7, 5, 5))
        p -= 1
        convolution.set(h=h, k=k, s=s, p=p)
        if k > h + 2 * p:
            refused += 1
            assert (
                convolution.numbers() == {} and "does not fit" in convolution.element.inner_text()
            )
            continue
        line = torch.ones(1, 1, h, requires_grad=True)
        output = torch.nn.functional.conv1d(line, torch.ones(1, 1, k), stride=s, padding=p)
        output.sum().backward()
        a = vaelib.ConvSpec(1, k, s, p).output_padding((h, h))[0]
        shown = list(convolution.numbers().values())
        assert shown == [output.shape[-1], a, h - a, h, int((line.grad == 0).sum())]
        assert convolution.element.locator("rect.pixel.never").count() == shown[-1]
    assert refused < 5


def test_the_kernel_moves_in_sight_only_and_never_where_motion_is_unwanted(figure):
    still = figure("convolution", reduced_motion="reduce")
    assert not still.get()["playing"]
    moving = figure("convolution")
    assert moving.get()["playing"]
    moving.page.wait_for_function("document.querySelector('figure.live').get().position > 0")
    moving.page.evaluate(
        "document.querySelector('figure.live').style.marginTop = '5000px'; scrollTo(0, 0)"
    )
    moving.page.wait_for_timeout(300)
    before = moving.get()["position"]
    moving.page.wait_for_timeout(1200)
    assert moving.get()["position"] == before
    moving.element.scroll_into_view_if_needed()
    moving.page.wait_for_function(
        f"document.querySelector('figure.live').get().position != {before}"
    )
    moving.element.get_by_role("button", name="Pause").click()
    assert not moving.get()["playing"]


def weighed(drawing):
    drawing.page.wait_for_function(
        "(f => f.get().weighed === f.get().samples)(document.querySelector('figure.live'))"
    )


def test_the_ledger_is_vaelibs_for_any_image_and_model(figure):
    drawing, surplus = figure("draw"), []
    for number in range(20):
        model = vaelib.load_pretrained(name := ("mnist-z2", "mnist-z16")[number % 2]).eval()
        samples, show = (1, 4, 16, 64)[number % 4], ("mean", "draw")[number // 10]
        drawing.set(digit=7 * number, model=name, samples=samples, seed=number, show=show)
        weighed(drawing)
        x, z = drawing.pixels(1)[None, None], torch.tensor(drawing.get()["draws"])
        assert (
            torch.equal(x[0, 0], digits("mnist-5k").test[7 * number, 0].float() / 255)
            and len(z) == samples
        )
        with torch.no_grad():
            mean, log_var = model.encode(x)
            log_likelihood = model.log_likelihood(x.expand(samples, 1, 28, 28), model.decode(z))
            decoded = model.expected_image(model.decode(mean if show == "mean" else z[:1]))[0, 0]
        log_weight = vaelib.losses.log_importance_weight(
            log_likelihood, z, mean.expand_as(z), log_var.expand_as(z)
        )
        kl = vaelib.losses.kl_to_standard_normal(mean, log_var).item()
        assert drawing.numbers() == pytest.approx(
            {
                "distortion, −E log p(x | z)": -log_likelihood.mean().item(),
                "rate, KL from q(z | x) to p(z)": kl,
                "their sum, −ELBO": kl - log_likelihood.mean().item(),
                "K draws weighed together": -vaelib.losses.importance_weighted_bound(
                    log_weight[:, None]
                ).item(),
            },
            rel=1e-4,
        )
        assert (drawing.pixels(2) - decoded).abs().max() < 1.01 / 255
        surplus.append((z - mean) / (log_var / 2).exp())
    noise = torch.cat([one.flatten() for one in surplus])  # epsilon: mean 0, variance 1
    assert abs(noise.mean()) < 4 / len(noise) ** 0.5
    assert abs(noise.square().mean() - 1) < 4 * (2 / len(noise)) ** 0.5


def test_centring_gives_a_digit_of_mnist_back(figure):
    drawing, grey = figure("draw"), vaelib.load("mnist-5k").test[:20, 0].float() / 255
    for image in grey:
        drawing.set(pixels=image.flatten().tolist(), samples=1)
        assert torch.equal(drawing.pixels(1), (image >= 0.5).float())


def arc(x, y, width, height, begin, end):
    angles = torch.deg2rad(torch.linspace(begin, end, 25))
    return torch.stack([x + width * angles.cos(), y + height * angles.sin()], 1).tolist()


# digits as a finger draws them, in a square of side 1 whose y points down
SCRIBBLES = [
    [arc(0.5, 0.5, 0.25, 0.36, -90, 270)],
    [[[0.58, 0.12], [0.42, 0.88]]],
    [[*arc(0.52, 0.3, 0.2, 0.18, 190, 400), [0.5, 0.62], [0.3, 0.84], [0.4, 0.8], [0.74, 0.86]]],
    [arc(0.46, 0.3, 0.2, 0.17, 200, 440) + arc(0.46, 0.67, 0.24, 0.2, -80, 150)],
    [[[0.34, 0.14], [0.27, 0.5], [0.72, 0.48]], [[0.7, 0.2], [0.62, 0.9]]],
    [[[0.76, 0.14], [0.4, 0.15], [0.36, 0.44], *arc(0.48, 0.65, 0.22, 0.21, -110, 140)]],
    [[[0.64, 0.1], [0.42, 0.36], [0.34, 0.64], *arc(0.5, 0.7, 0.17, 0.16, 180, 540)]],
    [[[0.24, 0.18], [0.76, 0.16], [0.46, 0.88]]],
    [
        [[0.68, 0.2], [0.5, 0.12], [0.36, 0.26], [0.48, 0.46], [0.62, 0.64], [0.56, 0.84]],
        [[0.56, 0.84], [0.38, 0.86], [0.34, 0.7], [0.5, 0.5], [0.66, 0.34], [0.68, 0.2]],
    ],
    [[*arc(0.54, 0.3, 0.17, 0.17, 0, 360), [0.7, 0.32], [0.56, 0.6], [0.42, 0.88]]],
]


def test_scribbled_digits_land_where_their_class_is(figure):
    drawing, model, found = figure("draw"), vaelib.load_pretrained("mnist-z2").eval(), []
    with torch.no_grad():
        codes = model.encode(digits("mnist-5k").test)[0]
        for strokes in SCRIBBLES:
            scaled = [[[280 * x, 280 * y] for x, y in stroke] for stroke in strokes]
            drawing.set(strokes=scaled, digit=None, pixels=None, samples=1)
            mean = model.encode(drawing.pixels(1)[None, None])[0]
            nearest = (codes - mean).square().sum(1).argsort()[:15]
            found.append(digits("mnist-5k").test_labels[nearest].mode().values.item())
    assert sum(digit == right for right, digit in enumerate(found)) >= 8


def test_a_digit_is_drawn_with_the_pen(figure):
    drawing = figure("draw", reduced_motion="reduce")
    drawing.element.get_by_role("button", name="Clear").click()
    assert drawing.pixels(1).sum() == 0
    box = drawing.element.locator("canvas.live-pad").bounding_box()
    mouse = drawing.page.mouse
    mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.1 * box["height"])
    mouse.down()
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.9 * box["height"])
    mouse.up()
    mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
    weighed(drawing)
    ink = drawing.pixels(1)
    rows, columns = ink.nonzero().T
    assert rows.min() >= 3 and rows.max() <= 24 and rows.max() - rows.min() + 1 in (19, 20)
    assert (rows.float().mean() - 14).abs() < 0.7 and (columns.float().mean() - 14).abs() < 0.7
    assert (
        len(drawing.get()["strokes"]) == 1
        and drawing.numbers()["rate, KL from q(z | x) to p(z)"] > 1
    )
    drawing.element.get_by_role("combobox", name="Model").select_option("mnist-z16")
    assert not drawing.element.locator("svg.live-plane").is_visible()


def test_the_darts_and_their_average_are_torchs(figure):
    board, g = figure("dartboard"), torch.Generator().manual_seed(16)
    normal = torch.distributions.Normal
    all_darts = []
    for seed in range(20):
        d, draws = int(torch.randint(2, 17, (), generator=g)), (1, 10, 100, 562)[seed % 4]
        sigma = (0.1, 0.3, 0.55, 1.0)[seed // 5]
        x = (5 * torch.rand(2, generator=g) - 2.5).double()
        board.set(x=x.tolist(), d=d, sigma=sigma, draws=draws, seed=seed)
        darts = torch.tensor(board.get()["z"], dtype=torch.float64).view(draws, 16)
        z, image = darts[:, :d], torch.cat([x, torch.zeros(14, dtype=torch.float64)])[:d]
        exact = normal(0.0, (1 + sigma**2) ** 0.5).log_prob(image).sum().item()
        log_likelihood = normal(z, sigma).log_prob(image).sum(1)
        estimate = (log_likelihood.logsumexp(0) - math.log(draws)).item()
        mean, deviation = image / (1 + sigma**2), sigma / (1 + sigma**2) ** 0.5
        line = torch.linspace(-12, 12, 24001, dtype=torch.float64)
        prior = normal(0.0, 1.0).log_prob(line).exp() * (line[1] - line[0])
        likelihood = normal(line, sigma).log_prob(image[:, None]).exp()
        rho = ((likelihood**2 @ prior) / (likelihood @ prior) ** 2).prod().item()
        want = {
            "log p(x), exact": exact,
            "log of the average over the draws": estimate,
            "off by": estimate - exact,
            "draws within two deviations of the posterior in every latent": int(
                ((z - mean).abs() < 2 * deviation).all(1).sum()
            ),
            "ρ − 1, draws needed": rho - 1,
        }
        assert board.numbers() == pytest.approx(want, rel=1e-4, abs=1e-8)
        assert board.element.locator(".live-hit").count() == list(want.values())[3]
        all_darts.append(darts.flatten())
    noise = torch.cat(all_darts)
    four = 4 / len(noise) ** 0.5
    assert abs(noise.mean()) < four and abs(noise.square().mean() - 1) < four * 2**0.5


def bells(target: str):
    """log p of one of the targets on a fine grid, the grid and its step."""
    joint = ring_joint("top")[0]
    z = torch.linspace(-26, 26, 26001, dtype=torch.float64)
    step, normal = z[1] - z[0], torch.distributions.Normal
    if target == "ring":
        return joint(z) - joint(z).logsumexp(0) - step.log(), z, step
    if target == "one":
        return normal(0.0, 1.0).log_prob(z), z, step
    centres = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    weights = torch.tensor([[0.6], [0.4]], dtype=torch.float64)
    return (normal(centres, 0.6).log_prob(z) + weights.log()).logsumexp(0), z, step


def test_two_bells_show_both_divergences(figure):
    shown, g = figure("two-bells"), torch.Generator().manual_seed(17)
    for number in range(20):
        target = ("two", "ring", "one")[number % 3]
        mean = (5 * torch.rand((), generator=g) - 2.5).double()
        log_var = (6 * torch.rand((), generator=g) - 4.5).double()
        direction = ("reverse", "forward")[number % 2]
        shown.set(target=target, mean=mean.item(), log_var=log_var.item(), direction=direction)
        log_p, z, step = bells(target)
        log_q = torch.distributions.Normal(mean, (log_var / 2).exp()).log_prob(z)
        reverse, forward = (
            ((a.exp() * (a - b)).sum() * step).item() for a, b in ((log_q, log_p), (log_p, log_q))
        )
        numbers = shown.numbers()
        assert numbers.pop("reverse, KL(q ‖ p)") == pytest.approx(reverse, rel=1e-4, abs=1e-6)
        assert numbers.pop("forward, KL(p ‖ q)") == pytest.approx(forward, rel=1e-4, abs=1e-6)
        if target == "one":
            at = mean.view(1, 1), log_var.view(1, 1)
            kl = vaelib.losses.kl_to_standard_normal(*at).item()
            assert next(iter(numbers.values())) == pytest.approx(mean.item() ** 2 / 2)
            assert sum(numbers.values()) == pytest.approx(kl)
            assert kl == pytest.approx(reverse, rel=1e-6)
        else:
            assert numbers == {}


@pytest.mark.parametrize(
    ("target", "direction", "start", "mean", "sd"),
    [
        ("two", "forward", -1.0, -0.4, 4.2**0.5),
        ("two", "reverse", -1.0, -1.998, 0.604),
        ("two", "reverse", 1.0, 1.996, 0.605),
        ("one", "forward", 2.0, 0.0, 1.0),
        ("one", "reverse", 2.0, 0.0, 1.0),
    ],
)
def test_two_bells_descend_to_the_fits_of_the_page(figure, target, direction, start, mean, sd):
    shown = figure("two-bells", reduced_motion="reduce")
    shown.set(target=target, direction=direction, mean=start, log_var=0.0)
    shown.element.get_by_role("button", name="Descend").click()
    state = shown.get()
    assert state["mean"] == pytest.approx(mean, abs=2e-3)
    assert math.exp(state["log_var"] / 2) == pytest.approx(sd, abs=2e-3)


RING_IMAGES = {"top": [0.0, 1.6], "bottom": [0.0, -1.5], "side": None, "middle": [0.0, 0.0]}


def ring_joint(where: str):
    """log p(x, z) of the ring on a fine grid, the grid, and its step, all in float64."""
    z = torch.linspace(-16, 16, 16001, dtype=torch.float64)

    def decode(z):
        return 1.5 * torch.stack([torch.sin(1.8 * z), -torch.cos(1.8 * z)], -1)

    at = RING_IMAGES[where]
    x = decode(torch.tensor(0.8, dtype=torch.float64)) if at is None else torch.tensor(at)

    def joint(z):
        normal = torch.distributions.Normal
        return normal(decode(z), 0.3).log_prob(x).sum(-1) + normal(0.0, 1.0).log_prob(z)

    return joint, z, z[1] - z[0]


def test_the_bar_is_cut_where_torch_cuts_it(figure):
    bar, g = figure("bar"), torch.Generator().manual_seed(15)
    for number in range(20):
        where = list(RING_IMAGES)[number % 4]
        mean = (4 * torch.rand((), generator=g) - 2).double()
        log_var = (6.5 * torch.rand((), generator=g) - 5.5).double()
        samples = 2 ** (number % 11)
        bar.set(image=where, mean=mean.item(), log_var=log_var.item(), samples=samples, seed=number)
        joint, z, step = ring_joint(where)
        q = torch.distributions.Normal(mean, (log_var / 2).exp())
        evidence = joint(z).logsumexp(0) + step.log()
        gap = (q.log_prob(z).exp() * (q.log_prob(z) - joint(z) + evidence)).sum() * step
        kl = vaelib.losses.kl_to_standard_normal(mean.view(1, 1), log_var.view(1, 1)).item()
        noise = torch.tensor(bar.get()["noise"], dtype=torch.float64)
        drawn = mean + q.scale * noise
        log_weight = (joint(drawn) - q.log_prob(drawn)).view(-1, samples).T
        bound = vaelib.losses.importance_weighted_bound(log_weight).mean().item()
        want = {
            "log p(x), where the bar ends": evidence.item(),
            "ELBO": (evidence - gap).item(),
            "gap, KL from q to the posterior": gap.item(),
            "bound of K draws weighed together": bound,
            "E log p(x | z)": (evidence - gap).item() + kl,
            "KL from q to the prior": kl,
        }
        assert bar.numbers() == pytest.approx(want, rel=1e-4, abs=1e-6)
        four = 4 / len(noise) ** 0.5
        assert abs(noise.mean()) < four and abs(noise.square().mean() - 1) < four * 2**0.5
        length = 30 if gap > 2.5 else 3
        widths = bar.element.locator(".live-nats-row span[style]").evaluate_all(
            "(all) => all.map((span) => parseFloat(span.style.width))"
        )
        shares = [max(0.0, 1 + v / length) / 0.012 for v in (-gap.item(), bound - evidence.item())]
        assert widths[0] == pytest.approx(shares[0], abs=0.01)
        assert widths[0] + widths[1] == pytest.approx(100 / 1.2, abs=0.01)
        assert widths[2] == pytest.approx(min(100, shares[1]), abs=0.01)


@pytest.mark.parametrize(
    ("where", "mean", "gap"), [("top", 0.5, 0.693), ("bottom", 0.4, 0.004), ("middle", 1.0, 0.0)]
)
def test_the_bar_climbs_to_the_best_normal(figure, where, mean, gap):
    bar = figure("bar", reduced_motion="reduce")
    bar.set(image=where, mean=mean, log_var=0.0)
    bar.element.get_by_role("button", name="Climb the ELBO").click()
    reached = bar.numbers()["gap, KL from q to the posterior"]
    assert reached == pytest.approx(gap, abs=0.004)
    state = bar.get()
    for part in ("mean", "log_var"):
        for by in (-0.02, 0.02):
            bar.set(**{part: state[part] + by})
            assert bar.numbers()["gap, KL from q to the posterior"] >= reached - 1e-9
        bar.set(**{part: state[part]})


def kl_terms_by_quadrature(mean: torch.Tensor, sigma: float) -> torch.Tensor:
    """The three parts for round clouds, nats: vaelib's at the nodes of a rule, weighed, (3,)."""
    t = torch.arange(-6.5, 6.5, 0.25, dtype=torch.float64)
    weight = torch.exp(-(t**2) / 2) / torch.exp(-(t**2) / 2).sum()
    log_var = torch.full_like(mean, 2 * math.log(sigma))

    def at(noise: torch.Tensor) -> torch.Tensor:
        terms = vaelib.losses.kl_terms(mean + sigma * noise, mean, log_var)
        return torch.stack([part.mean() for part in terms])

    values = torch.vmap(at)(torch.cartesian_prod(t, t))  # at once, not 2,704 times in Python
    return torch.cartesian_prod(weight, weight).prod(1) @ values


def test_the_three_parts_are_vaelibs_and_turning_moves_only_the_cut(figure):
    figure, g = figure("three-parts"), torch.Generator().manual_seed(9)
    for number in range(20):
        count = 2 + number % 8
        codes = 3 * torch.rand(count, 2, generator=g, dtype=torch.float64) - 1.5
        turn, sigma, spread = (round(x, 2) for x in torch.rand(3, generator=g).tolist())
        turn, sigma, spread = round(90 * turn), 0.2 + 0.8 * sigma, 1.5 * spread
        figure.set(codes=codes.tolist(), turn=turn, sigma=sigma, spread=spread)
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        mean = spread * codes @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
        want = kl_terms_by_quadrature(mean, sigma)
        log_var = torch.full_like(mean, 2 * math.log(sigma))
        rate = vaelib.losses.kl_to_standard_normal(mean, log_var).mean()
        shown = list(figure.numbers().values())
        assert shown == pytest.approx([*want.tolist(), rate.item()], rel=1e-4, abs=2e-6)
        figure.set(turn=0)
        straight = list(figure.numbers().values())
        assert [straight[0], straight[3]] == pytest.approx([shown[0], shown[3]], rel=1e-6)


def test_a_turned_square_has_the_examples_total_correlation(figure):
    figure = figure("three-parts")
    figure.element.get_by_role("button", name="Square").click()
    found = {}
    for turn in (0, 27, 45):
        figure.set(turn=turn)
        found[turn] = list(figure.numbers().values())[1]
    assert found[0] == pytest.approx(0, abs=1e-3)
    assert found[45] == pytest.approx(math.log(2), abs=2e-3)
    assert 1.25 < found[27] < math.log(4)
    dot = figure.element.get_by_role("slider", name="The first code")
    before = figure.get()["codes"]
    dot.focus()
    figure.page.keyboard.press("ArrowRight")
    after = figure.get()["codes"]
    assert after[1:] == before[1:] and after[0] != before[0]  # of the turned code, moved along z1
    c = math.cos(math.pi / 4)
    assert c * (after[0][0] - after[0][1]) == pytest.approx(
        c * (before[0][0] - before[0][1]) + 0.05
    )


def test_a_turn_costs_what_the_kl_and_the_curvature_say(figure):
    figure, g = figure("turn"), torch.Generator().manual_seed(60)
    for _ in range(20):
        a, b, c, d = torch.rand(4, generator=g).tolist()
        turn, ratio, h, beta = (
            round(180 * a),
            1 + 19 * b,
            10 + round(590 * c),
            0.5 + round(31 * d) / 2,
        )
        figure.set(turn=turn, ratio=ratio, curvature=h, beta=beta)
        cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        U = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
        curvature = U @ torch.tensor([h, h / ratio], dtype=torch.float64).diag() @ U.T
        precision = 1 + curvature.diagonal() / beta
        sigma = precision.rsqrt()
        kl = vaelib.losses.kl_to_standard_normal(
            torch.zeros(1, 2, dtype=torch.float64), 2 * sigma.log()[None]
        )
        cost = beta * kl.item() + 0.5 * (curvature.diagonal() * sigma**2).sum().item()
        whole = torch.eye(2, dtype=torch.float64) + curvature / beta
        bound = beta / 2 * torch.logdet(whole).item()
        want = [bound, cost - bound, cost, *curvature.diagonal().tolist(), *sigma.tolist()]
        assert list(figure.numbers().values()) == pytest.approx(want, rel=1e-4, abs=1e-6)


def test_the_turns_pairs_are_those_of_the_model_that_ships(figure):
    figure, rows = figure("turn"), results("answers")["prediction"]["latents"].values()
    x, y, scale = sorted((row["by_variance"] for row in rows), reverse=True)
    for name, other in (
        ("x and y", y),
        ("x and y, y's range halved", y / 4),
        ("x and scale", scale),
    ):
        figure.element.get_by_role("button", name=name, exact=True).click()
        state = figure.get()
        assert (state["curvature"], state["beta"]) == (round(x), 4)
        assert state["ratio"] == pytest.approx(x / other, rel=5e-3)
    # the wide direction is dragged: to the right, a turn by 90 degrees
    dot = figure.element.get_by_role("slider", name="The end of the wide direction")
    box = figure.element.locator(".live-plane").bounding_box()
    figure.page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.46 * box["height"])
    assert abs(figure.get()["turn"] - 90) <= 4 and dot.get_attribute("aria-valuetext")


def density_of_the_second_world(law, turn: float, image: list[float]) -> tuple[float, list]:
    """At an image, from the map's Jacobian matrix by autograd; and its code there."""
    normal = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    back = torch.tensor([[c, s], [-s, c]], dtype=torch.float64)

    def code_of(x: torch.Tensor) -> torch.Tensor:
        y = x if law is normal_law else normal.icdf(law.cdf(x))
        turned = back @ y
        return turned if law is normal_law else law.icdf(normal.cdf(turned))

    x = torch.tensor(image, dtype=torch.float64)
    code = code_of(x)
    slope = torch.autograd.functional.jacobian(code_of, x)
    density = law.log_prob(code).sum().exp() * torch.linalg.det(slope).abs()
    return density.item(), code.tolist()


normal_law = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
WIDE = torch.tensor(math.sqrt(3), dtype=torch.float64)
PRIORS = {
    "uniform": torch.distributions.Uniform(-WIDE, WIDE),
    "normal": normal_law,
    "exponential": torch.distributions.TransformedDistribution(
        torch.distributions.Exponential(torch.ones((), dtype=torch.float64)),
        torch.distributions.AffineTransform(torch.tensor(-1.0, dtype=torch.float64), 1.0),
    ),
}


def test_two_worlds_have_one_density_and_two_codes(figure):
    figure, g = figure("two-models"), torch.Generator().manual_seed(61)
    draws = torch.randn(40_000, 2, generator=g, dtype=torch.float64)
    for number in range(20):
        name = list(PRIORS)[number % 3]
        law, turn = PRIORS[name], round(90 * torch.rand(1, generator=g).item())
        image = law.icdf(0.03 + 0.94 * torch.rand(2, generator=g, dtype=torch.float64)).tolist()
        figure.set(prior=name, turn=turn, image=image)
        density, code = density_of_the_second_world(law, turn, image)
        plain = law.log_prob(torch.tensor(image, dtype=torch.float64)).sum().exp().item()
        assert density == pytest.approx(plain, rel=1e-6)
        shown = list(figure.numbers().values())
        want = [plain, density, image[0], code[0], image[1], code[1]]
        assert shown[:6] == pytest.approx(want, rel=1e-4, abs=1e-4)
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        first = c * draws[:, 0] + s * draws[:, 1]  # the second world's z1, before the way back
        for value, old in zip(shown[6:], draws.T):
            ranks = torch.stack([v.argsort().argsort().double() for v in (first, old)])
            assert value == pytest.approx(torch.corrcoef(ranks)[0, 1].item(), abs=0.02)


def test_the_second_worlds_dots_keep_the_law_and_mix_the_colours(figure):
    figure = figure("two-models")
    dots = """(planes) => planes.map((p) => [...p.querySelectorAll(".live-points circle")].map(
      (c) => [+c.getAttribute("cx"), +c.getAttribute("cy"), c.style.fill]))"""
    moved = {}
    for turn in (0, 45):
        figure.set(prior="uniform", turn=turn)
        first, second = figure.element.locator(".live-plane").evaluate_all(dots)
        place = torch.tensor([[x, y] for x, y, _ in second])
        assert [c for *_, c in first] == [c for *_, c in second]
        assert place.min() >= 34 and place.max() <= 392
        for side in place.T:  # as many left as right, above as below
            assert abs((side < side.mean()).double().mean() - 0.5) < 0.1
        moved[turn] = (place - torch.tensor([[x, y] for x, y, _ in first])).abs().mean()
    assert moved[0] == 0 and moved[45] > 30


RING = {"bottom": [0, -1.5], "top": [0, 1.6], "side": [1.5 * math.sin(1.44), -1.5 * math.cos(1.44)]}


def both_estimators(x, mean, log_var, baseline, noise) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each draw the gradient by the mean of q on the ring: pathwise, score function."""
    at, wide = torch.tensor([mean, log_var], dtype=torch.float64)
    each = at.expand(len(noise)).clone().requires_grad_()
    z = vaelib.models.draw_latents(each, wide.expand_as(each), noise)
    ring = 1.5 * torch.stack([torch.sin(1.8 * z), -torch.cos(1.8 * z)], 1)
    f = vaelib.losses.gaussian_log_likelihood(x.expand_as(ring), ring, math.log(0.3))
    (pathwise,) = torch.autograd.grad(f.sum(), each, retain_graph=True)
    log_q = torch.distributions.Normal(each, (wide / 2).exp()).log_prob(z.detach())
    (score,) = torch.autograd.grad(((f.detach() - baseline) * log_q).sum(), each)
    return pathwise, score


def test_both_estimators_are_autograds_and_their_spreads_are_measured(figure):
    race, g = figure("estimators", reduced_motion="reduce"), torch.Generator().manual_seed(41)
    epsilon = (torch.arange(16000, dtype=torch.float64) + 0.5) / 1000 - 8
    density = torch.distributions.Normal(0.0, 1.0).log_prob(epsilon).exp() / 1000
    for seed in range(20):
        image = ("bottom", "side", "top")[seed % 3]
        x = torch.tensor(RING[image], dtype=torch.float64)
        mean, log_var, baseline = torch.rand(3, generator=g, dtype=torch.float64).sub(0.5).tolist()
        mean, log_var, baseline, draws = 4 * mean, 5 * log_var - 1, 60 * baseline - 20, 6 + 9 * seed
        state = dict(image=image, mean=mean, log_var=log_var, baseline=baseline)
        race.set(**state, seed=seed, draws=draws)
        noise = torch.tensor(race.get()["noise"], dtype=torch.float64)
        assert len(noise) == draws

        all_of_them = both_estimators(x, mean, log_var, baseline, epsilon)
        exact = [(density * estimate).sum() for estimate in all_of_them]
        assert exact[0].item() == pytest.approx(exact[1].item(), rel=1e-6, abs=1e-8)  # unbiased
        spread = [(density * (each - exact[0]) ** 2).sum().sqrt() for each in all_of_them]
        drawn = both_estimators(x, mean, log_var, baseline, noise)
        want = [exact[0], *(part.mean() for part in drawn), *spread, (spread[1] / spread[0]) ** 2]
        shown = list(race.numbers().values())
        assert shown == pytest.approx([w.item() for w in want], rel=1e-4, abs=1e-4)
        for estimate, sd in zip(shown[1:3], shown[3:5], strict=True):
            assert abs(estimate - shown[0]) < 4.5 * sd / draws**0.5


def test_the_best_baseline_is_the_lowest_spread_and_the_race_runs_to_its_end(figure):
    race = figure("estimators", reduced_motion="reduce")
    race.set(mean=0.4, log_var=-1.0, baseline=10)
    shown = "score function, standard deviation of one draw"
    race.element.get_by_role("button", name="Best baseline").click()
    best, least = race.get()["baseline"], race.numbers()[shown]
    for other in (best - 2, best + 2):
        race.set(baseline=other)
        assert race.numbers()[shown] > least
    race.element.get_by_role("button", name="Race").click()
    assert race.get()["draws"] == 400
    race.set(mean=0.0, log_var=1.4)  # a wide q: the slopes are the noisier, as the page says
    race.element.get_by_role("button", name="Best baseline").click()
    assert race.numbers()["score-function draws worth one pathwise draw"] < 1
    dot = race.element.get_by_role("slider", name="Mean of q and baseline b")
    dot.focus()
    race.page.keyboard.press("ArrowRight")
    assert race.get()["mean"] == pytest.approx(0.05)


class Logistic:
    """A logistic of this location and scale."""

    def __init__(self, location: torch.Tensor, scale: float):
        self.location, self.scale = location, scale

    def cdf(self, v: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((v - self.location) / self.scale)

    def log_prob(self, v: torch.Tensor) -> torch.Tensor:
        return (self.cdf(v) * (1 - self.cdf(v)) / self.scale).log()


def test_a_level_costs_what_vaelib_and_torch_say(figure):
    bits, g = figure("eight-bits"), torch.Generator().manual_seed(31)
    u = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000 - 0.5
    for index in range(20):
        level = (0, 255, int(torch.randint(0, 256, (), generator=g)))[index % 3]
        sigma = 0.3 * 200 ** torch.rand((), generator=g, dtype=torch.float64).item()
        t = 6 * torch.rand((), generator=g, dtype=torch.float64).item() - 3
        location, family = level + t * sigma, ("normal", "logistic")[index % 2]
        bits.set(level=level, location=location, sigma=sigma, family=family)
        kind = Logistic if family == "logistic" else torch.distributions.Normal
        law = kind(torch.tensor(location, dtype=torch.float64), sigma)
        edges = torch.tensor([level - 0.5, level + 0.5, -0.5, 255.5], dtype=torch.float64)
        lower, upper, below, to_the_last = law.cdf(edges)
        cube = upper - lower
        folded = {0: upper, 255: 1 - lower}.get(level, cube)
        if family == "logistic":
            scaled = [torch.tensor([[v / 255]], dtype=torch.float64) for v in (level, location)]
            ours = vaelib.losses.discretised_logistic_log_likelihood(
                *scaled, torch.tensor(sigma / 255, dtype=torch.float64).log()
            )
            assert folded.log().item() == pytest.approx(ours.item(), rel=1e-6)
        dequantised, naive = law.log_prob(level + u).mean(), law.log_prob(edges[0] + 0.5)
        nats = torch.stack([folded.log(), cube.log(), dequantised, naive])
        want = vaelib.losses.bits_per_dimension(nats, 1).tolist()
        want += [below.item(), 1 - to_the_last.item()]
        assert list(bits.numbers().values()) == pytest.approx(want, rel=1e-4, abs=1e-9)


def test_the_buttons_of_the_eight_bits_show_what_the_page_says(figure):
    bits = figure("eight-bits")

    def after(name: str) -> list[float]:
        bits.element.get_by_role("button", name=name).click()
        return list(bits.numbers().values())

    folded, cube, dequantised, *_ = after("A black border")
    assert folded < 1.05 and 5 < cube <= dequantised < cube + 0.01
    folded, cube, *_ = after("Blacker than black")
    assert folded < 0.01 and cube > 8
    folded, cube, dequantised, naive, *_ = after("A certain decoder")
    assert naive < 0 < cube < dequantised
    whole = bits.element.locator("svg.live-levels").first.bounding_box()
    bits.page.mouse.click(
        whole["x"] + whole["width"] * (8 + 384 * 180 / 415) / 400, whole["y"] + 40
    )
    assert bits.get()["location"] == pytest.approx(100, abs=1)
    bits.element.get_by_role("slider", name="Level y").focus()
    bits.page.keyboard.press("ArrowRight")
    assert bits.get()["level"] == 101


def test_the_scores_are_vaelibs_of_the_same_code(figure):
    figure, g = figure("scores"), torch.Generator().manual_seed(14)
    rows = torch.arange(1024)
    factors = torch.stack([rows // 4 % 4, rows % 4], 1)
    for seed in range(20):
        turn, pack, noise, bend = torch.rand(4, generator=g).tolist()
        copies, dead = seed % 2, seed // 2 % 4
        figure.set(
            turn=round(90 * turn),
            pack=pack if seed % 3 == 0 else 0,
            noise=noise if seed % 4 else 0,
            bend=1.5 * bend if seed % 5 else 0,
            copies=copies,
            dead=dead,
            draws=("mean", "draw")[seed // 5 % 2],
            seed=seed,
        )
        codes = torch.tensor(figure.get()["codes"], dtype=torch.float64).T
        assert codes.shape == (1024, 2 + 2 * copies + dead)
        known = disentanglement.mutual_information(codes, factors)
        share = known / known.sum(0).clamp(min=1e-300)  # in the place of the trees' importance
        shown = figure.numbers()
        drawn = {name: shown.pop(f"{name} score") for name in ("beta-VAE", "FactorVAE")}
        assert shown == pytest.approx(
            {
                "MIG": disentanglement.mig(codes, factors),
                "SAP, by correlation": disentanglement.sap(codes, factors, "r2"),
                "disentanglement": disentanglement._concentration(share),
                "completeness": disentanglement._concentration(share.T),
            },
            rel=1e-4,
            abs=1e-9,
        )
        cells = figure.element.locator(".live-matrix tr td:not(:first-child)").all_inner_texts()
        assert [float(cell) for cell in cells] == pytest.approx(
            (known / math.log(4)).flatten().tolist(), abs=0.0051
        )
        for name, score in (
            ("beta-VAE", disentanglement.beta_vae_score),
            ("FactorVAE", disentanglement.factor_vae_score),
        ):
            want = score(codes, factors, groups=(300, 3000), seed=seed)
            error = (max(want * (1 - want), 0.01) * (1 / 300 + 1 / 3000)) ** 0.5
            assert abs(drawn[name] - want) < 4 * error, (seed, name)


def test_the_presets_have_the_propositions_scores(figure):
    figure = figure("scores")
    known = {  # prop:known-scores, row by row; noise has the histogram's bias instead of zero
        "Perfect": [1, 1, 1, 1, 1, 1],
        "Duplicated": [0, 0, 1, 0.5, 1, 1],
        "Rotated": [0, 0, 0, 0, 0.5, 0.5],
        "Packed": [1, 0.5, 0, 1, 1, 0.5],
        "Noise": [0, 0, 0, 0, 0.5, 0.5],
    }
    for preset, scores in known.items():
        figure.element.get_by_role("button", name=preset).click()
        shown = list(figure.numbers().values())
        assert shown[:4] == pytest.approx(scores[:4], abs=0.03), preset
        assert shown[4:] == pytest.approx(scores[4:], abs=4 * 0.5 / 300**0.5), preset


PRICES = {  # the models of the figure "price", each a run of sprites.json
    "sprites-vae": ("beta-vae", 1, 0),
    "sprites-beta4": ("beta-vae", 4, 0),
    "sprites-beta16": ("beta-vae", 16, 0),
    "sprites-beta-vae": ("falling-beta", 4, 2),
    "sprites-annealed": ("annealed-capacity", 10, 0),
}


def strips_are_drawn(price):
    price.page.wait_for_function(
        "document.querySelector('figure.live').get().undrawn === 0", timeout=60_000
    )


def test_the_price_shows_the_studys_records_and_what_each_latent_does(figure):
    price, g = figure("price"), torch.Generator().manual_seed(15)
    sprites, runs = vaelib.load("sprites", image_size=32), {}
    for run in results("sprites")["runs"]:
        runs[run["method"], run["weight"], run["seed"]] = run
    for number in range(20):
        name = list(PRICES)[number % 5]
        method, weight, _ = PRICES[name]
        record, latent = (int(torch.randint(n, (), generator=g)) for n in (50, 10))
        value, shape = round(6 * torch.rand((), generator=g).item() - 3, 1), number % 3
        start = ("square", "ellipse", "heart")[shape]
        price.set(model=name, start=start, latent=latent, value=value, record=record)
        history = runs[PRICES[name]]["history"]
        step, costs = history["steps"][record], history["kl_per_dimension"][record]
        d, rate = history["reconstruction"][record], sum(costs)
        want = {"distortion D": d, "rate R, the bars' sum": rate}
        if method == "annealed-capacity":
            want["capacity C"] = vaelib.objectives.linear(0, 10, 4000)(step)
        else:
            falling = vaelib.objectives.falling(40, 4, 2000)(step)
            want["price β"] = beta = falling if method == "falling-beta" else weight
            want["D + βR, which training lowers"] = d + beta * rate
        want["latents in use, KL above 0.1 nats"] = sum(kl > 0.1 for kl in costs)
        assert price.numbers() == pytest.approx(want, rel=1e-4)
        last = history["kl_per_dimension"][-1]
        order = sorted(range(10), key=lambda j: -last[j])
        words = price.element.locator(".live-latents button").all_inner_texts()
        assert words == [f"z{j + 1}: {costs[j]:.2f} nats" for j in order]
        dead = price.element.locator(".live-latents li").evaluate_all(
            "(rows) => rows.map((row) => row.className === 'dead')"
        )
        assert dead == [costs[j] <= 0.1 for j in order]

        model = vaelib.load_pretrained(name).eval()
        image = sprites.images(torch.tensor([[shape, 4, 0, 16, 16]])).float() / 255
        with torch.no_grad():
            origin = model.encode(image)[0]
            z = origin.repeat(7, 1)
            z[0, latent] = value
            z[1:, order[0]] = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
            drawn = model.expected_image(model.decode(z))[:, 0]
            rebuilt = model.expected_image(model.decode(origin))[0, 0]
        assert (price.pixels(10) - rebuilt).abs().max() < 1.01 / 255
        assert (price.pixels(11) - drawn[0]).abs().max() < 1.01 / 255
        if number < 5:
            strips_are_drawn(price)
            strip = torch.stack([price.pixels(0)[:, 34 * i : 34 * i + 32] for i in range(6)])
            assert (strip - drawn[1:]).abs().max() < 1.01 / 255


def test_the_price_is_played_from_the_keyboard_and_loads_a_model_when_it_is_chosen(figure):
    price = figure("price", reduced_motion="reduce")

    def loaded() -> set[str]:
        return {name for name in PRICES if any(f"/{name}.js" in url for url in price.files)}

    assert loaded() == {"sprites-vae"}
    price.element.get_by_label("β falls from 40 to 4").check()
    price.page.wait_for_function(
        "document.querySelector('figure.live').get().model === 'sprites-beta-vae'"
    )
    assert loaded() == {"sprites-vae", "sprites-beta-vae"}
    assert price.get()["latent"] == 3  # the dearest
    price.element.get_by_label("Step").focus()
    price.page.keyboard.press("Home")
    assert price.get()["record"] == 0 and price.numbers()["price β"] == pytest.approx(35.65, 1e-3)
    price.page.keyboard.press("ArrowRight")
    assert price.get()["record"] == 1
    price.element.get_by_role("button", name="Play the training").press("Enter")
    price.page.wait_for_function("document.querySelector('figure.live').get().record > 3")
    price.element.get_by_role("button", name="Pause").click()
    before = price.get()["record"]
    price.page.wait_for_timeout(400)
    assert price.get()["record"] == before
    price.element.get_by_role("button", name="z9:").press("Space")
    assert price.get()["latent"] == 8


def test_what_cannot_be_loaded_is_said_in_one_line(figure):
    price = figure("price")
    price.page.evaluate(
        "() => { live.load = () => Promise.reject(new Error('weights cannot be loaded')); }"
    )
    price.element.get_by_label("β = 16").click()
    price.page.wait_for_function(
        "document.querySelector('figure.live').innerText.includes('weights cannot be loaded.')"
    )
    assert price.get()["model"] == "sprites-vae"
    assert price.element.get_by_label("β = 1", exact=True).is_checked()


def test_the_rate_distortion_plane_shows_the_studies_rows_and_pictures(figure):
    shown, g = figure("rate-distortion"), torch.Generator().manual_seed(16)
    rows = {
        "latents": results("07-latent-dimension"),
        "prices": results("08-beta-vae")["digits"],
    }
    ones, sheets = {}, {}
    for kind in rows:
        ones[kind] = json.loads((FOLDER / f"models-{kind}.json").read_text())
        with Image.open(FOLDER / f"models-{kind}.png") as sheet:
            sheets[kind] = torch.tensor(list(sheet.getdata())).view(-1, sheet.width) / 255
    for number in range(20):
        kind = list(rows)[number % 2]
        at = int(torch.randint(len(ones[kind]), (), generator=g))
        key, one = list(ones[kind].items())[at]
        shown.set(kind=kind, at=at)
        rate, distortion = (rows[kind][key][term]["mean"] for term in ("rate", "distortion"))
        assert shown.numbers() == pytest.approx(
            {
                "rate R": rate,
                "distortion D": distortion,
                "R + D, the negative ELBO": rate + distortion,
                "latents in use, KL above 0.1 nats": sum(kl > 0.1 for kl in one["kl"]),
            },
            rel=1e-4,
        )
        assert shown.element.locator(".live-kl rect").count() == len(one["kl"])
        rebuilt, drawn = sheets[kind][28 * (at + 1) : 28 * (at + 2)].chunk(2, 1)
        for place, strip in enumerate((sheets[kind][:28, :224], rebuilt, drawn)):
            assert (shown.pixels(place) - strip).abs().max() < 1.01 / 255


@pytest.mark.parametrize("kind", ["latents", "prices"])
def test_a_model_of_the_plane_is_one_of_the_runs_of_its_row(kind):
    rows = results("07-latent-dimension" if kind == "latents" else "08-beta-vae")
    rows = rows if kind == "latents" else rows["digits"]
    models = json.loads((FOLDER / f"models-{kind}.json").read_text())
    keys = {key for key in rows if re.fullmatch(r"[zb]\d+", key)}
    assert set(models) == keys, "the study that made the results makes these anew"
    for key, one in models.items():  # one of three lies within 1.16 deviations of their mean
        for term, value in (("distortion", one["distortion"]), ("rate", sum(one["kl"]))):
            row = rows[key][term]
            assert abs(value - row["mean"]) < 1.16 * row["sd"] + 0.15, (key, term)


def test_the_plane_goes_to_the_nearest_model_and_along_a_curve_by_arrow_keys(figure):
    shown = figure("rate-distortion", has_touch=True)
    dot = shown.element.locator(".live-points circle").nth(5).bounding_box()
    shown.page.mouse.click(dot["x"] + dot["width"] / 2 + 1, dot["y"] + dot["height"] / 2 - 1)
    assert shown.get() == {"kind": "latents", "at": 5}
    shown.element.get_by_role("slider", name="Model").press("ArrowRight")
    assert shown.get() == {"kind": "latents", "at": 6}
    shown.element.get_by_label("price β, at d = 16").check()
    assert shown.get() == {"kind": "prices", "at": 0}
    assert shown.element.locator("output").inner_text() == "β = ¼"


def test_the_water_level_is_the_best_linear_models(figure):
    water, g = figure("water"), torch.Generator().manual_seed(17)
    x = vaelib.load("mnist-5k").train.flatten(1).double() / 255
    variances = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).clamp(min=0)
    for _ in range(20):
        level = round(4 * torch.rand((), generator=g).item() - 3, 2)
        water.set(level=level)
        noise = 10**level
        above = variances[variances > noise]
        assert water.numbers() == pytest.approx(
            {
                "noise σ": noise**0.5,
                "latents used, λ above σ²": len(above),
                "rate, the sum of ½ log(λ / σ²)": 0.5 * (above / noise).log().sum().item(),
                "squared error left in an image": variances.clamp(max=noise).sum().item(),
            },
            rel=1e-4,
        )
        dry = int((variances.sort(descending=True).values[:120] > noise).sum())
        assert water.element.locator("rect.dry").count() == dry
    linear = results("07-latent-dimension")["linear"]["sigma05"]
    water.set(level=math.log10(0.25))
    found = list(water.numbers().values())
    assert found[1:3] == pytest.approx([linear["used"], linear["rate"]], rel=1e-4)


@pytest.fixture(scope="module")
def alive(request, tabs, html):
    """A figure opened on a phone, once for all the tests of what every figure must be."""
    with opened(tabs, html, request.param, width=320) as one:
        yield one


every_figure = pytest.mark.parametrize("alive", FIGURES, indirect=True, scope="module")


@every_figure
def test_a_figure_fits_any_window_and_its_controls_have_names(alive):
    inside = """(figure) => [...figure.querySelectorAll("*")].every((e) =>
      e.closest(".live-said") || e.closest("g") || e.closest("mjx-container") ||
      e.getBoundingClientRect().right <= figure.getBoundingClientRect().right + 1)"""
    for width in (320, 1360):
        alive.page.set_viewport_size({"width": width, "height": 900})
        alive.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")
        assert alive.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
        assert alive.element.evaluate(inside), width
    for control in alive.element.locator("input, select, button").all():
        assert control.evaluate("(c) => (c.labels?.[0] ?? c).textContent.trim()")


# a figure's structure is the same in the dark, so there only its colours are looked at
RULES = {
    "light": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "dark": {"type": "rule", "values": ["color-contrast"]},
}


@every_figure
def test_axe_finds_nothing(alive):
    alive.page.set_viewport_size({"width": 1360, "height": 900})
    for scheme, rules in RULES.items():
        alive.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        alive.page.evaluate("(mode) => document.documentElement.dataset.theme = mode", scheme)
        # a colour on its way from one mode to the other is neither's
        alive.page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
        options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        found = Axe().run(alive.page, context=f"#live-{alive.name}", options=options)
        assert found.violations_count == 0, found.generate_report()


@every_figure
def test_a_figure_is_light_and_loads_only_when_near(alive, html, tabs):
    name = alive.name
    ours = {url.removeprefix("file://") for url in alive.files if "/live/" in url}
    ours = [Path(url.partition("?")[0]) for url in ours]
    weight = sum(path.stat().st_size for path in ours) + (FOLDER / f"{name}.png").stat().st_size
    print(f"{name}: {weight / 1000:.0f} kB")
    assert weight < 1.5e6
    text, start = (html / f"{name}.html").read_text(), '<figure class="live"'
    (html / "far.html").write_text(
        text.replace(start, f'<div style="height: 3000px"></div>{start}')
    )
    requests = []
    with tabs.lent(320, 900, {"request": lambda r: requests.append(r.url)}) as page:
        page.goto(f"file://{html}/far.html")
        page.wait_for_timeout(300)
    assert any(url.partition("?")[0].endswith("live/live.js") for url in requests)
    assert not [url for url in requests if url.endswith(("network.js", "stage.js", f"{name}.js"))]


@every_figure
def test_without_javascript_and_in_print_the_picture_is_there(alive, tabs, html):
    with tabs.lent(java_script_enabled=False) as page:
        page.goto(f"file://{html}/{alive.name}.html")
        image = page.locator("img.live-still")
        assert image.is_visible() and len(image.get_attribute("alt")) > 100
    still = alive.element.locator("img.live-still")
    assert not still.is_visible()
    alive.page.emulate_media(media="print")
    assert still.is_visible() and not alive.element.locator(".live-body").is_visible()
    alive.page.emulate_media(media="screen")


def test_the_directive_refuses_what_is_missing(tmp_path):
    whole = dict(name="plane", alt=":alt: words\n", caption=":caption: words\n", question="Why?\n")
    page = "```{{live}} {name}\n{alt}{caption}\n{question}```"
    lacks = {
        "script": (whole | dict(name="nowhere"), "book/live/nowhere.js is missing"),
        "words": (whole | dict(alt=""), "its alternative text is missing"),
        "line": (whole | dict(caption=""), "its line below it is missing"),
        "question": (whole | dict(question=""), "its question is missing"),
    }
    pages = {name: page.format(**parts) for name, (parts, _) in lacks.items()}
    _, said = build(tmp_path / "source", pages, "dummy")
    for name, (_, message) in lacks.items():
        assert re.search(rf"{name}\.md:3: ERROR: live figure .*{message}", said), said
    assert said.count("ERROR") == len(lacks)

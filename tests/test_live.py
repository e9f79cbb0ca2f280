"""Live figures in a real browser: the engine against PyTorch, each figure's numbers against vaelib."""

import sys
from functools import cache

import pytest
import torch
from test_book import browser  # noqa: F401

import vaelib
from notebooks import ROOT
from vaelib import pretrained

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import live

FOLDER = ROOT / "book" / "live"


@pytest.fixture(scope="module")
def engine(browser):  # noqa: F811
    page = browser.new_page()
    page.add_script_tag(content=(FOLDER / "engine.js").read_text())
    yield page
    page.close()


RUN = """([name, images, codes]) => {
  const model = vaelib.model(name);
  const sides = images.map((x) => model.encode(x)), outputs = codes.map((z) => model.decode(z));
  return { mean: sides.map((s) => [...s.mean]), log_var: sides.map((s) => [...s.log_var]),
           output: outputs.map((o) => [...o]), expected: outputs.map((o) => [...model.expected_image(o)]) };
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
    got = page.evaluate(RUN, [name, x.flatten(1).tolist(), z.tolist()])
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
    engine.add_script_tag(content=live.model_script(name))
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
    engine.add_script_tag(content=live.model_script(name))
    assert differs(engine, name, model, torch.rand(50, *model.image_shape)) < 1e-4


def test_the_generator_draws_uniforms_and_normals(engine):
    draws = engine.evaluate("""() => [0, 1, 12345].map((seed) => {
      const g = vaelib.generator(seed);
      return { u: Array.from({ length: 20000 }, g.uniform), n: Array.from({ length: 20000 }, g.normal) };
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

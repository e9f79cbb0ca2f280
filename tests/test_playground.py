"""The playground: its gradients are autograd's, its bugs are caught, its training is PyTorch's."""

import json

import pytest
import torch
from course import live_data
from test_live import ENGINE, FOLDER, figure, html  # noqa: F401, fixtures
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, linear, relu

import vaelib
from vaelib import metrics

SCRIPTS = (ENGINE, FOLDER / "trainer.js", FOLDER / "clinic.js")


@pytest.fixture(scope="module")
def trainer(tabs):
    """A page with the training's scripts and digits, where ``trainer`` is what trainer.js makes."""
    with tabs.lent() as page:
        begin(page)
        yield page


def begin(page) -> None:
    page.add_script_tag(content="window.live = {}")
    for script in SCRIPTS:
        page.add_script_tag(content=script.read_text())
    page.add_script_tag(content=live_data.small_digits_script())
    page.add_script_tag(
        content="""
        const trainer = live.trainer(vaelib), digits = VAELIB_DATA["digits-14"];
        const unpacked = (text) => Float64Array.from([...vaelib.bytesOf(text)].flatMap((byte) =>
          Array.from({ length: 8 }, (_, i) => (byte >> (7 - i)) & 1)));
        const images = unpacked(digits.bits), test = unpacked(digits.test_bits);
        const plain = (tensors) => Object.fromEntries(
          Object.entries(tensors).map(([name, values]) => [name, [...values]]));"""
    )


BUGS = {
    "none": {},
    "log_var_as_sigma": {"std": lambda log_var: log_var},
    "half_log_var": {"std": lambda log_var: log_var / 2},
    "variance_as_sigma": {"std": torch.exp},
    "detached": {"z": torch.Tensor.detach},
    "squashed_twice": {"logits": torch.sigmoid},
    "mean_over_pixels": {"distortion": lambda nats: nats.mean(1)},
    "kl_sign": {"weight": lambda beta: -beta},
    "beta_ignored": {"weight": lambda beta: 1.0},
    "no_kl": {"weight": lambda beta: 0.0},
}


def loss(p, x, noise, beta, bug):
    """The program in PyTorch's words, with one line replaced."""
    line = {
        "std": lambda log_var: (log_var / 2).exp(),
        "z": lambda z: z,
        "logits": lambda logits: logits,
        "distortion": lambda nats: nats.sum(1),
        "weight": lambda beta: beta,
    } | BUGS[bug]

    def layer(name, h):
        return linear(h, p[f"{name}.weight"], p[f"{name}.bias"])

    h = relu(layer("encoder", x))
    mean, log_var = layer("to_mean", h), layer("to_log_var", h)
    z = line["z"](mean + line["std"](log_var) * noise)
    logits = line["logits"](layer("to_logits", relu(layer("decoder", z))))
    nats = binary_cross_entropy_with_logits(logits, x, reduction="none")
    kl = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).sum(1)
    return (line["distortion"](nats) + line["weight"](beta) * kl).mean()


GRADIENTS = """(text) => {
  const { p, x, noise, beta, bug } = JSON.parse(text);
  const floats = Object.fromEntries(Object.entries(p).map(([n, v]) => [n, Float64Array.from(v)]));
  return JSON.stringify(plain(trainer.gradients(
    floats, Float64Array.from(x), Float64Array.from(noise), beta, bug)));
}"""


@pytest.mark.parametrize("bug", BUGS)
def test_gradients_are_autograds(trainer, bug):
    pixels, hidden, latent_dim, n = 30, 13, 3, 7
    shapes = {
        "encoder": (hidden, pixels),
        "to_mean": (latent_dim, hidden),
        "to_log_var": (latent_dim, hidden),
        "decoder": (hidden, latent_dim),
        "to_logits": (pixels, hidden),
    }
    differs = 0
    for state in range(5):
        g = torch.Generator().manual_seed(state)

        def normal(*shape, g=g):
            return torch.randn(*shape, generator=g, dtype=torch.float64)

        p = {}
        for name, shape in shapes.items():
            p[f"{name}.weight"] = (normal(*shape) / shape[1] ** 0.5).requires_grad_()
            p[f"{name}.bias"] = (normal(shape[0]) / 3).requires_grad_()
        x, noise = (normal(n, pixels) > 0).double(), normal(n, latent_dim)
        beta = 0.5 + 4 * state / 3
        sent = {name: tensor.flatten().tolist() for name, tensor in p.items()}
        state = dict(p=sent, x=x.flatten().tolist(), noise=noise.flatten().tolist())
        got = json.loads(trainer.evaluate(GRADIENTS, json.dumps(state | dict(beta=beta, bug=bug))))
        want, healthy = (
            torch.autograd.grad(loss(p, x, noise, beta, b), list(p.values()), allow_unused=True)
            for b in (bug, "none")
        )
        for name, grad, right in zip(p, want, healthy, strict=True):
            grad = torch.zeros_like(p[name]) if grad is None else grad
            assert got[name] == pytest.approx(grad.flatten().tolist(), rel=1e-4, abs=1e-8), name
            differs += not torch.allclose(grad, right, rtol=1e-3)
    assert (differs > 0) == (bug != "none")


def test_each_bug_fails_its_own_check_and_the_healthy_program_passes_all(trainer):
    assert trainer.evaluate("trainer.bugs") == list(BUGS)
    failed = trainer.evaluate(
        """trainer.bugs.map((bug) =>
             trainer.checks(bug).filter((check) => !check.passed).map((check) => check.name))"""
    )
    sick = trainer.evaluate("live.clinic.sick")
    assert dict(zip(BUGS, failed, strict=True)) == {"none": []} | {
        bug: [told["check"]] for bug, told in sick.items()
    }
    assert {told["line"] for told in sick.values()} <= set(trainer.evaluate("live.clinic.lines"))
    assert len(sick) == 9 and set(trainer.evaluate("live.clinic.words")) == {
        check for bug in failed for check in bug
    }


def test_the_digits_reach_the_page(trainer):
    train, test, labels, test_labels = live_data.small_digits()
    got = json.loads(
        trainer.evaluate("() => JSON.stringify([[...images], [...test], digits.labels])")
    )
    assert got[0] == train.flatten().tolist() and got[1] == test.flatten().tolist()
    assert got[2] == "".join(map(str, labels.tolist())) and len(test_labels) == 500


# trainings in workers, as the page makes them, one after the other (a worker scores its model every
# 0.4 s, which side by side costs more than the steps); what each says when it has made its steps
RUNS = """async ([hidden, runs]) => {
  const end = ([seed, bug, beta, until]) => new Promise((done) => {
    const worker = live.training_in_worker();
    const setup = { run: 0, images, test, pixels: 196, hidden, latent_dim: 2, seed };
    let last;
    worker.onmessage = ({ data }) => {
      if (data.kind === "score") return (last = data);
      worker.terminate();
      const { steps, distortion, rate, elbo, true_elbo } = last;
      done({ steps, distortion, rate, elbo, true_elbo });
    };
    const options = { beta, learning_rate: 3e-3, bug, until };
    worker.postMessage({ setup, options, running: true });
  });
  const ends = [];
  for (const run of runs) ends.push(await end(run));
  return JSON.stringify(ends);
}"""


def runs(trainer, hidden, *settings):
    return json.loads(trainer.evaluate(RUNS, [hidden, settings]))


def twin(seed: int) -> float:
    """The test ELBO of vaelib's own model after 1,000 steps on the same digits, 32 hidden units."""
    torch.manual_seed(seed)
    train, test, *_ = (images.view(-1, 1, 14, 14) for images in live_data.small_digits()[:2])
    model = vaelib.VAE(image_shape=(1, 14, 14), latent_dim=2, convs=[], hidden=(32,))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(1000):
        if step % 31 == 0:
            order = torch.randperm(len(train))
        x = train[order[64 * (step % 31) : 64 * (step % 31 + 1)]]
        mean, log_var = model.encode(x)
        z = mean + (log_var / 2).exp() * torch.randn(mean.shape)
        log_likelihood = model.log_likelihood(x, model.decode(z))
        kl = vaelib.losses.kl_to_standard_normal(mean, log_var)
        loss = vaelib.losses.negative_elbo(log_likelihood, kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return metrics.elbo(model, test, samples=10).mean().item()


def test_a_training_ends_where_pytorchs_does(trainer):
    own = [
        run["elbo"] for run in runs(trainer, 32, *((seed, "none", 1, 1000) for seed in range(3)))
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    theirs = [twin(seed) for seed in range(3)]
    torch.set_num_threads(threads)
    print(f"in the page {own}, by PyTorch {theirs}")
    assert sorted(own)[1] == pytest.approx(sorted(theirs)[1], rel=0.02)


def test_each_bug_looks_as_the_clinic_says(trainer):
    """300 steps of 48 hidden units each: the words of clinic.js and of the page."""
    settings = {bug: (0, bug, 1, 300) for bug in BUGS} | {"beta 4": (0, "beta_ignored", 4, 300)}
    ends = dict(zip(settings, runs(trainer, 48, *settings.values()), strict=True))
    healthy = ends["none"]
    assert healthy["elbo"] == healthy["true_elbo"]
    better = {bug for bug in BUGS if ends[bug]["elbo"] > healthy["elbo"]}
    assert better == set(BUGS) - {"none", "detached", "squashed_twice", "beta_ignored"}
    worse = {bug for bug in BUGS if ends[bug]["true_elbo"] < healthy["true_elbo"] - 0.5}
    assert worse == set(BUGS) - {"none", "beta_ignored"}
    apart = {bug for bug in BUGS if ends[bug]["elbo"] != ends[bug]["true_elbo"]}
    assert apart == set(BUGS) - {"none", "detached", "beta_ignored"}
    for bug in ("log_var_as_sigma", "half_log_var"):
        assert ends[bug]["rate"] < healthy["rate"] / 3
        assert ends[bug]["true_elbo"] < healthy["true_elbo"] - 10
    wide = ends["variance_as_sigma"]
    assert 0 < wide["elbo"] - healthy["elbo"] < 3 and 1 < healthy["elbo"] - wide["true_elbo"] < 4
    for bug in ("detached", "mean_over_pixels"):
        assert ends[bug]["rate"] < 0.05
    assert ends["detached"]["elbo"] == ends["detached"]["true_elbo"]
    assert ends["mean_over_pixels"]["distortion"] < 1
    assert ends["squashed_twice"]["distortion"] == pytest.approx(135.86, abs=1)
    assert ends["kl_sign"]["elbo"] > 1000
    assert ends["no_kl"]["rate"] > 10
    assert ends["beta 4"] == ends["beta_ignored"] == healthy


# ---- the figure ----


def training(shown, steps, **part):
    """Trains the figure's model to so many steps; what it then knows."""
    shown.set(until=steps, running=True, **part)
    shown.page.wait_for_function(
        "(steps) => (f => !f.get().running && f.get().last?.steps === steps)"
        "(document.querySelector('figure.live'))",
        arg=steps,
    )
    shown.page.wait_for_timeout(200)  # the pictures follow the numbers
    return shown.get()


AGAIN = """([steps, beta, seed, latent_dim, z]) => {
  const run = trainer.training({ images, test, pixels: 196, hidden: 32, latent_dim, seed });
  for (let i = 0; i < steps; i++) run.step({ beta, learning_rate: 0.01, bug: "none" });
  return JSON.stringify([plain(run.parameters), [...run.pictures(Float64Array.from(z), "none")]]);
}"""


def test_the_figure_shows_what_vaelib_computes(figure, trainer):  # noqa: F811
    shown = figure("playground")
    _, test, *_ = live_data.small_digits()
    names = ("encoder.1", "to_mean", "to_log_var", "decoder.0", "decoder.2")
    for seed, beta, latent_dim in ((0, 1, 2), (1, 4, 2), (2, 0.5, 8)):
        state = dict(seed=seed, beta=beta, latent_dim=latent_dim, hidden=32, learning_rate=0.01)
        last = training(shown, 40, **state)["last"]
        order = sorted(range(latent_dim), key=lambda j: -last["kl"][j])
        z = torch.zeros(latent_dim)
        z[order[:2] if latent_dim > 2 else [0, 1]] = torch.tensor([0.5, -0.5])
        parameters, pixels = json.loads(
            trainer.evaluate(AGAIN, [40, beta, seed, latent_dim, z.tolist()])
        )
        assert (shown.pixels(0).flatten() - torch.tensor(pixels)).abs().max() < 1.01 / 255
        model = vaelib.VAE((1, 14, 14), latent_dim, convs=[], hidden=(32,)).eval()
        own = zip(parameters.values(), model.state_dict().items(), strict=True)
        model.load_state_dict({key: torch.tensor(v).view_as(t) for v, (key, t) in own})
        assert {key.rpartition(".")[0] for key in model.state_dict()} == set(names)
        terms = metrics.elbo_terms(model, test.view(-1, 1, 14, 14), samples=20)
        numbers = shown.numbers()
        assert numbers["rate"] == pytest.approx(terms.kl.mean().item(), rel=1e-4)
        one = metrics.elbo_terms(model, test.view(-1, 1, 14, 14)).reconstruction
        error = 4 * (one - terms.reconstruction).std().item() / 500**0.5 + 1e-4
        assert numbers["distortion"] == pytest.approx(terms.reconstruction.mean().item(), abs=error)
        assert numbers["−ELBO, reported"] == pytest.approx(numbers["distortion"] + numbers["rate"])
        with torch.no_grad():
            assert (
                model.decode(z[None]).sigmoid().flatten() - torch.tensor(pixels)
            ).abs().max() < 1e-4
        assert last["kl"] == pytest.approx(
            metrics.kl_per_dimension(model, test.view(-1, 1, 14, 14)).tolist(), rel=1e-4, abs=1e-6
        )


def test_what_is_turned_takes_hold_while_it_trains(figure):  # noqa: F811
    shown = figure("playground")
    shown.element.get_by_role("button", name="Train").click()
    shown.page.wait_for_function("document.querySelector('figure.live').get().last?.steps > 20")
    shown.set(beta=8)
    shown.page.wait_for_function(
        "(f => f.get().last.steps > 60 && f.get().last.rate < 1.5)"
        "(document.querySelector('figure.live'))"
    )
    shown.element.get_by_role("button", name="Pause").click()
    shown.page.wait_for_timeout(500)
    steps = shown.get()["last"]["steps"]
    shown.page.wait_for_timeout(500)
    assert shown.get()["last"]["steps"] == steps
    shown.element.get_by_role("button", name="One step").click()
    shown.page.wait_for_function(
        f"document.querySelector('figure.live').get().last.steps === {steps + 1}"
    )
    assert "steps, " in shown.element.locator(".live-clock").inner_text()


def test_nothing_trains_out_of_sight(figure):  # noqa: F811
    shown = figure("playground")
    shown.set(running=True)
    shown.page.wait_for_function("document.querySelector('figure.live').get().last?.steps > 5")
    shown.page.evaluate(
        "document.querySelector('figure.live').style.marginTop = '5000px'; scrollTo(0, 0)"
    )
    shown.page.wait_for_timeout(600)
    steps = shown.get()["last"]["steps"]
    shown.page.wait_for_timeout(900)
    assert shown.get()["last"]["steps"] == steps
    shown.element.scroll_into_view_if_needed()
    shown.page.wait_for_function(
        f"document.querySelector('figure.live').get().last.steps > {steps}"
    )


def test_a_hidden_bug_is_found_by_its_line(figure):  # noqa: F811
    shown = figure("playground")
    sick = shown.page.evaluate("live.clinic.sick")
    shown.element.get_by_role("combobox", name="Bug").select_option("hidden")
    state = shown.get()
    assert state["secret"] and state["bug"] in sick
    buttons = shown.element.locator(".live-program button")
    assert buttons.all_inner_texts() == list(shown.page.evaluate("live.clinic.lines").values())
    lines, truth = list(shown.page.evaluate("live.clinic.lines")), sick[state["bug"]]
    wrong = next(i for i, line in enumerate(lines) if line != truth["line"])
    buttons.nth(wrong).click()
    assert "Not this line" in shown.element.locator(".live-verdict").inner_text()
    shown.element.get_by_role("button", name="A hint").click()
    assert shown.element.locator(".live-verdict").inner_text() == truth["hint"]
    shown.element.get_by_role("button", name="Run the five checks").click()
    assert shown.element.locator(".live-checks .failed").count() == 1
    buttons.nth(lines.index(truth["line"])).click()
    assert truth["name"] in shown.element.locator(".live-verdict").inner_text()
    assert buttons.nth(lines.index(truth["line"])).inner_text() == truth["code"]
    buttons.nth(wrong).click()  # it is solved: the answer stays
    assert truth["name"] in shown.element.locator(".live-verdict").inner_text()
    shown.element.get_by_role("button", name="Another bug").click()
    assert shown.get()["secret"] and shown.get()["bug"] != state["bug"]
    assert shown.element.locator(".live-checks li").count() == 0
    shown.page.wait_for_function("document.querySelector('figure.live').get().last")
    shown.element.get_by_role("button", name="Second opinion").click()
    assert (
        "The healthy program scores these weights"
        in shown.element.locator(".live-verdict").inner_text()
    )


def test_a_chapters_link_brings_its_setting(figure):  # noqa: F811
    shown = figure("playground")
    for name, part in {
        "playground-bug": {"secret": True, "latent_dim": 2},
        "playground-beta": {"bug": "none", "latent_dim": 8, "beta": 0.5},
        "playground-plain": {"bug": "none", "latent_dim": 2, "beta": 1},
    }.items():
        shown.page.evaluate(f"location.hash = '{name}'")
        shown.page.wait_for_timeout(100)
        state = shown.get()
        assert state | part == state
    text = {
        number: next(FOLDER.parent.glob(f"{number}-*.md")).read_text()
        for number in ("05", "06", "08")
    }
    for number, name in (("05", "plain"), ("06", "bug"), ("08", "beta")):
        assert f"<playground-{name}>`" in text[number]


def test_weights_that_leave_stop_the_training_with_a_word(figure):  # noqa: F811
    shown = figure("playground")
    shown.set(bug="kl_sign", learning_rate=0.03, hidden=16, running=True)
    shown.page.wait_for_function(
        "document.querySelector('.live-verdict').textContent.includes('the weights have left')"
    )
    assert not shown.get()["running"]

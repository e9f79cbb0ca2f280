"""The command line: what it trains, writes and says; killed and stopped for real; each mistake in
one line, with status 2.
"""

import csv
import hashlib
import html
import html.parser
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future

import forks
import numpy as np
import pytest
import torch
from common import TINY
from PIL import Image
from test_data import write_idx_set
from tqdm import tqdm

import vaelib
from vaelib import disentanglement
from vaelib.experiments import (
    cli,
    finished_run,
    from_config,
    measure,
    report,
    run,
    sweep,
    workers,
)
from vaelib.experiments.schema import SECTIONS
from vaelib.history import History

CONFIG = TINY.replace("{epochs}", "2") + "learning_rate = 1e-2\nseed = 3\n"
PICTURES = run.pictures
FILES = {
    "config.cfg",
    "metrics.jsonl",
    "checkpoint.pt",
    "checkpoint.previous.pt",
    "model.safetensors",
    "reconstructions.png",
    "samples.png",
    "manifold.png",
    "traversals.png",
    "results.json",
    "report.html",
    "pictures.json",
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Sixty small pictures in two classes."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for i in range(60):
        path = root / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    return root


@pytest.fixture
def here(images, tmp_path, monkeypatch):
    """A folder to work in, with tiny.cfg in it; the pictures of a report, which take a second, are
    left to one test.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(run, "pictures", lambda model, images: {})
    (tmp_path / "tiny.cfg").write_text(CONFIG.format(images=images))
    return tmp_path


@pytest.fixture
def vae(here, capsys):
    """Type a command; (status, stdout, stderr)."""

    def run(command, status=0):
        found = cli.main(shlex.split(command))
        out, err = capsys.readouterr()
        assert found == status, err
        assert status != 0 or err == "", err
        return out, err

    return run


def weights(run):
    return torch.cat(
        [t.flatten() for t in vaelib.load_model(run / "model.safetensors").state_dict().values()]
    )


def change(here, *changes, name="tiny.cfg"):
    text = (here / "tiny.cfg").read_text()
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    (here / name).write_text(text)


def test_beta_acts_and_a_vae_is_beta_1(vae, here):
    for beta in ("0", "1", "4"):
        change(here, ("beta = 4", f"beta = {beta}"), name=f"beta{beta}.cfg")
        vae(f"-c beta{beta}.cfg -v B-VAE --device cpu")
    out, _ = vae("-c beta4.cfg -v VAE --device cpu")
    assert "VAE: beta is 1; not used: beta = 4.0 in beta4.cfg\n" in out
    run = {
        name: weights(here / "runs" / name)
        for name in ("beta0-b-vae", "beta1-b-vae", "beta4-b-vae", "beta4-vae")
    }
    assert torch.equal(run["beta4-vae"], run["beta1-b-vae"])
    assert not torch.equal(run["beta0-b-vae"], run["beta4-b-vae"])
    assert not torch.equal(run["beta1-b-vae"], run["beta4-b-vae"])
    assert not torch.equal(run["beta0-b-vae"], run["beta1-b-vae"])


def test_the_command_trains_what_the_library_does(vae, here, images):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    data = vaelib.load("folder", images, image_size=8, colour=False, binarize=True)
    torch.manual_seed(3)
    model = vaelib.VAE((1, 8, 8), 2, [vaelib.ConvSpec(4)], hidden=8)
    history = vaelib.fit(
        model, data, epochs=2, batch_size=16, learning_rate=1e-2, beta=4.0, seed=3, device="cpu"
    )
    assert torch.equal(
        weights(here / "out"), torch.cat([t.flatten() for t in model.state_dict().values()])
    )
    rows = [json.loads(line) for line in (here / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2] and [row["step"] for row in rows] == [4, 8]
    for part in ("train", "test"):
        assert {term: [row[part][term] for row in rows] for term in rows[0][part]} == getattr(
            history, part
        )
    assert [row["kl_per_dimension"] for row in rows] == history.kl_per_dimension
    found = json.loads((here / "out" / "results.json").read_text())
    assert found["elbo"] == pytest.approx(history.test["elbo"][-1]) and found["length"] == 2


def test_a_learning_rate_falls_as_the_library_lets_it(vae, here, images):
    """Over the eight steps of two epochs; so a longer run is another one, and is refused."""
    falls = ("learning_rate = 1e-2", "learning_rate = 1e-2\nlast_learning_rate = 1e-3")
    change(here, falls)
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    data = vaelib.load("folder", images, image_size=8, colour=False, binarize=True)
    torch.manual_seed(3)
    model = vaelib.VAE((1, 8, 8), 2, [vaelib.ConvSpec(4)], hidden=8)
    vaelib.fit(
        model,
        data,
        epochs=2,
        batch_size=16,
        learning_rate=vaelib.schedules.falling(1e-2, 1e-3, 8),
        beta=4.0,
        seed=3,
        device="cpu",
    )
    assert torch.equal(
        weights(here / "out"), torch.cat([t.flatten() for t in model.state_dict().values()])
    )
    change(here, ("epochs = 2", "epochs = 3"))
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu --output out --resume", 2)
    assert "learning rate at step 1 " in err and err.count("\n") == 1


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.outside, self.seen = {}, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag == "img":
            self.images[a["alt"]] = a["src"]
        self.outside += [a[k] for k in ("src", "href") if k in a and not a[k].startswith("data:")]

    def handle_data(self, data):
        self.seen.append(data)


def test_a_run_leaves_its_folder_and_one_page_that_shows_it(vae, here, monkeypatch):
    monkeypatch.setattr(run, "pictures", PICTURES)
    out, _ = vae("-c tiny.cfg -v B-VAE --device cpu --output <b>")
    folder = here / "<b>"
    assert {path.name for path in folder.iterdir()} == FILES
    assert out.endswith(f"all of it: {folder.name}/report.html\n") and "50 images 1x8x8" in out
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert (
        page.outside == []
        and "<script" not in text
        and "@import" not in text
        and "url(" not in text
    )
    assert list(page.images) == [
        "learning curves",
        "reconstructions",
        "samples",
        "manifold",
        "latents",
        "traversals",
    ]
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in page.images.values())
    found, shown = json.loads((folder / "results.json").read_text()), " ".join(page.seen)
    assert "<b>" in shown and "<b>" not in text and f"is {found['elbo']:.2f} nats" in shown
    assert "Trained on 50 images of folder for 2 epochs" in shown
    assert f"The ELBO of {found['images']} others" in shown
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    elbos = {part: {"elbo": [row[part]["elbo"] for row in rows]} for part in ("train", "test")}
    assert len(rows) == 2 and report.course(History(**elbos)) in shown
    assert "conv_channels" in shown and "[4]" in shown and "4.0" in shown
    for name in ("reconstructions", "samples", "manifold", "traversals"):
        assert np.asarray(Image.open(folder / f"{name}.png")).std() > 10, "an empty picture"


def wait_for(process, here, epochs):
    metrics = here / "out" / "metrics.jsonl"
    while not metrics.exists() or len(metrics.read_text().splitlines()) < epochs:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


def test_killed_and_stopped_it_goes_on_to_the_same_weights(vae, here, one_thread, monkeypatch):
    """A real process, SIGKILL, then Ctrl-C, gone on with by the command that it names; many kills
    are in test_faults.py.
    """
    change(here, ("epochs = 2", "epochs = 40"), ("batch_size = 16", "batch_size = 4"))
    vae("-c tiny.cfg -v B-VAE --device cpu --output whole")
    command = ["-c", "tiny.cfg", "-v", "B-VAE", "--device", "cpu", "--output", "out"]
    process = forks.start(command)
    wait_for(process, here, 2)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (here / "out" / "results.json").exists()
    (here / "out" / ".checkpoint.pt.1.partial").write_text("what a kill can leave")

    process = forks.start([*command, "--resume"])
    wait_for(process, here, 12)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (
        130,
        "vaelib: stopped; saved in out/checkpoint.pt; "
        "go on with: python -m vaelib --resume --output out\n",
    )

    monkeypatch.setattr(run, "pictures", PICTURES)
    vae("--resume --output out --device cpu")
    assert torch.equal(weights(here / "out"), weights(here / "whole"))
    assert (here / "out" / "metrics.jsonl").read_text() == (
        here / "whole" / "metrics.jsonl"
    ).read_text()
    assert {path.name for path in (here / "out").iterdir()} == FILES, (
        "nothing half-written was left"
    )
    assert (here / "out" / "config.cfg").read_text() == (here / "whole" / "config.cfg").read_text()


def test_without_arguments_it_says_what_to_do(here):
    command = [sys.executable, "-m", "vaelib"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=here, timeout=60)
    out = ended.stdout
    assert ended.returncode == 0 and ended.stderr == ""
    assert (
        "python -m vaelib -c mnist-5k -v VAE" in out
        and "sweep FILE --grid" in out
        and "fashion-mnist" in out
    )
    assert list(here.iterdir()) == [here / "tiny.cfg"]


def test_help_is_quick_and_names_every_option(vae):
    out, _ = vae("--help")
    assert all(
        option in out
        for option in ("--resume", "--output", "--seed", "--device", "--precision", "report.html")
    )
    for command in cli.COMMANDS:
        assert command in out and "--device" in vae(f"{command} --help")[0] + "--device" * (
            command == "export"
        )
    assert vae("--version")[0].strip() == vaelib.__version__
    code = "import sys; from vaelib.experiments import cli; cli.main(['--help'])"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_run_is_not_overwritten(vae, here):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    before = {path: path.read_bytes() for path in (here / "out").iterdir()}
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu --output out", 2)
    assert (
        err == "vaelib: out: there is a run already; "
        "go on with --resume, or write elsewhere with --output\n"
    )
    for asked, words in (
        ("-v VAE", ["[hyperparameters] beta = 4.0, not 1.0"]),
        ("-v B-VAE --seed 4", ["[hyperparameters] seed = 3, not 4"]),
        ("-v B-VAE --precision bf16", ["precision = fp32, not bf16"]),
    ):
        _, err = vae(f"-c tiny.cfg {asked} --device cpu --output out --resume", 2)
        assert err.count("\n") == 1 and all(
            word in err for word in ["vaelib: out: the run has", *words]
        ), err
    change(here, ("likelihood = bernoulli", "likelihood = gaussian"), name="gaussian.cfg")
    _, err = vae("-c gaussian.cfg -v B-VAE --output out --resume", 2)
    assert "the run has [configuration] binarize = yes, not no" in err
    out, _ = vae("-c tiny.cfg -v B-VAE --device cpu --output out --resume")
    assert "out: this run is finished" in out
    assert before == {path: path.read_bytes() for path in (here / "out").iterdir()}
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").write_text("precious")
    for resume in ("", "--resume"):
        _, err = vae(f"-c tiny.cfg -v B-VAE --output mine {resume}", 2)
        assert "mine: exists, and is not the folder of a run" in err
    assert [path.name for path in (here / "mine").iterdir()] == ["thesis.tex"]


def test_a_finished_run_can_be_made_longer(vae, here):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    change(here, ("epochs = 2", "epochs = 4"), name="longer.cfg")
    vae("-c longer.cfg -v B-VAE --device cpu --output out --resume")
    vae("-c longer.cfg -v B-VAE --device cpu --output whole")
    assert torch.equal(weights(here / "out"), weights(here / "whole"))
    assert "epochs = 4" in (here / "out" / "config.cfg").read_text()
    assert json.loads((here / "out" / "results.json").read_text())["length"] == 4
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu --output out --resume", 2)
    assert err == "vaelib: out: the run is of length 4; it can be made longer, but not 2\n"


def test_seed_precision_and_the_default_folder(vae, here):
    vae("-c tiny.cfg -v b-vae --device cpu --seed 7 --precision bf16")
    text = (here / "runs" / "tiny-b-vae-seed7" / "config.cfg").read_text()
    assert "seed = 7\n" in text and "precision = bf16\n" in text


def test_a_stream_is_measured_in_steps(vae, here, monkeypatch):
    text = "[configuration]\ndataset = sprites\nimage_size = 32\n"
    text += "[architecture]\nconv_channels = [4]\nz_dimension = 3\n"
    (here / "s.cfg").write_text(
        text
        + "[hyperparameters]\nsteps = 101\nbatch_size = 8\nbeta = 4\nschedule = tc warm-up 50\n"
    )
    out, _ = vae("-c s.cfg -v B-VAE --device cpu")
    assert (
        "737,280 different images" in out and "B-VAE: beta = 4.0, schedule = tc warm-up 50\n" in out
    )
    rows = [
        json.loads(line)
        for line in (here / "runs" / "s-b-vae" / "metrics.jsonl").read_text().splitlines()
    ]
    assert (
        [row["step"] for row in rows] == [100, 101]
        and "epoch" not in rows[0]
        and "test" not in rows[0]
    )
    out, _ = vae("evaluate runs/s-b-vae --images 20 --samples 2 --device cpu")
    assert re.search(r"^images +20$", out, re.M) and re.search(r"^log likelihood +-\d", out, re.M)

    model = vaelib.load_model(here / "runs" / "s-b-vae" / "model.safetensors")

    def scores(codes, factors):
        images = vaelib.load("sprites", image_size=32).images(factors)
        torch.testing.assert_close(codes, model.encode(images)[0].detach())
        return {"mig": 0.25}

    monkeypatch.setattr(disentanglement, "scores", scores)
    out, _ = vae("evaluate runs/s-b-vae --images 20 --samples 2 --scores --device cpu")
    assert re.search(r"^mig +0\.250$", out, re.M)


def test_evaluate_sample_and_export(vae, here, images):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    model = vaelib.load_model(here / "out" / "model.safetensors")
    test = vaelib.load("folder", images, image_size=8, colour=False, binarize=True).test
    out, _ = vae("evaluate out --images 5 --samples 3 --device cpu")
    found = json.loads((here / "out" / "results.json").read_text())
    assert found["evaluation"]["elbo"] == pytest.approx(
        vaelib.metrics.elbo(model, test[:5]).mean().item()
    )
    expected = vaelib.metrics.log_likelihood(model, test[:5], 3).mean().item()
    assert (
        found["evaluation"]["log_likelihood"] == pytest.approx(expected) and found["images"] == 10
    )
    assert f"{expected:.3f} ± " in out

    assert vae("sample out --number 5 --seed 1 --device cpu")[0] == "out/samples-seed1.png\n"
    vae("sample out --number 5 --seed 1 --device cpu --output again.png")
    vae("sample out --number 5 --seed 2 --device cpu --output other.png")
    pictures = [
        p.read_bytes()
        for p in (here / "out" / "samples-seed1.png", here / "again.png", here / "other.png")
    ]
    assert pictures[0] == pictures[1] != pictures[2]

    assert vae("export out")[0] == "out/export/model.safetensors\nout/export/config.cfg\n"
    assert torch.equal(weights(here / "out" / "export"), weights(here / "out"))
    vae("export out --half --output half")
    assert torch.equal(weights(here / "half"), weights(here / "out").half().float())


def test_exported_programs_run_without_vaelib(vae, here):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    vae("export out --programs --output away")
    model = vaelib.load_model(here / "out" / "model.safetensors").eval()
    z, x = torch.randn(5, 2), torch.rand(5, 1, 8, 8)
    torch.save(
        (
            z,
            x,
            model.expected_image(model.decode(z)).detach(),
            *(t.detach() for t in model.encode(x)),
        ),
        "want.pt",
    )
    code = """
import sys, torch
z, x, image, mean, log_var = torch.load("want.pt")
encode, decode = (torch.export.load(f"away/{name}.pt2").module() for name in ("encoder", "decoder"))
torch.testing.assert_close(decode(z), image)
torch.testing.assert_close(encode(x), (mean, log_var))
assert "vaelib" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_grey_images_have_no_likelihood_under_bernoulli_pixels(vae, here):
    change(here, ("colour = no", "colour = no\nbinarize = no"))
    vae("-c tiny.cfg -v VAE --device cpu --output out")
    assert "log likelihood" not in vae("evaluate out --samples 2 --device cpu")[0]
    assert (
        "--scores: folder has no known factors" in vae("evaluate out --scores --device cpu", 2)[1]
    )
    change(here, ("likelihood = bernoulli", "likelihood = discretised-logistic"))
    vae("-c tiny.cfg -v VAE --device cpu --output logistic")
    out, _ = vae("evaluate logistic --samples 2 --device cpu")
    found = json.loads((here / "logistic" / "results.json").read_text())["evaluation"]
    assert found["bits_per_dimension"] == pytest.approx(-found["log_likelihood"] / (64 * np.log(2)))
    assert "bits per dimension" in out


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_a_sweep_is_a_table_and_goes_on(vae, here):
    command = "sweep tiny.cfg --grid hyperparameters.beta=1,4 --seeds 2 --device cpu"
    out, _ = vae(command)
    table = here / "runs" / "tiny-sweep" / "sweep.csv"
    rows = read_csv(table)
    assert table.read_text() in out and out.endswith(f"{table.relative_to(here)}\n")
    keys = [(row["hyperparameters.beta"], row["hyperparameters.seed"]) for row in rows]
    assert keys == [("1", "0"), ("4", "0"), ("1", "1"), ("4", "1")]
    assert {row["status"] for row in rows} == {"done"} and len({row["elbo"] for row in rows}) == 4
    assert rows[1]["folder"] == "beta=4,seed=0"
    one = json.loads((table.parent / "beta=4,seed=0" / "results.json").read_text())
    assert rows[1]["elbo"] == str(round(one["elbo"], 3)), "no digits that say nothing"
    assert (table.parent / "sweep.png").read_bytes().startswith(b"\x89PNG")
    for line, beta in zip(read_csv(table.parent / "summary.csv"), ("1", "4")):
        assert (line["setting"], line["done"], line["runs"]) == (f"beta = {beta}", "2", "2")
        first, second = (float(r["elbo"]) for r in rows if r["hyperparameters.beta"] == beta)
        spread = abs(first - second) / 2**0.5
        assert float(line["elbo"]) == pytest.approx((first + second) / 2, abs=1e-3)
        assert float(line["elbo_sd"]) == pytest.approx(spread, abs=1e-3)
        shown = rf"beta = {beta} +2 +-\d+\.\d\d ± {spread:.2f}"
        assert re.search(shown, out), out

    assert "there is a sweep already" in vae(command, 2)[1]
    (table.parent / "beta=1,seed=1" / "results.json").unlink()
    table.unlink()
    out, _ = vae(f"{command} --resume")
    assert out.count("this run is finished") == 3
    assert [row["elbo"] for row in read_csv(table)] == [row["elbo"] for row in rows]


def test_a_run_of_a_sweep_that_fails_does_not_stop_it(vae, here):
    vae("sweep tiny.cfg --grid hyperparameters.learning_rate=1e30,1e-3 --device cpu --output s", 1)
    rows = read_csv(here / "s" / "sweep.csv")
    summary = read_csv(here / "s" / "summary.csv")
    assert [line["done"] for line in summary] == ["0", "1"] and summary[0]["elbo"] == ""
    assert (
        rows[0]["status"].startswith("the loss became ")
        and rows[0]["elbo"] == ""
        and rows[1]["status"] == "done"
    )


def test_lists_in_a_grid(vae, here):
    vae(
        "sweep tiny.cfg --grid architecture.hidden=[],[8] --grid architecture.z_dimension=1,3 "
        "--device cpu --output s"
    )
    rows = read_csv(here / "s" / "sweep.csv")
    assert [(row["architecture.hidden"], row["architecture.z_dimension"]) for row in rows] == [
        ("[]", "1"),
        ("[]", "3"),
        ("[8]", "1"),
        ("[8]", "3"),
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("-c none.cfg -v VAE", ["none.cfg: no such file", "mnist-5k"]),
        ("-c tiny.cfg", ["-v is missing", "VAE", "B-VAE"]),
        ("-v VAE", ["-c is missing", "mnist-5k"]),
        (
            "-c tiny.cfg -v GAN",
            ["argument -v/--variation: must be VAE or B-VAE; got 'GAN'", "--help"],
        ),
        ("-c tiny.cfg -v VAE --sed 3", ["unrecognized arguments: --sed 3", "--help"]),
        (
            "-c tiny.cfg -v VAE --seed x",
            ["tiny.cfg: [hyperparameters] seed = x: must be a whole number"],
        ),
        ("-c tiny.cfg -v VAE --precision fp8", ["precision = fp8: must be fp32 or bf16"]),
        ("-c tiny.cfg -v VAE --device tpu", ["--device tpu", "must be auto, cpu, cuda"]),
        ("-c tiny.cfg -v VAE --device meta", ["--device meta: not a device to train on"]),
        ("-c tiny.cfg -v VAE --output tiny.cfg/x", ["tiny.cfg/x"]),
        (
            "-c tiny.cfg -v VAE --output tiny.cfg",
            ["tiny.cfg: exists, and is not the folder of a run"],
        ),
        ("--resume --output none", ["none/config.cfg: no such file"]),
        (
            "train tiny.cfg",
            ["unknown command 'train'", "evaluate, sample, sweep, export", "-c FILE -v VAE"],
        ),
        ("evalute out", ["unknown command 'evalute'; did you mean evaluate?"]),
        ("evaluate", ["required: RUN", "evaluate --help"]),
        ("evaluate none", ["none: not the folder of a run"]),
        (
            "evaluate . --samples 0",
            ["argument --samples: must be a whole number, at least 1; got '0'"],
        ),
        ("sample none", ["none: not the folder of a run"]),
        ("export none", ["none: not the folder of a run"]),
        (
            "sweep tiny.cfg --grid beta=1,2",
            ["argument --grid: must be SECTION.KEY=VALUE,VALUE,...; got 'beta=1,2'"],
        ),
        ("sweep tiny.cfg --grid hyperparameters.beta=", ["must be SECTION.KEY=VALUE"]),
        (
            "sweep tiny.cfg --grid hyperparameters.beta=1,x",
            ["tiny.cfg: [hyperparameters] beta = x: must be a number"],
        ),
        (
            "sweep tiny.cfg --grid hyperparameters.betta=1",
            ["betta = 1: unknown key; did you mean beta?"],
        ),
        ("sweep tiny.cfg --grid hyperparameters.beta=1,1", ["--grid: a value is given twice"]),
        ("sweep tiny.cfg -v VAE --grid hyperparameters.beta=1,2", ["-v VAE has beta 1 throughout"]),
        (
            "sweep tiny.cfg --grid architecture.conv_kernel_sizes=[2],[99]",
            ["conv_kernel_sizes = [(99, 99)]: convolution 1"],
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(vae, here, command, words):
    _, err = vae(command, 2)
    assert err.count("\n") == 1 and err.startswith("vaelib: "), err
    for word in words:
        assert word in err, err
    assert [path.name for path in here.iterdir()] == ["tiny.cfg"], "something was written"


@pytest.mark.parametrize(
    ("change_to", "words"),
    [
        (
            ("z_dimension = 2", "z_dimension = two"),
            ["tiny.cfg: [architecture] z_dimension = two: must be a whole number"],
        ),
        (
            ("z_dimension = 2", "conv_kernel_sizes = [(19, 3)]\nz_dimension = 2"),
            ["= [(19, 3)]: convolution 1 of 1"],
        ),
        (
            ("z_dimension = 2", "z_dimension = 2000000000"),
            ["[architecture] has 52,000,001,237 weights", "fewer channels"],
        ),
        (
            ("image_size = 8", "image_size = 8\npath2 = x"),
            ["path2 = x: unknown key; did you mean path?"],
        ),
        (("beta = 4\n", ""), ["tiny.cfg: [hyperparameters] beta is missing"]),
        (
            ("dataset = folder", "dataset = folder\npath = no/such/folder\n#"),
            ["folder: ", "no/such/folder is not a folder"],
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_nothing_is_written(vae, here, change_to, words):
    text = (here / "tiny.cfg").read_text().replace(*change_to)
    if change_to[1].endswith("#"):
        text = re.sub(r"\n#\npath = .*", "", text)
    (here / "tiny.cfg").write_text(text)
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu", 2)
    assert err.count("\n") == 1 and all(word in err for word in words), err
    assert [path.name for path in here.iterdir()] == ["tiny.cfg"]


def test_a_loss_that_is_not_finite_is_status_1_and_leaves_nothing(vae, here):
    change(here, ("learning_rate = 1e-2", "learning_rate = 1e30"))
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu", 1)
    assert (
        err.startswith("vaelib: the loss became ")
        and "learning_rate" in err
        and err.count("\n") == 1
    )
    assert not any((here / "runs").iterdir()), "the corrected run would be refused"


def test_an_unfinished_run_is_not_measured(vae, here):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    (here / "out" / "results.json").unlink()
    for command in ("evaluate", "sample", "export"):
        _, err = vae(f"{command} out", 2)
        assert err == "vaelib: out: this run is not finished; go on with --resume --output out\n"


def test_a_damaged_checkpoint_and_one_of_another_device_are_one_line(vae, here):
    vae("-c tiny.cfg -v B-VAE --device cpu --output out")
    path = here / "out" / "checkpoint.pt"
    change(here, ("epochs = 2", "epochs = 3"))
    state = torch.load(path, weights_only=True)
    state["generator"] = torch.zeros(16, dtype=torch.uint8)  # as long as a GPU's
    state["history"]["device"] = "cuda"
    torch.save(state, path)
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).digest())
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu --output out --resume", 2)
    assert err == "vaelib: out/checkpoint.pt: of a run on cuda; go on there, or start elsewhere\n"
    path.write_bytes(b"broken")
    (here / "out" / "checkpoint.previous.pt").unlink()
    _, err = vae("-c tiny.cfg -v B-VAE --device cpu --output out --resume", 2)
    what = "not a whole checkpoint of vaelib; delete it to start again"
    assert err == f"vaelib: out/checkpoint.pt: {what}\n"


def test_unreadable_pictures_are_named(vae, here, images):
    (images / "a" / "broken.png").write_bytes(b"")
    try:
        out, _ = vae("-c tiny.cfg -v VAE --device cpu")
    finally:
        (images / "a" / "broken.png").unlink()
    assert "folder: 1 of 61 pictures can't be read and are left out: a/broken.png (" in out
    assert re.search(r"^folder: 50 images 1x8x8, binarised, 10 to test; 0 MB$", out, re.M)


def test_keys_are_not_shared_by_sections():
    """So that the folders of a sweep can be called by the key alone."""
    keys = [name for kind in SECTIONS.values() for name in kind.__dataclass_fields__]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", ["results.json", "model.safetensors"])
def test_a_damaged_file_of_a_run_is_named_and_made_anew(vae, here, name):
    vae("-c tiny.cfg -v VAE --output out --device cpu")
    before = weights(here / "out")
    path = here / "out" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, err = vae("evaluate out --device cpu", status=2)
    assert str(path.relative_to(here)) in err and "--resume" in err and err.count("\n") == 1
    (here / "out" / "results.json").unlink()
    vae("-c tiny.cfg -v VAE --output out --device cpu --resume")
    assert torch.equal(weights(here / "out"), before)
    vae("evaluate out --device cpu --samples 2")


def test_a_run_is_not_exported_into_itself(vae, here):
    vae("-c tiny.cfg -v VAE --output out --device cpu")
    before = (here / "out" / "model.safetensors").read_bytes()
    _, err = vae("export out --half --output out", status=2)
    assert err == "vaelib: --output out: that is the run itself; export elsewhere\n"
    assert (here / "out" / "model.safetensors").read_bytes() == before


def help_into(stdout) -> tuple[int, str]:
    """The exit status and stderr of `vaelib --help` with that for its stdout."""
    command = [sys.executable, "-m", "vaelib", "--help"]
    options = {"stdout": stdout, "stderr": subprocess.PIPE, "text": True, "timeout": 60}
    ended = subprocess.run(command, env={**os.environ, "PYTHONUNBUFFERED": ""}, **options)
    return ended.returncode, ended.stderr


def test_a_reader_that_has_gone_ends_the_program_without_a_word():
    """As SIGPIPE would, behind `| head`; Python's own answer is two lines and 120."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:
        assert help_into(pipe) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_finds_no_room_is_one_line():
    with open("/dev/full", "w") as full:
        assert help_into(full) == (2, "vaelib: [Errno 28] No space left on device\n")


def test_a_terminal_without_the_letters_of_a_path_gets_a_line(here):
    """As a Japanese Windows terminal does."""
    (here / "caf\u00e9.cfg").write_text((here / "tiny.cfg").read_text().replace("beta", "betta"))
    command = [sys.executable, "-m", "vaelib", "-c", "caf\u00e9.cfg", "-v", "VAE"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp932"}
    ended = subprocess.run(command, capture_output=True, env=environment, cwd=here, timeout=60)
    assert ended.returncode == 2 and b"Traceback" not in ended.stderr
    assert ended.stderr.startswith(b"vaelib: caf?.cfg: [hyperparameters] betta = 4: unknown key")


def split_of(run):
    listing = json.loads((run / "pictures.json").read_text())
    return set(listing["train"]), set(listing["test"])


@pytest.fixture
def mine(here, images):
    """The pictures in a folder that may be changed, and a configuration that reads them there."""
    shutil.copytree(images, here / "mine")
    (here / "tiny.cfg").write_text(CONFIG.format(images="mine"))
    return here / "mine"


def test_a_picture_more_changes_nothing_of_a_run_and_is_said(vae, here, mine):
    """Drawn anew, the split would hold out pictures that the run has trained on."""
    vae("-c tiny.cfg -v B-VAE --output out --device cpu")
    found, _ = vae("evaluate out --samples 2 --device cpu")
    trained, held_out = split_of(here / "out")
    assert len(trained) + len(held_out) == 60 and not trained & held_out
    for name in ("new.png", "newer.png"):
        shutil.copy(mine / "a" / "00.png", mine / "a" / name)
    out, _ = vae("evaluate out --samples 2 --device cpu")
    said = "is not what it was, and these pictures are left out: 2 new\n"
    assert said in out and out.splitlines()[2:] == found.splitlines()[1:], "the same figures"
    gone = sorted(held_out)[0]
    (mine / gone).unlink()
    out, _ = vae("evaluate out --samples 2 --device cpu")
    assert "left out: 2 new, 1 gone\n" in out
    assert re.search(rf"^images +{len(held_out) - 1}$", out, re.M)
    for name in held_out - {gone}:
        (mine / name).unlink()
    out, err = vae("evaluate out --samples 2 --device cpu", 2)
    assert f"left out: 2 new, {len(held_out)} gone\n" in out and "0 to test on" in err
    kept = here / "out" / "pictures.json"
    listing = json.loads(kept.read_text())
    listing["test"].update(listing["train"])  # the ELBO of what was trained on looks better
    for changed in ("[]", json.dumps(listing), kept.read_text().replace("sha256", "sha255")):
        kept.write_text(changed)
        err = vae("evaluate out --device cpu", 2)[1]
        assert err.startswith("vaelib: out/pictures.json: damaged or changed; ")
        assert err.count("\n") == 1
    (here / "out" / "pictures.json").unlink()
    out, _ = vae("evaluate out --samples 2 --device cpu")
    assert "out/pictures.json is missing: the run may have trained on some of these" in out


def test_a_run_goes_on_with_its_own_pictures_wherever_they_are(vae, here, mine):
    vae("-c tiny.cfg -v B-VAE --output out --device cpu")
    change(here, ("epochs = 2", "epochs = 3"))
    vae("-c tiny.cfg -v B-VAE --output whole --device cpu")
    shutil.copy(mine / "a" / "00.png", mine / "a" / "new.png")
    shutil.move(mine, here / "moved #1")
    _, err = vae("-c tiny.cfg -v B-VAE --output out --device cpu --resume", 2)
    assert err == f"vaelib: folder: {mine} is not a folder\n"
    vae("-c tiny.cfg -v B-VAE --output out --device cpu --resume --path 'moved #1'")
    assert torch.equal(weights(here / "out"), weights(here / "whole"))
    vae("evaluate out --samples 2 --device cpu")  # the kept configuration says where they are now
    shutil.move(here / "moved #1", here / "elsewhere")
    assert "is not a folder" in vae("evaluate out --device cpu", 2)[1]
    vae("evaluate out --samples 2 --device cpu --path elsewhere")


def test_another_picture_is_another_run(vae, here, mine):
    vae("-c tiny.cfg -v B-VAE --output out --device cpu")
    change(here, ("epochs = 2", "epochs = 3"))
    shutil.copy(mine / "a" / "00.png", mine / sorted(split_of(here / "out")[0])[3])
    _, err = vae("-c tiny.cfg -v B-VAE --output out --device cpu --resume", 2)
    assert "of a run with images" in err and err.count("\n") == 1


def test_images_of_another_size_than_the_data_sets_are_a_line(vae, here):
    write_idx_set(here, "MNIST", side=32)
    text = (here / "tiny.cfg").read_text().replace("dataset = folder", "dataset = mnist")
    text = re.sub(r"path = .*\n.*\n.*\n", f"path = {here}\n", text)
    (here / "tiny.cfg").write_text(text)
    _, err = vae("-c tiny.cfg -v VAE --device cpu", 2)
    assert "= mnist: the files hold images 1x32x32, and mnist has 1x28x28" in err
    assert err.count("\n") == 1 and not (here / "runs").exists()


@pytest.fixture
def sprites_run(vae, here):
    """A finished run on sprites, in s."""
    (here / "s.cfg").write_text(
        "[configuration]\ndataset = sprites\nimage_size = 32\n[architecture]\n"
        "z_dimension = 3\n[hyperparameters]\nsteps = 2\nbatch_size = 8\nbeta = 4\n"
    )
    vae("-c s.cfg -v B-VAE --device cpu --output s")
    return here / "s"


@pytest.mark.parametrize("images", [1, 2, 3, 10])
def test_a_few_images_have_no_scores(vae, sprites_run, images):
    _, err = vae(f"evaluate s --images {images} --samples 2 --scores --device cpu", 2)
    assert err.startswith(f"vaelib: --images {images}: too few for --scores ("), err
    assert err.count("\n") == 1 and "evaluation" not in json.loads(
        (sprites_run / "results.json").read_text()
    )


def test_a_minibatch_that_no_memory_holds_is_a_line(vae, here, monkeypatch):
    text = "[configuration]\ndataset = sprites\n[architecture]\nconv_channels = [4]\n"
    text += "z_dimension = 3\n[hyperparameters]\nsteps = 2\nbatch_size = 3000000\nbeta = 4\n"
    (here / "s.cfg").write_text(text)
    gigabytes = 4 * 3e6 * ((64 * 64 + 4 * 32 * 32) * 2 + 2 * 64 * 64) / 1e9
    monkeypatch.setattr(from_config, "free_memory", lambda: int(1e9 * gigabytes - 1e6))
    _, err = vae("-c s.cfg -v B-VAE --device cpu", 2)
    assert f"batch_size = 3000000: a minibatch needs {gigabytes:.1f} GB at least" in err
    assert err.count("\n") == 1 and not (here / "runs").exists()


@pytest.mark.parametrize("error", [
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't alloc"),
    MemoryError("Unable to allocate 12.0 GiB"),
])  # fmt: skip
def test_memory_that_runs_out_is_a_line(vae, here, monkeypatch, error):
    def no_memory(*_, **__):
        raise error

    monkeypatch.setattr(run, "fit", no_memory)
    assert vae("-c tiny.cfg -v VAE --device cpu", 1)[1].startswith("vaelib: out of memory; take a")


def test_images_that_no_memory_holds_are_a_line(vae, sprites_run, monkeypatch):
    monkeypatch.setattr(finished_run, "free_memory", lambda: 4 * 1000 * 32 * 32)
    for command in ("evaluate s --images 1001", "sample s --number 1001"):
        _, err = vae(f"{command} --device cpu", 2)
        assert "1001: these images take 0.0 GB, and 0.0 are free\n" in err


def test_a_picture_may_go_into_a_new_folder(vae, here):
    vae("-c tiny.cfg -v VAE --device cpu --output out")
    vae("sample out --number 4 --output no/such/folder/yet.png --device cpu")
    assert Image.open(here / "no/such/folder/yet.png").size[0] > 8


@pytest.mark.parametrize("channels", [1, 3])
def test_a_contact_sheet_has_each_image_in_its_place(channels):
    images = torch.rand(23, channels, 6, 5, generator=torch.Generator().manual_seed(0))
    picture = Image.open(io.BytesIO(measure.contact_sheet(images.split(7), 23)))
    zoom = 64 // 6
    assert picture.size == ((10 * 6 - 1) * zoom, (3 * 7 - 1) * zoom)
    pixels = np.asarray(picture).reshape(*picture.size[::-1], channels)[::zoom, ::zoom]
    for i, image in enumerate(images):
        top, left = i // 10 * 7, i % 10 * 6
        shown = pixels[top : top + 6, left : left + 5].transpose(2, 0, 1)
        levels = (image * 255).round()
        assert (shown == (255 - levels if channels == 1 else levels).numpy()).all(), i
    assert (pixels[14:, 18:] == 255).all() and (pixels[6] == 255).all()


def test_ten_thousand_samples_are_drawn_in_seconds(vae, here):
    vae("-c tiny.cfg -v VAE --device cpu --output out")
    began = time.monotonic()
    vae("sample out --number 10000 --output many.png --device cpu")
    assert time.monotonic() - began < 20, "matplotlib took minutes"
    picture = np.asarray(Image.open(here / "many.png"))
    assert picture.shape == (100 * 9 - 1,) * 2 or picture.shape == ((100 * 9 - 1) * 4,) * 2
    model = vaelib.load_model(here / "out" / "model.safetensors")
    last = model.sample(10_000, torch.Generator().manual_seed(0))[-1, 0]
    zoom = picture.shape[0] // 899
    shown = picture[-8 * zoom :: zoom, -8 * zoom :: zoom]
    assert (np.abs(shown - (255 - (last * 255).numpy())) <= 1).all()


def test_a_long_evaluation_shows_that_it_lives(vae, here, capsys, monkeypatch):
    vae("-c tiny.cfg -v VAE --device cpu --output out")
    monkeypatch.delenv("TQDM_DISABLE")
    for command, told in (("evaluate out --samples 600", "log p(x): 100%"),
                          ("sample out --number 2000", "4/4")):  # fmt: skip
        assert cli.main([*command.split(), "--device", "cpu"]) == 0
        assert told in capsys.readouterr().err


def test_a_sweep_of_several_jobs_shows_that_it_lives(vae, here, monkeypatch):
    """What the bar is told, with the runs in this process: others take seconds to begin."""

    def one_by_one(run, points, folder, device, jobs, say, total, done):
        assert (jobs, total, done()) == (2, 4, 0)
        rows = [run(point, folder, device) for point in points]
        ended = [Future() for _ in rows]
        for future in ended:
            future.set_result(None)
        with tqdm(total=total) as bar:
            assert set(workers._as_they_end(ended, bar, done)) == set(ended)
            assert bar.n == (0 if bar.disable else total) and done() == total
        return rows

    monkeypatch.setattr(sweep, "process_rows", one_by_one)
    out, _ = vae("sweep tiny.cfg --seeds 2 --jobs 2 --output s --device cpu")
    assert "2 runs, 2 at a time; each has its files in a folder under s\n" in out


def test_threads_are_as_many_as_asked(vae, here, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    vae("-c tiny.cfg -v VAE --device cpu --output out --threads 1")
    vae("evaluate out --device cpu --samples 2 --threads 2")
    assert asked == [1, 2]
    for wrong in ("0", "1000000000", "two"):
        assert (
            "--threads: must be a whole number, 1 to" in vae(f"sample out --threads {wrong}", 2)[1]
        )
    _, err = vae("sweep tiny.cfg --jobs 2 --threads 1", 2)
    assert "each has one thread" in err


def commands(page):
    """What a report says to type, without the markup."""
    return re.search(r"<pre>(.*?)</pre>", html.unescape(page), re.S).group(1).splitlines()


LEARNT = [-300.0, -200.0, -150.0, -120.0, -110.0]


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (LEARNT, [-300.0, -200.0, -160.0, -170.0, -180.0], "highest after epoch 3 and 20.00 nats"),
        (LEARNT, [-300.0, -200.0, -160.0, -170.0, -180.0], "learned those by heart. Fewer epochs"),
        ([*LEARNT[:4], -190.0], [-300.0, -200.0, -160.0, -150.0, -200.0], "growing beta does that"),
        (LEARNT, LEARNT, "still rising at the end: more epochs"),
        (LEARNT, [-300.0, -200.0, -150.0, -120.0, -121.0], "hardly rose any more"),
        (LEARNT, [-300.0, -301.0, -302.0, -303.0, -304.0], "highest after epoch 1 and 4.00 nats"),
        (LEARNT[:1], LEARNT[:1], ""),
        (LEARNT, [], ""),
    ],
)
def test_a_report_says_in_words_how_the_test_elbo_went(train, test, said):
    course = report.course(History(train={"elbo": train}, test={"elbo": test}))
    assert said in course and bool(said) == bool(course)


def test_the_reports_commands_work_where_the_run_was_made(vae, here):
    vae("""-c tiny.cfg -v VAE --device cpu --output "runs/my sister's <1>" """)
    page = (here / "runs" / "my sister's <1>" / "report.html").read_text()
    asked = commands(page)
    assert [shlex.split(line)[1] for line in asked] == ["evaluate", "sample", "export"]
    for line in asked:
        assert line.startswith("vaelib ")
        vae(f"{line.removeprefix('vaelib ')}")
    assert f"In the folder <code>{html.escape(str(here))}</code>" in page


def test_a_report_says_what_made_it_and_what_evaluate_found(vae, here):
    change(here, ("likelihood = bernoulli", "likelihood = discretised-logistic"))
    vae("-c tiny.cfg -v VAE --device cpu --output out")
    text = (here / "out" / "report.html").read_text()
    shown = " ".join(Page(text).seen)
    found = json.loads((here / "out" / "results.json").read_text())
    assert found["bits_per_dimension"] == pytest.approx(-found["elbo"] / (64 * np.log(2)))
    assert f"{found['bits_per_dimension']:.3f}, a bound from the ELBO" in shown
    assert f"vaelib {vaelib.__version__}, torch {torch.__version__}" in shown
    assert re.search(r"steps</th><td>8<", text) and found["steps"] == 8
    for samples in (2, 3):
        vae(f"evaluate out --samples {samples} --device cpu")
        text = (here / "out" / "report.html").read_text()
        found = json.loads((here / "out" / "results.json").read_text())["evaluation"]
        assert text.count("<h2>Evaluation</h2>") == 1
        assert f"log likelihood</th><td>{found['log_likelihood']:.3f} ± " in text
        assert f"samples</th><td>{samples}<" in text
    (here / "out" / "report.html").unlink()
    vae("evaluate out --samples 2 --device cpu")


def test_a_run_that_goes_on_leaves_nothing_of_the_old_model(vae, here):
    vae("-c tiny.cfg -v VAE --device cpu --output out")
    vae("sample out --seed 7 --device cpu")
    vae("export out")
    (here / "out" / "notes.txt").write_text("mine")
    change(here, ("epochs = 2", "epochs = 3"))
    vae("-c tiny.cfg -v VAE --device cpu --output out --resume")
    assert {path.name for path in (here / "out").iterdir()} == {
        *(FILES - {f"{name}.png" for name in ("reconstructions", "samples", "manifold")}),
        "notes.txt",
    } - {"traversals.png"}
    vae("export out")
    (here / "out" / "export" / "mine.txt").write_text("mine")
    change(here, ("epochs = 3", "epochs = 4"))
    vae("-c tiny.cfg -v VAE --device cpu --output out --resume")
    assert [path.name for path in (here / "out" / "export").iterdir()] == ["mine.txt"]


def test_the_bar_of_evaluate_leaves_the_codes_alone(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    model = vaelib.VAE((1, 4, 4), 2, hidden=[3]).eval()
    images = torch.rand(2, 1, 4, 4)
    expected = model.encode(images)[0]
    with finished_run._bar_of_images(model, 2):
        time.sleep(0.2)  # longer than tqdm waits, so that the bar is drawn
        assert torch.equal(model.encode(images)[0], expected)
    assert not model.encoder._forward_hooks

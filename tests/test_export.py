"""`vaelib export`: it writes the run's model, all that is asked for or nothing, over no run."""

import base64
import json
import re
import shutil
import sys

import onnxruntime
import pytest
import torch
from common import weights
from test_cli import change, here, images, vae  # noqa: F401
from test_explorer import build, in_page

import vaelib
from vaelib.experiments import config, export
from vaelib.experiments.from_config import load_data

TRAIN = "-c tiny.cfg -v B-VAE --device cpu --output out"


def told(page: str) -> dict:
    """The data that a page reads."""
    (text,) = re.findall(r'VAELIB_DATA \?\?= {}\)\["explorer"\] = (.*);\n', page)
    return json.loads(text)


def numbers(text: str, dtype) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=dtype)


def test_the_page_has_the_runs_model_its_kl_and_its_held_out_codes(vae, here, images):  # noqa: F811
    vae(TRAIN)
    before = {path.name: path.read_bytes() for path in (here / "out").iterdir()}
    out, _ = vae("export out --html")
    assert out.split() == [
        f"out/export/{name}" for name in ("model.safetensors", "config.cfg", "explorer.html")
    ]
    page = (here / "out" / "export" / "explorer.html").read_text()
    data, measured = told(page), json.loads(before["results.json"])
    model = vaelib.load_model(here / "out" / "model.safetensors")
    held_out = load_data(config.read(here / "out" / "config.cfg"), lambda _: None)
    codes = vaelib.metrics.encode(model, held_out.test)[0]
    torch.testing.assert_close(numbers(data["codes"], torch.float32).view(-1, 2), codes)
    assert data["kl"] == measured["kl_per_dimension"]
    assert data["groups"] == {"label": held_out.test_labels.tolist()} and data["names"] == [
        "a",
        "b",
    ]
    shown = numbers(data["images"], torch.uint8).view(-1, 1, 8, 8)
    assert torch.equal(shown, held_out.test[data["shown"]])
    assert torch.equal(weights(in_page(page, here / "held")), weights(model))
    assert "<h1>out</h1>" in page
    assert f"ELBO {measured['elbo']:.2f} nats an image" in page
    assert before == {p.name: p.read_bytes() for p in (here / "out").iterdir() if p.is_file()}
    vae("export out --html --half --output half")
    small = in_page((here / "half" / "explorer.html").read_text(), here / "held")
    assert torch.equal(weights(small), weights(model).half().float())


def test_codes_of_known_factors_are_coloured_by_each(vae, here):  # noqa: F811
    (here / "s.cfg").write_text(
        "[configuration]\ndataset = sprites\nimage_size = 32\n"
        "[architecture]\nconv_channels = [4]\nz_dimension = 2\n"
        "[hyperparameters]\nsteps = 2\nbatch_size = 8\nbeta = 4\n"
    )
    vae("-c s.cfg -v B-VAE --device cpu --output out")
    vae("export out --html")
    data = told((here / "out" / "export" / "explorer.html").read_text())
    factors = vaelib.load("sprites", image_size=32).held_out()[1]
    names = vaelib.load("sprites", image_size=32).factor_names
    assert data["groups"] == {name: v.tolist() for name, v in zip(names, factors.T)}


def test_without_the_data_the_page_says_so_and_lives(vae, here, images):  # noqa: F811
    shutil.copytree(images, here / "pictures")
    change(here, (str(images), str(here / "pictures")))
    vae(TRAIN)
    shutil.rmtree(here / "pictures")
    out, _ = vae("export out --html")
    assert "explorer.html has no held-out images: folder: " in out and out.count("\n") == 4
    data = told((here / "out" / "export" / "explorer.html").read_text())
    assert "codes" not in data and "images" not in data and len(data["kl"]) == 2
    out, _ = vae(f"export out --html --path {images}")
    assert out.count("\n") == 3
    assert "codes" in told((here / "out" / "export" / "explorer.html").read_text())


def test_nothing_is_downloaded_for_a_page(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path))
    measured = {"elbo": -1.0, "kl_per_dimension": [1.0, 0.0]}
    (tmp_path / "results.json").write_text(json.dumps(measured))
    said = []
    page = export._page(tmp_path, config.read("mnist"), build("plane"), False, said.append)
    assert told(page.html)["kl"] == [1.0, 0.0]
    (line,) = said
    assert "mnist: not found under" in line and "download is off" in line
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_no_run_is_exported_into(vae, here):  # noqa: F811
    vae(TRAIN)
    shutil.copytree(here / "out", here / "other")
    (here / "other" / "results.json").unlink()
    before = {path: path.read_bytes() for path in here.glob("o*/*")}
    _, err = vae("export out --half --output other", 2)
    assert err == "vaelib: --output other: that is a run; export elsewhere\n"
    assert before == {path: path.read_bytes() for path in here.glob("o*/*")}
    vae("export out --output away")
    vae("export out --half --output away")


def test_all_is_written_or_nothing(vae, here, monkeypatch):  # noqa: F811
    vae(TRAIN)

    def fails(*_, **__):
        raise OSError("no memory for a page")

    with monkeypatch.context() as patched:
        patched.setattr(export, "_page", fails)
        _, err = vae("export out --html --output away", 2)
    assert err == "vaelib: no memory for a page\n" and not (here / "away").exists()
    (here / "away" / "explorer.html").mkdir(parents=True)
    _, err = vae("export out --html --output away", 2)
    assert err.count("\n") == 1
    assert [path.name for path in (here / "away").iterdir()] == ["explorer.html"]


@pytest.mark.parametrize("name", ["dense", "plane", "colour"])
def test_onnx_gives_pytorchs_numbers_for_any_number_of_images(name):
    model = build(name)
    programs = export.onnx_programs(model)
    assert list(programs) == ["encoder.onnx", "decoder.onnx"]
    x, z = torch.rand(5, *model.image_shape), 2 * torch.randn(5, model.latent_dim)
    with torch.no_grad():
        (mean, log_var), image = model.encode(x), model.decoded(z)
    for program, given, wanted in (
        ("encoder", {"x": x.numpy()}, {"mean": mean, "log_var": log_var}),
        ("decoder", {"z": z.numpy()}, {"image": image}),
    ):
        session = onnxruntime.InferenceSession(programs[f"{program}.onnx"])
        assert [output.name for output in session.get_outputs()] == list(wanted)
        for want, got in zip(wanted.values(), session.run(None, given)):
            assert (want - torch.from_numpy(got)).abs().max() < 1e-4


def test_onnx_is_written_and_refused_where_it_differs(vae, here, monkeypatch):  # noqa: F811
    vae(TRAIN)
    out, _ = vae("export out --onnx --output away")
    assert out.split()[2:] == ["away/encoder.onnx", "away/decoder.onnx"]
    session = onnxruntime.InferenceSession(here / "away" / "decoder.onnx")
    model, z = vaelib.load_model(here / "out" / "model.safetensors"), torch.randn(4, 2)
    (got,) = session.run(None, {"z": z.numpy()})
    assert (model.decoded(z) - torch.from_numpy(got)).abs().max() < 1e-4
    run = onnxruntime.InferenceSession.run
    monkeypatch.setattr(
        onnxruntime.InferenceSession, "run", lambda *given: [v + 2e-4 for v in run(*given)]
    )
    _, err = vae("export out --onnx --output wrong", 2)
    assert err == "vaelib: --onnx: onnxruntime's encoder differs from PyTorch's by 2.0e-04\n"
    assert not (here / "wrong").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_onnxs_packages_a_line_says_what_to_install(vae, here, monkeypatch, package):  # noqa: F811
    vae(TRAIN)
    monkeypatch.setitem(sys.modules, package, None)
    _, err = vae("export out --onnx", 2)
    install = "pip install onnx onnxruntime onnxscript"
    assert err == f"vaelib: --onnx needs the package {package}: {install}\n"
    assert not (here / "out" / "export").exists()

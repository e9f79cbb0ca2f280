"""Hostile input of every kind: what comes out is a result, or one line with status 2.

Never a stack trace, a hang, gigabytes from a small file, a file outside the folder that was meant,
a program or a connection. FUZZ in the environment says how many cases (500; `make fuzz`: 10,000).
"""

import contextlib
import io
import json
import os
import resource
import shutil
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from common import deep_png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import vaelib
from vaelib import CheckpointError, ConvSpec, DataError, TrainingError, metrics
from vaelib.data import dsprites
from vaelib.experiments import cli, from_config, run, sweep
from vaelib.experiments.schema import SECTIONS

CASES = int(os.environ.get("FUZZ", "500"))
GIGABYTES = 4 * 2**30  # more memory than this no case may ask for


def cases(share):
    """Settings for a part of all cases: the same ones each time, but when many are asked for."""
    return settings(
        max_examples=max(1, round(CASES * share)),
        deadline=None,
        derandomize=CASES <= 500,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


guard = {"folder": None}


def watch(event, arguments):
    """What no input may start, and where none may write."""
    if guard["folder"] is None:
        return
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"):
        raise AssertionError(f"{event}{arguments}")
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, mode, flags = arguments
        writes = set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        where = Path(os.path.abspath(os.fsdecode(path)))
        if writes and not where.is_relative_to(guard["folder"]) and str(where) != os.devnull:
            raise AssertionError(f"{where} was opened to write")


sys.addaudithook(watch)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder to work in with all that a case may ask for, small: data, a finished run."""
    folder = tmp_path_factory.mktemp("fuzz")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("TQDM_DISABLE", "1")
    patch.setattr(sys, "dont_write_bytecode", True)  # a module imported late is no case's doing
    patch.setenv("VAELIB_DATA", str(folder / "data"))
    patch.setattr(from_config, "MOST_WEIGHTS", 10**6)
    patch.setattr(run, "pictures", lambda model, images: {})
    for i in range(12):
        path = folder / "pictures" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (folder / "ok.cfg").write_text(OK)
    assert cli.main(["-c", "ok.cfg", "-v", "VAE", "--output", "done", "--device", "cpu"]) == 0

    def stopped(*_, **__):
        raise TrainingError("this is as far as a case goes")

    def loaded(name, path=None, *flags, **options):
        if name == "mnist-5k":  # a second to read
            images = torch.zeros(9, 1, 28, 28, dtype=torch.uint8)
            labels = torch.zeros(9, dtype=torch.int64)
            return vaelib.ImageData(name, images, images, labels, labels)
        if name in ("mnist", "fashion-mnist", "cifar10", "dsprites"):
            raise DataError(f"{name}: no network")
        return vaelib.load(name, path, *flags, **options)

    patch.setattr(run, "fit", stopped)
    patch.setattr(from_config, "load", loaded)
    patch.setattr(sweep, "process_rows", stopped)
    patch.setattr(sweep, "cluster_rows", stopped)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + GIGABYTES, limits[1]))
    guard["folder"] = folder
    yield folder
    guard["folder"] = None
    resource.setrlimit(resource.RLIMIT_AS, limits)
    patch.undo()


OK = """
[configuration]
dataset = folder
path = pictures
image_size = 8
colour = no
[architecture]
conv_channels = [4]
z_dimension = 2
[hyperparameters]
epochs = 1
batch_size = 4
beta = 1
"""
KEPT = {"pictures", "ok.cfg", "done", "data"}


def tidy(folder):
    """Take away what the case before has written."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def typed(argv):
    """What a command line came to; its status, and a line that says why where it is 2."""
    out, err = io.StringIO(), io.StringIO()
    told = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with told[0], told[1], warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = cli.main(argv)
    lines = err.getvalue().splitlines()
    assert status in (0, 1, 2), status
    if status == 1 and not lines:  # of a sweep, in whose table it is
        lines = [f"vaelib: {argv}"] if "this is as far" in out.getvalue() else []
    assert status == 0 or (len(lines) == 1 and lines[0].startswith("vaelib: ")), lines
    assert cli.OUT_OF_MEMORY not in err.getvalue(), "gigabytes"
    return status


# Configurations

WORDS = [
    *("", "0", "1", "2", "-1", "2.5", "nan", "inf", "1e999", "-0.0", "1e-320", "True", "None"),
    *("yes", "no", "NO", "maybe", "[]", "[4]", "[4, 8]", "(4,)", "[0]", "[-1]", "[4.0]", "['a']"),
    *("[(4, 4)]", "[(4, 4), (2, 2)]", "[(0, 1)]", "[(99, 99)]", "[((1, 2), 3)]", "[[4, 4]]"),
    *("9" * 5000, "[" * 5000, "(" * 200 + ")" * 200, "-" * 3000 + "1", "10**9", "1_0", "0x10"),
    *("2147483647", "2147483648", "4294967295", "[2147483647]", "[2147483647, 2147483647]"),
    *("{}", "{1: 2}", "b'x'", "1j", "'", '"', '"a', '"pictures"', '"\\ud800"', "''", "f'{1}'"),
    *("__import__('os')", "lambda: 0", "[1 for i in [1]]", "[4] * 3", "%(dataset)s", "${path}"),
    *("folder", "mnist-5k", "sprites", "MNIST", "dsprites", "mnits", "pictures", "nowhere", "~"),
    *(
        "ok.cfg",
        "/dev/zero",
        "/dev/null",
        "done",
        "~nobody/x",
        "a\tb",
        "\u00e9",
        "\u202e",
        "#",
        ";",
    ),
    *("bernoulli", "gaussian", "discretised-logistic", "continuous-bernoulli", "learnt", "optimal"),
    *("relu", "tanh", "fp32", "bf16", "constant", "warm-up 10", "cyclical 1", "cyclical 2", "tc"),
    *("linear 0 5", "falling 0 5", "falling 1 5", "capacity 1 2 3", "iwae", "tc iwae", "tc tc"),
    *("warm-up", "warm-up 1e9", "linear nan 3", "64", "32", "28", "4096", "4097"),
]
KEYS = sorted(name for kind in SECTIONS.values() for name in kind.__dataclass_fields__)
values = st.sampled_from(WORDS) | st.text(max_size=20) | st.integers().map(str)
keys = st.sampled_from(KEYS) | st.text(max_size=10)


@st.composite
def configurations(draw):
    """A file that works with some lines changed, taken away, doubled, or made of anything."""
    lines = OK.strip().split("\n")
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key = lines[at].split(" =")[0]
        line = draw(
            st.sampled_from([f"{key} = {{}}", "{}", "{} = {}", "[{}]", "  {}", "", lines[at]])
        )
        filled = line.replace("{}", draw(keys), 1) if line.startswith("{}") else line
        filled = filled.replace("{}", draw(values))
        if draw(st.booleans()):
            lines[at] = filled
        else:
            lines.insert(at, filled)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    form = draw(st.sampled_from(["as it is"] * 8 + ["cut", "bytes", "mark", "utf-16"]))
    if form == "cut":
        text = text[: draw(st.integers(0, len(text)))]
    if form == "bytes":
        text = draw(st.binary(max_size=60)) + text
    if form == "mark":
        text = b"\xef\xbb\xbf" + text
    return text.decode("utf-8", "replace").encode("utf-16") if form == "utf-16" else text


@cases(0.4)
@given(configurations(), st.sampled_from(["VAE", "B-VAE"]))
def test_configurations(here, text, variation):
    tidy(here)
    (here / "x.cfg").write_bytes(text)
    typed(["-c", "x.cfg", "-v", variation, "--output", "out", "--device", "cpu"])
    assert not (here / "out").exists(), "what failed leaves nothing"


# Command lines

TOKENS = [
    *("evaluate", "sample", "export", "sweep", "train", "--help", "-h", "--version", "--", "-", ""),
    *("-c", "--config", "-v", "--variation", "--output", "--resume", "--seed", "--precision"),
    *("--device", "--threads", "--path", "--images", "--samples", "--scores", "--number", "--half"),
    *("--grid", "--seeds", "--jobs", "--cluster", "VAE", "B-VAE", "beta-vae", "ok.cfg", "mnist-5k"),
    *("sprites", "done", "done/", "pictures", "nowhere", "x.png", "sub/x.png", "new", "x", "."),
    *("0", "1", "2", "5", "-1", "1.5", "nan", "1e3", "two", "99999999999999999999", "cpu", "cuda"),
    *("cuda:99", "meta", "mps", "auto", "xla", "cpu:7", "vulkan", "fp32", "bf16", "fp8", "a b"),
    *("hyperparameters.beta=1,2", "hyperparameters.beta=", "=1", "architecture.hidden=[],[4]"),
    *("hyperparameters.seed=1,1", "a.b=c", "configuration.dataset=sprites", "[", "[,]", "x=[1"),
    *("\u00e9", "\udce9", "%s", "{}", "@ok.cfg", "--half=1", "--seed=3", "-cok.cfg", "-vVAE"),
    *("/dev/null", "/dev/null/x", "tcp://nowhere:1", "x" * 300, "done/results.json", "\n", "--x"),
]
BEGINNINGS = [
    [],
    ["-c", "ok.cfg", "-v", "VAE", "--device", "cpu"],
    ["evaluate", "done", "--device", "cpu", "--samples", "2"],
    ["sample", "done", "--device", "cpu", "--output", "x.png"],
    ["export", "done", "--output", "new"],
    ["sweep", "ok.cfg", "--device", "cpu"],
]
tokens = st.lists(st.sampled_from(TOKENS) | st.text(max_size=5), max_size=5).map(
    lambda words: [word.replace("\0", "") for word in words]
)


@cases(0.25)
@given(st.sampled_from(BEGINNINGS), tokens)
def test_command_lines(here, beginning, words):
    tidy(here)
    before = (here / "done" / "config.cfg").read_bytes()
    typed([*beginning, *words])
    assert (here / "done" / "config.cfg").read_bytes() == before


# Data

small = st.sampled_from([0, 1, 2, 3, 7, 28, 255, 2**16, 2**31, 2**32 - 1])


def idx(draw):
    """The bytes of an IDX file, right or not quite."""
    shape = draw(st.sampled_from([[4, 3, 3], [4], [3], [2, 3, 3]]) | st.lists(small, max_size=5))
    promised = int(np.prod(shape, dtype=object)) if shape else 1
    length = promised if promised < 200 and draw(st.booleans()) else draw(st.integers(0, 200))
    rank = draw(st.sampled_from([len(shape)] * 5 + [0, 255]))
    head = draw(st.sampled_from([b"\0\0\x08"] * 5 + [b"\0\0\x0d", b"\x1f\x8b\x08", b""]))
    sizes = struct.pack(f">{len(shape)}I", *shape)
    return head + bytes([rank]) * bool(head) + sizes + bytes(range(length))


@cases(0.08)
@given(st.data())
def test_idx_files(here, data):
    raw = here / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            right = struct.pack(">III", 4, 3, 3) if "images" in kind else struct.pack(">I", 4)
            rank = len(right) // 4
            whole = b"\0\0\x08" + bytes([rank]) + right + bytes(36 if rank == 3 else 4)
            content = whole if data.draw(st.integers(0, 2)) else idx(data.draw)
            (raw / f"{part}-{kind}-ubyte").write_bytes(content)
    try:
        found = vaelib.load("mnist", here / "data", download=False)
    except DataError as error:
        assert "\n" not in str(error) and str(error).startswith("mnist: ")
    else:
        assert found.train.ndim == 4 and len(found.train) == len(found.train_labels)
        assert len(found.test) == len(found.test_labels)


def damaged(draw, content):
    """Bytes with a piece changed, taken away or put in."""
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content)))
        piece = draw(st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff"]))
        gone = draw(st.sampled_from([0, 1, len(piece), len(piece), len(content)]))
        content = content[:at] + piece + content[at + gone :]
    return content


arrays = st.sampled_from(
    [
        np.zeros((6, 64, 64), np.uint8),
        np.zeros((5, 64, 64), np.uint8),
        np.zeros((6, 64), np.uint8),
        np.zeros((0, 64, 64), np.uint8),
        np.zeros((6, 64, 64)),
        np.asfortranarray(np.zeros((6, 64, 64), np.uint8)),
        np.stack([np.zeros(6, int), *np.unravel_index(np.arange(6), (3, 2, 1, 1, 1))], 1),
        np.full((6, 6), 2**62),
        np.full((6, 6), -1),
        np.full((6, 6), np.nan),
        np.zeros((0, 6), int),
        np.array(["a"]),
        np.int64(3),
        np.array([{}], dtype=object),
    ]
)


@cases(0.05)
@given(st.data())
def test_dsprites_files(here, data):
    path = here / "data" / dsprites.FILE
    path.parent.mkdir(exist_ok=True)
    names = st.sampled_from(["imgs", "latents_classes", "latents_classes", "x"])
    stream = io.BytesIO()
    np.savez_compressed(stream, **data.draw(st.dictionaries(names, arrays, max_size=3)))
    path.write_bytes(damaged(data.draw, stream.getvalue()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: True)
        try:
            found = vaelib.load("dsprites", here / "data", download=False)
        except DataError as error:
            assert "\n" not in str(error) and str(error).startswith("dsprites: ")
        else:
            assert found.images(found.factors(torch.tensor([0]))).shape == (1, 1, 64, 64)
    path.unlink()


def encoded(form, mode):
    """A small picture as a file's bytes."""
    stream, size = io.BytesIO(), (6, 5)
    options = {"save_all": True} if form == "GIF" else {}
    Image.new(mode, size, 1).save(stream, form, **options)
    return stream.getvalue()


PICTURES = {
    **{f"{form}.png": encoded(form, "RGB") for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")},
    "grey.gif": encoded("GIF", "P"),
    "deep.png": encoded("PNG", "I;16"),
    "colours.png": deep_png(np.full((5, 6, 3), 4095)),
    "clear.png": deep_png(np.full((5, 6, 2), 4095)),
    "colours.ppm": b"P6 3 3 65535\n" + bytes(54),
    "float.tiff": encoded("TIFF", "F"),
    "clear.webp": encoded("WEBP", "RGBA"),
    "bits.pgm": b"P5 3 3 4095\n" + bytes(18),
    "header.ppm": b"P6 99999 99999 255\n",
    "program.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "page.png": b"%PDF-1.4",
    "none.jpg": b"",
    "apple.heic": b"\0\0\0\x18ftypheic",
}
names = st.sampled_from(
    ["", "a/", "b/", "train/", "test/", "Train/", "val/", "a/train/", "a/b/c/", ".x/", "a/\u00e9/"]
)


@cases(0.1)
@given(st.data())
def test_folders_of_pictures(here, data):
    tidy(here)
    root = here / "mine"
    for _ in range(data.draw(st.integers(0, 6))):
        name = data.draw(st.sampled_from(sorted(PICTURES)))
        content = PICTURES[name]
        path = root / data.draw(names) / f"{data.draw(st.integers(0, 9))}{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = data.draw(st.sampled_from(["file"] * 8 + ["link", "loop", "pipe", "folder"]))
        if path.exists() or path.is_symlink():
            continue
        if kind == "file":
            path.write_bytes(damaged(data.draw, content))
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(root if kind == "loop" else root / "a")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = vaelib.load("folder", root, image_size=4, colour=data.draw(st.booleans()))
    except DataError as error:
        assert "\n" not in str(error) and str(error).startswith("folder: ")
    else:
        assert len(found.train) and len(found.test) and found.train.shape[2:] == (4, 4)


CONFIGS = {
    "image_shape": [[1, 8, 8], [1, 10**5, 10**5], [10**9] * 3, [], [1, 8], "abc", None, [0, 8, 8]],
    "latent_dim": [2, 0, -1, 10**9, 10**18, 2.5, "2", None, [2]],
    "convs": [[], [{"channels": 4}], [{"channels": 10**9}], [{}], [[4]], "ab", None, {}, [None]],
    "hidden": [[], [8], [10**9, 10**9], ["a"], None, "ab", [[8]]],
    "likelihood": ["bernoulli", "gaussian", "normal", None, 3, []],
    "activation": ["relu", "swish", None, []],
    "sigma": ["learnt", 0, -1, float("nan"), 1e400, None, [], "optimal"],
}


@cases(0.06)
@given(st.data())
def test_model_files(here, data):
    tidy(here)
    config = {
        key: data.draw(st.sampled_from([options[0]] * 4 + options))
        for key, options in CONFIGS.items()
        if data.draw(st.integers(0, 9))
    }
    text = data.draw(
        st.sampled_from([json.dumps(config)] * 8 + ["", "[]", "3", "{", "[" * 10**5, "null"])
    )
    path = here / "x.safetensors"
    model = vaelib.VAE((1, 8, 8), 2, [], [])
    weights = dict(model.state_dict())
    for name in list(weights):
        if not data.draw(st.integers(0, 9)):
            weights[name] = data.draw(
                st.sampled_from(
                    [torch.zeros(0), torch.full((64, 64), torch.nan), torch.zeros(2, dtype=bool)]
                )
            )
    save_file(weights, path, metadata={"format": "vaelib-1", "config": text})
    content = path.read_bytes()
    kind = data.draw(st.sampled_from(["as it is"] * 4 + ["damaged", "header", "length"]))
    if kind == "damaged":
        content = damaged(data.draw, content)
    if kind == "header":
        header = b'{"a":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}' % (
            data.draw(small),
            data.draw(small),
        )
        content = struct.pack("<Q", len(header)) + header + bytes(8)
    if kind == "length":
        content = struct.pack("<Q", data.draw(small) ** 2) + content[8:]
    path.write_bytes(content)
    try:
        found = vaelib.load_model(path)
    except (ValueError, OSError) as error:
        assert "\n" not in str(error) and str(path) in str(error), error
    else:
        assert found.sample(1).isfinite().all()


# The API

MODEL = vaelib.VAE((1, 8, 8), 2, [ConvSpec(2)], 4)
ODD = [
    *(None, True, 0, 1, 2, -1, 2.5, float("nan"), float("inf"), 10**30, "", "x", b"x", [], {}),
    *((1,), [1, 2], object(), lambda step: 1.0, lambda step: None, lambda step: "a", lambda: 1),
]
IMAGES = [
    *(torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.zeros(0, 1, 8, 8)),
    *(torch.zeros(3, 8, 8), torch.zeros(3, 8, 8, 1), torch.zeros(3, 3, 8, 8), torch.zeros(())),
    *(torch.full((3, 1, 8, 8), torch.nan), torch.full((3, 1, 8, 8), 2.0), -torch.ones(3, 1, 8, 8)),
    *(
        torch.zeros(3, 1, 8, 8).double(),
        torch.zeros(3, 1, 8, 8).half(),
        torch.zeros(3, 1, 8, 8) > 1,
    ),
    *(torch.zeros(3, 1, 8, 8).long(), torch.zeros(3, 1, 8, 8, dtype=torch.complex64), "x", None),
    *(np.zeros((3, 1, 8, 8)), [], 3),
]
CALLS = {
    "fit": (
        lambda model, data, **rest: vaelib.fit(model, data, progress=False, device="cpu", **rest),
        {"data": IMAGES, "epochs": [1, *ODD], "steps": [None] * 9 + ODD, "beta": [1, *ODD],
         "batch_size": [2, *ODD], "learning_rate": [1e-3, *ODD], "samples": [1, *ODD],
         "seed": [0] * 9, "precision": ["fp32", "fp16", None], "objective": [None] * 5 + ODD},
    ),
    "encode": (metrics.encode, {"images": IMAGES, "batch_size": [2, *ODD]}),
    "elbo": (metrics.elbo, {"images": IMAGES, "samples": [1, *ODD], "batch_size": [2, *ODD]}),
    "log_likelihood": (metrics.log_likelihood, {"images": IMAGES, "samples": [2, *ODD]}),
    "active_units": (metrics.active_units, {"images": IMAGES, "batch_size": [2, *ODD]}),
    "sample": (lambda model, n: model.sample(n), {"n": ODD}),
    "VAE": (
        lambda model, **rest: vaelib.VAE(**rest),
        {"image_shape": [(1, 8, 8), (0, 8, 8), (1, 8), (1, 8.0, 8), None, "abc", 3],
         "latent_dim": [2, *ODD], "convs": [[], [ConvSpec(2)], [3], None, "x"],
         "hidden": [4, *ODD], "likelihood": ["bernoulli", "gaussian", *ODD],
         "activation": ["relu", *ODD], "sigma": ["learnt", "optimal", *ODD]},
    ),
    "load": (
        lambda model, **rest: vaelib.load(download=False, **rest),
        {"name": ["folder", "sprites", "nothing", *ODD], "root": ["pictures", "nowhere", 3, None],
         "image_size": [32, 8, *ODD], "colour": [True, False]},
    ),
}  # fmt: skip


@cases(0.06)
@given(st.data())
def test_arguments_of_the_library(here, data):
    tidy(here)
    name = data.draw(st.sampled_from(sorted(CALLS)))
    call, given_values = CALLS[name]
    arguments = {
        key: data.draw(st.sampled_from(list(options[:1]) * 4 + list(options)))
        for key, options in given_values.items()
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(MODEL, **arguments)
    except (ValueError, TypeError, DataError, TrainingError, CheckpointError) as error:
        assert "\n" not in str(error).strip(), error

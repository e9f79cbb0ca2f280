"""Every data set's name: read where it is in place, refused in one line where it is missing or
damaged.
"""

import gzip
import hashlib
import os
import pickle
import socket
import struct
from pathlib import Path

import forks
import numpy as np
import pytest
import torch
from common import REAL
from torchvision import datasets

import vaelib
from vaelib import DataError
from vaelib.data import data_root, download, draw_binary


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def write_idx_set(root: Path, folder: str, side: int = 28) -> dict[str, np.ndarray]:
    """A small data set in MNIST's own format, laid out as torchvision expects it."""
    rng = np.random.default_rng(0)
    arrays = {}
    for prefix, n in (("train", 7), ("t10k", 3)):
        arrays[prefix] = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
        arrays[prefix + "-labels"] = rng.integers(0, 10, n, dtype=np.uint8)
        write_idx(root / folder / "raw" / f"{prefix}-images-idx3-ubyte", arrays[prefix])
        write_idx(root / folder / "raw" / f"{prefix}-labels-idx1-ubyte", arrays[prefix + "-labels"])
    return arrays


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A small CIFAR-10 in place: its own file format, with torchvision's list of checksums made to
    match.
    """
    folder = tmp_path / datasets.CIFAR10.base_folder
    folder.mkdir()
    rng, listed = np.random.default_rng(0), {}
    for name, n in (("data_batch_1", 4), ("data_batch_2", 2), ("test_batch", 3)):
        batch = {
            "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
            "labels": rng.integers(0, 10, n).tolist(),
        }
        listed[name] = batch
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [str(i) for i in range(10)]})
    )
    md5 = {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    monkeypatch.setattr(
        datasets.CIFAR10, "train_list", [[n, md5[n]] for n in ("data_batch_1", "data_batch_2")]
    )
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(
        datasets.CIFAR10,
        "meta",
        {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]},
    )
    return tmp_path, listed


@pytest.fixture
def no_network(monkeypatch):
    """No name resolves; the hosts that somebody asked for are kept."""
    asked = []

    def refuse(host, *_, **__):
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(download, "WAIT", 0)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return asked


def test_embedded_digits_are_whole_and_stratified(no_network):
    data = vaelib.load("mnist-5k")
    assert data.train.shape == (4500, 1, 28, 28) and data.test.shape == (500, 1, 28, 28)
    assert data.train.dtype == data.test.dtype == torch.uint8
    assert data.image_shape == (1, 28, 28) and data.name == "mnist-5k"
    assert (
        data.train_labels.bincount().tolist() == [450] * 10
        and data.test_labels.bincount().tolist() == [50] * 10
    )
    assert no_network == []


def test_embedded_split_is_fixed_and_disjoint():
    data, again = vaelib.load("mnist-5k"), vaelib.load("mnist-5k")
    assert torch.equal(data.train, again.train)
    assert data.test_labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    digest = hashlib.sha256(data.test.numpy().tobytes()).hexdigest()
    assert digest.startswith(EMBEDDED_TEST_SHA256), (
        "the embedded test split changed: every number in the book would"
    )
    in_train = {image.numpy().tobytes() for image in data.train}
    assert not any(image.numpy().tobytes() in in_train for image in data.test)


EMBEDDED_TEST_SHA256 = "9248b346890a3a68"


def test_embedded_labels_belong_to_their_images():
    """Nearest class mean, learnt on train, recognises four of five test digits: shuffled labels
    would give one of ten.
    """
    data = vaelib.load("mnist-5k")
    train, test = data.train.flatten(1).float(), data.test.flatten(1).float()
    means = torch.stack([train[data.train_labels == digit].mean(0) for digit in range(10)])
    assert (torch.cdist(test, means).argmin(1) == data.test_labels).float().mean() > 0.75


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")]
)
def test_idx_sets_are_read_in_place(tmp_path, no_network, name, folder):
    arrays = write_idx_set(tmp_path, folder)
    data = vaelib.load(name, tmp_path)
    assert torch.equal(data.train, torch.from_numpy(arrays["train"]).unsqueeze(1))
    assert torch.equal(data.test, torch.from_numpy(arrays["t10k"]).unsqueeze(1))
    assert data.test_labels.tolist() == arrays["t10k-labels"].tolist()
    assert data.test_labels.dtype == torch.int64 and data.name == name and no_network == []


def test_cifar10_is_read_in_place_the_right_way_round(cifar, no_network):
    root, listed = cifar
    data = vaelib.load("cifar10", root)
    stored = np.concatenate([listed["data_batch_1"]["data"], listed["data_batch_2"]["data"]])
    # CIFAR stores each image as 1,024 reds, greens, blues, row by row: exactly C x H x W
    assert torch.equal(data.train, torch.from_numpy(stored.reshape(-1, 3, 32, 32)))
    assert data.image_shape == (3, 32, 32) and data.train.is_contiguous()
    assert data.test_labels.tolist() == listed["test_batch"]["labels"]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_downloading_gets_as_far_as_the_network_and_then_says_so(tmp_path, no_network, name):
    with pytest.raises(DataError) as refusal:
        vaelib.load(name, tmp_path)
    message = str(refusal.value)
    assert (
        "\n" not in message
        and name in message
        and str(tmp_path) in message
        and "mnist-5k" in message
    )
    source = {
        "mnist": datasets.MNIST,
        "fashion-mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
    }[name]
    urls = source.mirrors if hasattr(source, "mirrors") else [source.url]
    urls = [download.FASHION] if name == "fashion-mnist" else urls
    assert no_network and no_network[0] in urls[0], "the download was not tried"
    assert not [p for p in tmp_path.rglob("*") if p.is_file()], (
        "something half-written was left behind"
    )


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_missing_without_download_is_one_line(tmp_path, no_network, name):
    with pytest.raises(DataError, match=r"^" + name + r": not found under .*mnist-5k"):
        vaelib.load(name, tmp_path, download=False)
    assert no_network == []


def test_an_archive_already_in_place_is_unpacked_not_downloaded(tmp_path, no_network, monkeypatch):
    """torchvision's own path through checksum and extraction, on gzip files that lie where a
    download would put them.
    """
    source_root, root = tmp_path / "source", tmp_path / "root"
    arrays = write_idx_set(source_root, "MNIST")
    resources = []
    for url, _ in datasets.MNIST.resources:
        packed = gzip.compress((source_root / "MNIST" / "raw" / Path(url).stem).read_bytes())
        target = root / "MNIST" / "raw" / url
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(packed)
        resources.append((url, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert torch.equal(
        vaelib.load("mnist", root).test, torch.from_numpy(arrays["t10k"]).unsqueeze(1)
    )
    assert no_network == []


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[:3],
        lambda b: b[:9],
        lambda b: b"<html>" + b[6:],
        lambda b: b"",
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, file, damage):
    write_idx_set(tmp_path, "MNIST")
    path = tmp_path / "MNIST" / "raw" / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as refusal:
        vaelib.load("mnist", tmp_path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_folder_or_a_pipe_of_an_idx_files_name_is_named(tmp_path):
    write_idx_set(tmp_path, "MNIST")
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    for make in (Path.mkdir, os.mkfifo):
        path.unlink()
        make(path)
        with pytest.raises(DataError, match=f"{path} is truncated or corrupt"):
            vaelib.load("mnist", tmp_path)
        path.rmdir() if path.is_dir() else path.unlink()
        path.touch()


def zeros(*shape):
    return np.zeros(shape, dtype=np.uint8)


@pytest.mark.parametrize(("arrays", "words"), [
    ({"train-labels-idx1": zeros(6)}, "train-labels-idx1-ubyte holds (6,), not one label for each"),
    ({"t10k-labels-idx1": zeros(4)}, "t10k-labels-idx1-ubyte holds (4,), not one label for each"),
    ({"train-labels-idx1": zeros(7, 28, 28), "train-images-idx3": zeros(7)},
     "train-images-idx3-ubyte holds (7,), no images"),
    ({"train-images-idx3": zeros(7, 1, 28, 28)}, "holds (7, 1, 28, 28), no images (N, H, W)"),
    ({"t10k-images-idx3": zeros(0, 28, 28), "t10k-labels-idx1": zeros(0)}, "28), no images (N, H"),
    ({"t10k-images-idx3": zeros(3, 32, 32)}, "are 28 x 28, to test 32 x 32"),
])  # fmt: skip
def test_idx_files_that_do_not_belong_together_are_named(tmp_path, no_network, arrays, words):
    write_idx_set(tmp_path, "MNIST")
    for name, array in arrays.items():
        write_idx(tmp_path / "MNIST" / "raw" / f"{name}-ubyte", array)
    with pytest.raises(DataError) as refusal:
        vaelib.load("mnist", tmp_path)
    assert words in str(refusal.value) and str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value) and no_network == []


def test_an_archive_with_other_arrays_in_it_is_a_line(tmp_path, no_network, monkeypatch):
    """They are unpacked by torchvision, after what lies in place has been looked at."""
    write_idx_set(tmp_path, "MNIST")
    raw, resources = tmp_path / "MNIST" / "raw", []
    write_idx(raw / "train-images-idx3-ubyte", zeros(7))
    for url, _ in datasets.MNIST.resources:
        packed = gzip.compress((raw / Path(url).stem).read_bytes())
        (raw / url).write_bytes(packed)
        (raw / Path(url).stem).unlink()
        resources.append((url, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    with pytest.raises(DataError) as refusal:
        vaelib.load("mnist", tmp_path)
    assert str(refusal.value).startswith("mnist: ") and "\n" not in str(refusal.value)


@pytest.mark.parametrize("file", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_damaged_cifar_file_is_named(cifar, file):
    path = cifar[0] / datasets.CIFAR10.base_folder / file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as refusal:
        vaelib.load("cifar10", cifar[0])
    assert str(path) in str(refusal.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'mnits'.*mnist-5k, mnist, fashion-mnist, cifar10"):
        vaelib.load("mnits")


def test_root_comes_from_the_argument_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_DATA", str(tmp_path / "env"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root() == tmp_path / "env"
    monkeypatch.delenv("VAELIB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root() == tmp_path / "cache" / "vaelib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == Path.home() / ".cache" / "vaelib"


def test_binarized_data_has_black_and_white_test_images_drawn_once():
    data, grey = vaelib.load("mnist-5k", binarize=True), vaelib.load("mnist-5k")
    assert data.binarize and not grey.binarize
    assert data.test.unique().tolist() == [0, 255] and data.test.dtype == torch.uint8
    assert torch.equal(data.test, vaelib.load("mnist-5k", binarize=True).test)
    assert torch.equal(data.train, grey.train), "train stays grey: fit draws from it anew each time"
    assert (data.test[grey.test == 0] == 0).all() and (data.test[grey.test == 255] == 255).all()


def test_draws_are_bernoulli_with_the_pixels_probability():
    images = torch.tensor([[0, 64, 128, 191, 255]], dtype=torch.uint8).expand(40_000, 5)
    frequency = draw_binary(images, torch.Generator().manual_seed(0)).mean(0)
    torch.testing.assert_close(frequency, images[0] / 255, rtol=0, atol=5 * (0.25 / 40_000) ** 0.5)
    assert frequency[0] == 0 and frequency[-1] == 1


@pytest.mark.skipif(not (REAL / "MNIST").exists(), reason="no real MNIST under VAELIB_DATA")
@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("fashion-mnist", 0.2860)])
def test_real_data_has_its_published_mean(name, mean):
    data = vaelib.load(name, download=False)
    assert data.train.shape == (60_000, 1, 28, 28) and data.test.shape == (10_000, 1, 28, 28)
    assert data.train.double().mean().item() / 255 == pytest.approx(mean, abs=5e-5)


def test_who_has_no_home_still_has_the_embedded_digits(monkeypatch):
    """A container's user may have neither HOME nor a name."""
    code = """
import os, vaelib
from pathlib import Path
def nobody(*_): raise RuntimeError("Could not determine home directory.")
Path.expanduser = nobody
print(len(vaelib.load("mnist-5k")))
try: vaelib.load("mnist", download=False)
except vaelib.DataError as error: print(error)
"""
    for name in ("VAELIB_DATA", "HOME"):
        monkeypatch.delenv(name, raising=False)
    out, err = forks.start([], code).communicate()
    assert out == "4500\nno home folder to keep downloads in: set VAELIB_DATA to one\n", err

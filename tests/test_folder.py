"""Your own images: what is read is what was drawn, the right way up; what can't be read is named,
skipped and counted.
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from common import REAL
from PIL import Image

import vaelib
from vaelib import DataError
from vaelib.data.folder import SUFFIXES, FolderImages


def picture(
    path: Path, seed: int = 0, size: tuple[int, int] = (8, 8), mode: str = "RGB", **options
) -> np.ndarray:
    """Write noise to ``path``; the pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels, mode if mode == "RGBA" else None).save(path, **options)
    return pixels


@pytest.fixture
def tree(tmp_path):
    """Twenty pictures in two classes, one folder deeper for some."""
    pixels = {}
    for i in range(20):
        name = f"{'cat' if i % 2 else 'dog'}/{'more/' if i > 15 else ''}{i:02}.png"
        pixels[name] = picture(tmp_path / name, i)
    return tmp_path, pixels


def load(root, **options) -> FolderImages:
    return vaelib.load("folder", root, **{"image_size": 8, **options})


def test_pictures_are_read_with_their_labels(tree):
    root, pixels = tree
    data = load(root)
    assert data.train.shape == (18, 3, 8, 8) and data.test.shape == (2, 3, 8, 8)
    assert data.train.dtype == torch.uint8 and data.train_labels.dtype == torch.int64
    assert data.classes == ("cat", "dog") and data.skipped == () and data.image_shape == (3, 8, 8)
    named = {p.transpose(2, 0, 1).tobytes(): name.split("/")[0] for name, p in pixels.items()}
    images, labels = (
        torch.cat([data.train, data.test]),
        torch.cat([data.train_labels, data.test_labels]),
    )
    found = [
        (named.pop(image.numpy().tobytes()), data.classes[label])
        for image, label in zip(images, labels)
    ]
    assert named == {} and all(written == read for written, read in found)


def test_the_split_is_drawn_by_the_seed(tree):
    root, _ = tree
    data, again, other = load(root), load(root), load(root, seed=1)
    assert torch.equal(data.test, again.test) and torch.equal(data.train, again.train)
    assert not torch.equal(data.test, other.test)
    assert len(load(root, test_fraction=0.25).test) == 5
    assert len(load(root, test_fraction=0.001).test) == 1


def test_folders_named_train_and_test_are_the_split(tmp_path):
    for part, n in (("train", 5), ("test", 3)):
        for i in range(n):
            picture(tmp_path / part / f"class{i % 2}" / f"{i}.png", i)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (5, 3) and data.classes == ("class0", "class1")
    assert sorted(data.train_labels.tolist()) == [0, 0, 0, 1, 1]
    picture(tmp_path / "extra" / "0.png")
    assert load(tmp_path).classes == ("extra", "test", "train")


def test_a_flat_folder_has_one_label(tmp_path):
    for i in range(4):
        picture(tmp_path / f"{i}.png", i)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"nothing")
    picture(tmp_path / ".thumbnails" / "0.png")
    data = load(tmp_path)
    assert data.classes == ("",) and len(data.train) + len(data.test) == 4 and data.skipped == ()


def test_grey_pictures_and_colour_ones_made_grey(tmp_path):
    for i in range(2):
        grey = picture(tmp_path / "grey" / f"{i}.png", mode="L")
        colour = picture(tmp_path / "colour" / f"{i}.png")
    data = load(tmp_path / "grey", colour=False)
    assert data.train.shape == (1, 1, 8, 8) and torch.equal(
        data.train[0, 0], torch.from_numpy(grey)
    )
    assert torch.equal(load(tmp_path / "grey").train[0], torch.from_numpy(grey).expand(3, 8, 8)), (
        "three times the grey"
    )
    luma = (colour @ [0.299, 0.587, 0.114]).round()
    assert (
        load(tmp_path / "colour", colour=False).train[0, 0] - torch.from_numpy(luma)
    ).abs().max() <= 1


def test_a_picture_is_cut_in_its_middle_and_not_stretched(tmp_path):
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = (255, 0, 0)  # the square in the middle is red
    for i in range(2):
        Image.fromarray(wide).save(tmp_path / f"{i}.png")
    data = load(tmp_path, image_size=10)
    assert (data.train[0, 0] == 255).all() and (data.train[0, 1:] == 0).all()
    small = load(tmp_path, image_size=4)
    assert small.train.shape == (1, 3, 4, 4)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[0] = 255  # the first row stored is the picture's right edge
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(2):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png", exif=exif)
    image = load(tmp_path, colour=False).train[0, 0]
    assert (image[:, -1] == 255).all() and (image[:, :-1] == 0).all()


def test_transparency_is_white_and_16_bits_are_cut_to_8(tmp_path):
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    clear[0] = (10, 20, 30, 255)
    deep = np.full((8, 8), 40_000, dtype=np.uint16)
    for i in range(2):
        for name, pixels in (("clear", clear), ("deep", deep)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    image = load(tmp_path / "clear").train[0]
    assert image[:, 0, 0].tolist() == [10, 20, 30] and (image[:, 1:] == 255).all()
    assert load(tmp_path / "deep", colour=False).train.unique().tolist() == [40_000 // 256]


def test_broken_files_are_named_skipped_and_counted(tree):
    root, pixels = tree
    picture(root / "cat" / "photo.jpg", 1, (64, 64))
    whole = (root / "cat" / "photo.jpg").read_bytes()
    (root / "cat" / "photo.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "no picture.png").write_text("hello")
    (root / "dog" / "empty.gif").write_bytes(b"")
    with pytest.warns(
        UserWarning, match="folder: 3 of 23 pictures can't be read and are left out: "
    ) as caught:
        data = load(root)
    assert (
        len(caught) == 1
        and "\n" not in str(caught[0].message)
        and str(root) not in str(caught[0].message)
    )
    assert {name for name, _ in data.skipped} == {
        "cat/photo.jpg",
        "dog/no picture.png",
        "dog/empty.gif",
    }
    assert "truncated" in dict(data.skipped)["cat/photo.jpg"]
    assert all(name in str(caught[0].message) for name, _ in data.skipped)
    assert len(data.train) + len(data.test) == 20 == len(data.train_labels) + len(data.test_labels)
    images = {image.numpy().tobytes() for image in torch.cat([data.train, data.test])}
    assert images == {p.transpose(2, 0, 1).tobytes() for p in pixels.values()}, (
        "no row was left unread or overwritten"
    )


def test_many_broken_files_are_counted_and_the_first_named(tree):
    root, _ = tree
    for i in range(30):
        (root / f"broken{i:02}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"30 of 50 pictures .*; and 20 more$"):
        data = load(root)
    assert len(data.skipped) == 30


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_kind_of_file_is_read(tmp_path, suffix):
    for i in range(2):
        picture(tmp_path / f"{i}{suffix.upper() if i else suffix}", i, mode="L")
    data = load(tmp_path, colour=False)
    assert (len(data.train), len(data.test)) == (1, 1) and data.skipped == ()


def test_what_can_not_be_had_is_one_line(tmp_path, tree):
    with pytest.raises(DataError, match=r"^folder: .*none is not a folder$"):
        load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no pictures under .*empty; looked for \.bmp, "):
        load(tmp_path / "empty")
    picture(tmp_path / "one" / "0.png")
    with pytest.raises(
        DataError, match=r"1 of the 1 pictures .* 0 to train on and 1 to test on are too few"
    ):
        load(tmp_path / "one")
    with pytest.raises(ValueError, match="give root"):
        vaelib.load("folder")
    with pytest.raises(ValueError, match="image_size must be a whole number, at least 1; got 0"):
        load(tree[0], image_size=0)
    with pytest.raises(ValueError, match=r"test_fraction must be above 0 and below 1; got 1\.0"):
        load(tree[0], test_fraction=1.0)
    with pytest.raises(
        TypeError,
        match="folder has no option 'size'; it has: image_size, colour, test_fraction, seed",
    ):
        load(tree[0], size=8)


def test_black_and_white_is_drawn_when_asked(tree):
    data = load(tree[0], colour=False, binarize=True)
    assert (
        data.binarize
        and set(data.test.unique().tolist()) == {0, 255}
        and isinstance(data, FolderImages)
    )


CIFAR = REAL / "cifar10-jpeg.tar.gz"


@pytest.mark.skipif(not CIFAR.exists(), reason="no JPEG tree of CIFAR-10 under VAELIB_DATA")
def test_a_real_tree_of_photographs(tmp_path):
    """The first pictures of the archive; the whole of it takes a minute."""
    with tarfile.open(CIFAR) as archive:
        for member in archive:
            if member.name.lower().endswith(".jpg"):
                archive.extract(member, tmp_path, filter="data")
                if len(list(tmp_path.rglob("*.jpg"))) == 50:
                    break
    data = load(tmp_path, image_size=32)
    assert (
        len(data.train) + len(data.test) == 50
        and data.image_shape == (3, 32, 32)
        and data.skipped == ()
    )

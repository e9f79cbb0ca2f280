"""Your own images: what is read is what was drawn, the right way up; what can't be read is named,
skipped and counted.
"""

import os
import struct
import tarfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from common import REAL, deep_png
from PIL import Image

import vaelib
from vaelib import DataError
from vaelib.data import folder
from vaelib.data.folder import FolderImages
from vaelib.data.tree import READ, SELDOM, parts


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
    assert data.train.shape == (19, 3, 8, 8) and data.test.shape == (1, 3, 8, 8)
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
    assert len(load(root, test_fraction=0.001).test) == 1
    assert len(load(root, test_fraction=0.999).train) == 1


def test_as_many_are_to_test_on_as_was_asked():
    names = [f"{i}.png" for i in range(10_000)]
    for fraction in (0.1, 0.25):
        assert len(parts(Path(), names, fraction, 0).test) == pytest.approx(10_000 * fraction, 0.05)


def test_a_picture_never_changes_sides_when_others_come_or_go(tree):
    root, _ = tree
    before = load(root, test_fraction=0.4).listing
    for i in range(20, 60):
        picture(root / "cat" / f"{i}.png", i)
    (root / "dog" / "00.png").unlink()
    after = load(root, test_fraction=0.4).listing
    for part, other in (("train", "test"), ("test", "train")):
        assert len(before[part]) > 5 and not before[part].keys() & after[other].keys()
        stayed = [name for name in after[part] if name in before[part]]
        assert stayed == [name for name in before[part] if name != "dog/00.png"], "the order too"


def test_an_e_with_an_accent_is_the_same_letter_on_a_mac():
    """It writes two letters, e and the accent."""
    names = [f"caf\u00e9{i}.png" for i in range(50)]
    apart = [name.replace("\u00e9", "e\u0301") for name in names]
    one, two = (parts(Path(), list, 0.5, 0) for list in (names, apart))
    assert one.test == [name.replace("e\u0301", "\u00e9") for name in two.test]


def test_folders_named_train_and_test_are_the_split(tmp_path):
    for part, n in (("train", 5), ("test", 3)):
        for i in range(n):
            picture(tmp_path / part / f"class{i % 2}" / f"{i}.png", i)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (5, 3) and data.classes == ("class0", "class1")
    assert sorted(data.train_labels.tolist()) == [0, 0, 0, 1, 1]
    picture(tmp_path / "cover.jpg")
    picture(tmp_path / "val" / "class0" / "0.png")
    with pytest.warns(UserWarning, match="left out beside them: cover.jpg, val/class0/0.png$"):
        again = load(tmp_path)
    assert torch.equal(again.train, data.train) and torch.equal(again.test, data.test)
    assert again.classes == data.classes


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAINING", "val"),
        ("train", "Testing"),
        ("train", "validation"),
        ("training_set", "test_set"),
        ("Train Images", "test-images"),
        ("train", "dev"),
    ],
)
def test_the_usual_names_of_a_split_are_understood(tmp_path, train, test):
    for i in range(3):
        picture(tmp_path / train / "a" / f"{i}.png", i)
    picture(tmp_path / test / "a" / "9.png", 9)
    data = load(tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (3, 1, ("a",))


@pytest.mark.parametrize(("files", "words"), [
    (["train/a/0.png", "train/b/1.png"], r"all pictures are in .*/train: give that as the path"),
    (["train/a/0.png", "cover.png"], r"all pictures but those in no folder are in .*/train: give"),
    (["test/a/0.png", "cats/1.png"], r"/test has no folder train beside it"),
    (["val/0.png", "1.png"], r"/val has no folder train beside it"),
    (["Train/0.png", "train/1.png", "test/2.png"], r"to train on: .*/Train and train\? Leave one"),
    (["set/train/0.png", "set/test/1.png"], r"train and test in .*/set are a split only directly"),
    (["cat/train/0.png", "cat/val/a/1.png", "dog/2.png"], r"give .*/cat as the path, or move"),
])  # fmt: skip
def test_names_that_leave_the_split_in_doubt_are_refused_in_a_line(tmp_path, files, words):
    for i, name in enumerate(files):
        picture(tmp_path / name, i)
    with pytest.raises(DataError, match=words) as refusal:
        load(tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_train_may_be_a_thing_on_rails(tmp_path):
    for i in range(4):
        picture(tmp_path / "train" / f"{i}.png", i)
        picture(tmp_path / "car" / f"{i}.png", i + 4)
    assert load(tmp_path).classes == ("car", "train")


def test_a_split_that_was_kept_is_made_again(tree):
    root, _ = tree
    (root / "dog" / "broken.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 21 pictures"):
        data = load(root, test_fraction=0.4)
    again = load(root, split=data.listing)
    assert torch.equal(data.train, again.train) and torch.equal(data.test, again.test)
    assert torch.equal(data.train_labels, again.train_labels)
    held_out = list(data.listing["test"])
    picture(root / "cat" / "new.png", 99)
    (root / held_out[0]).unlink()
    picture(root / held_out[1], 98)
    with pytest.warns(UserWarning, match="left out: 1 new, 1 gone, 1 changed$"):
        now = load(root, split=data.listing)
    assert torch.equal(now.test, data.test[2:]) and torch.equal(now.train, data.train)


def test_links_are_followed_and_loops_refused(tmp_path):
    for i in range(2):
        picture(tmp_path / "elsewhere" / f"{i}.png", i)
        picture(tmp_path / "here" / "own" / f"{i}.png", i + 2)
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "own" / "one.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    assert load(tmp_path / "here").classes == ("linked", "own")
    assert sum(map(len, load(tmp_path / "here").listing.values())) == 5
    for link, target in (("loop", tmp_path / "here"), ("again", tmp_path / "elsewhere")):
        (tmp_path / "here" / "own" / link).symlink_to(target)
        with pytest.raises(DataError, match="again, through a link: its pictures would count tw"):
            load(tmp_path / "here")
        (tmp_path / "here" / "own" / link).unlink()
    (tmp_path / "here" / "lost.png").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match=r"1 of 6 pictures .*lost.png \(not a file\)"):
        load(tmp_path / "here")


def test_what_is_seldom_read_is_counted(tree):
    root, _ = tree
    for suffix in SELDOM:
        (root / f"photo{suffix.upper()}").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"5 of 25 pictures .*photo.HEIC \(this Pillow does not"):
        load(root)


def test_a_pipe_is_no_picture(tree):
    root, _ = tree
    os.mkfifo(root / "cat" / "pipe.png")
    with pytest.warns(UserWarning, match=r"1 of 21 pictures .*pipe.png \(not a file\)"):
        load(root)


def test_no_program_is_started_to_read_a_picture(tree):
    """Pillow hands what begins like EPS to Ghostscript, whatever its name."""
    root, _ = tree
    (root / "cat" / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.warns(UserWarning, match="1 of 21 pictures .*cannot identify image file"):
        load(root)


def test_a_small_file_of_gigabytes_is_left_out(tree):
    root, _ = tree
    Image.new("1", (20_000, 10_000)).save(root / "cat" / "bomb.png")
    assert (root / "cat" / "bomb.png").stat().st_size < 100_000
    with pytest.warns(UserWarning, match=r"1 of 21 pictures .*bomb.png \(Image size"):
        load(root)


def test_pictures_that_do_not_fit_into_memory_are_refused(tree, monkeypatch):
    monkeypatch.setattr(folder, "free_memory", lambda: 20 * 3 * 8 * 8 - 1)
    with pytest.raises(DataError, match=r"its pictures take 0.0 GB, .*; take a smaller image_size"):
        load(tree[0])


@pytest.mark.parametrize(("values", "bits"), [((0, 4095), 12), ((0, 200), 8), ((7, 9000), 14),
                                              ((0, 65535), 16), ((1000, 1000), 10)])  # fmt: skip
def test_sixteen_bits_hold_fewer_where_no_value_is_greater(tmp_path, values, bits):
    for i, value in enumerate(values):
        Image.fromarray(np.full((8, 8), value, dtype=np.uint16)).save(tmp_path / f"{i}.png")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = load(tmp_path, colour=False)
    levels = torch.cat([data.train, data.test]).unique().tolist()
    assert levels == sorted({value >> (bits - 8) for value in values})
    told = [f"folder: no 16-bit value is above {max(values)}: read as values of {bits} bits"]
    assert [str(warning.message) for warning in said] == told * (bits < 16)


@pytest.mark.parametrize(("most", "bits"), [(4095, 12), (65535, 16), (255, 8), (9000, 14)])
def test_sixteen_bits_a_colour_are_read_like_greys(tmp_path, most, bits):
    """Pillow gives the upper 8, which are 0 to 15 where 12 are in use."""
    values = np.random.default_rng(0).integers(0, most, (8, 8, 3), endpoint=True)
    values[0, 0] = most, 0, most
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(deep_png(values))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = load(tmp_path)
    expected = torch.from_numpy(values.transpose(2, 0, 1) >> (bits - 8))
    assert torch.equal(data.train[0].long(), expected)
    told = f"folder: no 16-bit value is above {most}: read as values of {bits} bits"
    assert [str(warning.message) for warning in said] == [told] * (bits < 16)


@pytest.mark.parametrize("channels", [2, 4])
def test_the_transparency_of_sixteen_bits_says_nothing_of_the_colours_bits(tmp_path, channels):
    """12-bit values with an alpha of all 16 bits, as the programs of microscopes write them."""
    values = np.full((8, 8, channels), 2048)
    values[..., -1], values[0, :, -1] = 65535, 0
    values[1, 1, 0] = 4095
    for i in range(2):
        (tmp_path / f"{i}.png").write_bytes(deep_png(values))
    with pytest.warns(UserWarning, match="no 16-bit value is above 4095"):
        image = load(tmp_path).train[0]
    assert (image[:, 0] == 255).all() and (image[:, 2:] == 128).all() and image[0, 1, 1] == 255


def test_a_photograph_of_sixteen_bits_is_turned_as_its_camera_says(tmp_path):
    values = np.zeros((8, 8, 3), dtype=int)
    values[0] = 65535
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(2):
        content = deep_png(values, exif.tobytes().removeprefix(b"Exif\0\0"))
        (tmp_path / f"{i}.png").write_bytes(content)
    image = load(tmp_path).train[0]
    assert (image[:, :, -1] == 255).all() and (image[:, :, :-1] == 0).all()


def test_colours_that_pillow_cuts_are_left_out_unless_all_their_bits_are_in_use(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, 3))
    for i in range(2):
        picture(tmp_path / f"{i}.png", i)
    path = tmp_path / "2.ppm"
    path.write_bytes(b"P6 8 8 65535\n" + values.astype(">u2").tobytes())
    with pytest.warns(UserWarning, match="colours of 16 bits, of which Pillow reads the upper 8"):
        assert [name for name, _ in load(tmp_path).skipped] == ["2.ppm"]
    path.write_bytes(b"P6 8 8 65535\n" + (16 * values).astype(">u2").tobytes())
    data = load(tmp_path)
    images = torch.cat([data.train, data.test]).long()
    expected = torch.from_numpy(values.transpose(2, 0, 1) >> 4)
    assert min((image - expected).abs().max() for image in images) <= 1, "Pillow rounds them"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_tiff_of_sixteen_bits_a_colour_is_read_whole(tmp_path, order, compressed):
    values = np.random.default_rng(0).integers(0, 4095, (8, 8, 3), endpoint=True)
    for i in range(2):
        (tmp_path / f"{i}.tif").write_bytes(deep_tiff(values, order, compressed))
    with pytest.warns(UserWarning, match="read as values of 12 bits"):
        data = load(tmp_path)
    assert torch.equal(data.train[0].long(), torch.from_numpy(values.transpose(2, 0, 1) >> 4))


def deep_tiff(values: np.ndarray, order: str, compressed: bool) -> bytes:
    """A TIFF of 16-bit colours, which Pillow can't write."""
    height, width, channels = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    strip = zlib.compress(pixels) if compressed else pixels
    tags = {
        **{256: (4, width), 257: (4, height), 258: (3, None), 259: (3, 8 if compressed else 1)},
        **{262: (3, 2), 273: (4, 140), 277: (3, channels), 278: (4, height), 279: (4, len(strip))},
        **{284: (3, 1)},
    }
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, kind, 3, 134)
        if number is None
        else struct.pack(f"{order}HHI{'I' if kind == 4 else 'Hxx'}", tag, kind, 1, number)
        for tag, (kind, number) in tags.items()
    )
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + struct.pack(f"{order}3H", 16, 16, 16) + strip


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


@pytest.mark.parametrize("suffix", sorted(READ))
def test_every_kind_of_file_is_read(tmp_path, suffix):
    for i in range(2):
        picture(tmp_path / f"{i}{suffix.upper() if i else suffix}", i, mode="L")
    data = load(tmp_path, colour=False)
    assert (len(data.train), len(data.test)) == (1, 1) and data.skipped == ()


def test_what_can_not_be_had_is_one_line(tmp_path, tree):
    with pytest.raises(DataError, match=r"^folder: .*none is not a folder$"):
        load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"/emty is not a folder; did you mean .*/empty\?$"):
        load(tmp_path / "emty")
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
    for argument, value in (("test_fraction", "0.1"), ("seed", "a"), ("seed", 1.5), ("split", {})):
        with pytest.raises(ValueError, match=f"^{argument} must be "):
            load(tree[0], **{argument: value})
    with pytest.raises(
        TypeError,
        match="'size'; it has: image_size, colour, test_fraction, seed, split, binarize",
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

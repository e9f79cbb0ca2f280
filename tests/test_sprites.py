"""Sprites: their geometry against outlines drawn by matplotlib, the factor grid, and the published
file's reader.
"""

import colorsys
import hashlib
import http.server
import io
import itertools
import math
import os
import pickle
import struct
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from common import REAL
from matplotlib.path import Path as Outline
from scipy import stats

import vaelib
from vaelib import DataError, sprites
from vaelib.data import download, dsprites
from vaelib.data.dsprites import FILE

SQUARE, ELLIPSE, HEART = range(3)
FULL, HALF = 5, 0  # scales
STYLES = list(itertools.product((32, 64), (False, True)))
styles = pytest.mark.parametrize(("size", "antialias"), STYLES)


def grid_of(*values) -> torch.Tensor:
    """Every combination of the values given for each factor, (n, F)."""
    return torch.cartesian_prod(*(torch.as_tensor(v).reshape(-1) for v in values))


def white(data, *values) -> torch.Tensor:
    """The images of every combination, as floats 0 to 1 without the channel (n, H, W)."""
    return data.images(grid_of(*values))[:, 0].float() / 255


def test_the_interface():
    data = vaelib.load("sprites", image_size=32)
    assert (data.name, data.image_shape) == ("sprites", (1, 32, 32))
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert data.factor_sizes == (3, 6, 40, 32, 32) and len(data) == 737_280
    images = data.images(torch.zeros(7, 5, dtype=torch.int64))
    assert (
        images.shape == (7, 1, 32, 32)
        and images.dtype == torch.uint8
        and images.unique().tolist() == [0, 255]
    )
    assert data.images(torch.zeros(0, 5, dtype=torch.int64)).shape == (0, 1, 32, 32)
    assert vaelib.load("sprites").image_shape == (1, 64, 64)


def outline(shape: int) -> np.ndarray:
    """The corners (n, 2) of a polygon for ``shape``, upright, v upwards, about its centre of mass,
    with area 0.07.
    """
    t = np.linspace(0, 2 * math.pi, 241)
    if shape == SQUARE:
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]])
    elif shape == ELLIPSE:
        points = np.stack([2 * np.cos(t), np.sin(t)], 1)
    else:  # up the lower right side, over the right lobe, then the mirror image
        lobe = np.linspace(-math.pi / 4, 3 * math.pi / 4, 121)
        right = np.stack(
            [0.5 + math.sqrt(0.5) * np.cos(lobe), 0.5 + math.sqrt(0.5) * np.sin(lobe)], 1
        )
        points = np.concatenate([[[0, -1]], right, right[::-1] * [-1, 1]])
    x, y, x1, y1 = *points.T, *np.roll(points, -1, 0).T
    cross = x * y1 - x1 * y
    centre = np.array([((x + x1) * cross).sum(), ((y + y1) * cross).sum()]) / (3 * cross.sum())
    return (points - centre) * math.sqrt(0.07 / (abs(cross.sum()) / 2))


def drawn_by_matplotlib(factors: list[int], size: int, samples: int) -> np.ndarray:
    """The part of each pixel inside the outline, from ``samples`` x ``samples`` points in it (H,
    W).
    """
    shape, scale, turn, x, y = factors
    angle = 2 * math.pi * turn / 40
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = (
        outline(shape) * (0.5 + 0.1 * scale) @ rotation.T * [1, -1]
    )  # rows of pixels go downwards
    corners += [0.25 + 0.5 * x / 31, 0.25 + 0.5 * y / 31]
    at = (np.arange(size * samples) + 0.5) / (size * samples)
    points = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    inside = Outline(corners, closed=False).contains_points(points)
    return inside.reshape(size, samples, size, samples).mean((1, 3))


SOME = [
    [s, c, o, x, y]
    for s in range(3)
    for c, o, x, y in [(5, 0, 3, 21), (5, 4, 16, 15), (2, 13, 31, 0), (0, 27, 9, 9)]
]


@pytest.mark.parametrize("size", [32, 64])
def test_binary_pixels_are_those_whose_centre_is_inside_the_outline(size):
    data = vaelib.load("sprites", image_size=size)
    for factors in SOME:
        drawn, expected = (
            white(data, *factors)[0].numpy(),
            drawn_by_matplotlib(factors, size, samples=1),
        )
        assert np.array_equal(drawn, expected), factors


@pytest.mark.parametrize("size", [32, 64])
def test_antialiased_pixels_are_the_covered_part(size):
    data = vaelib.load("sprites", image_size=size, antialias=True)
    for factors in SOME:
        error = white(data, *factors)[0].numpy() - drawn_by_matplotlib(factors, size, samples=8)
        # a pixel at a corner is cut by two edges, not one, and the width of an edge depends a
        # little on its direction
        assert np.abs(error).max() < 0.25 and np.sqrt((error**2).mean()) < 0.011, factors
        assert abs(error.sum()) < 0.8, "pixels' worth of white"


@styles
@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
def test_area_grows_as_the_square_of_the_scale_and_is_the_same_for_all_shapes(
    shape, size, antialias
):
    data = vaelib.load("sprites", image_size=size, antialias=antialias)
    for k, scale in enumerate([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]):
        area = (
            white(data, shape, k, range(0, 40, 3), range(0, 32, 5), range(0, 32, 5)).mean().item()
        )
        assert area == pytest.approx(0.07 * scale**2, rel=0.02 if antialias else 0.006)


@styles
@pytest.mark.parametrize("shape", [SQUARE, ELLIPSE, HEART])
def test_centre_of_mass_is_where_x_and_y_say(shape, size, antialias):
    data = vaelib.load("sprites", image_size=size, antialias=antialias)
    factors = grid_of(shape, [HALF, FULL], range(0, 40, 7), [0, 13, 31], [0, 20, 31])
    images = data.images(factors)[:, 0].double()
    pixels = (torch.arange(size) + 0.5).double()
    mass = images.sum((1, 2))
    column = (images.sum(1) * pixels).sum(1) / mass
    row = (images.sum(2) * pixels).sum(1) / mass
    tolerance = 0.12 if antialias else 0.5
    torch.testing.assert_close(
        column, size * (0.25 + 0.5 * factors[:, 3] / 31).double(), rtol=0, atol=tolerance
    )
    torch.testing.assert_close(
        row, size * (0.25 + 0.5 * factors[:, 4] / 31).double(), rtol=0, atol=tolerance
    )


@styles
def test_ten_orientations_are_a_quarter_turn_anticlockwise(size, antialias):
    """`rot90` of the picture puts a sprite at (x, y) to (y, 31 - x): the same picture, pixel for
    pixel.
    """
    data = vaelib.load("sprites", image_size=size, antialias=antialias)
    factors = grid_of(range(3), [HALF, 3, FULL], range(30), [0, 11], [5, 31])
    turned = factors.clone()
    turned[:, 2] += 10
    turned[:, 3], turned[:, 4] = factors[:, 4], 31 - factors[:, 3]
    difference = data.images(factors).rot90(1, (2, 3)).int() - data.images(turned).int()
    assert difference.abs().max() <= antialias  # grey may round the other way


@styles
def test_the_shapes_symmetries(size, antialias):
    data = vaelib.load("sprites", image_size=size, antialias=antialias)
    turns = [white(data, shape, FULL, range(40), 12, 17) for shape in range(3)]

    def apart(a, b):  # in pixels' worth of white, the least over the orientations
        return (a - b).abs().sum((1, 2)).min().item() * (64 / size) ** 2

    def equal(a, b):
        return (a - b).abs().max() <= 1 / 255 * antialias

    assert (
        equal(turns[SQUARE], turns[SQUARE].roll(10, 0))
        and apart(turns[SQUARE], turns[SQUARE].roll(5, 0)) > 20
    )
    assert (
        equal(turns[ELLIPSE], turns[ELLIPSE].roll(20, 0))
        and apart(turns[ELLIPSE], turns[ELLIPSE].roll(10, 0)) > 100
    )
    assert apart(turns[HEART], turns[HEART].roll(20, 0)) > 60
    distinct = torch.cat(turns).flatten(1).unique(dim=0)
    if antialias or size == 64:
        assert len(turns[HEART].flatten(1).unique(dim=0)) == 40, (
            "40 distinct orientations: 2 pi is not among them"
        )
    for a, b in itertools.combinations(turns, 2):
        assert apart(a, b) > 20, "the shapes differ at every orientation"
    assert len(distinct) >= 60


def test_the_heart_stands_upright_at_orientation_zero():
    data = vaelib.load("sprites", image_size=64)
    heart, mirrored = (white(data, HEART, FULL, 0, x, 16)[0] for x in (9, 22))
    assert torch.equal(heart, mirrored.flip(1))
    widths = heart.sum(1)[heart.any(1)]
    assert widths[-1] <= 2 and widths[0] >= 6, "a point below, two lobes above"
    top = heart[heart.any(1)][0]
    assert not top[top.nonzero().min() : top.nonzero().max()].all(), "a notch between the lobes"


@styles
def test_no_sprite_is_cut(size, antialias):
    data = vaelib.load("sprites", image_size=size, antialias=antialias)
    images = white(data, range(3), FULL, range(40), [0, 31], [0, 31])
    border = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    assert border.max() == 0


@pytest.mark.parametrize("size", [32, 64])
def test_binary_is_antialiased_cut_at_one_half(size):
    binary, grey = (vaelib.load("sprites", image_size=size, antialias=a) for a in (False, True))
    factors = binary.factors(
        torch.randint(len(binary), (2000,), generator=torch.Generator().manual_seed(1))
    )
    b, g = binary.images(factors), grey.images(factors)
    assert torch.equal(b == 255, g >= 128) and len(g.unique()) > 200
    assert b.float().mean().item() == pytest.approx(g.float().mean().item(), rel=0.01)


def test_indices_count_with_the_last_factor_fastest():
    data = vaelib.load("sprites")
    indices = torch.tensor([0, 1, 31, 32, 32 * 32, 40 * 32 * 32, 6 * 40 * 32 * 32, len(data) - 1])
    assert data.factors(indices).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 31],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [2, 5, 39, 31, 31],
    ]
    every = torch.arange(len(data))
    assert torch.equal(data.indices(data.factors(every)), every)
    for wrong in (-1, len(data)):
        with pytest.raises(ValueError, match=f"indices must be 0 to 737279; got {wrong}"):
            data.factors(torch.tensor([wrong]))


@styles
def test_an_image_does_not_depend_on_its_batch(size, antialias, monkeypatch):
    data = vaelib.load("sprites", image_size=size, antialias=antialias, colour=True)
    images, factors = data.sample(50, torch.Generator().manual_seed(3))
    one_by_one = torch.cat([data.images(row[None]) for row in factors])
    assert torch.equal(images, one_by_one)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, 3, "shape must be 0 to 2; got 3 in row 1"),
        (1, -1, "scale must be 0 to 5; got -1 in row 1"),
        (2, 40, "orientation must be 0 to 39; got 40 in row 1"),
        (3, 32, "x must be 0 to 31; got 32 in row 1"),
        (4, 99, "y must be 0 to 31; got 99 in row 1"),
    ],
)
def test_a_factor_out_of_range_is_named(column, value, message):
    data = vaelib.load("sprites", image_size=32)
    factors = torch.zeros(3, 5, dtype=torch.int64)
    factors[1, column] = value
    for call in (data.images, data.indices):
        with pytest.raises(ValueError) as refusal:
            call(factors)
        assert str(refusal.value) == message


@pytest.mark.parametrize(
    "factors", [torch.zeros(3, 5), torch.zeros(3, 6, dtype=torch.int64), torch.zeros(5).long()]
)
def test_factors_of_another_kind_are_refused(factors):
    with pytest.raises(
        ValueError,
        match=r"^factors must be whole numbers \(n, 5\), "
        r"one column each of shape, scale, .*; got torch",
    ):
        vaelib.load("sprites").images(factors)


def test_samples_are_uniform_and_come_from_the_generator():
    data = vaelib.load("sprites", image_size=32, colour=True)
    images, factors = data.sample(20_000, torch.Generator().manual_seed(0))
    for column, size in enumerate(data.factor_sizes):
        assert stats.chisquare(factors[:, column].bincount(minlength=size)).pvalue > 1e-3
    for a, b in itertools.combinations(range(6), 2):  # and any two are independent
        cells = factors[:, a] * data.factor_sizes[b] + factors[:, b]
        counts = cells.bincount(minlength=data.factor_sizes[a] * data.factor_sizes[b])
        assert stats.chisquare(counts).pvalue > 1e-3
    assert torch.equal(images[:500], data.images(factors[:500]))
    again, same = data.sample(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(images, again) and torch.equal(factors, same)
    assert not torch.equal(factors, data.sample(20_000, torch.Generator().manual_seed(1))[1])


def test_nothing_is_held_and_a_large_batch_is_drawn_in_pieces(monkeypatch):
    data = vaelib.load("sprites", image_size=64, antialias=True, colour=True)
    assert len(pickle.dumps(data)) < 2000
    drawn, own_axes = [], sprites._own_axes
    monkeypatch.setattr(
        sprites,
        "_own_axes",
        lambda factors, size: (drawn.append(len(factors)), own_axes(factors, size))[1],
    )
    images, factors = data.sample(6000, torch.Generator().manual_seed(0))
    assert sum(drawn) == 6000 and max(drawn) * 64 * 64 <= sprites.CHUNK < 6000 / 3 * 64 * 64
    assert torch.equal(images[-3:], data.images(factors[-3:]))


@styles
def test_hue_colours_the_white_sprite(size, antialias):
    plain, coloured = (
        vaelib.load("sprites", image_size=size, antialias=antialias, colour=c)
        for c in (False, True)
    )
    assert (
        coloured.factor_names[-1] == "hue"
        and coloured.factor_sizes[-1] == 10
        and len(coloured) == 7_372_800
    )
    assert coloured.image_shape == (3, size, size)
    for hue in range(10):
        images = coloured.images(grid_of(range(3), FULL, 7, 11, 23, hue)).double()
        expected = plain.images(grid_of(range(3), FULL, 7, 11, 23)).double()
        rgb = torch.tensor(colorsys.hsv_to_rgb(hue / 10, 1, 1)).double()
        assert (images - expected * rgb[:, None, None]).abs().max() < 0.51, hue


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "sprites",
            {"binarize": True},
            "sprites has no option 'binarize'; it has: image_size, antialias, colour",
        ),
        (
            "sprites",
            {"color": True},
            "sprites has no option 'color'; it has: image_size, antialias, colour",
        ),
        ("dsprites", {"antialias": True}, "dsprites has no option 'antialias'; it has: image_size"),
        ("mnist-5k", {"image_size": 32}, "mnist-5k has no option 'image_size'; it has: binarize"),
    ],
)
def test_an_option_of_another_data_set_is_refused(name, options, message):
    with pytest.raises(TypeError) as refusal:
        vaelib.load(name, **options)
    assert str(refusal.value) == message


@pytest.mark.parametrize("name", ["sprites", "dsprites"])
def test_other_image_sizes_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="image_size must be 32 or 64; got 28"):
        vaelib.load(name, tmp_path, image_size=28)


SMALL = (3, 2, 4, 3, 2)  # the factor sizes of the file that stands in for dSprites


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small file with dSprites' layout under ``tmp_path``, taken for the published one; its
    images.
    """
    classes = np.stack(np.unravel_index(np.arange(math.prod(SMALL)), SMALL), 1)
    images = np.random.default_rng(0).integers(0, 2, (len(classes), 64, 64), dtype=np.uint8)
    arrays = {
        "imgs": images,
        "latents_classes": np.pad(classes, ((0, 0), (1, 0))),  # colour, always 0, comes first
        "latents_values": np.zeros((len(classes), 6)),
        "metadata": np.array({"title": "an object that only pickle reads"}, dtype=object),
    }
    np.savez_compressed(tmp_path / FILE, **arrays)
    take_for_published(monkeypatch, tmp_path / FILE)
    return images


def take_for_published(monkeypatch, path: Path) -> None:
    monkeypatch.setattr(dsprites, "MD5", hashlib.md5(path.read_bytes()).hexdigest())


def test_dsprites_are_read_through_the_same_interface(tmp_path, published):
    data = vaelib.load("dsprites", tmp_path)
    assert (data.name, data.image_shape, data.factor_sizes, len(data)) == (
        "dsprites",
        (1, 64, 64),
        SMALL,
        144,
    )
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert torch.equal(
        data.images(data.factors(torch.arange(144))), torch.from_numpy(published).unsqueeze(1) * 255
    )
    images, factors = data.sample(10, torch.Generator().manual_seed(0))
    assert torch.equal(images[:, 0], torch.from_numpy(published)[data.indices(factors)] * 255)
    with pytest.raises(ValueError, match="scale must be 0 to 1; got 2 in row 0"):
        data.images(torch.tensor([[0, 2, 0, 0, 0]]))


def test_dsprites_at_32_pixels_stay_black_and_white(tmp_path, published):
    data = vaelib.load("dsprites", tmp_path, image_size=32)
    images = data.images(data.factors(torch.arange(144)))
    means = torch.nn.functional.avg_pool2d(torch.from_numpy(published).float(), 2)
    assert torch.equal(images, (means >= 0.5).unsqueeze(1) * torch.tensor(255, dtype=torch.uint8))


def test_dsprites_are_kept_as_bits_and_read_in_pieces(tmp_path, published, monkeypatch):
    reads, read = [], zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda file, n=-1: (reads.append(n), read(file, n))[1]
    )
    monkeypatch.setattr(dsprites, "PIECE", 50)
    data = vaelib.load("dsprites", tmp_path)
    assert (
        reads.count(50 * 64 * 64) == 2
        and reads.count(44 * 64 * 64) == 1
        and max(reads) == 50 * 64 * 64
    )
    assert torch.equal(
        data.images(data.factors(torch.tensor([143])))[0, 0], torch.from_numpy(published[143]) * 255
    )
    assert len(pickle.dumps(data)) < 144 * 64 * 64 / 8 + 5000


@pytest.fixture
def served(tmp_path_factory, monkeypatch):
    """A folder whose files the download gets, from this machine, in place of the publisher's."""
    folder = tmp_path_factory.mktemp("served")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(download, "WAIT", 0)
    monkeypatch.setattr(dsprites, "URL", f"http://127.0.0.1:{server.server_port}/{FILE}")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield folder
    server.shutdown()
    server.server_close()


def test_dsprites_are_downloaded_once(tmp_path, published, served):
    (tmp_path / FILE).rename(served / FILE)
    root = tmp_path / "new" / "folder"
    first = vaelib.load("dsprites", root)
    assert os.listdir(root) == [FILE]
    (served / FILE).unlink()
    zero = torch.zeros(1, 5, dtype=torch.int64)
    assert torch.equal(vaelib.load("dsprites", root).images(zero), first.images(zero))


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_a_download_that_is_missing_or_wrong_leaves_nothing_behind(tmp_path, served, content):
    if content is not None:
        (served / FILE).write_bytes(content)
    with pytest.raises(DataError) as refusal:
        vaelib.load("dsprites", tmp_path)
    reason = (
        "HTTP Error 404: File not found"
        if content is None
        else "what came has not the published checksum"
    )
    assert str(refusal.value) == (
        f"dsprites: not found under {tmp_path} and the download failed ({reason}); "
        'load("sprites") draws the same factors and needs no download'
    )
    assert os.listdir(tmp_path) == []


def test_missing_dsprites_without_download_is_one_line(tmp_path):
    with pytest.raises(DataError) as refusal:
        vaelib.load("dsprites", tmp_path / "none", download=False)
    assert str(refusal.value) == (
        f"dsprites: not found under {tmp_path / 'none'} and download is off; "
        'load("sprites") draws the same factors and needs no download'
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:99] + bytes([b[99] ^ 1]) + b[100:]]
)
def test_a_damaged_dsprites_file_is_named(tmp_path, published, damage):
    path = tmp_path / FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as refusal:
        vaelib.load("dsprites", tmp_path)
    assert (
        str(refusal.value) == f"dsprites: {path} is truncated or corrupt; delete it and load again"
    )


@pytest.mark.parametrize("header", ["{'shape': (144, 64,", "(" * 150 + ")" * 150, "-" * 9000 + "1"])
@pytest.mark.parametrize("array", ["imgs", "latents_classes"])
def test_an_array_whose_header_python_cannot_read_is_one_line(
    tmp_path, published, monkeypatch, array, header
):
    parts = {"latents_classes": np.zeros((1, 6)), "imgs": published}
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        for name, values in parts.items():
            stream = io.BytesIO()
            np.save(stream, values)
            bad = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()
            archive.writestr(f"{name}.npy", bad if name == array else stream.getvalue())
    take_for_published(monkeypatch, tmp_path / FILE)
    with pytest.raises(DataError, match="has not the layout of dSprites") as refusal:
        vaelib.load("dsprites", tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_file_whose_images_are_not_the_grid_is_refused(tmp_path, published, monkeypatch):
    classes = np.pad(np.stack(np.unravel_index(np.arange(144), SMALL), 1), ((0, 0), (1, 0)))
    np.savez_compressed(tmp_path / FILE, imgs=published[:-1], latents_classes=classes)
    take_for_published(monkeypatch, tmp_path / FILE)
    with pytest.raises(
        DataError,
        match=r"holds 143 images \[64, 64\] of uint8, not one for each of \(3, 2, 4, 3, 2\)",
    ):
        vaelib.load("dsprites", tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@styles
def test_a_gpu_draws_the_same(size, antialias):
    data = vaelib.load("sprites", image_size=size, antialias=antialias, colour=True)
    images, factors = data.sample(500, torch.Generator("cuda").manual_seed(0))
    assert images.is_cuda and factors.is_cuda
    different = (images.cpu().int() - data.images(factors.cpu()).int()).abs() > 1
    assert different.sum() <= 2  # a pixel's centre on an edge, to the last bit


@pytest.mark.skipif(not (REAL / FILE).exists(), reason="no real dSprites under VAELIB_DATA")
@pytest.mark.parametrize("image_size", [32, 64])
def test_real_dsprites_have_their_published_layout(image_size):
    data = vaelib.load("dsprites", download=False, image_size=image_size)
    assert data.factor_sizes == (3, 6, 40, 32, 32) and len(data) == 737_280
    images, _ = data.sample(20_000, torch.Generator().manual_seed(0))
    assert images.float().mean().item() / 255 == pytest.approx(0.0425, rel=0.05)
    first, last = (data.images(grid_of(range(3), range(6), o, 16, 16)) for o in (0, 39))
    assert torch.equal(first, last), "orientations 0 and 2 pi"


def grid(*, of=np.uint8, order="C"):
    """The two arrays of dSprites that are read, for the small grid."""
    classes = np.pad(np.stack(np.unravel_index(np.arange(144), SMALL), 1), ((0, 0), (1, 0)))
    return {"imgs": np.zeros((144, 64, 64), of, order), "latents_classes": classes}


@pytest.mark.parametrize(("arrays", "words"), [
    ({"imgs": grid()["imgs"]}, "There is no item named 'latents_classes.npy'"),
    ({"latents_classes": grid()["latents_classes"]}, "There is no item named 'imgs.npy'"),
    (grid(order="F"), "its images are in Fortran order"),
    (grid() | {"latents_classes": grid()["latents_classes"][::-1]}, "not in the order of their"),
    (grid() | {"latents_classes": np.zeros((0, 6), int)}, "has not the layout of dSprites"),
    (grid() | {"latents_classes": np.int64(3)}, "has not the layout of dSprites"),
    (grid() | {"latents_classes": np.array([{}])}, "has not the layout of dSprites"),
    (
        {"imgs": np.zeros((0, 64, 64), np.uint8), "latents_classes": np.full((6, 6), -1)},
        "its factors have (0, 0, 0, 0, 0) values",
    ),
    (grid() | {"latents_classes": np.zeros((13_000_000, 1))}, "its latents_classes are too many"),
    (grid(of=np.float32), "holds 144 images [64, 64] of float32"),
])  # fmt: skip
def test_what_has_not_dsprites_layout_is_a_line(tmp_path, monkeypatch, arrays, words):
    np.savez_compressed(tmp_path / FILE, **arrays)
    take_for_published(monkeypatch, tmp_path / FILE)
    with pytest.raises(DataError) as refusal:
        vaelib.load("dsprites", tmp_path)
    assert words in str(refusal.value) and str(tmp_path / FILE) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_folder_of_dsprites_name_is_no_file(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(DataError, match="is truncated or corrupt"):
        vaelib.load("dsprites", tmp_path)

"""The explorer's widgets, driven as a browser drives them: what the sliders say is what the
pictures show.
"""

import importlib.util
import io
import json
import sys

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import torch
from ipywidgets.embed import dependency_state, embed_minimal_html

from vaelib import VAE, ConvSpec, plots
from vaelib.explore import Explorer, explore, png

MODULE = sys.modules["vaelib.explore"]
PIXEL = 1 / 255
BIASES = {
    1: -4.0,
    3: -2.0,
    0: -1.0,
    2: 0.0,
}  # of the log-variances, in the order of the KLs they make


def build(channels=1, likelihood="bernoulli"):
    """A small model of 4 latents whose KLs fall in the order 1, 3, 0, 2, the last being 0 whatever
    the image.
    """
    torch.manual_seed(0)
    model = VAE((channels, 8, 6), 4, [ConvSpec(4)], hidden=8, likelihood=likelihood)
    with torch.no_grad():
        model.to_mean.weight[2] = 0
        model.to_log_var.weight.zero_()
        model.to_log_var.bias.copy_(torch.tensor([BIASES[latent] for latent in range(4)]))
    return model


@pytest.fixture
def model():
    return build()


@pytest.fixture
def images():
    return torch.rand(3, 1, 8, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def decodes(model, monkeypatch):
    """How many latents each call of the model's decoder got, in turn."""
    sizes, decode = [], model.decode
    monkeypatch.setattr(model, "decode", lambda z: sizes.append(len(z)) or decode(z))
    return sizes


def pixels(widget):
    """The picture that a browser would show: (3, H, W) in [0, 1]."""
    return torch.from_numpy(plt.imread(io.BytesIO(bytes(widget.value)))[..., :3].copy()).permute(
        2, 0, 1
    )


def shown(widget, shape):
    """The image (C, H, W) of ``shape`` in a picture, each of its pixels being a square of the
    picture's.
    """
    channels, height, width = shape
    picture = pixels(widget)
    scale = picture.shape[2] // width
    assert picture.shape[1:] == (height * scale, width * scale)
    small = picture[:, ::scale, ::scale]
    assert torch.equal(small.repeat_interleave(scale, 1).repeat_interleave(scale, 2), picture)
    return small if channels == 3 else 1 - small[:1]


def means(model, images):
    with torch.no_grad():
        return model.encode(images)[0]


def same(z, other):
    """To a float's rounding: one image in a batch may differ by it from the image alone."""
    torch.testing.assert_close(z, other, atol=1e-6, rtol=0)


def expected(model, z):
    with torch.no_grad():
        return model.expected_image(model.decode(z.unsqueeze(0)))[0]


def near(image, other):
    torch.testing.assert_close(image, other, atol=PIXEL, rtol=0)


@pytest.mark.parametrize(
    ("channels", "likelihood"),
    [(1, "bernoulli"), (3, "continuous-bernoulli"), (3, "gaussian"), (1, "discretised-logistic")],
)
def test_a_slider_shows_what_the_model_decodes_where_it_stands(channels, likelihood):
    model, images = build(channels, likelihood), torch.rand(3, channels, 8, 6)
    box = explore(model, images)
    z = means(model, images)[0]
    near(shown(box.decoded, model.image_shape), expected(model, z))
    for latent, value in ((1, 2.5), (2, -1.75)):
        before = bytes(box.decoded.value)
        box.sliders[latent].value = z[latent] = value
        same(box.explorer.z, z)
        assert bytes(box.decoded.value) != before
        near(shown(box.decoded, model.image_shape), expected(model, z))
    near(shown(box.original, model.image_shape), images[0])


def test_the_picture_is_the_mean_of_the_likelihood(model, images):
    box = explore(model, images)
    box.sliders[0].value = 1.0
    with torch.no_grad():
        near(
            shown(box.decoded, model.image_shape),
            model.decode(box.explorer.z.unsqueeze(0))[0].sigmoid(),
        )


def test_pictures_are_the_right_way_round_and_coloured_as_plots_colours_them():
    colour = torch.zeros(3, 2, 4)
    colour[0, 0, 3] = 1  # red, top right
    picture = plt.imread(io.BytesIO(png(colour.unsqueeze(0), 4)))
    assert (
        picture.shape[:2] == (2, 4)
        and picture[0, 3, :3].tolist() == [1, 0, 0]
        and picture[1, 3, :3].max() == 0
    )
    grey = torch.linspace(0, 1, 8).view(1, 1, 2, 4)
    drawn = plots.image_grid(grey, columns=1).axes[0].images[0]
    picture = torch.from_numpy(plt.imread(io.BytesIO(png(grey, 4))))
    near(picture[..., :3].double(), torch.from_numpy(drawn.to_rgba(drawn.get_array())[..., :3]))


def test_bytes_and_floats_are_the_same_images(model):
    integers = torch.randint(256, (3, 1, 8, 6), dtype=torch.uint8)
    one, other = explore(model, integers), explore(model, integers / 255)
    torch.testing.assert_close(one.explorer.z, other.explorer.z)
    near(shown(one.original, model.image_shape), integers[0] / 255)


def test_starting_from_an_image_puts_the_sliders_at_its_posterior_mean(model, images):
    box = explore(model, images)
    box.picker.value = 2
    mean = means(model, images)[2]
    same(box.explorer.z, mean)
    torch.testing.assert_close(
        torch.tensor([slider.value for slider in box.sliders.values()]), mean, atol=0.00501, rtol=0
    )
    near(shown(box.original, model.image_shape), images[2])
    near(shown(box.decoded, model.image_shape), model.reconstruct(images)[2])
    assert (box.original_caption.value, box.decoded_caption.value) == (
        "image 2",
        "decoded, from image 2",
    )
    box.sliders[1].value = 3.0
    box.start_button.click()
    same(box.explorer.z, mean)
    assert abs(box.sliders[1].value - mean[1]) < 0.00501
    box.explorer.start_from(-3)
    assert box.picker.value == 0
    same(box.explorer.z, means(model, images)[0])


def test_prior_and_origin(model, images):
    global_state = torch.get_rng_state()
    box = explore(model, images, seed=5)
    draws = torch.Generator().manual_seed(5)
    for _ in range(2):
        box.prior_button.click()
        assert torch.equal(box.explorer.z, torch.randn(4, generator=draws))
        near(shown(box.decoded, model.image_shape), expected(model, box.explorer.z))
        assert box.decoded_caption.value == "decoded, from a prior draw"
    box.origin_button.click()
    assert [slider.value for slider in box.sliders.values()] == [0, 0, 0, 0]
    assert box.explorer.z.tolist() == [0, 0, 0, 0]
    near(shown(box.decoded, model.image_shape), expected(model, torch.zeros(4)))
    assert torch.equal(torch.get_rng_state(), global_state), (
        "the caller's random numbers are his own"
    )


def tree(widget):
    """A widget and all below it, in the order in which they stand."""
    return [widget, *(below for child in getattr(widget, "children", ()) for below in tree(child))]


def of_kind(box, kind):
    return [widget for widget in tree(box) if isinstance(widget, kind)]


def test_sliders_stand_in_the_order_of_their_kl_the_inactive_folded_after_the_others(model, images):
    box = explore(model, images)
    assert box.explorer.order == list(BIASES)
    sliders = of_kind(box, ipywidgets.FloatSlider)
    assert sliders == [box.sliders[latent] for latent in BIASES]
    nats = [
        0.5 * (means(model, images)[:, j].pow(2).mean() + torch.tensor(b).exp() - 1 - b)
        for j, b in BIASES.items()
    ]
    assert [s.description for s in sliders] == [
        f"z{j + 1}  {kl:.2f} nats" for j, kl in zip(BIASES, nats)
    ]
    (fold,) = of_kind(box, ipywidgets.Accordion)
    assert of_kind(fold, ipywidgets.FloatSlider) == [box.sliders[2]]
    assert fold.selected_index is None and fold.get_title(0) == "1 inactive (KL below 0.01 nats)"
    fold.children[0].children[0].value = 1.0
    assert box.explorer.z[2] == 1, "an inactive latent moves like the others"


def test_without_inactive_latents_nothing_is_folded_and_with_no_others_the_fold_is_open(
    model, images
):
    with torch.no_grad():
        model.to_log_var.bias[2] = -1
    assert of_kind(explore(model, images), ipywidgets.Accordion) == []
    with torch.no_grad():
        for head in (model.to_mean, model.to_log_var):
            head.weight.zero_(), head.bias.zero_()
    (fold,) = of_kind(explore(model, images), ipywidgets.Accordion)
    assert fold.selected_index == 0 and fold.get_title(0) == "4 inactive (KL below 0.01 nats)"


def test_a_move_decodes_once_however_many_sliders_it_sets(model, images, decodes):
    box = explore(model, images, columns=5)
    assert decodes == [1]
    moves = (
        lambda: setattr(box.picker, "value", 1),
        lambda: setattr(box.sliders[3], "value", 0.5),
        box.start_button.click,
        box.prior_button.click,
        box.origin_button.click,
        lambda: box.explorer.set_latent(0, 1.5),
    )
    for number, move in enumerate(moves, start=2):
        move()
        assert decodes == [1] * number
    box.traverse_button.click()
    assert decodes[len(moves) + 1 :] == [5]


def test_what_a_browser_answers_is_not_a_move(model, images, decodes):
    """ipywidgets 8 sends each value it shows back, rounded to the slider's step, and that step with
    a float's error.
    """
    box = explore(model, images)
    z, count = box.explorer.z, len(decodes)
    for slider in box.sliders.values():
        slider.value = slider.min + round((slider.value - slider.min) / slider.step) * slider.step
        slider.value += 3e-16
    assert torch.equal(box.explorer.z, z) and len(decodes) == count
    box.sliders[1].value += box.sliders[1].step
    assert len(decodes) == count + 1, "one step is a move"


def test_a_browser_is_kept_from_answering_values_set_from_here(model, images):
    """It answers only while it updates continuously; an answer could come after the next move, and
    undo it.
    """
    box, seen = explore(model, images), []
    for slider in box.sliders.values():
        slider.observe(lambda change: seen.append(change["owner"].continuous_update), "value")
    box.prior_button.click()
    assert seen == [False] * 4 and all(slider.continuous_update for slider in box.sliders.values())


def test_sliders_widen_rather_than_clip(model, images):
    with torch.no_grad():
        model.to_mean.bias[0] = -7.3
    box = explore(model, images, span=2.0)
    mean = means(model, images)[0]
    assert mean[0] < -6 and box.sliders[0].value == pytest.approx(mean[0].item(), abs=0.00501)
    assert -box.sliders[0].min == box.sliders[0].max >= 6
    assert [slider.max for latent, slider in box.sliders.items() if latent] == [2, 2, 2]
    box.explorer.set_latent(3, 4.25)
    assert box.sliders[3].value == 4.25 and box.explorer.z[3] == 4.25 and box.sliders[3].max >= 4.25
    near(shown(box.decoded, model.image_shape), expected(model, box.explorer.z))
    box.origin_button.click()
    assert box.sliders[3].max >= 4.25, "a range does not jump back under the hand"


def tiles(widget, shape, columns):
    """The images (C, H, W) of ``shape`` in a strip of ``columns``, two white pixels apart."""
    picture = pixels(widget)
    scale = picture.shape[1] // shape[1]
    step = shape[2] * scale + 2
    assert picture.shape[2] == columns * step - 2
    for column in range(1, columns):
        assert (picture[:, :, column * step - 2 : column * step] == 1).all()
    small = [
        picture[:, :, column * step : (column + 1) * step - 2][:, ::scale, ::scale]
        for column in range(columns)
    ]
    return [tile if shape[0] == 3 else 1 - tile[:1] for tile in small]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strip_moves_the_latent_touched_last_and_holds_the_others(channels):
    model, images = build(channels), torch.rand(3, channels, 8, 6)
    box = explore(model, images, span=2.0, columns=5)
    box.sliders[3].value = 0.0
    assert box.traverse_button.description == "traverse z4, -2 to 2"
    box.traverse_button.click()
    strip = tiles(box.strip, model.image_shape, 5)
    for tile, value in zip(strip, (-2, -1, 0, 1, 2)):
        z = box.explorer.z.clone()
        z[3] = value
        near(tile, expected(model, z))
    assert torch.equal(strip[2], shown(box.decoded, model.image_shape)), (
        "the middle is where z stands"
    )
    assert (strip[0] - strip[4]).abs().max() > 10 * PIXEL
    torch.testing.assert_close(
        box.explorer.traverse(0)[4],
        expected(model, torch.cat([torch.tensor([2.0]), z[1:3], torch.zeros(1)])),
    )


def test_a_strip_is_shown_on_demand_and_while_it_holds(model, images):
    box = explore(model, images)

    def visible() -> bool:
        return box.strip.layout.display != "none"

    assert not visible() and box.traverse_button.description == "traverse z2, -3 to 3", (
        "at first the highest KL's"
    )
    box.traverse_button.click()
    assert visible()
    box.sliders[1].value = 2.0
    assert visible(), "its own latent may move"
    box.sliders[0].value = 2.0
    assert not visible(), "the others have moved"
    box.traverse_button.click()
    assert visible()
    box.picker.value = 2
    assert not visible()


def test_explorers_share_nothing(model, images):
    before = dict(vars(MODULE))
    one, other = explore(model, images), explore(model, images)
    z, picture = other.explorer.z, bytes(other.decoded.value)
    for move in (
        one.prior_button.click,
        lambda: setattr(one.picker, "value", 1),
        one.traverse_button.click,
    ):
        move()
    assert (
        torch.equal(other.explorer.z, z)
        and bytes(other.decoded.value) == picture
        and other.picker.value == 0
    )
    one_draw = explore(model, images)
    one_draw.prior_button.click()
    other.prior_button.click()
    assert torch.equal(other.explorer.z, one_draw.explorer.z), "each has its own random numbers"
    assert vars(MODULE) == before


def test_the_model_is_left_as_it_was(model, images):
    model.train()
    box = explore(model, images)
    box.sliders[0].value = 1.0
    box.traverse_button.click()
    assert (
        model.training
        and not box.explorer.z.requires_grad
        and not box.explorer.reconstruction().requires_grad
    )


def test_the_explorer_needs_no_widgets(model, images):
    explorer, moves = Explorer(model, images), []
    explorer.on_move = lambda: moves.append(explorer.z)
    explorer.set_latent(-1, 1.0)
    assert explorer.latent == 3 and explorer.z[3] == 1 and len(moves) == 1
    torch.testing.assert_close(explorer.reconstruction()[0], expected(model, explorer.z))
    torch.testing.assert_close(explorer.original, images[:1])


def test_without_ipywidgets_the_module_loads_and_the_call_says_what_to_do(
    model, images, monkeypatch
):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    spec = importlib.util.spec_from_file_location("explore_without_widgets", MODULE.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    with pytest.raises(
        ImportError, match=r"^the explorer needs ipywidgets: pip install ipywidgets$"
    ):
        fresh.explore(model, images)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((3, 1, 6, 8), {}, r"shape \(1, 8, 6\) are needed, at least one; got \(3, 1, 6, 8\)"),
        ((1, 8, 6), {}, r"got \(1, 8, 6\)"),
        ((0, 1, 8, 6), {}, r"at least one; got \(0, 1, 8, 6\)"),
        ((3, 1, 8, 6), {"span": 0}, "span must be at least 0.01, .*; got 0 and 9"),
        ((3, 1, 8, 6), {"columns": 1}, "columns at least 2; got 3.0 and 1"),
    ],
)
def test_what_can_not_be_shown_is_refused(model, shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        explore(model, torch.rand(shape), **arguments)


def test_only_grey_and_colour_can_be_shown():
    with pytest.raises(ValueError, match="1 or 3 channels can be shown; the model's have 2"):
        explore(build(channels=2), torch.rand(3, 2, 8, 6))


def test_one_image_needs_no_picker(model, images):
    assert of_kind(explore(model, images[:1]), ipywidgets.IntSlider) == []
    assert len(of_kind(explore(model, images), ipywidgets.IntSlider)) == 1


def test_a_notebook_stores_the_same_line_on_every_machine(model, images):
    box = explore(model, images)
    assert isinstance(box, ipywidgets.VBox) and repr(box) == "explore(4 latents, 3 images)"


def test_its_state_can_be_embedded_in_a_page(model, images, tmp_path):
    box = explore(model, images)
    box.traverse_button.click()
    state = json.loads(json.dumps(dependency_state(box)))
    names = [entry["model_name"] for entry in state.values()]
    assert names.count("FloatSliderModel") == 4 and names.count("ImageModel") == 3
    page = tmp_path / "page.html"
    embed_minimal_html(str(page), views=[box], state=dependency_state(box))
    assert box.model_id in page.read_text() and "traverse z2, -3 to 3" in page.read_text()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_the_gpu(images):
    box = explore(build().cuda(), images)
    box.sliders[0].value = 1.0
    box.traverse_button.click()
    near(shown(box.decoded, box.explorer.model.image_shape), box.explorer.reconstruction()[0])
    assert box.explorer.z.device.type == box.explorer.traverse().device.type == "cpu"

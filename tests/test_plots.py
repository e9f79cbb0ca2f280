"""Figures show what they say: the right pixels, in the right place, the right way round."""

import numpy
import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Normal

from vaelib import VAE, ConvSpec, History, plots


def pictures(figure):
    """What each drawn image of a figure holds, in reading order."""
    return [torch.as_tensor(axis.images[0].get_array()) for axis in figure.axes if axis.images]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VAE((1, 8, 6), 2, [ConvSpec(4)], hidden=8)


def test_grid_is_in_reading_order():
    images = torch.rand(5, 1, 4, 4)
    figure = plots.image_grid(images, columns=3)
    shown = pictures(figure)
    assert len(shown) == 5
    for drawn, image in zip(shown, images):
        torch.testing.assert_close(drawn, image[0])
    boxes = [axis.get_position() for axis in figure.axes[:5]]
    assert boxes[0].x0 < boxes[1].x0 < boxes[2].x0 and boxes[3].y1 <= boxes[0].y0


def test_colour_images_are_the_right_way_round():
    image = torch.zeros(3, 2, 4, dtype=torch.uint8)
    image[0, 0, 3] = 255  # red, top right
    image[2, 1, 0] = 255  # blue, bottom left
    (drawn,) = pictures(plots.image_grid(image.unsqueeze(0), columns=1))
    assert drawn.shape == (2, 4, 3)
    assert drawn[0, 3].tolist() == [1, 0, 0] and drawn[1, 0].tolist() == [0, 0, 1]


def test_drawn_pixels_face_up():
    """The canvas itself: a red pixel at the top left of the image is at the top left of the
    picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0, 0] = 1
    canvas = FigureCanvasAgg(plots.image_grid(image, columns=1, size=2))
    canvas.draw()
    picture = torch.from_numpy(numpy.asarray(canvas.buffer_rgba()).copy())
    height, width = picture.shape[:2]
    assert picture[height // 4, width // 4, :3].tolist() == [255, 0, 0]
    assert picture[height // 4, 3 * width // 4, :3].tolist() == [0, 0, 0]


def test_reconstructions_stand_below_their_images(model):
    images = torch.rand(3, 1, 8, 6)
    shown = pictures(plots.reconstructions(model, images))
    for column in range(3):
        torch.testing.assert_close(shown[column], images[column, 0])
        torch.testing.assert_close(shown[3 + column], model.reconstruct(images)[column, 0])


def test_samples_come_from_the_generator(model):
    first = pictures(plots.samples(model, 4, columns=2, generator=torch.Generator().manual_seed(3)))
    torch.testing.assert_close(first[2], model.sample(4, torch.Generator().manual_seed(3))[2, 0])


def test_manifold_grid_has_equal_prior_mass_and_a_fixed_orientation():
    grid = plots.manifold_grid(4).reshape(4, 4, 2)
    torch.testing.assert_close(
        Normal(0.0, 1.0).cdf(grid[0, :, 0]), torch.tensor([0.125, 0.375, 0.625, 0.875])
    )
    assert (grid[:, 1:, 0] > grid[:, :-1, 0]).all(), "the first latent grows to the right"
    assert (grid[:-1, :, 1] > grid[1:, :, 1]).all(), "the second latent grows upwards"
    assert (grid[:, 0, 0] == grid[0, 0, 0]).all() and (grid[0, :, 1] == grid[0, 0, 1]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_manifold_is_the_decoded_grid(channels):
    model = VAE((channels, 8, 6), 2, [ConvSpec(4)], hidden=8)
    (drawn,) = pictures(plots.manifold(model, size=3))
    with torch.no_grad():
        tiles = model.decode(plots.manifold_grid(3)).sigmoid().permute(0, 2, 3, 1).squeeze(-1)
    assert drawn.shape[:2] == (24, 18)
    torch.testing.assert_close(drawn[0:8, 12:18], tiles[2])
    torch.testing.assert_close(drawn[16:24, 0:6], tiles[6])


def test_manifold_needs_two_latents():
    with pytest.raises(ValueError, match="latent_dim 2; this one has 3"):
        plots.manifold(VAE((1, 8, 8), 3))


def test_scatter_draws_posterior_means_by_label(model):
    images, labels = torch.rand(6, 1, 8, 6), torch.tensor([4, 1, 4, 1, 1, 4])
    axis = plots.latent_scatter(model, images, labels).axes[0]
    mean = model.encode(images)[0].detach()
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["1", "4"]
    for collection, label in zip(axis.collections, (1, 4)):
        torch.testing.assert_close(
            torch.tensor(collection.get_offsets().data).float(), mean[labels == label]
        )
        assert collection.get_label() == str(label)


def test_a_traversal_moves_one_latent_and_holds_the_other(model):
    image = torch.rand(1, 8, 6)
    shown = pictures(plots.traversals(model, image, steps=3, extent=2.0))
    code = model.encode(image.unsqueeze(0))[0].detach()[0]
    with torch.no_grad():
        expected = model.decode(torch.stack([code[0], torch.tensor(-2.0)]).unsqueeze(0)).sigmoid()[
            0, 0
        ]
    torch.testing.assert_close(shown[3], expected)
    assert len(shown) == 6


def test_learning_curves_draw_the_history():
    history = History()
    for epoch in range(3):
        history.log("train", 100.0 - epoch, 5.0 + epoch)
        history.log("test", 110.0 - epoch, 5.5)
    figure = plots.learning_curves(history)
    assert isinstance(figure, Figure) and [a.get_title() for a in figure.axes] == [
        "ELBO",
        "reconstruction",
        "KL",
    ]
    train, test = figure.axes[0].lines
    assert train.get_ydata().tolist() == [-105, -105, -105] and test.get_ydata().tolist() == [
        -115.5,
        -114.5,
        -113.5,
    ]
    assert train.get_xdata().tolist() == [1, 2, 3]


def test_learning_curves_of_a_stream_count_steps():
    history = History(steps=[100, 200])
    history.log("train", 100.0, 5.0)
    history.log("train", 99.0, 5.0)
    axis = plots.learning_curves(history).axes[0]
    assert (
        axis.get_xlabel() == "step"
        and axis.lines[0].get_xdata().tolist() == [100, 200]
        and len(axis.lines) == 1
    )


def test_a_heatmap_shows_and_writes_each_value():
    matrix = torch.tensor([[0.0, 0.25], [0.9, 0.5], [0.1, 1.0]])
    axis = plots.heatmap(matrix, ["z1", "z2", "z3"], ["x", "y"], label="share").axes[0]
    torch.testing.assert_close(torch.tensor(axis.images[0].get_array().data), matrix)
    assert axis.images[0].get_clim() == (0, 1)
    written = {
        (text.get_position()[1], text.get_position()[0]): text.get_text() for text in axis.texts
    }
    assert written == {(r, c): f"{matrix[r, c]:.2f}" for r in range(3) for c in range(2)}
    assert [t.get_text() for t in axis.get_yticklabels()] == ["z1", "z2", "z3"]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["x", "y"]


def test_tiles_stand_in_reading_order():
    images = torch.rand(12, 3, 5, 7)
    sheet = plots.tiled(images, columns=4)
    assert sheet.shape == (3, 15, 28)
    for number, image in enumerate(images):
        row, column = divmod(number, 4)
        assert torch.equal(sheet[:, 5 * row : 5 * row + 5, 7 * column : 7 * column + 7], image)

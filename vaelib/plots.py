"""Figures of images, latents and learning: each function returns a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vaelib.history import History
from vaelib.metrics import encode
from vaelib.models import VAE, as_float

# Okabe & Ito's palette for colour-blind readers, and two more for the tenth class
COLOURS = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73", "#B8A800", "#0072B2", "#D55E00", "#CC79A7"),
    *("#7F7F7F", "#6A3D9A"),
)


def image_grid(
    images: Tensor, columns: int, row_labels: tuple[str, ...] = (), size: float = 0.62
) -> Figure:
    """Images (N, C, H, W), uint8 or floats in [0, 1], in reading order, ``columns`` a row.

    Grey or RGB, ``size`` inches each.

    >>> figure = image_grid(torch.rand(7, 1, 28, 28), columns=4)
    >>> len(figure.axes), figure.get_size_inches().tolist()  # two rows, the last place left blank
    (8, [2.48, 1.24])
    """
    rows = -(-len(images) // columns)
    left = 0.09 * max(map(len, row_labels), default=0)
    figure = Figure(figsize=(columns * size + left, rows * size), layout="none")  # type: ignore[arg-type]  # its stub
    inset = left / (columns * size + left)
    grid = dict(left=inset, right=1, bottom=0, top=1, wspace=0.04, hspace=0.04)
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=grid)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image in zip(axes.flat, images):
        show_image(axis, image)
    for axis, label in zip(axes[:, 0], row_labels):
        axis.text(-0.08, 0.5, label, transform=axis.transAxes, ha="right", va="center", fontsize=9)
    return figure


def reconstructions(model: VAE, images: Tensor) -> Figure:
    """``images`` (N, C, H, W) in the upper row, what the model makes of each right below it.

    >>> images = torch.rand(5, 1, 28, 28)
    >>> len(reconstructions(vaelib.load_pretrained("digits-2"), images).axes)
    10
    """
    pair = torch.cat([as_float(images).cpu(), model.reconstruct(images).cpu()])
    return image_grid(pair, columns=len(images), row_labels=("image", "reconstruction"))


def samples(
    model: VAE, n: int = 40, columns: int = 10, generator: torch.Generator | None = None
) -> Figure:
    """``n`` images the model draws from its prior, in reading order.

    >>> model, seed = vaelib.load_pretrained("digits-2"), torch.Generator().manual_seed(0)
    >>> samples(model, n=10, columns=5, generator=seed).savefig("samples.png")
    """
    return image_grid(model.sample(n, generator).cpu(), columns)


def manifold(model: VAE, size: int = 20) -> Figure:
    """What a 2-latent model decodes over a ``size`` x ``size`` grid of equal prior mass.

    The first latent grows to the right, the second upwards. Raises ValueError when latent_dim is
    not 2. Source: Kingma & Welling (2014), figure 4.

    >>> manifold(vaelib.load_pretrained("digits-2"), size=8).savefig("manifold.png")
    """
    if model.latent_dim != 2:
        what = "a manifold needs a model with latent_dim 2"
        raise ValueError(f"{what}; this one has {model.latent_dim}")
    tiled = manifold_image(model, size)
    figure = Figure(figsize=(6, 6 * tiled.shape[1] / tiled.shape[2]))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    show_image(axis, tiled)
    return figure


def manifold_image(model: VAE, size: int) -> Tensor:
    """One picture (C, H, W) of what the model decodes over `manifold_grid`.

    >>> manifold_image(vaelib.load_pretrained("digits-2"), size=8).shape  # 8 x 28 = 224
    torch.Size([1, 224, 224])
    """
    images = model.decoded(manifold_grid(size)).cpu()
    return tiled(images, size)


def tiled(images: Tensor, columns: int) -> Tensor:
    """One picture (C, H', W') of images (N, C, H, W) in reading order, ``columns`` a row.

    Raises RuntimeError where N is not a multiple of that.

    >>> tiled(torch.rand(6, 1, 28, 28), columns=3).shape
    torch.Size([1, 56, 84])
    """
    rows = images.unflatten(0, (-1, columns))
    return rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def manifold_grid(size: int) -> Tensor:
    """(size * size, 2) latents in reading order: midpoints of slices of equal probability.

    ``size`` slices on each axis, by the inverse normal CDF.

    >>> manifold_grid(2)  # quartiles of the normal: the first latent to the right, the second up
    tensor([[-0.6745,  0.6745],
            [ 0.6745,  0.6745],
            [-0.6745, -0.6745],
            [ 0.6745, -0.6745]])
    """
    quantiles = torch.special.ndtri((torch.arange(size) + 0.5) / size)
    return torch.cartesian_prod(quantiles.flip(0), quantiles).flip(1)


def latent_scatter(
    model: VAE, images: Tensor, labels: Tensor, dimensions: tuple[int, int] = (0, 1)
) -> Figure:
    """Posterior means of ``images`` in two latent dimensions, a colour a label.

    >>> model, data = vaelib.load_pretrained("digits-2"), vaelib.load("mnist-5k")
    >>> figure = latent_scatter(model, data.test, data.test_labels)
    >>> figure.axes[0].get_xlabel(), len(figure.axes[0].collections)  # ten digits
    ('mean of $z_{1}$', 10)
    """
    mean = encode(model, images)[0].cpu()
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axis = figure.subplots()
    for label in labels.unique().tolist():
        points = mean[labels == label][:, list(dimensions)]
        right, up = points.T
        colour = COLOURS[label % len(COLOURS)]
        axis.scatter(right, up, s=12, color=colour, label=str(label), alpha=0.75, linewidths=0)
    axis.set(
        xlabel=f"mean of $z_{{{dimensions[0] + 1}}}$",
        ylabel=f"mean of $z_{{{dimensions[1] + 1}}}$",
        aspect="equal",
    )
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2)
    return figure


def traversals(
    model: VAE,
    image: Tensor,
    steps: int = 9,
    extent: float = 2.5,
    dimensions: tuple[int, ...] | None = None,
) -> Figure:
    """One row a latent: ``image`` (C, H, W) encoded, that latent moved from -extent to extent.

    >>> model, image = vaelib.load_pretrained("digits-16"), torch.rand(1, 28, 28)
    >>> len(traversals(model, image, steps=7, dimensions=(0, 3)).axes)  # two rows of seven
    14
    """
    dimensions = tuple(range(model.latent_dim)) if dimensions is None else dimensions
    mean = encode(model, image.unsqueeze(0))[0].cpu()
    z = mean.repeat(len(dimensions) * steps, 1)
    for row, dimension in enumerate(dimensions):
        z[row * steps : (row + 1) * steps, dimension] = torch.linspace(-extent, extent, steps)
    return image_grid(model.decoded(z).cpu(), steps, tuple(f"$z_{{{d + 1}}}$" for d in dimensions))


def heatmap(matrix: Tensor, rows: Sequence[str], columns: Sequence[str], label: str = "") -> Figure:
    """A matrix (rows, columns) of values in [0, 1] as shades of blue with the numbers in them.

    >>> figure = heatmap(torch.eye(2), rows=["z1", "z2"], columns=["shape", "x"], label="share")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1.00', '0.00', '0.00', '1.00']
    """
    size = 1.4 + 0.85 * len(columns), 0.8 + 0.32 * len(rows)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.tick_params(length=0)
    for row, values in enumerate(torch.as_tensor(matrix).tolist()):
        for column, value in enumerate(values):
            shown, ink = f"{value:.2f}", "white" if value > 0.55 else "black"
            axis.text(column, row, shown, ha="center", va="center", fontsize=8, color=ink)
    figure.colorbar(picture, label=label)
    return figure


def kl_map(kl: Tensor) -> Figure:
    """Where a map of latents keeps its information: ``kl`` (latents, height, width) in nats.

    Each place shows the sum over its latents; `metrics.kl_per_dimension(model, images)` in the
    shape ``model.latent_shape`` is such a ``kl``.

    >>> figure = kl_map(torch.ones(16, 8, 8))
    >>> float(figure.axes[0].images[0].get_array().max())
    16.0
    """
    figure = Figure(figsize=(3.6, 3), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(kl.sum(0).cpu(), cmap="Blues", vmin=0)
    axis.set_axis_off()
    figure.colorbar(picture, label="KL of the place's latents, nats")
    return figure


def learning_curves(history: History) -> Figure:
    """ELBO, reconstruction and KL over a `History`, train and test, in nats an image.

    Against epochs, or a stream's steps.

    >>> model, images = vaelib.VAE((1, 8, 8), latent_dim=2), torch.rand(64, 1, 8, 8)
    >>> history = vaelib.fit(model, images, epochs=2, progress=False)
    >>> [axis.get_title() for axis in learning_curves(history).axes]
    ['ELBO', 'reconstruction', 'KL']
    """
    figure = Figure(figsize=(9, 2.9), layout="constrained")
    titles = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
    for axis, (term, title) in zip(figure.subplots(1, 3), titles.items()):
        at, unit = history.steps, "step"
        if history.test[term] or not history.steps:
            at, unit = list(range(1, len(history) + 1)), "epoch"
        axis.plot(at, history.train[term], color=COLOURS[5], label="train")
        if history.test[term]:
            axis.plot(at, history.test[term], color=COLOURS[6], linestyle="--", label="test")
        axis.set(title=title, xlabel=unit)
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("nats per image")
    figure.axes[0].legend(frameon=False)
    return figure


def show_image(axis: Axes, image: Tensor) -> None:
    """One image (C, H, W), uint8 or floats in [0, 1], in matplotlib axes; 1 is black, as ink."""
    pixels = as_float(image).permute(1, 2, 0)
    shades = "gray_r" if pixels.shape[-1] == 1 else None
    axis.imshow(pixels.squeeze(-1), cmap=shades, vmin=0, vmax=1)

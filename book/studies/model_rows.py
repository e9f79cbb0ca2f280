"""Models beside one another, a row each: for chapters 7 and 11."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from vaelib import VAE, plots
from vaelib.models import as_float

IN_A_ROW = 8  # images in each half
WIDTH, INCHES, HEAD = 9.6, 0.56, 0.3  # of the figure, of a row, of the line of words above
LEFT, RIGHT, STRIP = 0.09, 0.555, 0.445  # where the halves begin and how wide one is, of the width
DPI = 110  # of the saved picture


def height_of(rows: int) -> float:
    return INCHES * (1 + rows) + HEAD


def strip_box(row: int, half: int) -> tuple[int, int, int, int]:
    """Where a saved picture has the images of a row: left, upper, right and lower pixel.

    Row 0 has the images themselves, the others a model each; half 0 has reconstructions, half 1
    samples. The images are square, and stand in the middle of their row.
    """
    left, wide = ((LEFT, RIGHT)[half] * WIDTH, STRIP * WIDTH)
    high = wide / IN_A_ROW
    upper = HEAD + INCHES * row + (1 - 0.97) * INCHES + (0.97 * INCHES - high) / 2
    box = (left, upper, left + wide, upper + high)
    return tuple(round(DPI * inches) for inches in box)  # type: ignore[return-value]


def side_by_side(rows: dict[str, VAE], images: torch.Tensor) -> Figure:
    """The first of ``images`` as each model rebuilds them, and its samples from the prior.

    Above them the images themselves; ``rows`` are the models by their label.
    """
    chosen = images[:IN_A_ROW]
    cells = {(0, 0): as_float(chosen)}
    for row, model in enumerate(rows.values(), start=1):
        cells[row, 0] = model.reconstruct(chosen)
        cells[row, 1] = model.sample(IN_A_ROW, torch.Generator().manual_seed(5))
    height = height_of(len(rows))
    figure, unit = Figure(figsize=(WIDTH, height)), INCHES / height
    for (row, half), strip in cells.items():
        bottom = 1 - HEAD / height - unit * (row + 1)
        axis = figure.add_axes(((LEFT, RIGHT)[half], bottom, STRIP, 0.97 * unit))
        plots.show_image(axis, plots.tiled(strip, len(strip)))
        axis.set_axis_off()
        if half == 0:
            name, place = ["image", *rows][row], dict(ha="right", va="center", fontsize=9)
            axis.text(-0.012, 0.5, name, transform=axis.transAxes, **place)
    heads = ((0.3125, "reconstructions of test images"), (0.7775, "samples from the prior"))
    for at, text in heads:
        figure.text(at, 1 - 0.2 / height, text, ha="center", fontsize=10)
    return figure

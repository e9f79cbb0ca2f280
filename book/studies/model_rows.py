"""Models beside one another, a row each: for chapters 7 and 11."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from vaelib import VAE, plots
from vaelib.models import as_float

IN_A_ROW = 8  # images in each half
INCHES = 0.56  # the height of a row


def side_by_side(rows: dict[str, VAE], images: torch.Tensor) -> Figure:
    """The first of ``images`` as each model rebuilds them, and its samples from the prior.

    Above them the images themselves; ``rows`` are the models by their label.
    """
    chosen = images[:IN_A_ROW]
    cells = {(0, 0): as_float(chosen)}
    for row, model in enumerate(rows.values(), start=1):
        cells[row, 0] = model.reconstruct(chosen)
        cells[row, 1] = model.sample(IN_A_ROW, torch.Generator().manual_seed(5))
    height = INCHES * (1 + len(rows)) + 0.3
    figure, unit = Figure(figsize=(9.6, height)), INCHES / height
    for (row, half), strip in cells.items():
        bottom = 1 - 0.3 / height - unit * (row + 1)
        axis = figure.add_axes((0.09 + 0.465 * half, bottom, 0.445, 0.97 * unit))
        plots.show_image(axis, strip.permute(1, 2, 0, 3).flatten(2))  # C, H, N W
        axis.set_axis_off()
        if half == 0:
            name, place = ["image", *rows][row], dict(ha="right", va="center", fontsize=9)
            axis.text(-0.012, 0.5, name, transform=axis.transAxes, **place)
    heads = ((0.3125, "reconstructions of test images"), (0.7775, "samples from the prior"))
    for at, text in heads:
        figure.text(at, 1 - 0.2 / height, text, ha="center", fontsize=10)
    return figure

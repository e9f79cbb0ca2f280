"""`explore(model, images)`: in a notebook, a slider a latent, and what the model decodes there."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import torch
from matplotlib.image import imsave
from torch import Tensor
from torch.nn.functional import pad

from vaelib.metrics import encode, kl_per_dimension
from vaelib.models import VAE, as_float

INACTIVE = 0.01  # nats: a latent whose KL is below this says next to nothing about the images
DECIMALS = 2  # of the sliders
SLIDERS = 100  # at most: of a map of latents those with the most KL


def explore(model: VAE, images: Tensor, seed: int = 0, span: float = 3.0, columns: int = 9) -> Any:
    """An ipywidgets box that moves through ``model``'s latents, its sliders by their KL.

    The KL of each latent (the summands of eq:kl-standard) is its mean over ``images`` (N, C, H, W),
    uint8 or floats; at most 100 latents have sliders, those with the most. Sliders run from
    -``span`` to ``span`` and widen for values beyond; a traversal shows ``columns`` images over
    that span. Draws from the prior follow ``seed``. The box's ``explorer`` is the `Explorer` that
    it shows, its ``sliders[j]`` latent j. Raises ImportError when ipywidgets is missing, ValueError
    for images that the model can't take.

    >>> explore(vaelib.load_pretrained("digits-2"), torch.rand(10, 1, 28, 28))
    explore(2 latents, 10 images)
    """
    try:
        import ipywidgets as widgets
    except ImportError:
        raise ImportError("the explorer needs ipywidgets: pip install ipywidgets") from None
    box = type("ExplorerBox", (_Panel, widgets.VBox), {})
    return box(widgets, Explorer(model, images, seed, span, columns))


class Explorer:
    """A point z of a model's latent space that moves, and what is decoded there; no widgets needed.

    ``kl`` is (latent_dim,) in nats, ``order`` the latents by falling KL, ``latent`` the one touched
    last, ``index`` the image chosen, ``start`` where z last began, in words; ``on_move()`` is
    called after each move. Latents count from 0.

    >>> images = vaelib.load("mnist-5k").test[:10]
    >>> explorer = Explorer(vaelib.load_pretrained("digits-2"), images / 255)
    >>> explorer.to_origin()
    >>> explorer.z, tuple(explorer.traverse().shape)
    (tensor([0., 0.]), (9, 1, 28, 28))
    """

    def __init__(
        self, model: VAE, images: Tensor, seed: int = 0, span: float = 3.0, columns: int = 9
    ):
        if images.shape[1:] != model.image_shape or len(images) == 0:
            what = f"images of shape {model.image_shape} are needed, at least one"
            raise ValueError(f"{what}; got {tuple(images.shape)}")
        if model.image_shape[0] not in (1, 3):
            what = "only images of 1 or 3 channels can be shown"
            raise ValueError(f"{what}; the model's have {model.image_shape[0]}")
        if not span >= 10**-DECIMALS or columns < 2:
            what = f"span must be at least {10**-DECIMALS}, columns at least 2"
            raise ValueError(f"{what}; got {span!r} and {columns!r}")
        self.model, self.images, self.span, self.columns = model, images, span, columns
        self.kl = kl_per_dimension(model, images).cpu()
        self.order = self.kl.argsort(descending=True, stable=True).tolist()
        self.latent, self.on_move = self.order[0], lambda: None
        self._generator = torch.Generator().manual_seed(seed)
        self.start_from(0)

    def start_from(self, index: int) -> None:
        """z becomes the posterior mean of image ``index`` (eq:encoder)."""
        self.index = range(len(self.images))[index]
        mean, _ = encode(self.model, self.original)
        self._move(mean[0].cpu(), f"image {self.index}")

    def draw(self) -> None:
        """z is drawn from the prior N(0, I)."""
        self._move(torch.randn(self.model.latent_dim, generator=self._generator), "a prior draw")

    def to_origin(self) -> None:
        """z becomes 0, the prior's mean."""
        self._move(torch.zeros(self.model.latent_dim), "the origin")

    def set_latent(self, latent: int, value: float) -> None:
        """One latent of z becomes ``value``, the others stay."""
        self.latent = range(self.model.latent_dim)[latent]
        z = self.z.clone()
        z[self.latent] = value
        self._move(z, self.start)

    def _move(self, z: Tensor, start: str) -> None:
        self.z, self.start = z, start
        self.on_move()

    @property
    def original(self) -> Tensor:
        """The image chosen: floats (1, C, H, W)."""
        return as_float(self.images[[self.index]])

    def reconstruction(self) -> Tensor:
        """The decoder's mean at z: (1, C, H, W) in [0, 1]."""
        return self.model.decoded(self.z.unsqueeze(0)).cpu()

    def traverse(self, latent: int | None = None) -> Tensor:
        """Images (columns, C, H, W) at z, ``latent`` (or the last) moved from -span to span."""
        z = self.z.repeat(self.columns, 1)
        z[:, self.latent if latent is None else latent] = torch.linspace(
            -self.span, self.span, self.columns
        )
        return self.model.decoded(z).cpu()


class _Panel:
    """The sliders, buttons and pictures of an `Explorer`: events move it, `_refresh` shows it.

    That sets sliders and so fires their events, but one that says what z already is moves nothing:
    a move decodes once.
    """

    def __init__(self, widgets: Any, explorer: Explorer):
        self.explorer = explorer
        self._strip_at: tuple[int, list[float]] | None = None
        self.original, self.decoded, self.strip = (
            widgets.Image(layout={"align_self": "flex-start"}) for _ in range(3)
        )
        self.original_caption, self.decoded_caption = widgets.Label(), widgets.Label()
        shown = sorted(explorer.order[:SLIDERS])
        self.sliders = {latent: self._slider(widgets, latent) for latent in shown}
        self.picker = widgets.IntSlider(0, 0, len(explorer.images) - 1, description="image")
        self.picker.observe(lambda _: self._picked(), "value")
        self.start_button = self._button(
            widgets, "start from this image", lambda: explorer.start_from(explorer.index)
        )
        self.prior_button = self._button(widgets, "draw from the prior", explorer.draw)
        self.origin_button = self._button(widgets, "to the origin", explorer.to_origin)
        self.traverse_button = self._button(widgets, "", self._traverse)
        super().__init__(self._rows(widgets))  # type: ignore[call-arg]  # of the VBox
        explorer.on_move = self._refresh
        self._refresh()

    def __repr__(self) -> str:  # what a notebook stores: the same on every machine
        return f"explore({len(self.explorer.kl)} latents, {len(self.explorer.images)} images)"

    def _slider(self, widgets: Any, latent: int) -> Any:
        limit = round(self.explorer.span, DECIMALS)
        slider = widgets.FloatSlider(0, min=-limit, max=limit, step=10**-DECIMALS)
        slider.description = f"z{latent + 1}  {self.explorer.kl[latent]:z.2f} nats"
        slider.style.description_width, slider.layout.width = "110px", "340px"
        slider.observe(lambda _: self._slid(latent), "value")
        return slider

    def _rows(self, widgets: Any) -> list:
        ranked = [self.sliders[latent] for latent in self.explorer.order[:SLIDERS]]
        active = int((self.explorer.kl >= INACTIVE).sum())
        stacks = [widgets.VBox(ranked[:active])]
        if active < len(ranked):
            fold = widgets.Accordion(
                [widgets.VBox(ranked[active:])], selected_index=None if active else 0
            )
            fold.set_title(0, f"{len(ranked) - active} inactive (KL below {INACTIVE} nats)")
            stacks.append(fold)
        pictures = [(self.original, self.original_caption), (self.decoded, self.decoded_caption)]
        # browsers refuse a slider of one value
        picker = [self.picker] if len(self.explorer.images) > 1 else []
        rows = [
            [*picker, self.start_button, self.prior_button, self.origin_button],
            [*map(widgets.VBox, pictures), widgets.VBox(stacks)],
            [self.traverse_button, self.strip],
        ]
        return [widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap")) for row in rows]

    def _button(self, widgets: Any, text: str, action: Callable[[], None]) -> Any:
        button = widgets.Button(description=text, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: action())
        return button

    def _differs(self, latent: int) -> bool:
        """Whether a slider differs from z by more than the rounding to its step."""
        rounded = round(self.explorer.z[latent].item(), DECIMALS)
        return abs(self.sliders[latent].value - rounded) > 0.5 * 10**-DECIMALS

    def _slid(self, latent: int) -> None:
        if self._differs(latent):
            self.explorer.set_latent(latent, self.sliders[latent].value)

    def _picked(self) -> None:
        if self.picker.value != self.explorer.index:
            self.explorer.start_from(self.picker.value)

    def _refresh(self) -> None:
        explorer = self.explorer
        for latent in filter(self._differs, self.sliders):
            slider, value = self.sliders[latent], round(explorer.z[latent].item(), DECIMALS)
            limit = max(slider.max, math.ceil(abs(value)))
            # a browser updating continuously would answer, late, what it makes of the value
            with slider.hold_sync():
                slider.continuous_update = False
                slider.min, slider.max, slider.value = -limit, limit, value
            slider.continuous_update = True
        self.picker.value = explorer.index
        self.original.value = png(explorer.original, 160)
        self.original_caption.value = f"image {explorer.index}"
        self.decoded.value = png(explorer.reconstruction(), 160)
        self.decoded_caption.value = f"decoded, from {explorer.start}"
        over = f"{-explorer.span:g} to {explorer.span:g}"
        self.traverse_button.description = f"traverse z{explorer.latent + 1}, {over}"
        # not where it is out of date
        self.strip.layout.display = None if self._strip_at == self._line() else "none"

    def _traverse(self) -> None:
        self.strip.value = png(self.explorer.traverse(), 64)
        self._strip_at, self.strip.layout.display = self._line(), None

    def _line(self) -> tuple[int, list[float]]:
        """What a traversal shows: its latent, and where the others are."""
        latent, z = self.explorer.latent, self.explorer.z.tolist()
        return latent, z[:latent] + z[latent + 1 :]


def png(images: Tensor, least: int) -> bytes:
    """A PNG of ``images`` (N, C, H, W) in a row, each at least ``least`` wide; 1 is black."""
    inked = images if images.shape[1] == 3 else (1 - images).expand(-1, 3, -1, -1)
    scale = math.ceil(least / images.shape[3])
    levels = inked.clamp(0, 1).mul(255).round().byte()
    large = levels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    # two white between images
    row = pad(large, (0, 2), value=255).permute(2, 0, 3, 1).flatten(1, 2)[:, :-2]
    buffer = io.BytesIO()
    imsave(buffer, row.cpu().numpy(), format="png")
    return buffer.getvalue()

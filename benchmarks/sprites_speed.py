"""What drawing a batch of sprites costs, as a share of the training step that uses it.

python benchmarks/sprites_speed.py    about 1 minute on 2 cores; prints a table of medians, drawing
                                      and steps in turn
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from shared import hardware, markdown, markdown_row

import vaelib
from vaelib import ConvSpec, losses, models

BATCH, REPEATS = 128, 30
CONVS = {
    32: (ConvSpec(32), ConvSpec(32), ConvSpec(64)),
    64: (ConvSpec(32), ConvSpec(32), ConvSpec(64), ConvSpec(64)),
}
VARIANTS = {
    "binary": {},
    "antialiased": {"antialias": True},
    "antialiased, coloured": {"antialias": True, "colour": True},
}


def training_step(image_shape: tuple[int, int, int], device: str) -> Callable[[torch.Tensor], None]:
    """One step of Adam on the negative ELBO, as `fit` takes it."""
    model = vaelib.VAE(image_shape, 10, CONVS[image_shape[1]], hidden=128)
    model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(images: torch.Tensor) -> None:
        x = models.as_float(images).contiguous(memory_format=torch.channels_last)
        output, mean, log_var, _ = model(x)
        kl = losses.kl_to_standard_normal(mean, log_var)
        loss = losses.negative_elbo(model.log_likelihood(x, output), kl, 4.0).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def medians(data, device: str) -> tuple[float, float]:
    """Milliseconds to draw a batch with its factors, and to train on it.

    Medians over steps that do the one, then the other.
    """
    generator = torch.Generator(device).manual_seed(0)
    step = training_step(data.image_shape, device)
    seconds = []
    for _ in range(REPEATS + 5):  # the first five warm up
        began = now(device)
        images, _ = data.sample(BATCH, generator)
        drawn = now(device)
        step(images)
        seconds.append((drawn - began, now(device) - drawn))
    return tuple(1e3 * statistics.median(times) for times in zip(*seconds[5:]))


def now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    settings = [("cpu", 1), ("cpu", 2)] + [("cuda", 1)] * torch.cuda.is_available()
    print("; ".join(hardware(device) for device in dict(settings)))
    head = ["pixels", "sprites", "device", "threads", "draw, ms", "step, ms", "draw / step"]
    print(markdown([head]))
    for size in CONVS:
        for variant, options in VARIANTS.items():
            for device, threads in settings:
                torch.set_num_threads(threads)
                draw, step = medians(vaelib.load("sprites", image_size=size, **options), device)
                times = f"{draw:.2f}", f"{step:.1f}", f"{100 * draw / step:.1f} %"
                cells = [str(size), variant, device, str(threads), *times]
                print(markdown_row(cells), flush=True)


if __name__ == "__main__":
    main()

"""Time an epoch of 60,000 images of 28 x 28 on a GPU: `fit`, a plain loop, pythae, a CUDA graph.

python benchmarks/gpu_speed.py [--network "fully connected"]    about 2 minutes; without a GPU it
                                                                says so, and ends

Prints a table for minibatches of 128, 512 and 4096, with TF32 as PyTorch has it by default, fp32
throughout, and bf16; writes benchmarks/results/gpu_speed.json. pythae is timed where it is
installed; the CUDA graph is the step of `fit`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time

import torch
from shared import ROOT, machine, markdown, markdown_row
from speed import OWN, Plain, network, pythae_epoch, some_images

from vaelib import VAE, fit, losses

RESULTS = ROOT / "benchmarks" / "results" / "gpu_speed.json"
IMAGES, BATCHES, REPETITIONS = 60_000, (128, 512, 4096), 5


@contextlib.contextmanager
def without_tf32():
    """Inside, convolutions are computed in fp32 throughout."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def ours(model: VAE, images: torch.Tensor, batch: int, precision: str = "fp32"):
    return lambda: fit(
        model,
        images,
        epochs=1,
        batch_size=batch,
        precision=precision,
        device="cuda",
        progress=False,
    )


def plain(model: VAE, images: torch.Tensor, batch: int):
    """The plain loop: default Adam, the loss asked for at each step."""
    net = Plain(model).cuda()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def epoch():
        for indices in torch.randperm(len(images), device="cuda").split(batch):
            x = images[indices].float() / 255
            loss = net.loss(x, torch.randn(len(x), model.latent_dim, device="cuda"))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def graphed(model: VAE, images: torch.Tensor, batch: int, precision: str = "fp32"):
    """The step of `fit` recorded once as a CUDA graph and replayed.

    What it saves is the cost of launching the kernels one by one.
    """
    model = model.cuda().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=True)
    x = torch.zeros(batch, *model.image_shape, device="cuda").to(memory_format=torch.channels_last)

    def step():
        with torch.autocast(
            "cuda", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
        ):
            output, mean, log_var, _ = model(x)
        kl = losses.kl_to_standard_normal(mean, log_var)
        loss = losses.negative_elbo(model.log_likelihood(x, output), kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    warm_up = torch.cuda.Stream()
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def epoch():
        for indices in torch.randperm(len(images), device="cuda").split(batch)[
            : len(images) // batch
        ]:
            x.copy_(images.index_select(0, indices).float().div_(255))
            graph.replay()

    return epoch


def loops(name: str, batch: int, images: torch.Tensor) -> dict:
    """By name: a function that trains for an epoch."""
    epochs = {
        "plain": plain(network(name), images, batch),
        "vaelib": ours(network(name), images, batch),
        "vaelib, no TF32": without_tf32()(ours(network(name), images, batch)),
        "vaelib bf16": ours(network(name), images, batch, "bf16"),
        "CUDA graph": graphed(network(name), images, batch),
        "CUDA graph bf16": graphed(network(name), images, batch, "bf16"),
    }
    if batch == 128:  # speed.py's is set up for this one
        with contextlib.suppress(ImportError):
            epochs["pythae"] = pythae_epoch(network(name), images.cpu(), "cuda")
    return epochs


def seconds(epoch) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    epoch()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="convolutional", choices=OWN)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no GPU here: nothing measured")
        return
    images = some_images((1, 28, 28), IMAGES).cuda()
    rows = []
    print(markdown([["batch", "loop", "s an epoch", "ratio to plain", "peak MB"]]))
    for batch in BATCHES:
        epochs = loops(args.network, batch, images)
        taken, peak = {name: [] for name in epochs}, {}
        for _ in range(REPETITIONS + 1):  # the first warms up
            for name, epoch in epochs.items():
                torch.cuda.reset_peak_memory_stats()
                taken[name].append(seconds(epoch))
                peak[name] = torch.cuda.max_memory_allocated() / 2**20
        for name, times in taken.items():
            ratio = statistics.median(a / b for a, b in zip(times[1:], taken["plain"][1:]))
            median, megabytes = statistics.median(times[1:]), round(peak[name])
            row = {"batch": batch, "loop": name, "seconds": median, "ratio": ratio}
            rows.append({**row, "peak_mb": megabytes})
            cells = [str(batch), name, f"{median:.3f}", f"{ratio:.2f}", str(megabytes)]
            print(markdown_row(cells), flush=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    setting = {**machine("cuda"), "images": IMAGES}
    results[args.network] = {**setting, "rows": rows}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

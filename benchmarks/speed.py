"""Time a training step: `fit`, plain PyTorch loops over the same network, and pythae.

python benchmarks/speed.py [NETWORK ...]     about 3 minutes a network on 2 cores; all of them
                                             without a name
python benchmarks/speed.py --tried           what did not pay, on the convolutional network:
                                             torch.compile, a DataLoader's workers
python benchmarks/speed.py --learn           what the loops learn in an epoch: their test ELBO over
                                             five seeds (10 minutes)

The plain loops have one thing changed after the other; pythae is timed where it is installed; all
in turn, on one machine, in one run. benchmarks/README.md says how to read it. Writes
benchmarks/results/speed.json, in which a run replaces the networks that it measured, and speed.svg.
Asserts that the first step's loss is the plain loop's to 1e-5; `--learn` also that the ELBO is the
plain loop's to 1 %. For pythae: python -m venv _build/peers && _build/peers/bin/pip install .
pythae, and run it with _build/peers/bin/python.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from shared import ROOT, machine
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from write_readme import timed

import vaelib
from vaelib import VAE, ConvSpec, fit, losses, metrics
from vaelib.device import keep_heap
from vaelib.experiments import config, from_config

RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
BATCH, REPETITIONS, SEEDS = 128, 7, 5
DEVICE = "cpu"
OWN = {  # beside the configurations' networks: the arguments of VAE, and steps a timing
    "convolutional": (
        {"convs": [ConvSpec(32), ConvSpec(64), ConvSpec(128)], "hidden": (), "latent_dim": 10},
        60,
    ),
    "fully connected": ({"convs": [], "hidden": 400, "latent_dim": 20}, 400),
}
STEPS = {
    "mnist-5k": 100,
    "mnist": 4,
    "mnist-strided": 40,
    "fashion-mnist": 1,
    "cifar10": 2,
    "sprites": 40,
}


@dataclass(frozen=True)
class Loop:
    """The plain loop, with what is changed in it."""

    channels_last: bool = False
    fused: bool = False
    keep: bool = False
    bf16: bool = False
    compiled: bool = False
    workers: int = 0  # processes of a DataLoader that make the minibatches


LOOPS = {
    "plain": Loop(),
    "plain + channels_last": Loop(channels_last=True),
    "... + fused Adam": Loop(channels_last=True, fused=True),
    "... + kept heap": Loop(channels_last=True, fused=True, keep=True),
    "... + bf16": Loop(channels_last=True, fused=True, keep=True, bf16=True),
}
TRIED = {  # each on top of the kept heap; only measured where it is asked for
    "kept heap + torch.compile": Loop(channels_last=True, fused=True, keep=True, compiled=True),
    "kept heap + DataLoader, 1 worker": Loop(channels_last=True, fused=True, keep=True, workers=1),
    "kept heap + DataLoader, 2 workers": Loop(channels_last=True, fused=True, keep=True, workers=2),
}
OURS = {"vaelib fp32": "fp32", "vaelib bf16": "bf16"}


def network(name: str) -> VAE:
    """The untrained model: one of `OWN`, or of a configuration that comes with vaelib."""
    if name in OWN:
        torch.manual_seed(0)
        return VAE((1, 28, 28), **OWN[name][0])
    return from_config.build_model(config.read(name))


def some_images(shape: tuple[int, int, int], n: int) -> Tensor:
    """Grey or coloured noise, uint8: a step takes as long on it as on photographs."""
    return torch.randint(
        0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


class Plain(nn.Module):
    """The same layers and weights in plain PyTorch."""

    def __init__(self, model: VAE):
        super().__init__()
        copied = copy.deepcopy(model)
        self.encoder, self.to_mean, self.to_log_var = (
            copied.encoder,
            copied.to_mean,
            copied.to_log_var,
        )
        self.decoder, self.likelihood = copied.decoder, copied.likelihood
        self.log_sigma = getattr(copied, "log_sigma", None)
        for layer in self.decoder:
            if isinstance(layer, nn.ConvTranspose2d):
                layer.__class__ = nn.ConvTranspose2d

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        h = self.encoder(x)
        mean, log_var = self.to_mean(h), self.to_log_var(h)
        output = self.decoder(mean + torch.exp(0.5 * log_var) * noise)
        if self.likelihood == "bernoulli":
            reconstruction = F.binary_cross_entropy_with_logits(output.float(), x, reduction="sum")
        else:
            reconstruction = -losses.gaussian_log_likelihood(
                x, output.float(), self.log_sigma
            ).sum()
        kl = -0.5 * torch.sum(1 + log_var - mean.square() - log_var.exp())
        return (reconstruction + kl) / len(x)


def plain_epoch(
    plain: Plain, images: Tensor, loop: Loop, seed: int = 0, batch: int = BATCH
) -> list[float]:
    """Train for an epoch as a first PyTorch program would; the loss of each step."""
    if loop.channels_last:
        plain.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3, fused=loop.fused or None)
    generator, seen = torch.Generator().manual_seed(seed), []
    if loop.workers:
        batches = DataLoader(
            TensorDataset(images),
            batch,
            shuffle=True,
            generator=generator,
            num_workers=loop.workers,
        )
    else:
        order = torch.randperm(len(images), generator=generator)
        batches = ((images[indices],) for indices in order.split(batch))
    loss_of = torch.compile(plain.loss) if loop.compiled else plain.loss
    for (part,) in batches:
        x = part.float() / 255
        if loop.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        noise = torch.randn(len(x), plain.to_mean.out_features, generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=loop.bf16):
            loss = loss_of(x, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    return seen


def pythae_epoch(model: VAE, images: Tensor, device: str = DEVICE):
    """A function that trains pythae's VAE of the same layers for an epoch.

    With its own trainer, as its documentation has it.
    """
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as TheirVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    plain = Plain(model)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers, self.mean, self.log_var = plain.encoder, plain.to_mean, plain.to_log_var

        def forward(self, x):
            h = self.layers(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = plain.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z).sigmoid())

    arguments = VAEConfig(
        input_dim=model.image_shape, latent_dim=model.latent_dim, reconstruction_loss="bce"
    )
    theirs = TheirVAE(arguments, Encoder(), Decoder())
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        num_epochs=1,
        learning_rate=1e-3,
        per_device_train_batch_size=BATCH,
        no_cuda=device == "cpu",
    )
    trainer = BaseTrainer(
        theirs,
        BaseDataset(images.float() / 255, torch.zeros(len(images))),
        training_config=settings,
    )
    trainer.prepare_training()
    return lambda: trainer.train_step(1)


def contender(name: str, network_name: str, steps: int):
    """A function that does ``steps`` training steps in this process; None where it can't be had."""
    model = network(network_name)
    images = some_images(model.image_shape, steps * BATCH)
    if name in OURS:
        return lambda: fit(
            model,
            images,
            epochs=1,
            batch_size=BATCH,
            precision=OURS[name],
            device=DEVICE,
            progress=False,
        )
    if name == "pythae":
        try:
            return pythae_epoch(model, images)
        except ImportError:
            return None
    plain, loop = Plain(model), {**LOOPS, **TRIED}[name]
    if loop.keep:
        keep_heap()
    return lambda: plain_epoch(plain, images, loop)


def worker(connection, name: str, network_name: str, steps: int) -> None:
    """Time an epoch for each message, in a process of its own: `keep_heap` holds for a process."""
    epoch = contender(name, network_name, steps)
    connection.send(epoch is not None)
    while epoch and connection.recv():
        began = time.perf_counter()
        epoch()
        seconds = time.perf_counter() - began
        connection.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def measured(network_name: str, names: list[str], steps: int, repetitions: int) -> dict:
    """Medians of each: milliseconds a step, the ratio to the plain loop, peak memory in MB."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in names:
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(there, name, network_name, steps))
        # those have processes of their own, which a daemon may not
        process.daemon = name not in TRIED
        process.start()
        processes.append(process)
        if here.recv():
            pipes[name] = here
        else:
            print(f"{name}: not installed, left out")
    seconds, memory = {name: [] for name in pipes}, {}
    for repetition in range(repetitions + 1):  # the first warms up
        order = list(pipes)
        for name in order[repetition % len(order) :] + order[: repetition % len(order)]:
            pipes[name].send(True)
            try:
                taken, memory[name] = pipes[name].recv()
            except EOFError:
                for process in processes:
                    process.kill()
                raise SystemExit(f"{network_name}, {name}: its process failed, see above") from None
            seconds[name].append(taken)
    for pipe in pipes.values():
        pipe.send(False)
    rows = {}
    for name, taken in seconds.items():
        ratios = [a / b for a, b in zip(taken[1:], seconds["plain"][1:])]
        rows[name] = {
            "ms_a_step": round(1e3 * statistics.median(taken[1:]) / steps, 3),
            "ratio": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
            "peak_mb": round(memory[name]),
        }
    return {"steps": steps, "repetitions": repetitions, "loops": rows}


def first_losses(network_name: str) -> tuple[float, float]:
    """The loss of the first step from the same weights and noise: the plain loop's, and `fit`'s."""
    model = network(network_name)
    images = some_images(model.image_shape, 16)
    plain = plain_epoch(Plain(model), images, Loop(), batch=16)[0]
    history = fit(model, images, epochs=1, batch_size=16, device=DEVICE, progress=False)
    return plain, -history.train["elbo"][0]


def check_first_loss(network_name: str) -> float:
    plain, ours = first_losses(network_name)
    difference = abs(ours / plain - 1)
    assert difference < 1e-5, f"{network_name}: the first loss is {ours}, the plain loop's {plain}"
    return difference


def learnt(network_name: str) -> dict:
    """Test ELBO after an epoch of MNIST, grey, by seed, of the plain loop and of `fit`.

    Asserts that the medians agree.
    """
    data, by_loop = vaelib.load("mnist"), {"plain": [], **{name: [] for name in OURS}}
    for seed in range(SEEDS):
        for name, elbos in by_loop.items():
            torch.manual_seed(seed)
            model = VAE((1, 28, 28), **OWN[network_name][0])
            if name in OURS:
                options = dict(precision=OURS[name], device=DEVICE, progress=False)
                fit(model, data.train, epochs=1, seed=seed, **options)
            else:
                plain = Plain(model)
                plain_epoch(plain, data.train, LOOPS[name], seed)
                model.load_state_dict(plain.state_dict())
            elbos.append(round(metrics.elbo(model, data.test).double().mean().item(), 3))
        print(network_name, seed, {name: elbos[-1] for name, elbos in by_loop.items()}, flush=True)
    medians = {name: statistics.median(elbos) for name, elbos in by_loop.items()}
    for name, median in medians.items():
        assert abs(median / medians["plain"] - 1) < 0.01, (
            f"{network_name}, {name}: {median}, plain {medians['plain']}"
        )
    return {"test_elbo": by_loop, "medians": medians}


def chart(results: dict) -> None:
    """benchmarks/results/speed.svg: the ratios as bars, a panel a network."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    networks = results["networks"]
    figure, axes = plt.subplots(
        len(networks), 1, figsize=(7, 2.1 * len(networks)), squeeze=False, layout="constrained"
    )
    for axis, (name, result) in zip(axes[:, 0], networks.items()):
        rows = list(result["loops"].items())[::-1]
        colours = [
            "#1f5f8b" if loop in OURS else "#b07a2a" if loop == "pythae" else "#b9bec5"
            for loop, _ in rows
        ]
        bars = axis.barh(
            [loop for loop, _ in rows], [row["ratio"] for _, row in rows], color=colours
        )
        axis.bar_label(bars, [f"{row['ratio']:.2f}" for _, row in rows], padding=3, fontsize=8)
        axis.axvline(1, color="#333333", linewidth=0.8)
        axis.set_title(name, loc="left", fontsize=10)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
    axes[-1, 0].set_xlabel("time of a step, plain loop = 1 (lower is better)", fontsize=9)
    with plt.rc_context({"svg.hashsalt": "vaelib", "svg.fonttype": "none"}):
        figure.savefig(RESULTS.with_suffix(".svg"), metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    networks = [*OWN, *STEPS]
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(networks))
    parser.add_argument(
        "--learn",
        action="store_true",
        help="what is learnt in an epoch, instead of the time it takes",
    )
    parser.add_argument("--tried", action="store_true", help=f"instead: {', '.join(TRIED)}")
    parser.add_argument("--steps", type=int, help="a timing")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--only", nargs="*", metavar="LOOP", help="beside the plain one")
    args = parser.parse_args()
    if unknown := set(args.networks) - set(networks):
        parser.error(f"no network {min(unknown)!r}; there are: {', '.join(networks)}")
    results = (
        json.loads(RESULTS.read_text()) if RESULTS.exists() else {"networks": {}, "learnt": {}}
    )
    setting = {**machine(DEVICE), "threads": torch.get_num_threads()}
    few = list(OWN) if args.learn else ["convolutional"] if args.tried else networks
    for name in args.networks or few:
        difference = check_first_loss(name)
        if args.learn:
            results["learnt"][name] = learnt(name)
        elif args.tried:
            loops = ["plain", "... + kept heap", *TRIED]
            times = measured(name, loops, args.steps or 120, args.repetitions)
            results.setdefault("tried", {})[name] = {**setting, **times}
            print(f"{name}:\n{timed(results['tried'][name])}\n", flush=True)
        else:
            others = args.only or [*LOOPS, *OURS, "pythae"]
            loops = ["plain", *(loop for loop in others if loop != "plain")]
            if network(name).likelihood != "bernoulli":  # pythae has no Gaussian that learns sigma
                loops = [loop for loop in loops if loop != "pythae"]
            steps = args.steps or OWN.get(name, (0, STEPS.get(name)))[1]
            times = measured(name, loops, steps, args.repetitions)
            results["networks"][name] = {**setting, **times}
            results["networks"][name]["first_loss_relative_difference"] = difference
            print(f"{name}:\n{timed(results['networks'][name])}\n", flush=True)
        results["networks"] = {
            n: results["networks"][n] for n in networks if n in results["networks"]
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        chart(results)


if __name__ == "__main__":
    main()

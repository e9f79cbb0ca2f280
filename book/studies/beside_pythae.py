"""vaelib's training beside pythae's, a public library: one network, one start, one judge.

python -m venv _build/pythae && _build/pythae/bin/pip install . pythae
_build/pythae/bin/python book/studies/beside_pythae.py      about 10 minutes on 2 cores

Each objective is trained by both libraries, five seeds each, on mnist-5k with its pixels drawn
once. Equal for both: vaelib's networks (pythae gets the same modules, wrapped) and their initial
weights, the images, batches and their number, Adam and its rate; each shuffles and draws its noise
itself, and the weights of the last step are judged, by vaelib's metrics. Seconds are of processor
time, of the training alone, on one thread; the two libraries run at the same time, each in a
process of its own. `same_step` compares loss and gradient at the same weights, images and noise.
Writes book/results/beside_pythae.json as runs end; stopped, it goes on where it was.
"""

from __future__ import annotations

import importlib.util
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

import torch
from reporting import (
    ROOT,
    cached,
    machine,
    markdown,
    mean_and_error,
    spread,
    stop_time,
    write_results,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

import vaelib
from vaelib import losses, metrics, objectives
from vaelib.data import draw_binary
from vaelib.models import as_float
from vaelib.train import minibatches

SCRIPT, STEM = "book/studies/beside_pythae.py", "beside_pythae"
KEPT = ROOT / "_build" / "beside_pythae"
SEEDS, BATCH_SIZE, RATE, LATENTS = range(5), 100, 1e-3, 16
FEWEST = 3  # seeds of an arm that is shown
BETA, TC_BETA, DRAWS, SAMPLES = 4.0, 6.0, 5, 50
LIBRARIES = ("vaelib", "pythae")
MEASURED = ("own_loss", "elbo", "kl", "nll", "seconds")
DENSE = {"convs": [], "hidden": 256}


class Arm(NamedTuple):
    """What both train: a name for the page, pythae's class and options, vaelib's arguments.

    ``ours`` makes the arguments of `fit` from the number of images, ``own_loss`` measures on
    images what the objective descends.
    """

    name: str
    theirs: str
    options: dict
    ours: Callable[[int], dict]
    own_loss: Callable[[vaelib.VAE, Tensor], float]
    network: dict = DENSE
    epochs: int = 10


def priced(model: vaelib.VAE, images: Tensor, beta: float = 1.0) -> float:
    terms = metrics.elbo_terms(model, images, samples=10)
    return losses.negative_elbo(-terms.reconstruction, terms.kl, beta).mean().item()


def total_correlation_priced(model: vaelib.VAE, images: Tensor) -> float:
    total_correlation = metrics.kl_decomposition(model, images).total_correlation.mean().item()
    return priced(model, images) + (TC_BETA - 1) * total_correlation


def importance(model: vaelib.VAE, images: Tensor, samples: int = DRAWS) -> float:
    return -metrics.log_likelihood(model, images, samples).mean().item()


def tcvae(sampling: str) -> Callable[[int], dict]:
    return lambda n: {"objective": objectives.beta_tcvae(TC_BETA, n, sampling)}


ARMS = {
    "vae": Arm("VAE", "VAE", {}, lambda n: {}, priced),
    "beta-vae": Arm(
        f"beta-VAE, {BETA:g}",
        "BetaVAE",
        {"beta": BETA},
        lambda n: {"beta": BETA},
        partial(priced, beta=BETA),
    ),
    "beta-tcvae": Arm(
        f"beta-TCVAE, {TC_BETA:g}, weighted",
        "BetaTCVAE",
        {"beta": TC_BETA, "use_mss": False},
        tcvae("weighted"),
        total_correlation_priced,
    ),
    "iwae": Arm(
        f"IWAE, $k={DRAWS}$",
        "IWAE",
        {"number_samples": DRAWS},
        lambda n: {"objective": objectives.iwae(), "samples": DRAWS},
        importance,
    ),
    "vae-convolutions": Arm(
        "VAE, convolutions", "VAE", {}, lambda n: {}, priced, network={}, epochs=2
    ),
    "beta-tcvae-stratified": Arm(
        f"beta-TCVAE, {TC_BETA:g}, stratified",
        "BetaTCVAE",
        {"beta": TC_BETA, "use_mss": True},
        tcvae("stratified"),
        total_correlation_priced,
    ),
}


@cache
def images() -> tuple[Tensor, Tensor]:
    """The training images, drawn black and white once for all, and the test images: uint8."""
    data = vaelib.load("mnist-5k", binarize=True)
    drawn = draw_binary(data.train, torch.Generator().manual_seed(0))
    return drawn.mul_(255).to(torch.uint8), data.test


def network(arm: Arm, seed: int) -> vaelib.VAE:
    torch.manual_seed(seed)
    return vaelib.VAE((1, 28, 28), LATENTS, **arm.network)


def wrapped(model: vaelib.VAE, arm: Arm) -> nn.Module:
    """pythae's model around the modules of ``model`` themselves, whose weights it then trains."""
    from pythae import models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.features, self.latent_dim = model.encoder, LATENTS
            self.to_mean, self.to_log_var = model.to_mean, model.to_log_var

        def forward(self, x):
            features = self.features(x)
            heads = self.to_mean(features), self.to_log_var(features)
            return ModelOutput(embedding=heads[0], log_covariance=heads[1])

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = model.decoder

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z).sigmoid())

    settings = getattr(models, f"{arm.theirs}Config")(
        input_dim=model.image_shape, latent_dim=LATENTS, reconstruction_loss="bce", **arm.options
    )
    return getattr(models, arm.theirs)(settings, Encoder(), Decoder())


def train_pythae(model: vaelib.VAE, arm: Arm, train: Tensor, seed: int) -> float:
    """The seconds that pythae trains the weights of ``model``."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler

    class Quiet(BaseTrainer):
        def _setup_callbacks(self):  # neither library draws a bar
            self.callback_handler = CallbackHandler([], self.model)

    theirs, data = wrapped(model, arm), BaseDataset(train / 255, torch.zeros(len(train)))
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=arm.epochs,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=RATE,
            keep_best_on_train=True,
            seed=seed,
            no_cuda=True,
        )
        start = time.process_time()
        Quiet(theirs, data, training_config=settings).train()
        return time.process_time() - start


def train_vaelib(model: vaelib.VAE, arm: Arm, train: Tensor, seed: int) -> float:
    options = {"batch_size": BATCH_SIZE, "learning_rate": RATE, "device": "cpu", "seed": seed}
    ours = arm.ours(len(train))
    start = time.process_time()
    vaelib.fit(model, train, epochs=arm.epochs, progress=False, **options, **ours)
    return time.process_time() - start


def run(key: str, library: str, seed: int) -> dict:
    """One training and what it came to, by vaelib's metrics on the test images."""
    arm, train_by = ARMS[key], train_vaelib if library == "vaelib" else train_pythae
    train, test = images()
    # a first step, of another model, pays for what is paid for once
    train_by(network(arm, seed), arm._replace(epochs=1), train[:BATCH_SIZE], seed)
    model = network(arm, seed)
    seconds = train_by(model, arm, train, seed)
    terms = metrics.elbo_terms(model, test, samples=10)
    return {
        "seconds": seconds,
        "own_loss": arm.own_loss(model, test),
        "elbo": terms.elbo.mean().item(),
        "kl": terms.kl.mean().item(),
        "nll": importance(model, test, SAMPLES),
        "active_units": int((metrics.active_units(model, test) > 0.01).sum()),
    }


def pair(key: str, seed: int) -> dict:
    """Both libraries' `run`, at the same time, so that both meet the same load of the machine.

    Each in a process of its own: neither finds memory that the other has kept.
    """
    with get_context("fork").Pool(len(LIBRARIES), maxtasksperchild=1) as pool:
        return dict(zip(LIBRARIES, pool.starmap(run, [(key, name, seed) for name in LIBRARIES], 1)))


def same_step(key: str) -> dict:
    """Both losses of one batch, and how far pythae's gradient is from vaelib's, relative to it.

    At the initial weights and with the same noise. `of_draws` is its distance from a gradient in
    which the whole KL is estimated by the draws, as pythae's is, where vaelib's KL is exact.
    """
    arm, x = ARMS[key], images()[0][:BATCH_SIZE] / 255
    size, model = len(images()[0]), network(ARMS[key], 0)
    settings = arm.ours(size)
    draws = settings.get("samples", 1)
    noise = torch.randn(draws, BATCH_SIZE, LATENTS, generator=torch.Generator().manual_seed(0))
    noise = noise.squeeze(0)
    objective = settings.get("objective") or objectives.beta_vae(settings.get("beta", 1.0))
    output, mean, log_var, z = model(x, noise)
    log_likelihood = model.log_likelihood(x, output)

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, model.parameters(), retain_graph=True)]
        )

    theirs = wrapped(model, arm)
    epsilon = noise.transpose(0, 1) if draws > 1 else noise
    theirs._sample_gauss = lambda mu, std: (mu + std * epsilon, epsilon)
    pythae_loss = theirs({"data": x}, dataset_size=size).loss
    loss = objective(log_likelihood, mean, log_var, z, 0)
    exact, other = gradient(loss), gradient(pythae_loss)
    found = {
        "vaelib": loss.item(),
        "pythae": pythae_loss.item(),
        "gradient": ((other - exact).norm() / exact.norm()).item(),
    }
    if arm.theirs == "BetaTCVAE":
        sampling = "stratified" if arm.options["use_mss"] else "weighted"
        parts = losses.kl_terms(z, mean, log_var, size, sampling)
        by_draws = gradient(
            (sum(parts) + (TC_BETA - 1) * parts.total_correlation - log_likelihood).mean()
        )
        found["of_draws"] = ((other - by_draws).norm() / by_draws.norm()).item()
    return found


def own_weight(size: int) -> dict:
    """The weight of an image's own density in q(z), stratified: as it should be, and in pythae.

    The median over the images of a batch.
    """
    from pythae.models import BetaTCVAE

    matrix = BetaTCVAE._log_importance_weight_matrix(None, BATCH_SIZE, size)
    return {"formula": 1 / size, "pythae": matrix.diagonal().exp().median().item()}


def step_costs(train: Tensor) -> dict:
    """Milliseconds of a step's parts that differ: a batch fetched, and Adam on the dense network.

    vaelib takes the rows of a batch at once and has Adam in one kernel; pythae fetches image by
    image and has torch's default Adam.
    """
    from pythae.data.datasets import BaseDataset, collate_dataset_output

    data = BaseDataset(train / 255, torch.zeros(len(train)))
    loader = DataLoader(data, BATCH_SIZE, shuffle=True, collate_fn=collate_dataset_output)
    generator, model = torch.Generator().manual_seed(0), network(ARMS["vae"], 0)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    adam = {
        name: torch.optim.Adam(model.parameters(), RATE, fused=name == "vaelib")
        for name in LIBRARIES
    }

    def rows() -> None:
        for batch in minibatches(len(train), BATCH_SIZE, generator):
            as_float(train.index_select(0, batch))

    steps = -(-len(train) // BATCH_SIZE)
    return {
        "batch": {
            "vaelib": milliseconds(rows) / steps,
            "pythae": milliseconds(lambda: list(loader)) / steps,
        },
        "adam": {name: milliseconds(adam[name].step, 50) for name in LIBRARIES},
    }


def milliseconds(work: Callable[[], object], times: int = 3) -> float:
    """Processor time of doing it once, after a first time that is not measured."""
    work()
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times * 1000


def setting(train: Tensor, test: Tensor) -> dict:
    return {
        **machine("cpu"),
        "pythae": version("pythae"),
        "threads": 1,
        "images": len(train),
        "test_images": len(test),
        "network": "784-256-16 latents-256-784, ReLU; convolutions: the default of vaelib.VAE",
        "latents": LATENTS,
        "batch_size": BATCH_SIZE,
        "learning_rate": RATE,
        "epochs": {key: arm.epochs for key, arm in ARMS.items()},
        "steps": {key: -(-len(train) // BATCH_SIZE) * arm.epochs for key, arm in ARMS.items()},
        "samples": SAMPLES,
    }


def summary(results: dict) -> dict:
    """Both libraries' means over the seeds, an arm each, and vaelib's lead with its error.

    A lead is of the same initial weights, so it is taken seed by seed; it is positive where vaelib
    is better. `ratio` is pythae's seconds as a multiple of vaelib's.
    """
    return {key: row for key in ARMS if (row := compared(results["runs"], key))}


def compared(runs: list[dict], key: str) -> dict | None:
    """A row of the `summary`; None for an arm of fewer than FEWEST seeds."""
    found: tuple[dict, ...] = tuple(
        {run["seed"]: run for run in runs if (run["arm"], run["library"]) == (key, library)}
        for library in LIBRARIES
    )
    seeds = sorted(found[0].keys() & found[1].keys())
    if len(seeds) < FEWEST:
        return None
    pairs = [[side[seed] for seed in seeds] for side in found]
    row: dict = {"seeds": len(seeds)}
    row |= {
        library: {name: spread([run[name] for run in runs]) for name in MEASURED}
        for library, runs in zip(LIBRARIES, pairs)
    }
    for name, sign in (("own_loss", 1), ("nll", 1), ("elbo", -1)):
        leads = [sign * (b[name] - a[name]) for a, b in zip(*pairs)]
        row[f"lead_{name}"] = mean_and_error(leads)
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(*pairs)]
    row["ratio"] = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return row


def table(results: dict) -> str:
    """The objectives as the page shows them: vaelib / pythae, and vaelib's lead, in nats."""
    rows = [
        [
            "objective",
            "its loss",
            "lead",
            r"$-\log\ptheta(\x)$",
            "lead",
            "seconds",
            "ratio",
            "seeds",
        ]
    ]
    for key, row in summary(results).items():
        ours, theirs = (row[library] for library in LIBRARIES)
        cells = [ARMS[key].name]
        for name in ("own_loss", "nll"):
            lead = row[f"lead_{name}"]
            cells.append(f"{ours[name]['mean']:.2f} / {theirs[name]['mean']:.2f}")
            cells.append(f"{lead['mean']:+.2f} ± {lead['error']:.2f}")
        seconds = f"{ours['seconds']['mean']:.1f} / {theirs['seconds']['mean']:.1f}"
        rows.append([*cells, seconds, f"{row['ratio']['median']:.2f}", str(row["seeds"])])
    return markdown(rows)


def main() -> None:
    stop = stop_time()
    if importlib.util.find_spec("pythae") is None:
        raise SystemExit("pythae is not installed here: make an environment as the first lines say")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)  # before the processes fork
    torch.optim.Adam([torch.zeros(1)])  # its imports, which take longer than some trainings
    train, test = images()
    results: dict = {
        "setting": setting(train, test),
        "same_step": {key: same_step(key) for key in ARMS},
        "own_weight": own_weight(len(train)),
        "step_costs": step_costs(train),
        "runs": [],
    }
    for key, seed in product(ARMS, SEEDS):
        both = cached(KEPT / f"{key}-{seed}.json", stop, partial(pair, key, seed))
        for library, row in both.items():
            results["runs"].append({"arm": key, "library": library, "seed": seed, **row})
        write_results(STEM, results)
    print(table(results))


if __name__ == "__main__":
    main()

"""Every name that a user may choose, and the defaults that modules share; it imports nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

LIKELIHOODS = ("bernoulli", "continuous-bernoulli", "gaussian", "discretised-logistic")
# the likelihoods with one scale for all pixels: the words that may stand for a number there
SIGMA_WORDS = {"gaussian": ("learnt", "optimal"), "discretised-logistic": ("learnt",)}
# what a scale that is learnt starts from: the logistic's is far below 1 on any photograph, and Adam
# would need some 3,000 steps to come down to it
FIRST_SIGMA = {"gaussian": 1.0, "discretised-logistic": 0.1}
ACTIVATIONS = ("relu", "tanh")
STARTS = ("drawn", "mean", "line")  # what a model's first weights are
PRECISIONS = ("fp32", "bf16")
SAMPLINGS = ("weighted", "stratified")  # how a batch's codes stand for those of a data set
VARIATIONS = ("VAE", "B-VAE")

SCHEDULES = {  # of the KL's weight: the numbers that follow the name in a configuration
    "constant": (),
    "warm-up": ("STEPS",),
    "linear": ("START", "STEPS"),
    "falling": ("START", "STEPS"),
    "cyclical": ("PERIOD",),
    "capacity": ("NATS", "STEPS", "GAMMA"),
    "iwae": (),
}
WITHOUT_BETA = ("capacity", "iwae")  # they say all of what is descended

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
IMAGE_SIZE = 64
SPRITE_SIZES = (32, 64)


class DataChoice(NamedTuple):
    """A data set: its name as people write it, the shape of its images, its own options.

    The shape is None where it may vary; the options stand with their defaults.
    """

    display_name: str
    image_shape: tuple[int, int, int] | None = None
    options: Mapping[str, Any] = {}
    stream: bool = False  # drawn without end: measured in steps, and already black and white


SPRITES_OPTIONS: dict[str, Any] = {"image_size": IMAGE_SIZE, "colour": False}
FOLDER_OPTIONS: dict[str, Any] = {"image_size": IMAGE_SIZE, "colour": True}
DATASETS = {
    "mnist": DataChoice("MNIST", (1, 28, 28)),
    "fashion-mnist": DataChoice("FashionMNIST", (1, 28, 28)),
    "cifar10": DataChoice("CIFAR10", (3, 32, 32)),
    "mnist-5k": DataChoice("mnist-5k", (1, 28, 28)),
    "sprites": DataChoice("sprites", options=SPRITES_OPTIONS, stream=True),
    "dsprites": DataChoice("dsprites", options={"image_size": IMAGE_SIZE}, stream=True),
    "folder": DataChoice("folder", options=FOLDER_OPTIONS),
}

"""Runs killed with SIGKILL, wherever it hits, gone on with, and compared bit for bit.

    python tests/kills.py [KILLS [SEED [FOLDER]]]

Each configuration is trained once without a stop, then again and again with ``--resume``, and
killed: at a random time, or at a chosen place in the writing of a file (half of it written, before
and after its fsync, between two renames). A run's best whole checkpoint may never be an earlier one
than before a kill, and what comes out at the end must be the bytes of the run that nobody stopped.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vaelib import saving
from vaelib.experiments import cli, config, from_config, run, run_folder

NETWORK = "[architecture]\nconv_channels = [4]\nz_dimension = 2\nhidden = [8]\n"
PICTURES = "[configuration]\ndataset = folder\npath = {}\nimage_size = 8\ncolour = no\n"
SPRITES = "[configuration]\ndataset = sprites\nimage_size = 32\n"
CONFIGS = {
    "bernoulli": PICTURES
    + NETWORK
    + "likelihood = bernoulli\n[hyperparameters]\nepochs = 16\nbatch_size = 2\nbeta = 4\n",
    "gaussian": PICTURES
    + NETWORK
    + "likelihood = gaussian\n[hyperparameters]\nepochs = 16\nbatch_size = 4\nprecision = bf16\n"
    "beta = 2\nschedule = cyclical 30\n",
    "iwae": PICTURES
    + NETWORK
    + "likelihood = bernoulli\n[hyperparameters]\nepochs = 16\nbatch_size = 4\nsamples = 5\n"
    "schedule = iwae\n",
    "stream": SPRITES + NETWORK + "[hyperparameters]\nsteps = 900\nbatch_size = 4\nbeta = 1\n",
}
PLACES = ("half written", "before fsync", "before rename", "after rename")


def make(folder: Path) -> None:
    """The pictures and the configurations."""
    generator = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(60):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{i:02}.png")
    for name, text in CONFIGS.items():
        (folder / f"{name}.cfg").write_text(text.format(folder / "pictures"))


def started(arguments: list[str], before: Callable = lambda: None) -> int:
    """A process, forked from this one (which has PyTorch loaded), of the command; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        run.pictures = lambda model, images: {}  # a second a run, and drawn after the last epoch
        before()
        with contextlib.redirect_stdout(io.StringIO()):
            status = cli.main(arguments)
    finally:
        os._exit(status)


def killing_at(place: str, count: int) -> Callable:
    """What lets the process kill itself at the ``count``-th time that a file is at ``place``."""
    left = [count]

    def die(this: str) -> None:
        if this == place:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    def prepare() -> None:
        fsync, replace = os.fsync, os.replace

        def slow_fsync(descriptor: int) -> None:
            if place == "half written" and left[0] == 1:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die("half written")
            die("before fsync")
            fsync(descriptor)

        def slow_replace(source: Path, target: Path) -> None:
            die("before rename")
            replace(source, target)
            die("after rename")

        saving.os.fsync, saving.os.replace = slow_fsync, slow_replace

    return prepare


def reached(folder: Path) -> int:
    """The steps of the best whole checkpoint; 0 where there is none."""
    path = folder / run_folder.CHECKPOINT
    found = [saving._state(p) for p in (path, saving.previous(path))]
    states = [torch.load(io.BytesIO(c), weights_only=True) for c in found if c is not None]
    return max((state["history"]["steps"][-1] for state in states), default=0)


def outcome(folder: Path) -> dict[str, object]:
    """All that a run's folder holds but for how long it took."""
    results = json.loads((folder / run_folder.RESULTS).read_text())
    for timed in ("seconds", "images_per_second", "sha256"):
        results.pop(timed)
    model, metrics = folder / run_folder.MODEL, folder / run_folder.METRICS
    names = sorted(path.name for path in folder.iterdir())
    return {
        "model": model.read_bytes(),
        "metrics": metrics.read_text(),
        "results": results,
        "files": names,
    }


def kill(name: str, kills: int, chance: random.Random, folder: Path) -> Counter:
    """Train ``name`` twice, the second time killed ``kills`` times; where the kills hit."""

    def command(output: str) -> list[str]:
        config, where = str(folder / f"{name}.cfg"), str(folder / f"{name}-{output}")
        options = ["--device", "cpu", "--resume", "--output", where]
        return ["-c", config, "-v", "B-VAE", *options]

    began = time.monotonic()
    assert os.waitpid(started(command("whole")), 0)[1] == 0
    lasts = time.monotonic() - began
    hits: Counter = Counter()
    killed, before = folder / f"{name}-killed", 0
    while sum(hits.values()) < kills:
        place = chance.choice(("any", *PLACES))
        if place == "any":
            pid = started(command("killed"))
            time.sleep(chance.uniform(0, lasts / 4))
            os.kill(pid, signal.SIGKILL)
        else:
            pid = started(command("killed"), killing_at(place, chance.randint(1, 9)))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL), f"{name}: {place}: status {status}"
        now = reached(killed)
        assert now >= before, f"{name}: {place}: back from step {before} to {now}"
        if status == 0:  # it came to its end; killed again from its beginning
            assert outcome(killed) == outcome(folder / f"{name}-whole"), name
            for path in killed.iterdir():
                path.unlink()
            now = 0
        else:
            hits[place] += 1
        before = now
        shown = f"{name}: {sum(hits.values())} of {kills} ({place}, step {now})"
        print(f"\r{shown:60}", end="", file=sys.stderr)
    assert os.waitpid(started(command("killed")), 0)[1] == 0
    assert outcome(killed) == outcome(folder / f"{name}-whole"), name
    return hits


def main(kills: int = 100, seed: int = 0, folder: Path | None = None) -> None:
    torch.set_num_threads(1)  # a fork has one thread, and PyTorch's others would be missed
    os.environ["TQDM_DISABLE"] = "1"
    chance, hits = random.Random(seed), Counter()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a disk would only be slower
    with tempfile.TemporaryDirectory(dir=memory) as temporary:
        folder = folder or Path(temporary)
        make(folder)
        names = list(CONFIGS)[: max(1, kills // 2)]
        for number, name in enumerate(names):
            # what PyTorch imports when it is first asked for a model, the forks have then, too
            from_config.build_model(config.read(folder / f"{name}.cfg"))
            share = kills // len(names) + (number < kills % len(names))
            found = kill(name, share, chance, folder)
            hits += found
            where = ", ".join(f"{place} {count}" for place, count in sorted(found.items()))
            print(f"\r{name}: killed {share} times ({where}); the same bytes", flush=True)
    print(f"{sum(hits.values())} of {kills} kills survived")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:3]]
    main(*numbers, *map(Path, sys.argv[3:4]))

"""Independent runs side by side: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from vaelib.experiments.config import ConfigError

SECONDS = 10  # to wait for a cluster's answer


class JobError(RuntimeError):
    """A run that ended without a result; the message is one line."""


def process_rows(
    run: Callable,
    points: Sequence,
    folder: Path,
    device: str,
    jobs: int,
    log: Callable,
    total: int = 0,
    done: Callable[[], int] = int,
) -> list[dict]:
    """``run(point, folder, device)`` of every point, ``jobs`` at a time; the results in order.

    Meanwhile a bar shows how much of ``total`` is ``done()``.
    Each in a process of its own; an exception, or a signal that stops this one, ends the others at
    once, and so does this one's death: what they have not written they do again with --resume.
    Raises JobError when one of them is killed.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(jobs, len(points)), _context(), _begin) as pool:
        try:
            futures = [pool.submit(run, point, folder, device) for point in points]
            hidden = not total or bool(os.environ.get("TQDM_DISABLE"))
            with tqdm(total=total, unit=" epochs", disable=hidden) as bar:
                return _in_order(points, futures, _as_they_end(futures, bar, done), log)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise JobError(
                    "a process of the sweep was killed, as when memory runs out; --resume goes on"
                ) from None
            raise


def _context() -> BaseContext:
    """How processes begin: on Linux as forks of one that has imported PyTorch and no more.

    The import takes seconds. Elsewhere, where a fork is not safe, each begins on its own.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # the first is what PyTorch imports when it first trains
    context.set_forkserver_preload(["torch._dynamo", "vaelib.experiments.sweep"])
    return context


def _as_they_end(futures: Sequence[Future], bar: tqdm, done: Callable[[], int]) -> Iterator[Future]:
    """Each future when it has ended; until then ``bar`` is brought to ``done()`` every second."""
    left = set(futures)
    while left:
        ended, left = wait(left, timeout=1, return_when=FIRST_COMPLETED)
        bar.update(0 if bar.disable else done() - bar.n)
        yield from ended


def _begin() -> None:
    """One thread a process; Ctrl-C is for the parent, and with the parent this process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TQDM_DISABLE"] = "1"
    import torch

    torch.set_num_threads(1)
    tqdm.set_lock(
        threading.RLock()
    )  # its own is a semaphore, which would be left behind by a process that is ended


def _end_with_parent() -> None:
    """Wait for the parent's end, which may be sudden, and leave at once: nobody would hear more."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def cluster_rows(
    run: Callable, points: Sequence, folder: Path, device: str, address: str, log: Callable
) -> list[dict]:
    """The same on the Dask cluster at ``address``, one thread a worker; the results in order.

    Raises ConfigError, in one line, when `distributed` is not installed, nobody answers, or a
    worker has several threads: a run draws from PyTorch's global random numbers, so it needs a
    process of its own.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise ConfigError('--cluster needs Dask: pip install "vaelib[cluster]"') from None
    try:
        client = Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"--cluster {address}: no Dask scheduler answers there ({reason})"
        ) from None
    with client:
        threads = client.nthreads().values()
        if not threads or max(threads) > 1:
            what = "a worker has several threads" if threads else "there are no workers"
            raise ConfigError(
                f"--cluster {address}: {what}; start them with: dask worker {address} --nthreads 1"
            )
        futures = client.map(
            _quietly, *zip(*((run, point, folder, device) for point in points)), pure=False
        )
        try:
            return _in_order(points, futures, as_completed(futures, loop=client.loop), log)
        except BaseException:
            with contextlib.suppress(Exception):
                client.cancel(futures, force=True)
            raise


def _quietly(run: Callable, *arguments: Any) -> dict:
    """On a worker of a cluster: with one thread and no progress bar."""
    os.environ["TQDM_DISABLE"] = "1"
    import torch

    torch.set_num_threads(1)
    return run(*arguments)


def _in_order(
    points: Sequence, futures: Sequence[Any], done: Iterator[Any], log: Callable
) -> list[dict]:
    """The results in the order of ``points``, each said as it comes; an exception is raised."""
    number, rows = {future: i for i, future in enumerate(futures)}, {}
    for future in done:
        rows[number[future]] = row = future.result()
        log(f"{len(rows)} of {len(points)}: {row['folder']}: {row['status']}")
    return [rows[i] for i in range(len(points))]

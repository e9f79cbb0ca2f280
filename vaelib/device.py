"""The machine that trains: its device, how it computes, what becomes of freed memory."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch
from torch import nn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
GIGABYTE = 2**30


@cache
def keep_heap() -> bool:
    """Tell glibc, once and for the whole process, to keep what is freed; whether that was done.

    By default glibc gives a large block back to the kernel when it is freed, and the kernel hands
    out zeroed pages, one page fault each 4 kB, when the next step asks for the same block again.
    Kept, the memory of the process stays at its peak. Nothing is done where the C library is
    another one, or the environment sets VAELIB_KEEP_HEAP to 0. Source: mallopt(3), M_MMAP_THRESHOLD
    and M_TRIM_THRESHOLD.
    """
    if os.environ.get("VAELIB_KEEP_HEAP") == "0" or not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    options = M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
    return all(libc.mallopt(option, GIGABYTE) == 1 for option in options)


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device meant by ``device``; "auto" is CUDA where there is one, else the CPU.

    Raises ValueError for what is the name of none.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        what = 'device must be "auto", or what torch.device takes: "cpu", "cuda", "cuda:1", "mps"'
        raise ValueError(f"{what}; got {device!r}") from None


def physical_memory() -> int:
    """The machine's memory in bytes; 2^62 where it can't be asked for."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 2**62


def free_memory() -> int:
    """The bytes that can still be had before the system ends a process to get them.

    Linux says so, and in a container what its limit is; elsewhere it is `physical_memory`.
    """
    free = physical_memory()
    with suppress(OSError, AttributeError):
        text = Path("/proc/meminfo").read_text()
        free = 1024 * int(re.search(r"^MemAvailable: +(\d+) kB", text, re.M).group(1))  # type: ignore[union-attr]
    with suppress(OSError, ValueError):  # "max" without a limit
        free = min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return free


@contextmanager
def deterministic() -> Iterator[None]:
    """Inside, a GPU's convolutions use only algorithms that give the same numbers each time."""
    before, torch.backends.cudnn.deterministic = torch.backends.cudnn.deterministic, True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside, ``model`` is in evaluation mode and keeps no gradients; after it, as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)

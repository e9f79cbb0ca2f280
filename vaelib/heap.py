"""`keep_heap`: memory that a training step has freed stays with the process, and the next step finds it there."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
GIGABYTE = 2**30


@cache
def keep_heap() -> bool:
    """Tell glibc, once and for the whole process, to keep what is freed; whether that was done.

    By default glibc gives a large block back to the kernel when it is freed, and the kernel hands out zeroed pages, one
    page fault each 4 kB, when the next step asks for the same block again. Kept, the memory of the process stays at its
    peak. Nothing is done where the C library is another one, or the environment sets VAELIB_KEEP_HEAP to 0.
    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    if os.environ.get("VAELIB_KEEP_HEAP") == "0" or not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return all(libc.mallopt(option, GIGABYTE) == 1 for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))

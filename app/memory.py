"""L1: what a process is done with goes back to the system.

argon2 takes megabytes for each PIN and gives them back at once. glibc takes that for a habit: after
the first one it keeps blocks of that size in the heap of each thread, and a web process of sixteen
threads grew by 60 MB. With a threshold that is set, larger blocks are mapped one by one and
unmapped when they are free (mallopt(3), M_MMAP_THRESHOLD).
"""

from __future__ import annotations

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3
MAPPED_BYTES = 1 << 20


def keep_no_large_blocks() -> None:
    """For a process of many threads, at its start; without glibc nothing happens."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)

"""What a machine may or may not let us do; whoever asks says aloud what it does not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES, _SHARED = Path("/usr/lib"), Path("/dev/shm")
_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
_MOUNT_SECONDS = 10.0
BALLAST = "ballast"
LARGEST_PIECE, SMALLEST_PIECE = 64 * 1024 * 1024, 4096


@dataclass(frozen=True)
class Absent:
    """Why something cannot be had here, in a sentence."""

    why: str


def clock_library() -> Path | Absent:
    """libfaketime, in its form for threads."""
    found = sorted(_LIBRARIES.glob("*/faketime/libfaketimeMT.so.1"))
    return found[0] if found else Absent("libfaketime is not installed (Debian: libfaketime)")


def clock_environment(library: Path, seconds: float) -> Mapping[str, str]:
    """For a program whose clock is so far ahead. Only its clock: waits and files keep their own."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{seconds:+.1f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def forget_clocks() -> None:
    """Delete what the library kept in shared memory for processes that were killed."""
    for kept in (*_SHARED.glob("faketime_shm_*"), *_SHARED.glob("sem.faketime_sem_*")):
        pid = kept.name.rpartition("_")[2]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            kept.unlink(missing_ok=True)


@contextmanager
def small_disk(mebibytes: int) -> Iterator[Path | Absent]:
    """A file system in memory with so much room, seen by this process and those it starts alone:
    it goes with the last of them, however they end. Only before any thread was started.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        absent = _mount(Path(folder), mebibytes)
        if absent:
            yield absent
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(("umount", "--lazy", folder), timeout=_MOUNT_SECONDS, check=True)


def _mount(folder: Path, mebibytes: int) -> Absent | None:
    if os.geteuid() != 0:
        return Absent("only root may mount a small disk")
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_NEW_MOUNTS) != 0:
        return Absent(f"no mounts of our own are allowed ({os.strerror(ctypes.get_errno())})")
    for command in (
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "storm", str(folder)),
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MOUNT_SECONDS)
        if done.returncode != 0:
            return Absent(f"a small disk cannot be mounted ({done.stderr.strip()})")
    return None


def fill(folder: Path) -> None:
    """Take every byte of the room in `folder`, with a file named BALLAST."""
    taken, piece = 0, LARGEST_PIECE
    with (folder / BALLAST).open("wb") as ballast:
        while piece >= SMALLEST_PIECE:
            try:
                os.posix_fallocate(ballast.fileno(), taken, piece)
                taken += piece
            except OSError:  # no room for so much
                piece //= 2

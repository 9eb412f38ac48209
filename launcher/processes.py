"""Starting processes on a leash and ending them with everything they started.

1. Every process we start leads a session of its own, so a Ctrl-C in the terminal reaches only us
   and we decide the order of the end.
2. A grandchild may form a process group of its own (RQ's work horse does), but it stays in the
   session; so what is ended is the session, found in the process table, not the group.
3. When we die without a word (kill -9), the kernel signals what we started. That is a Linux
   feature; elsewhere the next start copes with what is left over.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
KILL_WAIT_SECONDS = 5.0
STRANGER_SECONDS = 15.0
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_TABLE = Path("/proc")


@dataclass(frozen=True)
class Account:
    """Another user of this system, who runs the servers when we are root."""

    name: str
    uid: int
    gid: int


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: int | IO[bytes],
    account: Account | None = None,
    at_our_death: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `argv` without a shell, in a session of its own, with our umask closed to others.

    `output` takes both its standard output and error. Raises OSError when it cannot be started.
    """
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
        preexec_fn=_leash(at_our_death),  # noqa: PLW1509 - it takes no lock and allocates nothing
    )


def _leash(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec so that it cannot outlive us.

    The kernel watches the thread that forked, so from another thread than the main one there is
    no leash: it would pull when that thread ends.
    """
    libc, parent = _LIBC, os.getpid()
    if libc is None or threading.current_thread() is not threading.main_thread():
        return None

    def bind() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # we died before the kernel knew about the leash
            os._exit(1)

    return bind


def follow_parent() -> None:
    """Ask the kernel to send us SIGTERM when the process that started us dies."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


@dataclass(frozen=True)
class Row:
    """One line of the process table."""

    pid: int
    state: str
    parent: int
    session: int


def process_table() -> Iterator[Row]:
    """Every process of this system; nothing where there is no /proc."""
    for folder in _TABLE.iterdir() if _TABLE.is_dir() else ():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_bytes()
        except OSError:  # it ended while we looked
            continue
        # The name stands in parentheses and may itself contain spaces and parentheses.
        state, parent, _group, session = stat.rpartition(b")")[2].split()[:4]
        yield Row(int(folder.name), state.decode(), int(parent), int(session))


def command_line(pid: int) -> list[str]:
    """The arguments of a process, or [] when it is gone or the system does not tell."""
    try:
        line = (_TABLE / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(argument) for argument in line.split(b"\0")[:-1]]


def kill_marked(variable: str, value: str) -> int:
    """SIGKILL every process whose environment has `variable` at `value`. How many there were."""
    wanted = os.fsencode(f"{variable}={value}")
    marked = [row.pid for row in process_table() if wanted in _environment(row.pid)]
    for pid in marked:
        send_signal(pid, signal.SIGKILL)
    for pid in marked:
        wait_until_gone(pid, KILL_WAIT_SECONDS)
    return len(marked)


def _environment(pid: int) -> list[bytes]:
    """What a process was started with; [] when it is gone or belongs to somebody else."""
    try:
        return (_TABLE / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def kill_session(leader: int) -> None:
    """SIGKILL every process of the session that `leader` leads or led."""
    until = time.monotonic() + KILL_WAIT_SECONDS
    _signal_group(leader, signal.SIGKILL)
    while time.monotonic() < until:
        members = [row.pid for row in process_table() if row.session == leader and row.state != "Z"]
        if not members:
            return
        for pid in members:
            send_signal(pid, signal.SIGKILL)
        time.sleep(0.01)


def kill_family(parent: int) -> None:
    """SIGKILL a process and its direct children, as one blow: it is frozen first so that it can
    neither start another child nor notice that one is gone. (PostgreSQL's backends each lead a
    session, so the session does not hold them.)
    """
    send_signal(parent, signal.SIGSTOP)
    children = [row.pid for row in process_table() if row.parent == parent]
    for pid in (parent, *children):
        send_signal(pid, signal.SIGKILL)


def send_signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        return


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has ended, without reaping it: until it is reaped its number, and so
    its session's, cannot be given to anybody else.
    """
    if process.returncode is not None:
        return True
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return ended is not None


def wait_until_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the end, at most `seconds`. True when it has ended."""
    until = time.monotonic() + seconds
    while not has_ended(process):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that is not our child. True when it is gone."""
    until = time.monotonic() + seconds
    while any(row.pid == pid and row.state != "Z" for row in process_table()):
        if time.monotonic() >= until:
            return False
        time.sleep(0.05)
    return True


def end_stranger(pid: int, *ladder: signal.Signals) -> None:
    """End a process that is not our child by ever stronger signals, each given its time."""
    for number in ladder:
        send_signal(pid, number)
        if wait_until_gone(pid, STRANGER_SECONDS):
            return


def bury(process: subprocess.Popen[bytes]) -> int:
    """End whatever is left of the process and its session, reap it, and give its exit status."""
    kill_session(process.pid)
    return process.wait(KILL_WAIT_SECONDS)

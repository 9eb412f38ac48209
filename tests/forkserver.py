"""Our own programs as processes forked from one that has imported everything.

A run of all tests starts some hundred processes, and each would spend a second or two of a core on
imports before it does anything. Here one server, that of `multiprocessing`, imports once; a program
begins where its own code begins, with an environment, a folder, standard streams and a session of
its own. tests/test_launcher.py and tests/system/test_start_refusals.py start the same programs from
nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# What programs import. A module that is run by its name itself must not be here.
IMPORTED = (
    "app.factory",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "rq.cron",
    "sandbox",
    "sqlalchemy.dialects.postgresql.psycopg",
    "tests.forkserver",
    "workers.heartbeat",
    "workers.jobs",
    "workers.process",
    "workers.worker",
)
BEGIN_SECONDS = 30.0

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(IMPORTED))


class Forked:
    """A running program, with what of `subprocess.Popen` is needed."""

    def __init__(self, process: ForkServerProcess, command: Sequence[str]) -> None:
        self._process, self._command = process, command
        assert process.pid is not None
        self.pid: int = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        """The exit code, minus the signal's number after a signal. Raises TimeoutExpired."""
        self._process.join(seconds)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._command, seconds or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: Path = Path(os.devnull),
    stdout: Path,
    stderr: Path,
) -> Forked:
    """A Python program, as `(sys.executable, "-m", …)` or as a script; it leads its own session.

    What it writes is appended to the files.
    """
    streams = (stdin, stdout, stderr)
    process = _context.Process(
        target=_run, args=(tuple(command), str(cwd), dict(env), streams), daemon=True
    )
    process.start()
    running = Forked(process, command)
    _wait_for_session(running)
    return running


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], typed: str = "", seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with what is `typed` as its input. Raises TimeoutExpired."""
    with tempfile.TemporaryDirectory() as folder:
        stdin, stdout, stderr = (Path(folder, name) for name in ("stdin", "stdout", "stderr"))
        stdin.write_text(typed)
        running = start(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            code = running.wait(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        said = (stdout.read_text(), stderr.read_text())
    return subprocess.CompletedProcess(command, code, *said)


def _wait_for_session(running: Forked) -> None:
    """Until the process leads its own group: only then can it be killed with all its children."""
    deadline = time.monotonic() + BEGIN_SECONDS
    while running.poll() is None and os.getpgid(running.pid) != running.pid:
        assert time.monotonic() < deadline, "the fork server does not fork"
        time.sleep(0.001)


def _run(
    command: tuple[str, ...], cwd: str, env: dict[str, str], streams: tuple[Path, Path, Path]
) -> None:
    """In the new process: become the program."""
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    _connect(*streams)
    program, *arguments = command
    if program != sys.executable:
        sys.argv = [program, *arguments]
        runpy.run_path(program, run_name="__main__")
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        assert arguments[0] == "-c"
        sys.argv = arguments[1:]
        exec(arguments[1], {"__name__": "__main__"})


def _connect(stdin: Path, stdout: Path, stderr: Path) -> None:
    """Put the files in the place of the standard streams."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, descriptor in enumerate(
        (os.open(stdin, os.O_RDONLY), os.open(stdout, flags, 0o600), os.open(stderr, flags, 0o600))
    ):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)

"""What the embedded PostgreSQL and Redis have in common: start, readiness, stop, kill."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import ClassVar

from launcher import processes
from launcher.errors import CannotStartError
from launcher.places import Places
from launcher.programs import Programs

READY_SECONDS = 120.0  # recovery after a crash replays at most 2 GB of WAL
RETRY_SECONDS = 0.3
POLL_SECONDS = 0.02
LOG_MAX_BYTES = 10_000_000
# Nothing of the caller's environment: PGPORT, PGDATA or a locale there would change the servers.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def never_stop() -> None:
    """The `check` of callers whom nobody asks to stop."""


class EmbeddedServer(ABC):
    """One server process over a folder of data.

    The methods are for one thread at a time. Started from another thread than the main one, the
    server is not on the kernel's leash (see `processes`).
    """

    title: ClassVar[str]
    stop_ladder: ClassVar[tuple[tuple[signal.Signals, float], ...]]
    at_our_death: ClassVar[signal.Signals]
    # Words of refusals that are about the past run, after which another try may succeed.
    passing_refusals: ClassVar[tuple[str, ...]] = ()

    def __init__(self, places: Places, programs: Programs, name: str) -> None:
        self.places = places
        self.programs = programs
        self.log = places.log / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @abstractmethod
    def _argv(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def _folder(self) -> Path:
        """The server's working folder."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves by now. Raises nothing."""

    @abstractmethod
    def _prepare(self) -> None:
        """What has to be right before each try to start."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and not processes.has_ended(self._process)

    def launch(self) -> None:
        """Start the process without waiting. Raises CannotStartError."""
        if self.running:
            return
        self._reap()
        try:
            self._prepare()
            with self._open_log() as log:
                self._process = processes.spawn(
                    self._argv(),
                    cwd=self._folder(),
                    env=ENVIRONMENT,
                    output=log,
                    account=self.places.account,
                    at_our_death=self.at_our_death,
                )
        except OSError as error:
            raise self._cannot_be_executed(error) from error

    def start(
        self, check: Callable[[], None] = never_stop, ready_seconds: float = READY_SECONDS
    ) -> None:
        """Start and wait until it serves. Raises CannotStartError, and whatever `check` raises."""
        until = time.monotonic() + ready_seconds
        self.launch()
        while not self._answers():
            check()
            if not self.running:
                words = self.last_words()
                passing = any(refusal in words for refusal in self.passing_refusals)
                if not passing or time.monotonic() > until:
                    raise CannotStartError(
                        f"{self.title} does not start: {words} (log: {self.log})"
                    )
                time.sleep(RETRY_SECONDS)
                self.launch()
            if time.monotonic() > until:
                self.kill()
                raise CannotStartError(
                    f"{self.title} was not ready after {ready_seconds:.0f} s (log: {self.log})."
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """An orderly end, by ever stronger signals; bounded."""
        for number, seconds in self.stop_ladder:
            if not self.running or self._process is None:
                break
            processes.send_signal(self._process.pid, number)
            if processes.wait_until_ended(self._process, seconds):
                break
        self.kill()

    def kill(self) -> None:
        """kill -9 of the server and all its processes; nothing if it does not run."""
        if self._process is not None and self.running:
            processes.kill_family(self._process.pid)
            processes.wait_until_ended(self._process, processes.KILL_WAIT_SECONDS)
        self._reap()

    def restart(self) -> None:
        self.stop()
        self.start()

    def last_words(self) -> str:
        """The reason that the server gave in its log since it was started, or its last line."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read(LOG_MAX_BYTES).decode(errors="replace").splitlines()
        reasons = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line]
        return next(iter(reasons or lines[-1:]), "it said nothing").strip()

    def _reap(self) -> None:
        if self._process is not None:
            processes.bury(self._process)
            self._process = None

    def _open_log(self) -> FileIO:
        """The log to append to; what is said from now on are the `last_words`."""
        too_long = self.log.exists() and self.log.stat().st_size > LOG_MAX_BYTES
        log = FileIO(self.log, "wb" if too_long else "ab")
        self._log_start = log.seek(0, os.SEEK_END)
        return log

    def _cannot_be_executed(self, error: OSError) -> CannotStartError:
        account = self.places.account
        if account is None:
            return CannotStartError(f"{self.title} cannot be started: {error}.")
        return CannotStartError(
            f"PostgreSQL refuses to run as root, so the servers run as user `{account.name}` from "
            f"{self.places.base}, and {self.title} cannot be started that way ({error.strerror}): "
            "run this as an ordinary user instead."
        )

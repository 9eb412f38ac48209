"""One supervised process: its lines, its end, and when it may start again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launcher import processes
from launcher.terminal import Terminal

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
READ_BYTES = 65536
LINE_MAX_BYTES = 16384
LAST_READS = 64


@dataclass
class Backoff:
    """How long to wait before the next start: twice as long each time, at most 30 s, and from the
    beginning again after a minute of life.
    """

    _delay_seconds: float = FIRST_DELAY_SECONDS

    def after(self, lived_seconds: float) -> float:
        """Seconds to wait now that a life of `lived_seconds` is over."""
        if lived_seconds >= HEALTHY_SECONDS:
            self._delay_seconds = FIRST_DELAY_SECONDS
        delay = self._delay_seconds
        self._delay_seconds = min(delay * 2, LONGEST_DELAY_SECONDS)
        return delay


@dataclass
class Child:
    """A process that is started again whenever it ends."""

    name: str
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    terminal: Terminal
    process: subprocess.Popen[bytes] | None = None
    due_at: float = 0.0
    _born_at: float = 0.0
    _backoff: Backoff = field(default_factory=Backoff)
    _unfinished: bytes = b""

    @property
    def output(self) -> int | None:
        """The descriptor that its lines come from while it lives."""
        stdout = None if self.process is None else self.process.stdout
        return None if stdout is None or stdout.closed else stdout.fileno()

    def start(self) -> None:
        """Start it now, or note when to try again."""
        self._born_at = time.monotonic()
        try:
            self.process = processes.spawn(
                self.argv, cwd=self.cwd, env=self.env, output=subprocess.PIPE
            )
        except OSError as error:
            self._again(f"cannot be started ({error})")
            return
        if self.output is not None:
            os.set_blocking(self.output, False)

    def ended(self) -> bool:
        return self.process is not None and processes.has_ended(self.process)

    def read(self) -> bool:
        """Show the whole lines that have come, a line without end cut at its bound. False when
        there is nothing to read now.
        """
        if self.output is None:
            return False
        try:
            chunk = os.read(self.output, READ_BYTES)
        except BlockingIOError:
            return False
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        if len(self._unfinished) > LINE_MAX_BYTES:
            lines.append(self._unfinished)
            self._unfinished = b""
        self._show(lines)
        if not chunk:
            self._close_output()
        return bool(chunk)

    def ask_to_end(self) -> None:
        """SIGTERM to the process alone: it knows best how its own children end."""
        if self.process is not None and not self.ended():
            processes.send_signal(self.process.pid, signal.SIGTERM)

    def bury(self) -> int:
        """End what is left of its session and show its last lines. Its exit status."""
        if self.process is None:
            return 0
        status = processes.bury(self.process)
        for _ in range(LAST_READS):
            if not self.read():
                break
        self._close_output()
        self.process = None
        return status

    def bury_and_plan(self) -> None:
        """It ended by itself: note when it is due again."""
        status = self.bury()
        self._again(f"killed by signal {-status}" if status < 0 else f"ended with status {status}")

    def _close_output(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        if self._unfinished:
            self._show([self._unfinished])
            self._unfinished = b""

    def _show(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self.terminal.line(self.name, line.decode(errors="replace").rstrip("\r"))

    def _again(self, what: str) -> None:
        delay = self._backoff.after(time.monotonic() - self._born_at)
        self.due_at = time.monotonic() + delay
        self.terminal.say(f"{self.name} {what}; again in {delay:g} s")

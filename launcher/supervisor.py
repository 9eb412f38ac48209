"""Keeps the processes of a run, and its servers, alive until told to stop.

One thread, one loop: read output, look for the dead, start what is due. The order of the end is
fixed: first everything that talks to the servers, then the servers.
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from launcher.children import Backoff, Child
from launcher.embedded import EmbeddedServer
from launcher.errors import CannotStartError, StopAskedError
from launcher.terminal import Terminal

TICK_SECONDS = 0.1
GRACE_SECONDS = 10.0


class StopRequest:
    """Ctrl-C, SIGTERM or a closed terminal. A second one means: now."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # `nohup make run` outlives its terminal
            signal.signal(number, self._noted)

    def ask(self) -> None:
        self.count += 1

    def check(self) -> None:
        """Raises StopAskedError once somebody asked."""
        if self.count:
            raise StopAskedError

    def _noted(self, _number: int, _frame: FrameType | None) -> None:
        self.ask()


@dataclass
class KeptServer:
    """A server of ours and when it may be started again."""

    server: EmbeddedServer
    due_at: float = 0.0
    born_at: float = field(default_factory=time.monotonic)
    backoff: Backoff = field(default_factory=Backoff)
    noticed: bool = False


class Supervisor:
    """Runs children over servers that are already up."""

    def __init__(
        self,
        children: Sequence[Child],
        servers: Sequence[EmbeddedServer],
        terminal: Terminal,
        stop: StopRequest,
    ) -> None:
        self._children = children
        self._servers = [KeptServer(server) for server in servers]
        self._terminal = terminal
        self._stop = stop

    def run(self, each_tick: Callable[[], None]) -> None:
        """Until somebody asks to stop; then end the children. `each_tick` must be quick."""
        try:
            while not self._stop.count:
                self._revive_servers()
                self._start_due_children()
                self._read(TICK_SECONDS)
                self._bury_the_dead()
                each_tick()
        finally:
            self._end()

    def _start_due_children(self) -> None:
        for child in self._children:
            if child.process is None and time.monotonic() >= child.due_at:
                child.start()

    def _read(self, seconds: float) -> None:
        """Wait for output, at most `seconds`, and show it."""
        with selectors.DefaultSelector() as selector:
            for child in self._children:
                if child.output is not None:
                    selector.register(child.output, selectors.EVENT_READ, child)
            for key, _events in selector.select(seconds):
                key.data.read()

    def _bury_the_dead(self) -> None:
        for child in self._children:
            if child.ended():
                child.bury_and_plan()

    def _revive_servers(self) -> None:
        """Start a server that died, without waiting for it: the processes reconnect."""
        now = time.monotonic()
        for kept in self._servers:
            if kept.server.running:
                continue
            if not kept.noticed:
                delay = kept.backoff.after(now - kept.born_at)
                kept.due_at, kept.noticed = now + delay, True
                self._terminal.say(f"{kept.server.title} is gone; again in {delay:g} s")
            elif now >= kept.due_at:
                kept.born_at, kept.noticed = now, False
                try:
                    kept.server.launch()
                except CannotStartError as error:
                    self._terminal.say(str(error))

    def _end(self) -> None:
        """SIGTERM, ten seconds, SIGKILL."""
        living = [child for child in self._children if child.process is not None]
        self._terminal.say(f"stopping {len(living)} processes…")
        for child in living:
            child.ask_to_end()
        asked, until = self._stop.count, time.monotonic() + GRACE_SECONDS
        while any(not child.ended() for child in living):
            if time.monotonic() >= until or self._stop.count > asked:
                late = [child.name for child in living if not child.ended()]
                self._terminal.say(f"killing {', '.join(late)}")
                break
            self._read(TICK_SECONDS)
        for child in living:
            child.bury()

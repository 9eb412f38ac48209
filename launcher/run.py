"""`python -m launcher run`: from the check of the ports to "ready", then supervise."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from launcher import places as ours
from launcher import processes, procfile, settings
from launcher.children import Child
from launcher.errors import CannotStartError, StopAskedError
from launcher.places import Places
from launcher.readiness import LOOPBACK, Readiness
from launcher.servers import Servers
from launcher.settings import Settings
from launcher.supervisor import StopRequest, Supervisor
from launcher.terminal import Terminal

ONCE_SECONDS = 600.0
STILL_SECONDS = 5.0
POLL_SECONDS = 0.2
SEED = ("flask", "--app", "app.factory", "seed", "demo")
SANDBOX = ("python", "-m", "sandbox")
PROGRAMS = Path(sys.executable).parent


def run(project: Path) -> int:
    """Run the project in `project` until told to stop. Raises CannotStartError."""
    terminal, stop = Terminal(), StopRequest()
    stop.listen()
    terminal.on_closed = stop.ask
    if "MAKELEVEL" in os.environ:
        processes.follow_parent()
    places = ours.for_project(project)
    with ours.claimed(places) as claim:
        asked = settings.from_environment(os.environ, places.sandbox, project)
        entries = procfile.read(project / "Procfile")
        with suppress(StopAskedError):
            if claim.after_crash:
                _end_leftovers(places, terminal)
            _check_ports(asked)
            _Run(project, places, asked, entries, terminal, stop).go()
        terminal.step("stopped; nothing is left running")
    return 0


class _Run:
    """One run, with everything that its steps share."""

    def __init__(
        self,
        project: Path,
        places: Places,
        asked: Settings,
        entries: Mapping[str, list[str]],
        terminal: Terminal,
        stop: StopRequest,
    ) -> None:
        self._project = project
        self._places = places
        self._asked = asked
        self._entries = entries
        self._terminal = terminal
        self._stop = stop

    def go(self) -> None:
        servers = self._embedded()
        try:
            if servers is not None:
                self._start(servers)
            environment = settings.with_servers(self._asked, servers)
            file = settings.write_file(self._project, environment, os.environ)
            try:
                self._serve(servers, settings.for_processes(environment, PROGRAMS, self._places))
            finally:
                file.unlink(missing_ok=True)
        finally:
            if servers is not None:
                servers.stop()

    def _embedded(self) -> Servers | None:
        if self._asked.own_database and self._asked.own_redis:
            return None
        archive = self._asked.environment.get("WAL_ARCHIVE")
        return Servers(self._places, archive=Path(archive).resolve() if archive else None)

    def _start(self, servers: Servers) -> None:
        if not self._asked.own_database and not self._places.postgres.exists():
            self._terminal.say("creating the database cluster…")
        servers.start(
            _Patience(self._terminal, self._stop, "waiting for the servers"),
            postgres=not self._asked.own_database,
            redis=not self._asked.own_redis,
        )
        if not self._asked.own_database:
            servers.postgres.have_database(self._asked.market.database)
        self._terminal.step(f"{' and '.join(s.title for s in servers.started)} up")

    def _serve(self, servers: Servers | None, env: dict[str, str]) -> None:
        release = self._entries.get(procfile.RELEASE)
        if release is not None:
            self._once("migrate", release, env)
        if self._asked.demo:
            self._once("seed", list(SEED), env)
        entries = {name: argv for name, argv in self._entries.items() if name != procfile.RELEASE}
        if self._asked.demo:
            entries["sandbox"] = list(SANDBOX)
        children = [
            Child(name, procfile.resolved(argv, PROGRAMS), self._project, env, self._terminal)
            for name, argv in entries.items()
        ]
        supervisor = Supervisor(
            children, [] if servers is None else servers.started, self._terminal, self._stop
        )
        supervisor.run(Readiness(self._asked, self._terminal).look)

    def _once(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        """Run one command to its end. Raises CannotStartError when it fails or does not end."""
        self._terminal.say(f"{name}…")
        child = Child(name, procfile.resolved(argv, PROGRAMS), self._project, env, self._terminal)
        status = run_to_end(child, _Patience(self._terminal, self._stop, f"still at {name}"))
        if status != 0:
            raise CannotStartError(
                f"{name} ended with status {status} for the reason above, so the run ends here."
            )
        self._terminal.step(f"{name} done")


class _Patience:
    """Called while waiting: stops when asked to, and says every few seconds that it still waits."""

    def __init__(self, terminal: Terminal, stop: StopRequest, text: str) -> None:
        self._terminal = terminal
        self._stop = stop
        self._text = text
        self._said_at = time.monotonic()

    def __call__(self) -> None:
        self._stop.check()
        if time.monotonic() - self._said_at >= STILL_SECONDS:
            self._said_at = time.monotonic()
            self._terminal.step(f"{self._text}…")


def run_to_end(child: Child, patience: _Patience) -> int:
    """Run a child once, showing its lines. Its exit status; 1 when it cannot be started."""
    until = time.monotonic() + ONCE_SECONDS
    try:
        child.process = processes.spawn(
            child.argv, cwd=child.cwd, env=child.env, output=subprocess.PIPE
        )
    except OSError as error:
        raise CannotStartError(f"{child.argv[0]} cannot be started: {error}.") from error
    try:
        while not child.ended() and time.monotonic() < until:
            with selectors.DefaultSelector() as selector:
                if child.output is not None:
                    selector.register(child.output, selectors.EVENT_READ)
                if selector.select(POLL_SECONDS):
                    child.read()
            patience()
    finally:
        status = child.bury()
    return status


def _end_leftovers(places: Places, terminal: Terminal) -> None:
    """End what a killed run left behind; it may still hold the ports. (Its servers end by their
    own rules, see `postgres`.)
    """
    count = processes.kill_marked(settings.MARK, str(places.base))
    if count:
        terminal.say(f"the last run was killed; ended {count} processes that it left behind")


def _check_ports(asked: Settings) -> None:
    """Raises CannotStartError for a port that is taken, before anything was started."""
    ports = [("PORT", asked.port, asked.port)]
    if asked.demo:
        own = (asked.sandbox_port, *asked.biller_ports)
        ports += [("SANDBOX_PORT", asked.sandbox_port, port) for port in own]
    for name, first, port in ports:
        refusal = _port_refusal(port)
        if refusal is not None:
            other = f"`{name}={first + 100} make run`"
            raise CannotStartError(f"Port {port} {refusal}: choose another one, e.g. {other}.")


def _port_refusal(port: int) -> str | None:
    """Why we cannot listen there; None when we can."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken by another program"
            return f"cannot be used ({error.strerror})"
    return None

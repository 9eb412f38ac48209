"""The embedded Redis: an append-only file, nothing evicted, one socket."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from launcher import processes
from launcher.embedded import EmbeddedServer
from launcher.places import Places, make_folder
from launcher.programs import Programs

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "save": "",
    "daemonize": "no",
}


class Redis(EmbeddedServer):
    """Redis over a folder of its own, so that several can run in the same places."""

    title = "Redis"
    stop_ladder: ClassVar[tuple[tuple[signal.Signals, float], ...]] = ((signal.SIGTERM, 5.0),)
    at_our_death = signal.SIGTERM

    def __init__(self, places: Places, programs: Programs, name: str = "redis") -> None:
        super().__init__(places, programs, name)
        self._data = places.base / name
        self.socket = places.sockets / f"{name}.sock"

    def url(self, database: int = 0) -> str:
        return f"unix://{quote(str(self.socket))}?db={database}"

    def _prepare(self) -> None:
        make_folder(self._data, 0o700, self.places.account)
        self._end_orphan()
        self.socket.unlink(missing_ok=True)

    def _end_orphan(self) -> None:
        """End a server of ours that lost its launcher and has not finished yet: Redis does not
        lock its data, and on its way out it would delete the new server's socket.
        """
        for row in processes.process_table():
            line = " ".join(processes.command_line(row.pid))
            if line.startswith(str(self.programs.redis)) and str(self.socket) in line:
                processes.end_stranger(row.pid, signal.SIGTERM, signal.SIGKILL)

    def _argv(self) -> list[str]:
        argv = [str(self.programs.redis)]
        for name, value in {**SETTINGS, "unixsocket": str(self.socket)}.items():
            argv += [f"--{name}", value]
        return argv

    def _folder(self) -> Path:
        return self._data

    def _answers(self) -> bool:
        """PING by hand: while the append-only file loads, Redis answers -LOADING."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(2.0)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

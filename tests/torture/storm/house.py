"""The system of a storm: each of its processes, servers and links can be hurt.

1. What should be up and has ended is started again within a second or two, as a supervisor would.
   Who died at a failpoint is not armed again; a failpoint that was not reached stays for the next
   start of its process.
2. The servers are killed and started by the main thread only (see `launcher.embedded`).
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from launcher import processes
from launcher.embedded import EmbeddedServer
from launcher.postgres import APPLICATION, OWNER
from launcher.servers import Servers
from tests.torture.storm.linked import PLAIN, PROGRAMS, SERVERS, LinkedWorld, Orders

USSD_PATH = "/callbacks/africastalking/ussd"
ENDS_FILE = "ends.jsonl"
KEEPER_SECONDS = 0.2
AGAIN_SECONDS = 1.0  # between two starts of a process that ends by itself


class House:
    """A running system. `folder` takes the logs, the sandbox's journals and what the storm wrote.

    `callback_url`: where phones post their hops, `?token=demo` still to be added. `parts`: the
    product's own parts over direct connections, for judging and for making people.
    """

    def __init__(self, folder: Path, servers: Servers, market: Path) -> None:
        self.folder, self.servers = folder, servers
        self.world = LinkedWorld(
            folder,
            servers.url(APPLICATION),
            servers.url(OWNER),
            servers.redis_url,
            market=str(market),
            extra={"WEB_WORKERS": "2"},
        )
        self.world.open_links(servers)
        self.callback_url = f"http://127.0.0.1:{self.world.port_of('phones-web')}{USSD_PATH}"
        self.parts = self._parts()
        self.reached: list[str] = []  # failpoints at which somebody died
        self._waiting: dict[str, list[str]] = {}  # failpoints that were not reached yet
        self._orders: dict[str, Orders] = {}
        self._launched: dict[str, float] = {}
        self._deaths = 0  # children that the web had lost when it was armed
        self._frozen: dict[str, list[int]] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def open(self) -> None:
        """Start everything, wait until the web is ready, and keep it all up from now on."""
        self.start(*PROGRAMS)
        self.world.wait_ready()
        self._keeper.start()

    def close(self) -> None:
        """End every process, the links last; the servers are the caller's."""
        self._closing.set()
        if self._keeper.ident is not None:
            self._keeper.join(5)
        with self._lock:
            for name in list(self._frozen):
                self.go_on(name)
            self.world.stop()
        self.parts.db.dispose()
        self.world.links.stop()

    def start(self, *names: str, orders: Orders = PLAIN) -> None:
        """Start processes and servers; the keeper has them up from now on."""
        for name in names:
            if name in SERVERS:
                self._server(name).start()
                continue
            with self._lock:
                self._orders[name] = self._armed(name, orders)
                self._launch(name)

    def kill(self, *names: str) -> None:
        """kill -9 of processes with all that they started, and of servers; they stay down."""
        for name in names:
            self._frozen.pop(name, None)
            if name in SERVERS:
                self._server(name).kill()
                continue
            with self._lock:
                self._orders.pop(name, None)
                self.world.kill(name)

    def end(self, name: str) -> None:
        """An orderly end of a server."""
        self._server(name).stop()

    def kill_one(self, name: str, *, child: bool) -> bool:
        """kill -9 of a master alone, or of one of its children; False when there is none."""
        with self._lock:
            pid = self.world.pid(name)
            chosen = next(iter(_children(pid)), 0) if child else pid
            self._deaths += child  # by us, and at no failpoint
        if chosen:
            processes.send_signal(chosen, signal.SIGKILL)
        return bool(chosen)

    def freeze(self, name: str) -> None:
        """SIGSTOP to a process or a server, and to all that it started."""
        pid = self._server(name).pid if name in SERVERS else self.world.pid(name)
        assert pid is not None, f"{name} does not run"
        processes.send_signal(pid, signal.SIGSTOP)
        self._frozen[name] = [pid, *_children(pid)]
        _signal_all(self._frozen[name], signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """SIGCONT to all that was frozen under this name."""
        _signal_all(reversed(self._frozen.pop(name, [])), signal.SIGCONT)

    def disarm(self) -> None:
        """Start anew who still waits to die at a failpoint."""
        with self._lock:
            self._waiting.clear()
            for name in [one for one, orders in self._orders.items() if orders.failpoint]:
                self.kill(name)
                self.start(name)

    def is_kept(self, name: str) -> bool:
        """Whether the keeper has the process up."""
        with self._lock:
            return name in self._orders

    def has_clock(self, name: str) -> bool:
        """Whether a process still runs by another clock."""
        with self._lock:
            return bool(self._orders[name].library)

    def _server(self, name: str) -> EmbeddedServer:
        return self.servers.postgres if name == "postgres" else self.servers.redis

    def _keep(self) -> None:
        while not self._closing.wait(KEEPER_SECONDS):
            with self._lock:
                for name in list(self._orders):
                    if not self.world.running(name):
                        self._again(name)
                    elif name == "web" and self._died_armed():
                        self.world.kill(name)  # else its new children die as well
                        self._again(name)

    def _died_armed(self) -> bool:
        """Whether the web, armed, lost a child."""
        return bool(self._orders["web"].failpoint) and self.world.deaths("web") > self._deaths

    def _again(self, name: str) -> None:
        """Start what has ended, unless it was started just now."""
        if time.monotonic() - self._launched[name] < AGAIN_SECONDS:
            return
        orders, code = self._orders[name], self.world.exit_code(name)
        reached = bool(orders.failpoint) and code in (None, -signal.SIGKILL)
        if reached:
            self.reached.append(orders.failpoint)
            self._waiting[name].remove(orders.failpoint)
        lived = time.monotonic() - self._launched[name]
        end = {"at": time.time(), "name": name, "code": code, "lived": lived}
        with (self.folder / ENDS_FILE).open("a") as written:
            written.write(json.dumps({**end, **asdict(orders)}) + "\n")
        self._orders[name] = PLAIN if reached else Orders(failpoint=orders.failpoint)
        self._launch(name)

    def _armed(self, name: str, orders: Orders) -> Orders:
        """These orders, with a failpoint that still waits where they have none."""
        waiting = self._waiting.setdefault(name, [])
        if orders.failpoint:
            waiting.append(orders.failpoint)
        elif waiting and orders == PLAIN:
            waiting.append(waiting.pop(0))  # each in its turn: some are rarely reached
            return Orders(failpoint=waiting[-1])
        return orders

    def _launch(self, name: str) -> None:
        self._launched[name] = time.monotonic()
        if name == "web" and self._orders[name].failpoint:
            self._deaths = self.world.deaths(name)
        self.world.launch(name, self._orders[name])

    def _parts(self) -> Runtime:
        told = {
            "database_url": self.world.database_url,
            "redis_url": self.world.redis_url,
            "kibanda_market": self.world.market,
            "biller_credentials": json.loads(self.world.environment["BILLER_CREDENTIALS"]),
        }
        return build_runtime(Settings.model_validate(told))


def _children(pid: int) -> list[int]:
    """PostgreSQL's backends lead sessions of their own: who is a child says the parent's number."""
    return [row.pid for row in processes.process_table() if row.parent == pid and row.state != "Z"]


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

"""The processes of a storm, and a link on every way between them and what they need.

    phones ──▶ web ──▶ postgres, redis, billers        sandbox ──▶ web
    worker, worker2, worker_sms ──▶ postgres, redis, billers or gateway
    schedule ──▶ postgres, redis

Every arrow is a link of its own, named `from-to`, that can be slow, cut, deaf or black. Only the
judge, the makers of people and the command line reach the servers directly.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests

from launcher import processes
from launcher.billers import Whereabouts
from launcher.places import SOCKET_NAME
from launcher.postgres import APPLICATION, DATABASE
from launcher.servers import Servers
from tests.torture.storm.links import Links
from tests.torture.storm.machine import clock_environment, forget_clocks
from tests.world import COMMANDS, World

PROGRAMS = {name: COMMANDS[name] for name in ("sandbox", "web", "worker", "worker_sms", "schedule")}
PROGRAMS["worker2"] = PROGRAMS["worker"]
OURS = ("web", "worker", "worker2", "worker_sms", "schedule")
CALL_BILLERS = ("web", "worker", "worker2")
SERVERS = ("postgres", "redis")
READY_ANSWER_SECONDS = 5.0


def link_names() -> tuple[str, ...]:
    """Every link, as `from-to`."""
    return (
        "phones-web",
        "sandbox-web",
        *(f"{one}-{server}" for one in OURS for server in SERVERS),
        *(f"{one}-billers" for one in CALL_BILLERS),
        "worker_sms-gateway",
    )


@dataclass(frozen=True)
class Orders:
    """How a process is to be started: armed with a failpoint, or by a clock that is ahead."""

    failpoint: str = ""
    clock_seconds: float = 0.0
    library: str = ""


PLAIN = Orders()


@dataclass
class LinkedWorld(World):
    """A World each of whose processes reaches everything through links of its own."""

    links: Links = field(init=False)

    def open_links(self, servers: Servers) -> None:
        """Open every link; until then nothing can be started."""
        web, sandbox = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.sandbox_port}"
        targets = {
            "postgres": (str(servers.places.sockets / SOCKET_NAME),),
            "redis": (str(servers.redis.socket),),
            "billers": (sandbox, *(f"127.0.0.1:{port}" for port in self.biller_ports.values())),
            "gateway": (sandbox,),
            "web": (web,),
        }
        self.links = Links(
            {name: targets[name.partition("-")[2]] for name in link_names()},
            self.folder / "links.log",
        )

    def port_of(self, link: str) -> int:
        """Where a link listens; of the billers the HTTP one."""
        return self.links.ports[link][0]

    def environment_of(self, name: str) -> dict[str, str]:
        """What the process of that name is told: its links, in the place of what they lead to."""
        if name == "sandbox":
            kibanda = f"http://127.0.0.1:{self.port_of('sandbox-web')}"
            told = self._of_billers(self.sandbox_url, kibanda, self.biller_ports)
            callbacks = {"KIBANDA_URL": kibanda, "SANDBOX_BILLERS": told["SANDBOX_BILLERS"]}
            return {**self.environment, **callbacks}
        database = f"postgresql://{APPLICATION}@127.0.0.1:{self.port_of(f'{name}-postgres')}"
        reached = {
            "DATABASE_URL": f"{database}/{DATABASE}?sslmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{self.port_of(f'{name}-redis')}/0",
        }
        if name in CALL_BILLERS:
            http, *others = self.links.ports[f"{name}-billers"]
            ports = dict(zip(self.biller_ports, others, strict=True))
            told = self._of_billers(f"http://127.0.0.1:{http}", self.url, ports)
            reached["BILLER_CREDENTIALS"] = told["BILLER_CREDENTIALS"]
        if name == "worker_sms":
            reached["AT_API_URL"] = f"http://127.0.0.1:{self.port_of('worker_sms-gateway')}"
        return {**self.environment, **reached}

    def launch(self, name: str, orders: Orders) -> None:
        """Start one process."""
        environment, log = self.environment_of(name), self.folder / f"{name}.log"
        if orders.failpoint:
            environment["KIBANDA_FAILPOINT"] = orders.failpoint
        if not orders.library:
            self._running[name] = self._launch(PROGRAMS[name], environment, log)
            return
        # What is forked has loaded its libraries already.
        environment |= clock_environment(Path(orders.library), orders.clock_seconds)
        program = [part for part in PROGRAMS[name] if part not in (sys.executable, "-m")]
        command = (sys.executable, "-m", "tests.torture.storm.clocked", *program)
        with log.open("ab") as output:
            self._running[name] = processes.spawn(
                command, cwd=self.root, env=environment, output=output
            )

    def stop(self) -> None:
        """End all, and what those under another clock left."""
        super().stop()
        forget_clocks()

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def exit_code(self, name: str) -> int | None:
        """None for one that runs, and for one that was killed by us."""
        return self._running[name].poll() if name in self._running else None

    def is_ready(self) -> bool:
        """Whether the web says so, whatever else may just have ended."""
        try:
            return requests.get(f"{self.url}/readyz", timeout=READY_ANSWER_SECONDS).ok
        except requests.RequestException:
            return False

    def _of_billers(
        self, sandbox: str, kibanda: str, ports: Mapping[str, int]
    ) -> Mapping[str, str]:
        where = Whereabouts(sandbox, kibanda, self.folder / "sandbox", ports)
        return self.country.of_billers(where)

"""The environment of `make run`.

What the caller has set stays; the rest is filled with the demo's published values, and only in
a demo market. Addresses of servers are added when the embedded ones are used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from launcher import market as market_file
from launcher.billers import Whereabouts
from launcher.errors import CannotStartError
from launcher.market import Market
from launcher.places import Places
from launcher.servers import Servers

DATABASE_NAMES = ("DATABASE_URL", "MIGRATION_DATABASE_URL")
MARK = "KIBANDA_RUN"
BILLER_PORTS_AFTER = 10  # the billers' first port of their own is so far after the sandbox's
FILE_NAME = ".flaskenv"
FILE_HEAD = (
    "# Written by `make run` while it runs, so that `flask --app app.factory ...` in another\n"
    "# terminal finds the same servers. Variables that are set there win.\n"
)


@dataclass(frozen=True)
class Settings:
    """What a run was asked to do, and the environment of its processes without the addresses of
    the embedded servers.
    """

    port: int
    sandbox_port: int
    market: Market
    environment: Mapping[str, str]
    biller_ports: tuple[int, ...] = ()

    @property
    def demo(self) -> bool:
        return self.market.demo

    @property
    def own_database(self) -> bool:
        return "DATABASE_URL" in self.environment

    @property
    def own_redis(self) -> bool:
        return "REDIS_URL" in self.environment


def from_environment(given: Mapping[str, str], sandbox_data: Path, project: Path) -> Settings:
    """Raises CannotStartError naming the variable that makes no sense."""
    environment = {name: value for name, value in given.items() if value != ""}
    port = _port(environment, "PORT", 8000)
    sandbox_port = _port(environment, "SANDBOX_PORT", 8001)
    if port == sandbox_port:
        raise CannotStartError(
            f"PORT and SANDBOX_PORT are both {port}: give them different numbers."
        )
    market = market_file.read(project, environment.get("KIBANDA_MARKET", market_file.DEFAULT))
    given_databases = [name for name in DATABASE_NAMES if name in environment]
    if len(given_databases) == 1:
        raise CannotStartError(
            f"Only {given_databases[0]} is set: set DATABASE_URL (role kibanda_app) and "
            "MIGRATION_DATABASE_URL (role kibanda_owner) both, or neither."
        )
    if not given_databases:
        environment = _without_libpq(environment)
    ports = market.biller_ports(count(sandbox_port + BILLER_PORTS_AFTER).__next__)
    ours = {"PORT": str(port), "SANDBOX_PORT": str(sandbox_port), "KIBANDA_MARKET": market.name}
    if market.demo:
        ours |= _demo_values(port, sandbox_port, ports, sandbox_data, market)
    return Settings(port, sandbox_port, market, {**ours, **environment}, tuple(ports.values()))


def with_servers(settings: Settings, servers: Servers | None) -> dict[str, str]:
    """The whole environment of the run's processes."""
    environment = dict(settings.environment)
    if servers is not None and not settings.own_database:
        database = settings.market.database
        environment["DATABASE_URL"] = servers.url("kibanda_app", database)
        environment["MIGRATION_DATABASE_URL"] = servers.url("kibanda_owner", database)
        environment["BACKUP_DATABASE_URL"] = servers.url("kibanda_backup", database)
        environment["POSTGRES_BIN"] = str(servers.programs.postgres)
    if servers is not None and not settings.own_redis:
        environment["REDIS_URL"] = servers.redis_url
    return environment


def for_processes(environment: Mapping[str, str], programs: Path, places: Places) -> dict[str, str]:
    """The same, so that output comes line by line, programs find each other, and the next run
    recognises what this one left behind.
    """
    path = os.pathsep.join((str(programs), environment.get("PATH", os.defpath)))
    return {
        **environment,
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        "FLASK_SKIP_DOTENV": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(places.metrics),
        MARK: str(places.base),
    }


def write_file(project: Path, environment: Mapping[str, str], given: Mapping[str, str]) -> Path:
    """What we added to the caller's environment, where `flask` looks for it."""
    file = project / FILE_NAME
    added = {name: value for name, value in environment.items() if given.get(name) != value}
    lines = [f"{name}='{_escaped(value)}'\n" for name, value in sorted(added.items())]
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(FILE_HEAD + "".join(lines))
    return file


def _escaped(value: str) -> str:
    """As python-dotenv reads it between single quotes."""
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _demo_values(
    port: int, sandbox_port: int, ports: Mapping[str, int], sandbox_data: Path, market: Market
) -> dict[str, str]:
    sandbox, kibanda = f"http://127.0.0.1:{sandbox_port}", f"http://127.0.0.1:{port}"
    return {
        "MENU_OVERLAP_SECONDS": "0",  # there is no other release beside this one
        "CALLBACK_TOKEN": "demo",
        "AT_USERNAME": "sandbox",
        "AT_API_KEY": "demo-at-key",
        "AT_API_URL": sandbox,
        "AT_SENDER_ID": "KIBANDA",
        "KIBANDA_URL": kibanda,
        "SANDBOX_DATA": str(sandbox_data),
        **market.of_sandbox(),
        **market.of_billers(Whereabouts(sandbox, kibanda, sandbox_data, ports)),
    }


def _without_libpq(environment: Mapping[str, str]) -> dict[str, str]:
    """libpq's variables (PGPORT, PGSERVICE, …) speak of some other server than the embedded."""
    return {name: value for name, value in environment.items() if not name.startswith("PG")}


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise CannotStartError(f"{name} is {text!r}: it must be a number from 1 to 65535.")
    return int(text)

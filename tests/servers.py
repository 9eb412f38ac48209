"""A pytest plugin: one PostgreSQL for the whole test run, a database and a Redis for each process.

The controlling process (the only one without xdist) starts PostgreSQL and migrates one database
once; each process clones that. Sockets beyond loopback are refused.

The data is in memory where there is room for it: what is synced there outlives the kill -9 of a
server, as on a disk, and costs a tenth of the time. That it outlives a power cut no test can show.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import socket_allow_hosts

from launcher import places as ours
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.redis import Redis
from launcher.servers import Servers, temporary_servers

ROOT = Path(__file__).resolve().parent.parent
MIGRATE_SECONDS = 120
MEMORY = Path("/dev/shm")
MEMORY_BYTES_LEAST = 4 * 1024**3
LOOPBACK = ["127.0.0.1", "::1", "localhost"]
HANDED_OVER = "kibanda_servers"


class MigrationError(Exception):
    """The migrations do not run; the text is what they said."""


@dataclass(frozen=True)
class Shared:
    """What a process needs to know of the servers that the controlling one started."""

    base: str
    migration_error: str

    def servers(self) -> Servers:
        """The servers, for their addresses and databases. Only who started them may end them."""
        return Servers(ours.existing(Path(self.base)))


_STACK = pytest.StashKey[ExitStack]()
_SHARED = pytest.StashKey[Shared]()


def migrate(migration_url: str) -> None:
    """Migrate the database at `migration_url`, as the release step does. Raises MigrationError."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app.factory", "migrate"],
        cwd=ROOT,
        env={**os.environ, "MIGRATION_DATABASE_URL": migration_url, "KIBANDA_MARKET": "demo"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MIGRATE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise MigrationError(f"flask migrate ended with {done.returncode}:\n{done.stdout}")


def in_memory() -> Path | None:
    """The folder for servers whose data may be lost with the machine, if memory has the room."""
    try:
        room = shutil.disk_usage(MEMORY).free
        available = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:  # not Linux
        return None
    left = int(available[1]) * 1024 if available else 0
    return MEMORY if min(room, left) >= MEMORY_BYTES_LEAST else None


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STACK] = ExitStack()
    # A `make run` of the same checkout keeps its addresses where flask would find them.
    os.environ["FLASK_SKIP_DOTENV"] = "1"


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_STACK].close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist is about to start a worker: tell it where the servers are."""
    shared = _start(node.config)
    node.workerinput[HANDED_OVER] = (shared.base, shared.migration_error)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """pytest-socket lifts this again after each test."""
    socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Servers:
    """The run's PostgreSQL, whose database `kibanda` is migrated and must stay untouched."""
    handed_over = getattr(pytestconfig, "workerinput", {}).get(HANDED_OVER)
    shared = _start(pytestconfig) if handed_over is None else Shared(*handed_over)
    if shared.migration_error:
        pytest.fail(shared.migration_error, pytrace=False)
    return shared.servers()


@pytest.fixture(scope="session")
def own_name(pytestconfig: pytest.Config) -> str:
    """A name that no other process of this run has."""
    return str(getattr(pytestconfig, "workerinput", {}).get("workerid", "main"))


@contextmanager
def database_of_its_own(servers: Servers, own_name: str) -> Iterator[str]:
    """The name of a migrated database that nobody else uses."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        yield name
    finally:
        servers.postgres.drop_database(name)


@pytest.fixture(scope="session")
def own_database(servers: Servers, own_name: str) -> str:
    """The name of this process' own database, a clone of the migrated one. No worker and no
    schedule serves it: what they do would get in the way of a test that does the same by hand.
    """
    name = f"kibanda_{own_name}"
    servers.postgres.create_database(name, template=DATABASE)
    return name


@pytest.fixture(scope="session")
def database_url(servers: Servers, own_database: str) -> str:
    """This process' database, for the application's role."""
    return servers.url(APPLICATION, own_database)


@pytest.fixture(scope="session")
def migration_database_url(servers: Servers, own_database: str) -> str:
    """This process' database, for its owner."""
    return servers.url(OWNER, own_database)


@pytest.fixture(scope="session")
def world_database(servers: Servers, own_name: str) -> Iterator[str]:
    """The name of the database that this process' running system serves."""
    with database_of_its_own(servers, own_name) as name:
        yield name


@pytest.fixture(scope="session")
def redis_url(servers: Servers, own_name: str) -> Iterator[str]:
    """This process' own Redis, database 0."""
    own = Redis(servers.places, servers.programs, f"redis_{own_name}")
    own.start()
    yield own.url()
    own.stop()


def _start(config: pytest.Config) -> Shared:
    """Start PostgreSQL and migrate, once for this test run."""
    if _SHARED not in config.stash:
        servers = temporary_servers(redis=False, root=in_memory())
        running = config.stash[_STACK].enter_context(servers)
        migration_error = ""
        try:
            migrate(running.url(OWNER))
        except MigrationError as error:
            migration_error = str(error)
        config.stash[_SHARED] = Shared(str(running.places.base), migration_error)
    return config.stash[_SHARED]

"""PostgreSQL and Redis together in one folder: for `make run`, tests, bench and the kill harness.

with temporary_servers() as s:
    s.admin_url, s.url("kibanda_app"), s.redis_url
    s.postgres.kill(); s.postgres.start()
    s.redis.restart()
    s.postgres.create_database("copy", template="kibanda")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from launcher import places as ours
from launcher import programs
from launcher.embedded import EmbeddedServer, never_stop
from launcher.places import Places
from launcher.postgres import DATABASE, Postgres
from launcher.programs import Programs
from launcher.redis import Redis


class Servers:
    """Both servers over the same places, which the caller has claimed."""

    def __init__(
        self, places: Places, *, lasting: bool = True, binaries: Programs | None = None
    ) -> None:
        self.places = places
        self._programs = binaries or programs.for_places(places)
        self.postgres = Postgres(places, self._programs, lasting=lasting)
        self.redis = Redis(places, self._programs)

    @property
    def started(self) -> list[EmbeddedServer]:
        """Those that were asked for."""
        return [server for server in (self.postgres, self.redis) if server.pid is not None]

    @property
    def binaries(self) -> Path:
        """The folder with psql, pg_dump and pgbench."""
        return self._programs.postgres

    @property
    def admin_url(self) -> str:
        return self.postgres.admin_url

    @property
    def redis_url(self) -> str:
        return self.redis.url()

    def url(self, role: str, database: str = DATABASE) -> str:
        """The address of a database for `kibanda_app`, `kibanda_owner` or `postgres`."""
        return self.postgres.url(role, database)

    def start(
        self,
        check: Callable[[], None] = never_stop,
        *,
        postgres: bool = True,
        redis: bool = True,
    ) -> None:
        """Start both, or the one asked for, and create what a new cluster lacks.

        Raises CannotStartError, and whatever `check` raises.
        """
        if redis:
            self.redis.launch()
        if postgres:
            self.postgres.start(check)
            self.postgres.create_roles()
        if redis:
            self.redis.start(check)

    def stop(self) -> None:
        """Stop both; Redis first, for PostgreSQL is the truth."""
        try:
            self.redis.stop()
        finally:
            self.postgres.stop()


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """The lasting servers of the project in `folder`. Raises CannotStartError."""
    places = ours.for_project(folder)
    with ours.claimed(places), _running(Servers(places)) as running:
        yield running


@contextmanager
def temporary_servers() -> Iterator[Servers]:
    """Servers in a new folder of their own, deleted afterwards. Raises CannotStartError."""
    places = ours.temporary()
    try:
        with ours.claimed(places), _running(Servers(places, lasting=False)) as running:
            yield running
    finally:
        ours.drop(places)


@contextmanager
def _running(servers: Servers) -> Iterator[Servers]:
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()

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
from launcher.embedded import EmbeddedServer, never_stop
from launcher.places import Places
from launcher.postgres import DATABASE, Postgres
from launcher.programs import Programs
from launcher.programs import for_places as find_programs
from launcher.redis import Redis


class Servers:
    """Both servers over the same places, which the caller has claimed; `archive` is where the WAL
    is kept.

    `programs.postgres` is the folder with psql, pg_dump and pgbench.
    """

    def __init__(
        self,
        places: Places,
        *,
        lasting: bool = True,
        binaries: Programs | None = None,
        archive: Path | None = None,
    ) -> None:
        self.places = places
        self.programs = binaries or find_programs(places)
        self.postgres = Postgres(places, self.programs, lasting=lasting, archive=archive)
        self.redis = Redis(places, self.programs)

    @property
    def started(self) -> list[EmbeddedServer]:
        """Those that were asked for."""
        return [server for server in (self.postgres, self.redis) if server.pid is not None]

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
    with ours.claimed(places):
        running = Servers(places)
        try:
            running.start()
            yield running
        finally:
            running.stop()


@contextmanager
def temporary_servers(
    *, redis: bool = True, root: Path | None = None, archive: str = ""
) -> Iterator[Servers]:
    """Servers in a new folder of their own, in `root` if it is given, deleted afterwards; with
    their WAL in a folder of that name in it.

    Raises CannotStartError.
    """
    places = ours.temporary(root)
    try:
        with ours.claimed(places):
            kept = places.base / archive if archive else None
            running = Servers(places, lasting=False, archive=kept)
            try:
                running.start(redis=redis)
                yield running
            finally:
                running.stop()
    finally:
        ours.drop(places)

"""A second PostgreSQL that follows the first, as an operator would make one with pg_basebackup."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

from launcher import processes
from launcher.embedded import ENVIRONMENT
from launcher.places import Places, make_folder
from launcher.postgres import APPLICATION, BACKUP, DATABASE, PORT, Postgres
from launcher.servers import Servers

NAME = "second"
COPY_SECONDS = 120
FOLLOWS_SECONDS = 30


class Standby(Postgres):
    """Over places of its own; its data is a copy of the primary's, made at its first start."""

    def __init__(self, places: Places, primary: Servers) -> None:
        super().__init__(places, primary.programs)
        self._primary = primary

    def _initdb(self) -> None:
        follows = (
            f"host={self._primary.places.sockets} port={PORT} user={BACKUP} application_name={NAME}"
        )
        argv = [str(self.programs.postgres / "pg_basebackup"), "-d", follows]
        argv += ["-D", str(self._folder()), "-R", "-X", "stream", "-c", "fast"]
        make_folder(self._folder(), 0o700, self.places.account)
        with self._open_log() as log:
            copying = processes.spawn(
                argv,
                cwd=self.places.sockets,
                env=ENVIRONMENT,
                output=log,
                account=self.places.account,
            )
        assert copying.wait(COPY_SECONDS) == 0, self.last_words()

    def promote(self) -> None:
        """It takes writes from here on; at most a minute."""
        with self._connect(5.0) as line:
            assert line.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)


def wait_for_it(primary: Servers) -> None:
    """From here on a commit of the primary waits for the standby's disk."""
    with psycopg.connect(primary.admin_url, autocommit=True) as line:
        line.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")
        line.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + FOLLOWS_SECONDS
        query = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
        while line.execute(query).fetchone() != ("sync",):
            assert time.monotonic() < deadline, "the standby does not follow"
            time.sleep(0.1)


def address(*folders: Path, role: str = APPLICATION) -> str:
    """All of them, and whichever takes writes."""
    hosts = ",".join(map(str, folders))
    return f"postgresql://{role}@/{DATABASE}?host={hosts}&target_session_attrs=read-write"

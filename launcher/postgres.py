"""The embedded PostgreSQL: initdb, durability, roles, databases, the archive of its WAL.

Every setting is given on the command line, where it outranks both the configuration file and
ALTER SYSTEM: nobody switches durability off by accident.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

from launcher import processes
from launcher.embedded import ENVIRONMENT, EmbeddedServer
from launcher.errors import CannotStartError
from launcher.places import SOCKET_NAME, Places, make_folder
from launcher.programs import Programs

SUPERUSER = "postgres"
OWNER = "kibanda_owner"
APPLICATION = "kibanda_app"
BACKUP = "kibanda_backup"  # may copy the whole cluster, and owns nothing in it
DATABASE = "kibanda"
PORT = 5432  # only a part of the socket's name
INITDB_SECONDS = 120
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "5min",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
ARCHIVE_SECONDS = 60  # a restore after the loss of the machine lacks no more than this


def archive_settings(folder: Path) -> dict[str, str]:
    """Each finished piece of WAL is copied into the folder: synced, whole, and never over another.

    One that is there already is the same, from a try whose answer was lost; another is refused.
    """
    to = shlex.quote(str(folder)).replace("%", "%%")
    copy = f"cp %p {to}/.%f.part && sync {to}/.%f.part && mv {to}/.%f.part {to}/%f && sync {to}"
    return {
        "archive_mode": "on",
        "archive_command": f"if [ -e {to}/%f ]; then cmp -s %p {to}/%f; else {copy}; fi",
        "archive_timeout": str(ARCHIVE_SECONDS),
    }


class Postgres(EmbeddedServer):
    """PostgreSQL over `places.postgres`, reachable through a socket in `places.sockets` only."""

    title = "PostgreSQL"
    # Fast shutdown, then immediate: both lose nothing that was committed.
    stop_ladder: ClassVar[tuple[tuple[signal.Signals, float], ...]] = (
        (signal.SIGINT, 10.0),
        (signal.SIGQUIT, 3.0),
    )
    at_our_death = signal.SIGINT
    passing_refusals = ("lock file", "shared memory block")

    def __init__(
        self,
        places: Places,
        programs: Programs,
        *,
        lasting: bool = True,
        archive: Path | None = None,
    ) -> None:
        super().__init__(places, programs, "postgres")
        self._lasting = lasting
        self._archive = archive

    @property
    def admin_url(self) -> str:
        """The superuser, in the database `postgres`."""
        return self.url(SUPERUSER, SUPERUSER)

    def url(self, role: str, database: str = DATABASE) -> str:
        host = quote(str(self.places.sockets))
        return f"postgresql://{quote(role)}@/{quote(database)}?host={host}"

    def create_database(self, name: str, template: str = "template1", owner: str = OWNER) -> None:
        """A new database as a copy of `template`, to which nobody may be connected."""
        self._administer(
            "CREATE DATABASE {} OWNER {} TEMPLATE {}",
            sql.Identifier(name),
            sql.Identifier(owner),
            sql.Identifier(template),
        )

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and with it the connections to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql.Identifier(name))

    def create_roles(self) -> None:
        """Create the roles and the database that do not exist yet.

        The owner migrates and is no superuser; the application's role may only log in, and what
        else it may do is granted by the migrations.
        """
        with self._connect(5.0) as connection:
            roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role in (OWNER, APPLICATION):
            if role not in roles:
                self._administer("CREATE ROLE {} LOGIN", sql.Identifier(role))
        if BACKUP not in roles:
            self._administer("CREATE ROLE {} LOGIN REPLICATION", sql.Identifier(BACKUP))
        self.have_database(DATABASE)

    def have_database(self, name: str) -> None:
        """Create a database unless it exists."""
        with self._connect(5.0) as connection:
            names = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        if name not in names:
            self.create_database(name)

    def _administer(self, statement: LiteralString, *names: sql.Identifier) -> None:
        with self._connect(30.0) as connection:
            connection.execute(sql.SQL(statement).format(*names))

    def _connect(self, seconds: float) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.places.sockets),
            port=PORT,
            user=SUPERUSER,
            dbname=SUPERUSER,
            connect_timeout=max(2, int(seconds)),
            autocommit=True,
        )

    def _answers(self) -> bool:
        if not (self.places.sockets / SOCKET_NAME).exists():
            return False
        try:
            with self._connect(2.0):
                return self.running
        except psycopg.OperationalError:  # still starting, or recovering
            return False

    def _argv(self) -> list[str]:
        # The list of socket folders is separated by commas; quotes keep ours in one piece.
        sockets = '"{}"'.format(str(self.places.sockets).replace('"', '""'))
        settings = {**SETTINGS, "unix_socket_directories": sockets}
        if self._archive is not None:
            settings |= archive_settings(self._archive)
        argv = [str(self.programs.postgres / "postgres"), "-D", str(self._folder())]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return argv

    def _folder(self) -> Path:
        return self.places.postgres

    def _prepare(self) -> None:
        if self._archive is not None:
            self._make_archive(self._archive)
        if self._folder().exists():
            self._refuse_other_version()
            self._settle_last_run()
        else:
            self._initdb()

    def _make_archive(self, folder: Path) -> None:
        try:
            make_folder(folder, 0o700, self.places.account)
        except OSError as error:
            raise CannotStartError(
                f"The WAL archive {folder} cannot be made ({error.strerror}): choose another "
                "folder in WAL_ARCHIVE, or unset it."
            ) from error

    def _initdb(self) -> None:
        """Make the cluster beside its place and move it there: a half-made one is never used."""
        making = self._folder().with_name("postgres.making")
        shutil.rmtree(making, ignore_errors=True)
        make_folder(making, 0o700, self.places.account)
        argv = [
            *(str(self.programs.postgres / "initdb"), "-D", str(making), "-U", SUPERUSER),
            *("--encoding=UTF8", "--locale=C"),
            # Sorted by code point on every system, with upper and lower case of all of Unicode.
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=trust", "--auth-host=reject"),
            *(() if self._lasting else ("--no-sync",)),
        ]
        with self._open_log() as log:
            process = processes.spawn(
                argv, cwd=making, env=ENVIRONMENT, output=log, account=self.places.account
            )
        try:
            process.wait(INITDB_SECONDS)
        except subprocess.TimeoutExpired:
            processes.bury(process)
        if process.returncode != 0:
            raise CannotStartError(
                f"PostgreSQL's initdb failed: {self.last_words()} (log: {self.log})"
            )
        making.rename(self._folder())

    def _refuse_other_version(self) -> None:
        ours = (self._folder() / "PG_VERSION").read_text().strip()
        wanted = _major_version(self.programs.postgres)
        if ours != wanted:
            raise CannotStartError(
                f"The data in {self._folder()} was written by PostgreSQL {ours}, and this release "
                f"brings {wanted}: `make reset` drops the demo's data."
            )

    def _settle_last_run(self) -> None:
        """Make way for a start after a kill -9.

        PostgreSQL refuses to start while the process named in postmaster.pid lives. That may be a
        server of ours that lost its launcher: it is told to end. Or the number has gone to some
        other process, as it easily does when a container starts again: then the file gets our own
        number, which PostgreSQL knows to be no server. The file stays, because the shared memory
        that it names is how PostgreSQL finds backends still alive.
        """
        file = self._folder() / "postmaster.pid"
        if not file.exists():
            return
        first, _, rest = file.read_text().partition("\n")
        pid = int(first) if first.strip().isdigit() else 0
        if str(self._folder()) in processes.command_line(pid):
            processes.end_stranger(pid, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        elif rest:
            file.write_text(f"{os.getpid()}\n{rest}")
        (self.places.sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _major_version(binaries: Path) -> str:
    """The version that the binaries' own catalogue file names in its first line."""
    with (binaries.parent / "share" / "postgresql" / "postgres.bki").open() as catalogue:
        return catalogue.readline().split()[-1]

"""`restore`: a backup and the archived WAL become a new data folder, in quarantine.

1. No data folder is ever overwritten: the new one appears under its name at the end, or not at all.
2. PostgreSQL replays until the instant asked for and promotes itself, on a socket in a folder that
   only it and we may enter, with a `pg_hba.conf` of its own: nobody else can connect.
3. The quarantine is written there, before the server is stopped. So whoever starts it next, with
   whatever tool, starts it in quarantine.
4. An archive that ends before the instant asked for is refused: what is missing would be missing
   without a word.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.errors import DomainError
from app.recovery import base_backup, manifest, tools

STOP_SECONDS = 120.0
POLL_SECONDS = 0.2
PORT = 5432  # only a part of the socket's name
LOG_TAIL = 20_000
_SAID = ("FATAL", "PANIC")

_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate"
_HAS_QUARANTINE = "SELECT to_regprocedure('quarantine_v1(text, timestamptz)') IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`to` None: all that the archive has. `owner_url` is the address of the owner in the lost
    server: its role and database are what counts here, the server is another. `seconds` bounds the
    replay.
    """

    backup: Path
    archive: Path
    into: Path
    to: datetime | None
    why: str
    owner_url: str
    binaries: str
    seconds: float


def restore(wanted: Wanted) -> None:
    """Raises DomainError `folder_taken`, `backup_unreadable`, `backup_broken`,
    `archive_missing`, `owner_url_missing`, `restore_too_early`, `program_missing`,
    `account_missing`, `restore_failed`.
    """
    backup = base_backup.read(wanted.backup)
    _refuse(wanted, backup)
    server = tools.program(wanted.binaries, "postgres")
    manifest.check(wanted.backup / base_backup.BASE)
    account = tools.server_account(wanted.archive, wanted.into.parent)
    with tools.made_whole(wanted.into, "restore_failed") as making:
        shutil.copytree(wanted.backup / base_backup.BASE, making, symlinks=True)
        making.chmod(0o700)
        (making / "recovery.signal").touch(mode=0o600)
        tools.give(making, account)
        with _server(wanted, server, making, account) as address:
            _write_quarantine(wanted, address)


def _refuse(wanted: Wanted, backup: base_backup.Backup) -> None:
    if wanted.into.exists():
        raise DomainError("folder_taken", folder=wanted.into)
    if not wanted.archive.is_dir():
        raise DomainError("archive_missing", folder=wanted.archive)
    if not wanted.owner_url:
        raise DomainError("owner_url_missing")
    if wanted.to and wanted.to < backup.earliest:
        raise DomainError("restore_too_early", earliest=backup.ended_at)


@contextmanager
def _server(
    wanted: Wanted, program: str, data: Path, account: tools.Account | None
) -> Iterator[str]:
    """The server over `data`, replayed and promoted; the address of the owner in it."""
    room = Path(tempfile.mkdtemp(prefix="kibanda-restore-"))
    try:
        (room / "hba").write_text("local all all trust\n")
        (room / "conf").touch()
        log = room / "log"
        tools.give(room, account)
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 - PostgreSQL's own, with arguments of ours
                _command(wanted, program, data, room),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                start_new_session=True,
                umask=0o077,
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )
        try:
            yield _promoted(wanted, process, room, log)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _command(wanted: Wanted, program: str, data: Path, room: Path) -> list[str]:
    archive = shlex.quote(str(wanted.archive.resolve())).replace("%", "%%")
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(room),
        "hba_file": str(room / "hba"),
        "restore_command": f"cp {archive}/%f %p",
        "recovery_target_action": "promote",
        "recovery_target_timeline": "latest",
        # So the limits of the lost server need not be met, and nobody can look in halfway.
        "hot_standby": "off",
        # A new timeline belongs to the server that will run on, and begins with its own backup.
        "archive_mode": "off",
        "synchronous_standby_names": "",
        "primary_conninfo": "",
        "fsync": "on",
        "full_page_writes": "on",
        "logging_collector": "off",
        "log_destination": "stderr",
        "ssl": "off",
    }
    if wanted.to:
        settings["recovery_target_time"] = wanted.to.isoformat()
    if not (data / "postgresql.conf").exists():  # some systems keep it elsewhere
        settings["config_file"] = str(room / "conf")
    command = [program, "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def _promoted(wanted: Wanted, process: subprocess.Popen[bytes], room: Path, log: Path) -> str:
    """The owner's address once the replay is over. Raises DomainError `restore_failed`."""
    parts = conninfo_to_dict(wanted.owner_url)
    role, database = parts.get("user", ""), parts.get("dbname", "")
    address = make_conninfo(
        "", user=role, dbname=database, host=str(room), port=PORT, connect_timeout=5
    )
    deadline = time.monotonic() + wanted.seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DomainError("restore_failed", said=_last_words(log))
        try:
            with psycopg.connect(address) as line:
                replaying = line.execute("SELECT pg_is_in_recovery()").fetchone()
        except psycopg.OperationalError as error:
            said = str(error)
            if "does not exist" in said:
                raise DomainError("restore_failed", said=" ".join(said.split())) from error
        else:
            if replaying == (False,):
                return address
        time.sleep(POLL_SECONDS)
    raise DomainError("restore_failed", said=f"not replayed in {wanted.seconds:.0f} s")


def _write_quarantine(wanted: Wanted, address: str) -> None:
    """In every database of the server that has one, ours among them."""
    with psycopg.connect(address) as line:
        names = [str(row[0]) for row in line.execute(_DATABASES)]
        own = line.info.dbname
    for name in names:
        with psycopg.connect(make_conninfo(address, dbname=name)) as line:
            if line.execute(_HAS_QUARANTINE).fetchone() == (True,):
                line.execute("SELECT quarantine_v1(%s, %s)", (wanted.why, wanted.to))
            elif name == own:
                said = "its schema is older than the quarantine, so it could not be put there"
                raise DomainError("restore_failed", said=said)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Fast shutdown writes a checkpoint, so that the next start replays nothing."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(STOP_SECONDS)


def _last_words(log: Path) -> str:
    lines = log.read_bytes()[-LOG_TAIL:].decode(errors="replace").splitlines()
    words = [line for line in lines if any(word in line for word in _SAID)]
    return (words or lines or ["it said nothing"])[-1][-tools.WORDS_MOST :].strip()

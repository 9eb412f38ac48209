"""`backup`: a copy of the running server that a restore can begin with.

A folder with `base`, the data as pg_basebackup wrote it and its manifest proves it, and
`backup.json`, what it is of. It appears under its name whole and synced, or not at all.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from app.durable import sync_folder
from app.errors import DomainError
from app.recovery import manifest, tools

BACKUP_SECONDS = 6 * 3600.0
CONNECT_SECONDS = 10
BASE, FACTS = "base", "backup.json"

_SERVER = """
    SELECT clock_timestamp(), current_setting('server_version_num')::int / 10000,
           current_setting('archive_mode') <> 'off'
"""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a folder holds. It can be restored to any instant from `ended_at` on that the archive
    reaches; `schema` is the migration it was at.
    """

    began_at: str
    ended_at: str
    server_major: int
    schema: str
    archived: bool

    @property
    def earliest(self) -> datetime:
        return datetime.fromisoformat(self.ended_at)


def make(url: str, binaries: str, target: Path, schema: str) -> Backup:
    """Back the server at `url` up, which is at the migration `schema`, into a new folder.

    Raises DomainError `backup_url_missing`, `folder_taken`, `folder_unwritable`, `server_away`,
    `program_missing`, `program_failed`, `backup_broken`.
    """
    if not url:
        raise DomainError("backup_url_missing")
    if target.exists():
        raise DomainError("folder_taken", folder=target)
    basebackup = tools.program(binaries, "pg_basebackup")
    with tools.made_whole(target, "folder_unwritable") as making:
        making.mkdir(mode=0o700, parents=True)
        began_at, major, archived = _look(url)
        address, environment = tools.without_password(url)
        base = making / BASE
        command = [basebackup, "--no-password", "-d", address, "-D", str(base)]
        command += ["-X", "stream", "-c", "fast", "--manifest-checksums=SHA256"]
        tools.run(command, environment, BACKUP_SECONDS)
        manifest.check(base)
        ended_at, _, _ = _look(url)
        backup = Backup(began_at.isoformat(), ended_at.isoformat(), major, schema, archived)
        _write(making / FACTS, backup)
        sync_folder(making)
    return backup


def read(folder: Path) -> Backup:
    """What a backup is of. Raises DomainError `backup_unreadable`."""
    try:
        return Backup(**json.loads((folder / FACTS).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DomainError("backup_unreadable", folder=folder) from error


def _look(url: str) -> tuple[datetime, int, bool]:
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as line:
            server = line.execute(_SERVER).fetchone()
    except psycopg.Error as error:
        said = " ".join(str(error).split())[: tools.WORDS_MOST]
        raise DomainError("server_away", said=said) from error
    assert server is not None
    return server[0], server[1], server[2]


def _write(path: Path, backup: Backup) -> None:
    with path.open("x") as file:
        file.write(json.dumps(asdict(backup), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())

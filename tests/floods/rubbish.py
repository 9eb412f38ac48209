"""What strangers and broken machines send, and how it is judged: no 500, no hang, nothing moved."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.runtime import Runtime
from app.wallet.verify import verify
from tests.web.posting import FORM_TYPE
from tests.world import World

# How many examples a test takes; FLOODS=10 takes ten times as many, for a night.
TIMES = float(os.environ.get("FLOODS", "1"))
SEED = int(os.environ.get("FLOODS_SEED", "6"))
HANG_SECONDS = 8.0
RSS_GROWTH_KIB_MOST = 32 * 1024
READ_BYTES = 65_536
PIN = b"7391"  # everybody's; whoever types it may move money

ODD = (
    b"", b"\0", b"\0" * 3, "مرحبا".encode(), "\u202e1\u202c".encode(), "😀".encode(),
    "\U0001f469\u200d\U0001f469\u200d\U0001f467".encode(), b"\xff\xfe", b"\xc3", b"\xed\xa0\x80",
    b"\xef\xbb\xbf1", b"%", b"%zz", b"%00", b"+", b"*", b"*" * 50, b"#", b"\r\n", b"0", b"00",
    b"98", b"1*1*1", b"-1", b"1e400", b"9" * 400, b"' OR 1=1 --", b"{care}", b"{0}", b"${x}",
    "ሰላም".encode(), "é".encode("latin-1"), "1".encode("utf-16"), b"x" * 5000, b"1" * 70_000,
)  # fmt: skip
values = st.one_of(
    st.sampled_from(ODD),
    st.binary(max_size=60),
    st.text(max_size=40).map(lambda typed: typed.encode("utf-8", "surrogatepass")),
    st.from_regex(rb"[0-9*#]{0,30}", fullmatch=True),
)
methods = st.sampled_from(
    (b"POST",) * 6 + (b"GET", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH")
)
content_types = st.sampled_from(
    (FORM_TYPE.encode(),) * 6
    + (
        b"", b"application/json", b"text/plain", b"multipart/form-data; boundary=x",
        b"multipart/form-data", b"application/x-www-form-urlencoded; charset=utf-16",
        b"application/x-www-form-urlencoded; charset=\xff", b"application/octet-stream",
    )
)  # fmt: skip


def examples(count: int) -> settings:
    """Bounded, seeded, and without a memory of earlier runs."""
    return settings(
        max_examples=max(1, int(count * TIMES)),
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def forms(draw: st.DrawFn, known: dict[str, bytes]) -> bytes:
    """A form with its known fields mostly there: rubbish in them, twice, missing, in any order."""
    fields: list[tuple[bytes, bytes]] = []
    for name, usual in known.items():
        what = draw(st.sampled_from(("usual",) * 4 + ("rubbish", "rubbish", "missing", "twice")))
        if what != "missing":
            fields.append((name.encode(), usual if what == "usual" else draw(values)))
        if what == "twice":
            fields.append((name.encode(), draw(values)))
    fields += draw(st.lists(st.tuples(values, values), max_size=3))
    if draw(st.integers(0, 40)) == 40:
        fields += [(b"p%d" % place, b"") for place in range(10_000)]
    fields = draw(st.permutations(fields)) if len(fields) < 20 else fields
    quoted = draw(st.booleans())
    pairs = [
        b"%b=%b" % ((quote(name), quote(value)) if quoted else (name, value))
        for name, value in fields
    ]
    return b"&".join(pairs).replace(PIN, b"0000")


def quote(value: bytes) -> bytes:
    return quote_from_bytes(value, safe="").encode()


def request(method: bytes, path: str, kind: bytes, body: bytes, extra: bytes = b"") -> bytes:
    head = b"%b %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % (
        method, path.encode(), len(body),
    )  # fmt: skip
    kind = b"Content-Type: %b\r\n" % kind if kind else b""
    return head + kind + extra + b"\r\n" + body


def ask(world: World, sent: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to these bytes, on a connection of their own; 0 when the server
    only hung up. AssertionError when it lets us wait.
    """
    began, received = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", world.port), timeout=HANG_SECONDS) as line:
        try:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            while more := line.recv(READ_BYTES):
                received += more
        except (ConnectionResetError, BrokenPipeError):
            pass
    took = time.monotonic() - began
    assert took < HANG_SECONDS, f"{took:.1f} s for {sent[:200]!r}"
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    assert found or not received, received[:100]
    head_over = received.find(b"\r\n\r\n")
    return (int(found[1]) if found else 0), received[head_over + 4 :]


@dataclass
class Before:
    """What must not change: everybody's money, the ledger, and the size of the web process."""

    world: World
    parts: Runtime

    def __post_init__(self) -> None:
        self.money, self.kib = self._money(), resident_kib(self.world)

    def changed_nothing(self) -> None:
        assert self._money() == self.money
        assert self.parts.db.transact(verify) == []
        assert self.world.running("web")
        assert self.world.deaths("web") == 0
        grown = resident_kib(self.world) - self.kib
        assert grown < RSS_GROWTH_KIB_MOST, f"the web process grew by {grown} KiB"

    def _money(self) -> list[Any]:
        """Every account of somebody that has money, and the number of postings.

        The house's own are snapshots, which the schedule rolls up; no posting, no change.
        """
        query = text(
            "SELECT id, balance, held FROM accounts"
            " WHERE NOT house AND (balance <> 0 OR held <> 0) ORDER BY id"
        )
        count = text("SELECT count(*) FROM postings")
        return self.parts.db.transact(
            lambda session: [*map(tuple, session.execute(query)), session.scalar(count)]
        )


def resident_kib(world: World) -> int:
    """Resident memory of the web's processes but the master."""
    master = world._running["web"].pid
    return sum(_rss(child) for child in _children(master))


def _children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            told = status.read_text()
        except OSError:  # it has ended
            continue
        if re.search(rf"^PPid:\s+{pid}$", told, re.MULTILINE):
            found.append(int(status.parent.name))
    return found


def _rss(pid: int) -> int:
    told = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", told, re.MULTILINE)
    return int(found[1]) if found else 0

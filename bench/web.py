"""What the benches over HTTP share: the bytes of a hop, the bare view, people with money."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import quote

from app.cli.demo import DemoPerson, add
from app.runtime import Runtime
from tests.people import fresh_msisdn
from tests.ports import free_port
from tests.world import ROOT, World, wait_for

PATH = "/callbacks/africastalking/ussd?token=demo"
START_SECONDS = 120.0  # of a machine that is busy otherwise, too
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
)


def new_session_id() -> str:
    return f"ATUid_{os.urandom(16).hex()}"


def hop_request(session_id: str, msisdn: str, text: str) -> bytes:
    """A whole HTTP request on a kept connection, as Africa's Talking posts a hop."""
    body = (
        f"sessionId={session_id}&phoneNumber=%2B{msisdn[1:]}&networkCode=99999"
        f"&serviceCode=%2A384%2A123%23&text={quote(text)}"
    )
    return f"{HEAD}{len(body)}\r\n\r\n{body}".encode()


def answer_of(received: bytes) -> tuple[int, str] | None:
    """Status and body of an answer, None while some of it is missing."""
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return None
    at = head.lower().index(b"\r\ncontent-length:")
    length = int(head[at + 17 :].partition(b"\r\n")[0])
    return (int(head[9:12]), body.decode()) if len(body) >= length else None


def add_people(
    parts: Runtime,
    count: int,
    balance_minor: int,
    *languages: str,
    name: str = "Amina Wanjiru",
) -> list[str]:
    """MSISDNs of so many new registered people, who speak the languages in turn."""
    msisdns = [fresh_msisdn() for _ in range(count)]
    for place, msisdn in enumerate(msisdns):
        spoken = languages[place % len(languages)]
        who = DemoPerson(msisdn, name, spoken, "customer", balance_minor)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC))
    return msisdns


@contextmanager
def bare_view(world: World) -> Iterator[int]:
    """The bare Flask view under the same server with the same configuration; its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "bench.plain:app"],
        cwd=ROOT,
        env={**world.environment, "PORT": str(port)},
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_until_listening(port)
        yield port
    finally:
        process.terminate()
        process.wait(15)


def wait_until_listening(port: int) -> None:
    wait_for(lambda: _listens(port), START_SECONDS, f"a server on port {port}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

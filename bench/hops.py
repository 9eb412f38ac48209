"""A menu hop through the real web process, beside a bare Flask view with one Redis GET and SET.

Both stand under gunicorn with the same configuration and get the same requests. The sessions are
dialled before the clock starts, so that what is measured are hops that read no SQL. Rounds of the
two alternate; the medians are compared.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from app.cli.demo import DemoPerson, add
from app.factory import build_runtime
from app.settings import Settings
from launcher.servers import Servers, temporary_servers
from tests.people import fresh_msisdn
from tests.servers import migrate
from tests.world import ROOT, World, free_port, wait_for

TARGET = 0.8
CONNECTIONS = (1, 8)
ROUNDS = 7
SESSIONS_A_CONNECTION = 30
HOPS_A_SESSION = 16
PATH = "/callbacks/africastalking/ussd?token=demo"
# My account, back, my account, back …: a screen from the catalogue, and home with its facts.
REPLIES = ["5" if hop % 2 == 0 else "0" for hop in range(HOPS_A_SESSION)]


def run() -> None:
    """Print requests a second of both, their ratio and the target."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        migrate(servers.url("kibanda_owner"))
        msisdn = _person(servers)
        world = World(
            Path(folder),
            servers.url("kibanda_app"),
            servers.url("kibanda_owner"),
            servers.redis_url,
            extra={"WEB_WORKERS": os.environ.get("WEB_WORKERS", "2")},
        )
        world.start("web")
        try:
            wait_for(lambda: _listens(world.port), 30, "the web process")
            with _plain(world) as plain_port:
                _compare({"kibanda": world.port, "plain": plain_port}, msisdn)
        finally:
            world.stop()


def _compare(ports: dict[str, int], msisdn: str) -> None:
    for connections in CONNECTIONS:
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for turn in range(ROUNDS + 1):
            for name, port in ports.items():
                rate = _round(port, msisdn, connections)
                if turn:  # the first one warms up
                    rates[name].append(rate)
        ours, theirs = median(rates["kibanda"]), median(rates["plain"])
        verdict = "met" if ours >= TARGET * theirs else "MISSED"
        print(
            f"menu hop, {connections} connection(s): {ours:,.0f}/s; bare Flask GET+SET "
            f"{theirs:,.0f}/s; ratio {ours / theirs:.2f}, target {TARGET} {verdict}"
        )


def _round(port: int, msisdn: str, connections: int) -> float:
    """Hops a second over so many connections."""
    plans = [_plan(msisdn) for _ in range(connections)]
    lines = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in plans]
    for line, (dials, _) in zip(lines, plans, strict=True):
        _send_all(line, dials)
    with ThreadPoolExecutor(connections) as pool:
        began = time.perf_counter()
        list(pool.map(_send_all, lines, [hops for _, hops in plans]))
        seconds = time.perf_counter() - began
    for line in lines:
        line.close()
    return sum(len(hops) for _, hops in plans) / seconds


def _plan(msisdn: str) -> tuple[list[bytes], list[bytes]]:
    """The dials of some sessions, and then their hops, one session after the other."""
    sessions = [f"ATUid_{os.urandom(16).hex()}" for _ in range(SESSIONS_A_CONNECTION)]
    dials = [_request(session, msisdn, "") for session in sessions]
    hops = [
        _request(session, msisdn, "*".join(REPLIES[: count + 1]))
        for session in sessions
        for count in range(HOPS_A_SESSION)
    ]
    return dials, hops


def _request(session: str, msisdn: str, text: str) -> bytes:
    body = urlencode(
        {
            "sessionId": session,
            "phoneNumber": msisdn,
            "networkCode": "99999",
            "serviceCode": "*384*123#",
            "text": text,
        }
    ).encode()
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _send_all(line: socket.socket, requests: list[bytes]) -> None:
    for request in requests:
        line.sendall(request)
        answer = line.recv(65_536)
        while b"\r\n\r\n" not in answer or not answer.partition(b"\r\n\r\n")[2]:
            answer += line.recv(65_536)
        assert b"\r\n\r\nCON " in answer, answer


def _person(servers: Servers) -> str:
    parts = build_runtime(
        Settings(database_url=servers.url("kibanda_app"), redis_url=servers.redis_url)
    )
    person = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", 100_000)
    add(parts.db, parts.pins, parts.market, person, datetime.now(UTC))
    parts.db.dispose()
    return person.msisdn


@contextmanager
def _plain(world: World) -> Iterator[int]:
    """The bare view under the same server; its port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "bench.plain:app"],
        cwd=ROOT,
        env={**world.environment, "PORT": str(port)},
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _listens(port), 30, "the bare view")
        yield port
    finally:
        process.terminate()
        process.wait(15)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    run()

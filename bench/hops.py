"""A menu hop through the real web process, beside a bare Flask view with one Redis GET and SET.

Both stand under gunicorn with the same configuration and get the same requests. The sessions are
dialled before the clock starts, so that what is measured are hops that read no SQL. Rounds of the
two alternate; the medians are compared.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from app.factory import build_runtime
from app.settings import Settings
from bench.callers import Hop, Played, Session, WrongScreen, play
from bench.figures import Figure
from bench.person import PLAIN
from bench.web import add_people, bare_view, hop_request, new_session_id, wait_until_listening
from launcher.servers import temporary_servers
from tests.servers import migrate
from tests.world import World

TARGET = 0.8
CONNECTIONS = (1, 8)
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
SESSIONS_A_CONNECTION = 30
HOPS_A_SESSION = 16
# My account, back, my account, back …: a screen from the catalogue, and home with its facts.
REPLIES = ["7" if hop % 2 == 0 else "0" for hop in range(HOPS_A_SESSION)]
TEXTS = ["*".join(REPLIES[: count + 1]) for count in range(HOPS_A_SESSION)]


def run() -> list[Figure]:
    """Requests a second of both."""
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
        (msisdn,) = add_people(parts, 1, 100_000, "en")
        parts.db.dispose()
        workers = {"WEB_WORKERS": os.environ.get("WEB_WORKERS", "2")}
        world = World(
            Path(folder), app_url, owner_url, servers.redis_url, extra=workers, forked=False
        )
        world.start("web")
        try:
            wait_until_listening(world.port)
            with bare_view(world) as bare_port:
                return _compare({"kibanda": world.port, "plain": bare_port}, msisdn)
        finally:
            world.stop()


def _compare(ports: dict[str, int], msisdn: str) -> list[Figure]:
    figures = []
    for connections in CONNECTIONS:
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for turn in range(ROUNDS + 1):
            for name, port in ports.items():
                played = play_round(port, msisdn, connections)
                if turn:  # the first one warms up
                    rates[name].append(played.rate)
        ours, theirs = median(rates["kibanda"]), median(rates["plain"])
        beside = f"bare Flask, GET + SET: {theirs:,.0f}/s"
        name = f"menu hop without SQL, {connections} connection{'s' if connections > 1 else ''}"
        figures.append(Figure(name, ours, "/s", beside, ours / theirs, least=TARGET))
    return figures


def play_round(port: int, msisdn: str, connections: int) -> Played:
    """The hops of so many connections, after their sessions were dialled."""
    return walk(port, msisdn, dial(port, msisdn, connections))


def dial(port: int, msisdn: str, connections: int) -> list[list[str]]:
    """The ids of new sessions, for each connection."""
    plans = [[new_session_id() for _ in range(SESSIONS_A_CONNECTION)] for _ in range(connections)]
    _play(port, msisdn, plans, [""])
    return plans


def walk(port: int, msisdn: str, plans: list[list[str]]) -> Played:
    """All the other hops of dialled sessions; none of them reads SQL."""
    return _play(port, msisdn, plans, TEXTS)


def _play(port: int, msisdn: str, plans: list[list[str]], texts: Sequence[str]) -> Played:
    played = play(port, [[_hops(one, msisdn, texts) for one in plan] for plan in plans])
    assert not played.wrong, played.wrong[0]
    assert not played.errors, played.errors[0]
    return played


def _hops(session_id: str, msisdn: str, texts: Sequence[str]) -> Session:
    for text in texts:
        body = yield Hop(hop_request(session_id, msisdn, text), PLAIN)
        if not body.startswith("CON "):
            raise WrongScreen(repr(body))

"""A migration on a system that is in use: nobody waits long, and what gives up changed nothing."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.servers import Servers
from tests.gateway_client import Session
from tests.system.confirmations import payers
from tests.world import ROOT, World, wait_for

MIGRATE_SECONDS = 60
HOP_SECONDS = 4.0  # the promise is 2; a stalling test machine gets as much again
HEAD = "9999"
RUN = """
import sys
from alembic import command
from alembic.config import Config
config = Config()
config.set_main_option("script_location", sys.argv[1])
config.set_main_option("sqlalchemy.url", sys.argv[2])
command.upgrade(config, sys.argv[3])
"""
VERSION = """
from alembic import op

revision, down_revision, branch_labels, depends_on = "{head}", "{last}", None, None


def upgrade():
    op.execute({statement!r})
"""
# What the release before this one found in the database: it runs beside this one for a while.
PREVIOUS_RELEASE = "0015"


def upgrade(folder: Path, url: str, to: str = "head") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUN, str(folder), url, to]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=MIGRATE_SECONDS, check=False
    )


@pytest.fixture
def name(servers: Servers, own_name: str) -> Iterator[str]:
    """A database of its own, at this release."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        yield name
    finally:
        servers.postgres.drop_database(name)


@pytest.fixture
def world(servers: Servers, name: str, redis_url: str, tmp_path: Path) -> Iterator[World]:
    running = World(tmp_path, servers.url(APPLICATION, name), servers.url(OWNER, name), redis_url)
    running.start()
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


def one_more(tmp_path: Path, statement: str) -> Path:
    """The migrations, and after the last of them one with this statement."""
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(path.name[:4] for path in (folder / "versions").glob("0*.py"))
    text = VERSION.format(head=HEAD, last=last, statement=statement)
    (folder / "versions" / f"{HEAD}_test.py").write_text(text)
    return folder


def at(servers: Servers, name: str) -> str:
    with psycopg.connect(servers.url(SUPERUSER, name)) as line:
        row = line.execute("SELECT version_num FROM alembic_version").fetchone()
    assert row
    return str(row[0])


class Traffic:
    """Somebody who dials again and again; how long the slowest hop took."""

    def __init__(self, world: World) -> None:
        self._msisdn = payers(world, 1)[0].msisdn
        self._world = world
        self.slowest, self.hops, self.wrong = 0.0, 0, list[str]()

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            began = time.monotonic()
            shown = Session(self._world, self._msisdn).dial()
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.hops += 1
            if "1 Pay bill" not in shown:
                self.wrong.append(shown)


def test_a_migration_that_cannot_have_its_lock_gives_up_and_holds_up_nobody(
    servers: Servers, name: str, world: World, tmp_path: Path
) -> None:
    """A report reads `payments` for long; every first hop reads it too."""
    folder = one_more(tmp_path, "ALTER TABLE payments ADD COLUMN extra text")
    before, traffic, over = at(servers, name), Traffic(world), threading.Event()
    with (
        psycopg.connect(servers.url(SUPERUSER, name)) as report,
        ThreadPoolExecutor(1) as pool,
    ):
        report.execute("SELECT count(*) FROM payments")
        running = pool.submit(traffic.run, over)
        try:
            done = upgrade(folder, servers.url(OWNER, name))
        finally:
            over.set()
        running.result(30)
        assert done.returncode == 1
        assert (
            done.stderr.strip()
            .splitlines()[-1]
            .startswith("migrations: gave up, and everything is as it was: a long transaction")
        )
        assert "Traceback" not in done.stderr
    assert at(servers, name) == before
    assert traffic.wrong == []
    assert traffic.hops > 10
    assert traffic.slowest < HOP_SECONDS
    print(f"{traffic.hops} hops, the slowest {traffic.slowest:.2f} s")


def test_it_is_done_once_the_long_transaction_ends(
    servers: Servers, name: str, tmp_path: Path
) -> None:
    folder = one_more(tmp_path, "ALTER TABLE payments ADD COLUMN extra text")
    with (
        psycopg.connect(servers.url(SUPERUSER, name)) as report,
        psycopg.connect(servers.url(SUPERUSER, name), autocommit=True) as watch,
        ThreadPoolExecutor(1) as pool,
    ):
        report.execute("SELECT count(*) FROM payments")
        running = pool.submit(upgrade, folder, servers.url(OWNER, name))
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        wait_for(lambda: watch.execute(waits).fetchone() != (0,), 30, "the first try")
        report.rollback()
        assert running.result(MIGRATE_SECONDS).returncode == 0
    assert at(servers, name) == HEAD


def test_a_statement_that_takes_too_long_is_ended(
    servers: Servers, name: str, tmp_path: Path
) -> None:
    folder = one_more(tmp_path, "SELECT pg_sleep(60)")
    before, began = at(servers, name), time.monotonic()
    done = upgrade(folder, servers.url(OWNER, name))
    assert time.monotonic() - began < 30
    assert "a statement took too long for a system that is in use" in done.stderr
    assert at(servers, name) == before


def schema(servers: Servers, name: str) -> tuple[dict[tuple[str, str], str], set[str]]:
    """The type of each column, and what the application may call."""
    with psycopg.connect(servers.url(SUPERUSER, name)) as line:
        columns = line.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        ).fetchall()
        functions = line.execute(
            "SELECT oid::regprocedure::text FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace"
            f" AND has_function_privilege('{APPLICATION}', oid, 'EXECUTE')"
        ).fetchall()
    return {(table, column): kind for table, column, kind in columns}, {f for (f,) in functions}


def test_the_release_before_finds_all_that_it_had(servers: Servers, own_name: str) -> None:
    """Expand, then contract: it still runs while this schema is there already."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name)
    try:
        url = servers.url(OWNER, name)
        done = upgrade(ROOT / "migrations", url, PREVIOUS_RELEASE)
        assert done.returncode == 0, done.stderr
        columns, functions = schema(servers, name)
        done = upgrade(ROOT / "migrations", url)
        assert done.returncode == 0, done.stderr
        columns_now, functions_now = schema(servers, name)
        with psycopg.connect(servers.url(SUPERUSER, name)) as line:
            needed = line.execute(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL"
                " AND is_identity = 'NO' AND is_generated = 'NEVER'"
            ).fetchall()
    finally:
        servers.postgres.drop_database(name)
    assert len(columns) > 300
    assert columns.items() <= columns_now.items(), "it selects and writes these"
    assert functions <= functions_now, "it calls these"
    tables = {table for table, _ in columns}
    unknown = {pair for pair in needed if pair[0] in tables and pair not in columns}
    assert unknown == set(), "it inserts without these"

"""The launcher on real servers, run by a small stand-in for the project."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from dotenv import dotenv_values

from app import markets
from launcher import places as ours
from launcher import processes, procfile, programs, settings
from launcher.children import Backoff
from launcher.errors import CannotStartError
from launcher.places import Places
from launcher.postgres import archive_settings
from launcher.servers import Servers, temporary_servers
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
LINUX = sys.platform == "linux"

PROCFILE = """\
# what a project has
release: flask --app app.factory migrate
web: python -m web
"""
FACTORY = """\
    import os
    import pathlib
    import click
    import flask

    def create_app():
        app = flask.Flask("stand-in")

        @app.cli.command()
        def migrate():
            pathlib.Path("migrated").write_text(os.environ["MIGRATION_DATABASE_URL"])

        @app.cli.command()
        @click.argument("what")
        def seed(what):
            print("seeded", what)

        return app
"""
# Ready only with a live server behind it, and with a grandchild in a process group of its own.
WEB = """\
    import os
    import subprocess
    import sys
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import psycopg

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=2).close()
                status, body = 200, str(os.getpid())
            except psycopg.OperationalError as error:
                status, body = 503, str(error)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SANDBOX = """\
    import os
    from http.server import HTTPServer, SimpleHTTPRequestHandler
    address = ("127.0.0.1", int(os.environ["SANDBOX_PORT"]))
    HTTPServer(address, SimpleHTTPRequestHandler).serve_forever()
"""
MARKET = """\
    code = "demo"
    demo = true
    region = "KE"
    timezone = "Africa/Nairobi"
    service_codes = ["*384*123#"]
    currency = { code = "KES", exponent = 2 }
    billers.stima = { name = "Stima", family = "digiflazz_prepaid", products = [] }
"""


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def modes_of_parents(path: Path) -> dict[Path, tuple[int, int, int]]:
    facts = {parent: parent.stat() for parent in path.parents}
    return {parent: (s.st_mode, s.st_uid, s.st_gid) for parent, s in facts.items()}


class StandIn:
    """A project folder with a space in its name, in a home that others cannot enter."""

    def __init__(self, home: Path) -> None:
        home.chmod(0o700)
        self.folder = home / "my project"
        for name, text in {
            "app/factory.py": FACTORY,
            "app/__init__.py": "",
            "web.py": WEB,
            "sandbox.py": SANDBOX,
            "app/markets/demo.toml": MARKET,
            "Procfile": PROCFILE,
        }.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        self.port = free_port()
        self.places = ours.for_project(self.folder)
        self.output = home / "output"
        self._runs: list[subprocess.Popen[bytes]] = []

    def command(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        inherited = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "LANG"}}
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "launcher", name],
                cwd=self.folder,
                env={
                    **inherited,
                    "PYTHONPATH": str(ROOT),
                    "PORT": str(self.port),
                    "SANDBOX_PORT": str(free_port()),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._runs.append(process)
        return process

    def said(self) -> str:
        return self.output.read_text()

    def start(self) -> subprocess.Popen[bytes]:
        process = self.command("run")
        until(lambda: "Kibanda is ready" in self.said() or process.poll() is not None)
        assert process.poll() is None, self.said()
        return process

    def ready(self) -> str:
        """The number of the web process when /readyz says 200, else ""."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def processes(self) -> list[int]:
        """Whatever runs in the project's folder or its data's."""
        folders = (str(self.folder), str(self.places.base))
        found = []
        for row in processes.process_table():
            try:
                cwd = str(Path(f"/proc/{row.pid}/cwd").readlink())
            except OSError:
                continue
            if row.state != "Z" and cwd.startswith(folders):
                found.append(row.pid)
        return found

    def end(self) -> None:
        for run in self._runs:
            run.kill()
            run.wait()
        for pid in self.processes():
            processes.send_signal(pid, signal.SIGKILL)
        if self.places.base.exists():
            ours.drop(self.places)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[StandIn]:
    standing = StandIn(tmp_path)
    yield standing
    standing.end()


@pytest.mark.skipif(not LINUX, reason="looks for processes in /proc")
def test_run_revives_what_dies_and_leaves_nothing(project: StandIn) -> None:
    before = modes_of_parents(project.folder)
    run = project.start()
    assert "seeded demo" in project.said()
    assert (project.folder / "migrated").read_text().startswith("postgresql://kibanda_owner@/")
    assert "DATABASE_URL=" in (project.folder / ".flaskenv").read_text()

    first_web = project.ready()
    processes.send_signal(int(first_web), signal.SIGKILL)
    until(lambda: project.ready() not in {"", first_web})
    assert "web killed by signal 9; again in 0.5 s" in project.said()

    postmaster = int((project.places.postgres / "postmaster.pid").read_text().split()[0])
    processes.send_signal(postmaster, signal.SIGKILL)
    until(lambda: "PostgreSQL is gone" in project.said())
    until(project.ready)

    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 0
    assert project.processes() == []
    assert not (project.folder / ".flaskenv").exists()
    assert modes_of_parents(project.folder) == before


@pytest.mark.skipif(not LINUX, reason="the leash is Linux's")
def test_a_killed_run_leaves_nothing_and_the_next_one_starts(project: StandIn) -> None:
    run = project.start()
    second = project.command("run")
    assert second.wait(30) == 1
    assert project.said() == (
        f"kibanda: Kibanda already runs from this folder (process {run.pid}): "
        "stop it there with Ctrl-C first.\n"
    )
    run.kill()
    run.wait()
    until(lambda: not project.ready())
    until(lambda: not (project.places.postgres / "postmaster.pid").exists())

    run = project.start()
    assert "ended 1 processes that it left behind" in project.said()  # the grandchild
    run.terminate()
    assert run.wait(30) == 0
    assert project.processes() == []
    assert project.command("reset").wait(30) == 0
    assert not project.places.base.exists()


def test_a_taken_port_is_one_line_and_nothing_starts(project: StandIn) -> None:
    with socket.create_server(("127.0.0.1", project.port)):
        assert project.command("run").wait(30) == 1
    assert project.said() == (
        f"kibanda: Port {project.port} is taken by another program: choose another one, "
        f"e.g. `PORT={project.port + 100} make run`.\n"
    )
    assert not project.places.postgres.exists()


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "eight"}, "PORT is 'eight': it must be a number from 1 to 65535."),
        ({"PORT": "8001"}, "PORT and SANDBOX_PORT are both 8001: give them different numbers."),
        (
            {"DATABASE_URL": "postgresql://x/y"},
            (
                "Only DATABASE_URL is set: set DATABASE_URL (role kibanda_app) and "
                "MIGRATION_DATABASE_URL (role kibanda_owner) both, or neither."
            ),
        ),
    ],
)
def test_settings_that_make_no_sense(
    environment: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotStartError) as refusal:
        settings.from_environment(environment, tmp_path, ROOT)
    assert str(refusal.value) == sentence


def test_what_the_caller_set_stays(tmp_path: Path) -> None:
    given = {"CALLBACK_TOKEN": "mine", "SANDBOX_PORT": "9001", "PGPORT": "6543", "REDIS_URL": ""}
    asked = settings.from_environment(given, tmp_path, ROOT)
    assert asked.environment["CALLBACK_TOKEN"] == "mine"
    assert asked.environment["AT_API_URL"] == "http://127.0.0.1:9001"
    assert "PGPORT" not in asked.environment
    assert not asked.own_redis


def test_no_demo_values_outside_the_demo(tmp_path: Path) -> None:
    asked = settings.from_environment({"KIBANDA_MARKET": "kenya.toml"}, tmp_path, ROOT)
    assert "CALLBACK_TOKEN" not in asked.environment
    assert not asked.demo


def test_another_demo_market_has_its_own_country(tmp_path: Path) -> None:
    """Its code, billers, people and database; the demo's own keep their names."""
    asked = settings.from_environment({"KIBANDA_MARKET": "demo_id"}, tmp_path, ROOT)
    told = asked.environment
    assert asked.demo
    assert told["SANDBOX_SERVICE_CODE"] == "*789*55#"
    assert told["SANDBOX_REGION"] == "ID"
    accounts = json.loads(told["BILLER_CREDENTIALS"])
    assert sorted(accounts) == ["bpjs", "pdam", "pln", "pulsa"]
    assert accounts["pln"] == {
        "url": "http://127.0.0.1:8001/billers/pln",
        "username": "kibanda",
        "api_key": "demo-pln-key",
        "webhook_secret": "demo-pln-secret",
    }
    assert json.loads(told["SANDBOX_PEOPLE"])[0] == {
        "name": "Siti Rahayu",
        "msisdn": "+6281110000001",
    }
    assert told["SANDBOX_BANK_CURRENCY"] == "IDR"
    market = markets.load("demo_id")
    seeded = market.demo_operator_minor + sum(who.balance_minor for who in market.demo_people)
    assert told["SANDBOX_BANK_OPENING"] == f"{seeded}.00", "the bank has what the seed pays in"
    assert asked.market.database == "kibanda_demo_id"
    assert settings.from_environment({}, tmp_path, ROOT).market.database == "kibanda"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "code = ",
        "demo = true",
        'code = "x"\nregion = "KE"\nservice_codes = 1\nbillers = 2',
        "\x00",
    ],
)
def test_a_market_file_that_cannot_be_read_is_for_the_product_to_refuse(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text(text)
    asked = settings.from_environment({"KIBANDA_MARKET": "broken.toml"}, tmp_path, tmp_path)
    assert not asked.demo
    assert asked.environment["KIBANDA_MARKET"] == "broken.toml"


@pytest.fixture(scope="module")
def spare() -> Iterator[Servers]:
    """Servers for this module alone, to be killed."""
    with temporary_servers() as running:
        yield running


def test_killed_postgres_recovers_over_a_stale_pid(spare: Servers) -> None:
    owner = spare.url("kibanda_owner")
    with psycopg.connect(owner) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    spare.postgres.kill()
    # The dead server's number now belongs to somebody else who is alive.
    file = spare.places.postgres / "postmaster.pid"
    _, _, rest = file.read_text().partition("\n")
    user = file.stat().st_uid if IS_ROOT else None
    with subprocess.Popen(["sleep", "60"], user=user) as stranger:
        file.write_text(f"{stranger.pid}\n{rest}")
        spare.postgres.start()
        assert stranger.poll() is None
        stranger.kill()
    with psycopg.connect(owner) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_redis_keeps_what_it_was_told_over_a_kill(spare: Servers) -> None:
    with redis.Redis.from_url(spare.redis_url) as client:
        client.set("kept", "1")
        client.bgrewriteaof()  # the file is synced each second; this writes it now
        until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        spare.redis.kill()
        spare.redis.start()
        assert client.get("kept") == b"1"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_roles_databases_and_durability(spare: Servers) -> None:
    with psycopg.connect(spare.admin_url) as connection:
        roles = connection.execute(
            "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
            " WHERE rolname LIKE 'kibanda%' ORDER BY 1"
        ).fetchall()
        assert roles == [
            ("kibanda_app", False, False, False, False),
            ("kibanda_backup", False, False, False, True),
            ("kibanda_owner", False, False, False, False),
        ]
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("on",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
    with psycopg.connect(spare.url("kibanda_owner")) as connection:
        connection.execute("CREATE TABLE copied AS SELECT 2 AS two")
    spare.postgres.create_database("copy", template="kibanda")
    with psycopg.connect(spare.url("kibanda_owner", "copy")) as connection:
        assert connection.execute("SELECT two FROM copied").fetchone() == (2,)
    spare.postgres.drop_database("copy")
    assert stat.S_IMODE(spare.places.sockets.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["a b", "a=b", "x" * 90])
def test_sockets_have_a_short_and_plain_path(name: str) -> None:
    assert Places(Path("/home/me/kibanda/var"), None).sockets == Path("/home/me/kibanda/var/run")
    elsewhere = Places(Path("/home/me") / name / "var", None).sockets
    assert elsewhere.parent == Path("/tmp")


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
def test_a_plain_user_in_a_home_that_others_cannot_enter() -> None:
    """The same code in a process that became `nobody`; its binaries are a copy because ours may
    be in a folder that only root can enter.
    """
    home = Path(tempfile.mkdtemp(prefix="home of nobody ", dir="/tmp"))
    try:
        copy = programs.copied(programs.in_wheels(), home / "programs")
        os.chown(home, NOBODY, NOBODY)
        home.chmod(0o700)
        deep = home / "my project"
        before = modes_of_parents(deep)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                status = start_and_stop_as_plain_user(deep, copy)
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert modes_of_parents(deep) == before
        assert (deep / "var" / "postgres" / "PG_VERSION").exists()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def start_and_stop_as_plain_user(folder: Path, binaries: programs.Programs) -> int:
    folder.mkdir()
    places = ours.for_project(folder)
    with ours.claimed(places):
        servers = Servers(places, binaries=binaries)
        servers.start()
        with psycopg.connect(servers.url("kibanda_app")) as connection:
            row = connection.execute("SELECT current_user").fetchone()
        with redis.Redis.from_url(servers.redis_url) as client:
            client.client_info()  # RQ asks for it, and a space in the socket's path breaks it
        servers.stop()
    shutil.rmtree(places.sockets)
    return 0 if row == ("kibanda_app",) and places.account is None else 2


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "var").symlink_to("/")
    with pytest.raises(CannotStartError, match="not a folder of ours"):
        Places(tmp_path / "var", None).create()


def test_abandoned_temporary_places_are_dropped(spare: Servers) -> None:
    abandoned = ours.temporary()
    abandoned.lock.touch()
    ours.drop_abandoned()
    assert abandoned.base.exists()  # too young: whoever made it may be about to lock it
    os.utime(abandoned.lock, (0, 0))
    ours.drop_abandoned()
    assert not abandoned.base.exists()
    assert spare.places.base.exists()


def test_the_procfile_is_read_as_arguments(tmp_path: Path) -> None:
    file = tmp_path / "Procfile"
    file.write_text('web: gunicorn "app.factory:create_app()"\n\n# no\nworker: python -m workers\n')
    assert procfile.read(file) == {
        "web": ["gunicorn", "app.factory:create_app()"],
        "worker": ["python", "-m", "workers"],
    }
    file.write_text("what is this")
    with pytest.raises(CannotStartError, match="Procfile line 1"):
        procfile.read(file)


def test_a_script_of_a_moved_environment_still_runs(tmp_path: Path) -> None:
    script, binary = tmp_path / "flask", tmp_path / "ruff"
    script.write_text("#!/folder/that/was/left/bin/python\n")
    binary.write_bytes(b"\x7fELF")
    assert procfile.resolved(["flask", "run"], tmp_path) == [sys.executable, str(script), "run"]
    assert procfile.resolved(["ruff"], tmp_path) == [str(binary)]
    assert procfile.resolved(["python", "-m", "x"], tmp_path) == [sys.executable, "-m", "x"]
    assert procfile.resolved(["sh"], tmp_path) == ["sh"]


def test_the_file_for_a_second_terminal_holds_what_was_added(tmp_path: Path) -> None:
    odd = {"SANDBOX_DATA": "/it's a\\path", "BILLER_CREDENTIALS": '{"a": "b"}'}
    file = settings.write_file(tmp_path, {**odd, "HOME": "/me"}, {"HOME": "/me"})
    assert dotenv_values(file) == odd
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_backoff_grows_to_a_bound_and_forgets_after_a_minute() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.after(61.0) == 0.5


def test_the_archive_takes_a_piece_whole_once_and_no_other_under_its_name(tmp_path: Path) -> None:
    archive = tmp_path / "it's an archive"
    archive.mkdir()
    piece = tmp_path / "piece"

    def archived(content: str) -> int:
        piece.write_text(content)
        command = archive_settings(archive)["archive_command"]
        command = command.replace("%p", str(piece)).replace("%f", "000000010000000000000001")
        return subprocess.run(["/bin/sh", "-c", command.replace("%%", "%")], check=False).returncode

    assert archived("WAL") == 0
    assert archived("WAL") == 0, "the answer to the first was lost"
    assert archived("other") != 0
    assert [path.read_text() for path in archive.iterdir()] == ["WAL"]

"""`staff`: an operator's first days, from nobody to four of the staff, by the real command line."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyotp
import pytest
from click.testing import Result
from flask import Flask

from app import markets
from app.cli import demo_staff
from app.staff import credentials
from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.servers import Servers
from tests.cli.office import app_over, refusal, run, said
from tests.system.scanner import Scanner, dump
from tests.world import BIN, World

MKUU, ASHA = "a mountain in the east", "rain before the harvest"


@dataclass
class Terminal:
    """The command line over a database without staff; everything that it ever said."""

    app: Flask
    url: str
    output: list[str] = field(default_factory=list)

    def run(self, *arguments: str, token: str = "", typed: tuple[str, ...] = ()) -> Result:
        result = run(self.app, "staff", *arguments, token=token, typed=typed)
        self.output.append(result.output)
        return result

    def secret(self, result: Result) -> str:
        """The TOTP secret of the address that `add` and `reset` show."""
        (address,) = re.findall(r"^otpauth://totp/\S+$", said(result), re.MULTILINE)
        return str(pyotp.parse_uri(address).secret)

    def login(self, name: str, password: str, secret: str, *, steps: int = 0) -> str:
        code = credentials.code_at(secret, datetime.now(UTC) + timedelta(seconds=30 * steps))
        told = said(self.run("login", name, typed=(password, code)))
        (line,) = (line for line in told.splitlines() if line.startswith("export "))
        name, _, token = line.removeprefix("export ").partition("=")
        assert name == "KIBANDA_STAFF_SESSION"
        return token

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as line:
            line.execute(statement.encode())


@pytest.fixture
def terminal(servers: Servers, own_name: str) -> Iterator[Terminal]:
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        with app_over(servers.url(APPLICATION, name)) as app:
            yield Terminal(app, servers.url(SUPERUSER, name))
    finally:
        servers.postgres.drop_database(name)


def last(result: Result, reason: str) -> None:
    """A refusal after questions, which the runner shows too."""
    told = said(result, code=1).splitlines()[-1]
    assert re.fullmatch(rf"Error: {reason}: [A-Z].+\.", told), told


def twice(password: str) -> tuple[str, str]:
    return password, password


def test_from_nobody_to_staff(terminal: Terminal) -> None:
    refusal(terminal.run("suspend", "mkuu"), "staff_session_missing")
    last(terminal.run("add", "mkuu", "--role", "admin", typed=twice("short")), "password_length")
    last(
        terminal.run("add", "mkuu", "--role", "admin", typed=twice("mkuu" * 3)),
        "password_guessable",
    )
    secret = terminal.secret(terminal.run("add", "Mkuu", "--role", "admin", typed=twice(MKUU)))
    refusal(terminal.run("add", "thief", "--role", "admin"), "staff_session_missing")
    last(terminal.run("login", "mkuu", typed=(MKUU, "000000")), "staff_login_wrong")
    mkuu = terminal.login("mkuu", MKUU, secret)
    last(
        terminal.run("login", "mkuu", typed=(MKUU, credentials.code_at(secret, datetime.now(UTC)))),
        "staff_code_used",
    )

    roles = ("--role", "support", "--role", "finance")
    made = terminal.run("add", "asha", *roles, token=mkuu, typed=twice(ASHA))
    assert "asha: added, finance, support" in said(made)
    last(
        terminal.run("add", "ASHA", "--role", "admin", token=mkuu, typed=twice(ASHA)),
        "staff_name_taken",
    )
    refusal(terminal.run("add", "a sha", "--role", "admin", token=mkuu), "staff_name_invalid")
    asha = terminal.login("asha", ASHA, terminal.secret(made))
    for command in ("suspend", "resume", "reset"):
        refusal(terminal.run(command, "mkuu", token=asha), "role_missing")
    refusal(terminal.run("suspend", "mkuu", token=mkuu), "last_admin")
    refusal(terminal.run("reset", "mkuu", token=mkuu), "own_account")
    refusal(terminal.run("resume", "asha", token=mkuu), "staff_state")
    refusal(terminal.run("reset", "nobody", token=mkuu), "staff_unknown")

    assert said(terminal.run("suspend", "asha", token=mkuu)) == "asha: suspended\n"
    refusal(terminal.run("suspend", "mkuu", token=asha), "staff_suspended")
    assert said(terminal.run("resume", "asha", token=mkuu)) == "asha: active\n"
    reset = terminal.run("reset", "asha", token=mkuu, typed=twice(ASHA[::-1]))
    assert terminal.secret(reset) != terminal.secret(made)
    again = terminal.login("asha", ASHA[::-1], terminal.secret(reset), steps=1)
    assert said(terminal.run("logout", token=again)) == "unset KIBANDA_STAFF_SESSION\n"
    refusal(terminal.run("suspend", "mkuu", token=again), "staff_session_over")

    listed = said(terminal.run("list")).splitlines()
    assert re.fullmatch(r"asha +support, finance +active +mkuu +\d{4}-.+", listed[1])
    assert re.fullmatch(r"mkuu +admin +active +nobody: the first +\d{4}-.+", listed[2])
    changes = [line.split()[2:4] for line in said(terminal.run("history")).splitlines()[1:]]
    assert changes == [
        ["asha", "reset"],
        ["asha", "resumed"],
        ["asha", "suspended"],
        ["asha", "added"],
        ["mkuu", "added"],
    ]


def test_what_is_typed_is_nowhere(
    terminal: Terminal, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the line of `login` says the token, only that of `add` the secret."""
    secret = terminal.secret(terminal.run("add", "mkuu", "--role", "admin", typed=twice(MKUU)))
    token = terminal.login("mkuu", MKUU, secret)
    wrong = "typed into the wrong field"
    last(terminal.run("login", wrong, typed=(wrong, wrong)), "staff_login_wrong")
    terminal.run("add", "asha", "--role", "support", token=token, typed=twice(ASHA))
    terminal.run("list", token=token)
    refusal(terminal.run("reset", "mkuu", token=token), "own_account")
    told = "\n".join(terminal.output)
    assert (told.count(token), told.count(secret)) == (1, 1)
    assert not [word for word in (MKUU, ASHA, wrong) if word in told]
    scanner = Scanner.of({"token": token, "secret": secret, "wrong": wrong, "mkuu": MKUU})
    kept = scanner.found(dump(servers.programs.postgres, terminal.url))
    assert kept == ["token as sha256 in hex"]
    assert scanner.found(caplog.text.encode()) == []
    assert token not in repr(terminal.app.extensions["kibanda"].settings)


def test_wrong_passwords_lock(terminal: Terminal) -> None:
    secret = terminal.secret(terminal.run("add", "mkuu", "--role", "admin", typed=twice(MKUU)))
    for _ in range(5):
        last(terminal.run("login", "mkuu", typed=("wrong", "000000")), "staff_login_wrong")
    code = credentials.code_at(secret, datetime.now(UTC))
    locked = terminal.run("login", "mkuu", typed=(MKUU, code))
    last(locked, "staff_locked")
    assert "wait 15 minutes" in locked.output


def test_a_session_that_nobody_uses_is_over(terminal: Terminal) -> None:
    secret = terminal.secret(terminal.run("add", "mkuu", "--role", "admin", typed=twice(MKUU)))
    token = terminal.login("mkuu", MKUU, secret)
    terminal.admin("UPDATE staff_sessions SET used_at = now() - interval '15 minutes'")
    refusal(terminal.run("suspend", "mkuu", token=token), "staff_session_over")


# --- the demo's staff ---


def test_the_codes_of_the_demo_open_the_demo(terminal: Terminal) -> None:
    said(run(terminal.app, "seed", "demo"))
    for one in demo_staff.STAFF:
        code = said(terminal.run("code", one.name)).strip()
        told = said(terminal.run("login", one.name, typed=(credentials.DEMO_PASSWORD, code)))
        assert "export KIBANDA_STAFF_SESSION=" in told
    assert "Invalid value for" in said(terminal.run("code", "rehema"), code=2)


def test_and_nothing_else(terminal: Terminal, tmp_path: Path) -> None:
    """A database that was once a demo's is no way into a market of money."""
    said(run(terminal.app, "seed", "demo"))
    parts = terminal.app.extensions["kibanda"]
    real: Any = markets.load("demo").model_copy(update={"demo": False, "code": "real"})
    terminal.app.extensions["kibanda"] = replace(parts, market=real)
    assert said(terminal.run("code", "mkuu"), code=1) == (
        "Error: market real is not a demo market\n"
    )
    code = credentials.code_at(demo_staff.secret_of("mkuu"), datetime.now(UTC))
    typed = (credentials.DEMO_PASSWORD, code)
    last(terminal.run("login", "mkuu", typed=typed), "staff_login_wrong")


# --- a shell ---


def at_a_terminal(world: World, *arguments: str, answers: tuple[tuple[str, str], ...]) -> str:
    """A command whose questions are answered at a terminal; its stdout.

    What is typed must not appear there.
    """
    master, slave = os.openpty()
    process = subprocess.Popen(
        [str(BIN / "flask"), "--app", "app.factory", *arguments],
        cwd=world.root,
        env=world.environment,
        stdin=slave,
        stderr=slave,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    os.close(slave)
    shown = b""
    for question, answer in answers:
        while question.encode() not in shown:
            shown += os.read(master, 1000)
        os.write(master, f"{answer}\n".encode())
    told, _ = process.communicate(timeout=30)
    os.set_blocking(master, False)
    with contextlib.suppress(OSError):  # the other end is closed: nothing more to read
        shown += os.read(master, 10_000)
    os.close(master)
    assert process.returncode == 0, shown
    assert not [answer for _, answer in answers if answer.encode() in shown], "no echo"
    return told


def test_eval_of_login_in_a_shell(
    servers: Servers, own_name: str, redis_url: str, tmp_path: Path
) -> None:
    """What `login` prints on stdout is for eval; questions and refusals are on stderr."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    world = World(tmp_path, servers.url(APPLICATION, name), servers.url(OWNER, name), redis_url)
    try:
        assert world.flask("seed", "demo").returncode == 0
        session = world.staff_session("mkuu")
        assert world.flask("staff", "suspend", "asha", session=session).returncode == 0
        refused = world.flask("staff", "suspend", "asha")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "staff_session_missing" in refused.stderr
        wrong = world.flask("staff", "login", "baraka", typed="wrong password\n000000\n")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "wrong password" not in wrong.stderr
        answers = (
            ("Password:", credentials.DEMO_PASSWORD),
            ("Code:", world.flask("staff", "code", "baraka").stdout.strip()),
        )
        line = at_a_terminal(world, "staff", "login", "baraka", answers=answers)
        assert re.fullmatch(r"export KIBANDA_STAFF_SESSION=[\w-]{43}\n", line)
    finally:
        servers.postgres.drop_database(name)

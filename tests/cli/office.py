"""The command line in this process, over a database that nobody else uses."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from click.testing import Result
from flask import Flask
from pydantic import SecretStr

from app import markets
from app.billers import expiry
from app.billers.payments import PaymentView
from app.cli import demo_staff
from app.factory import create_app
from app.settings import Settings
from app.staff import credentials, sessions
from launcher.postgres import APPLICATION, DATABASE, SUPERUSER
from launcher.servers import Servers
from tests.billers.played import pending, played_biller
from tests.billers.stage import Stage, market_with, now
from tests.wallet.counter.kiosk import Kiosk

EVIDENCE = ("--evidence", "letter of the police, file 4711")


@contextmanager
def app_over(database_url: str) -> Iterator[Flask]:
    app = create_app(Settings(database_url=database_url))
    try:
        yield app
    finally:
        app.extensions["kibanda"].db.dispose()


@contextmanager
def own_office(servers: Servers, own_name: str) -> Iterator[Office]:
    """An office over a database that is made for it, and dropped with it."""
    name = f"kibanda_{own_name}_{secrets.token_hex(4)}"
    servers.postgres.create_database(name, template=DATABASE)
    try:
        with app_over(servers.url(APPLICATION, name)) as app, played_biller() as biller:
            market = market_with(markets.load("demo"), "stima")
            stage = Stage(app.extensions["kibanda"].db, market, "stima", biller)
            yield Office(app, servers.url(SUPERUSER, name), stage)
    finally:
        servers.postgres.drop_database(name)


def run(app: Flask, *arguments: str, token: str = "", typed: tuple[str, ...] = ()) -> Result:
    """A command in a terminal whose KIBANDA_STAFF_SESSION is `token`; `typed` answers questions."""
    parts = app.extensions["kibanda"]
    held = {"kibanda_staff_session": SecretStr(token) if token else None}
    app.extensions["kibanda"] = replace(parts, settings=parts.settings.model_copy(update=held))
    try:
        return app.test_cli_runner().invoke(
            args=arguments, input="".join(f"{line}\n" for line in typed)
        )
    finally:
        app.extensions["kibanda"] = parts


_TOKENS: dict[tuple[str, str], str] = {}


def session_of(app: Flask, name: str) -> str:
    """The token of somebody of the demo's staff, who logs in once a test process."""
    parts = app.extensions["kibanda"]
    key = (parts.settings.database_url, name)
    if key not in _TOKENS:
        seals = credentials.sealer(parts.settings.pin_key_ring)
        for one in demo_staff.STAFF:
            demo_staff.add(parts.db, seals, one, now())
        attempt = parts.db.transact(lambda s: sessions.begin(s, name))
        code = credentials.code_at(demo_staff.secret_of(name), now())
        password = credentials.DEMO_PASSWORD
        step = sessions.check(attempt, seals, password, code, now(), demo=True)
        _TOKENS[key] = parts.db.transact(lambda s: sessions.start(s, attempt, step))
    return _TOKENS[key]


@dataclass
class Office:
    """The command line over a database that nobody else uses, and a way to make payments in it."""

    app: Flask
    admin_url: str
    stage: Stage

    def run(self, *arguments: str, by: str = "", typed: tuple[str, ...] = ()) -> Result:
        """A command; `by` is who of the demo's staff is logged in."""
        token = session_of(self.app, by) if by else ""
        return run(self.app, *arguments, token=token, typed=typed)

    @property
    def kiosk(self) -> Kiosk:
        """A town in the same database, whose people have money and agents."""
        parts = self.app.extensions["kibanda"]
        return Kiosk(parts.db, parts.market, parts.codes)

    def admin(self, statement: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as line:
            line.execute(statement.encode())

    def manual(self) -> PaymentView:
        """A payment that its biller never decided, so that staff must."""
        self.stage.biller.script = pending
        payment = self.stage.pay()
        self.stage.drain()
        self.stage.run(
            "UPDATE payments SET first_sent_at = now() - interval '1 day' WHERE id = :id",
            id=payment.id,
        )
        expiry.end_asking(self.stage.db, self.stage.market, now())
        assert self.stage.view(payment).state == "manual"
        return payment


def said(result: Result, *, code: int = 0) -> str:
    """Everything that a command wrote, if it ended with that code and in order."""
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.output


def refusal(result: Result, reason: str, *, code: int = 1) -> None:
    """A refusal is one line: its name, and a sentence."""
    line = said(result, code=code)
    assert re.fullmatch(rf"Error: {reason}: [A-Z].+\.\n", line), line


def proposed(office: Office, *command: str, by: str = "asha") -> str:
    """The reference of a case that somebody proposes."""
    told = said(office.run(*command, *EVIDENCE, by=by))
    found = re.fullmatch(
        rf"(\w{{8}}): \w+ proposed by {by}; another person must approve it\.\n", told
    )
    assert found, told
    return found[1]


def approved(office: Office, reference: str, *, by: str = "baraka") -> str:
    told = said(office.run("case", "approve", reference.lower(), by=by))
    assert told.startswith(f"{reference}: approved; ")
    return told.removeprefix(f"{reference}: approved; ").strip()

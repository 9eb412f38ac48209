"""The command line in this process, over a database that nobody else uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from click.testing import Result
from flask import Flask

from app.billers import expiry
from app.billers.payments import PaymentView
from app.factory import create_app
from app.settings import Settings
from tests.billers.played import pending
from tests.billers.stage import Stage, now


@contextmanager
def app_over(database_url: str) -> Iterator[Flask]:
    app = create_app(Settings(database_url=database_url))
    try:
        yield app
    finally:
        app.extensions["kibanda"].db.dispose()


@dataclass
class Office:
    """The command line over a database that nobody else uses, and a way to make payments in it."""

    app: Flask
    admin_url: str
    stage: Stage

    def run(self, *arguments: str) -> Result:
        return self.app.test_cli_runner().invoke(args=arguments)

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

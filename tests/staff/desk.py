"""The staff of a test: accounts with known passwords and codes, and what they do."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from app.db import Database
from app.errors import DomainError
from app.sealing import Sealer
from app.staff import accounts, credentials, sessions
from app.staff.accounts import Role, Staff
from app.staff.credentials import Credentials
from app.wallet.keys import new_key

PASSWORD = "correct horse battery"
HASHED = credentials.HASHER.hash(PASSWORD)
SEALS = credentials.sealer({1: secrets.token_bytes(32)})
TABLES = "cases, staff_events, staff_sessions, staff"


def now() -> datetime:
    return datetime.now(UTC)


def refusal(call: Callable[[], Any]) -> tuple[str, dict[str, object]]:
    """The code and the facts with which a call is refused."""
    with pytest.raises(DomainError) as refused:
        call()
    return refused.value.code, refused.value.facts


@dataclass
class Desk:
    """A staff table of one's own; every step is a transaction of its own."""

    db: Database
    admin_url: str
    secret_of: dict[str, str] = field(default_factory=dict)
    seals: Sealer = SEALS

    def add(self, name: str, *roles: Role, by: Staff | None = None) -> Staff:
        staff_id, secret = new_key(), credentials.new_secret()
        kept = Credentials(HASHED, self.seals.seal(secret.encode(), staff_id.bytes))
        made = self.db.transact(
            lambda s: accounts.add(s, staff_id, name, roles, kept, by=by, now=now())
        )
        self.secret_of[name] = secret
        return made

    def code(self, name: str, steps: int = 0) -> str:
        """What the phone shows, so many steps of 30 seconds from now."""
        return credentials.code_at(self.secret_of[name], now() + timedelta(seconds=30 * steps))

    def attempt(self, name: str) -> sessions.Attempt:
        return self.db.transact(lambda s: sessions.begin(s, name))

    def login(
        self,
        name: str,
        password: str = PASSWORD,
        code: str | None = None,
        *,
        at: datetime | None = None,
        demo: bool = False,
    ) -> str:
        """The token of a session; a right code unless another is given."""
        attempt = self.attempt(name)
        typed = self.code(name) if code is None else code
        step = sessions.check(attempt, self.seals, password, typed, at or now(), demo=demo)
        return self.db.transact(lambda s: sessions.start(s, attempt, step))

    def acting(self, token: str, *needed: Role) -> Staff:
        return self.db.transact(lambda s: sessions.acting(s, token, needed))

    def rows(self, query: str, **values: Any) -> list[Any]:
        return self.db.transact(lambda s: list(s.execute(text(query), values)))

    def admin(self, statement: str) -> None:
        """As the superuser, for the time that a test does not have."""
        with psycopg.connect(self.admin_url, autocommit=True) as line:
            line.execute(statement.encode())

    def as_application(self, statement: str) -> None:
        """Any statement, as the role of the web and the command line."""
        self.db.transact(lambda s: s.execute(text(statement)))

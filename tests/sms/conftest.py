"""A database of its own for the SMS tests: no worker of another test looks at its messages."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from app import markets
from app.db import Database
from app.gateways.africastalking_sms import AfricasTalkingSms
from app.markets import Market
from app.notices import Recipient, notify
from app.text import Catalogues
from app.wallet.codes import Codes
from app.wallet.keys import new_key
from launcher.postgres import APPLICATION, DATABASE, OWNER
from launcher.servers import Servers
from tests.gateways.messaging_server import MessagingServer
from tests.ports import free_port

MARKET = markets.load("demo")
CATALOGUES = Catalogues(MARKET.languages)
TO = "+254711000001"
PAID: dict[str, Any] = {
    "amount_minor": 20_000,
    "fee_minor": 1_000,
    "total_minor": 21_000,
    "tokens": ["12345678901234567890"],
    "reference": "7Q4M2XKD",
    "product": "Stima token",
    "customer_no": "54100234563",
    "balance_minor": 479_000,
    "at": "2026-11-22T11:05:00+00:00",
}


@pytest.fixture(scope="session")
def sms_urls(servers: Servers, own_name: str) -> tuple[str, str]:
    """A clone of the migrated database: for the application's role, and for the owner."""
    name = f"kibanda_sms_{own_name}"
    servers.postgres.create_database(name, template=DATABASE)
    return servers.url(APPLICATION, name), servers.url(OWNER, name)


@dataclass
class Office:
    """What `outbound` needs of the process, and what a test asks of the tables."""

    db: Database
    owner: psycopg.Connection[dict[str, Any]]
    market: Market
    catalogues: Catalogues
    server: MessagingServer
    codes: Codes = field(default_factory=lambda: Codes({1: secrets.token_bytes(32)}))
    sms_gateway: AfricasTalkingSms = field(init=False)

    def __post_init__(self) -> None:
        self.sms_gateway = AfricasTalkingSms(
            username="sandbox", api_key="k", api_url=self.server.url, read_seconds=1.0
        )

    def owe(
        self,
        kind: str = "payment_paid",
        facts: Mapping[str, Any] = PAID,
        *,
        language: str = "en",
        msisdn: str = TO,
        at: datetime | None = None,
    ) -> UUID:
        """A message that is due now, by whatever clock it was noted."""
        message_id = new_key()
        self.db.transact(
            lambda session: notify(
                session,
                kind,
                Recipient(msisdn, language),
                message_id=message_id,
                subject=message_id,
                facts=facts,
                now=at or datetime.now(UTC),
            )
        )
        return message_id

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """A query of the owner, committed at once."""
        cursor = self.owner.execute(query, values)
        return cursor.fetchall() if cursor.description else []

    def row(self, message_id: UUID) -> dict[str, Any]:
        (row,) = self.sql(
            "SELECT *, due_at - clock_timestamp() AS due_in FROM messages WHERE id = %s",
            message_id,
        )
        return row

    def make_due(self) -> None:
        """As if the wait until the next try were over, and every lease with it."""
        self.sql(
            "UPDATE messages SET due_at = clock_timestamp(), lease_until ="
            " CASE WHEN state = 'sending' THEN clock_timestamp() END WHERE due_at IS NOT NULL"
        )

    def age(self, hours: int) -> None:
        self.sql("UPDATE messages SET created_at = created_at - make_interval(hours => %s)", hours)


@pytest.fixture
def quiet_office(sms_urls: tuple[str, str]) -> Iterator[Office]:
    """Empty tables, and a gateway at whose port nobody listens yet."""
    application, owner = sms_urls
    db = Database(application)
    with psycopg.connect(owner, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(
            "TRUNCATE messages, deliveries, delivery_reports, one_time_codes CASCADE"
        )
        yield Office(db, connection, MARKET, CATALOGUES, MessagingServer(free_port()))
    db.dispose()


@pytest.fixture
def office(quiet_office: Office) -> Iterator[Office]:
    """The same with a gateway that works unless its script says otherwise."""
    with quiet_office.server.listening():
        yield quiet_office

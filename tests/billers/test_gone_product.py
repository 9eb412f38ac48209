"""A product that left the market file: what was bought of it can still be looked at."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import markets
from app.billers.tokens import grouped
from app.factory import build_runtime
from app.gateways.africastalking import GATEWAY
from app.gateways.wire import Event, UssdRequest
from app.runtime import Runtime
from app.settings import Settings
from app.wallet import people
from tests.billers.played import PlayedBiller
from tests.billers.stage import Stage

PIN = "7391"


@pytest.fixture
def later(runtime: Runtime, redis_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """The system over a market file in which the product has another code."""
    market = tmp_path / "later.toml"
    text = (markets.FOLDER / "demo.toml").read_text()
    market.write_text(text.replace('code = "stima_token"', 'code = "stima_new"'))
    here = runtime.settings.database_url
    parts = build_runtime(
        Settings(database_url=here, redis_url=redis_url, kibanda_market=str(market))
    )
    yield parts
    parts.db.dispose()


@dataclass
class Phone:
    """One session after another with the gateway that accumulates what is typed."""

    msisdn: str
    session: str = ""
    typed: str = ""

    def dial(self, parts: Runtime) -> str:
        self.session, self.typed = f"ATUid_{secrets.token_hex(16)}", ""
        return self._step(parts, "new")

    def reply(self, parts: Runtime, *inputs: str) -> str:
        shown = ""
        for one in inputs:
            self.typed = f"{self.typed}*{one}" if self.typed else one
            shown = self._step(parts, "input")
        return shown

    def _step(self, parts: Runtime, event: Event) -> str:
        hop = (self.session, self.msisdn, "*384*123#", "99999", event, self.typed)
        return parts.engine.step(UssdRequest(GATEWAY, *hop)).text


def option(screen: str, words: str) -> str:
    """The key of the line that says this."""
    return next(line.split()[0] for line in screen.splitlines() if words in line)


def test_it_is_named_by_its_code(
    runtime: Runtime, later: Runtime, biller: PlayedBiller, add_person: Callable[..., str]
) -> None:
    stage = Stage(runtime.db, runtime.market, "stima", biller)
    phone = Phone(add_person("en", 1_000_000))
    person = runtime.db.transact(lambda session: people.find(session, phone.msisdn))
    assert person
    paid = stage.drain_until(stage.pay(person), "captured")

    home = phone.dial(later)
    detail = phone.reply(later, option(home, "payments"), "1")
    assert detail.startswith(f"stima_token {paid.customer_no}"), detail

    phone.dial(later)
    shown = phone.reply(later, option(home, "token"), PIN, "1")
    assert paid.token
    assert grouped(paid.token) in shown

    # A session may cross the release: it was offered while the product was there.
    home = phone.dial(runtime)
    again = phone.reply(later, option(home, "again"))
    assert again.startswith("stima_token is not working now"), again

"""Every product of every market file, paid at the sandbox: a new biller is tried as soon as it
stands in a file.

All are paid at once. Each biller that is spoken to loses its first reply after the sale: it must
not sell that again, and undo it where the file says so. `KIBANDA_TEST_MARKETS=mine.toml` tries a
file of your own besides.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from app import markets
from app.billers import hours, payments
from app.billers.batches import close_days, read_answers
from app.billers.fulfilment import Fulfilment
from app.billers.inquiries import Inquiries
from app.billers.payments import PaymentView
from app.billers.protocols import Family, wires
from app.billers.quotes import bounds, quote
from app.db import Database
from app.markets import Biller, Market, Product
from app.settings import Settings
from app.wallet import intents, ledger, people
from app.wallet.keys import new_key
from app.wallet.people import Person
from launcher import market
from launcher.billers import Whereabouts
from launcher.postgres import APPLICATION, DATABASE
from launcher.servers import Servers
from tests.billers.stage import now
from tests.outside_world import ROOT, Sandbox, running_sandbox
from tests.people import fresh_meter, fresh_msisdn
from tests.ports import free_port

MARKETS = ("demo", "demo_id", *os.environ.get("KIBANDA_TEST_MARKETS", "").split())
PRODUCTS = [
    (name, code, product)
    for name in MARKETS
    for code, rules in markets.load(name).billers.items()
    for product in rules.products
]
QUICK: dict[str, Any] = {"ask_after_seconds": (1,), "timeout_seconds": 3}
SECONDS = 60.0
_CLASS = re.compile(r"\[(.)-.\]|\\d|([A-Z0-9])")


def number_of(product: Product, region: str) -> str:
    """A customer number that such a product can have, and that its biller in the sandbox knows."""
    rules = product.customer
    if rules.kind == "phone":
        return fresh_msisdn(region)
    if rules.luhn:
        return fresh_meter()
    if rules.pattern:  # 1 stands for every digit and A for every letter
        each = {"0": "1", "A": "A", "": "1"}
        signs = _CLASS.sub(lambda m: m[2] or each[m[1] or ""], rules.pattern)
        return re.sub(r"(.)\{(\d+)\}", lambda m: m[1] * int(m[2]), signs)
    return f"1{'0' * (rules.least - 3)}{secrets.choice('1234567')}7"


@dataclass
class Country:
    """A market with its billers in the sandbox, and what was paid there, by product code.

    `undone`: what came back first, at a biller whose silence is answered by undoing the sale.
    """

    db: Database
    market: Market
    wires: dict[str, Family]
    sandbox: Sandbox
    settings: Settings
    paid: dict[str, PaymentView] = field(default_factory=dict)
    undone: dict[str, PaymentView] = field(default_factory=dict)

    def person(self) -> Person:
        line, currency = f"test-{secrets.token_hex(8)}", self.market.currency.code
        amount_minor = self.market.tiers[self.market.default_tier].balance_minor

        def work(session: Any) -> Person:
            who = people.register(
                session, person_id=new_key(), msisdn=fresh_msisdn(self.market.region),
                name="Amina Wanjiru", language=self.market.default_language,
                tier=self.market.default_tier, currency=currency, now=now(),
            )  # fmt: skip
            ledger.record_bank_line(
                session, line_id=line, amount_minor=amount_minor, currency=currency,
                booked_on=now().date(), maker="maker",
            )  # fmt: skip
            ledger.approve_bank_line(session, line_id=line, checker="checker")
            ledger.deposit(session, bank_line_id=line, account_id=who.wallet_id, now=now())
            return who

        return self.db.transact(work)

    def pay(self, product: Product) -> PaymentView:
        """As a phone does: ask whose number it is, agree to the price, confirm."""
        who, at = self.person(), now()
        number = number_of(product, self.market.region)
        bill = Inquiries(self.db, self.market, self.wires).inquire(product.code, number, at=at)
        least, _ = bounds(product, bill)
        agreed = quote(
            self.market, product.code, number, bill.name, bill.owed_minor or least, at=at, bill=bill
        )
        intent_id = new_key()

        def work(session: Any) -> PaymentView:
            intents.open_intent(
                session, intent_id, session_hash=secrets.token_bytes(16), person_id=who.id,
                kind="bill_payment", fingerprint=agreed.fingerprint,
                deadline=at + timedelta(seconds=120),
            )  # fmt: skip
            return payments.confirm(
                session, self.market, intent_id=intent_id, person=who, quote=agreed, now=at
            )

        return self.db.transact(work)

    def settle(self) -> None:
        """Work until all is paid or the time is over; the day of the files ends at once."""
        worker = Fulfilment(self.db, self.market, self.wires)
        for rules in self.market.billers.values():
            if rules.family == "file":
                over = hours.next_cut_off(rules, self.market.zone, now()) + timedelta(seconds=1)
                close_days(self.db, self.market, self.wires, over)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            worker.drain(stop=lambda: False, seconds=1)
            read_answers(self.db, self.market, self.wires, now())
            self.paid = {code: self.view(payment) for code, payment in self.paid.items()}
            if all(one.state in ("captured", "released") for one in self.paid.values()):
                break
            time.sleep(0.2)
        worker.finish(5)

    def view(self, payment: PaymentView) -> PaymentView:
        return self.db.transact(lambda session: payments.outcome(session, payment.id))

    def names_of(self, payment: PaymentView) -> set[str]:
        """What the biller may call it: our reference, or the RRN of ISO 8583."""
        return {payment.biller_ref, f"{self.serial(payment):012d}"}

    def serial(self, payment: PaymentView) -> int:
        row = self.db.transact(
            lambda session: session.connection().exec_driver_sql(
                "SELECT serial FROM payments WHERE id = %s", (payment.id,)
            ).one()
        )  # fmt: skip
        return int(row.serial)


def quickly(market: Market) -> Market:
    """Asking waits a second; who is paid by file is not asked."""
    quick = {
        code: rules if rules.family == "file" else Biller.model_validate(rules.model_dump() | QUICK)
        for code, rules in market.billers.items()
    }
    return market.model_copy(update={"billers": quick})


def lose_first_replies(country: Country) -> None:
    for code, rules in country.market.billers.items():
        if rules.family != "file":
            fault = {"target": f"biller:{code}", "kind": "lost_reply", "times": 1}
            requests.post(f"{country.sandbox.url}/faults", json=fault, timeout=5).raise_for_status()


@contextmanager
def paid_in(
    servers: Servers, name: str, database: str, data: Path, *, only: str | None = None
) -> Iterator[Country]:
    """All products of a market, or of one biller of it, paid."""
    told = market.read(ROOT, name)
    nowhere = "http://127.0.0.1:1"
    where = Whereabouts(nowhere, nowhere, data, told.biller_ports(free_port))
    played = told.of_sandbox() | {
        "SANDBOX_BILLERS": told.of_billers(where)["SANDBOX_BILLERS"],
    }
    with running_sandbox(nowhere, data, **played) as sandbox:
        credentials = told.of_billers(replace(where, sandbox=sandbox.url))["BILLER_CREDENTIALS"]
        loaded = quickly(markets.load(name))
        db = Database(servers.url(APPLICATION, database), pool_size=12)
        settings = Settings(kibanda_market=name, biller_credentials=json.loads(credentials))
        country = Country(db, loaded, wires(loaded, settings), sandbox, settings)
        lose_first_replies(country)
        for code in (only,) if only else loaded.billers:
            for product in loaded.billers[code].products:
                country.paid[product.code] = country.pay(product)
        country.settle()
        for code, payment in country.paid.items():
            _, rules, product = loaded.product(code)
            if rules.silence_policy == "reverse" and payment.state == "released":
                country.undone[code] = payment
                country.paid[code] = country.pay(product)
        country.settle()
        yield country
        db.dispose()


@pytest.fixture(scope="module")
def countries(
    servers: Servers, own_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Country]]:
    """Each market by its name, over a database of its own, once."""
    opened: dict[str, Country] = {}
    with ExitStack() as stack:

        def open_once(name: str) -> Country:
            if name not in opened:
                database = f"kibanda_{own_name}_{secrets.token_hex(4)}"
                servers.postgres.create_database(database, template=DATABASE)
                stack.callback(servers.postgres.drop_database, database)
                data = tmp_path_factory.mktemp("sandbox")
                opened[name] = stack.enter_context(paid_in(servers, name, database, data))
            return opened[name]

        yield open_once


@pytest.mark.parametrize(
    ("name", "code", "product"),
    PRODUCTS,
    ids=[f"{name}-{product.code}" for name, _, product in PRODUCTS],
)
def test_it_is_paid_and_sold_once(
    countries: Callable[[str], Country], name: str, code: str, product: Product
) -> None:
    judge(countries(name), code, product)


def judge(country: Country, code: str, product: Product) -> None:
    """It is paid, and sold once in the biller's own books."""
    payment = country.paid[product.code]
    reverses = country.market.billers[code].silence_policy == "reverse"
    assert payment.state == "captured"
    assert bool(payment.tokens) == (product.sells == "token")
    sales = country.sandbox.get(f"/billers/{code}/sales").json()
    assert (product.code in country.undone) == reverses
    if reverses:
        undone = country.names_of(country.undone[product.code])
        assert not undone & {one["ref_id"] for one in sales}
    (sale,) = (one for one in sales if one["ref_id"] in country.names_of(payment))
    assert country.market.currency.parse(str(sale["amount"])) == payment.amount_minor
    assert (sale["sku"], sale["customer_no"]) == (product.sku, payment.customer_no)

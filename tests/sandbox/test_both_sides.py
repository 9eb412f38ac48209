"""Kibanda's wires against the sandbox that the launcher sets up: each biller of the demo market.

Everything else here asks the sandbox in literal payloads; this proves that both sides read the
families' rules alike, in words, amounts and signatures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import count

import pytest

from app import markets
from app.billers.protocols import wires
from app.billers.protocols.answers import Answer, Bill, Family, InquiryError, Order, Outcome
from app.billers.protocols.file_lines import Head, Payable, read_answer, written
from app.billers.protocols.files import DayFiles
from app.markets.model import Market
from app.settings import Settings
from launcher import market as market_file
from launcher.billers import Whereabouts
from tests.outside_world import ROOT, Sandbox, StandIn, running_sandbox, wait_until
from tests.ports import free_port

_serials = count(1)
# Biller's product → a number that exists, and what is bought in minor units where nothing is owed.
SOLD = {
    "stima_token": ("54100234563", 50_000),
    "stima_bill": ("12345671", None),
    "jiji_token": ("54100234563", 12_300),
    "jiji_bill": ("12345672", None),
    "maji_bill": ("12345673", None),
    "afya_premium": ("123456784", None),
    "king_basic": ("1234567890", 60_000),
    "bando_day": ("0711000001", 2_000),
    "serikali_fee": ("AB123456", None),
}
LISTS = ("sales", "undone")
SIGNED = ("stima_token", "stima_bill", "maji_bill", "afya_premium", "king_basic", "bando_day")


@dataclass
class Sides:
    """The demo market, its wires, and the sandbox around them."""

    market: Market
    wires: dict[str, Family]
    sandbox: Sandbox
    kibanda: StandIn

    def biller_of(self, code: str) -> str:
        return next(
            name
            for name, rules in self.market.billers.items()
            if code in [product.code for product in rules.products]
        )

    def inquire(self, code: str, number: str, ref: str = "ref-inquiry") -> Bill | None:
        biller = self.biller_of(code)
        products = self.market.billers[biller].products
        product = next(product for product in products if product.code == code)
        return self.wires[biller].inquire(product, number, ref)

    def order(self, code: str, *, other: bool = False) -> Order:
        """An order of this product, for all that is owed where something is; or of a customer who
        has paid nothing yet.
        """
        number, amount_minor = SOLD[code]
        number = f"2{number[1:]}" if other and amount_minor is None else number
        biller, serial = self.biller_of(code), next(_serials)
        products = self.market.billers[biller].products
        product = next(product for product in products if product.code == code)
        ref = f"both-{code}-{serial}"
        bill = self.inquire(code, number, ref) if product.inquiry else None
        if bill is not None and bill.owed_minor:
            assert bill.name
            assert sum(line.total_minor for line in bill.lines) in (0, bill.owed_minor)
            amount_minor = bill.owed_minor
        assert amount_minor is not None
        return Order(
            biller_ref=ref,
            sku=product.sku,
            customer_no=number,
            amount_minor=amount_minor,
            sells_token=product.sells == "token",
            owes=product.owes,
            bill_ref=bill.bill_ref if bill else "",
            serial=serial,
            first_sent_at=datetime.now(UTC),
        )

    def settled(self, wire: Family, order: Order, answer: Answer) -> Answer:
        """The answer, or what asking makes of it."""
        for request in range(2, 40):
            if answer.outcome is not Outcome.UNKNOWN:
                break
            time.sleep(0.05)
            later = replace(order, request=request, biller_txn=answer.biller_txn)
            answer = wire.follow_up(later)
        return answer


@pytest.fixture(scope="module")
def shared(shared_kibanda: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    data = tmp_path_factory.mktemp("both")
    told = market_file.read(ROOT, "demo")
    ports = told.biller_ports(free_port)
    http = free_port()
    where = Whereabouts(f"http://127.0.0.1:{http}", shared_kibanda.url, data, ports)
    environment = told.of_billers(where)
    market = markets.load("demo")
    settings = Settings.model_validate(
        {"biller_credentials": json.loads(environment["BILLER_CREDENTIALS"])}
    )
    extra = {**told.of_sandbox(), "SANDBOX_BILLERS": environment["SANDBOX_BILLERS"]}
    with running_sandbox(shared_kibanda.url, data, port=http, **extra) as sandbox:
        yield Sides(market, wires(market, settings), sandbox, shared_kibanda)


@pytest.fixture
def sides(shared: Sides, kibanda: StandIn) -> Iterator[Sides]:
    yield shared
    shared.sandbox.clear_faults()


def sold(sides: Sides, biller: str, customer_no: str) -> list[dict[str, object]]:
    sales = sides.sandbox.get(f"/billers/{biller}/sales").json()
    return [sale for sale in sales if sale["customer_no"] == customer_no]


@pytest.mark.parametrize("code", SOLD)
def test_a_purchase_is_paid_once_and_for_the_amount(sides: Sides, code: str) -> None:
    biller, order = sides.biller_of(code), sides.order(code)
    before = len(sold(sides, biller, order.customer_no))
    wire = sides.wires[biller]
    answer = sides.settled(wire, order, wire.pay(order))
    assert answer.outcome is Outcome.PAID, answer
    sales = sold(sides, biller, order.customer_no)
    assert len(sales) == before + 1
    exponent = sides.market.currency.exponent
    assert float(str(sales[-1]["amount"])) * 10**exponent == order.amount_minor
    if order.sells_token:
        assert answer.tokens == tuple(sales[-1]["tokens"])  # type: ignore[arg-type]
    if order.owes:
        with pytest.raises(InquiryError) as nothing:
            sides.inquire(code, order.customer_no, f"{order.biller_ref}-again")
        assert nothing.value.nothing_owed


@pytest.mark.parametrize("code", SIGNED)
def test_a_webhook_is_taken(sides: Sides, code: str) -> None:
    biller, order = sides.biller_of(code), sides.order(code, other=True)
    wire = sides.wires[biller]
    wire.pay(order)
    wait_until(lambda: sides.kibanda.webhooks_of(order.biller_ref))
    hook = sides.kibanda.webhooks_of(order.biller_ref)[0]
    heard = wire.hear(hook.headers, hook.body, datetime.now(UTC))
    assert (hook.biller, heard.biller_ref) == (biller, order.biller_ref)
    if heard.judge is not None:
        assert heard.judge(order).outcome is Outcome.PAID


@pytest.mark.parametrize(
    ("code", "outcome", "sales", "undone"),
    [("jiji_token", Outcome.PAID, 1, 0), ("serikali_fee", Outcome.REFUSED, 0, 1)],
)
def test_a_lost_reply_is_advised_or_reversed(
    sides: Sides, code: str, outcome: Outcome, sales: int, undone: int
) -> None:
    biller, order = sides.biller_of(code), sides.order(code, other=True)
    counted = [len(sides.sandbox.get(f"/billers/{biller}/{what}").json()) for what in LISTS]
    wire = sides.wires[biller]
    sides.sandbox.fault(f"biller:{biller}", "cut")
    first = wire.pay(order)
    assert first.outcome is Outcome.UNKNOWN
    assert sides.settled(wire, order, first).outcome is outcome
    after = [len(sides.sandbox.get(f"/billers/{biller}/{what}").json()) for what in LISTS]
    assert after == [counted[0] + sales, counted[1] + undone]


def test_a_days_file_is_answered(sides: Sides) -> None:
    bill = sides.inquire("shule_fees", "100001")
    assert bill is not None
    assert bill.owed_minor
    wire = sides.wires["shule"]
    assert isinstance(wire, DayFiles)
    head = Head("shule", "shule-20261127-01", date(2026, 11, 27))
    paid = Payable("both-file-1", "100001", bill.owed_minor, "Otieno, Juma", "FEES")
    unknown = Payable("both-file-2", "999999", 500, "Nobody", "FEES")
    wire.put(head.name, written(head, [paid, unknown], sides.market.currency))
    wait_until(lambda: wire.answer_stamp(head.name))
    ours = {one.reference: one.amount_minor for one in (paid, unknown)}
    verdicts = read_answer(wire.answer(head.name), head, ours, sides.market.currency)
    assert [(one.reference, one.says) for one in verdicts] == [
        ("both-file-1", "ACCEPTED"),
        ("both-file-2", "REJECTED"),
    ]
    rules = sides.market.billers["shule"]
    assert verdicts[1].judge(rules, head.name).outcome is Outcome.REFUSED

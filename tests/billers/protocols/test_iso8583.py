"""ISO 8583 billers from the purchase to the money, by both policies: advise and reverse."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from app.billers import settlement
from app.billers.claims import Work
from app.billers.inquiries import Inquiries
from app.billers.payments import PaymentView
from app.billers.protocols import wires
from app.billers.protocols.answers import Answer, WebhookError
from app.billers.protocols.iso8583 import link as links
from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.settings import Settings
from tests.billers import table
from tests.billers.played import PlayedBiller
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, market_with, now
from tests.billers.switch import (
    ACQUIRER,
    NAME,
    TERMINAL,
    TOKEN,
    Fields,
    Line,
    PlayedSwitch,
    answer_to,
    packed,
    played_switch,
)
from tests.billers.table import (
    CAPTURED,
    CUT,
    DUPLICATE,
    HONEST,
    LATE,
    LOST,
    MALFORMED,
    MANUAL,
    NO_TOKEN,
    NOT_FORMED,
    OTHER_AMOUNT,
    OTHER_REF,
    PENDING,
    REFUSE,
    REFUSE_LOST,
    RELEASED,
    SILENT,
    Kit,
    Play,
    Row,
    Said,
    Seen,
    Till,
)
from tests.people import fresh_meter

CODES = {
    "sold": "00", "pending": "68", "refused": "05", "not_formed": "91",
    "absent": "96", "duplicate": "94",
}  # fmt: skip
RULES: dict[str, Any] = {
    "family": "iso8583",
    "silence_policy": "advise",
    "refused_codes": ("05", "14"),
    "refused_first_codes": ("13", "30", "51", "91"),
}


@contextmanager
def serve(till: Till) -> Iterator[str]:
    """A switch that does to purchases, advices and reversals what the till says."""

    def script(line: Line, asked: Fields) -> None:
        rrn, about = asked["37"], asked["48"].ljust(32)
        undoes = asked["t"].startswith("04")
        said = till.take(
            rrn, about[12:].strip(), about[:12].strip(), int(asked["4"]), buys=not undoes
        )
        if undoes and said.word != "duplicate":
            answer = reversed_by(till, asked, said)
        else:
            code = CODES[said.word]
            told = f"{len(said.sale.tokens)}{''.join(said.sale.tokens)}" if code == "00" else ""
            answer = answer_to(
                asked, code, told, f4=f"{said.sale.amount_minor:012d}",
                f37=said.sale.ref if said.sale.ref == "0" * 12 else rrn,
            )  # fmt: skip
        send(line, answer, said)

    with played_switch() as switch:
        switch.script = script
        yield switch.url
        links.close_all()


def reversed_by(till: Till, asked: Fields, said: Said) -> Fields:
    """Whoever plays `says="pending"` cannot undo now; everybody else does, or never had it."""
    amount = f"{said.sale.amount_minor:012d}"
    if said.word == "pending":
        return answer_to(asked, "96")
    undone = till.undo(asked["37"])
    return answer_to(asked, "00" if undone else "25", f4=amount)


def send(line: Line, answer: Fields, said: Said) -> None:
    content = packed(answer)
    if said.how == "late":
        time.sleep(table.LATE_SECONDS)
    if said.how in ("whole", "late"):
        line.raw(content)
    elif said.how == "cut":
        line.raw(content[: len(content) // 2])
        line.cut()
    elif said.how == "malformed":
        line.raw(content[:6] + b"?" * (len(content) - 6))


def parted(rows: Sequence[Row]) -> tuple[Row, ...]:
    """A biller, and so a link, for each row that ends its link: it would end the others' calls."""
    return tuple(
        replace(row, rules=(*row.rules, ("name", f"Switch {number}")))
        if {play.how for play in row.plays} & {"cut", "malformed"}
        else row
        for number, row in enumerate(rows)
    )


ADVISE = Kit(
    family="iso8583",
    serve=serve,
    rules={**RULES, "breaker_failures": 100},
    product={"sells": "token"},
    http=False,
    asks=False,
    credentials={"username": ACQUIRER, "api_key": TERMINAL},
)
REVERSE = replace(ADVISE, rules={**ADVISE.rules, "silence_policy": "reverse"})
CANNOT_UNDO = Play(says="pending")
ADVISED = parted(
    table.rows(
        ADVISE,
        Row("never arrived, the advice sells it", (SILENT, HONEST), CAPTURED, most=2),
        Row("never arrived, the advice is refused", (SILENT, REFUSE), RELEASED),
        Row("duplicate to a first request that was sold", (Play(says="duplicate"), HONEST),
            CAPTURED, most=2),
        Row("duplicate for ever", (Play(says="duplicate"),), MANUAL, over_after=3),
        Row("cut without a word", (SILENT, CUT, CUT, HONEST), CAPTURED),
    )
)  # fmt: skip
REVERSED = parted(
    (
        Row("sold at once", (HONEST,), CAPTURED, most=1),
        Row("two tokens", (Play(tokens=table.TOKENS[:2]),), CAPTURED, most=1),
        Row("refused", (REFUSE,), RELEASED, most=1),
        Row("not formed", (NOT_FORMED,), RELEASED, most=1),
        Row("sold, reply lost, reversed", (LOST, HONEST), RELEASED, most=2),
        Row("refused, reply lost", (REFUSE_LOST, HONEST), RELEASED, most=2),
        Row("never arrived", (SILENT, HONEST), RELEASED, most=2),
        Row("late answer", (LATE, HONEST), RELEASED),
        Row("reply cut in the middle", (CUT, HONEST), RELEASED, most=2),
        Row("reply malformed", (MALFORMED, HONEST), RELEASED, most=2),
        Row("another amount", (OTHER_AMOUNT, HONEST), RELEASED, most=2),
        Row("somebody else's answer", (OTHER_REF, HONEST), RELEASED, most=2),
        Row("duplicate to a sold first", (Play(says="duplicate"), HONEST), RELEASED, most=2),
        Row("pending", (PENDING, HONEST), RELEASED, most=2),
        Row("no token", (NO_TOKEN, HONEST), RELEASED, most=2),
        Row("cannot undo now", (LOST, CANNOT_UNDO, CANNOT_UNDO, HONEST), RELEASED, most=4),
        Row("cannot undo ever", (LOST, CANNOT_UNDO), MANUAL, over_after=3),
        Row("the reversal's answer is lost", (LOST, LOST, HONEST), RELEASED, most=3),
        Row("the reversal's answer is cut", (LOST, CUT, HONEST), RELEASED, most=3),
        Row("the reversal is a duplicate", (LOST, DUPLICATE, HONEST), RELEASED, most=3),
        Row("the reversal undid another amount", (LOST, OTHER_AMOUNT), MANUAL, over_after=3),
        Row("no reversal is answered", (LOST, LOST), MANUAL, over_after=3),
    )
)


@pytest.fixture(scope="module")
def advised(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, ADVISE, ADVISED)


@pytest.fixture(scope="module")
def reversed_(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, REVERSE, REVERSED)


@pytest.mark.parametrize("row", ADVISED, ids=lambda row: row.name)
def test_what_becomes_of_it_where_silence_is_advised(advised: dict[str, Seen], row: Row) -> None:
    table.check(row, advised[row.name])


@pytest.mark.parametrize("row", REVERSED, ids=lambda row: row.name)
def test_what_becomes_of_it_where_silence_is_reversed(reversed_: dict[str, Seen], row: Row) -> None:
    table.check(row, reversed_[row.name])


@dataclass
class SwitchStage(Stage):
    """A stage whose biller is a switch."""

    switch: PlayedSwitch

    @property
    def settings(self) -> Settings:
        account = {"url": self.switch.url, "username": ACQUIRER, "api_key": TERMINAL}
        return Settings.model_validate({"biller_credentials": {self.code: account}})

    def follow_up(self) -> tuple[Work, Callable[[], Answer]]:
        """What another worker claims now, and its call to the biller."""
        (work,) = self.claim()
        assert not work.buys
        wire = wires(self.market, self.settings)[self.code]
        return work, lambda: wire.follow_up(work.order)

    def record(self, work: Work, answer: Answer) -> str:
        settle = partial(
            settlement.record, market=self.market, claim=work.claim, answer=answer, now=now()
        )
        return self.db.transact(settle)

    def about(self, payment: PaymentView) -> dict[str, Any]:
        """What became of the money and what the person was told."""
        view = self.view(payment)
        return {
            "state": view.state,
            "settled": self.house(f"settlement:{self.code}"),
            "sms": [kind for kind, _ in self.messages(payment)],
        }


@pytest.fixture
def switch() -> Iterator[PlayedSwitch]:
    with played_switch() as running:
        yield running
        links.close_all()


@pytest.fixture
def stage(db: Database, demo: Market, switch: PlayedSwitch) -> SwitchStage:
    code = f"i{secrets.token_hex(6)}"
    return SwitchStage(db, market_with(demo, code, **RULES), code, PlayedBiller(), switch)


def die_after_sending(stage: SwitchStage) -> Fields:
    """A worker claims, sends, and is no more; what it sent."""
    (work,) = stage.claim()
    assert work.buys
    told = wires(stage.market, stage.settings)[stage.code].pay(work.order)
    assert (told.outcome, told.reason) == ("unknown", "connection_lost")
    stage.end_lease()
    (sent,) = stage.switch.of("0200")
    return sent


def sell_and_hang_up(line: Line, asked: Fields, switch: PlayedSwitch) -> None:
    if asked["t"] == "0200":
        switch.sell(asked)
        line.cut()
    else:
        switch.honest(line, asked)


def test_after_a_kill_another_worker_advises_the_same_sale(
    stage: SwitchStage, switch: PlayedSwitch
) -> None:
    switch.script = partial(sell_and_hang_up, switch=switch)
    payment = stage.pay()
    sent = die_after_sending(stage)
    stage.drain()
    (advice,) = switch.of("0220", "0221")
    assert advice == sent | {"t": "0220"}
    assert stage.about(payment) == {
        "state": "captured", "settled": AMOUNT, "sms": ["payment_paid"],
    }  # fmt: skip
    assert stage.view(payment).tokens == (TOKEN,)
    assert list(switch.sold) == [sent["37"]]


def test_after_a_kill_another_worker_reverses_the_same_sale(
    stage: SwitchStage, switch: PlayedSwitch
) -> None:
    stage.rules(silence_policy="reverse")
    switch.script = partial(sell_and_hang_up, switch=switch)
    person = stage.person()
    payment = stage.pay(person)
    sent = die_after_sending(stage)
    stage.drain()
    (undo,) = switch.of("0400", "0401")
    assert undo["t"] == "0400"
    assert undo["90"] == f"0200{sent['11']}{sent['7']}{ACQUIRER.zfill(11)}{'0' * 11}"
    assert undo["11"] != sent["11"]
    same = ("3", "4", "7", "12", "13", "18", "32", "37", "41", "48", "49")
    assert {name: undo[name] for name in same} == {name: sent[name] for name in same}
    assert stage.about(payment) == {
        "state": "released", "settled": 0, "sms": ["payment_refused"],
    }  # fmt: skip
    assert stage.balance(person).available_minor == BALANCE
    assert switch.sold == {}


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [("advise", ["0220", "0221", "0221"]), ("reverse", ["0400", "0401", "0401"])],
)
def test_only_what_surely_goes_for_the_first_time_is_no_repeat(
    stage: SwitchStage, switch: PlayedSwitch, policy: str, kinds: list[str]
) -> None:
    stage.rules(silence_policy=policy)

    def silent_at_first(line: Line, asked: Fields) -> None:
        if asked["t"] != kinds[-1] or len(switch.of(kinds[-1])) < 2:
            switch.sell(asked)
            line.answer(asked, "96")
        else:
            switch.honest(line, asked)

    switch.script = silent_at_first
    payment = stage.pay()
    stage.drain_until(payment, "captured", "released")
    assert [asked["t"] for asked in switch.heard if asked["t"] != "0800"] == ["0200", *kinds]
    assert len({asked["37"] for asked in switch.of("0200", *kinds)}) == 1
    assert len({asked["11"] for asked in switch.of(*kinds)}) == 1


def paused_worker(stage: SwitchStage, switch: PlayedSwitch) -> tuple[threading.Event, Any, Any]:
    """A worker whose purchase is sold, and whose answer waits for the event that is returned."""
    stage.rules(silence_policy="reverse", timeout_seconds=8)
    go_on = threading.Event()

    def slow(line: Line, asked: Fields) -> None:
        if asked["t"] == "0200":
            switch.sell(asked)
            go_on.wait(8)
            line.answer(asked, "00", f"1{TOKEN}")
        else:
            switch.honest(line, asked)

    switch.script = slow
    pool = ThreadPoolExecutor(1)
    first = pool.submit(stage.drain)
    pool.shutdown(wait=False)
    switch.wait(lambda seen: bool(seen.of("0200")))
    stage.end_lease()
    return go_on, first, pool


@pytest.mark.parametrize("comes", ["before the reversal is sent", "after it was recorded"])
def test_a_late_success_never_captures_once_the_reversal_was_claimed(
    stage: SwitchStage, switch: PlayedSwitch, comes: str
) -> None:
    person = stage.person()
    payment = stage.pay(person)
    go_on, first, _ = paused_worker(stage, switch)
    work, undo = stage.follow_up()
    if comes == "before the reversal is sent":
        go_on.set()
        first.result()
        assert stage.about(payment) == {"state": "sent", "settled": 0, "sms": []}
        assert stage.balance(person).held_minor == AMOUNT + FEE
    assert stage.record(work, undo()) == "released"
    go_on.set()
    first.result()
    assert stage.about(payment) == {
        "state": "released", "settled": 0, "sms": ["payment_refused"],
    }  # fmt: skip
    assert stage.balance(person).available_minor == BALANCE
    assert "sold_before_reversal" in " ".join(stage.steps(payment))
    assert switch.sold == {}


def test_a_reversal_of_what_never_arrived_and_the_purchase_that_comes_after_it(
    stage: SwitchStage, switch: PlayedSwitch
) -> None:
    stage.rules(silence_policy="reverse")
    late: list[tuple[Line, Fields]] = []
    switch.script = lambda line, asked: (
        late.append((line, asked)) if asked["t"] == "0200" else switch.honest(line, asked)
    )
    payment = stage.pay()
    view = stage.drain_until(payment, "captured", "released")
    assert view.state == "released"
    switch.honest(*late[0])  # the purchase comes out of its hole now
    assert switch.sold == {}
    assert stage.about(payment)["sms"] == ["payment_refused"]


def test_thirty_two_sales_at_once_over_one_connection(
    stage: SwitchStage, switch: PlayedSwitch
) -> None:
    stage.rules(timeout_seconds=5)
    all_here = threading.Barrier(32)

    def together(line: Line, asked: Fields) -> None:
        all_here.wait(10)
        switch.honest(line, asked)

    switch.script = together
    person = stage.person()
    payments = [stage.pay(person, 5_000) for _ in range(32)]
    stage.drain(seconds=20)
    assert {stage.view(payment).state for payment in payments} == {"captured"}
    assert len(switch.lines) == 1
    assert len(switch.of("0200")) == 32
    assert stage.house(f"settlement:{stage.code}") == 32 * 5_000


def test_a_switch_that_cannot_be_reached_sells_nothing_and_keeps_the_hold(
    stage: SwitchStage, switch: PlayedSwitch
) -> None:
    """The payment was `sent` before the call, so nobody may say that nothing left."""
    switch.network = lambda line, _asked: line.cut()
    person = stage.person()
    payment = stage.pay(person)
    stage.drain()
    assert stage.about(payment) == {"state": "unknown", "settled": 0, "sms": []}
    assert stage.balance(person).held_minor == AMOUNT + FEE
    switch.network = None
    assert stage.drain_until(payment, "captured").state == "captured"
    assert switch.of("0200") == []
    assert len(switch.of("0220", "0221")) == 1


def test_whose_number_it_is(stage: SwitchStage, switch: PlayedSwitch) -> None:
    inquiries = Inquiries(stage.db, stage.market, wires(stage.market, stage.settings))
    meter = fresh_meter()
    bill = inquiries.inquire(stage.product, meter, at=now())
    assert (bill.customer_no, bill.name, bill.owed_minor) == (meter, "GRACE KAMAU", None)
    (asked,) = switch.of("0200")
    assert (asked["3"], asked["4"], asked["37"][0]) == ("380000", "0" * 12, "9")
    for said, code in (
        (("14",), "customer_unknown"),
        (("88",), "nothing_owed"),
        (("96",), "biller_down"),
        (("00", NAME), "biller_down"),
        ((), "biller_slow"),
    ):
        switch.script = lambda line, asked, said=said: said and line.answer(asked, *said)  # type: ignore[misc]
        with pytest.raises(DomainError, match=code):
            inquiries.inquire(stage.product, meter, at=now())


def test_the_bill_of_two_months_with_a_penalty(stage: SwitchStage, switch: PlayedSwitch) -> None:
    product = stage.market.billers[stage.code].products[0]
    owing = product.model_copy(update={"pay": "exact", "sells": "service", "sku": "maji"})
    stage.rules(products=(owing.model_dump(),))
    months = f"202608{120_000:012d}{5_000:012d}202609{90_000:012d}{0:012d}"
    switch.script = lambda line, asked: line.answer(asked, "00", f"{NAME}B02{months}")
    inquiries = Inquiries(stage.db, stage.market, wires(stage.market, stage.settings))
    bill = inquiries.inquire(stage.product, fresh_meter(), at=now())
    assert bill.owed_minor == 215_000
    assert [(line.label, line.total_minor) for line in bill.lines] == [
        ("08/2026", 125_000),
        ("09/2026", 90_000),
    ]


def test_there_are_no_webhooks(stage: SwitchStage) -> None:
    wire = wires(stage.market, stage.settings)[stage.code]
    with pytest.raises(WebhookError, match="no_webhooks"):
        wire.hear({}, b"{}", now())

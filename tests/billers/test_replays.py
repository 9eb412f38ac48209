"""A webhook that comes again, late or a thousand times; what contradicts a decided payment."""

from __future__ import annotations

from functools import partial

from app.billers import settlement, webhooks
from app.billers.payments import PaymentView
from app.billers.protocols import wires
from app.billers.protocols.answers import Answer, Outcome
from app.billers.settlement import ALARMS
from app.billers.states import State
from tests.billers.played import pending
from tests.billers.protocols.digiflazz_words import data_of, signed
from tests.billers.stage import AMOUNT, Stage, now
from tests.billers.table import TOKENS, Sale, Word

Sent = tuple[dict[str, str], bytes]
PAID = Answer(Outcome.PAID, "paid", "00", True, TOKENS[:1])
SILENCE = Answer(Outcome.UNKNOWN, "timeout")


def sent(payment: PaymentView, word: Word) -> Sent:
    sale = Sale(payment.biller_ref, payment.customer_no, "stima-token", AMOUNT, tokens=TOKENS[:1])
    return signed({"data": data_of(sale, word)})


def take_in(stage: Stage, webhook: Sent) -> State:
    told = wires(stage.market, stage.settings)[stage.code].hear(*webhook, now())
    heard = partial(
        webhooks.heard, market=stage.market, biller=stage.code, heard_of=told, now=now()
    )
    return stage.db.transact(heard)


def answered(stage: Stage, answer: Answer) -> PaymentView:
    """A payment whose first request was answered so."""
    payment = stage.pay()
    (work,) = stage.claim()
    stage.db.transact(
        partial(settlement.record, market=stage.market, claim=work.claim, answer=answer, now=now())
    )
    return payment


def alarms(kind: str) -> float:
    return ALARMS.labels(kind)._value.get()  # type: ignore[no-any-return]


def test_a_refusal_from_before_the_sale_takes_nothing_back(stage: Stage) -> None:
    payment = answered(stage, SILENCE)
    refusal, before = sent(payment, "refused"), alarms("refused_again")
    assert take_in(stage, refusal) == "unknown"
    stage.drain()
    assert stage.view(payment).state == "captured"
    for _ in range(3):
        assert take_in(stage, refusal) == "captured"
    assert stage.house(f"settlement:{stage.code}") == AMOUNT
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_paid"]
    assert alarms("refused_again") == before + 1


def test_a_sale_that_stands_after_all_rings(stage: Stage) -> None:
    payment = answered(stage, PAID)
    before = alarms("sold_after_return")
    assert take_in(stage, sent(payment, "refused")) == "returned"
    assert take_in(stage, sent(payment, "sold")) == "returned"
    assert alarms("sold_after_return") == before + 1


def test_a_flood_of_one_webhook_writes_one_line(stage: Stage) -> None:
    payment = answered(stage, PAID)
    lines = len(stage.steps(payment))
    for _ in range(30):
        take_in(stage, sent(payment, "sold"))
    assert len(stage.steps(payment)) <= lines + 1


def test_a_flood_does_not_ask_the_biller_for_us(stage: Stage) -> None:
    stage.rules(ask_after_seconds=(600,), manual_after_seconds=1200)
    stage.biller.script = pending
    payment = stage.pay()
    stage.drain()
    for _ in range(10):
        take_in(stage, sent(payment, "pending"))
        stage.drain()
    assert stage.biller.calls(payment.biller_ref) == 2

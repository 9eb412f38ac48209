"""Bills that an agent pays out of its float for somebody at the counter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from app.billers import expiry, payments, resolution, settlement
from app.billers.payments import PaymentView
from app.billers.protocols.answers import Answer, Outcome
from app.billers.quotes import Quote, at_counter, quote
from app.errors import DomainError
from app.sms import receipts
from app.text import Catalogues
from app.wallet import agents, commission, ledger, people
from app.wallet.agents import Agent
from app.wallet.people import Person
from tests.billers.played import Body, PlayedBiller, answer, pending, refuse
from tests.billers.stage import AMOUNT, BALANCE, FEE, Stage, now
from tests.people import fresh_meter, fresh_msisdn

# The demo market: the fee of 10.00 contains 1.30 tax; half of the rest is commission, of which a
# super-agent gets a fifth.
TAX, EARNED, ABOVE = 130, 435, 87


@dataclass
class Counter:
    """An agent below a super-agent, and a number that nobody has registered."""

    stage: Stage
    above: Agent
    agent: Agent
    person: Person
    customer: str

    def quote(self, amount_minor: int = AMOUNT, meter: str | None = None) -> Quote:
        return quote(
            self.stage.market,
            self.stage.product,
            meter or fresh_meter(),
            "GRACE KAMAU",
            amount_minor,
            at=now(),
            walk_in=at_counter(self.agent, self.customer),
        )

    def pay(self, amount_minor: int = AMOUNT) -> PaymentView:
        agreed = self.quote(amount_minor)
        return self.stage.confirm(self.person, agreed, self.stage.intent(self.person, agreed))

    @property
    def float(self) -> ledger.Balance:
        return self.stage.db.transact(lambda s: ledger.balance(s, self.agent.float_id))

    def earned(self, agent: Agent) -> int:
        return self.stage.db.transact(lambda s: commission.accrued_minor(s, agent.id))

    def told(self, payment: PaymentView) -> dict[str, dict[str, Any]]:
        """The facts of the SMS of a payment, by kind; each kind once."""
        messages = self.stage.messages(payment)
        assert len({kind for kind, _ in messages}) == len(messages)
        return dict(messages)

    def recipients(self, payment: PaymentView) -> dict[str, tuple[str, str]]:
        rows = self.stage.run(
            "SELECT kind, msisdn, language FROM messages WHERE subject = :id", id=payment.id
        )
        return {row.kind: (row.msisdn, row.language) for row in rows}


@pytest.fixture
def counter(stage: Stage) -> Counter:
    def agent_of(person: Person, parent: Agent | None) -> Agent:
        return stage.db.transact(
            lambda s: agents.appoint(
                s, people.get(s, person.id), name="Neema Kiosk", currency="KES",
                is_super=parent is None, parent=parent, now=now(),
            )
        )  # fmt: skip

    above = agent_of(stage.person(1), None)
    person = stage.person(1)
    agent = agent_of(person, above)
    stage.pay_in(agent.float_id, BALANCE)
    return Counter(stage, above, agent, person, fresh_msisdn())


def words(stage: Stage, kind: str, facts: dict[str, Any], language: str = "en") -> str:
    return receipts.render(Catalogues(("en", "sw")), stage.market, kind, language, facts)


def refusal(call: Any) -> DomainError:
    with pytest.raises(DomainError) as raised:
        call()
    return raised.value


def test_a_bill_is_paid_by_the_float_and_told_to_both(stage: Stage, counter: Counter) -> None:
    house = {name: stage.house(name) for name in ("fees", "tax", "commission")}
    payment = counter.pay()
    assert (payment.agent_id, payment.customer_msisdn) == (counter.agent.id, counter.customer)
    assert counter.float.held_minor == AMOUNT + FEE
    assert stage.balance(counter.person).held_minor == 0
    stage.drain()
    paid = stage.view(payment)
    assert paid.state == "captured"
    assert (counter.float.balance_minor, counter.float.held_minor) == (BALANCE - AMOUNT - FEE, 0)
    assert {name: stage.house(name) - was for name, was in house.items()} == {
        "tax": TAX, "commission": EARNED, "fees": FEE - TAX - EARNED,
    }  # fmt: skip
    assert stage.house(f"settlement:{stage.code}") == AMOUNT
    assert (counter.earned(counter.agent), counter.earned(counter.above)) == (EARNED - ABOVE, ABOVE)
    told = counter.told(payment)
    assert set(told) == {"bill_paid_by_you", "bill_paid_for_you"}
    assert counter.recipients(payment) == {
        "bill_paid_by_you": (counter.agent.msisdn, "en"),
        "bill_paid_for_you": (counter.customer, stage.market.default_language),
    }
    for_you, by_you = told["bill_paid_for_you"], told["bill_paid_by_you"]
    assert for_you["tokens"] == [paid.token]
    assert "tokens" not in by_you, "the token is the customer's"
    assert not {"float_minor", "balance_minor"} & set(for_you), "the float is the agent's business"
    assert by_you["float_minor"] == BALANCE - AMOUNT - FEE
    assert words(stage, "bill_paid_for_you", for_you).startswith(
        f"Neema Kiosk paid KES 500.00 for Stima token {paid.customer_no}. Token "
    )
    assert "Float KES 9,490.00." in words(stage, "bill_paid_by_you", by_you)
    assert stage.db.transact(ledger.verify) == []


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (0, "KES 500.00 for Stima token"),
        (1, "Token 1111-"),
        (3, "Tokens 1111-1111-1111-1111-1111 "),
    ],
)
def test_as_many_tokens_as_the_biller_gave(
    stage: Stage, counter: Counter, count: int, sentence: str
) -> None:
    payment = counter.pay()
    (work,) = stage.claim()
    sold = tuple(["1" * 20] * count)
    stage.db.transact(
        lambda s: settlement.record(
            s, stage.market, work.claim, Answer(Outcome.PAID, "ok", tokens=sold), now()
        )
    )
    facts = counter.told(payment)["bill_paid_for_you"]
    said = words(stage, "bill_paid_for_you", facts)
    assert sentence in said
    assert len(said) <= 160


def test_a_registered_customer_is_told_in_their_language(stage: Stage, counter: Counter) -> None:
    customer = stage.person()
    stage.run("UPDATE people SET language = 'sw' WHERE id = :id", id=customer.id)
    counter.customer = customer.msisdn
    payment = counter.pay()
    stage.drain()
    assert counter.recipients(payment)["bill_paid_for_you"] == (customer.msisdn, "sw")
    assert stage.balance(customer).balance_minor == BALANCE


@pytest.mark.parametrize("end", ["refused", "cancelled", "manual"])
def test_what_was_not_paid_goes_back_to_the_float(stage: Stage, counter: Counter, end: str) -> None:
    if end == "cancelled":
        payment = counter.pay()
        stage.run(
            "UPDATE payments SET expires_at = now() - interval '1 s' WHERE id = :id", id=payment.id
        )
        expiry.cancel_unsent(stage.db, stage.market, now())
    else:
        stage.biller.script = refuse("02") if end == "refused" else pending
        payment = counter.pay()
        stage.drain()
    if end == "manual":
        stage.run(
            "UPDATE payments SET first_sent_at = now() - interval '1 day' WHERE id = :id",
            id=payment.id,
        )
        expiry.end_asking(stage.db, stage.market, now())
        assert counter.float.held_minor == AMOUNT + FEE
        assert set(counter.told(payment)) == {"bill_manual_by_you", "bill_manual_for_you"}
        return
    assert (counter.float.available_minor, counter.float.held_minor) == (BALANCE, 0)
    assert counter.earned(counter.agent) == 0
    told = counter.told(payment)
    assert set(told) == {f"bill_{end}_by_you", "bill_not_paid_for_you"}
    assert f"float KES {BALANCE // 100:,}.00" in words(
        stage, f"bill_{end}_by_you", told[f"bill_{end}_by_you"]
    )
    assert "Get your KES 510.00 back from Neema Kiosk." in words(
        stage, "bill_not_paid_for_you", told["bill_not_paid_for_you"]
    )


def test_staff_decide_what_the_biller_left_open(stage: Stage, counter: Counter) -> None:
    stage.biller.script = pending
    payment = counter.pay()
    stage.drain()
    stage.run(
        "UPDATE payments SET first_sent_at = now() - interval '1 day' WHERE id = :id", id=payment.id
    )
    expiry.end_asking(stage.db, stage.market, now())
    decide(stage, payment, "paid", token="1234-5678-9012-3456-7890")
    assert set(counter.told(payment)) == {
        "bill_manual_by_you", "bill_manual_for_you", "bill_paid_by_you", "bill_paid_for_you",
    }  # fmt: skip
    assert counter.earned(counter.agent) == EARNED - ABOVE
    decide(stage, payment, "returned")
    assert stage.view(payment).state == "returned"
    assert stage.house(f"settlement:{stage.code}") == 0
    assert stage.db.transact(ledger.verify) == []


def decide(stage: Stage, payment: PaymentView, decision: Any, token: str | None = None) -> None:
    stage.db.transact(
        lambda s: resolution.propose(
            s,
            payment.reference,
            decision,
            token=token,
            evidence="a letter",
            maker="rose",
            now=now(),
        )
    )  # fmt: skip
    stage.db.transact(
        lambda s: resolution.approve(s, stage.market, payment.reference, checker="paul", now=now())
    )


def test_sold_after_the_float_had_it_back(stage: Stage, counter: Counter) -> None:
    stage.biller.script = refuse("02")
    payment = counter.pay()
    stage.drain()
    decide(stage, payment, "paid_late", token="1234-5678-9012-3456-7890")
    assert stage.view(payment).state == "paid_late"
    assert counter.float.available_minor == BALANCE
    assert counter.earned(counter.agent) == 0
    assert stage.db.transact(ledger.verify) == []


def test_a_quote_at_the_counter_is_another_agreement(stage: Stage, counter: Counter) -> None:
    meter = fresh_meter()
    at_the_counter, alone = counter.quote(meter=meter), stage.quote(meter=meter)
    assert at_the_counter.total_minor == alone.total_minor
    assert at_the_counter.fingerprint != alone.fingerprint
    assert at_the_counter.walk_in
    others = replace(at_the_counter.walk_in, msisdn=fresh_msisdn())
    assert replace(at_the_counter, walk_in=others).fingerprint != at_the_counter.fingerprint


def test_what_is_refused_in_order(stage: Stage, counter: Counter) -> None:
    agreed = counter.quote()
    intent = stage.intent(counter.person, agreed)
    confirm = partial(stage.confirm, counter.person, agreed, intent)
    suspended = stage.person(1)
    assert refusal(lambda: at_counter(counter.agent, counter.agent.msisdn)).code == "own_number"
    assert (
        refusal(
            lambda: at_counter(replace(counter.agent, state="suspended"), counter.customer)
        ).code
        == "agent_suspended"
    )
    assert refusal(partial(stage.confirm, suspended, agreed, intent)).code == "intent_closed"
    assert refusal(partial(stage.confirm, counter.person, counter.quote(), intent)).code == (
        "intent_changed"
    )
    stage.db.transact(lambda s: agents.set_state(s, counter.agent.id, "suspended"))
    assert refusal(confirm).code == "agent_suspended"
    stage.db.transact(lambda s: agents.set_state(s, counter.agent.id, "active"))
    stage.run("UPDATE people SET state = 'suspended' WHERE id = :id", id=counter.person.id)
    assert refusal(confirm).code == "agent_suspended"
    stage.run("UPDATE people SET state = 'active' WHERE id = :id", id=counter.person.id)
    short = counter.quote(BALANCE)
    refused = refusal(
        partial(stage.confirm, counter.person, short, stage.intent(counter.person, short))
    )
    assert refused.code == "insufficient_funds"
    assert refused.facts["available"] == "KES 10,000.00"
    assert counter.float.held_minor == 0
    assert confirm().id == confirm().id


def test_a_persons_limits_do_not_bind_a_float(stage: Stage, counter: Counter) -> None:
    tier = stage.market.tiers["tier0"].model_copy(update={"per_transaction_minor": 10_000})
    stage.market = stage.market.model_copy(update={"tiers": {**stage.market.tiers, "tier0": tier}})
    assert counter.pay().state == "held"


def test_commission_that_the_fee_does_not_fund_is_owed(stage: Stage, counter: Counter) -> None:
    old = stage.market.tariffs["agent_bill"][0]
    band = old.bands[-1].model_copy(update={"fee_minor": 100, "commission_minor": 1_000})
    tariff = old.model_copy(update={"bands": (band,)})
    stage.market = stage.market.model_copy(
        update={"tariffs": {**stage.market.tariffs, "agent_bill": (tariff,)}}
    )
    house = stage.house("commission")
    counter.pay()
    stage.drain()
    funded = 100 - 13  # all that the tax leaves of the fee
    assert stage.house("commission") - house == funded
    assert (counter.earned(counter.agent), counter.earned(counter.above)) == (800, 200)
    assert stage.db.transact(ledger.verify) == []


def test_a_float_that_a_bill_makes_low_and_a_refusal_lifts(stage: Stage, counter: Counter) -> None:
    low = BALANCE - AMOUNT
    rules = stage.market.agents.model_copy(update={"low_float_minor": low})
    stage.market = stage.market.model_copy(update={"agents": rules})

    def told_low() -> bool:
        rows = stage.run("SELECT low_float_told_at FROM agents WHERE id = :id", id=counter.agent.id)
        return rows[0][0] is not None

    stage.biller.script = refuse("02")
    first = counter.pay()
    assert told_low()
    assert "float_low" in counter.told(first)
    stage.drain()
    assert not told_low()


def test_an_agents_own_payments_are_not_the_counters(stage: Stage, counter: Counter) -> None:
    own_wallet = stage.person()
    stage.pay_in(counter.person.wallet_id, BALANCE)
    at_the_counter = counter.pay()
    own = stage.pay(counter.person)
    stage.drain()

    def look(session: Any) -> None:
        person_id = counter.person.id
        assert [v.id for v in payments.recent(session, person_id, 9)] == [own.id]
        assert [v.id for v in payments.tokens(session, person_id)] == [own.id]
        customer = payments.last_customer(session, person_id, market=stage.market)
        assert customer
        assert customer.customer_no == own.customer_no
        found = payments.at_counter(session, counter.agent.id, 9)
        assert [v.id for v in found] == [at_the_counter.id]
        assert payments.at_counter(session, counter.above.id, 9) == []
        assert payments.recent(session, own_wallet.id, 9) == []

    stage.db.transact(look)


def test_an_agent_without_a_super_agent_by_the_time_it_is_paid(
    stage: Stage, counter: Counter
) -> None:
    counter.pay()
    stage.run("UPDATE agents SET parent_id = NULL WHERE id = :id", id=counter.agent.id)
    stage.drain()
    assert counter.earned(counter.agent) == EARNED
    assert stage.db.transact(ledger.verify) == []


def test_a_late_answer_accrues_once(stage: Stage, counter: Counter) -> None:
    """Two workers bring the same success: one capture, one commission."""

    def slow_first(biller: PlayedBiller, body: Body) -> object:
        return (
            answer(body, "03", "Pending")
            if biller.calls(body["ref_id"]) == 1
            else biller.sell(body)
        )

    stage.biller.script = slow_first
    payment = counter.pay()
    stage.drain_until(payment, "captured")
    claim = settlement.Claim(payment.id, payment.reference, 1, 1)
    paid = stage.view(payment)
    again = Answer(Outcome.PAID, "ok", tokens=paid.tokens)
    stage.db.transact(lambda s: settlement.record(s, stage.market, claim, again, now()))
    assert counter.earned(counter.agent) == EARNED - ABOVE
    assert counter.float.balance_minor == BALANCE - AMOUNT - FEE

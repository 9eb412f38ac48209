"""Do the books agree with themselves and with the bank, and what has waited too long."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import new_key
from app.wallet.ledger import Move, Posting
from app.wallet.trust import identity, report
from app.wallet.trust.report import Report
from app.wallet.trust.waiting import Waiting, waiting
from tests.wallet.trust.stage import Stage, now


def read(stage: Stage) -> Report:
    return stage.run(lambda session: report.read(session, stage.market, now()))


def waits(stage: Stage, days: int = 0) -> dict[str, Waiting]:
    found = stage.run(lambda session: waiting(session, stage.market, now() + timedelta(days=days)))
    return {f"{one.what} {one.name}": one for one in found}


def post(stage: Stage, *moves: Move, reference: str = "", **more: object) -> int:
    def work(session: Session) -> int:
        posting = Posting(new_key(), "test", moves, reference, **more)  # type: ignore[arg-type]
        (answer,) = ledger.post(session, [posting], now=now())
        assert answer.posting_id, answer.refusal
        return answer.posting_id

    return stage.run(work)


def house(stage: Stage, name: str) -> int:
    return stage.run(lambda session: ledger.house_account(session, name, "KES"))


def test_an_empty_world_agrees(stage: Stage) -> None:
    found = read(stage)
    (identity,) = found.identities
    assert (identity.currency, identity.owed_minor, identity.backed_minor) == ("KES", 0, 0)
    assert (found.off, found.banks, found.waiting) == (False, {}, [])


def test_every_part_stands_where_it_belongs(stage: Stage) -> None:
    agent, person = stage.agent(), stage.person()
    for who, amount in ((agent, 9_000), (person, 8_000), (None, 700)):
        stage.by_hand(stage.payee(who).account_id, amount)
    wallet = person.wallet_id
    for name, amount in (
        ("fees", 1), ("tax", 2), ("commission", 3), ("settlement:stima", 4), ("suspense:late", 5),
    ):  # fmt: skip
        post(stage, Move(wallet, house(stage, name), amount))
    for kind, amount in (("voucher", 6), ("savings", 7)):
        account = stage.run(
            lambda session, kind=kind: ledger.open_account(  # type: ignore[misc]
                session, kind=kind, currency="KES", owner_kind="person", owner_id=person.id
            )
        )
        post(stage, Move(wallet, account, amount))
    stage.run(
        lambda session: ledger.hold(
            session, key=new_key(), account_id=wallet, amount_minor=50, expires_at=None,
            reference="", now=now(),
        )
    )  # fmt: skip
    stage.expect(agent, 30)
    stage.pay_out(agent, 200)
    (identity,) = read(stage).identities
    assert identity.owed == {
        "wallets": 8_000 - 28,
        "floats": 8_800,
        "tills": 700,
        "vouchers": 6,
        "savings": 7,
        "fees": 1,
        "tax": 2,
        "commission": 3,
        "settlement": 4,
        "suspense": 35,
    }
    assert identity.trust_bank_minor == 17_700
    assert (identity.deposits_in_transit_minor, identity.payouts_in_transit_minor) == (30, 200)
    assert (identity.held_minor, identity.off_minor) == (50, 0)


def test_one_unit_is_seen(stage: Stage, owner: Database) -> None:
    agent = stage.agent(float_minor=500)
    stage.paper.balance_minor = 500
    stage.confirm(stage.assign(stage.line(100), None))
    assert read(stage).off is False
    for change, books, bank in (
        (f"UPDATE accounts SET balance = balance + 1 WHERE id = {agent.float_id}", 1, 0),
        ("UPDATE accounts SET balance = balance - 1 WHERE kind = 'trust_bank'", -1, 1),
        ("UPDATE bank_statements SET closing_minor = closing_minor + 1", 0, -1),
        ("UPDATE bank_lines SET amount_minor = 101 WHERE id = 'BK-1'", 0, 0),
    ):
        with owner.engine.connect() as connection, Session(connection) as session:
            session.execute(text(change))
            beside = identity.at_bank(session, "KES")
            assert beside
            assert identity.identity(session, "KES").off_minor == books
            assert beside.off_minor == bank
            session.rollback()


def test_what_is_overdue_by_the_market(stage: Stage) -> None:
    agent = stage.agent(float_minor=5_000)
    stage.paper.balance_minor = 5_000
    stage.paper.day -= timedelta(days=1)
    line_id = stage.line(100)
    names = {
        f"line {line_id}": 100,
        f"deposit {stage.expect(agent, 30).reference}": 30,
        f"payout {stage.pay_out(agent, 200).reference}": 200,
    }
    young = waits(stage)
    assert {name: one.amount_minor for name, one in young.items()} == names
    assert not any(one.overdue for one in young.values())
    rules = stage.market.trust
    old = waits(stage, rules.unmatched_alarm_days)
    assert [one.what for one in old.values() if one.overdue] == ["line"]
    assert all(one.overdue for one in waits(stage, rules.suspense_alarm_days + 1).values())


def test_an_old_suspense_entry_does_not_hide_behind_younger_ones(stage: Stage) -> None:
    person = stage.person()
    stage.by_hand(person.wallet_id, 900)
    late, settled = house(stage, "suspense:late"), house(stage, "settlement:stima")
    old = post(stage, Move(person.wallet_id, late, 100), reference="OLD")
    for number in range(3):
        posting = post(stage, Move(person.wallet_id, late, 100), reference=f"YOUNG{number}")
        post(
            stage, Move(late, settled, 100),
            reference=f"YOUNG{number}", authority=f"posting:{posting}",
        )  # fmt: skip
    assert {name: one.amount_minor for name, one in waits(stage).items()} == {
        "suspense suspense:late OLD": 100
    }
    post(stage, Move(late, settled, 60), reference="OLD", authority=f"posting:{old}")
    (left,) = waits(stage, 6).values()
    assert (left.amount_minor, left.overdue) == (40, True)
    stage.check()


def test_what_a_detached_month_left_is_still_there(stage: Stage, owner: Database) -> None:
    late = house(stage, "suspense:late")
    with owner.engine.connect() as connection, Session(connection) as session:
        session.execute(text("INSERT INTO detached_months VALUES ('2026-01-01')"))
        session.execute(text(f"INSERT INTO opening_balances VALUES ({late}, 70, 0)"))
        (entry,) = waiting(session, stage.market, now())
        session.rollback()
    assert (entry.name, entry.amount_minor, entry.overdue) == ("suspense:late", 70, True)
    assert entry.since.isoformat() == "2026-02-01T00:00:00+00:00"

"""Sending over real HTTP from a real PostgreSQL: once without faults, at least once with them."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from app.errors import DomainError
from app.gateways.africastalking_sms import Outcome, Refused, Taken, Unknown
from app.notices import Message, Recipient, notify
from app.sms import tries
from app.sms.outbound import FAILURES_IN_A_ROW_MOST, THREADS, drain
from app.wallet.keys import new_key
from tests.gateways.messaging_server import (
    BROKEN,
    DOWN,
    LOST,
    MessagingServer,
    Reply,
    taken,
)
from tests.sms.conftest import PAID, TO, Office
from tests.world import wait_for

ROOT = Path(__file__).resolve().parents[2]
RECEIPT = (
    "Paid KES 200.00 for Stima token 54100234563. Token 1234-5678-9012-3456-7890."
    " Fee KES 10.00. Bal KES 4,790.00. Ref 7Q4M2XKD 22/11 14:05"
)


def texts(server: MessagingServer) -> list[str]:
    """What the gateway took, in the order of its taking."""
    return [form["message"] for form in server.messages]


def claim_one(office: Office) -> tries.Claim:
    claims = office.db.transact(
        lambda session: tries.claim(session, office.catalogues, office.market, 1)
    )
    (claim,) = claims.tries
    return claim


def recorded(office: Office, claim: tries.Claim, outcome: Outcome) -> dict[UUID, Message]:
    tried = [tries.Tried(claim, outcome)]
    return office.db.transact(lambda session: tries.record_all(session, tried))


def test_a_message_goes_once(office: Office) -> None:
    message_id = office.owe()
    assert drain(office).taken == 1
    assert drain(office).taken == 0
    assert texts(office.server) == [RECEIPT]
    row = office.row(message_id)
    assert (row["state"], row["text"], row["provider_id"]) == ("sent", RECEIPT, "ATXid_1")
    assert (row["attempts"], row["doubts"], row["repeats"]) == (1, 0, 0)
    assert row["cost"] == "KES 0.8000"
    assert row["due_at"] is None
    assert row["sent_at"] is not None


@pytest.mark.parametrize("ahead_minutes", [60, -60])
def test_a_message_is_due_at_once_whatever_the_clock_that_noted_it(
    office: Office, ahead_minutes: int
) -> None:
    message_id = office.owe(at=datetime.now(UTC) + timedelta(minutes=ahead_minutes))
    assert abs(office.row(message_id)["due_in"]) < timedelta(seconds=20)
    assert drain(office).taken == 1


def test_it_goes_in_the_language_of_the_person(office: Office) -> None:
    office.owe(language="sw")
    drain(office)
    (text,) = texts(office.server)
    assert text.startswith("Umelipa KES 200.00 Stima token 54100234563. Tokeni 1234-5678")


def test_the_text_is_stored_before_the_first_try(quiet_office: Office) -> None:
    message_id = quiet_office.owe()
    drain(quiet_office)
    assert quiet_office.row(message_id)["text"] == RECEIPT


def test_a_stored_text_stays(office: Office) -> None:
    message_id = office.owe()
    drain(office)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        office.sql("UPDATE messages SET text = 'another' WHERE id = %s", message_id)


def test_a_lost_answer_repeats_the_same_bytes_and_is_counted(office: Office) -> None:
    office.server.script[:] = [LOST]
    message_id = office.owe()
    drain(office)
    row = office.row(message_id)
    assert (row["state"], row["doubts"], row["repeats"]) == ("due", 1, 0)
    assert timedelta(seconds=1) < row["due_in"] <= timedelta(seconds=3)
    # The facts change; what was said once is said again.
    office.sql("UPDATE messages SET facts = facts || '{\"balance_minor\": 1}'")
    office.make_due()
    drain(office)
    assert texts(office.server) == [RECEIPT, RECEIPT]
    row = office.row(message_id)
    assert (row["state"], row["attempts"], row["repeats"]) == ("sent", 2, 1)


def test_an_hour_without_a_gateway_loses_nothing_and_repeats_nothing(
    quiet_office: Office,
) -> None:
    message_ids = [quiet_office.owe() for _ in range(3)]
    waits = []
    for _ in range(12):
        assert drain(quiet_office).taken == 0
        row = quiet_office.row(message_ids[0])
        assert (row["state"], row["last_error"]) == ("due", "ConnectionError")
        waits.append(math.ceil(row["due_in"].total_seconds()))
        quiet_office.make_due()
    assert waits == [2, 5, 15, 30, 60, 120, 300, 600, 600, 600, 600, 600]
    quiet_office.age(hours=1)
    with quiet_office.server.listening():
        assert drain(quiet_office).taken == 3
    assert len(quiet_office.server.requests) == 3
    for message_id in message_ids:
        row = quiet_office.row(message_id)
        assert (row["state"], row["attempts"], row["repeats"]) == ("sent", 13, 0)


def test_a_gateway_that_closes_for_an_hour_gets_ever_fewer_tries(office: Office) -> None:
    message_id = office.owe()
    office.server.script[:] = [DOWN] * 9
    waits = []
    for _ in range(9):
        drain(office)
        waits.append(math.ceil(office.row(message_id)["due_in"].total_seconds()))
        office.make_due()
    assert waits == [3, 10, 30, 60, 120, 300, 600, 1200, 1800]
    drain(office)
    assert texts(office.server) == [RECEIPT]
    assert office.row(message_id)["state"] == "sent"


def test_a_gateway_that_fails_is_not_hammered(office: Office) -> None:
    office.server.script[:] = [BROKEN] * 40
    for _ in range(40):
        office.owe()
    assert drain(office).failed >= FAILURES_IN_A_ROW_MOST
    assert len(office.server.requests) < FAILURES_IN_A_ROW_MOST + THREADS
    assert len(office.sql("SELECT id FROM messages WHERE attempts = 0")) > 20


def test_two_drains_at_once_send_each_message_once(office: Office) -> None:
    office.server.wait_seconds = 0.02
    numbers = [f"+25471100{number:04d}" for number in range(60)]
    for number in numbers:
        office.owe(msisdn=number)
    drains = [threading.Thread(target=drain, args=(office,)) for _ in range(2)]
    for thread in drains:
        thread.start()
    for thread in drains:
        thread.join()
    assert sorted(form["to"] for form in office.server.messages) == numbers
    assert office.sql("SELECT DISTINCT state, attempts, fence FROM messages") == [
        {"state": "sent", "attempts": 1, "fence": 1}
    ]


def test_a_late_outcome_changes_nothing(office: Office) -> None:
    message_id = office.owe()
    first = claim_one(office)
    office.make_due()
    second = claim_one(office)
    assert (second.fence, second.text) == (first.fence + 1, first.text)
    before = office.row(message_id)
    for late in (Taken("ATXid_late"), Refused("invalid_number", permanent=True)):
        assert recorded(office, first, late) == {}
    after = office.row(message_id)
    assert {**after, "due_in": None} == {**before, "due_in": None}
    assert list(recorded(office, second, Taken("ATXid_2"))) == [message_id]
    assert office.row(message_id)["provider_id"] == "ATXid_2"
    # Both ids are names of this message, so that a report about either finds it.
    assert {row["message_id"] for row in office.sql("SELECT * FROM deliveries")} == {message_id}


def test_an_outcome_is_recorded_once(office: Office) -> None:
    message_id = office.owe()
    claim = claim_one(office)
    for expected in (True, False):
        settled = recorded(office, claim, Refused("x", permanent=False))
        assert (message_id in settled) is expected
    assert office.row(message_id)["state"] == "due"


def test_outcomes_that_come_in_together_are_each_recorded_for_what_they_are(
    office: Office,
) -> None:
    ids = [office.owe() for _ in range(4)]
    claims = office.db.transact(
        lambda session: tries.claim(session, office.catalogues, office.market, 4)
    ).tries
    by_id = {claim.message_id: claim for claim in claims}
    outcomes: list[Outcome] = [
        Taken("ATXid_a"),
        Refused("no", permanent=True),
        Unknown("lost"),
        Taken(None),
    ]
    tried = [tries.Tried(by_id[one], came) for one, came in zip(ids, outcomes, strict=True)]
    stale = tries.Tried(replace(by_id[ids[0]], fence=0), Taken("ATXid_old"))
    settled = office.db.transact(lambda session: tries.record_all(session, [*tried, stale]))
    assert set(settled) == set(ids)
    states = [office.row(one)["state"] for one in ids]
    assert states == ["sent", "refused", "due", "sent"]
    assert [office.row(one)["provider_id"] for one in ids] == ["ATXid_a", None, None, None]
    names = office.sql("SELECT provider_id, message_id FROM deliveries ORDER BY provider_id")
    assert [(row["provider_id"], row["message_id"]) for row in names] == [
        ("ATXid_a", ids[0]),
        ("ATXid_old", ids[0]),
    ]


def test_one_outcome_that_cannot_be_recorded_yet_does_not_hold_up_the_others(
    office: Office, sms_urls: tuple[str, str]
) -> None:
    """Somebody holds the row of one of them for longer than a statement may take."""
    ids = [office.owe() for _ in range(4)]
    held, others = ids[1], [*ids[:1], *ids[2:]]
    with psycopg.connect(sms_urls[1]) as other:
        answers = threading.Barrier(4, lambda: _lock(other, held))

        def come_in_together(_: str) -> None:
            answers.wait(10)

        office.server.before_answer = come_in_together
        sending = threading.Thread(target=drain, args=(office,))
        sending.start()
        wait_for(
            lambda: all(office.row(one)["state"] == "sent" for one in others), 20, "the others"
        )
        assert office.row(held)["state"] == "sending"
        other.rollback()
        sending.join(20)
    assert office.row(held)["state"] == "sent"
    assert len(office.server.messages) == 4


def _lock(line: psycopg.Connection, message_id: UUID) -> None:
    line.execute("SELECT FROM messages WHERE id = %s FOR UPDATE", (message_id,))


def test_a_worker_that_died_is_a_doubt(office: Office) -> None:
    message_id = office.owe()
    claim_one(office)
    assert drain(office).taken == 0, "the lease holds"
    office.make_due()
    assert drain(office).taken == 1
    row = office.row(message_id)
    assert (row["attempts"], row["doubts"], row["repeats"]) == (2, 1, 1)


def test_a_message_that_kills_workers_waits_ever_longer(office: Office) -> None:
    message_id = office.owe()
    for _ in range(3):
        claim_one(office)
        office.make_due()
    claim_one(office)
    office.make_due()
    assert drain(office).taken == 0
    row = office.row(message_id)
    assert (row["state"], row["last_error"], row["doubts"]) == ("due", "worker_lost", 4)
    assert row["due_in"] > timedelta(seconds=20)


def test_killed_after_the_sms_left(office: Office, sms_urls: tuple[str, str]) -> None:
    """The real thing: kill -9 between the gateway's answer and our record of it."""
    message_id = office.owe()
    code = f"""
from types import SimpleNamespace
from app import failpoints, markets
from app.db import Database
from app.gateways.africastalking_sms import AfricasTalkingSms
from app.sms.outbound import drain
from app.text import Catalogues
failpoints.arm("sms.after_send")
market = markets.load("demo")
drain(SimpleNamespace(db=Database({sms_urls[0]!r}), market=market,
    catalogues=Catalogues(market.languages),
    sms_gateway=AfricasTalkingSms(username="sandbox", api_key="k", api_url={office.server.url!r})))
"""
    died = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30)
    assert died.returncode == -9
    assert office.row(message_id)["state"] == "sending"
    office.make_due()
    drain(office)
    assert texts(office.server) == [RECEIPT, RECEIPT]
    row = office.row(message_id)
    assert (row["state"], row["repeats"]) == ("sent", 1)


def test_stop_leaves_nothing_half_done(office: Office) -> None:
    office.server.wait_seconds = 0.2
    for _ in range(40):
        office.owe()
    stop = threading.Event()
    office.server.before_answer = lambda _: stop.set()
    began = time.monotonic()
    drained = drain(office, stop)
    assert time.monotonic() - began < 5
    assert 1 <= drained.taken <= THREADS
    states = office.sql("SELECT state, count(*) FROM messages GROUP BY state")
    assert {row["state"]: row["count"] for row in states} == {
        "sent": drained.taken,
        "due": 40 - drained.taken,
    }


@pytest.mark.parametrize(("code", "reason"), [(406, "blacklisted"), (403, "invalid_number")])
def test_a_permanent_refusal_is_final(office: Office, code: int, reason: str) -> None:
    refusal = taken({"to": TO}, 1, statusCode=code, messageId="None")
    office.server.script[:] = [Reply(body=refusal.body, takes=False)]
    message_id = office.owe()
    assert drain(office).refused == 1
    row = office.row(message_id)
    assert (row["state"], row["last_error"], row["due_at"]) == ("refused", reason, None)


def test_it_gives_up_after_72_hours_but_never_untried(office: Office) -> None:
    office.server.script[:] = [BROKEN]
    failed, late = office.owe(), office.owe()
    office.age(hours=73)
    drain(office)
    states = {office.row(message_id)["state"] for message_id in (failed, late)}
    assert states == {"gave_up", "sent"}


def test_what_cannot_be_written_waits_and_blocks_nobody(office: Office) -> None:
    strange = office.owe("no_such_kind", {})
    lacking = office.owe("payment_refused", {"amount_minor": 1})
    # What no code of ours writes, but a row can hold: each raises something else.
    odd = [{"tokens": [None]}, {"tokens": [[1]]}, {"at": 5}, {"balance_minor": {}}]
    poison = [office.owe("payment_paid", {**PAID, **facts}) for facts in odd]
    office.owe()
    assert drain(office).taken == 1
    for message_id in (strange, lacking, *poison):
        row = office.row(message_id)
        assert (row["state"], row["attempts"], row["last_error"]) == ("due", 0, "unwritable")
        assert row["due_in"] > timedelta(minutes=9)


def test_a_record_waits_for_the_database(office: Office, sms_urls: tuple[str, str]) -> None:
    """The table is locked for longer than a lock is waited for; the SMS is not sent again."""
    message_id = office.owe()
    locked = threading.Event()

    def lock(_: str) -> None:
        def hold() -> None:
            with psycopg.connect(sms_urls[1]) as connection:
                connection.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
                locked.set()
                time.sleep(2.5)

        threading.Thread(target=hold).start()
        assert locked.wait(5)

    office.server.before_answer = lock
    office.server.wait_seconds = 0.1
    with contextlib.suppress(DomainError):  # of the look for more work; what is in flight goes on
        drain(office)
    assert office.row(message_id)["state"] == "sent"
    assert texts(office.server) == [RECEIPT]


def test_the_application_may_change_a_messages_fate_only(sms_urls: tuple[str, str]) -> None:
    with psycopg.connect(sms_urls[0], autocommit=True) as connection:
        for statement in (
            "DELETE FROM messages",
            "UPDATE messages SET facts = '{}'",
            "UPDATE messages SET msisdn = '+254711000002'",
            "DELETE FROM delivery_reports",
            "UPDATE delivery_reports SET status = 'Success'",
            "DELETE FROM deliveries",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_a_second_notice_of_the_same_event_is_none(office: Office) -> None:
    subject = office.owe()
    office.db.transact(
        lambda session: notify(
            session,
            "payment_paid",
            Recipient(TO, "en"),
            message_id=new_key(),
            subject=subject,
            facts={**PAID, "balance_minor": 1},
            now=datetime.now(UTC),
        )
    )
    drain(office)
    assert texts(office.server) == [RECEIPT]

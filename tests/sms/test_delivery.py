"""Delivery reports: repeated, out of order, unknown, and sooner than our own record."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from app.gateways.africastalking_sms import Taken, parse_delivery
from app.sms import delivery, tries
from app.sms.outbound import drain
from tests.sms.conftest import TO, Office

NOW = datetime(2026, 11, 22, 11, 5, tzinfo=UTC)


def report(office: Office, status: str, provider_id: str = "ATXid_1") -> None:
    form = {"id": provider_id, "status": status, "phoneNumber": TO, "networkCode": "63902"}
    office.db.transact(lambda session: delivery.record(session, parse_delivery(form), NOW))


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        (["Sent"], "sent"),
        (["Sent", "Success"], "delivered"),
        (["Sent", "Sent", "Success", "Success"], "delivered"),
        (["Success", "Sent"], "delivered"),
        (["Failed", "Buffered", "DeliveredToTerminal"], "failed"),
        (["Failed", "Success", "Sent"], "delivered"),
        (["DeliveredToTerminal"], "unknown"),
        (["Sent", "DeliveredToTerminal"], "unknown"),
        (["DeliveredToTerminal", "AbsentSubscriber"], "absent"),
    ],
)
@pytest.mark.parametrize("early", [0, 1, 9])
def test_the_last_final_word_stands(
    office: Office, statuses: list[str], word: str, early: int
) -> None:
    """Whether the reports come after our record, before it, or one on each side of it."""
    message_id = office.owe()

    def come_early(provider_id: str) -> None:
        for status in statuses[:early]:
            report(office, status, provider_id)

    office.server.before_answer = come_early
    drain(office)
    for status in statuses[early:]:
        report(office, status)
    assert office.row(message_id)["delivery"] == word
    stored = office.sql("SELECT status FROM delivery_reports ORDER BY id")
    assert [row["status"] for row in stored] == statuses


def test_a_report_about_a_stranger_is_kept(office: Office) -> None:
    report(office, "Success", "ATXid_of_somebody")
    (stored,) = office.sql("SELECT * FROM delivery_reports")
    assert (stored["provider_id"], stored["word"]) == ("ATXid_of_somebody", "delivered")
    assert (stored["msisdn"], stored["received_at"]) == (TO, NOW)


def test_reports_about_both_copies_of_a_repeated_message_find_it(office: Office) -> None:
    message_id = office.owe()
    for provider_id in ("ATXid_a", "ATXid_b"):
        office.make_due()
        claims = office.db.transact(
            lambda session: tries.claim(session, office.catalogues, office.market, 1)
        )
        first = claims.tries[0]
        if provider_id == "ATXid_a":
            stale = first
    for claim, provider_id in ((first, "ATXid_b"), (stale, "ATXid_a")):
        tried = [tries.Tried(claim, Taken(provider_id))]
        office.db.transact(lambda session, some=tried: tries.record_all(session, some))  # type: ignore[misc]
    report(office, "Success", "ATXid_a")
    report(office, "Sent", "ATXid_b")
    assert office.row(message_id)["delivery"] == "delivered"


@pytest.mark.parametrize("report_first", [True, False])
def test_record_and_report_at_the_same_moment(office: Office, report_first: bool) -> None:
    """Neither transaction sees the other's uncommitted row; one must wait, none may be lost."""
    message_id = office.owe()
    inside, go_on = threading.Event(), threading.Event()
    form = {"id": "ATXid_1", "status": "Success"}

    def join(session: Session) -> None:
        delivery.join_all(session, {"ATXid_1": message_id})

    def tell(session: Session) -> None:
        delivery.record(session, parse_delivery(form), NOW)

    first, second = (tell, join) if report_first else (join, tell)

    def hold_open(session: Session) -> None:
        first(session)
        inside.set()
        assert go_on.wait(5)

    holder = threading.Thread(target=lambda: office.db.transact(hold_open))
    waiter = threading.Thread(target=lambda: office.db.transact(second))
    holder.start()
    assert inside.wait(5)
    waiter.start()
    time.sleep(0.2)
    assert waiter.is_alive(), "the second waits for the first"
    go_on.set()
    holder.join(5)
    waiter.join(5)
    assert office.row(message_id)["delivery"] == "delivered"

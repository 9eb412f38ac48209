"""A one-time code in an SMS: on the phone, and in nothing that we keep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app import telemetry
from app.sms import receipts, tries
from app.sms.outbound import ALARMS, drain
from app.text import Catalogues
from app.wallet import codes
from app.wallet.keys import new_key
from tests.gateways.messaging_server import BROKEN, LOST, Reply
from tests.sms.conftest import TO, Office

KIND = "pin_reset_code"


def owe_code(office: Office, *, language: str = "en", seconds: int = 300) -> tuple[UUID, UUID]:
    """A code and the message that tells it."""
    code_id, now = new_key(), datetime.now(UTC)
    office.db.transact(
        lambda session: office.codes.issue(
            session,
            code_id,
            purpose="otp",
            subject=new_key(),
            digits=12,  # six would be found by chance in any timestamp
            tries=3,
            expires_at=now + timedelta(seconds=seconds),
            now=now,
        )
    )
    facts = {"code_id": str(code_id), "minutes": 5, "service_code": "*384*123#"}
    return code_id, office.owe(KIND, facts, language=language)


def digits(office: Office, code_id: UUID) -> str:
    return office.codes.digits(office.db.transact(lambda s: codes.outgoing(s, code_id)))


def sent(office: Office) -> list[str]:
    return [form["message"] for form in office.server.messages]


def everything(office: Office) -> str:
    """Every row of every table, as text."""
    names = office.sql("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    rows: list[Any] = []
    for table in names:
        rows += office.sql(f"SELECT t::text AS row FROM {table['name']} t")
    return "\n".join(row["row"] for row in rows)


@pytest.mark.parametrize("language", ["en", "am"])
def test_the_phone_gets_the_code_and_no_table_has_it(office: Office, language: str) -> None:
    code_id, message_id = owe_code(office, language=language)
    code = digits(office, code_id)
    assert drain(office).taken == 1
    (text,) = sent(office)
    assert text.count(code) == 1
    stored = office.row(message_id)["text"]
    assert stored.count(receipts.CODE_MARK) == 1
    assert stored.replace(receipts.CODE_MARK, code) == text
    kept = everything(office)
    assert str(message_id) in kept, "the scan saw the message"
    assert code not in kept


def test_a_repeat_is_the_same_bytes(office: Office) -> None:
    office.server.script[:] = [LOST]
    _, message_id = owe_code(office)
    drain(office)
    office.make_due()
    drain(office)
    first, second = sent(office)
    assert first == second
    assert office.row(message_id)["state"] == "sent"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("state = 'used', closed_at = now()", "code_used"),
        ("state = 'withdrawn', closed_at = now()", "code_used"),
        ("tries_left = 0", "code_locked"),
        ("created_at = now() - interval '1 day', expires_at = now()", "code_expired"),
    ],
)
@pytest.mark.parametrize("tried", [False, True])
def test_a_code_that_is_over_is_not_sent(
    office: Office, what: str, reason: str, tried: bool
) -> None:
    code_id, message_id = owe_code(office)
    other = office.owe()
    if tried:
        office.server.script[:] = [BROKEN, BROKEN]
        drain(office)
        office.server.script.clear()
    office.sql(f"UPDATE one_time_codes SET {what} WHERE id = %s", code_id)
    office.make_due()
    assert drain(office).taken == 1, "the other one goes"
    assert office.row(other)["state"] == "sent"
    row = office.row(message_id)
    assert (row["state"], row["due_at"], row["last_error"]) == ("gave_up", None, reason)
    assert row["attempts"] == int(tried)


def test_an_alarm_rings_for_who_waits_for_a_code(office: Office) -> None:
    def rung() -> float:
        return float(ALARMS.labels(KIND, "gave_up")._value.get())

    for what, alarms in (("state = 'used', closed_at = now()", 0), ("tries_left = 0", 1)):
        code_id, _ = owe_code(office)
        office.sql(f"UPDATE one_time_codes SET {what} WHERE id = %s", code_id)
        before = rung()
        drain(office)
        assert rung() - before == alarms


@pytest.mark.parametrize("code_id", ["", "x", 5, None, "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_a_code_that_there_never_was_blocks_nobody(office: Office, code_id: Any) -> None:
    odd = office.owe(KIND, {"code_id": code_id, "minutes": 5, "service_code": "*1#"})
    office.owe()
    assert drain(office).taken == 1
    assert office.row(odd)["last_error"] == "unwritable"


def test_a_gateway_that_quotes_the_message_puts_no_code_into_the_log(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    code_id, message_id = owe_code(office)
    code = digits(office, code_id)
    quoting = Reply(status=418, body=f"cannot send: Code {code} for a new PIN", takes=False)
    office.server.script[:] = [quoting]
    telemetry.configure("DEBUG")
    drain(office)
    logged = "".join(capfd.readouterr())
    assert "cannot send: Code ***" in logged
    assert code not in logged
    assert office.row(message_id)["last_error"] == "http_418"
    assert code not in everything(office)


def test_a_name_can_be_no_mark(office: Office) -> None:
    """Whoever is called `{code}` would get somebody's code into another sentence."""
    facts = {"name": receipts.CODE_MARK, "service_code": "*384*123#"}
    book = Catalogues(("en", "am"))
    for language in book.languages:
        text = receipts.render(book, office.market, "invited", language, facts)
        assert receipts.CODE_MARK not in text
        assert "code" in text


def test_a_claim_shows_no_code(office: Office) -> None:
    code_id, _ = owe_code(office)
    claims = office.db.transact(lambda s: tries.claim(s, office.catalogues, office.market, 1))
    assert digits(office, code_id) not in f"{claims!r} {[claim.text for claim in claims.tries]}"
    assert TO not in repr(claims)

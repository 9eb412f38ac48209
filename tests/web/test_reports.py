"""What the gateway tells afterwards: how a session ended, what became of an SMS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.runtime import Runtime
from tests.gateway_client import Session
from tests.people import fresh_meter
from tests.web.posting import DELIVERY, END, PIN, SECRET, call, end_form, ends_of, report_form
from tests.world import Phone, World, wait_for

AddPerson = Callable[..., str]

# --- end events ---


def test_an_end_event_is_kept_without_what_was_typed(world: World, runtime: Runtime) -> None:
    form = end_form()
    assert call(world, END, data=form).status_code == 200
    (row,) = ends_of(runtime, form["sessionId"])
    assert {name: row[name] for name in ("msisdn", "status", "hops", "duration_ms", "cost")} == {
        "msisdn": form["phoneNumber"],
        "status": "dropped",
        "hops": 6,
        "duration_ms": 9120,
        "cost": "KES 0.10",
    }
    assert row["hops_metadata"] == "bill.confirm"
    assert SECRET not in str(row)
    assert "CON" not in str(row)


@pytest.mark.parametrize(
    ("word", "ours"),
    [("Success", "ended"), ("Failed", "failed"), ("Exploded", "unknown"), ("", "unknown")],
)
def test_the_gateways_words_for_an_end(
    world: World, runtime: Runtime, word: str, ours: str
) -> None:
    form = end_form(status=word)
    call(world, END, data=form)
    assert [row["status"] for row in ends_of(runtime, form["sessionId"])] == [ours]


def test_a_repeated_end_event_changes_nothing(world: World, runtime: Runtime) -> None:
    form = end_form()
    call(world, END, data=form)
    (first,) = ends_of(runtime, form["sessionId"])
    assert call(world, END, data=form).status_code == 200
    assert call(world, END, data={**form, "status": "Success", "cost": "9"}).status_code == 200
    assert ends_of(runtime, form["sessionId"]) == [first]


def test_an_end_event_before_its_session_is_over_does_not_end_it(
    world: World, add_person: AddPerson
) -> None:
    """The gateway's two callbacks travel on their own; the phone is what counts."""
    session = Session(world, add_person("en", 0))
    session.dial()
    call(world, END, data=end_form(sessionId=session.id, phoneNumber=session.msisdn))
    assert "Pay bill" in session.reply("1")


def end_of(session: Session, **changed: str) -> dict[str, str]:
    """The end event of a session, from a gateway that gives back no names."""
    return end_form(sessionId=session.id, phoneNumber=session.msisdn, hopsMetadata="", **changed)


def way_of(runtime: Runtime, session: Session) -> dict[str, Any]:
    """Our own part of a session's only end event."""
    (row,) = ends_of(runtime, session.id)
    names = ("path", "last_state", "language", "menu_version", "registered", "committed")
    return {name: row[name] for name in names}


def test_an_end_event_tells_the_way_through_the_menus(
    world: World, runtime: Runtime, add_person: AddPerson
) -> None:
    session = Session(world, add_person("sw", 100_000))
    session.dial()
    session.reply("1", "1", "1", fresh_meter(), "200")
    assert call(world, END, data=end_of(session)).status_code == 200
    told = way_of(runtime, session)
    assert told == {
        "path": [
            "home",
            "bill.category",
            "bill.product",
            "bill.number",
            "bill.amount",
            "bill.confirm",
        ],
        "last_state": "bill.confirm",
        "language": "sw",
        "menu_version": runtime.engine.book.version,
        "registered": True,
        "committed": False,
    }
    session.reply(PIN)
    assert call(world, END, data=end_of(session, status="Success")).status_code == 200
    assert way_of(runtime, session) == told, "a repeated event changes nothing"


def test_a_confirmed_payment_is_told(world: World, runtime: Runtime, add_person: AddPerson) -> None:
    session = Session(world, add_person("en", 100_000))
    session.dial()
    assert session.reply("1", "1", "1", fresh_meter(), "200", PIN).startswith("END Paid")
    call(world, END, data=end_of(session, status="Success"))
    told = way_of(runtime, session)
    assert (told["last_state"], told["committed"]) == ("bill.paid", True)


def test_a_session_that_redis_lost_leaves_what_the_gateway_gives_back(
    world: World, runtime: Runtime, add_person: AddPerson
) -> None:
    session = Session(world, add_person("en", 100_000))
    header = "at-ussd-hop-metadata"
    names = [session.post("").headers[header], session.post("1").headers[header]]
    assert names == ["home", "bill.category"]
    world.flush_redis()
    form = {**end_of(session), "hopsMetadata": f"{','.join(names)},{SECRET}"}
    assert call(world, END, data=form).status_code == 200
    told = way_of(runtime, session)
    assert (told["path"], told["last_state"]) == (["home", "bill.category"], "bill.category")
    assert (told["language"], told["menu_version"], told["registered"]) == (None, None, None)


def test_a_session_that_was_continued_ends_as_two(
    world: World, runtime: Runtime, add_person: AddPerson
) -> None:
    first = Session(world, add_person("en", 100_000))
    first.dial()
    first.reply("1", "1", "1", fresh_meter())
    second = Session(world, first.msisdn)
    assert "1 " in second.dial()
    second.reply("1")
    for session in (first, second):
        assert call(world, END, data=end_of(session)).status_code == 200
    assert way_of(runtime, first)["path"] is None, "it lives on in the second one"
    assert way_of(runtime, second)["path"] == ["resume", "bill.amount"]


# --- delivery reports ---


def test_a_report_of_a_message_that_nobody_sent_is_kept(world: World, runtime: Runtime) -> None:
    odd_id = f"ATXid_{fresh_meter()}"
    assert call(world, DELIVERY, data=report_form(id=odd_id)).status_code == 200
    for odd in ("Exploded", "a\u202eb", "😀"):
        assert call(world, DELIVERY, data=report_form(id=odd_id, status=odd)).status_code == 200
    assert reported(runtime, odd_id) == ["delivered", "unknown", "unknown", "unknown"]


def test_a_report_reaches_its_message(
    world: World, runtime: Runtime, add_person: AddPerson
) -> None:
    session = Session(world, add_person("en", 100_000))
    session.dial()
    session.reply("1", "1", "1", fresh_meter(), "200", PIN)
    Phone(world, session.msisdn).wait_sms(1)
    query = text("SELECT m.delivery, d.provider_id FROM messages m"
                 " JOIN deliveries d ON d.message_id = m.id WHERE m.msisdn = :msisdn")  # fmt: skip

    def message() -> Any:
        return runtime.db.transact(
            lambda found: found.execute(query, {"msisdn": session.msisdn}).one_or_none()
        )

    told = wait_for(lambda: m if (m := message()) and m.delivery == "delivered" else None, 10, "it")
    form = report_form(id=told.provider_id, phoneNumber=session.msisdn)
    call(world, DELIVERY, data={**form, "status": "Sent"})
    assert message().delivery == "delivered", "a word that is not final never follows a final one"
    call(world, DELIVERY, data={**form, "status": "Failed", "failureReason": "DeliveryFailure"})
    assert message().delivery == "failed"
    assert reported(runtime, told.provider_id)[-2:] == ["sent", "failed"]


def reported(runtime: Runtime, provider_id: str) -> list[str]:
    query = text("SELECT word FROM delivery_reports WHERE provider_id = :id ORDER BY id")
    return runtime.db.transact(
        lambda session: list(session.scalars(query, {"id": provider_id}).all())
    )

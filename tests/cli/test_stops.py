"""`stop`: a wrong number, from the first question to what two of the staff decide."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from app.wallet import ledger
from app.wallet.keys import new_key
from app.wallet.ledger import Move, Posting
from app.wallet.people import Person
from app.wallet.transfers import stops
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.stops import StopView
from tests.cli.office import EVIDENCE, Office, approved, proposed, refusal, said
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.transfers.town import BALANCE, now

AMOUNT, FEE = 100_000, 1_300


def asked(kiosk: Kiosk, view: TransferView, by: Person, at: datetime | None = None) -> StopView:
    return kiosk.run(lambda s: stops.ask(s, kiosk.market, view.id, by=by.id, now=at or now()))


def pay(kiosk: Kiosk, account: int, to: int, amount_minor: int) -> None:
    """Without a fee, a limit, or anybody who is told."""
    one = Posting(new_key(), "test", (Move(account, to, amount_minor),))
    (answer,) = kiosk.run(lambda s: ledger.post(s, [one], now=now()))
    assert answer.refusal is None


def spend(kiosk: Kiosk, person: Person, amount_minor: int) -> None:
    pay(kiosk, person.wallet_id, kiosk.person(0).wallet_id, amount_minor)


def shown(office: Office, stop: StopView) -> str:
    return said(office.run("stop", "show", stop.reference.lower()))


def state(kiosk: Kiosk, stop: StopView) -> str:
    return kiosk.run(lambda s: stops.get(s, stop.id)).state


def propose(stop: StopView, decision: str, *more: str) -> tuple[str, ...]:
    return ("stop", "propose", stop.reference, "--decision", decision, *more)


def test_a_wrong_number_is_given_back_by_two(office: Office) -> None:
    kiosk = office.kiosk
    payer, payee = kiosk.person(), kiosk.person(0, name="Juma Otieno", language="sw")
    view = kiosk.send(payer, payee, AMOUNT)
    stop = asked(kiosk, view, payer)
    listed = said(office.run("stop", "list"))
    assert re.search(
        rf"^{stop.reference} .* send {view.reference} +KES 1,000.00 +KES 1,000.00$",
        listed,
        re.MULTILINE,
    )
    screen = shown(office, stop)
    assert screen.startswith(f"{stop.reference}  open  asked ")
    for fact in (
        f"by Amina Wanjiru {payer.msisdn}\n",
        "set aside KES 1,000.00  lapses ",
        f"{view.reference}  send  posted  ",
        f"to Juma Otieno {payee.msisdn}\n",
        f"{stop.reference} of {view.reference} asked for and set aside",
    ):
        assert fact in screen, (fact, screen)

    case = proposed(office, *propose(stop, "approve"))
    facts = said(office.run("case", "show", case))
    assert "amount=KES 1,000.00  decision=approve  held=KES 1,000.00" in facts
    assert f"stop={stop.reference}  top_up=KES 0.00  transfer={view.reference}" in facts
    assert state(kiosk, stop) == "open", "a proposal does nothing"
    assert f"{case} stop proposed by asha" in shown(office, stop)
    refusal(office.run(*propose(stop, "refuse"), *EVIDENCE, by="baraka"), "case_open")
    refusal(office.run("case", "approve", case, by="asha"), "same_person")
    assert approved(office, case) == f"stop {stop.reference} is approved; KES 1,013.00 is back"

    assert kiosk.balance(payer.wallet_id) == BALANCE
    assert kiosk.balance(payee.wallet_id) == 0
    assert "KES 1,013.00 of your wrong transfer is back" in kiosk.said(
        payer.msisdn, "stop_approved"
    )
    assert "KES 1,000.00 uliyotumiwa kimakosa imerudi" in kiosk.said(payee.msisdn, "stop_taken")
    screen = shown(office, stop)
    assert re.search(r"^approved \S+ \S+ by baraka$", screen, re.MULTILINE)
    assert "gave back KES 1,013.00  top-up KES 0.00  not collected yet KES 0.00" in screen
    assert f"send {view.reference} taken back" in screen
    assert stop.reference not in said(office.run("stop", "list"))
    refusal(office.run(*propose(stop, "approve"), *EVIDENCE, by="asha"), "stop_closed")
    assert kiosk.verify() == []


def test_refusing_takes_two_as_well(office: Office) -> None:
    kiosk = office.kiosk
    payer, payee = kiosk.person(), kiosk.person(0)
    stop = asked(kiosk, kiosk.send(payer, payee, AMOUNT), payer)
    case = proposed(office, *propose(stop, "refuse"), by="baraka")
    assert kiosk.available(payee.wallet_id) == 0
    assert approved(office, case, by="asha").startswith(f"stop {stop.reference} is refused")
    assert kiosk.available(payee.wallet_id) == AMOUNT
    assert (kiosk.kinds(payer.msisdn)[-1], kiosk.kinds(payee.msisdn)[-1]) == (
        "stop_refused",
        "stop_held",
    )
    assert "stop_freed" in kiosk.kinds(payee.msisdn)
    assert "refused" in shown(office, stop)


def test_what_lapsed_is_not_decided_any_more(office: Office) -> None:
    kiosk = office.kiosk
    payer, payee = kiosk.person(), kiosk.person(0)
    view = kiosk.send(payer, payee, AMOUNT)
    stop = asked(kiosk, view, payer)
    case = proposed(office, *propose(stop, "approve"))
    assert stops.lapse(kiosk.db, stop.expires_at + timedelta(seconds=1)) >= 1
    late = office.run("case", "approve", case, by="baraka")
    refusal(late, "stop_closed")
    assert "This stop is lapsed already" in late.output
    assert kiosk.balance(payee.wallet_id) == AMOUNT
    assert said(office.run("case", "withdraw", case, by="asha")) == f"{case}: withdrawn\n"
    assert re.search(r"^lapsed \S+ \S+$", shown(office, stop), re.MULTILINE), "by nobody"


def test_the_operator_tops_up_and_collects(office: Office) -> None:
    kiosk = office.kiosk
    own = kiosk.operator(1_000_000)
    payer, payee = kiosk.person(), kiosk.person(0)
    view = kiosk.send(payer, payee, AMOUNT)
    spend(kiosk, payee, 60_000)
    stop, before = asked(kiosk, view, payer), kiosk.balance(own)
    too_much = office.run(*propose(stop, "approve", "--top-up", "1013.01"), *EVIDENCE, by="asha")
    refusal(too_much, "top_up_too_large")
    case = proposed(office, *propose(stop, "approve", "--top-up", "600.01"))
    refused = office.run("case", "approve", case, by="baraka")
    refusal(refused, "top_up_too_large")
    assert "is KES 600.00" in refused.output
    said(office.run("case", "withdraw", case, by="asha"))
    told = approved(office, proposed(office, *propose(stop, "approve", "--top-up", "600")))
    assert told.endswith("KES 413.00 is back, KES 600.00 on top")
    assert (kiosk.balance(payer.wallet_id), kiosk.balance(own)) == (BALANCE, before - 60_000)

    collect = ("stop", "collect", stop.reference)
    case = proposed(office, *collect)
    refusal(office.run("case", "approve", case, by="baraka"), "stop_nothing_left")
    kiosk.send(payer, payee, 20_000)
    assert approved(office, case) == "KES 200.00 is collected, KES 400.00 is still owed"
    assert kiosk.balance(own) == before - 40_000
    kiosk.send(payer, payee, 50_000)
    assert approved(office, proposed(office, *collect)).endswith("KES 0.00 is still owed")
    refusal(office.run(*collect, *EVIDENCE, by="asha"), "stop_nothing_owed")
    assert shown(office, stop).count("collected by baraka") == 2
    assert kiosk.kinds(payee.msisdn).count("stop_collected") == 2
    assert kiosk.balance(payee.wallet_id) == 10_000
    assert kiosk.verify() == []


def test_nothing_is_left_and_the_operator_has_too_little(office: Office) -> None:
    kiosk = office.kiosk
    own, elsewhere = kiosk.operator(AMOUNT), kiosk.person(0).wallet_id
    payer, payee = kiosk.person(), kiosk.person(0)
    view = kiosk.send(payer, payee, 10_000)  # without a fee
    spend(kiosk, payee, 10_000)
    stop, had = asked(kiosk, view, payer), kiosk.balance(own)
    without = proposed(office, *propose(stop, "approve"))
    refusal(office.run("case", "approve", without, by="baraka"), "stop_nothing_left")
    said(office.run("case", "withdraw", without, by="asha"))
    case = proposed(office, *propose(stop, "approve", "--top-up", "100"))
    pay(kiosk, own, elsewhere, had - 9_999)
    try:
        refused = office.run("case", "approve", case, by="baraka")
        refusal(refused, "operator_funds_short")
        assert "has only KES 99.99" in refused.output
        assert (state(kiosk, stop), kiosk.balance(own)) == ("open", 9_999)
    finally:
        pay(kiosk, elsewhere, own, had - 9_999)
    assert approved(office, case).endswith("KES 0.00 is back, KES 100.00 on top")


def test_the_ladder_of_a_stop(office: Office) -> None:
    kiosk = office.kiosk
    payer = kiosk.person()
    view = kiosk.send(payer, kiosk.person(0), AMOUNT)
    stop = asked(kiosk, view, payer)
    approve = ("--decision", "approve")
    for by, command, reason in (
        ("", ("propose", stop.reference, *approve, *EVIDENCE), "staff_session_missing"),
        ("mkuu", ("propose", stop.reference, *approve, *EVIDENCE), "role_missing"),
        ("asha", ("propose", "NOSUCHRF", *approve, *EVIDENCE), "stop_unknown"),
        ("asha", ("propose", view.reference, *approve, *EVIDENCE), "stop_unknown"),
        ("asha", ("propose", "' OR 1=1", *approve, *EVIDENCE), "stop_unknown"),
        ("asha", ("propose", stop.reference, *approve, "--evidence", "?"), "evidence_missing"),
        ("asha", ("propose", stop.reference, *approve, "--top-up", "some", *EVIDENCE),
         "amount_not_a_number"),
        ("asha", ("propose", stop.reference, *approve, "--top-up", "-5", *EVIDENCE),
         "amount_not_a_number"),
        ("asha", ("collect", "NOSUCHRF", *EVIDENCE), "stop_unknown"),
        ("asha", ("collect", stop.reference, *EVIDENCE), "stop_nothing_owed"),
        ("mkuu", ("collect", stop.reference, *EVIDENCE), "role_missing"),
        ("", ("show", "NOSUCHRF"), "stop_unknown"),
        ("", ("show", view.reference), "reference_elsewhere"),
    ):  # fmt: skip
        refusal(office.run("stop", *command, by=by), reason)
    topped = office.run(*propose(stop, "refuse", "--top-up", "5"), *EVIDENCE, by="asha")
    assert "--top-up goes with --decision approve" in said(topped, code=2)
    assert "Invalid value for '--decision'" in said(
        office.run(*propose(stop, "maybe"), *EVIDENCE, by="asha"), code=2
    )
    assert state(kiosk, stop) == "open"

"""`person`: what staff see of somebody, and what two of them decide about them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from app.msisdn import mask
from app.wallet import ledger, people, registration, resets
from app.wallet.codes import outgoing
from app.wallet.people import Person
from app.wallet.transfers import stops
from tests.cli.office import EVIDENCE, Office, approved, proposed, refusal, said
from tests.people import fresh_msisdn
from tests.system.scanner import Scanner
from tests.wallet.transfers.town import BALANCE

CARE = "0711000999"


def shown(office: Office, msisdn: str) -> str:
    return said(office.run("person", "show", msisdn))


def has(screen: str, line: str) -> None:
    """A line of a screen; `line` is a pattern."""
    assert re.search(line, screen, re.MULTILINE), (line, screen)


def masked(msisdn: str) -> str:
    return re.escape(mask(msisdn))


def person(office: Office, who: Person) -> Person:
    return office.stage.db.transact(lambda s: people.get(s, who.id))


def invited(office: Office) -> Person:
    kiosk = office.kiosk
    agent = kiosk.agent(0)
    return kiosk.run(
        lambda s: registration.invite(
            s, kiosk.market, kiosk.codes, agent=agent, msisdn=fresh_msisdn(), name="Baraka O",
            id_kind="national_id", id_number="12345678", now=datetime.now(UTC),
        )
    )  # fmt: skip


# --- tiers ---


def test_a_tier_goes_up_and_down_by_two(office: Office) -> None:
    who = office.kiosk.person()
    reference = proposed(office, "person", "tier", who.msisdn, "tier2")
    assert person(office, who).tier == "tier0", "a proposal does nothing"
    facts = said(office.run("case", "show", reference))
    assert f"from=tier0  msisdn={who.msisdn}  name=Amina Wanjiru  tier=tier2" in facts
    refusal(office.run("case", "approve", reference, by="asha"), "same_person")
    assert approved(office, reference) == f"{who.msisdn} Amina Wanjiru is in tier2"
    assert person(office, who).tier == "tier2"
    told = office.kiosk.said(who.msisdn, "tier_changed")
    assert told.startswith("Your limits are now KES 250,000.00 at once and KES 500,000.00 a day.")
    assert f"Ref {reference} " in told
    again = office.run("person", "tier", who.msisdn, "tier2", *EVIDENCE, by="asha")
    refusal(again, "tier_same")
    down = proposed(office, "person", "tier", who.msisdn, "tier1", by="baraka")
    assert approved(office, down, by="asha").endswith("is in tier1")
    assert office.kiosk.kinds(who.msisdn) == ["tier_changed"] * 2


def test_the_ladder_of_a_tier(office: Office) -> None:
    known, stranger = office.kiosk.person(0).msisdn, fresh_msisdn()
    for by, msisdn, tier, evidence, reason in (
        ("", known, "tier1", EVIDENCE, "staff_session_missing"),
        ("mkuu", known, "tier1", EVIDENCE, "role_missing"),
        ("asha", "nobody", "tier1", EVIDENCE, "msisdn_invalid"),
        ("asha", stranger, "tier1", EVIDENCE, "person_unknown"),
        ("asha", invited(office).msisdn, "tier2", EVIDENCE, "person_state"),
        ("asha", known, "platinum", EVIDENCE, "tier_unknown"),
        ("asha", known, "tier0", EVIDENCE, "tier_same"),
        ("asha", known, "tier1", ("--evidence", ""), "evidence_missing"),
    ):
        refusal(office.run("person", "tier", msisdn, tier, *evidence, by=by), reason)
    assert (
        "it has tier0, tier1, tier2"
        in office.run("person", "tier", known, "Tier1", *EVIDENCE, by="asha").output
    )
    assert "Usage:" in said(office.run("person", "tier", known, by="asha"), code=2)


def test_a_tier_that_changed_meanwhile(office: Office) -> None:
    who = office.kiosk.person(0)
    reference = proposed(office, "person", "tier", who.msisdn, "tier1")
    office.admin(f"UPDATE people SET tier = 'tier1' WHERE id = '{who.id}'")
    refusal(office.run("case", "approve", reference, by="baraka"), "tier_same")
    assert office.kiosk.kinds(who.msisdn) == []


# --- suspending ---


def test_who_is_suspended_hears_of_it(office: Office) -> None:
    kiosk = office.kiosk
    who = kiosk.person(language="sw")
    approved(office, proposed(office, "person", "suspend", who.msisdn))
    assert kiosk.said(who.msisdn, "wallet_suspended").startswith("Akaunti yako imesimamishwa: ")
    has(shown(office, who.msisdn), r"^suspended since \d{4}-")
    approved(office, proposed(office, "person", "resume", who.msisdn))
    assert kiosk.said(who.msisdn, "wallet_resumed").startswith("Akaunti yako imefunguliwa tena.")
    assert "since" not in shown(office, who.msisdn)


# --- closing ---


def test_a_closed_wallet_pays_out_first(office: Office) -> None:
    kiosk = office.kiosk
    who, other = kiosk.person(), kiosk.person()
    before = kiosk.house("payouts_in_transit")
    reference = proposed(office, "person", "close", who.msisdn)
    assert "pays_out=KES 10,000.00" in said(office.run("case", "show", reference))
    assert kiosk.balance(who.wallet_id) == BALANCE
    kiosk.send(other, who, 5_000)  # what is there then is paid out
    told = approved(office, reference)
    found = re.fullmatch(
        rf"\{who.msisdn} Amina Wanjiru is closed; KES 10,050.00 is on its way out, (\w{{8}})", told
    )
    assert found, told
    assert (person(office, who).state, kiosk.balance(who.wallet_id)) == ("closed", 0)
    assert kiosk.house("payouts_in_transit") == before + BALANCE + 5_000
    assert f"Ref {found[1]} " in kiosk.said(who.msisdn, "account_closed")
    screen = shown(office, who.msisdn)
    has(screen, rf"^payout +{found[1]} +KES 10,050.00 +on its way from")
    has(screen, rf"transfer +KES 10,050.00 +closing {found[1]} to the bank$")
    assert f"from Amina Wanjiru {who.msisdn}\nto the bank\n" in said(
        office.run("transfer", "show", found[1])
    )
    refusal(office.run("person", "close", who.msisdn, *EVIDENCE, by="asha"), "person_closed")
    assert kiosk.verify() == []


def test_an_empty_wallet_is_closed(office: Office) -> None:
    who = office.kiosk.person(0)
    told = approved(office, proposed(office, "person", "close", who.msisdn))
    assert told.endswith("is closed; the wallet was empty")
    assert office.kiosk.kinds(who.msisdn) == ["account_closed_empty"]


def test_the_ladder_of_a_closing(office: Office) -> None:
    kiosk = office.kiosk
    suspended, sender, agent = kiosk.person(0), kiosk.person(), kiosk.agent(0)
    kiosk.set(Person, suspended.id, state="suspended")
    voucher = kiosk.voucher(sender, fresh_msisdn(), 10_000)
    for by, msisdn, reason in (
        ("mkuu", sender.msisdn, "role_missing"),
        ("asha", fresh_msisdn(), "person_unknown"),
        ("asha", suspended.msisdn, "person_suspended"),
        ("asha", invited(office).msisdn, "person_state"),
        ("asha", agent.msisdn, "close_is_agent"),
        ("asha", sender.msisdn, "close_has_holds"),
    ):
        refusal(office.run("person", "close", msisdn, *EVIDENCE, by=by), reason)
    kiosk.cancel(voucher.transfer_id, sender.id)
    reference = proposed(office, "person", "close", sender.msisdn)
    kiosk.voucher(sender, fresh_msisdn(), 10_000)
    refusal(office.run("case", "approve", reference, by="baraka"), "close_has_holds")
    assert person(office, sender).state == "active"


# --- a forgotten PIN ---


def test_a_new_pin_takes_staff_and_the_phone(office: Office) -> None:
    kiosk = office.kiosk
    who, other = kiosk.person(name="Asha Mwangi"), kiosk.person()
    kiosk.send(other, who, 20_000)
    today = datetime.now(kiosk.market.zone)
    asked = said(office.run("person", "questions", who.msisdn, by="asha"))
    has(asked, r"last amount sent or received +KES 200.00$")
    has(asked, rf"the day of it +{today:%Y-%m-%d}$")
    has(asked, rf"month of registration +{today:%Y-%m}$")
    assert "document" not in asked, "nothing to ask about"
    told = said(office.run("person", "reset-pin", who.msisdn, *EVIDENCE, by="asha"))
    assert told == (
        f"{who.msisdn}: a code is on its way to this phone alone;"
        " dial *384*123# there within 5 minutes.\n"
    )
    screen = shown(office, who.msisdn)
    has(screen, r"^PIN reset +\d{4}-\S+ \S+ +a code was sent")
    assert "asked for by staff asha letter of the police" in screen

    def code(session: Session) -> str:
        request = resets.open_request(session, who.id, datetime.now(UTC))
        assert request
        return kiosk.codes.digits(outgoing(session, request.code_id))

    scanner = Scanner.of({"code": kiosk.run(code)})
    assert scanner.found((asked + told + screen).encode()) == []
    complete(office, who)
    assert "of the PIN done" in shown(office, who.msisdn)
    assert kiosk.kinds(who.msisdn) == ["pin_changed", "pin_reset_code", "send_received"]


def complete(office: Office, who: Person) -> None:
    """What the phone does, once the code was right."""
    parts = office.app.extensions["kibanda"]
    sealed = parts.pins.seal(who.id, "2580")

    def work(session: Session) -> None:
        now = datetime.now(UTC)
        request = resets.open_request(session, who.id, now)
        assert request
        resets.complete(session, parts.codes, parts.pins, parts.market, request, sealed, now=now)

    parts.db.transact(work)


def test_the_document_is_asked_about(office: Office) -> None:
    who = invited(office)
    office.admin(f"UPDATE people SET state = 'active', consented_at = now() WHERE id = '{who.id}'")
    asked = said(office.run("person", "questions", who.msisdn, by="baraka"))
    has(asked, r"the end of its number +national_id \.\.\.678$")
    assert "last amount" not in asked


@pytest.mark.parametrize("command", ["questions", "reset-pin"])
def test_the_ladder_of_a_reset(office: Office, command: str) -> None:
    evidence = EVIDENCE if command == "reset-pin" else ()
    known = office.kiosk.person(0).msisdn
    for by, msisdn, reason in (
        ("", known, "staff_session_missing"),
        ("mkuu", known, "role_missing"),
        ("asha", "12", "msisdn_invalid"),
        ("asha", fresh_msisdn(), "person_unknown"),
        ("asha", invited(office).msisdn, "person_state"),
    ):
        refusal(office.run("person", command, msisdn, *evidence, by=by), reason)
    assert office.kiosk.kinds(known) == []


def test_codes_are_bounded_and_need_evidence(office: Office) -> None:
    who, suspended = office.kiosk.person(0), office.kiosk.person(0)
    office.kiosk.set(Person, suspended.id, state="suspended")
    reset = ("person", "reset-pin")
    no_evidence = office.run(*reset, who.msisdn, "--evidence", " x", by="asha")
    refusal(no_evidence, "evidence_missing")
    refusal(office.run(*reset, suspended.msisdn, *EVIDENCE, by="asha"), "person_suspended")
    for _ in range(office.kiosk.market.people.otps_per_hour):
        said(office.run(*reset, who.msisdn, *EVIDENCE, by="asha"))
    refusal(office.run(*reset, who.msisdn, *EVIDENCE, by="baraka"), "too_many_codes")


# --- one screen ---


def test_the_screen_of_a_customer(office: Office) -> None:
    kiosk = office.kiosk
    who, juma, agent = kiosk.person(), kiosk.person(name="Juma Otieno"), kiosk.agent()
    number = fresh_msisdn()
    sent = kiosk.send(who, juma, 100_000)
    kiosk.send(juma, who, 5_000)
    voucher = kiosk.voucher(who, number, 20_000)
    kiosk.cash_in(agent, who, 30_000)
    kiosk.cash_out(who, agent, 10_000)
    code = kiosk.make_code(who, agent, 10_000)
    stop = kiosk.run(
        lambda s: stops.ask(s, kiosk.market, sent.id, by=who.id, now=datetime.now(UTC))
    )
    case = proposed(office, "person", "suspend", who.msisdn)
    office.admin(
        "INSERT INTO pins (person_id, sealed, attempts, locked_until, changed_at) VALUES"
        f" ('{who.id}', '', 3, now() + interval '25 minutes', now())"
    )
    screen = shown(office, who.msisdn.replace("+254", "0"))
    head, still_open, timeline = screen.split("\n\n")
    assert head.splitlines()[:2] == [
        f"Amina Wanjiru  {who.msisdn}  customer  active  en  tier0",
        "PIN locked for 25 minutes",
    ]
    money = kiosk.market.currency.format
    available = kiosk.available(who.wallet_id)
    held = kiosk.balance(who.wallet_id) - available
    assert head.splitlines()[2] == f"available {money(available)}  held {money(held)}"
    for line in (
        rf"withdrawal +{code.reference} +KES 110.00 +\d.* set aside at Neema Kiosk {agent.code}",
        rf"voucher +{voucher.reference} +KES 200.00 +\d.* sent to {masked(number)}, not collected",
        rf"stop +{stop.reference} +KES 1,000.00 +\d.* send {sent.reference} asked back by this",
        rf"case +{case} +person_suspend proposed by asha",
    ):
        has(still_open, f"^{line}")
    other = f"Juma O {masked(juma.msisdn)}"
    for kind, line in (
        ("transfer", rf"KES 1,013.00 +send {sent.reference} to {other}$"),
        ("transfer", rf"KES 50.00 +send \w{{8}} from {other}$"),
        ("transfer", rf"KES 235.00 +voucher {voucher.reference} to {masked(number)}$"),
        ("transfer", rf"KES 300.00 +cash_in \w{{8}} from Neema Kiosk {agent.code}$"),
        ("transfer", rf"KES 110.00 +cash_out \w{{8}} to Neema Kiosk {agent.code}$"),
        ("withdrawal", rf"KES 110.00 +{code.reference} set aside at Neema Kiosk {agent.code}$"),
        ("stop", rf"KES 1,000.00 +{stop.reference} of {sent.reference} asked for and set aside$"),
        ("case", rf"{case} person_suspend proposed by asha$"),
        ("deposit", r"KES 10,000.00 +town-\w+ into the wallet$"),
        ("sms", rf"stop_asked due {stop.reference} tries 0 delivery none yet$"),
        ("intent", r"send done \S+$"),
    ):
        has(timeline, rf"^\d{{4}}-\S+ \S+ +{kind} +{line}")
    assert juma.msisdn not in screen, "others are masked"
    assert number not in screen
    times = [line[:19] for line in timeline.splitlines()[1:]]
    assert times == sorted(times, reverse=True)
    theirs = shown(office, juma.msisdn)
    has(theirs, rf"^stop +{stop.reference} +KES 1,000.00 .* set aside from {sent.reference}$")


def test_the_screen_of_an_agent(office: Office) -> None:
    kiosk = office.kiosk
    above = kiosk.super_agent()
    office.stage.pay_in(above.float_id, 900_000)
    agent, customer = kiosk.agent(100_000, parent=above), kiosk.person(name="Juma Otieno")
    cash_in = kiosk.cash_in(agent, customer, 20_000)
    moved = kiosk.move(above, agent, 50_000)
    asked = kiosk.request(agent, 30_000)
    case = proposed(office, "agent", "suspend", agent.code)
    head, still_open, timeline = shown(office, agent.msisdn).split("\n\n")
    assert head.endswith(
        f"agent {agent.code} Neema Kiosk  active  float KES 1,300.00  held KES 0.00"
    )
    has(still_open, r"^float request +KES 300.00 .* asked of the super")
    has(still_open, rf"^case +{case} ")
    for line in (
        rf"transfer +KES 200.00 +cash_in {cash_in.reference} to Juma O {masked(customer.msisdn)}$",
        rf"transfer +KES 500.00 +float_move {moved.reference} from Zawadi {above.code}$",
        r"deposit +KES 1,000.00 +town-\w+ into the float$",
        rf"case +{case} agent_suspend proposed by asha$",
    ):
        has(timeline, line)
    of_agent = said(office.run("agent", "show", agent.code))
    assert f"{agent.msisdn}  agent  active\nfloat KES 1,300.00  held KES 0.00" in of_agent
    has(of_agent, r"^commission KES 6.40 not paid yet, next on \d{4}-\d\d-\d\d$")
    has(of_agent, rf"^super-agent {above.code}  Zawadi$")
    theirs = shown(office, above.msisdn)
    assert f"asked by Neema Kiosk {agent.code}" in theirs
    has(theirs, rf"float_move {moved.reference} to {masked(agent.msisdn)}$")
    kiosk.refuse(above, asked)


def test_what_was_taken_back_and_collected(office: Office) -> None:
    kiosk = office.kiosk
    who, agent, number = kiosk.person(), kiosk.agent(), fresh_msisdn()
    collected, returned = (kiosk.voucher(who, number, 10_000) for _ in range(2))
    kiosk.collect(agent, collected)
    kiosk.cancel(returned.transfer_id, who.id)
    screen = shown(office, who.msisdn)
    assert f"{collected.reference} collected at an agent" in screen
    has(screen, rf"transfer +KES 135.00 +voucher {returned.reference} taken back$")
    has(screen, rf"voucher {returned.reference} to \S+ \(taken back\)$")


def test_a_number_that_is_nobodys(office: Office) -> None:
    kiosk = office.kiosk
    who, number = kiosk.person(), fresh_msisdn()
    refusal(office.run("person", "show", number), "person_unknown")
    voucher = kiosk.voucher(who, number, 10_000)
    screen = shown(office, number)
    assert screen.startswith(f"{number}  not registered\n")
    sender = f"Amina W {masked(who.msisdn)}"
    has(
        screen,
        rf"^voucher +{voucher.reference} +KES 100.00 +\d.* waits for this number, from {sender}$",
    )
    assert "voucher_code due" in screen
    person_of_it, _ = kiosk.register(number)
    mine = shown(office, number)
    assert "voucher_code due" in mine, "also what the number was told before it was theirs"
    has(mine, rf"voucher_collect \w{{8}} from {sender}$")
    assert kiosk.balance(person_of_it.wallet_id) == 10_000


def test_a_busy_wallet_is_read_by_its_newest(office: Office) -> None:
    """Of hundreds of lines the newest hundred are shown, whatever they are."""
    kiosk = office.kiosk
    who = kiosk.person()
    other = kiosk.person(0)
    office.admin(
        "INSERT INTO transfers (id, reference, kind, payer_account, payee_account, payer_id,"
        " payee_id, currency, amount_minor, fee_minor, tax_minor, funded_minor, fee_payer,"
        " posting_id, created_at) SELECT gen_random_uuid(),"
        " lpad(n::text, 8, '0'), 'send', 1, 2,"
        f" '{who.id}', '{other.id}', 'KES', n, 0, 0, 0, 'sender', -n,"
        " now() - make_interval(secs => n) FROM generate_series(1, 300) n"
    )
    lines = shown(office, who.msisdn).split("\n\n")[-1].splitlines()
    assert len(lines) == 101
    office.admin(f"DELETE FROM transfers WHERE payer_id = '{who.id}'")


def test_the_ledger_is_whole(office: Office) -> None:
    assert office.stage.db.transact(ledger.verify) == []

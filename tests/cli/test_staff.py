"""What staff do from the command line: look, decide with somebody else, stop a biller."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import Result

from app.billers.payments import PaymentView
from tests.cli.office import Office, app_over, refusal, said, session_of
from tests.cli.office import run as run_in
from tests.gateway_client import Session
from tests.people import fresh_meter, fresh_msisdn
from tests.world import Phone, World

PIN = "7391"
TOKEN = "12345678901234567890"
AddPerson = Callable[..., str]


# --- person and payment ---


def test_person_show_tells_the_whole_story(world: World, add_person: AddPerson) -> None:
    msisdn, meter = add_person("en", 100_000, "Asha Mwangi"), fresh_meter()
    phone = Phone(world, msisdn)
    phone.dial()
    for reply in ("1", "1", "1", meter, "200", PIN):
        screen = phone.reply(reply)
    reference = re.findall(r"Ref (\w{8})", screen)[0]
    phone.wait_sms(1)
    done = world.flask("person", "show", msisdn.replace("+254", "0"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Asha Mwangi  {msisdn}  customer  active  en")
    assert "available KES 790.00  held KES 0.00" in done.stdout
    for fact in (f"{reference} sent → captured", meter, "sms", "payment_paid sent", "intent"):
        assert fact in done.stdout, done.stdout
    with app_over(world.database_url) as app:
        shown = said(app.test_cli_runner().invoke(args=["payment", "show", reference.lower()]))
    assert shown.startswith(f"{reference}  captured  stima_token {meter}")
    assert "amount KES 200.00  fee KES 10.00  total KES 210.00" in shown


def test_who_or_what_does_not_exist(office: Office) -> None:
    number = fresh_msisdn()
    result = office.run("person", "show", number)
    refusal(result, "person_unknown")
    assert number in result.output
    refusal(office.run("person", "show", "nobody"), "msisdn_invalid")
    refusal(office.run("payment", "show", "NOSUCHREF"), "payment_unknown")
    unknown = office.run("payment", "resolve", "approve", "NOSUCHREF", by="baraka")
    refusal(unknown, "payment_unknown")
    for command in ("pause", "resume"):
        refusal(office.run("biller", command, "nobody", by="asha"), "biller_unknown")
    for usage in (["person", "show"], ["payment", "resolve", "approve"], ["biller", "pause"]):
        assert said(office.run(*usage), code=2).startswith("Usage: app ")


def propose(office: Office, payment: PaymentView, **changes: str) -> Result:
    options = {"outcome": "paid", "evidence": "call with Stima, ticket 4711", "token": TOKEN}
    options |= changes
    given = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    return office.run("payment", "resolve", "propose", payment.reference, *given, by="asha")


def approve(office: Office, payment: PaymentView, name: str) -> Result:
    return office.run("payment", "resolve", "approve", payment.reference, by=name)


def test_two_people_decide_a_payment(office: Office) -> None:
    payment = office.manual()
    assert "manual" in said(office.run("payment", "show", payment.reference))
    refusal(approve(office, payment, "baraka"), "proposal_missing")
    refusal(propose(office, payment, evidence=" "), "evidence_missing")
    refusal(propose(office, payment, token="123"), "token_invalid")
    refusal(propose(office, payment, token=""), "token_invalid")
    refusal(propose(office, payment, outcome="refused"), "token_invalid")
    refusal(propose(office, payment, outcome="returned", token=""), "resolution_does_not_fit")
    assert "proposed by asha; another person must approve" in said(propose(office, payment))
    refusal(propose(office, payment), "proposal_open")
    refusal(approve(office, payment, "asha"), "same_person")
    assert office.stage.view(payment).state == "manual", "a proposal moves nothing"
    withdrawn = office.run("payment", "resolve", "withdraw", payment.reference, by="asha")
    assert "withdrawn" in said(withdrawn)
    refusal(approve(office, payment, "baraka"), "proposal_missing")
    said(propose(office, payment))
    assert said(approve(office, payment, "baraka")) == f"{payment.reference}: captured\n"
    assert office.stage.view(payment).tokens == (TOKEN,)
    refusal(propose(office, payment), "resolution_does_not_fit")
    shown = said(office.run("payment", "show", payment.reference))
    for step in ("unknown → manual", "proposed", "withdrawn", "manual → captured", "baraka"):
        assert step in shown, shown


@pytest.mark.parametrize(
    "command",
    [
        ["payment", "resolve", "propose", "X", "--outcome", "refused", "--evidence", "none"],
        ["payment", "resolve", "approve", "X"],
        ["payment", "resolve", "withdraw", "X"],
        ["biller", "pause", "stima"],
        ["biller", "resume", "stima"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_money_is_for_finance_and_supervisors(office: Office, command: list[str]) -> None:
    refusal(office.run(*command), "staff_session_missing")
    refused = office.run(*command, by="mkuu")
    refusal(refused, "role_missing")
    assert "finance or supervisor" in refused.output
    assert "No such option" in said(office.run(*command, "--as", "baraka"), code=2)


# --- billers ---


@pytest.fixture
def supervisor(world: World) -> Iterator[Callable[..., str]]:
    """The world's command line, where a supervisor is logged in."""
    with app_over(world.database_url) as app:
        token = session_of(app, "baraka")
        yield lambda *arguments: said(run_in(app, *arguments, token=token))


@contextmanager
def paused(run: Callable[..., str]) -> Iterator[None]:
    """The world's biller is paused."""
    assert run("biller", "pause", "stima") == "stima: paused\n"
    try:
        yield
    finally:
        assert run("biller", "resume", "stima") == "stima: takes payments\n"


def test_a_paused_biller_takes_nothing_and_the_phone_says_so(
    world: World, add_person: AddPerson, supervisor: Callable[..., str]
) -> None:
    early, late = (Session(world, add_person("en", 100_000)) for _ in range(2))
    meter = fresh_meter()
    early.dial()
    assert "PIN to pay" in early.reply("1", "1", "1", meter, "200")
    with paused(supervisor):
        late.dial()
        for answer in (early.reply(PIN), late.reply("1", "1", "1", meter, "200", PIN)):
            assert answer == (
                "END The biller is closed for now. Nothing was taken. Help: 0711000999"
            )
        assert supervisor("biller", "pause", "stima") == "stima: paused already\n"
        billers = json.loads(supervisor("status", "--json"))["billers"]
        assert [one["paused"] for one in billers if one["code"] == "stima"] == [True]
    assert meter not in [sale["customer_no"] for sale in world.sales()]
    for session in (early, late):
        again = Session(world, session.msisdn)
        (line,) = (line for line in again.dial().splitlines() if line.endswith("Balance"))
        balance = "END Balance KES 1,000.00\nSet aside for payments KES 0.00"
        assert again.reply(line.split()[0], PIN) == balance
    again = Session(world, early.msisdn)
    again.dial()
    assert again.reply("1", "1", "1", meter, "200", PIN).startswith("END Pa"), "it is open again"

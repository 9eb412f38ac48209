"""`transfer show`: what became of the reference that somebody reads out from an SMS."""

from __future__ import annotations

import re

from tests.cli.office import Office, approved, proposed, refusal, said
from tests.people import fresh_msisdn


def shown(office: Office, reference: str) -> str:
    return said(office.run("transfer", "show", f" {reference.lower()} "))


def test_a_transfer_between_people(office: Office) -> None:
    kiosk = office.kiosk
    payer, payee = kiosk.person(), kiosk.person(name="Juma Otieno")
    view = kiosk.send(payer, payee, 100_000)
    head, timeline = shown(office, view.reference).split("\n\n")
    first, *others = head.splitlines()
    assert re.fullmatch(rf"{view.reference}  send  posted  \d{{4}}-\S+ \S+", first)
    assert others == [
        f"from Amina Wanjiru {payer.msisdn}",
        f"to Juma Otieno {payee.msisdn}",
        "amount KES 1,000.00  fee KES 13.00  total KES 1,013.00",
    ]
    told = [line.split()[2:4] for line in timeline.splitlines()[1:]]
    assert sorted(told) == [["sms", "send_received"], ["sms", "send_sent"]]


def test_a_voucher_and_what_became_of_it(office: Office) -> None:
    kiosk = office.kiosk
    who, agent, number = kiosk.person(), kiosk.agent(), fresh_msisdn()
    voucher = kiosk.voucher(who, number, 20_000)
    screen = shown(office, voucher.reference)
    assert f"to a voucher for {number}, open\n" in screen
    assert re.search(r"^open until \d{4}-", screen, re.MULTILINE)
    paid = kiosk.collect(agent, voucher)
    screen = shown(office, voucher.reference)
    assert f"to a voucher for {number}, collected\n" in screen
    assert "open until" not in screen
    for line in (f"{voucher.reference} collected at an agent", "voucher_code", "voucher_cashed"):
        assert line in screen, (line, screen)
    collected = shown(office, paid.reference)
    assert f"from a voucher for {number}\nto agent {agent.code} Neema Kiosk " in collected


def test_at_the_counter(office: Office) -> None:
    kiosk = office.kiosk
    above, agent, customer = kiosk.super_agent(), kiosk.agent(), kiosk.person(name="Juma Otieno")
    at_counter, juma = f"agent {agent.code} Neema Kiosk {agent.msisdn}", "Juma Otieno"
    cash_in = kiosk.cash_in(agent, customer, 30_000)
    assert f"from {at_counter}\nto {juma} " in shown(office, cash_in.reference)
    cash_out = kiosk.cash_out(customer, agent, 10_000)
    assert f"from {juma} {customer.msisdn}\nto {at_counter}\n" in shown(office, cash_out.reference)
    moved = kiosk.move(agent, above, 10_000)
    assert f"from {at_counter}\nto the agent at {above.msisdn}\n" in shown(office, moved.reference)


def test_a_withdrawal_by_code_before_it_is_a_transfer(office: Office) -> None:
    kiosk = office.kiosk
    customer, agent = kiosk.person(), kiosk.agent()
    made = kiosk.make_code(customer, agent, 10_000)
    screen = shown(office, made.reference)
    assert screen.startswith(f"{made.reference}  withdrawal by code  open  ")
    assert f"at agent {agent.code} Neema Kiosk" in screen
    assert re.search(r"^open until \d{4}-", screen, re.MULTILINE)
    assert "withdrawal_code" in screen
    assert kiosk.digits(made) not in screen
    kiosk.cancel_code(made, customer.id)
    assert "withdrawal by code  cancelled" in shown(office, made.reference)


def test_a_deposit_on_its_way(office: Office) -> None:
    who = office.kiosk.person(0)
    case = proposed(office, "trust", "expect", "70", "--person", who.msisdn)
    found = re.match(r"deposit (\w{8}) is on its way", approved(office, case))
    assert found
    screen = shown(office, found[1])
    assert screen.startswith(f"{found[1]}  deposit  on_way  ")
    assert f"from the bank\nto Amina Wanjiru {who.msisdn}\namount KES 70.00" in screen
    assert "deposit_noted" in screen
    theirs = said(office.run("person", "show", who.msisdn))
    assert re.search(rf"^deposit +{found[1]} +KES 70.00 +on its way", theirs, re.MULTILINE)


def test_a_reference_of_something_else_is_said_to_be_so(office: Office) -> None:
    kiosk, payment = office.kiosk, office.stage.pay()
    view = kiosk.send(kiosk.person(), kiosk.person(), 1_000)
    case = proposed(office, "person", "suspend", kiosk.person(0).msisdn)
    for command, reference, told in (
        ("transfer show", payment.reference, f"`payment show {payment.reference}` shows it"),
        ("transfer show", case.lower(), f"`case show {case}` shows it"),
        ("payment show", view.reference, f"`transfer show {view.reference}` shows it"),
        ("stop show", payment.reference, f"`payment show {payment.reference}` shows it"),
    ):
        result = office.run(*command.split(), reference)
        refusal(result, "reference_elsewhere")
        assert told in result.output
    refusal(office.run("transfer", "show", "NOSUCHRF"), "transfer_unknown")
    refusal(office.run("transfer", "show", ""), "transfer_unknown")
    refusal(office.run("payment", "show", "NOSUCHRF"), "payment_unknown")

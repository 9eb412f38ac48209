"""`agent splits`: the rule in words, and what it found."""

from __future__ import annotations

import json
from datetime import timedelta

from app.wallet.codes import Codes
from tests.cli.office import Office, said
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.transfers.town import now


def test_split_deposits_are_reported_with_the_rule(office: Office) -> None:
    kiosk = Kiosk(office.stage.db, office.app.extensions["kibanda"].market, Codes({1: b"k" * 32}))
    agent, customer = kiosk.agent(), kiosk.person(0, name="Juma Otieno")
    start = now() - timedelta(hours=30)
    for minutes in (0, 10, 20):
        kiosk.cash_in(agent, customer, 100_000, start + timedelta(minutes=minutes))
    rule = "Reported is an agent who took at least 3 deposits of one customer within 60 minutes"
    assert agent.code not in said(office.run("agent", "splits"))
    shown = said(office.run("agent", "splits", "--days", "2"))
    assert shown.startswith(rule)
    (line,) = [line for line in shown.splitlines() if agent.code in line]
    for fact in ("Juma O", " 3 ", "KES 3,000.00", "KES 24.00", "KES 20.00", "KES 4.00"):
        assert fact in line, line
    assert customer.msisdn not in shown
    report = json.loads(said(office.run("agent", "splits", "--days", "2", "--json")))
    assert report["rule"].startswith(rule)
    (split,) = [one for one in report["splits"] if one["agent_code"] == agent.code]
    assert (split["deposits"], split["amount_minor"], split["excess_minor"]) == (3, 300_000, 400)
    said(office.run("agent", "splits", "--days", "32"), code=2)

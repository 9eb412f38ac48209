"""How `trust` shows its report: tables for people, JSON for machines, log lines for alarms."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from app.cli.output import as_json, table
from app.markets import Market
from app.money import Currency
from app.telemetry import log
from app.wallet.trust.identity import AtBank, Identity
from app.wallet.trust.report import Report

NAMES = {"line": "line of the bank", "deposit": "deposit on its way", "payout": "payout on its way"}


def alarm(found: Report) -> None:
    """One line of the log for each thing that somebody must look at."""
    for identity in found.identities:
        if identity.off_minor:
            log.error("trust_off", currency=identity.currency, off_minor=identity.off_minor)
    for currency, bank in found.banks.items():
        if bank.off_minor:
            log.error("trust_off_the_bank", currency=currency, off_minor=bank.off_minor)
    overdue = Counter(one.what for one in found.waiting if one.overdue)
    for what, count in overdue.items():
        log.error("trust_overdue", what=what, count=count)


def as_machine(found: Report, _market: Market, now: datetime) -> str:
    return as_json(
        {
            "balanced": not found.off,
            "currencies": [
                _identity(identity, found.banks.get(identity.currency))
                for identity in found.identities
            ],
            "waiting": [
                {
                    "what": one.what,
                    "name": one.name,
                    "amount_minor": one.amount_minor,
                    "since": one.since,
                    "age_seconds": int((now - one.since).total_seconds()),
                    "overdue": one.overdue,
                }
                for one in found.waiting
            ],
        }
    )


def as_tables(found: Report, market: Market, now: datetime) -> str:
    blocks = []
    for identity in found.identities:
        money = _money(market, identity.currency)
        blocks.append(_table_of(identity, money))
        blocks.append(_table_at(found.banks.get(identity.currency), market, money))
    blocks.append(_table_of_waiting(found, market, now))
    return "\n\n".join(blocks)


def _identity(identity: Identity, bank: AtBank | None) -> dict[str, object]:
    return {
        "currency": identity.currency,
        "owed_minor": identity.owed,
        "held_minor": identity.held_minor,
        "owed_sum_minor": identity.owed_minor,
        "trust_bank_minor": identity.trust_bank_minor,
        "deposits_in_transit_minor": identity.deposits_in_transit_minor,
        "payouts_in_transit_minor": identity.payouts_in_transit_minor,
        "backed_sum_minor": identity.backed_minor,
        "off_minor": identity.off_minor,
        "bank": bank
        and {
            "closing_minor": bank.closing_minor,
            "file": bank.file_name,
            "imported_at": bank.imported_at,
            "unmatched_minor": bank.unmatched_minor,
            "by_hand_minor": bank.by_hand_minor,
            "expected_minor": bank.expected_minor,
            "off_minor": bank.off_minor,
        },
    }


def _table_of(identity: Identity, money: Currency) -> str:
    lines = [
        *((f"  {name}", minor) for name, minor in identity.owed.items()),
        ("is owed", identity.owed_minor),
        ("  trust_bank", identity.trust_bank_minor),
        ("+ deposits_in_transit", identity.deposits_in_transit_minor),
        ("- payouts_in_transit", identity.payouts_in_transit_minor),
        ("stands behind it", identity.backed_minor),
        ("off by", identity.off_minor),
    ]
    return _amounts("the books", lines, money)


def _table_at(bank: AtBank | None, market: Market, money: Currency) -> str:
    if bank is None:
        return "no statement of the bank was imported yet: trust_bank is compared with nothing"
    imported = bank.imported_at.astimezone(market.zone).strftime("%Y-%m-%d %H:%M")
    lines = [
        ("  the bank's last balance", bank.closing_minor),
        ("- lines not matched", bank.unmatched_minor),
        ("+ entered by hand since", bank.by_hand_minor),
        ("trust_bank should be", bank.expected_minor),
        ("trust_bank is", bank.trust_bank_minor),
        ("off by", bank.off_minor),
    ]
    return _amounts(f"the bank: {bank.file_name}, {imported}", lines, money)


def _table_of_waiting(found: Report, market: Market, now: datetime) -> str:
    rows = [
        {
            "waits": NAMES.get(one.what, one.what),
            "name": one.name,
            "amount": market.currency.format(one.amount_minor),
            "since": one.since.astimezone(market.zone).strftime("%Y-%m-%d %H:%M"),
            "days": (now - one.since).days,
            "": "OVERDUE" if one.overdue else "",
        }
        for one in found.waiting
    ]
    return (
        table(rows, ["waits", "name", "amount", "since", "days", ""]) if rows else "nothing waits"
    )


def _amounts(title: str, lines: list[tuple[str, int]], money: Currency) -> str:
    written = [(name, money.format(minor)) for name, minor in lines]
    widest = max(len(amount) for _, amount in written)
    rows = [{title: name, "amount": amount.rjust(widest)} for name, amount in written]
    return table(rows, [title, "amount"])


def _money(market: Market, code: str) -> Currency:
    """The market's currency; of any other we know no minor unit, and say minor units."""
    return market.currency if code == market.currency.code else Currency(code, 0)

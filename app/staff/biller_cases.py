"""Cases about billers: write-offs of what does not fit, and orders to pay (`decisions.py`)."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy.orm import Session

from app.billers.reconciliation import acting, exceptions, write_offs
from app.billers.reconciliation.exceptions import Found
from app.errors import DomainError
from app.markets.model import Market
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal
from app.wallet.trust import orders


def about_write_off(session: Session, name: str) -> Proposal:
    """What no biller will account for any more. Raises as `acting.about_write_off`."""
    found, effect = acting.about_write_off(session, name)
    facts = {"amount_minor": effect.amount_minor, "from": effect.debit, "to": effect.credit}
    return Proposal(exceptions.named(*found), _about(found) | facts)


def write_off(session: Session, market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    amount_minor, debit = case.facts["amount_minor"], case.facts["from"]
    effect = acting.write_off(session, market, case.subject, amount_minor, debit, case.id, now)
    written = market.currency.format(effect.amount_minor)
    return f"{written} went from {effect.debit} to {effect.credit}"


def about_closing(session: Session, name: str) -> Proposal:
    """Our books are right as they are. Raises as `acting.about_closing`."""
    found = acting.about_closing(session, name)
    return Proposal(exceptions.named(*found), _about(found))


def close(session: Session, _market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    acting.close(session, case.subject, case.id, now)
    return f"{case.subject} is closed; nothing moved"


def about_late_sale(session: Session, reference: str) -> Proposal:
    """The operator bears a sale whose money had gone back. Raises as `write_offs.late_sale`."""
    payment = write_offs.late_sale(session, reference)
    facts = {"biller": payment.biller, "amount_minor": payment.amount_minor}
    return Proposal(payment.reference, facts)


def make_good(session: Session, market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    payment = write_offs.make_good(session, market, case.subject, now)
    return f"the operator bears {market.currency.format(payment.amount_minor)}"


def about_order(
    session: Session, market: Market, biller: str, day: date, now: datetime
) -> Proposal:
    """Paying a biller for a day. Raises DomainError `biller_unknown`, and as `orders.to_order`."""
    if biller not in market.billers:
        raise DomainError("biller_unknown", known=", ".join(sorted(market.billers)))
    days = orders.to_order(session, market, biller, day, now)
    amount_minor = sum(one.net_minor for one in days)
    facts = {"biller": biller, "day": day.isoformat(), "amount_minor": amount_minor}
    if len(days) > 1:
        facts["with"] = ", ".join(one.day.isoformat() for one in days[:-1])
    return Proposal(f"{biller}:{day}", facts)


def order(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    made = orders.make(
        session,
        market,
        case.facts["biller"],
        date.fromisoformat(case.facts["day"]),
        case.facts["amount_minor"],
        order_id=case.id,
        maker=case.maker,
        checker=checker.name,
        now=now,
    )
    return f"order {made.reference}; `settlement file {made.reference}` writes it for the bank"


def about_order_of(session: Session, reference: str) -> Proposal:
    """An order that the bank will not carry out. Raises `order_unknown`, `order_state`."""
    found = orders.of_reference(session, reference)
    if found.state != "ordered":
        raise DomainError("order_state", state=found.state)
    facts = {"biller": found.biller, "amount_minor": found.amount_minor}
    return Proposal(found.reference, facts)


def cancel(session: Session, _market: Market, case: Case, checker: Staff, now: datetime) -> str:
    made = orders.cancel(session, case.subject, maker=case.maker, checker=checker.name, now=now)
    return f"order {made.reference} is cancelled; its days can be ordered again"


def _about(found: Found) -> dict[str, object]:
    run, one = found
    facts = {"biller": run.biller, "day": run.day.isoformat(), "kind": f"{one.kind} {one.why}"}
    amounts = {"ours_minor": one.ours_minor, "theirs_minor": one.theirs_minor}
    return facts | {name: minor for name, minor in amounts.items() if minor is not None}


DECISIONS = {
    "report_write_off": write_off,
    "report_close": close,
    "late_sale": make_good,
    "settlement_order": order,
    "settlement_cancel": cancel,
}

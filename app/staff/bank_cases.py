"""Cases about the trust account: what each is about, and what its approval does (`decisions.py`).

A case's id is the id of what it makes, so an approval whose answer was lost makes nothing twice.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal
from app.wallet import agents, ledger
from app.wallet.keys import new_key
from app.wallet.trust import deposits, payees, payouts
from app.wallet.trust.payees import Payee


def about_deposit(
    session: Session,
    market: Market,
    amount_minor: int,
    *,
    agent: str | None,
    msisdn: str | None,
    slip: str,
) -> Proposal:
    """A deposit that is on its way, to an agent's float or a person's wallet.

    Raises DomainError as `payees.of_agent`, `payees.of_person` and `deposits.expect`.
    """
    payee, number = _payee(session, agent, msisdn), deposits.written(slip)
    payees.refuse_unfit(session, payee)
    deposits.check_amount(market, amount_minor)
    to = {"agent": agents.written(agent)} if agent else {"msisdn": msisdn}
    facts = {**to, "for": payee.name, "amount_minor": amount_minor, "slip": number}
    return Proposal(f"{payee.account_id}:{number or new_key()}", facts)


def note_deposit(
    session: Session, market: Market, case: Case, checker: Staff, now: datetime
) -> str:
    facts = case.facts
    notice = deposits.expect(
        session,
        market,
        _payee(session, facts.get("agent"), facts.get("msisdn")),
        facts["amount_minor"],
        notice_id=case.id,
        slip=facts["slip"],
        maker=case.maker,
        checker=checker.name,
        now=now,
    )
    return f"deposit {notice.reference} is on its way; that is what the payer writes on the slip"


def about_deposit_of(session: Session, reference: str) -> Proposal:
    """A deposit that will not come. Raises DomainError `deposit_unknown`, `deposit_ended`."""
    notice = deposits.locked(session, deposits.of_reference(session, reference).id)
    payee = payees.of_account(session, notice.account_id, notice.person_id, notice.agent_id)
    facts = {"for": payee.name, "amount_minor": notice.amount_minor, "reference": notice.reference}
    return Proposal(notice.reference, facts)


def cancel_deposit(
    session: Session, _market: Market, case: Case, checker: Staff, now: datetime
) -> str:
    notice = deposits.cancel(session, case.subject, maker=case.maker, checker=checker.name, now=now)
    return f"deposit {notice.reference} is cancelled"


def about_payout(session: Session, market: Market, agent: str, amount_minor: int) -> Proposal:
    """Float that goes back to the agent's bank.

    Raises DomainError `agent_code_wrong`, `agent_unknown`, `agent_suspended`, `amount_too_small`,
    `insufficient_funds`.
    """
    payee = payees.of_agent(session, agent)
    payees.refuse_unfit(session, payee)
    deposits.check_amount(market, amount_minor)
    available = ledger.balance(session, payee.account_id).available_minor
    if available < amount_minor:
        written = market.currency.format
        raise DomainError(
            "insufficient_funds", total=written(amount_minor), available=written(available)
        )
    facts = {"agent": agents.written(agent), "for": payee.name, "amount_minor": amount_minor}
    return Proposal(str(payee.agent_id), facts)


def pay_out(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    view = payouts.pay_out(
        session,
        market,
        case.facts["agent"],
        case.facts["amount_minor"],
        payout_id=case.id,
        maker=case.maker,
        checker=checker.name,
        now=now,
    )
    return f"payout {view.reference} is on its way; that is what the bank transfer must carry"


def about_payout_of(session: Session, reference: str) -> Proposal:
    """A payout that the bank never carried out. Raises DomainError as `payouts.take_back`."""
    payout = payouts.of_reference(session, reference)
    payouts.refuse_ended(payout)
    payee = payouts.payee_of(session, payout)
    facts = {"for": payee.name, "amount_minor": payout.amount_minor, "reference": payout.reference}
    return Proposal(payout.reference, facts)


def take_back(session: Session, market: Market, case: Case, checker: Staff, now: datetime) -> str:
    payout = payouts.take_back(
        session, market, case.subject, maker=case.maker, checker=checker.name, now=now
    )
    return f"payout {payout.reference} is back where it came from"


def _payee(session: Session, agent: str | None, msisdn: str | None) -> Payee:
    if agent:
        return payees.of_agent(session, agent)
    assert msisdn
    return payees.of_person(session, msisdn)


DECISIONS = {
    "deposit_notice": note_deposit,
    "deposit_cancel": cancel_deposit,
    "float_payout": pay_out,
    "payout_return": take_back,
}

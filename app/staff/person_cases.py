"""Cases about a person: what each is about, and what its approval does (`decisions.py`)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff import news
from app.staff.accounts import Staff
from app.staff.cases import Case, Proposal
from app.wallet import people
from app.wallet.people import Person
from app.wallet.transfers import closing

# In which states each of these cases makes sense.
FITS = {
    "person_suspend": people.AWAKE,
    "person_resume": ("suspended",),
    "person_tier": (*people.AWAKE, "suspended"),
}


def registered(session: Session, msisdn: str) -> Person:
    """Raises DomainError `person_unknown`."""
    person = people.find(session, msisdn)
    if person is None:
        raise DomainError("person_unknown", msisdn=msisdn)
    return person


def about_state(session: Session, kind: str, msisdn: str) -> Proposal:
    """Suspending or resuming a person. Raises DomainError `person_unknown`, `person_state`."""
    person = registered(session, msisdn)
    _refuse_misfit(kind, person)
    return Proposal(str(person.id), _facts(person))


def about_tier(session: Session, market: Market, msisdn: str, tier: str) -> Proposal:
    """Other limits for a person, higher or lower.

    Raises DomainError `person_unknown`, `person_state`, `tier_unknown` with `known`, `tier_same`.
    """
    person = registered(session, msisdn)
    _refuse_tier(market, person, tier)
    return Proposal(str(person.id), {**_facts(person), "from": person.tier, "tier": tier})


def about_closing(session: Session, market: Market, msisdn: str) -> Proposal:
    """The end of a wallet. What is in it now is told; what is in it then is paid out.

    Raises DomainError `person_unknown`, `person_suspended`, `person_state`, `close_is_agent`,
    `person_closed`, `close_has_holds`.
    """
    person = registered(session, msisdn)
    offer = closing.offer(session, market, person)
    return Proposal(str(person.id), {**_facts(person), "pays_out_minor": offer.amount_minor})


def suspend(session: Session, _market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    people.suspend(session, UUID(case.subject), now)
    news.tell(session, case, UUID(case.subject), "wallet_suspended", now)
    return f"{_named(case)} is suspended"


def resume(session: Session, _market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    people.resume(session, UUID(case.subject), now)
    news.tell(session, case, UUID(case.subject), "wallet_resumed", now)
    return f"{_named(case)} is active"


def change_tier(
    session: Session, market: Market, case: Case, _checker: Staff, now: datetime
) -> str:
    person, tier = people.get(session, UUID(case.subject)), case.facts["tier"]
    _refuse_tier(market, person, tier)
    people.set_tier(session, person.id, tier, now)
    limits = market.tiers[tier]
    facts = {"once_minor": limits.per_transaction_minor, "day_minor": limits.per_day_minor}
    news.tell(session, case, person.id, "tier_changed", now, facts)
    return f"{_named(case)} is in {tier}"


def close(session: Session, market: Market, case: Case, _checker: Staff, now: datetime) -> str:
    """The case's id is the closing's: one case pays out once."""
    view = closing.close(session, market, UUID(case.subject), closing_id=case.id, now=now)
    if view is None:
        return f"{_named(case)} is closed; the wallet was empty"
    paid = f"{market.currency.format(view.amount_minor)} is on its way out, {view.reference}"
    return f"{_named(case)} is closed; {paid}"


def _facts(person: Person) -> dict[str, object]:
    return {"msisdn": person.msisdn, "name": person.name}


def _named(case: Case) -> str:
    return f"{case.facts['msisdn']} {case.facts['name']}"


def _refuse_misfit(kind: str, person: Person) -> None:
    if person.state not in FITS[kind]:
        raise DomainError("person_state", state=person.state)


def _refuse_tier(market: Market, person: Person, tier: str) -> None:
    _refuse_misfit("person_tier", person)
    if tier not in market.tiers:
        raise DomainError("tier_unknown", known=", ".join(market.tiers))
    if tier == person.tier:
        raise DomainError("tier_same", tier=tier)


DECISIONS = {
    "person_suspend": suspend,
    "person_resume": resume,
    "person_tier": change_tier,
    "person_close": close,
}

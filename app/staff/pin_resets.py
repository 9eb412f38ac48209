"""A forgotten PIN, by staff: what to ask, and the code that goes to the person's own phone.

It takes two as it is (`wallet/resets.py`): staff never see the code, the phone alone gets none. So
it is no case, which would keep somebody without their money until another of the staff has time.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.staff import cases
from app.staff.accounts import Staff, refuse_without
from app.staff.person_cases import registered
from app.wallet import resets
from app.wallet.codes import Codes
from app.wallet.people import Person
from app.wallet.resets import Questions, Reset

ROLES = cases.SUPPORT


def questions(session: Session, market: Market, msisdn: str, by: Staff) -> Questions:
    """What only the person should know. Raises DomainError `role_missing`, `person_unknown`,
    `person_state` for who is only invited.
    """
    refuse_without(by, *ROLES)
    return resets.questions(session, market, _with_pin(session, msisdn))


def start(
    session: Session,
    codes: Codes,
    market: Market,
    msisdn: str,
    *,
    by: Staff,
    evidence: str,
    now: datetime,
) -> Reset:
    """Send the code; `evidence` is what was asked and answered.

    Raises as `questions`, and DomainError `evidence_missing`, `person_suspended`,
    `too_many_codes`.
    """
    refuse_without(by, *ROLES)
    told = cases.told(evidence, "evidence_missing")
    person = _with_pin(session, msisdn)
    return resets.start(session, codes, market, person, by_staff=by.name, evidence=told, now=now)


def _with_pin(session: Session, msisdn: str) -> Person:
    person = registered(session, msisdn)
    if person.state == "invited":
        raise DomainError("person_state", state=person.state)
    return person

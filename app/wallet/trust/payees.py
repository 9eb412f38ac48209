"""Whose money it is: an agent with its float, a person with the wallet, the operator itself."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient
from app.wallet import agents, ledger, people

OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Payee:
    """`name` is what staff read; neither person nor agent is the operator."""

    account_id: int
    name: str
    person_id: UUID | None = None
    agent_id: UUID | None = None


def of_agent(session: Session, code: str) -> Payee:
    """The float of an agent. Raises DomainError `agent_code_wrong`, `agent_unknown`."""
    agent = agents.of_code(session, code)
    return Payee(agent.float_id, f"agent {agent.code} {agent.name}", agent_id=agent.id)


def of_person(session: Session, msisdn: str) -> Payee:
    """The wallet of a person. Raises DomainError `person_unknown`."""
    person = people.find(session, msisdn)
    if person is None:
        raise DomainError("person_unknown", msisdn=msisdn)
    return Payee(person.wallet_id, f"{person.msisdn} {person.name}", person_id=person.id)


def operator(session: Session, currency: str) -> Payee:
    """The operator's own account: interest comes in, the bank's charges go out."""
    return Payee(ledger.operator_account(session, currency), OPERATOR)


def of_account(
    session: Session, account_id: int, person_id: UUID | None, agent_id: UUID | None
) -> Payee:
    """Whose account it is, as a row says."""
    if agent_id:
        agent = agents.get(session, agent_id)
        return Payee(account_id, f"agent {agent.code} {agent.name}", agent_id=agent_id)
    if person_id:
        person = people.get(session, person_id)
        return Payee(account_id, f"{person.msisdn} {person.name}", person_id=person_id)
    return Payee(account_id, OPERATOR)


def refuse_unfit(session: Session, payee: Payee) -> None:
    """Only who may receive gets new money; a person's state is locked until the transaction ends.

    Raises DomainError `payee_suspended`, `agent_suspended`.
    """
    if payee.person_id and not people.may_receive(
        people.locked_for_payment(session, payee.person_id)
    ):
        raise DomainError("payee_suspended")
    if payee.agent_id:
        agents.refuse_inactive(agents.get(session, payee.agent_id))


def refuse_over_ceiling(session: Session, market: Market, payee: Payee, amount_minor: int) -> None:
    """New money never lifts a wallet above its tier's balance; a float has no ceiling.

    Raises DomainError `limit_balance` with `most`.
    """
    if payee.person_id is None:
        return
    most_minor = market.tiers[people.get(session, payee.person_id).tier].balance_minor
    gain = (payee.account_id, amount_minor, most_minor)
    if ledger.over_ceiling(session, [payee.account_id], [gain]) is not None:
        raise DomainError("limit_balance", most=market.currency.format(most_minor))


def recipient(session: Session, payee: Payee) -> Recipient | None:
    """Where an SMS goes; nobody for the operator."""
    if payee.agent_id:
        agent = agents.get(session, payee.agent_id)
        return Recipient(agent.msisdn, agent.language, agent.person_id)
    if payee.person_id:
        person = people.get(session, payee.person_id)
        return Recipient(person.msisdn, person.language, person.id)
    return None

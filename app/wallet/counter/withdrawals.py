"""Cash out by a code that the customer made beforehand, for one agent and one amount.

    open ─┬─▶ used        the agent typed the code in time; the held money went to the float
          ├─▶ expired     nobody did; the money is free again
          └─▶ cancelled   the customer wanted it back

1. The money is held when the code is made, with its fee: the price stands in the row, the limits
   count then, and exactly that is captured.
2. The hold decides every race: whoever ends it first, the row follows in the same transaction. Its
   own expiry gives the money back even where nobody looks; then the row follows in a chore.
3. The code is an HMAC of its row (`codes`). What the agent does with it is in `redeeming`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import DateTime, Select, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.notices import Recipient, notify
from app.wallet import agents, intents, ledger, limits, people, references
from app.wallet.agents import AgentRow
from app.wallet.codes import Codes
from app.wallet.keys import derived_key, new_key
from app.wallet.people import Person
from app.wallet.transfers import posting
from app.wallet.transfers.offers import Offer

CODE_DIGITS, CODE_TRIES = 6, 3
End = Literal["expired", "cancelled"]


class Withdrawal(Base):
    """What was agreed to, held in the customer's wallet until `expires_at`.

    `proven_at` is when the agent typed the right code.
    """

    __tablename__ = "withdrawals"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    intent_id: Mapped[UUID] = mapped_column(unique=True)
    person_id: Mapped[UUID]
    agent_id: Mapped[UUID]
    hold_id: Mapped[UUID] = mapped_column(unique=True)
    code_id: Mapped[UUID] = mapped_column(unique=True)
    currency: Mapped[str]
    amount_minor: Mapped[int]
    fee_minor: Mapped[int]
    tax_minor: Mapped[int]
    commission_minor: Mapped[int]
    funded_minor: Mapped[int]
    super_agent_minor: Mapped[int]
    fee_payer: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    proven_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    transfer_id: Mapped[UUID | None] = mapped_column(unique=True)


@dataclass(frozen=True, slots=True)
class WithdrawalView:
    """What a channel may show of a withdrawal; amounts in minor units."""

    id: UUID
    reference: str
    state: str
    code_id: UUID
    amount_minor: int
    fee_minor: int
    fee_payer: str
    created_at: datetime
    expires_at: datetime
    transfer_id: UUID | None
    agent_name: str
    agent_code: str

    @property
    def total_minor(self) -> int:
        """What is held, and left the wallet once it was used."""
        return self.amount_minor + (self.fee_minor if self.fee_payer == "sender" else 0)


def confirm(
    session: Session,
    market: Market,
    codes: Codes,
    offered: Offer,
    *,
    intent_id: UUID,
    by: UUID,
    now: datetime,
) -> WithdrawalView:
    """Hold what `cash.offer_out` offered, and send the code. The same intent again answers the
    withdrawal that it made: the intent's subject is the withdrawal's id.

    Raises DomainError as `posting.confirmed`, and with nothing changed `person_suspended`,
    `agent_suspended`, `withdrawal_open`, `limit_transaction`, `limit_day`, `limit_month`,
    `insufficient_funds`.
    """
    intent = posting.confirmed(session, offered, intent_id=intent_id, by=by, now=now)
    if intent.subject:
        return outcome(session, intent.subject)
    assert offered.agent_id
    person = people.locked_for_payment(session, by)
    people.refuse_inactive(person)
    agent = agents.locked_for_payment(session, offered.agent_id)
    agents.refuse_inactive(agent)
    _make_room(session, market, codes, person, now)
    expires_at = now + timedelta(seconds=market.agents.withdrawal_code_seconds)
    withdrawal_id, reference = new_key(), _free_reference(session)
    hold_id, code_id = derived_key(intent_id, "hold"), derived_key(withdrawal_id, "code")
    _hold(session, market, person, offered, hold_id, expires_at, reference, now)
    codes.issue(
        session, code_id, purpose="withdrawal", subject=withdrawal_id, digits=CODE_DIGITS,
        tries=CODE_TRIES, expires_at=expires_at, now=now,
    )  # fmt: skip
    fee = offered.fee
    row = {
        "id": withdrawal_id,
        "reference": reference,
        "intent_id": intent_id,
        "person_id": by,
        "agent_id": offered.agent_id,
        "hold_id": hold_id,
        "code_id": code_id,
        "currency": offered.currency,
        "amount_minor": offered.amount_minor,
        "fee_minor": fee.total_minor,
        "tax_minor": fee.tax_minor,
        "commission_minor": fee.commission_minor,
        "funded_minor": fee.funded_minor,
        "super_agent_minor": fee.super_agent_minor,
        "fee_payer": offered.fee_payer,
        "state": "open",
        "created_at": now,
        "expires_at": expires_at,
    }
    if not _insert(session, row):
        raise _one_open(market, offered.amount_minor)
    intents.close(session, intent, withdrawal_id, now)
    _tell_code(session, market, person, withdrawal_id, code_id, now)
    return outcome(session, withdrawal_id)


def outcome(session: Session, withdrawal_id: UUID) -> WithdrawalView:
    """A withdrawal as it stands now. Raises NoResultFound."""
    return _view(session.execute(_SHOWN.where(Withdrawal.id == withdrawal_id)).one())


def open_of(session: Session, person_id: UUID, now: datetime) -> WithdrawalView | None:
    """The withdrawal that a customer has made a code for, and nobody has paid out yet."""
    standing = (Withdrawal.state == "open", Withdrawal.expires_at > now)
    row = session.execute(_SHOWN.where(Withdrawal.person_id == person_id, *standing)).first()
    return _view(row) if row else None


def cancel(
    session: Session, codes: Codes, withdrawal_id: UUID, *, by: UUID, now: datetime
) -> WithdrawalView:
    """The customer wants the money back before the code was used; again changes nothing.

    Raises DomainError `withdrawal_unknown`, also when the agent has paid it out meanwhile.
    """
    row = locked(session, withdrawal_id)
    if row is None or row.person_id != by or row.state == "used":
        raise DomainError("withdrawal_unknown")
    if row.state == "open":
        _end(session, codes, row, "cancelled", now)
    return outcome(session, withdrawal_id)


def overdue(session: Session, now: datetime, limit: int) -> Sequence[UUID]:
    """Withdrawals whose time is over, oldest first."""
    due = (Withdrawal.state == "open", Withdrawal.expires_at <= now)
    ids = select(Withdrawal.id).where(*due).order_by(Withdrawal.expires_at).limit(limit)
    return session.scalars(ids).all()


def expire(session: Session, codes: Codes, withdrawal_id: UUID, now: datetime) -> bool:
    """Give the money of an overdue withdrawal back and say so; False when it is no longer open."""
    row = locked(session, withdrawal_id)
    if row is None or row.state != "open" or row.expires_at > now:
        return False
    _end(session, codes, row, "expired", now)
    return True


def _make_room(
    session: Session, market: Market, codes: Codes, person: Person, now: datetime
) -> None:
    """One open code a person. An overdue one ends here, and so does one that was tried too often;
    another stands in the way.
    """
    mine = select(Withdrawal.id).where(
        Withdrawal.person_id == person.id, Withdrawal.state == "open"
    )
    known = session.scalar(mine)
    if known and not expire(session, codes, known, now):
        row = locked(session, known)
        if row and row.state == "open" and codes.is_locked(session, row.code_id):
            _end(session, codes, row, "cancelled", now)
        elif row and row.state == "open":
            raise _one_open(market, row.amount_minor)


def _one_open(market: Market, amount_minor: int) -> DomainError:
    return DomainError("withdrawal_open", amount=market.currency.format(amount_minor))


def _insert(session: Session, row: dict[str, Any]) -> bool:
    """False when the customer made another one at this very moment."""
    statement = insert(Withdrawal).values(row).on_conflict_do_nothing(
        index_elements=["person_id"], index_where=text("state = 'open'")
    )  # fmt: skip
    return session.scalar(statement.returning(Withdrawal.id)) is not None


def _hold(
    session: Session,
    market: Market,
    person: Person,
    offered: Offer,
    hold_id: UUID,
    expires_at: datetime,
    reference: str,
    now: datetime,
) -> None:
    answer = ledger.hold(
        session,
        key=hold_id,
        account_id=offered.payer_account,
        amount_minor=offered.total_minor,
        expires_at=expires_at,
        reference=reference,
        counts=limits.of_payment(market, person, offered.amount_minor, now),
        now=now,
    )
    if answer.refusal:
        raise posting.refusal(session, market, offered, person, answer.refusal)


def _end(session: Session, codes: Codes, row: Withdrawal, end: End, now: datetime) -> None:
    """Nobody will use it any more. The row is locked and open."""
    # False is no mistake here: the ledger's own expiry may have given it back a moment ago.
    ledger.release(session, row.hold_id, reason=f"withdrawal {end}", now=now)
    codes.withdraw(session, row.code_id, now)
    close(session, row, end, now)
    person = people.get(session, row.person_id)
    _notify(
        session, person, f"withdrawal_{end}", row,
        {"balance_minor": ledger.balance(session, person.wallet_id).available_minor}, now,
    )  # fmt: skip


def close(
    session: Session, row: Withdrawal, state: str, now: datetime, transfer_id: UUID | None = None
) -> None:
    values = {"state": state, "closed_at": now, "transfer_id": transfer_id}
    session.execute(update(Withdrawal).where(Withdrawal.id == row.id).values(values))


def _tell_code(
    session: Session,
    market: Market,
    person: Person,
    withdrawal_id: UUID,
    code_id: UUID,
    now: datetime,
) -> None:
    row = session.get_one(Withdrawal, withdrawal_id)
    facts = {
        "code_id": str(code_id),
        "fee_minor": row.fee_minor,
        "name": agents.get(session, row.agent_id).name,
        "minutes": market.agents.withdrawal_code_seconds // 60,
        "balance_minor": ledger.balance(session, person.wallet_id).available_minor,
    }
    _notify(session, person, "withdrawal_code", row, facts, now)


def _notify(
    session: Session,
    person: Person,
    kind: str,
    row: Withdrawal,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    told = {"amount_minor": row.amount_minor, "reference": row.reference, "at": now.isoformat()}
    notify(
        session,
        kind,
        Recipient(person.msisdn, person.language, person.id),
        message_id=derived_key(row.id, "message", kind),
        subject=row.id,
        facts={**told, **facts},
        now=now,
    )


def locked(session: Session, withdrawal_id: UUID) -> Withdrawal | None:
    statement = select(Withdrawal).where(Withdrawal.id == withdrawal_id).with_for_update()
    found = session.execute(statement, execution_options={"populate_existing": True})
    return found.scalar_one_or_none()


def _free_reference(session: Session) -> str:
    def taken(reference: str) -> bool:
        known = select(Withdrawal.id).where(Withdrawal.reference == reference)
        return session.scalar(known) is not None

    return references.draw(taken)


_SHOWN: Select[*tuple[Any, ...]] = select(
    Withdrawal.id, Withdrawal.reference, Withdrawal.state, Withdrawal.code_id,
    Withdrawal.amount_minor, Withdrawal.fee_minor, Withdrawal.fee_payer, Withdrawal.created_at,
    Withdrawal.expires_at, Withdrawal.transfer_id, AgentRow.name.label("agent_name"),
    AgentRow.code.label("agent_code"),
).join(AgentRow, AgentRow.id == Withdrawal.agent_id)  # fmt: skip


def _view(row: Any) -> WithdrawalView:
    return WithdrawalView(**row._asdict())

"""One movement of money by the reference that people read out: a transfer, a withdrawal by code
that was not used yet, a deposit on its way. Whoever asks by reference has it from an SMS.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.staff import timeline
from app.staff.timeline import Happening
from app.wallet import agents, people, references
from app.wallet.counter.withdrawals import Withdrawal
from app.wallet.transfers import records, vouchers
from app.wallet.transfers.records import TransferView
from app.wallet.transfers.vouchers import VoucherView
from app.wallet.trust.deposits import DepositNotice

TO_THE_BANK = ("closing", "float_payout")
_COMMANDS = """
    SELECT 'transfer show' FROM transfers WHERE reference = :reference
    UNION ALL SELECT 'transfer show' FROM withdrawals WHERE reference = :reference
    UNION ALL SELECT 'transfer show' FROM deposit_notices WHERE reference = :reference
    UNION ALL SELECT 'payment show' FROM payments WHERE reference = :reference
    UNION ALL SELECT 'stop show' FROM stops WHERE reference = :reference
    UNION ALL SELECT 'case show' FROM cases WHERE reference = :reference
"""


@dataclass(frozen=True, slots=True)
class Movement:
    """What staff read of it; amounts in minor units. `goes`: from whom, and to whom.

    `until`: when the clock ends what is still open.
    """

    reference: str
    kind: str
    state: str
    at: datetime
    goes: tuple[str, ...]
    amount_minor: int
    fee_minor: int
    total_minor: int
    taken_back_minor: int | None
    until: datetime | None
    happenings: list[Happening]


def elsewhere(session: Session, reference: str, otherwise: str) -> DomainError:
    """What to say of a reference that a command does not show: which does, or `otherwise`."""
    written = references.written(reference)
    command = session.scalar(text(_COMMANDS), {"reference": written})
    if command is None:
        return DomainError(otherwise, reference=reference)
    return DomainError("reference_elsewhere", command=command, reference=written)


def find(session: Session, reference: str) -> Movement:
    """Raises DomainError `transfer_unknown`, `reference_elsewhere` with the `command` that shows
    it.
    """
    view = records.of_reference(session, reference)
    if view:
        return _transfer(session, view)
    written = references.written(reference)
    withdrawal = session.scalar(select(Withdrawal).where(Withdrawal.reference == written))
    if withdrawal:
        return _withdrawal(session, withdrawal)
    notice = session.scalar(select(DepositNotice).where(DepositNotice.reference == written))
    if notice:
        return _deposit(session, notice)
    raise elsewhere(session, reference, "transfer_unknown")


def _transfer(session: Session, view: TransferView) -> Movement:
    voucher = vouchers.of_transfer(session, view.id)
    return Movement(
        reference=view.reference,
        kind=view.kind,
        state=view.state,
        at=view.created_at,
        goes=_goes(session, view, voucher),
        amount_minor=view.amount_minor,
        fee_minor=view.fee_minor,
        total_minor=view.total_minor,
        taken_back_minor=view.reversed_minor,
        until=voucher.expires_at if voucher and voucher.state == "open" else None,
        happenings=timeline.of_transfer(session, view.id),
    )


def _withdrawal(session: Session, row: Withdrawal) -> Movement:
    total_minor = row.amount_minor + (row.fee_minor if row.fee_payer == "sender" else 0)
    return Movement(
        reference=row.reference,
        kind="withdrawal by code",
        state=row.state,
        at=row.created_at,
        goes=(f"from {_person(session, row.person_id)}", f"at {_agent(session, row.agent_id)}"),
        amount_minor=row.amount_minor,
        fee_minor=row.fee_minor,
        total_minor=total_minor,
        taken_back_minor=None,
        until=row.expires_at if row.state == "open" else None,
        happenings=timeline.of_subject(session, row.id),
    )


def _deposit(session: Session, notice: DepositNotice) -> Movement:
    payee = _person(session, notice.person_id) or _agent(session, notice.agent_id)
    return Movement(
        reference=notice.reference,
        kind="deposit",
        state=notice.state,
        at=notice.created_at,
        goes=("from the bank", f"to {payee}"),
        amount_minor=notice.amount_minor,
        fee_minor=0,
        total_minor=notice.amount_minor,
        taken_back_minor=None,
        until=None,
        happenings=timeline.of_subject(session, notice.id),
    )


def _goes(session: Session, view: TransferView, voucher: VoucherView | None) -> tuple[str, ...]:
    """The parties in full: staff who look up a reference must know whom to call."""
    payer, payee = _person(session, view.payer_id), _person(session, view.payee_id)
    agent = _agent(session, view.agent_id)
    if view.kind in TO_THE_BANK:
        return f"from {payer or agent}", "to the bank"
    if voucher:
        return f"from {payer}", f"to a voucher for {voucher.msisdn}, {voucher.state}"
    if view.kind == "voucher_collect":
        return f"from a voucher for {view.msisdn}", f"to {payee or agent}"
    if view.kind == "float_move":
        return f"from {agent}", f"to the agent at {view.msisdn}"
    return f"from {payer or agent}", f"to {payee or agent}"


def _person(session: Session, person_id: UUID | None) -> str:
    person = people.get(session, person_id) if person_id else None
    return f"{person.name} {person.msisdn}" if person else ""


def _agent(session: Session, agent_id: UUID | None) -> str:
    agent = agents.get(session, agent_id) if agent_id else None
    return f"agent {agent.code} {agent.name} {agent.msisdn}" if agent else ""

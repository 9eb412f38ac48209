"""Taking a transfer back: the reversal, its commission, its row. In the caller's transaction.

A reversal gives back what the payee has available and all of the fee: who was not served pays
nothing. Its limits stay counted, so that sending and taking back widens nobody's day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.wallet import commission, ledger
from app.wallet.transfers import records
from app.wallet.transfers.records import TransferView


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What the payer got, fee included, and what of it the payee gave."""

    given_back_minor: int
    taken_minor: int


NOTHING = TakenBack(0, 0)


def take_back(session: Session, view: TransferView, *, key: UUID, now: datetime) -> TakenBack:
    """Reverse a transfer once. NOTHING where neither payee nor fee has anything to give back.

    Raises DomainError `transfer_reversed` when it was taken back before.
    """
    answer = ledger.reverse(
        session, key=key, original_posting_id=view.posting_id, reference=view.reference, now=now
    )
    if answer.refusal == "insufficient_funds":
        return NOTHING
    if answer.refusal == "authority_used":
        raise DomainError("transfer_reversed")
    if answer.refusal or answer.posting_id is None:
        raise RuntimeError(f"{view.reference}: the ledger does not reverse it: {answer.refusal}")
    commission.unaccrue(session, view.posting_id, answer.posting_id, now)
    taken_back = _shares(view, answer.amount_minor)
    records.note_reversal(
        session,
        view.id,
        reversal_id=answer.posting_id,
        given_back_minor=taken_back.given_back_minor,
        now=now,
    )
    return taken_back


def _shares(view: TransferView, moved_minor: int) -> TakenBack:
    """Of all that a reversal moved. A receiver's fee comes back to the receiver first, and goes on
    to the sender as a part of the amount.
    """
    given_back_minor = moved_minor - (view.fee_minor if view.fee_payer == "receiver" else 0)
    return TakenBack(given_back_minor, given_back_minor - view.fee_minor)

"""The SMS of the trust account: each tells one payee what happened, with what is left now."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.notices import notify
from app.wallet import ledger
from app.wallet.keys import derived_key
from app.wallet.trust import payees
from app.wallet.trust.payees import Payee


def tell(
    session: Session,
    kind: str,
    payee: Payee,
    *,
    subject: UUID,
    amount_minor: int,
    reference: str,
    now: datetime,
) -> None:
    """One SMS of that kind about that subject; none for the operator."""
    to = payees.recipient(session, payee)
    if to is None:
        return
    facts = {
        "amount_minor": amount_minor,
        "balance_minor": ledger.balance(session, payee.account_id).available_minor,
        "reference": reference,
        "at": now.isoformat(),
    }
    message_id = derived_key(subject, "message", kind)
    notify(session, kind, to, message_id=message_id, subject=subject, facts=facts, now=now)


def received(
    session: Session,
    payee: Payee,
    *,
    subject: UUID,
    amount_minor: int,
    reference: str,
    now: datetime,
) -> None:
    """New money has come in from the bank."""
    kind = "float_received" if payee.agent_id else "deposit_received"
    tell(
        session, kind, payee,
        subject=subject, amount_minor=amount_minor, reference=reference, now=now,
    )  # fmt: skip

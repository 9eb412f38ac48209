"""Refunds: a sale that its biller took back gives the payer all of it again, fee included.

1. One posting, once a capture: its moves turned round, the amount out of `suspense:returned`
   (`sql/refund_v1.sql`). The capture's key stays taken and hears `reversed`.
2. Only a case that two of the staff agreed on lets it out of the house, and exactly its total.
3. No ceiling of a wallet stands in its way, and it gives no limit back: what was paid counts.
4. What agents earned with the sale is taken back as with a reversal.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.wallet import commission
from app.wallet.calls import call
from app.wallet.postings import fingerprint

REFUND = """SELECT o_posting, o_capture, o_replayed
    FROM refund_v1(%s, %s, %s, %s, %s, %s)"""


def refund(
    session: Session, *, key: UUID, hold_id: UUID, returned: str, case_id: UUID, now: datetime
) -> int:
    """Give back what captured the hold; `returned` is the authority that put it into suspense.

    The posting; for the same case again the same. Raises DBAPIError for what the caller should have
    looked at: no such capture, given back before, a case of another total or not approved.
    """
    asked = fingerprint("refund", str(case_id), str(hold_id), returned)
    posting_id, capture_id, replayed = call(
        session, REFUND, (now, key, asked, case_id, hold_id, returned)
    )
    if not replayed:
        commission.unaccrue(session, capture_id, posting_id, now)
    return int(posting_id)

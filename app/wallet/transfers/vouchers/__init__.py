"""Vouchers: money for a number that has no wallet, in an account of its own until it is fetched.

    open ─┬─▶ collected   by its code at an agent, or by registering that number
          └─▶ returned    past its time, or cancelled by the sender: amount and fee go back

1. Whoever ends a voucher locks its row first and acts on `open` only; its account, which never goes
   below zero, is the second guard.
2. The code goes by SMS to the receiver's number and nowhere else.
3. A number may have several open vouchers, at most OPEN_MOST, and an agent names only the number
   and a code: it is tried on all of them, and the try counts on each. When it was right for one,
   it counts on none.
4. Who registers the number needs no code, so a code tried too often leaves the money collectable.

Here are the calls; `rows` has the table, `sending`, `collecting` and `returning` what they do.
"""

from __future__ import annotations

from app.wallet.transfers.vouchers.collecting import (
    CollectAttempt,
    begin_collect,
    check_collect,
    collect_on_registration,
    confirm_collect,
    offer_collect,
    spare,
)
from app.wallet.transfers.vouchers.returning import cancel, expire
from app.wallet.transfers.vouchers.rows import VoucherView, of_transfer, waiting
from app.wallet.transfers.vouchers.sending import CODE_DIGITS, confirm, offer

__all__ = [
    "CODE_DIGITS",
    "CollectAttempt",
    "VoucherView",
    "begin_collect",
    "cancel",
    "check_collect",
    "collect_on_registration",
    "confirm",
    "confirm_collect",
    "expire",
    "of_transfer",
    "offer",
    "offer_collect",
    "spare",
    "waiting",
]

"""Stops: the sender of a wrong transfer asks for it back, and staff decide.

    open ─┬─▶ approved   what the payee still has goes back, and a top-up if staff say so
          ├─▶ refused    what was set aside is the payee's again
          └─▶ lapsed     nobody decided in time: the same

1. Once a transfer, by who sent it, while the market's window is open.
2. What a person received and still has is set aside so long, no more, and they are told. Nothing of
   an agent or a till is ever set aside; staff decide all the same.
3. Approving is one posting, the reversal of the transfer. A top-up comes from the operator's own
   account; what is later collected from the payee for it is linked to the reversal.
4. Whoever ends a stop locks its row first and acts on `open` only.

Here are the calls; `rows` has the tables, `asking`, `deciding` and `collecting` what they do.
"""

from __future__ import annotations

from app.wallet.transfers.stops.asking import ask
from app.wallet.transfers.stops.collecting import collect_later, owed_minor
from app.wallet.transfers.stops.deciding import approve, lapse, refuse
from app.wallet.transfers.stops.rows import StopView, get, of_reference, undecided

__all__ = [
    "StopView",
    "approve",
    "ask",
    "collect_later",
    "get",
    "lapse",
    "of_reference",
    "owed_minor",
    "refuse",
    "undecided",
]

"""The state machine of a payment, in one place. The database holds the same table as a CHECK.

    held ─┬─▶ cancelled                        never sent; the hold is given back
          └─▶ sent ─┬─▶ captured ─▶ returned   the biller took it back; suspense, alarm
                    ├─▶ released ─▶ paid_late  sold after we had given back; suspense, alarm
                    └─▶ unknown ─┬─▶ captured
                                 ├─▶ released
                                 └─▶ manual ─┬─▶ captured
                                             └─▶ released

1. `held` means that no byte has left. Only a held payment may be cancelled, and nothing else ends
   by a clock: a sent one waits until the biller, or two members of staff, say what became of it.
2. `captured` and `released` are decided once. What contradicts them later moves no person's money:
   it lands in a suspense account with a name, and rings an alarm.
3. A payment changes state only under the lock of its row (`models.shift`), with an event.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    HELD = "held"
    SENT = "sent"
    UNKNOWN = "unknown"
    MANUAL = "manual"
    CAPTURED = "captured"
    RELEASED = "released"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    PAID_LATE = "paid_late"


TRANSITIONS: dict[State, tuple[State, ...]] = {
    State.HELD: (State.SENT, State.CANCELLED),
    State.SENT: (State.CAPTURED, State.RELEASED, State.UNKNOWN),
    State.UNKNOWN: (State.CAPTURED, State.RELEASED, State.MANUAL),
    State.MANUAL: (State.CAPTURED, State.RELEASED),
    State.CAPTURED: (State.RETURNED,),
    State.RELEASED: (State.PAID_LATE,),
    State.CANCELLED: (),
    State.RETURNED: (),
    State.PAID_LATE: (),
}
CLAIMABLE = (State.HELD, State.SENT, State.UNKNOWN)  # these have a due time; no other state has
OPEN = (*CLAIMABLE, State.MANUAL)  # the person's money is set aside
UNDECIDED = (State.SENT, State.UNKNOWN, State.MANUAL)  # it was sent, and how it ended is open


def is_allowed(source: State, target: State) -> bool:
    """Whether a payment may go from one state to the other."""
    return target in TRANSITIONS[source]

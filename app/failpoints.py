"""L1: named places where the kill harness may end the process with SIGKILL.

A failpoint does nothing unless `arm` was called with its name, which the factory does from the
setting KIBANDA_FAILPOINT, accepted in a demo market only.
"""

from __future__ import annotations

import os
import signal

NAMES = (
    "confirm.before_commit",
    "confirm.after_commit",
    "payment.after_biller_answer",
    "settle.before_commit",
    "settle.after_commit",
    "batch.after_commit",
    "batch.after_write",
    "answer.after_commit",
    "sms.after_send",
    "send.before_commit",
    "send.after_commit",
    "voucher.before_commit",
    "voucher.after_commit",
    "cash_in.before_commit",
    "cash_in.after_commit",
    "cash_out.before_commit",
    "cash_out.after_commit",
)
_armed: set[str] = set()


def arm(name: str) -> None:
    """Arm one failpoint of this process. Raises ValueError for a name that does not exist."""
    if name not in NAMES:
        raise ValueError(f"no failpoint is named {name!r}; there are {', '.join(NAMES)}")
    _armed.add(name)


def reach(name: str) -> None:
    """End the process here, as kill -9 would, if this failpoint is armed."""
    if name in _armed:
        os.kill(os.getpid(), signal.SIGKILL)

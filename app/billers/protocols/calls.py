"""One call to a biller: whatever the wire does becomes an answer, and is timed."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.billers.protocols.answers import Answer, Bill, InquiryError, Outcome
from app.billers.protocols.http import WireError
from app.telemetry import BILLER_SECONDS

Call = Callable[[], Answer]


def settled(biller: str, name: str, call: Call) -> Answer:
    """What a request about a payment told us; silence is an unknown outcome."""
    started = time.perf_counter()
    try:
        answer = call()
    except WireError as error:
        answer = Answer(Outcome.UNKNOWN, error.reason)
    _observe(biller, name, answer.outcome, started)
    return answer


def inquired(biller: str, call: Callable[[], Bill | None]) -> Bill | None:
    """What an inquiry told us. Raises InquiryError, also for silence."""
    started, outcome = time.perf_counter(), "silent"
    try:
        bill = call()
        outcome = "known" if bill else "no_such_number"
        return bill
    except InquiryError:
        outcome = "unnamed"
        raise
    except WireError as error:
        slow = error.reason in ("timeout", "connect_timeout")
        raise InquiryError(error.reason, slow=slow) from error
    finally:
        _observe(biller, "inquire", outcome, started)


def _observe(biller: str, name: str, outcome: str, started: float) -> None:
    seconds = time.perf_counter() - started
    BILLER_SECONDS.labels(biller, name, outcome).observe(seconds)

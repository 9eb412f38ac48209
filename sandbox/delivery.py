"""Delivery reports: what the gateway tells us, some time after it took an SMS, of where it is now.

`Sent`, then a final word. A report is tried three times at most and then forgotten, as operators
do; the queue is bounded, and a report that finds it full is lost.
"""

import itertools
import logging
import queue
import threading
import time
from dataclasses import dataclass, field, replace

from sandbox.messages import Message
from sandbox.outbound import NETWORK_CODE, RequestException, post

_log = logging.getLogger(__name__)

_STEP_SECONDS = 0.3  # from taken to Sent, and from Sent to the final word
_RETRY_SECONDS = (0.5, 1.5)
_TIMEOUTS = (3.0, 5.0)  # connect, read
_THREADS = 8
_MOST_WAITING = 20_000

SENT = {"status": "Sent"}
SUCCESS = {"status": "Success"}
FAILED = {"status": "Failed", "failureReason": "DeliveryFailure"}
UNKNOWN = {"status": "DeliveredToTerminal"}  # no word of the contract

# Fault → the words of the reports, in the order in which they are posted.
_COURSES: dict[str, tuple[dict[str, str], ...]] = {
    "": (SENT, SUCCESS),
    "duplicate_report": (SENT, SENT, SUCCESS, SUCCESS),
    "out_of_order_report": (SUCCESS, SENT),
    "unknown_report": (SENT, UNKNOWN),
    "undelivered": (SENT, FAILED),
}


@dataclass(order=True)
class _Report:
    due: float
    number: int
    message: Message = field(compare=False)
    course: tuple[dict[str, str], ...] = field(compare=False)
    tries: int = field(compare=False, default=0)


class DeliveryReports:
    """Posts the reports of each message one after the other, from a few threads of its own."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url}/callbacks/africastalking/sms/delivery"
        self._token = token
        self._numbers = itertools.count()
        self._waiting: queue.PriorityQueue[_Report] = queue.PriorityQueue(_MOST_WAITING)
        for _ in range(_THREADS):
            threading.Thread(target=self._run, daemon=True, name="delivery-report").start()

    def begin(self, message: Message, fault: str) -> None:
        """Promise the reports of one message; `fault` names how they misbehave, or is empty."""
        due = time.monotonic() + _STEP_SECONDS
        self._put(_Report(due, next(self._numbers), message, _COURSES[fault]))

    def _put(self, report: _Report) -> None:
        try:
            self._waiting.put_nowait(report)
        except queue.Full:
            _log.warning("delivery report of %s lost: too many are waiting", report.message.id)

    def _run(self) -> None:
        while True:
            report = self._waiting.get()
            if (wait := report.due - time.monotonic()) > 0:
                time.sleep(wait)
            self._step(report)

    def _step(self, report: _Report) -> None:
        """Post the next word of a course and queue what follows: the word after it, or it again."""
        now = time.monotonic()
        if self._post(report):
            rest, tries, wait = report.course[1:], 0, _STEP_SECONDS
        elif report.tries < len(_RETRY_SECONDS):
            rest, tries, wait = report.course, report.tries + 1, _RETRY_SECONDS[report.tries]
        else:
            _log.warning("delivery report of %s given up", report.message.id)
            rest, tries, wait = report.course[1:], 0, _STEP_SECONDS
        if rest:
            self._put(replace(report, due=now + wait, course=rest, tries=tries))

    def _post(self, report: _Report) -> bool:
        form = {
            "id": report.message.id,
            "phoneNumber": report.message.to,
            "networkCode": NETWORK_CODE,
            "retryCount": str(report.tries),
            **report.course[0],
        }
        try:
            with post(self._url, token=self._token, form=form, timeout=_TIMEOUTS) as answer:
                return answer.ok
        except RequestException:
            return False

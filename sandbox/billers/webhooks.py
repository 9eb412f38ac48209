"""What a biller tells us by itself once a sale is decided: some time later, and not for ever.

A webhook is tried three times and then forgotten. Faults make it come twice at once, before the
answer, wrongly signed or never; or the sale is undone afterwards, and a second webhook says so.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sandbox.billers.agenda import Agenda
from sandbox.billers.till import FOREVER, Sale, Till
from sandbox.outbound import RequestException, post_body

STEP_SECONDS = 0.3  # from the decision to the webhook
_RETRY_SECONDS = (1.0, 3.0)
_TIMEOUTS = (3.0, 5.0)  # connect, read
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """A webhook as it goes out."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


# Writes the webhook of a reference as things stand now, signed wrongly if so asked.
Write = Callable[[str, bool], Message]


class Webhooks:
    """The webhooks of one biller."""

    def __init__(self, agenda: Agenda, url: str, till: Till, write: Write) -> None:
        self._agenda = agenda
        self._url = url
        self._till = till
        self._write = write

    def follow(self, sale: Sale) -> None:
        """Promise what a new sale makes us tell; an early webhook is sent before this returns."""
        decided = sale.transaction.final_at
        if not sale.new or decided >= FOREVER:
            return
        kind = sale.webhook.kind if sale.webhook else ""
        ref_id = sale.transaction.ref_id
        due = decided + STEP_SECONDS
        if kind == "early_webhook":
            self._send(ref_id)
        elif kind != "no_webhook":
            self._later(due, ref_id, wrong=kind == "bad_signature")
        if kind == "duplicate_webhook":
            self._later(due, ref_id)
        if kind == "flipped_webhook" and sale.webhook:
            self._agenda.at(due + sale.webhook.seconds, lambda: self._flip(ref_id))

    def _flip(self, ref_id: str) -> None:
        self._till.undo(ref_id)
        self._send(ref_id)

    def _later(self, due: float, ref_id: str, *, wrong: bool = False, tries: int = 0) -> None:
        self._agenda.at(due, lambda: self._send(ref_id, wrong=wrong, tries=tries))

    def _send(self, ref_id: str, *, wrong: bool = False, tries: int = 0) -> None:
        if not self._url or self._delivered(self._write(ref_id, wrong)):
            return
        if tries < len(_RETRY_SECONDS):
            due = time.time() + _RETRY_SECONDS[tries]
            self._later(due, ref_id, wrong=wrong, tries=tries + 1)
        else:
            _log.warning("webhook of %s given up", ref_id)

    def _delivered(self, message: Message) -> bool:
        try:
            with post_body(
                self._url, message.body, headers=message.headers, timeout=_TIMEOUTS
            ) as answer:
                return answer.ok
        except RequestException:
            return False

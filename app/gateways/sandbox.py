"""L3: the sandbox asked by a transcript: which SMS a phone got, and what shall go wrong.

The sandbox is another process; see docs/sandbox.md for its side. Every call has an end in time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests

from app.errors import DomainError

TIMEOUTS = (3.05, 10.0)  # seconds to connect and to read
SMS_SECONDS = 15.0
GLANCE_SECONDS = 0.2


class Sandbox:
    """A running sandbox. What it does not answer is DomainError `sandbox_away`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def inbox(self, msisdn: str) -> list[str]:
        """Texts of the SMS of a phone, oldest first."""
        return [str(message["text"]) for message in self._ask("GET", f"/phones/{msisdn}/sms")]

    def wait_sms(self, msisdn: str, place: int) -> str | None:
        """The SMS at this place of the inbox, from 0; None if it does not come in time."""
        deadline = time.monotonic() + SMS_SECONDS
        while True:
            texts = self.inbox(msisdn)
            if len(texts) > place:
                return texts[place]
            if time.monotonic() > deadline:
                return None
            time.sleep(GLANCE_SECONDS)

    def fault(self, target: str, kind: str, facts: Mapping[str, object]) -> None:
        """Raises DomainError `fault_refused` with the sandbox's sentence as the fact `why`."""
        self._ask("POST", "/faults", {"target": target, "kind": kind, **facts})

    def clear(self) -> None:
        self._ask("DELETE", "/faults")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = requests.request(
                method, self.url + path, json=body, timeout=TIMEOUTS, allow_redirects=False
            )
            told = answer.json()
        except (requests.RequestException, ValueError) as error:
            reason = type(error).__name__
            raise DomainError(
                "sandbox_away", retryable=True, url=self.url, reason=reason
            ) from error
        if answer.status_code == 400:
            raise DomainError("fault_refused", why=told.get("error", ""))
        if not answer.ok:
            reason = f"HTTP {answer.status_code}"
            raise DomainError("sandbox_away", retryable=True, url=self.url, reason=reason)
        return told

"""Africa's Talking's side of a session by hand: for hops that no polite gateway would send."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import requests

from tests.world import World


@dataclass
class Session:
    """One USSD session at the wire: `text` accumulates, and may be sent again or wrong."""

    world: World
    msisdn: str
    id: str = field(default_factory=lambda: f"ATUid_{secrets.token_hex(16)}")
    text: str = ""

    def dial(self) -> str:
        self.text = ""
        return self.send("")

    def reply(self, *inputs: str) -> str:
        """Type one input after the other; the last answer."""
        answer = ""
        for typed in inputs:
            self.text = f"{self.text}*{typed}" if self.text else typed
            answer = self.send(self.text)
        return answer

    def send(self, text: str, **changed: str) -> str:
        """One hop with exactly this text; the body of the answer."""
        return self.post(text, **changed).text

    def post(self, text: str, **changed: str) -> requests.Response:
        form = {
            "sessionId": self.id,
            "phoneNumber": self.msisdn,
            "networkCode": "99999",
            "serviceCode": "*384*123#",
            "text": text,
        }
        return requests.post(
            f"{self.world.url}/callbacks/africastalking/ussd",
            params={"token": "demo"},
            data={**form, **changed},
            timeout=15,
        )

"""Africa's Talking's side of a session by hand: for hops that no polite gateway would send."""

from __future__ import annotations

from app.gateways import africastalking_phone
from tests.world import World


class Session(africastalking_phone.Session):
    """One USSD session of a world at the wire."""

    def __init__(self, world: World, msisdn: str) -> None:
        super().__init__(world.url, "demo", msisdn, "*384*123#")

    def dial(self) -> str:
        self.text = ""
        return self.send("")

    def home(self) -> str:
        """Dial, and start again where something was cut off."""
        shown = self.dial()
        return self.reply("2") if "Go on where you were" in shown else shown

    def reply(self, *inputs: str) -> str:
        """Type one input after the other; the last answer."""
        answer = ""
        for typed in inputs:
            self.extend(typed)
            answer = self.send(self.text)
        return answer

    def send(self, text: str, **changed: str) -> str:
        """One hop with exactly this text; the body of the answer."""
        return self.post(text, **changed).text

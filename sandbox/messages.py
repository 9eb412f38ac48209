"""Every SMS that the gateway took, and which of them reached a handset."""

import threading
import time
from dataclasses import asdict, dataclass
from secrets import token_hex
from typing import Any

from sandbox.events import Events
from sandbox.journal import Journal, iso


@dataclass(frozen=True, kw_only=True)
class Message:
    """One SMS to one number. `to` and `sender` are as on the wire; `at` is UTC text."""

    id: str
    at: str
    to: str
    sender: str
    text: str
    reached_handset: bool

    def as_json(self) -> dict[str, Any]:
        """The public form: the sender is called `from`, as on the wire."""
        record = asdict(self)
        record["from"] = record.pop("sender")
        return record


class Messages:
    """The gateway's memory, on disk before the sender is told; safe for threads."""

    def __init__(self, journal: Journal, events: Events) -> None:
        self._journal = journal
        self._events = events
        self._lock = threading.Lock()
        self._taken = [Message(**record) for record in journal.records()]

    def take(self, *, to: str, sender: str, text: str, reachable: bool) -> Message:
        """Accept one SMS and put it on the handset, unless that cannot be reached."""
        message = Message(
            id=f"ATXid_{token_hex(16)}",
            at=iso(time.time()),
            to=to,
            sender=sender,
            text=text,
            reached_handset=reachable,
        )
        with self._lock:
            self._journal.append(asdict(message))
            self._taken.append(message)
        if reachable:
            self._events.publish("sms", {"msisdn": to, **in_inbox(message)})
        return message

    def all(self) -> list[Message]:
        with self._lock:
            return list(self._taken)

    def inbox(self, msisdn: str) -> list[dict[str, str]]:
        """What the handset of this number (with +) holds, oldest first."""
        return [
            in_inbox(message)
            for message in self.all()
            if message.to == msisdn and message.reached_handset
        ]


def in_inbox(message: Message) -> dict[str, str]:
    return {
        "id": message.id,
        "at": message.at,
        "from": message.sender,
        "text": message.text,
    }

"""Africa's Talking between the phones and our callback, with its sins.

1. A hop is delivered once, or twice at the same moment, or again after its answer, or much later,
   when newer ones have passed it. Where no answer came it is tried once more.
2. Of each delivery the journal says what was sent before it leaves, and what came before anybody
   reads it. What was typed is not repeated: a session and the number of a hop name its text.
"""

from __future__ import annotations

import heapq
import http.client
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from app.gateways.africastalking import GATEWAY
from app.gateways.africastalking_phone import NETWORK_CODE
from tests.torture.storm.journal import Journal

CONNECT_SECONDS = 3.05
ANSWER_BYTES_MOST = 16_384
TWINS, AGAIN, LATE, TRIED_ONCE_MORE = 0.05, 0.05, 0.08, 0.6  # how likely each sin is, of one hop
LATE_SECONDS = (1.0, 12.0)
CARRIERS = 3  # who deliver late hops
LATE_MOST = 200
TWINS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Screen:
    """What a phone shows; `open` when a reply is expected."""

    text: str
    open: bool


@dataclass
class Session:
    """One USSD session of a number; `texts` are the accumulated texts of its hops."""

    id: str
    msisdn: str
    service_code: str
    texts: list[str] = field(default_factory=list)

    def extend(self, typed: str) -> None:
        """The text of the next hop."""
        before = self.texts[-1] if self.texts else ""
        self.texts.append(f"{before}*{typed}" if before else typed)

    def form(self, hop: int) -> dict[str, str]:
        return {
            "sessionId": self.id,
            "phoneNumber": self.msisdn,
            "networkCode": NETWORK_CODE,
            "serviceCode": self.service_code,
            "text": self.texts[hop],
        }


class Gateway:
    """Delivers hops to one callback; safe for threads."""

    def __init__(self, url: str, token: str, journal: Journal) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._query = parts.query if "token" in parse_qs(parts.query) else f"token={token}"
        self._journal = journal
        self._ids = itertools.count(1)
        self._twins = ThreadPoolExecutor(TWINS_AT_ONCE, thread_name_prefix="twin")
        self._late: list[tuple[float, int, Session, int]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._carriers = [
            threading.Thread(target=self._carry, name="late hops") for _ in range(CARRIERS)
        ]
        for carrier in self._carriers:
            carrier.start()

    def hop(self, session: Session, dice: random.Random) -> Screen | None:
        """The answer to the last hop of a session; None where the network shows its own error."""
        hop = len(session.texts) - 1
        if self._closed:
            return self._deliver(session, hop, "first")
        twin = None
        if dice.random() < TWINS:
            twin = self._twins.submit(self._deliver, session, hop, "twin")
        screen = self._deliver(session, hop, "first")
        if twin:
            screen = screen or twin.result()
        if screen is None and dice.random() < TRIED_ONCE_MORE:
            screen = self._deliver(session, hop, "retry")
        if dice.random() < AGAIN:
            self._deliver(session, hop, "again")
        if dice.random() < LATE:
            self._post_later(session, hop, dice.uniform(*LATE_SECONDS))
        return screen

    def end(self, session: Session, status: str) -> None:
        """The operator's word that a session is over. Nobody waits for what we say to it."""
        form = {**session.form(0), "status": status, "hopsCount": str(len(session.texts))}
        del form["text"]
        self._post("/end", form)

    def close(self) -> None:
        """From now on without sins; returns when the late hops on their way are answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for carrier in self._carriers:
            carrier.join(2 * GATEWAY.answer_seconds)
        self._twins.shutdown()

    def _post_later(self, session: Session, hop: int, seconds: float) -> None:
        with self._changed:
            if len(self._late) < LATE_MOST:
                due = (time.monotonic() + seconds, next(self._ids), session, hop)
                heapq.heappush(self._late, due)
                self._changed.notify()

    def _carry(self) -> None:
        while (due := self._next()) is not None:
            self._deliver(*due, "late")

    def _next(self) -> tuple[Session, int] | None:
        """The next late hop when its time has come; None when the gateway is closed."""
        with self._changed:
            while not self._closed:
                wait = self._late[0][0] - time.monotonic() if self._late else None
                if wait is not None and wait <= 0:
                    _, _, session, hop = heapq.heappop(self._late)
                    return session, hop
                self._changed.wait(wait)
        return None

    def _deliver(self, session: Session, hop: int, delivery: str) -> Screen | None:
        told = {
            "session": session.id, "msisdn": session.msisdn, "hop": hop,
            "delivery": delivery, "id": next(self._ids),
        }  # fmt: skip
        self._journal.write("sent", **told)
        status, body = self._post("", session.form(hop))
        self._journal.write("shown", **told, status=status, body=body)
        word, _, screen = body.partition(" ")
        if 200 <= status < 300 and word in ("CON", "END"):
            return Screen(screen, word == "CON")
        return None

    def _post(self, path: str, form: dict[str, str]) -> tuple[int, str]:
        """Status and body; 0 and the kind of failure where no answer came."""
        line = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        try:
            line.connect()
            line.sock.settimeout(GATEWAY.answer_seconds)
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
            line.request("POST", f"{self._path}{path}?{self._query}", urlencode(form), headers)
            answer = line.getresponse()
            body = answer.read(ANSWER_BYTES_MOST)
            if answer.length:  # whoever answered died in the middle of it
                raise http.client.IncompleteRead(body, answer.length)
            return answer.status, body.decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__
        finally:
            line.close()

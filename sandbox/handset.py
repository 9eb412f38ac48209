"""A phone: it dials, shows what the network brings, and knows nothing of what the screens mean.

```
idle ──dial──▶ asking ──CON──▶ menu ──reply──▶ asking
                 │               ├──hangup, drop, time up──▶ idle   end event Incomplete
                 ├──END──▶ idle  end event Success
                 └──error, late──▶ idle   the network's own words; end event Failed
```
1. Every screen is in the journal, on disk, before it is shown; of what was typed only the length
   is kept.
2. While a request is on its way the phone can only lose it (drop, hang up, time up): the answer of
   a session that is no longer the phone's is never shown.
3. Nothing is tried again.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from sandbox.faults import FaultBook
from sandbox.journal import Journal, iso
from sandbox.septets import cut, measure
from sandbox.settings import Settings
from sandbox.ussd import Answer, Operator, Session

NETWORK_ERROR = "Network error / MMI"
TIME_UP = "Session timed out"
LONGEST_REPLY = 182
LONGEST_CODE = 182

Kind = Literal["idle", "menu", "end", "network", "lost"]
State = dict[str, Any]


class HandsetError(Exception):
    """What this phone cannot do just now; the text says why."""


class Handset:
    """The phone of one number; safe for threads. `changed` hears every new state."""

    def __init__(
        self,
        msisdn: str,
        *,
        settings: Settings,
        operator: Operator,
        screens: Journal,
        faults: FaultBook,
        changed: Callable[[State], None],
    ) -> None:
        self.msisdn = msisdn
        self._settings = settings
        self._operator = operator
        self._screens = screens
        self._faults = faults
        self._changed = changed
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._asking = False
        self._kind: Kind = "idle"
        self._screen = ""
        self._full_text = ""
        self._session_id = ""
        self._revision = 0
        self._revise()

    def state(self) -> State:
        with self._lock:
            return self._state()

    def dial(self, code: str) -> State:
        """Dial a code and wait for the first screen; an open menu is closed first (the red key)."""
        if len(code) > LONGEST_CODE or not re.fullmatch(r"\*[0-9]+(\*[0-9]+)*#", code):
            raise HandsetError("a USSD code looks like *384*123#")
        with self._lock:
            if self._asking:
                raise HandsetError("the phone is still waiting for an answer")
            self._leave("idle")
            replies = _one_shot(code, self._settings.service_code)
            if replies is None:
                self._show("network", NETWORK_ERROR)
                return self._state()
            session = Session(self.msisdn, self._settings.service_code, replies)
            self._begin_asking(session)
        return self._hop(session)

    def reply(self, text: str) -> State:
        """Send what was typed and wait for the next screen."""
        if len(text) > LONGEST_REPLY:
            raise HandsetError(f"a reply has at most {LONGEST_REPLY} characters")
        with self._lock:
            session = self._session
            if self._asking:
                raise HandsetError("the phone is still waiting for an answer")
            if session is None:
                raise HandsetError("no menu is open on this phone; dial first")
            session.replies.append(text)
            self._begin_asking(session)
        return self._hop(session)

    def hangup(self) -> State:
        """The red key: leave the menu, or clear the last screen."""
        return self._end_by_phone("idle")

    def drop(self) -> State:
        """The network is lost: an open session is gone for the phone, which shows nothing."""
        return self._end_by_phone("lost")

    def tick(self) -> None:
        """End a session that is older than the operator allows."""
        with self._lock:
            session = self._session
            if session is None or self._seconds_left(session) > 0:
                return
            self._leave("idle")
            self._show("network", TIME_UP, session)
            state = self._state()
        self._changed(state)

    def _hop(self, session: Session) -> State:
        dropped = self._faults.take("ussd", ("drop",)) is not None
        answer, same = self._deliver(session)
        with self._lock:
            if self._session is session:
                self._asking = False
                session.hops += 1
                session.last_response = answer.body
                if answer.hop_name:
                    session.hop_names.append(answer.hop_name)
                if dropped:
                    self._leave("lost")
                else:
                    self._take_answer(session, answer, same)
            state = self._state()
        self._changed(state)
        return state

    def _deliver(self, session: Session) -> tuple[Answer, bool | None]:
        """Carry one hop to our callback, twice if a fault says so.

        Returns the first answer, the only one that the phone can show, and whether the second was
        the same.
        """
        code = session.service_code
        if self._faults.take("ussd", ("shared_code",)):
            code = code[: code.rindex("*")] + "#"
        fault = self._faults.take("ussd", ("duplicate", "redeliver"))
        if fault is None:
            return self._operator.hop(session, code), None
        second: list[Answer] = []
        again = threading.Thread(
            target=lambda: second.append(self._operator.hop(session, code)), daemon=True
        )
        if fault.kind == "duplicate":
            again.start()
        answer = self._operator.hop(session, code)
        if fault.kind == "redeliver":
            again.start()
        again.join()
        return answer, bool(second) and second[0].body == answer.body

    def _take_answer(self, session: Session, answer: Answer, same: bool | None) -> None:
        match answer.kind:
            case "con":
                self._show("menu", answer.text, session, same)
            case "end":
                self._session = None
                self._show("end", answer.text, session, same)
                self._operator.end(session, "Success")
            case "error":
                self._session = None
                self._show("network", NETWORK_ERROR, session, same)
                self._operator.end(session, "Failed", answer.text)

    def _show(
        self, kind: Kind, text: str, session: Session | None = None, same: bool | None = None
    ) -> None:
        """Put a screen before the person's eyes; it is in the journal first."""
        shown = cut(text)
        record: dict[str, Any] = {
            "at": iso(time.time()),
            "msisdn": self.msisdn,
            "session": session.id if session else "",
            "text_len": len(session.text) if session else 0,
            "screen": shown,
            "kind": kind,
        }
        if same is not None:
            record["second_answer_same"] = same
        self._screens.append(record)
        self._kind, self._screen, self._full_text = kind, shown, text
        self._revise()

    def _end_by_phone(self, kind: Kind) -> State:
        with self._lock:
            self._leave(kind)
            state = self._state()
        self._changed(state)
        return state

    def _leave(self, kind: Kind) -> None:
        """Go to a screen without words; a session that was open ends for us as Incomplete."""
        session, self._session, self._asking = self._session, None, False
        self._kind, self._screen, self._full_text = kind, "", ""
        self._revise()
        if session is not None:
            self._operator.end(session, "Incomplete")

    def _begin_asking(self, session: Session) -> None:
        self._session, self._session_id, self._asking = session, session.id, True
        self._revise()
        self._changed(self._state())

    def _revise(self) -> None:
        """Number the new state, so that a page knows the newer of two, over restarts too."""
        self._revision = max(self._revision + 1, int(time.time() * 1_000_000))

    def _seconds_left(self, session: Session) -> float:
        return session.began + self._settings.session_seconds - time.monotonic()

    def _state(self) -> State:
        room = measure(self._full_text)
        session = self._session
        return {
            "msisdn": self.msisdn,
            "kind": self._kind,
            "screen": self._screen,
            "open": session is not None,
            "asking": self._asking,
            "session": self._session_id,
            "revision": self._revision,
            "septets": room.units,
            "encoding": room.encoding,
            "limit": room.limit,
            "seconds_left": round(max(0.0, self._seconds_left(session)), 1) if session else 0.0,
        }


def _one_shot(code: str, service_code: str) -> list[str] | None:
    """Replies dialled with the code: *384*123*1*2# has ["1", "2"]; None for a code of nobody's."""
    prefix = service_code.removesuffix("#")
    if code == service_code:
        return []
    if not code.startswith(f"{prefix}*"):
        return None
    return code.removesuffix("#")[len(prefix) + 1 :].split("*")

"""L6: the life of one hop between taking the lock and answering.

The rules are those of `engine`; here they are kept.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Generic
from uuid import UUID

from app.errors import DomainError
from app.gateways.wire import Screen, UssdRequest
from app.telemetry import Seldom, log
from app.ussd.arrival import arrive
from app.ussd.hop import Caller, Hop, MenuError, S
from app.ussd.live import Live, SessionTooLarge, decode
from app.ussd.menubook import MenuBook
from app.ussd.parts import Parts, last_words
from app.ussd.redelivery import Kind, classify, digest
from app.ussd.resume import Left, cut_off
from app.ussd.screens import Answer
from app.ussd.session import LEFT, MOVED, SessionsAway
from app.ussd.states import Wait
from app.ussd.waits import longest_wait, pauses
from app.ussd.walk import Walk

LIVE_MARGIN_SECONDS = 60  # a session outlives the gateway's own by this
ENDED_SECONDS = 120
PRIVATE_SECONDS = 60
SETTLE_TRIES = 5
GONE = b""
_foreign = Seldom("ussd_foreign_msisdn", lines=5)


class OneHop(Generic[S]):
    """A hop that holds its session's lock under `token`, until it saves or releases.

    `_shared`: the session is known to say "confirmed", so others may tell the outcome as well.
    """

    __slots__ = (
        "_first",
        "_hash",
        "_left",
        "_live",
        "_now",
        "_parts",
        "_request",
        "_shared",
        "_token",
        "_walk",
    )

    def __init__(
        self, parts: Parts[S], request: UssdRequest, session_hash: bytes, token: str
    ) -> None:
        self._parts = parts
        self._request = request
        self._hash = session_hash
        self._token = token
        self._shared = self._first = False
        self._left: Left | None = None
        self._now = parts.around.clock()

    def run(self, stored: bytes | None) -> tuple[str, Screen]:
        """What kind of hop it was, for the metrics, and its answer."""
        parts, request = self._parts, self._request
        if stored and stored.startswith(MOVED):
            return "moved", parts.sentence("dial_again", stored[len(MOVED) :].decode())
        begun = stored and not stored.startswith(LEFT)
        try:
            live = decode(stored) if stored and begun else None
        except (ValueError, TypeError):
            log.error("ussd_session_unreadable")
            return "unreadable", parts.sentence("dial_again")
        kind, typed, own = classify(
            request, live, now_ms=self._now_ms(), key=parts.store.key, session_hash=self._hash
        )
        if live is None or kind is Kind.NEW:
            self._first = True
            self._live = self._new_session(live.revision if live else 0)
            self._live.note(len(request.text), own)
            if stored and not begun:
                self._left = self._cut_off(stored)
            return kind.value, self._walked(None)
        self._live = live
        if kind is Kind.FOREIGN:
            gateway = request.gateway.name
            _foreign.warning(gateway, gateway=gateway, msisdn=request.msisdn)
            return kind.value, parts.sentence("refused")
        asks = live.pending or kind is Kind.INPUT
        if asks and live.version not in parts.books:
            return "old_version", parts.sentence("dial_again", live.language)
        if live.pending:
            return "waiting", self._joined(kind, own)
        if kind is not Kind.INPUT:
            return kind.value, live.screen()
        live.note(len(request.text), own)
        return kind.value, self._walked(typed)

    def release(self) -> None:
        """Give the lock back if it is still held."""
        if self._token:
            token, self._token = self._token, ""
            with contextlib.suppress(SessionsAway):  # the lock expires by itself
                self._parts.store.finish(self._hash, token)

    def _walked(self, typed: str | None) -> Screen:
        walk = self._begin_walk()
        try:
            went = self._arrive() if typed is None else walk.answer(typed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the phone hears a sentence
            return self._answered(self._failed(error))
        if isinstance(went, Answer):
            return self._answered(went)
        self._live.pending, self._live.reply = True, ""
        self._live.answered_ms = self._now_ms()
        self._share()
        return self._outcome(went, joined=False)

    def _arrive(self) -> Answer | Wait[S]:
        request = self._request
        dialling = request.gateway.mode == "accumulated" or request.event == "new"
        return arrive(
            self._walk,
            self._book(),
            self._live,
            code=request.text if dialling else "",
            mid_session=bool(request.text),
            left=self._left,
        )

    def _cut_off(self, stored: bytes) -> Left | None:
        window = self._parts.around.market.resume_seconds
        return cut_off(stored, self._book(), now_ms=self._now_ms(), window_seconds=window)

    def _share(self) -> None:
        """Store "confirmed", also over what another hop made of the session meanwhile."""
        for _ in range(SETTLE_TRIES):
            stored = self._save(self._live_seconds())
            self._shared = stored is None
            if not stored or stored.startswith(MOVED):
                return
            self._live.revision = decode(stored).revision

    def _joined(self, kind: Kind, own: str) -> Screen:
        """A hop while the outcome is waited for: whatever it says, it gets that answer too."""
        live = self._live
        self._begin_walk().committed = True
        self._shared = True
        state = self._book().states.get(live.state)
        if kind is Kind.INPUT:
            live.note(len(self._request.text), own)
            self._save(self._live_seconds())
        else:
            self.release()
        if not isinstance(state, Wait):
            return self._answered(self._failed(MenuError(f"{live.state} is no Wait")))
        return self._outcome(state, joined=True)

    def _outcome(self, state: Wait[S], *, joined: bool) -> Screen:
        """Wait for the outcome, then agree with everybody else who waited for it."""
        walk = self._walk
        walk.committed = walk.private = True
        try:
            with self._parts.waits.place() as free:
                name = self._wait(state, joined) if free else state.late
            went = walk.enter(name)
            if isinstance(went, Wait):
                raise MenuError(f"{state.name} leads to another Wait")
        except Exception as error:  # noqa: BLE001 - as in _walked
            went = self._failed(error)
        if joined and not free:
            return Screen(went.text, went.open, self._live.state)
        return self._answered(went)

    def _wait(self, state: Wait[S], joined: bool) -> str:
        walk = self._walk
        spent = (self._now_ms() - self._live.answered_ms) / 1000
        left = longest_wait(state.seconds, self._request.gateway) - spent
        name = walk.poll(state) if joined or left <= 0 else None
        if name:
            return name
        for _ in pauses(left):
            name = walk.poll(state)
            if name:
                return name
        return state.late

    def _answered(self, answer: Answer) -> Screen:
        """Store an answer; on a conflict say what those who were first have said."""
        live = self._live
        live.reply, live.open, live.pending = answer.text, answer.open, False
        live.answered_ms = self._now_ms()
        if self._walk.private:
            seconds = PRIVATE_SECONDS
        else:
            seconds = self._live_seconds() if answer.open else ENDED_SECONDS
        for _ in range(SETTLE_TRIES):
            stored = self._save(seconds)
            if stored is None:
                return live.screen()
            if stored == GONE or (self._walk.committed and stored.startswith(MOVED)):
                break
            if stored.startswith(MOVED):
                return self._moved_on()
            winner = decode(stored)
            if self._decided_by(winner):
                return winner.screen()
            if not self._walk.committed:
                break
            live.revision, live.seen = winner.revision, winner.seen
        return self._unsaved(answer)

    def _moved_on(self) -> Screen:
        """The session that was to be continued goes on by itself: a redial tells its outcome."""
        screen = self._parts.sentence("dial_again", self._live.language)
        self._walk.continues, self._live.left = None, None
        self._live.reply, self._live.open, self._live.state = screen.text, False, screen.name
        self._save(ENDED_SECONDS)
        return self._live.screen()

    def _decided_by(self, winner: Live) -> bool:
        """Whether what others stored answers this hop too: the outcome, or the same input."""
        if winner.pending:
            return False
        if self._walk.committed:  # a smaller revision is a session begun after a lost Redis
            same = winner.seen[:2] == self._live.seen[:2]
            return self._shared and same and winner.revision > self._live.revision
        return winner.seen[-2:] == self._live.seen[-2:]

    def _unsaved(self, answer: Answer) -> Screen:
        """The answer when the session is lost: it must end, but never silence a commit."""
        if not answer.open:
            return self._live.screen()
        language = self._live.language
        if not self._walk.committed:
            return self._parts.sentence("dial_again", language)
        try:
            return Screen(self._walk.head(), open=False, name=self._live.state)
        except Exception as error:  # noqa: BLE001 - as in _walked
            last_words(error, committed=True, state=self._live.state)
            return self._parts.sentence("outcome_unknown", language)

    def _save(self, seconds: int) -> bytes | None:
        """None: saved. Else what is stored instead, GONE when nothing can be known of it."""
        hop, live = self._walk.hop, self._live
        live.language = hop.language
        person = hop.person
        live.person = [person.id.hex, person.name, person.role] if person else None
        try:
            stored = self._parts.store.finish(
                self._hash,
                self._token,
                live,
                seconds,
                point_seconds=self._live_seconds() if self._first else 0,
                continues=self._walk.continues,
            )
        except SessionTooLarge as error:
            log.error("ussd_session_too_large", problem=str(error))
            self.release()
            return GONE
        except SessionsAway:
            log.warning("ussd_save_lost", state=live.state)
            stored = GONE
        if not (stored and stored.startswith(MOVED)):
            self._token = ""
        return stored

    def _failed(self, error: Exception) -> Answer:
        walk, parts = self._walk, self._parts
        if parts.strict and not isinstance(error, DomainError):
            raise error
        name = last_words(error, committed=walk.committed, state=self._live.state)
        return Answer(parts.sentence(name, walk.hop.language).text, open=False)

    def _new_session(self, revision: int) -> Live:
        language = self._parts.around.market.default_language
        version = self._parts.opening().version
        return Live(version, self._request.msisdn, "", language, revision=revision)

    def _begin_walk(self) -> Walk[S]:
        parts, live, request = self._parts, self._live, self._request
        person = live.person
        hop = Hop(
            parts.around,
            gateway=request.gateway.name,
            session_hash=self._hash,
            msisdn=live.msisdn,
            service_code=request.service_code,
            network=request.network,
            language=live.language,
            person=Caller(UUID(person[0]), person[1], person[2]) if person else None,
            data=live.data,
            now=self._now,
        )
        mark = partial(digest, parts.store.key, self._hash)
        self._walk = Walk(
            self._book(), parts.composer, parts.waits, hop, live, request.gateway, mark
        )
        return self._walk

    def _book(self) -> MenuBook[S]:
        return self._parts.books[self._live.version]

    def _live_seconds(self) -> int:
        """Until the latest moment at which an offer to continue it may be taken."""
        window = self._parts.around.market.resume_seconds
        return self._request.gateway.session_seconds + LIVE_MARGIN_SECONDS + window

    def _now_ms(self) -> int:
        return int(self._parts.around.clock().timestamp() * 1000)

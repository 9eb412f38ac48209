"""Asking for a transfer back, and what staff or the clock make of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.wallet.keys import derived_key, new_key
from app.wallet.transfers import stops
from app.wallet.transfers.stops import StopView
from tests.wallet.machine.base import Asked, Base
from tests.wallet.machine.books import OPERATOR, Hold, Refused
from tests.wallet.machine.model import Transfer

STAFF = "asha"


@dataclass(eq=False)
class Stop:
    id: UUID
    asker: str
    transfer: Transfer
    hold_id: UUID
    held: int
    expires: datetime
    state: str = "open"
    top_up: int = 0
    collected: int = 0

    @property
    def payee(self) -> str | None:
        return self.transfer.movement.payee


class Stops(Base):
    def ask_back(self, it: Asked, asker: str) -> Stop | None:
        transfer_id = it.made.id
        transfer = self.model.transfers[transfer_id]
        movement, held = transfer.movement, list[int]()

        def model(view: StopView | None) -> None:
            sender = movement.payer if movement.kind == "send" else movement.agent
            if movement.kind not in ("send", "cash_in") or asker != sender:
                raise Refused("stop_not_yours")
            if transfer.reversed:
                raise Refused("stop_known")
            if self._too_late(transfer):
                raise Refused("stop_too_late")
            if any(one.transfer is transfer for one in self.stops):
                raise Refused("stop_known")
            held.append(self._set_aside(transfer, view))
            self.model.tell(view, "stop_asked", asker)
            if held[0]:
                assert movement.payee
                self.model.tell(view, "stop_held", movement.payee)

        view = self.same(
            f"{asker} asks for it back: {it.what}",
            lambda s: stops.ask(s, self.market, transfer_id, by=self.ids[asker], now=self.now),
            model,
        )
        if view is None:
            return None
        assert view.held_minor == held[0]
        hold_id = derived_key(view.id, "hold")
        made = Stop(view.id, asker, transfer, hold_id, held[0], view.expires_at)
        self.stops.append(made)
        return made

    def approve(self, stop: Stop, on_top: str) -> None:
        movement, top_up = stop.transfer.movement, self._top_up(stop, on_top)

        def model(view: StopView | None) -> None:
            if stop.state != "open":
                raise Refused("stop_closed")
            given = self._reverse_for(stop, top_up)
            stop.state, stop.top_up = "approved", top_up
            self._tell_approved(stop, given)
            if movement.kind == "cash_in" and movement.agent:
                self.model.rose(movement.agent)

        view = self.same(
            f"staff approve the stop of {stop.asker}, {top_up} on top",
            lambda s: stops.approve(
                s, self.market, stop.id, by=STAFF, now=self.now, top_up_minor=top_up
            ),
            model,
        )
        assert view is None or view.top_up_minor == stop.top_up

    def refuse_stop(self, stop: Stop) -> None:
        def model(_: Any) -> None:
            if stop.state != "open":
                raise Refused("stop_closed")
            self._stop_ends(stop, "refused")

        self.same(
            f"staff refuse the stop of {stop.asker}",
            lambda s: stops.refuse(s, stop.id, by=STAFF, now=self.now),
            model,
        )

    def collect_later(self, stop: Stop) -> None:
        """What the operator gave on top; the same collection again takes nothing more."""
        collection_id = new_key()
        taken: list[int] = []

        def model(minor: int | None) -> None:
            owed = stop.top_up - stop.collected
            if owed <= 0:
                raise Refused("stop_nothing_owed")
            account = stop.transfer.movement.credit
            taken.append(min(owed, self.books.left(account)))
            if taken[0] <= 0:
                raise Refused("stop_nothing_left")
            self.books.post([(account, OPERATOR, taken[0])])
            stop.collected += taken[0]
            if stop.payee:
                self.model.tell(collection_id, "stop_collected", stop.payee)

        def real(session: Session) -> int:
            return stops.collect_later(
                session, self.market, stop.id, collection_id=collection_id, by=STAFF, now=self.now
            )

        minor = self.same(f"collect from {stop.payee}", real, model)
        if minor is not None:
            assert minor == taken[0]
            assert self.town.run(real) == minor

    def lapse_stops(self) -> None:
        """What the clock brings."""
        due = [one for one in self.stops if one.state == "open" and one.expires <= self.now]
        assert stops.lapse(self.db, self.now) == len(due), "stops that lapsed"
        for stop in due:
            self._stop_ends(stop, "lapsed")

    def stop_of(self, transfer: Transfer) -> Stop | None:
        return next((one for one in self.stops if one.transfer is transfer), None)

    def sender_of(self, transfer: Transfer) -> str:
        """Who may ask for it back, if anybody may."""
        return transfer.movement.payer or transfer.movement.agent or "chika"

    # ---- the model's part

    def _top_up(self, stop: Stop, on_top: str) -> int:
        books, movement = self.books.copy(), stop.transfer.movement
        books.release(stop.hold_id)
        moved = books.reverse(movement.moves())
        rest = movement.total - self._given(stop, moved)
        return {"nothing": 0, "some": min(rest, 1_000), "the rest": rest, "too much": rest + 1}[
            on_top
        ]

    def _given(self, stop: Stop, moved: int) -> int:
        """Of what a reversal moves, what reaches the payer."""
        movement = stop.transfer.movement
        return moved - (movement.price.fee if moved and movement.fee_payer == "receiver" else 0)

    def _too_late(self, transfer: Transfer) -> bool:
        window = timedelta(seconds=self.market.stops.window_seconds)
        return self.now >= transfer.at + window

    def _set_aside(self, transfer: Transfer, view: StopView | None) -> int:
        """What a person still has of it; nothing of an agent."""
        payee = transfer.movement.payee
        if payee is None or payee in self.model.agents:
            return 0
        left = max(0, min(transfer.movement.received, self.books.left(payee)))
        if left and view:
            expires = self.now + timedelta(seconds=self.market.stops.hold_seconds)
            self.books.hold(derived_key(view.id, "hold"), Hold(payee, left, (), expires))
        return left

    def _reverse_for(self, stop: Stop, top_up: int) -> int:
        """The reversal and the top-up; what the reversal gave."""
        movement = stop.transfer.movement
        trial = self.books.copy()
        trial.release(stop.hold_id)
        given = self._given(stop, trial.reverse(movement.moves()))
        if not 0 <= top_up <= movement.total - given:
            raise Refused("top_up_too_large")
        if not given + top_up:
            raise Refused("stop_nothing_left")
        if top_up:
            try:
                trial.post([(OPERATOR, movement.debit, top_up)])
            except Refused:
                raise Refused("operator_funds_short") from None
        self.books.release(stop.hold_id)
        assert self.model.take_back(stop.transfer) == given
        if top_up:
            self.books.post([(OPERATOR, movement.debit, top_up)])
        return given

    def _tell_approved(self, stop: Stop, given: int) -> None:
        self.model.tell(stop.id, "stop_approved", stop.asker)
        taken = given - stop.transfer.movement.price.fee if given else 0
        if stop.payee and taken:
            self.model.tell(stop.id, "stop_taken", stop.payee)
        elif stop.payee and stop.held:
            self.model.tell(stop.id, "stop_freed", stop.payee)

    def _stop_ends(self, stop: Stop, state: str) -> None:
        self.books.release(stop.hold_id)
        stop.state = state
        self.model.tell(stop.id, f"stop_{state}", stop.asker)
        if stop.payee and stop.held:
            self.model.tell(stop.id, "stop_freed", stop.payee)

"""Sending to numbers with a wallet and without; vouchers; registering."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.wallet import people, registration
from app.wallet.keys import derived_key, new_key
from app.wallet.people import Person
from app.wallet.transfers import sends, vouchers
from app.wallet.transfers.records import TransferView
from tests.wallet.machine.base import Asked, Base, Typed
from tests.wallet.machine.books import Refused
from tests.wallet.machine.model import Movement, float_of
from tests.wallet.machine.prices import Price

CODE_TRIES, CODE_DIGITS, OPEN_MOST = 5, 8, 10
PASSPORT = "A1234567"


@dataclass(eq=False)
class Voucher:
    """`id` and `sent_id`, of the transfer, are the wallet's; `account` is its name in the books."""

    id: UUID
    sent_id: UUID
    account: str
    sender: str
    receiver: str
    inside: int
    expires: datetime
    tries: int = CODE_TRIES
    state: str = "open"

    def lasts(self, now: datetime) -> bool:
        return self.state == "open" and now < self.expires


class Sending(Base):
    def send(self, payer: str, payee: str, amount: int, how: str) -> Asked | None:
        def movement() -> Movement:
            if payer == payee:
                raise Refused("own_number")
            if not self.model.has_wallet(payee):
                raise Refused("person_unknown")
            self.model.refuse_payee(payee)
            price, pays = self.model.priced("send", amount)
            return Movement("send", payer, payee, amount, price, pays, payer=payer, payee=payee)

        def then(it: Movement, answer: Any) -> None:
            self.model.carry_out(it, answer)
            self.model.tell(answer, "send_sent", payer)
            self.model.tell(answer, "send_received", payee)

        return self.move(
            f"{payer} sends {payee} {amount}",
            payer,
            offer=lambda s: sends.offer(
                s, self.market, self.person(s, payer), self.number(payee), amount, at=self.now
            ),
            movement=movement,
            confirm=sends.confirm,
            then=then,
            how=how,
        )

    # ---- vouchers

    def send_voucher(self, payer: str, payee: str, amount: int, how: str) -> Asked | None:
        def movement() -> Movement:
            if payer == payee:
                raise Refused("own_number")
            if self.model.has_wallet(payee):
                raise Refused("person_registered")
            if len(self.waiting(payee)) >= OPEN_MOST:
                raise Refused("voucher_too_many")
            self.model.at_counter(amount)
            price, pays = self.model.priced("voucher", amount)
            return Movement("voucher", payer, "", amount, price, pays, payer=payer)

        def then(it: Movement, answer: Any) -> None:
            it = replace(it, credit=f"voucher {len(self.vouchers) + 1}")
            self.model.carry_out(it, answer)
            self._note_voucher(it, payer, payee, answer)

        return self.move(
            f"{payer} sends the number of {payee} {amount}",
            payer,
            offer=lambda s: vouchers.offer(
                s, self.market, self.person(s, payer), self.number(payee), amount, at=self.now
            ),
            movement=movement,
            confirm=lambda s, market, offer, **more: vouchers.confirm(
                s, market, self.town.codes, offer, **more
            ),
            then=then,
            how=how,
        )

    def collect(self, agent: str, meant: Voucher, code: Typed, how: str) -> Asked | None:
        """A number and a code at the counter."""
        voucher: Voucher | None = meant  # without a code: a channel that lost its way
        if code != "no code":
            voucher = self._try_code(meant, right=code == "right code")
        if voucher is None:
            return None
        return self._pay_out_voucher(agent, voucher, how)

    def _pay_out_voucher(self, agent: str, voucher: Voucher, how: str) -> Asked | None:
        def then(it: Movement, answer: Any) -> None:
            if not voucher.lasts(self.now):
                raise Refused("voucher_unknown")
            self.model.carry_out(it, answer)
            voucher.state = "collected"
            self.model.tell(answer, "voucher_paid_out", agent)
            self.model.tell(answer, "voucher_cashed", voucher.receiver)
            self.model.tell(voucher.sent_id, "voucher_collected", voucher.sender)
            self.model.rose(agent)

        return self.move(
            f"{agent} pays out {voucher.account}",
            agent,
            offer=lambda s: vouchers.offer_collect(
                s, self.market, self.agent(s, agent), voucher.id, at=self.now
            ),
            movement=lambda: self._collecting(agent, voucher),
            confirm=lambda s, market, offer, **more: vouchers.confirm_collect(
                s, market, self.town.codes, offer, voucher_id=voucher.id, **more
            ),
            then=then,
            how=how,
        )

    def cancel_voucher(self, voucher: Voucher, by: str) -> None:
        def model(_: Any) -> None:
            if by != voucher.sender or voucher.state != "open":
                raise Refused("voucher_unknown")
            self._return(voucher)

        self.same(
            f"{by} cancels {voucher.account}",
            lambda s: vouchers.cancel(s, voucher.sent_id, by=self.ids[by], now=self.now),
            model,
        )

    def return_vouchers(self) -> None:
        """What the clock brings."""
        due = [v for v in self.vouchers.values() if v.state == "open" and v.expires <= self.now]
        assert vouchers.expire(self.db, self.now) == len(due), "vouchers returned"
        for voucher in due:
            self._return(voucher)

    # ---- numbers become people

    def register(self, name: str) -> None:
        """What waits for the number and fits comes in."""
        person_id, state = new_key(), self.model.people[name].state

        def real(session: Session) -> tuple[Person, list[TransferView]]:
            if state == "invited":
                person = self.person(session, name)
                registration.accept(
                    session, self.pins, person, b"sealed", language="sw", now=self.now
                )
            else:
                person = people.register(
                    session, person_id=person_id, msisdn=self.number(name), name=name.title(),
                    language="en", tier=self.market.default_tier, currency=self.currency,
                    now=self.now,
                )  # fmt: skip
            return person, vouchers.collect_on_registration(session, self.market, person, self.now)

        def model(answer: tuple[Person, list[TransferView]] | None) -> None:
            if self.model.has_wallet(name):
                raise Refused("already_registered")
            if answer:
                self.add_person(name, answer[0])
                self._bring_in(name, answer[1])

        self.same(f"{name} registers", real, model)

    def fetch(self, name: str) -> None:
        """Asked again later: what the wallet had no room for."""
        views = self.town.run(
            lambda s: vouchers.collect_on_registration(
                s, self.market, self.person(s, name), self.now
            )
        )
        self._bring_in(name, views)

    def invite(self, agent: str, name: str) -> None:
        def model(person: Person | None) -> None:
            self.model.refuse_agent(agent)
            if self.model.people[name].state != "unknown":
                raise Refused("already_registered")
            if person:
                self.add_person(name, person)
                self.model.tell(person, "invited", name)

        self.same(
            f"{agent} registers {name}",
            lambda s: registration.invite(
                s, self.market, self.town.codes, agent=self.agent(s, agent),
                msisdn=self.number(name), name=name.title(), id_kind="passport",
                id_number=PASSPORT, now=self.now,
            ),
            model,
        )  # fmt: skip

    # ---- the model's part

    def waiting(self, receiver: str) -> list[Voucher]:
        """What a number can collect, oldest first."""
        mine = [one for one in self.vouchers.values() if one.receiver == receiver]
        return sorted((one for one in mine if one.lasts(self.now)), key=lambda one: one.id)

    def _note_voucher(self, it: Movement, payer: str, payee: str, answer: Any) -> None:
        self.model.tell(answer, "voucher_sent", payer)
        self.model.tell(answer, "voucher_code", payee)
        if answer is None:
            return
        found = self.town.of_transfer(answer.id)
        self.accounts[it.credit] = found.account_id
        self.vouchers[answer.id] = Voucher(
            found.id, answer.id, it.credit, payer, payee, it.received,
            self.now + timedelta(seconds=self.market.vouchers.seconds),
        )  # fmt: skip

    def _try_code(self, meant: Voucher, *, right: bool) -> Voucher | None:
        """The try counts on all vouchers that the number has, unless it was right for one."""
        receiver, code_id = meant.receiver, derived_key(meant.id, "code")
        typed = self.code("voucher", meant.id, code_id, CODE_DIGITS, right=right)

        def real() -> UUID:
            attempts = self.town.run(
                lambda s: vouchers.begin_collect(
                    s, self.town.codes, self.number(receiver), self.now
                )
            )
            voucher_id = vouchers.check_collect(self.town.codes, attempts, typed)
            self.town.run(lambda s: vouchers.spare(s, attempts))
            return voucher_id

        def model() -> Voucher:
            waiting = self.waiting(receiver)
            if not waiting:
                raise Refused("voucher_unknown")
            tried = [one for one in waiting if one.tries]
            if right and meant in tried:
                meant.tries -= 1
                return meant
            for one in tried:
                one.tries -= 1
            raise Refused("code_wrong" if any(one.tries for one in tried) else "voucher_locked")

        voucher_id, voucher = self.both(f"a code for {receiver}", real, model)
        assert voucher is None or voucher.id == voucher_id
        return voucher

    def _collecting(self, agent: str, voucher: Voucher) -> Movement:
        """The operator owes the agent its share of such a fee."""
        self.model.refuse_agent(agent)
        if not voucher.lasts(self.now):
            raise Refused("voucher_unknown")
        fee, _ = self.model.priced("voucher", voucher.inside, agent)
        owed = Price(earned=fee.earned, above=fee.above)
        return Movement(
            "voucher_collect", voucher.account, float_of(agent), voucher.inside, owed, agent=agent
        )

    def _bring_in(self, name: str, views: list[TransferView]) -> None:
        moved = iter(views)
        for voucher in self.waiting(name):
            it = Movement("voucher_collect", voucher.account, name, voucher.inside, payee=name)
            try:
                self.model.refuse_payee(name)
                self.model.refuse_over_ceiling(name, voucher.inside)
            except Refused:
                continue
            view = next(moved, None)
            self.model.carry_out(it, view)
            voucher.state = "collected"
            self.model.tell(view, "voucher_received", name)
            self.model.tell(voucher.sent_id, "voucher_collected", voucher.sender)
        assert next(moved, None) is None, f"{name} was given more than the model has"

    def _return(self, voucher: Voucher) -> None:
        """All that was paid, fee and tax too."""
        sent = self.model.transfers[voucher.sent_id]
        assert self.model.take_back(sent) == sent.movement.total
        voucher.state = "returned"
        self.model.tell(voucher.sent_id, "voucher_returned", voucher.sender)

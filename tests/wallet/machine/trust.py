"""The bank: deposits and payouts on their way, lines of its statement, the operator's own money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.wallet.keys import new_key
from app.wallet.transfers import closing
from app.wallet.trust import deposits, matching, payees, payouts
from app.wallet.trust.payees import Payee
from tests.wallet.machine.base import CHECKER, MAKER, Base
from tests.wallet.machine.books import OPERATOR, Refused
from tests.wallet.machine.model import Movement, Transfer, float_of


@dataclass(eq=False)
class OnWay:
    """A deposit or a payout; a payout is `out` once the statement says that it left the bank."""

    id: UUID
    reference: str
    owner: str
    account: str
    minor: int
    payout: Transfer | None = None
    state: str = "on way"


class Trust(Base):
    def expect_deposit(self, name: str, minor: int) -> OnWay | None:
        """Money that is on its way to the bank is nobody's to spend."""
        notice_id = new_key()

        def real(session: Session) -> deposits.Notice:
            return deposits.expect(
                session, self.market, self._payee(session, name), minor, notice_id=notice_id,
                slip="", maker=MAKER, checker=CHECKER, now=self.now,
            )  # fmt: skip

        def model(_: Any) -> None:
            if not minor:
                raise Refused("amount_too_small")
            self._refuse_unfit(name)
            self.books.post([("deposits_in_transit", "suspense:deposits", minor)])
            self.model.tell(notice_id, "deposit_noted", name)

        notice = self.same(f"{name} has paid in {minor}", real, model)
        if notice is None:
            return None
        return OnWay(notice_id, notice.reference, name, self._account(name), minor)

    def pay_out(self, agent: str, minor: int) -> OnWay | None:
        payout_id, code = new_key(), self.town.run(lambda s: self.agent(s, agent).code)
        made: list[Transfer] = []

        def real(session: Session) -> Any:
            return payouts.pay_out(
                session, self.market, code, minor, payout_id=payout_id, maker=MAKER,
                checker=CHECKER, now=self.now,
            )  # fmt: skip

        def model(answer: Any) -> None:
            if not minor:
                raise Refused("amount_too_small")
            it = Movement("float_payout", float_of(agent), payouts.TRANSIT, minor, agent=agent)
            made.append(self.model.carry_out(it, answer))
            self.model.tell(answer, "payout_sent", agent)
            self.model.fell(agent, answer)

        view = self.same(f"{agent} is paid out {minor}", real, model)
        if view is None:
            return None
        again = self.town.run(real)
        assert again.id == view.id
        return OnWay(view.id, view.reference, agent, float_of(agent), minor, made[0])

    def close(self, name: str) -> OnWay | None:
        """Everything in a wallet is paid out, and its number stays closed."""
        person, closing_id = self.model.people[name], new_key()
        made: list[Transfer] = []

        def model(answer: Any) -> None:
            self._refuse_closing(name)
            minor = self.books.left(name)
            if minor:
                it = Movement("closing", name, payouts.TRANSIT, minor, payer=name)
                person.state = "active"
                made.append(self.model.carry_out(it, answer))
            person.state = "closed"
            kind = "account_closed" if minor else "account_closed_empty"
            self.model.tell(closing_id, kind, name)

        view = self.same(
            f"{name} closes",
            lambda s: closing.close(
                s, self.market, self.ids[name], closing_id=closing_id, now=self.now
            ),
            model,
        )
        if view is None:
            return None
        return OnWay(view.id, view.reference, name, name, made[0].movement.amount, made[0])

    def take_back(self, it: OnWay) -> None:
        """A deposit that will not come; a payout that the bank never carried out."""

        def real(session: Session) -> Any:
            give_up: Any = {"maker": MAKER, "checker": CHECKER, "now": self.now}
            if it.payout:
                return payouts.take_back(session, self.market, it.reference, **give_up)
            return deposits.cancel(session, it.reference, **give_up)

        def model(_: Any) -> None:
            if it.payout:
                if it.state == "back":
                    raise Refused("payout_ended")
                if it.state == "out":
                    raise Refused("payout_left")
                self._came_back(it)
            elif it.state != "on way":
                raise Refused("deposit_ended")
            else:
                self.books.reverse([("deposits_in_transit", "suspense:deposits", it.minor)])
                it.state = "back"
                self.model.tell(it.id, "deposit_cancelled", it.owner)

        self.same(f"staff give up what {it.owner} waits for", real, model)

    def bank_line(self, it: OnWay) -> None:
        """The statement has it: a deposit came, a payout left, or one that had left came back."""
        inbound = it.payout is None or it.state == "out"

        def real(session: Session) -> Any:
            line_id = self.bank_line_of(session, it.minor if inbound else -it.minor)
            shown = matching.assign_reference(
                session, line_id, it.reference, proposer=MAKER, now=self.now
            )
            return matching.confirm(session, self.market, shown, checker=CHECKER, now=self.now)

        def model(_: Any) -> None:
            if it.state == "back" or (it.payout is None and it.state == "out"):
                raise Refused("line_does_not_fit")
            if it.payout is None:
                self._cleared(it)
            elif it.state == "out":
                self.books.post([("trust_bank", payouts.TRANSIT, it.minor)])
                self._came_back(it)
            else:
                self.books.post([(payouts.TRANSIT, "trust_bank", it.minor)])
                it.state = "out"

        self.same(f"the bank has what {it.owner} waits for", real, model)

    def operator_line(self, minor: int) -> None:
        """The operator pays in, or the bank takes a charge."""

        def real(session: Session) -> Any:
            own = payees.operator(session, self.currency)
            line_id = self.bank_line_of(session, minor)
            shown = matching.assign(session, line_id, own, proposer=MAKER, now=self.now)
            return matching.confirm(session, self.market, shown, checker=CHECKER, now=self.now)

        sides = ("trust_bank", OPERATOR) if minor > 0 else (OPERATOR, "trust_bank")
        self.same(
            f"a line of {minor} for the operator",
            real,
            lambda _: self.books.post([(*sides, abs(minor))]),
        )

    # ---- the model's part

    def _account(self, name: str) -> str:
        return float_of(name) if name in self.model.agents else name

    def _payee(self, session: Session, name: str) -> Payee:
        if name in self.model.agents:
            return payees.of_agent(session, self.agent(session, name).code)
        return payees.of_person(session, self.number(name))

    def _refuse_unfit(self, name: str) -> None:
        if name in self.model.agents:
            self.model.refuse_agent(name)
        else:
            self.model.refuse_payee(name)

    def _cleared(self, it: OnWay) -> None:
        is_agent = it.owner in self.model.agents
        self._refuse_unfit(it.owner)
        if not is_agent:
            self.model.refuse_over_ceiling(it.owner, it.minor)
        into_transit = ("trust_bank", "deposits_in_transit", it.minor)
        self.books.post([into_transit, ("suspense:deposits", it.account, it.minor)])
        it.state = "out"
        self.model.tell(it.id, "float_received" if is_agent else "deposit_received", it.owner)
        if is_agent:
            self.model.rose(it.owner)

    def _came_back(self, it: OnWay) -> None:
        assert it.payout
        assert self.model.take_back(it.payout) == it.minor
        it.state = "back"
        self.model.tell(it.id, "payout_returned", it.owner)
        if it.owner in self.model.agents:
            self.model.rose(it.owner)

    def _refuse_closing(self, name: str) -> None:
        state, books = self.model.people[name].state, self.books
        if state == "suspended":
            raise Refused("person_suspended")
        if state == "invited":
            raise Refused("person_state")
        if name in self.model.agents:
            raise Refused("close_is_agent")
        if state == "closed" and not books.money[name]:
            raise Refused("person_closed")
        waits = [one for one in self.vouchers.values() if one.sender == name]
        waits += [one for one in self.stops if one.transfer.movement.payer == name]
        if books.held(name) or any(one.state == "open" for one in waits):
            raise Refused("close_has_holds")

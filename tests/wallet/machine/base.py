"""The machine: asks the wallet, then the model, and compares all that they have after each step."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import wraps
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.sealing import Sealer
from app.wallet import agents, intents, ledger, people
from app.wallet.agents import Agent
from app.wallet.codes import Code, Codes
from app.wallet.keys import new_key
from app.wallet.people import Person
from app.wallet.pins import Pins
from app.wallet.transfers.offers import Offer
from app.wallet.trust import identity
from tests.people import fresh_msisdn
from tests.wallet.bank import Bank
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.machine.books import HOUSE, OPERATOR, Books, Refused
from tests.wallet.machine.model import Agent as AgentModel
from tests.wallet.machine.model import Model, Movement, Someone, float_of
from tests.wallet.test_ledger_races import together

T = TypeVar("T")
M = TypeVar("M")
F = TypeVar("F", bound=Callable[..., Any])
Typed = Literal["right code", "wrong code", "no code"]
START = {"amina": 20_000, "baraka": 120_000, "chika": 150_000, "dalila": 9_000}
TIER = {"amina": "tier0", "baraka": "tier1", "chika": "tier2", "dalila": "tier0"}
FLOATS = {"zawadi": 150_000, "neema": 120_000, "omari": 45_000}
ABOVE = {"zawadi": None, "neema": "zawadi", "omari": None}
NEW = ("faraja", "gaspar", "hawa")  # numbers that nobody has registered
OPERATOR_STARTS_WITH = 15_000
CONFIRM_SECONDS = 120
MAKER, CHECKER = "asha", "bahati"
CODE_KEY = secrets.token_bytes(32)


@dataclass(eq=False)
class Asked:
    """A confirmation that somebody was shown. `made` is what the wallet answered to it."""

    what: str
    by: UUID
    intent_id: UUID
    deadline: datetime
    real: Callable[[Session, UUID], Any]
    model: Callable[[Any], None]
    made: Any = None


def step(**arguments: Any) -> Callable[[F], F]:
    """A rule after which everything is compared; an invariant would fill the printed lives."""

    def decorate(fn: F) -> F:
        @wraps(fn)
        def played(machine: Base, **drawn: Any) -> Any:
            made = fn(machine, **drawn)
            machine.agree()
            return made

        return cast("F", rule(**arguments)(played))  # type: ignore[no-untyped-call]

    return decorate


class Base(RuleBasedStateMachine):
    """`db` and `market` are set by who runs it."""

    db: Database
    market: Market
    scale = 1  # of what everybody begins with
    sound = False  # whether all was the same when it was last compared

    @initialize()
    def open(self) -> None:
        """Everybody with what they begin with; the clock at the next morning.

        The biller is this life's own: another one may have paid for days that are still to come.
        """
        (_, biller), *others = self.market.billers.items()
        billers = {f"b{secrets.token_hex(6)}": biller, **dict(others)}
        self.market = self.market.model_copy(update={"billers": billers})
        self.town = Kiosk(self.db, self.market, Codes({1: CODE_KEY}))
        self.pins = Pins(Sealer({1: CODE_KEY}), self.market.pin)
        tomorrow = datetime.now(self.market.zone).date() + timedelta(days=1)
        morning = datetime.combine(tomorrow, time(9), self.market.zone)
        self.model = Model(self.market, morning.astimezone(UTC))
        self.began = self.now
        self.ids: dict[str, UUID] = {}  # of people
        self.agent_ids: dict[str, UUID] = {}
        self.accounts: dict[str, int] = {}
        self.town.run(self._move_in)
        for name in NEW:
            self.model.people[name] = Someone(self._fresh_number())
        # What was made: vouchers by their transfer, codes and bills by their own id.
        self.vouchers: dict[UUID, Any] = {}
        self.withdrawals: dict[UUID, Any] = {}
        self.bills: dict[UUID, Any] = {}
        self.asked_for: list[Any] = []  # floats
        self.stops: list[Any] = []
        self._open_house()
        self.postings_before = self.town.run(_postings)
        self.agree()

    @property
    def now(self) -> datetime:
        return self.model.now

    @property
    def currency(self) -> str:
        return self.market.currency.code

    @property
    def books(self) -> Books:
        return self.model.books

    # ---- who there is

    def person(self, session: Session, name: str) -> Person:
        return people.get(session, self.ids[name])

    def agent(self, session: Session, name: str) -> Agent:
        return agents.get(session, self.agent_ids[name])

    def number(self, name: str) -> str:
        return self.model.people[name].number

    def code(self, purpose: str, row_id: UUID, code_id: UUID, digits: int, *, right: bool) -> str:
        """What stands in the SMS, or what does not."""
        code = Code(code_id, purpose, row_id, digits, key_version=1)
        return self.town.codes.digits(code) if right else "not digits"

    def add_person(self, name: str, person: Person) -> None:
        self.ids[name], self.accounts[name] = person.id, person.wallet_id
        self.model.people[name] = Someone(person.msisdn, person.tier, person.state)

    # ---- asking both

    def same(
        self, what: str, real: Callable[[Session], T], model: Callable[[T | None], None]
    ) -> T | None:
        """The wallet and the model do it, or refuse it for the same reason."""
        self.sound = False
        said, answer = _said(lambda: self.town.run(real))
        self.compare(what, said, lambda: model(answer))
        return answer

    def both(
        self, what: str, real: Callable[[], T], model: Callable[[], M]
    ) -> tuple[T | None, M | None]:
        """The same for what takes several transactions; both answers."""
        self.sound = False
        said, answer = _said(real)
        known: list[M] = []
        self.compare(what, said, lambda: known.append(model()))
        return answer, known[0] if known else None

    def compare(self, what: str, said: str, model: Callable[[], None]) -> None:
        expected = "done"
        try:
            model()
        except Refused as refused:
            expected = refused.code
        assert said == expected, f"{what}: the wallet says {said}, the model {expected}"

    def move(
        self,
        what: str,
        by: str,
        *,
        offer: Callable[[Session], Offer],
        movement: Callable[[], Movement],
        confirm: Callable[..., Any],
        then: Callable[[Movement, Any], None],
        how: str,
    ) -> Asked | None:
        """An offer and its confirmation; nothing where the offer is refused.

        `confirm(session, market, offer, intent_id=…, by=…, now=…)` is the wallet's, `then` what the
        model does with the wallet's answer.
        """
        agreed: list[Movement] = []
        shown = self.same(f"offer: {what}", offer, lambda _: agreed.append(movement()))
        if shown is None:
            return None
        (it,) = agreed
        assert (shown.total_minor, shown.received_minor) == (it.total, it.received), what
        by_id = self.ids[by]

        def real(session: Session, intent_id: UUID) -> Any:
            return confirm(session, self.market, shown, intent_id=intent_id, by=by_id, now=self.now)

        return self.ask(what, by_id, shown.fingerprint, real, lambda made: then(it, made), how)

    def ask(
        self,
        what: str,
        by: UUID,
        fingerprint: bytes,
        real: Callable[[Session, UUID], Any],
        model: Callable[[Any], None],
        how: str,
    ) -> Asked:
        """A confirmation is shown and the PIN given; what follows is done now or later."""
        deadline = self.now + timedelta(seconds=CONFIRM_SECONDS)
        it = Asked(what, by, new_key(), deadline, real, model)
        self.town.run(
            lambda session: intents.open_intent(
                session,
                it.intent_id,
                session_hash=secrets.token_bytes(16),
                person_id=by,
                kind="machine",
                fingerprint=fingerprint,
                deadline=deadline,
            )
        )
        if how != "later":
            self.confirm(it, how)
        return it

    def confirm(self, it: Asked, how: str) -> None:
        """Once, one after the other, or twice at the same moment."""
        for _ in range(2 if how == "again" else 1):
            self._confirm(it, threads=2 if how == "at once" else 1)

    def _confirm(self, it: Asked, threads: int) -> None:
        self.sound = False

        def attempt(_: int) -> tuple[str, Any]:
            return _said(lambda: self.town.run(lambda session: it.real(session, it.intent_id)))

        answers = together(threads, attempt) if threads > 1 else [attempt(0)]
        said, made = answers[0]
        heard = {(code, one.id if one else None) for code, one in answers}
        assert len(heard) == 1, f"{it.what}: the same intent hears {heard}"

        def model() -> None:
            if it.made is not None:
                assert made is not None, f"{it.what}: done before, now {said}"
                assert made.id == it.made.id, f"{it.what}: another one is made"
                return
            if self.now >= it.deadline:
                raise Refused("intent_expired")
            it.model(made)

        self.compare(it.what, said, model)
        it.made = it.made or made

    # ---- what must hold after every step

    def agree(self) -> None:
        """Everything that is compared, after every step."""
        wallet, model = self.town.run(self._wallet), self._model()
        differ = {
            what: f"wallet {wallet.get(what)}, model {model.get(what)}"
            for what in wallet.keys() | model.keys()
            if wallet.get(what) != model.get(what)
        }
        assert not differ, differ
        assert sum(self.books.money.values()) == 0, "money is not conserved"
        self.sound = True

    def _wallet(self, session: Session) -> dict[str, Any]:
        """Everything of this life that the database has, by name."""
        names = {account_id: name for name, account_id in self.accounts.items()}
        found: dict[str, Any] = {
            names[account_id]: (one.balance_minor - self.before.get(names[account_id], 0),
                                one.held_minor)
            for account_id, one in ledger.balances(session, list(names)).items()
        }  # fmt: skip
        of_agent = {agent_id: name for name, agent_id in self.agent_ids.items()}
        facts: dict[str, Any] = {
            "accounts": list(names),
            "agents": list(of_agent),
            "numbers": [one.number for one in self.model.people.values()],
        }
        for account_id, name, period, used in session.execute(_USED, facts):
            found[f"{name} of {names[account_id]} from {period}"] = used
        for agent_id, minor, funded in session.execute(_EARNED, facts):
            found[f"{of_agent[agent_id]} earned"] = (minor, funded)
        found["sms"] = {tuple(row) for row in session.execute(_SMS, facts)}
        found["postings"] = _postings(session) - self.postings_before
        found["identity off"] = identity.identity(session, self.currency).off_minor
        return found

    def _model(self) -> dict[str, Any]:
        model, books = self.model, self.books
        expected: dict[str, Any] = {
            name: (books.money[name], books.held(name)) for name in self.accounts
        }
        for (name, what, period), used in books.used.items():
            expected[f"{what} of {name} from {period}"] = used
        for name, agent in model.agents.items():
            if agent.accruals:
                total = sum(one.minor for one in agent.accruals)
                expected[f"{name} earned"] = (total, sum(one.funded for one in agent.accruals))
        told = {one.number for one in model.people.values()}
        expected["sms"] = {sms for sms in model.sms if sms[2] in told}
        return expected | {"postings": books.postings, "identity off": 0}

    def check_ledger(self) -> None:
        """The rules of the whole database."""
        assert self.town.verify() == []

    # ---- how it begins

    def _move_in(self, session: Session) -> None:
        for name, minor in START.items():
            self.add_person(name, self._registered(session, name, TIER[name]))
            self._paid_in(session, name, minor)
        for name, minor in FLOATS.items():
            person = self._registered(session, name, "tier0")
            above = ABOVE[name]
            agent = agents.appoint(
                session, person, name=name.title(), currency=self.currency,
                is_super=name in ABOVE.values(),
                parent=self.agent(session, above) if above else None, now=datetime.now(UTC),
            )  # fmt: skip
            self.add_person(name, person)
            self.agent_ids[name], self.accounts[float_of(name)] = agent.id, agent.float_id
            self.model.agents[name] = AgentModel(above)
            self._paid_in(session, float_of(name), minor)

    def _registered(self, session: Session, name: str, tier: str) -> Person:
        return people.register(
            session, person_id=new_key(), msisdn=self._fresh_number(), name=name.title(),
            language="en", tier=tier, currency=self.currency, now=datetime.now(UTC),
        )  # fmt: skip

    def _fresh_number(self) -> str:
        return fresh_msisdn(self.market.region)

    def _open_house(self) -> None:
        """The operator has the same at the beginning of every life."""
        bank, start = Bank(self.db), OPERATOR_STARTS_WITH * self.scale
        own = self.town.run(lambda s: ledger.operator_account(s, self.currency))
        bank.pay_in(own, start, self.currency)
        over = bank.balance(own) - start
        if over:
            bank.send(own, bank.account(currency=self.currency), over)
        self.accounts[OPERATOR] = own
        self._has(OPERATOR, start)
        houses = [*HOUSE, *(f"settlement:{biller}" for biller in self.market.billers)]
        self.accounts |= {name: bank.house(name, self.currency) for name in houses}
        self.before = {name: bank.balance(self.accounts[name]) for name in houses}
        self.before["trust_bank"] -= self.books.money["trust_bank"]

    def _paid_in(self, session: Session, account: str, minor: int) -> None:
        line_id = self.bank_line_of(session, minor * self.scale)
        ledger.approve_bank_line(session, line_id=line_id, checker=CHECKER)
        paid_in = ledger.deposit(
            session, bank_line_id=line_id, account_id=self.accounts[account], now=datetime.now(UTC)
        )
        assert paid_in.refusal is None
        self._has(account, minor * self.scale)

    def _has(self, account: str, minor: int) -> None:
        self.books.money[account] += minor
        self.books.money["trust_bank"] -= minor

    def bank_line_of(self, session: Session, minor: int) -> str:
        """A line of the bank's statement, entered by the maker."""
        line_id = f"line-{new_key()}"
        ledger.record_bank_line(
            session, line_id=line_id, amount_minor=minor, currency=self.currency,
            booked_on=datetime.now(UTC).date(), maker=MAKER,
        )  # fmt: skip
        return line_id


_USED = text(
    "SELECT account_id, name, period, used FROM limit_counters WHERE account_id = ANY (:accounts)"
)
_EARNED = text(
    "SELECT agent_id, sum(amount_minor)::bigint, sum(funded_minor)::bigint FROM commission_accruals"
    " WHERE payout_id IS NULL AND agent_id = ANY (:agents) GROUP BY agent_id"
)
_SMS = text("SELECT subject, kind, msisdn FROM messages WHERE msisdn = ANY (:numbers)")


def _postings(session: Session) -> int:
    return int(session.execute(text("SELECT count(*) FROM postings")).scalar_one())


def _said(call: Callable[[], T]) -> tuple[str, T | None]:
    """`done` and the answer, or the code of the refusal."""
    try:
        return "done", call()
    except DomainError as error:
        return error.code, None

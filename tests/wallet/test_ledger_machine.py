"""Random lives of a ledger, compared step by step with a model of a hundred lines in memory.

The model knows nothing of SQL, arrays or locks: it does one posting after the other on dicts. What
the database answers must be what the model answers, and after every step the money, the holds and
the counters must be the same. At the end `verify` has nothing to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.db import Database
from app.wallet import ledger
from app.wallet.keys import new_key
from app.wallet.ledger import Count, Move, Posting
from tests.wallet.bank import NOW, TODAY, Bank

PEOPLE = 3
HOUSES = ("fees", "settlement:machine")
START_MINOR = 300
CAP = 150
SOON = NOW + timedelta(minutes=1)

amounts = st.integers(min_value=-1, max_value=200)
sides = st.integers(min_value=0, max_value=PEOPLE + len(HOUSES))  # the last one does not exist
names = st.sampled_from(["day", "times"])
limits = st.lists(
    st.tuples(st.integers(0, PEOPLE - 1), names, st.integers(0, 100)),
    max_size=2,
)


@dataclass
class Held:
    """A hold as the model knows it."""

    account: int
    amount: int
    counts: dict[tuple[int, str], int]
    expires: bool
    state: str = "held"


@dataclass
class Model:
    """The ledger's rules, one posting after the other."""

    house: set[int]
    money: dict[int, int]
    used: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    holds: dict[UUID, Held] = field(default_factory=dict)
    answers: dict[UUID, tuple[object, str | None]] = field(default_factory=dict)
    gone: set[UUID] = field(default_factory=set)  # keys of postings that were taken back
    taken: set[str] = field(default_factory=set)  # authorities
    given: dict[str, dict[int, int]] = field(default_factory=dict)  # by authority, to the house

    def held(self, account: int) -> int:
        return sum(
            h.amount for h in self.holds.values() if h.account == account and h.state == "held"
        )

    def left(self, account: int) -> int:
        return self.money[account] - self.held(account)

    def again(self, key: UUID, asked: object) -> str | None:
        """The refusal that a key hears which was answered before."""
        before, refusal = self.answers[key]
        if before != asked:
            return "key_reused"
        return "reversed" if key in self.gone else refusal

    def post(self, posting: Posting) -> str | None:
        if posting.key in self.answers:
            return self.again(posting.key, posting)
        trial = deepcopy(self)
        refusal = trial._judge(posting)
        if refusal is None:
            self.__dict__ = trial.__dict__
        self.answers[posting.key] = (posting, refusal)
        return refusal

    def _judge(self, posting: Posting) -> str | None:
        hold = self.holds.get(posting.hold_id) if posting.hold_id else None
        part = sum(m.amount_minor for m in posting.moves if hold and m.debit == hold.account)
        refusal = self._form(posting) or self._authority(posting)
        if not refusal and posting.hold_id:
            refusal = self._capture(hold, part)
        refusal = refusal or self._count(posting.counts) or self._pay(posting.moves)
        if not refusal and hold:  # what the posting itself counts, counts while the hold still does
            for counter, minor in hold.counts.items():
                self.used[counter] -= minor * (hold.amount - part) // hold.amount
        return refusal

    def _form(self, posting: Posting) -> str | None:
        accounts = {a for move in posting.moves for a in (move.debit, move.credit)}
        if not accounts <= self.money.keys():
            return "account_unknown"
        if any(move.debit == move.credit for move in posting.moves):
            return "same_account"
        if any(move.amount_minor <= 0 for move in posting.moves):
            return "amount_not_positive"
        return None

    def _authority(self, posting: Posting) -> str | None:
        taking: dict[int, int] = defaultdict(int)
        for move in posting.moves:
            if move.debit in self.house:
                taking[move.debit] += move.amount_minor
        if posting.authority is None:
            return "authority_required" if taking else None
        if posting.authority in self.taken:
            return "authority_used"
        given = self.given.get(posting.authority)
        if given is None or any(given.get(a, 0) < minor for a, minor in taking.items()):
            return "authority_invalid"
        self.taken.add(posting.authority)
        return None

    def _capture(self, hold: Held | None, part: int) -> str | None:
        if hold is None or hold.state != "held":
            return "hold_not_held"
        if part == 0:
            return "hold_wrong_account"
        if part > hold.amount:
            return "hold_too_small"
        hold.state = "captured"
        return None

    def _count(self, counts: Sequence[Count]) -> str | None:
        for one in counts:
            counter = (one.account_id, one.name)
            if self.used[counter] + one.amount_minor > one.cap_minor:
                return f"limit_{one.name}"
            self.used[counter] += one.amount_minor
        return None

    def _pay(self, moves: Sequence[Move]) -> str | None:
        for move in moves:
            if move.debit not in self.house and self.left(move.debit) < move.amount_minor:
                return "insufficient_funds"
            self.money[move.debit] -= move.amount_minor
            self.money[move.credit] += move.amount_minor
        return None

    def hold(
        self, key: UUID, account: int, amount: int, counts: Sequence[Count], expires: bool
    ) -> str | None:
        asked = ("hold", account, amount, tuple(counts))
        if key in self.answers:
            return self.again(key, asked)
        trial = deepcopy(self)
        refusal = "amount_not_positive" if amount <= 0 else trial._count(counts)
        refusal = refusal or ("insufficient_funds" if self.left(account) < amount else None)
        if refusal is None:
            self.__dict__ = trial.__dict__
            raised: dict[tuple[int, str], int] = defaultdict(int)
            for one in counts:
                raised[one.account_id, one.name] += one.amount_minor
            self.holds[key] = Held(account, amount, dict(raised), expires)
        self.answers[key] = (asked, refusal)
        return refusal

    def end(self, key: UUID, state: str) -> bool:
        hold = self.holds.get(key)
        if hold is None or hold.state != "held":
            return False
        hold.state = state
        for counter, minor in hold.counts.items():
            self.used[counter] -= minor
        return True

    def reverse(self, posting: Posting, posting_id: int) -> tuple[str | None, int]:
        authority = f"posting:{posting_id}"
        if authority in self.taken:
            return "authority_used", 0
        back = 0
        for move in reversed(posting.moves):
            minor = move.amount_minor
            if move.credit not in self.house:
                minor = max(0, min(minor, self.left(move.credit)))
            self.money[move.credit] -= minor
            self.money[move.debit] += minor
            back += minor
        if back == 0:
            return "insufficient_funds", 0
        self.taken.add(authority)
        self.gone.add(posting.key)
        return None, back


class LedgerMachine(RuleBasedStateMachine):
    """Every rule asks the database and the model the same, and compares."""

    database: Database
    asked = Bundle("asked")
    holds = Bundle("holds")

    @initialize()
    def open(self) -> None:
        self.bank = Bank(self.database)
        people = [self.bank.account(START_MINOR) for _ in range(PEOPLE)]
        houses = [self.bank.house(name) for name in HOUSES]
        self.accounts = [*people, *houses]
        self.at_start = {house: self.bank.balance(house) for house in houses}
        self.model = Model(
            house=set(houses),
            money=dict.fromkeys(people, START_MINOR) | dict.fromkeys(houses, 0),
        )
        self.posted: dict[UUID, int] = {}

    def account(self, side: int) -> int:
        return self.accounts[side] if side < len(self.accounts) else 10**12

    def posting(
        self, moves: list[tuple[int, int, int]], counted: list[tuple[int, str, int]], **more: Any
    ) -> Posting:
        return Posting(
            new_key(),
            "machine",
            tuple(Move(self.account(d), self.account(c), amount) for d, c, amount in moves),
            counts=tuple(Count(self.account(a), n, TODAY, minor, CAP) for a, n, minor in counted),
            **more,
        )

    def check_posts(self, postings: list[Posting]) -> None:
        known = set(self.model.answers)
        expected = []
        for posting in postings:
            expected.append((self.model.post(posting), posting.key in known))
            known.add(posting.key)
        answers = self.bank.post(*postings)
        for posting, answer, (refusal, replayed) in zip(postings, answers, expected, strict=True):
            assert answer.refusal == refusal
            assert answer.replayed is (replayed and refusal != "key_reused")
            if refusal is None:
                assert answer.posting_id is not None
                assert self.posted.setdefault(posting.key, answer.posting_id) == answer.posting_id
                gave: dict[int, int] = defaultdict(int)
                for move in posting.moves:
                    if move.credit in self.model.house:
                        gave[move.credit] += move.amount_minor
                self.model.given[f"posting:{answer.posting_id}"] = gave

    @rule(
        target=asked,
        moves=st.lists(st.tuples(sides, sides, amounts), min_size=1, max_size=3),
        counted=limits,
    )
    def post_one(self, moves: list[Any], counted: list[Any]) -> Posting:
        posting = self.posting(moves, counted)
        self.check_posts([posting])
        return posting

    @rule(
        batch=st.lists(
            st.tuples(
                st.integers(0, PEOPLE - 1),
                st.integers(1, len(HOUSES) + PEOPLE - 1),
                st.sampled_from([1, 30, 100, 250]),
                st.sampled_from([1, 20, 90]),
                st.lists(st.tuples(names, st.sampled_from([0, 1, 50, 100])), max_size=2),
                st.integers(0, 3),
            ),
            min_size=2,
            max_size=8,
        ),
        keys=st.lists(holds, max_size=2),
        old=st.lists(asked, max_size=2),
    )
    def post_many(self, batch: list[Any], keys: list[UUID], old: list[Posting]) -> None:
        """Sends with a fee and limits, some of them captures, with old keys between them."""
        new = []
        for someone, further, amount, fee, counted, hold in batch:
            key = keys[hold] if hold < len(keys) else None
            held = self.model.holds.get(key) if key else None
            payer = someone if held is None else self.accounts.index(held.account)
            payee = (payer + further) % len(self.accounts)
            new.append(
                self.posting(
                    [(payer, payee, amount), (payer, PEOPLE, fee)],
                    [(payer, name, minor) for name, minor in counted],
                    hold_id=key,
                )
            )
        like_the_first = replace(new[0], key=new_key())
        self.check_posts([*new[:1], *old, *new[1:], new[0], like_the_first])

    @rule(posting=asked, other=st.sampled_from(["", "other"]))
    def ask_again(self, posting: Posting, other: str) -> None:
        self.check_posts([replace(posting, reference=other)])

    @rule(target=asked, posting=asked, part=st.integers(1, 60), payee=st.integers(0, PEOPLE - 1))
    def take_from_the_house(self, posting: Posting, part: int, payee: int) -> Posting:
        authority = f"posting:{self.posted.get(posting.key, 10**12)}"
        taking = self.posting([(PEOPLE, payee, part)], [], authority=authority)
        self.check_posts([taking])
        return taking

    @rule(
        target=holds,
        payer=st.integers(0, PEOPLE - 1),
        amount=st.sampled_from([0, 10, 60, 121, 301]),
        counted=st.lists(
            st.tuples(st.integers(0, PEOPLE - 1), names, st.sampled_from([1, 40, 100])), max_size=2
        ),
        expires=st.booleans(),
    )
    def hold(self, payer: int, amount: int, counted: list[Any], expires: bool) -> UUID:
        key = new_key()
        counts = [Count(self.account(a), n, TODAY, minor, CAP) for a, n, minor in counted]
        for replayed in (False, True):
            answer = self.bank.hold(
                self.account(payer),
                amount,
                key=key,
                counts=counts,
                expires_at=SOON if expires else None,
            )
            assert answer.refusal == self.model.hold(
                key, self.account(payer), amount, counts, expires
            )
            assert answer.replayed is replayed
        return key

    @rule(
        target=asked,
        key=holds,
        payer=st.integers(0, PEOPLE - 1),
        payee=sides,
        part=st.integers(1, 120),
        more=st.integers(0, 60),
        counted=limits,
    )
    def capture(
        self, key: UUID, payer: int, payee: int, part: int, more: int, counted: list[Any]
    ) -> Posting:
        held = self.model.holds.get(key)
        if held and part % 4:
            payer = self.accounts.index(held.account)
        moves = [(payer, payee, part)] + ([(payer, PEOPLE, more)] if more else [])
        posting = self.posting(moves, counted, hold_id=key)
        self.check_posts([posting])
        return posting

    @rule(key=holds)
    def release(self, key: UUID) -> None:
        assert self.bank.release(key) is self.model.end(key, "released")

    @rule(key=holds)
    def clear_expiry(self, key: UUID) -> None:
        held = self.model.holds.get(key)
        open_ = held is not None and held.state == "held"
        assert self.bank.run(lambda s: ledger.clear_expiry(s, key)) is open_
        if held and open_:
            held.expires = False

    @rule()
    def expire(self) -> None:
        due = {k for k, h in self.model.holds.items() if h.expires and h.state == "held"}
        done = set(self.bank.run(lambda s: ledger.expire_holds(s, now=SOON, limit=10_000)))
        assert done & self.model.holds.keys() == due
        for key in due:
            self.model.end(key, "expired")

    @rule(posting=asked)
    def reverse(self, posting: Posting) -> None:
        posting_id = self.posted.get(posting.key)
        if posting_id is None:
            return
        expected = self.model.reverse(posting, posting_id)
        reversal = self.bank.reverse(posting_id)
        assert (reversal.refusal, reversal.amount_minor) == expected

    @rule()
    def roll_up(self) -> None:
        self.bank.run(ledger.roll_up)

    @invariant()
    def the_same_money(self) -> None:
        if not hasattr(self, "model"):
            return
        found = self.bank.run(lambda s: ledger.balances(s, self.accounts))
        for account, balance in found.items():
            at_start = self.at_start.get(account, 0)
            assert balance.balance_minor - at_start == self.model.money[account]
            if account not in self.model.house:
                assert balance.held_minor == self.model.held(account)
                assert balance.available_minor >= 0
        for (account, name), used in self.model.used.items():
            assert self.bank.used(account, name) == used >= 0
        assert sum(self.model.money.values()) == PEOPLE * START_MINOR

    def teardown(self) -> None:
        if hasattr(self, "model"):
            assert self.bank.verify() == []


@pytest.mark.parametrize("examples", [60])
def test_random_lives(ledger_db: Database, examples: int) -> None:
    LedgerMachine.database = ledger_db
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

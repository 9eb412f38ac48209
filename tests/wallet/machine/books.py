"""The ledger as the model has it: what is in every account, what is set aside, what limits count.

Accounts are called by name: a person's wallet by theirs, a float `float of neema`, a voucher
`voucher 3`, those of the house as in the chart of accounts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

HOUSE = (
    "fees", "tax", "commission", "suspense:late", "suspense:returned", "suspense:deposits",
    "trust_bank", "deposits_in_transit", "payouts_in_transit",
)  # fmt: skip
OPERATOR = "operator"
Move = tuple[str, str, int]  # from, to, minor units
Counter = tuple[str, str, date]  # account, day or month, its first day


def is_house(account: str) -> bool:
    """Whether it has no floor: so has what is owed to a biller."""
    return account in HOUSE or account.startswith("settlement:")


class Refused(Exception):
    """The model refuses, with the code that the wallet must name."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Count:
    """What a movement adds to a limit, and how high that may get."""

    counter: Counter
    minor: int
    cap: int


@dataclass
class Hold:
    """Money set aside. `expires` is None once only an answer may end it."""

    account: str
    minor: int
    counts: Sequence[Count]
    expires: datetime | None


@dataclass
class Books:
    """All or nothing: what raises `Refused` has changed nothing."""

    money: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    holds: dict[UUID, Hold] = field(default_factory=dict)
    used: dict[Counter, int] = field(default_factory=lambda: defaultdict(int))
    postings: int = 0

    def copy(self) -> Books:
        return Books(copy(self.money), copy(self.holds), copy(self.used), self.postings)

    def held(self, account: str) -> int:
        return sum(hold.minor for hold in self.holds.values() if hold.account == account)

    def left(self, account: str) -> int:
        return self.money[account] - self.held(account)

    def post(
        self, moves: Sequence[Move], *, counts: Sequence[Count] = (), hold_id: UUID | None = None
    ) -> None:
        """One posting; with `hold_id` it captures that hold, which counted when it was made."""
        trial = self.copy()
        if hold_id is not None and trial.holds.pop(hold_id, None) is None:
            raise Refused("hold_not_held")
        trial._count(counts)
        for debit, credit, minor in moves:
            if not is_house(debit) and trial.left(debit) < minor:
                raise Refused("insufficient_funds")
            trial.money[debit] -= minor
            trial.money[credit] += minor
        trial.postings += 1
        self.__dict__ = trial.__dict__

    def hold(self, hold_id: UUID, hold: Hold) -> None:
        trial = self.copy()
        trial._count(hold.counts)
        if trial.left(hold.account) < hold.minor:
            raise Refused("insufficient_funds")
        trial.holds[hold_id] = hold
        self.__dict__ = trial.__dict__

    def release(self, hold_id: UUID | None) -> None:
        """Give it back, and the limits too; nothing when it has ended."""
        hold = self.holds.pop(hold_id, None) if hold_id else None
        for count in hold.counts if hold else ():
            self.used[count.counter] -= count.minor

    def run_out(self, now: datetime) -> None:
        """The ledger ends what is past its time."""
        for hold_id, hold in list(self.holds.items()):
            if hold.expires and hold.expires <= now:
                self.release(hold_id)

    def reverse(self, moves: Sequence[Move]) -> int:
        """Of each move what its payee still has, the last move first; how much in all."""
        given = 0
        for debit, credit, minor in reversed(moves):
            give = minor if is_house(credit) else max(0, min(minor, self.left(credit)))
            self.money[credit] -= give
            self.money[debit] += give
            given += give
        self.postings += given > 0
        return given

    def _count(self, counts: Sequence[Count]) -> None:
        for count in counts:
            if self.used[count.counter] + count.minor > count.cap:
                raise Refused(f"limit_{count.counter[1]}")
            self.used[count.counter] += count.minor

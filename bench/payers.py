"""People who confirm payments as quickly as the database takes them, for what is measured after."""

from __future__ import annotations

from app.runtime import Runtime
from app.wallet.people import Person
from tests.billers.played import PlayedBiller
from tests.billers.stage import Stage

BILLER = "stima"
AMOUNT_MINOR = 5_000
BALANCE_MINOR = 1_000_000
PAYMENTS_A_PERSON = 50  # within every limit of the demo market


class Payers:
    """`confirmed` counts the payments so far; they are due at once, and the bell has rung."""

    def __init__(self, parts: Runtime) -> None:
        self._stage = Stage(parts.db, parts.market, BILLER, PlayedBiller(""))
        self._who: Person | None = None
        self.confirmed = 0

    def confirm(self, count: int) -> None:
        for _ in range(count):
            if self._who is None or self.confirmed % PAYMENTS_A_PERSON == 0:
                self._who = self._stage.person(BALANCE_MINOR)
            self._stage.pay(self._who, AMOUNT_MINOR)
            self.confirmed += 1

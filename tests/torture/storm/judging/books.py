"""What the books say, read by plain queries of our own; nothing of the product reads here."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, LiteralString

import psycopg
from psycopg.rows import tuple_row

Key = tuple[str, str, str, int]

# `actor` is who confirmed it, `party` what tells it from all others of theirs; `posted` what the
# ledger took from the account that pays.
MOVEMENTS = """
    SELECT 'bill', w.msisdn, p.customer_no, p.amount_minor, p.fee_minor, p.reference, p.state,
           p.created_at, p.id, p.biller, p.customer_msisdn, p.agent_id IS NOT NULL,
           (SELECT coalesce(sum(m.amount_minor), 0) FROM postings g
            JOIN moves m ON m.posting_id = g.id AND m.posted_at = g.posted_at
            WHERE g.reference = p.reference AND g.kind = 'bill_payment' AND m.debit = p.wallet_id),
           p.amount_minor + p.fee_minor
    FROM payments p JOIN people w ON w.id = p.person_id
    UNION ALL
    SELECT t.kind,
           CASE WHEN t.kind IN ('cash_in', 'voucher_collect') THEN own.msisdn ELSE w.msisdn END,
           CASE WHEN t.kind = 'cash_out' THEN a.code ELSE t.msisdn END,
           t.amount_minor, t.fee_minor, t.reference,
           CASE WHEN t.reversed_at IS NULL THEN 'posted' ELSE 'reversed' END,
           t.created_at, t.id, '', own.msisdn, a.id IS NOT NULL,
           (SELECT coalesce(sum(m.amount_minor), 0)
            FROM moves m WHERE m.posting_id = t.posting_id AND m.debit = t.payer_account),
           t.amount_minor + CASE WHEN t.fee_payer = 'sender' THEN t.fee_minor ELSE 0 END
    FROM transfers t
    LEFT JOIN people w ON w.id = t.payer_id
    LEFT JOIN agents a ON a.id = t.agent_id
    LEFT JOIN people own ON own.id = a.person_id"""


@dataclass(frozen=True)
class Movement:
    """A payment or a transfer. `helper` is the agent's number of a transfer, of a bill at the
    counter the customer's; `took_minor` what its posting took from who pays, `total_minor` what it
    should.
    """

    flow: str
    actor: str
    party: str
    amount_minor: int
    fee_minor: int
    reference: str
    state: str
    created_at: datetime
    id: Any
    biller: str
    helper: str | None
    by_agent: bool
    took_minor: int
    total_minor: int

    @property
    def key(self) -> Key:
        return self.flow, self.actor, self.party, self.amount_minor

    @property
    def name(self) -> str:
        return f"{self.flow} {self.reference} of {self.amount_minor} by {self.actor}"


class Books:
    """The database at one instant, over a line of ours."""

    def __init__(self, line: psycopg.Connection[Any]) -> None:
        self._line = line

    def rows(self, statement: LiteralString, **values: Any) -> list[tuple[Any, ...]]:
        with self._line.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(statement, values or None).fetchall()

    @cached_property
    def movements(self) -> list[Movement]:
        return [Movement(*row) for row in self.rows(MOVEMENTS)]

    @cached_property
    def by_key(self) -> dict[Key, list[Movement]]:
        found = defaultdict[Key, list[Movement]](list)
        for movement in self.movements:
            found[movement.key].append(movement)
        return found

    @cached_property
    def by_reference(self) -> dict[str, Movement]:
        return {movement.reference: movement for movement in self.movements}

    @cached_property
    def now(self) -> datetime:
        ((now,),) = self.rows("SELECT clock_timestamp()")
        assert isinstance(now, datetime)
        return now

"""What a line of the statement could be for: deposits, payouts and orders whose reference it has.

A reference counts as a whole word of the line, in any case; O is read as 0, I and L as 1, for our
references have none of them and slips are written by hand. Amounts must be equal to the unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.wallet.trust import orders, payees, payouts
from app.wallet.trust.deposits import DepositNotice
from app.wallet.trust.lines import BankLine, one_of
from app.wallet.trust.matches import BankMatch, Kind, Target
from app.wallet.trust.payees import Payee

SLIP_CHARS_LEAST = 6  # a shorter number stands in too many lines by chance
WORDS_MOST = 60
_NO_WORD = re.compile(r"[^0-9A-Z]+")
_MISREAD = str.maketrans("OIL", "011")

Reason = Literal[
    "no_reference",     # nothing that we know stands in it
    "several_fit",      # more than one thing that we know
    "amount_differs",
    "other_direction",  # it went out, and a deposit comes in
    "ended",            # cleared, cancelled, out already, or came back already
    "not_out_yet",      # a payout comes back whose own line is not matched yet
    "taken",            # another line is proposed for it
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """A deposit notice, a payout or an order, as a line may be for it; `taken`: lines by kind."""

    what: Literal["deposit", "payout", "order"]
    id: UUID
    words: frozenset[str]
    reference: str
    payee: Payee
    amount_minor: int
    ended: bool
    out: bool
    taken: Mapping[str, str]

    def kind_for(self, line: BankLine) -> Kind:
        """What this line would be to it."""
        if self.what == "deposit":
            return "deposit"
        if self.what == "order":
            return "settlement_back" if line.amount_minor > 0 else "settlement"
        return "returned" if line.amount_minor > 0 else "payout"


def misfit(known: Known, line: BankLine) -> Reason | None:
    """Why a line cannot be for it; None when it can."""
    inbound = line.amount_minor > 0
    if known.what == "deposit" and not inbound:
        return "other_direction"
    if known.ended or (known.out and not inbound):
        return "ended"
    if known.what != "deposit" and inbound and not known.out:
        return "not_out_yet"
    if known.amount_minor != abs(line.amount_minor):
        return "amount_differs"
    if known.taken.get(known.kind_for(line), line.id) != line.id:
        return "taken"
    return None


def by_reference(session: Session, lines: Sequence[BankLine]) -> dict[str, Target | Reason]:
    """By line id: what each line is for by the words in it, or why that is not known."""
    words = {line.id: words_of(line) for line in lines}
    known = known_by_words(session, set().union(*words.values()))
    return {line.id: _judged(line, words[line.id], known) for line in lines}


def words_of(line: BankLine) -> set[str]:
    """The words of a line that may be a reference; the bank's own field also as a whole."""
    text = f"{line.reference} {line.text}".upper()
    found = [*_NO_WORD.split(text)[:WORDS_MOST], _NO_WORD.sub("", line.reference.upper())]
    return {word for word in found if word} | {word.translate(_MISREAD) for word in found if word}


def known_by_words(session: Session, words: Iterable[str]) -> list[Known]:
    """All deposits, payouts and orders that one of these words names."""
    wanted = sorted(words)
    if not wanted:
        return []
    return [*_deposits(session, wanted), *_payouts(session, wanted), *_orders(session, wanted)]


def target_of(known: Known, line: BankLine, proposer: str) -> Target:
    return Target(
        kind=known.kind_for(line),
        reference=known.reference,
        payee=known.payee,
        proposer=proposer,
        notice_id=known.id if known.what == "deposit" else None,
        transfer_id=known.id if known.what == "payout" else None,
        order_id=known.id if known.what == "order" else None,
    )


def _judged(line: BankLine, words: set[str], known: Sequence[Known]) -> Target | Reason:
    named = [one for one in known if one.words & words]
    reasons = {one.id: misfit(one, line) for one in named}
    fitting = [one for one in named if reasons[one.id] is None]
    if len(fitting) == 1:
        return target_of(fitting[0], line, line.maker)
    if fitting:
        return "several_fit"
    return next((reason for reason in reasons.values() if reason), "no_reference")


def _deposits(session: Session, words: list[str]) -> list[Known]:
    row = DepositNotice
    statement = select(
        row.id, row.reference, row.slip, row.account_id, row.person_id, row.agent_id,
        row.amount_minor, row.state, BankMatch.line_id,
    ).outerjoin(
        BankMatch, (BankMatch.notice_id == row.id) & BankMatch.withdrawn_at.is_(None)
    ).where(
        or_(
            one_of(row.reference, words),
            (row.state == "on_way") & one_of(row.slip, [one for one in words if _findable(one)]),
        )
    )  # fmt: skip
    return [
        Known(
            what="deposit",
            id=one.id,
            words=frozenset([one.reference, one.slip] if _findable(one.slip) else [one.reference]),
            reference=one.reference,
            payee=payees.of_account(session, one.account_id, one.person_id, one.agent_id),
            amount_minor=one.amount_minor,
            ended=one.state != "on_way",
            out=False,
            taken={"deposit": one.line_id} if one.line_id else {},
        )
        for one in session.execute(statement)
    ]


def _findable(slip: str) -> bool:
    return len(slip) >= SLIP_CHARS_LEAST


def _payouts(session: Session, words: list[str]) -> list[Known]:
    found = payouts.of_references(session, words)
    statement = select(BankMatch.transfer_id, BankMatch.kind, BankMatch.line_id).where(
        BankMatch.transfer_id.in_([one.id for one in found]), BankMatch.withdrawn_at.is_(None)
    )
    taken: dict[UUID | None, dict[str, str]] = {}
    for transfer_id, kind, line_id in session.execute(statement):
        taken.setdefault(transfer_id, {})[kind] = line_id
    return [
        Known(
            what="payout",
            id=one.id,
            words=frozenset({one.reference}),
            reference=one.reference,
            payee=payees.of_account(session, one.account_id, one.person_id, one.agent_id),
            amount_minor=one.amount_minor,
            ended=one.returned,
            out=one.out,
            taken=taken.get(one.id, {}),
        )
        for one in found
    ]


def _orders(session: Session, words: list[str]) -> list[Known]:
    found = orders.of_references(session, words)
    statement = select(BankMatch.order_id, BankMatch.kind, BankMatch.line_id).where(
        BankMatch.order_id.in_([one.id for one in found]), BankMatch.withdrawn_at.is_(None)
    )
    taken: dict[UUID | None, dict[str, str]] = {}
    for order_id, kind, line_id in session.execute(statement):
        taken.setdefault(order_id, {})[kind] = line_id
    return [
        Known(
            what="order",
            id=one.id,
            words=frozenset({one.reference}),
            reference=one.reference,
            payee=one.payee,
            amount_minor=one.amount_minor,
            ended=one.ended,
            out=one.out,
            taken=taken.get(one.id, {}),
        )
        for one in found
    ]

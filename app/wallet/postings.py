"""Postings: what a movement of money is, and the calls that post, reverse and deposit.

The rules are in the database (`sql/post_v1.sql`, `sql/reverse_v1.sql`, `sql/deposit_v1.sql`); here
is only the way to call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import blake2b
from itertools import accumulate
from uuid import UUID

from sqlalchemy.orm import Session

from app.wallet.calls import array, call, nullable_array
from app.wallet.keys import period_key

POSTINGS_AT_MOST = 1000
MINOR_AT_MOST = 10**15  # keeps every sum far from the edge of bigint

POST = """SELECT o_postings, o_refusals, o_replayed FROM post_v1(
    %s, %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::uuid[],
    %s::int[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::int[], %s::bigint[], %s::text[], %s::date[], %s::bigint[], %s::bigint[])"""
REVERSE = """SELECT o_posting, o_refusal, o_replayed, o_amount
    FROM reverse_v1(%s, %s, %s, %s::bigint, %s)"""
DEPOSIT = """SELECT o_key, o_posting, o_refusal, o_replayed
    FROM deposit_v1(%s, %s, %s::bigint, %s)"""
NO_COUNTS = (None,) * 6
RECORD_LINE = "SELECT record_bank_line_v1(%s, %s, %s::bigint, %s, %s, %s)"
APPROVE_LINE = "SELECT approve_bank_line_v1(%s, %s)"


@dataclass(frozen=True, slots=True)
class Move:
    """Takes `amount_minor` from account `debit` and gives it to account `credit`."""

    debit: int
    credit: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Count:
    """Raises one limit counter of an account; over `cap_minor` the refusal is `limit_<name>`.

    `period` is the first day of the limit's period, in the market's own time.
    """

    account_id: int
    name: str
    period: date
    amount_minor: int
    cap_minor: int


@dataclass(frozen=True, slots=True)
class Posting:
    """One event of money.

    `hold_id` is captured by it: whole, or the part that the moves take from the held account; the
    rest is given back. `authority` names what allows taking from a house account:
    `posting:<id>`, `bank_line:<id>`, `payment:<uuid>:late`, `payment:<uuid>:returned`,
    `case:<uuid>`.
    """

    key: UUID
    kind: str
    moves: tuple[Move, ...]
    reference: str = ""
    authority: str | None = None
    hold_id: UUID | None = None
    counts: tuple[Count, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """`refusal` is a named reason or None; `replayed` when the key had been answered before.

    A reversed posting's key answers its posting's id together with the refusal `reversed`.
    """

    key: UUID
    posting_id: int | None
    refusal: str | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class Reversal(Answer):
    """`amount_minor` is what was given back, for the sender to be told."""

    amount_minor: int


def post(session: Session, postings: Sequence[Posting], *, now: datetime) -> list[Answer]:
    """Post 1 to 1000 postings in one round trip; each is accepted or refused by itself, in order.

    Raises ValueError for what no phone can ask: no moves, or an amount beyond 10^15.
    """
    if not 1 <= len(postings) <= POSTINGS_AT_MOST:
        raise ValueError(f"post takes 1 to {POSTINGS_AT_MOST} postings, not {len(postings)}")
    moves = [move for posting in postings for move in posting.moves]
    counts = [count for posting in postings for count in posting.counts]
    _check(postings, moves, counts)
    parameters = (
        now,
        array([posting.key for posting in postings]),
        array([_fingerprint_of(posting) for posting in postings]),
        [posting.kind for posting in postings],
        [posting.reference for posting in postings],
        _unless_none([posting.authority for posting in postings]),
        nullable_array([posting.hold_id for posting in postings]),
        array(accumulate(len(posting.moves) for posting in postings)),
        array([move.debit for move in moves]),
        array([move.credit for move in moves]),
        array([move.amount_minor for move in moves]),
        *(_counts_of(postings, counts) if counts else NO_COUNTS),
    )
    ids, refusals, replayed = call(session, POST, parameters)
    return [
        Answer(posting.key, ids[at], refusals[at], replayed[at])
        for at, posting in enumerate(postings)
    ]


def reverse(
    session: Session, *, key: UUID, original_posting_id: int, reference: str, now: datetime
) -> Reversal:
    """Give back what the payees of a posting still have; house payees give back all.

    Refusals: key_reused, key_expired, posting_unknown, not_reversible, authority_used (taken back
    before), insufficient_funds (nothing is left).
    """
    asked = fingerprint("reverse", original_posting_id, reference)
    posting_id, refusal, replayed, amount_minor = call(
        session, REVERSE, (now, key, asked, original_posting_id, reference)
    )
    return Reversal(key, posting_id, refusal, replayed, amount_minor or 0)


def record_bank_line(
    session: Session,
    *,
    line_id: str,
    amount_minor: int,
    currency: str,
    booked_on: date,
    maker: str,
) -> bool:
    """Enter a line of the trust bank's statement; negative went out. False when it was there.

    Raises IntegrityError-like DBAPIError when the line is there with other content.
    """
    key = period_key("bank_line", line_id, datetime.combine(booked_on, time(), UTC))
    (new,) = call(session, RECORD_LINE, (line_id, key, amount_minor, currency, booked_on, maker))
    return bool(new)


def approve_bank_line(session: Session, *, line_id: str, checker: str) -> bool:
    """The second pair of eyes; False when it was approved before or is unknown.

    Raises DBAPIError (a CHECK) when the checker is the maker.
    """
    (approved,) = call(session, APPROVE_LINE, (line_id, checker))
    return bool(approved)


def deposit(session: Session, *, bank_line_id: str, account_id: int, now: datetime) -> Answer:
    """Issue the amount of an approved bank line to an account, once.

    Refused `authority_invalid`, not for ever, while the line is unknown or not approved.
    """
    asked = fingerprint("deposit", bank_line_id, account_id)
    key, posting_id, refusal, replayed = call(
        session, DEPOSIT, (now, bank_line_id, account_id, asked)
    )
    return Answer(key or asked, posting_id, refusal, replayed)


def fingerprint(*content: object) -> UUID:
    """16 bytes of BLAKE2b over what was asked; a UUID because PostgreSQL has that type."""
    return UUID(bytes=blake2b(repr(content).encode(), digest_size=16).digest())


def count_columns(counts: Sequence[Count]) -> tuple[str, list[str], list[date], str]:
    """Accounts, names, periods and amounts, as the functions take them."""
    return (
        array([count.account_id for count in counts]),
        [count.name for count in counts],
        [count.period for count in counts],
        array([count.amount_minor for count in counts]),
    )


def _counts_of(postings: Sequence[Posting], counts: Sequence[Count]) -> tuple[object, ...]:
    return (
        array(accumulate(len(posting.counts) for posting in postings)),
        *count_columns(counts),
        array([count.cap_minor for count in counts]),
    )


def _unless_none(values: list[str | None]) -> list[str | None] | None:
    return values if any(value is not None for value in values) else None


def _fingerprint_of(posting: Posting) -> UUID:
    return fingerprint(
        "post",
        posting.kind,
        posting.reference,
        posting.authority,
        str(posting.hold_id),
        [(move.debit, move.credit, move.amount_minor) for move in posting.moves],
        [
            (count.account_id, count.name, count.period.isoformat(), count.amount_minor)
            for count in posting.counts
        ],
    )


def _check(postings: Sequence[Posting], moves: Iterable[Move], counts: Iterable[Count]) -> None:
    for posting in postings:
        if not posting.moves:
            raise ValueError(f"posting {posting.key} has no moves")
        if posting.key.version != 7:
            raise ValueError(f"key {posting.key} is not a UUIDv7")
    for amount_minor in (
        *(move.amount_minor for move in moves),
        *(count.amount_minor for count in counts),
    ):
        if abs(amount_minor) > MINOR_AT_MOST:
            raise ValueError(f"{amount_minor} minor units are more than {MINOR_AT_MOST}")

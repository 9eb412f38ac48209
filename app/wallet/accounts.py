"""Accounts: opening them, and what is in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from app.wallet.calls import array, call, rows

OPEN = "SELECT open_account_v1(%s, %s, %s, %s::uuid, %s::bigint)"
# Another transaction's row that is visible is committed; one of our own may yet be rolled back.
HOUSE = """SELECT id, opened_at < now() FROM accounts
    WHERE owner_kind = 'house' AND owner_id IS NULL AND kind = %s AND currency = %s"""
BALANCES = """SELECT a.id, a.held, a.floor_minor, a.house, a.balance + coalesce((
        SELECT sum(p.amount_minor) FROM house_pending p WHERE a.house AND p.account_id = a.id
    ), 0)::bigint
    FROM accounts a WHERE a.id = ANY (%s::bigint[])"""
ROLL_UP = "SELECT roll_up_v1(%s::int)"
MAKE_PARTITIONS = "SELECT make_partitions_v1(%s, %s::int)"
OVER_CEILING = "SELECT over_ceiling_v1(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
LOCK_ACCOUNTS = "SELECT lock_accounts_v1(%s::bigint[])"
ROLL_UP_AT_MOST = 50_000
OPERATOR = UUID(int=1)  # owner of the operator's own account: it has a floor, unlike the house

_house: WeakKeyDictionary[Engine, dict[tuple[str, str], int]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Balance:
    """`available_minor` is what can be spent: balance less holds, down to the account's floor."""

    balance_minor: int
    held_minor: int
    available_minor: int


def open_account(
    session: Session,
    *,
    kind: str,
    currency: str,
    owner_kind: str,
    owner_id: UUID | None,
    floor_minor: int = 0,
) -> int:
    """The id of the owner's account of this kind and currency, made on first use.

    Kinds: wallet, float, till, voucher, savings. Owners: person, agent, merchant, biller. A floor
    below zero is credit, which nobody gets by opening an account.
    """
    (account_id,) = call(session, OPEN, (kind, currency, owner_kind, owner_id, floor_minor))
    return int(account_id)


def house_account(session: Session, name: str, currency: str) -> int:
    """The house's account of this name: fees, tax, commission, settlement:<biller>, trust_bank,
    deposits_in_transit, payouts_in_transit, suspense:<what>. Made on first use, then remembered by
    the process: it never changes.
    """
    engine = session.connection().engine
    known = _house.setdefault(engine, {})
    if (name, currency) in known:
        return known[name, currency]
    found = rows(session, HOUSE, (name, currency))
    if not found:
        return open_account(
            session, kind=name, currency=currency, owner_kind="house", owner_id=None
        )
    account_id, committed = found[0]
    if committed:
        known[name, currency] = account_id
    return int(account_id)


def operator_account(session: Session, currency: str) -> int:
    """The operator's own money in the trust bank: what it owes agents and people comes from here.

    It is paid in against a bank line as anybody's, and never goes below zero.
    """
    return open_account(
        session, kind="till", currency=currency, owner_kind="merchant", owner_id=OPERATOR
    )


def over_ceiling(
    session: Session, touched: Sequence[int], gains: Sequence[tuple[int, int, int]]
) -> int | None:
    """Lock the accounts of a posting to come; which would hold more than its ceiling, or None.

    `gains` are (account, amount that comes in, most that may be in it), in minor units.
    """
    into, amounts, ceilings = zip(*gains, strict=True)
    (over,) = call(
        session, OVER_CEILING, (array(touched), array(into), array(amounts), array(ceilings))
    )
    return None if over is None else int(over)


def lock_accounts(session: Session, account_ids: Sequence[int]) -> None:
    """Lock accounts by id, ahead of several calls of this transaction that touch them: what is read
    of them from now on stays so.
    """
    call(session, LOCK_ACCOUNTS, (array(account_ids),))


def balance(session: Session, account_id: int) -> Balance:
    """What is in an account. Raises KeyError for one that does not exist."""
    return balances(session, [account_id])[account_id]


def balances(session: Session, account_ids: Collection[int]) -> dict[int, Balance]:
    """What is in each of these accounts, all at one instant; unknown ones are left out.

    A house account's is its snapshot and what is pending, read in one statement.
    """
    return {
        account_id: Balance(
            balance_minor=in_it,
            held_minor=held,
            available_minor=in_it if house else in_it - held - floor,
        )
        for account_id, held, floor, house, in_it in rows(session, BALANCES, (array(account_ids),))
    }


def roll_up(session: Session) -> int:
    """Move what is pending on house accounts into their snapshot; how many rows it was."""
    return int(call(session, ROLL_UP, (ROLL_UP_AT_MOST,))[0])


def make_partitions(session: Session, *, first_month: date, months: int) -> int:
    """Make the monthly partitions ahead of time; how many were missing."""
    return int(call(session, MAKE_PARTITIONS, (first_month, months))[0])

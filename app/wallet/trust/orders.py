"""What is paid to billers: orders to the bank, a day each, and what a day comes to.

    ordered ─┬─▶ paid ────▶ came_back     lines of the statement: it left the bank, it returned
             └─▶ cancelled                the bank refused it: by maker and checker

1. What a day owes a biller is what the day's postings left in `settlement:<biller>`: captures, less
   what was taken back and written off. Payments to the biller itself do not count.
2. An order pays one day, and with it the earlier days of which the biller owes us. A day is in one
   order, by a unique index, until the order is cancelled or its money comes back.
3. An order moves nothing. The money stays owed in `settlement:<biller>` until a matched line of the
   statement says that it left; so nothing is in `payouts_in_transit` for it, and a refused order
   needs no reversal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base
from app.errors import DomainError
from app.markets.model import Market
from app.markets.parties import BankParty
from app.patience import take_time
from app.wallet import ledger, references
from app.wallet.trust.lines import one_of
from app.wallet.trust.payees import Payee

CLOSE_AFTER = timedelta(minutes=10)  # a posting of the day may commit a moment after midnight
DAYS_BACK = 92
READ_SECONDS = 60
ON_WAY_MOST = 500

_DAYS = """
    SELECT (t.posted_at AT TIME ZONE :zone)::date AS day,
           coalesce(sum(t.minor) FILTER (WHERE t.minor > 0), 0)::bigint AS owed_minor,
           coalesce(-sum(t.minor) FILTER (WHERE t.minor < 0), 0)::bigint AS less_minor
    FROM (
        SELECT m.posted_at, m.amount_minor AS minor FROM moves m
        WHERE m.credit = :account AND m.credit_seq IS NULL AND m.debit <> :trust
          AND m.posted_at >= :starts AND m.posted_at < :ends
        UNION ALL
        SELECT m.posted_at, -m.amount_minor FROM moves m
        WHERE m.debit = :account AND m.debit_seq IS NULL AND m.credit <> :trust
          AND m.posted_at >= :starts AND m.posted_at < :ends
    ) AS t
    GROUP BY 1 ORDER BY 1
"""


class SettlementOrder(Base):
    """An order to the bank. The parties are kept as they were: its file can be written again."""

    __tablename__ = "settlement_orders"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    reference: Mapped[str]
    biller: Mapped[str]
    account_id: Mapped[int]
    currency: Mapped[str]
    amount_minor: Mapped[int]
    debtor: Mapped[dict[str, Any]] = mapped_column(JSONB)
    creditor: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str]
    maker: Mapped[str]
    checker: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    cancel_maker: Mapped[str | None]
    cancel_checker: Mapped[str | None]
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def payee(self) -> Payee:
        return Payee(self.account_id, f"biller {self.biller}")

    @property
    def out(self) -> bool:
        return self.state in ("paid", "came_back")

    @property
    def ended(self) -> bool:
        return self.state in ("cancelled", "came_back")


class OrderDay(Base):
    """A day that an order pays; `taken` until its order is cancelled or came back."""

    __tablename__ = "settlement_order_days"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    biller: Mapped[str]
    currency: Mapped[str]
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    net_minor: Mapped[int]
    taken: Mapped[bool]


@dataclass(frozen=True, slots=True)
class DueDay:
    """What a day's postings left with a biller; `order` has it, if one has."""

    biller: str
    day: date
    owed_minor: int
    less_minor: int
    order: str | None

    @property
    def net_minor(self) -> int:
        return self.owed_minor - self.less_minor


def due(
    session: Session, market: Market, biller: str, now: datetime, days_back: int = DAYS_BACK
) -> list[DueDay]:
    """The days of a biller on which something was posted, oldest first; today is not over."""
    session.execute(text(f"SET LOCAL statement_timeout = '{READ_SECONDS}s'"))
    take_time(READ_SECONDS)
    today = now.astimezone(market.zone).date()
    first = today - timedelta(days=days_back)
    ordered = _ordered(session, market, biller, first)
    return [
        DueDay(biller, row.day, row.owed_minor, row.less_minor, ordered.get(row.day))
        for row in session.execute(text(_DAYS), _facts(session, market, biller, first, today))
    ]


def to_order(
    session: Session, market: Market, biller: str, day: date, now: datetime
) -> list[DueDay]:
    """What an order of that day pays: the day, and earlier ones of which the biller owes us.

    Raises DomainError `day_not_over`, `day_ordered` with `order`, `nothing_due` with `amount`,
    `debtor_missing`, `payee_missing`.
    """
    parties(market, biller)
    if day >= (now - CLOSE_AFTER).astimezone(market.zone).date():
        raise DomainError("day_not_over", day=day)
    age = (now.astimezone(market.zone).date() - day).days
    known = due(session, market, biller, now, max(DAYS_BACK, age))
    taken = [one for one in known if one.day == day]
    if taken and taken[0].order:
        raise DomainError("day_ordered", day=day, biller=biller, order=taken[0].order)
    behind = [one for one in known if one.day < day and not one.order and one.net_minor < 0]
    amount_minor = sum(one.net_minor for one in (*behind, *taken))
    if not taken or taken[0].net_minor <= 0 or amount_minor <= 0:
        raise DomainError("nothing_due", day=day, amount=market.currency.format(amount_minor))
    return [*behind, *taken]


def parties(market: Market, biller: str) -> tuple[BankParty, BankParty]:
    """Who pays, and who is paid. Raises DomainError `debtor_missing`, `payee_missing`."""
    debtor, creditor = market.trust.account, market.billers[biller].payee
    if debtor is None:
        raise DomainError("debtor_missing")
    if creditor is None:
        raise DomainError("payee_missing", biller=biller)
    return debtor, creditor


def make(
    session: Session,
    market: Market,
    biller: str,
    day: date,
    amount_minor: int,
    *,
    order_id: UUID,
    maker: str,
    checker: str,
    now: datetime,
) -> SettlementOrder:
    """Order what was approved. Raises as `to_order`, and DomainError `same_person`,
    `order_changed`: the day comes to another amount than it did when it was proposed.
    """
    if maker == checker:
        raise DomainError("same_person")
    days = to_order(session, market, biller, day, now)
    if sum(one.net_minor for one in days) != amount_minor:
        raise DomainError("order_changed")
    debtor, creditor = parties(market, biller)
    order = SettlementOrder(
        id=order_id,
        reference=references.draw(lambda one: bool(of_references(session, [one]))),
        biller=biller,
        account_id=_account(session, market, biller),
        currency=market.currency.code,
        amount_minor=amount_minor,
        debtor=debtor.model_dump(),
        creditor=creditor.model_dump(),
        state="ordered",
        maker=maker,
        checker=checker,
        made_at=now,
    )
    session.add(order)
    session.flush()
    _take_days(session, market, order, days)
    return order


def cancel(
    session: Session, reference: str, *, maker: str, checker: str, now: datetime
) -> SettlementOrder:
    """The bank has not carried it out, and will not: its days can be ordered again.

    Raises DomainError `same_person`, `order_unknown`, `order_state` with `state`.
    """
    if maker == checker:
        raise DomainError("same_person")
    order = locked(session, of_reference(session, reference).id)
    if order.state != "ordered":
        raise DomainError("order_state", state=order.state)
    _end(session, order, "cancelled", now, cancel_maker=maker, cancel_checker=checker)
    return order


def paid(session: Session, order_id: UUID, now: datetime) -> None:
    """A matched line says that it left the bank. The order is locked and `ordered`."""
    values = {"state": "paid", "ended_at": now}
    _set(session, order_id, values)


def came_back(session: Session, order_id: UUID, now: datetime) -> None:
    """A matched line says that the bank got it back: it is owed again, and can be ordered."""
    _end(session, locked(session, order_id), "came_back", now)


def locked(session: Session, order_id: UUID) -> SettlementOrder:
    """An order, which nobody else ends before this transaction does."""
    return session.get_one(SettlementOrder, order_id, with_for_update=True, populate_existing=True)


def of_reference(session: Session, typed: str) -> SettlementOrder:
    """Raises DomainError `order_unknown`."""
    found = of_references(session, [references.written(typed)])
    if not found:
        raise DomainError("order_unknown")
    return found[0]


def of_references(session: Session, wanted: Sequence[str]) -> Sequence[SettlementOrder]:
    """The orders that have one of these references."""
    statement = select(SettlementOrder).where(one_of(SettlementOrder.reference, wanted))
    return session.scalars(statement, execution_options={"populate_existing": True}).all()


def get(session: Session, order_id: UUID) -> SettlementOrder:
    return session.get_one(SettlementOrder, order_id, populate_existing=True)


def on_way(session: Session, currency: str, limit: int = ON_WAY_MOST) -> Sequence[SettlementOrder]:
    """What was ordered and has not left the bank, oldest first."""
    statement = select(SettlementOrder).where(
        SettlementOrder.state == "ordered", SettlementOrder.currency == currency
    )
    return session.scalars(statement.order_by(SettlementOrder.made_at).limit(limit)).all()


def _take_days(
    session: Session, market: Market, order: SettlementOrder, days: Sequence[DueDay]
) -> None:
    """The unique index lets one of two orders of a day through."""
    rows = [
        {
            "order_id": order.id,
            "biller": order.biller,
            "currency": order.currency,
            "day": one.day,
            "starts_at": _midnight(market, one.day),
            "ends_at": _midnight(market, one.day + timedelta(days=1)),
            "net_minor": one.net_minor,
        }
        for one in days
    ]
    made = insert(OrderDay).values(rows).on_conflict_do_nothing().returning(OrderDay.day)
    if len(session.scalars(made).all()) < len(rows):
        raise DomainError("day_ordered", day=days[-1].day, biller=order.biller, order="another")


def _end(
    session: Session, order: SettlementOrder, state: str, now: datetime, **values: object
) -> None:
    _set(session, order.id, {"state": state, "ended_at": now, **values})
    free = update(OrderDay).where(OrderDay.order_id == order.id).values(taken=False)
    session.execute(free)


def _set(session: Session, order_id: UUID, values: Mapping[str, object]) -> None:
    statement = update(SettlementOrder).where(SettlementOrder.id == order_id).values(**values)
    session.execute(statement.execution_options(synchronize_session="fetch"))


def _ordered(session: Session, market: Market, biller: str, first: date) -> dict[date, str]:
    statement = (
        select(OrderDay.day, SettlementOrder.reference)
        .join(SettlementOrder, SettlementOrder.id == OrderDay.order_id)
        .where(
            OrderDay.biller == biller,
            OrderDay.currency == market.currency.code,
            OrderDay.taken,
            OrderDay.day >= first,
        )
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def _facts(
    session: Session, market: Market, biller: str, first: date, last: date
) -> dict[str, object]:
    return {
        "zone": market.timezone,
        "account": _account(session, market, biller),
        "trust": ledger.house_account(session, "trust_bank", market.currency.code),
        "starts": _midnight(market, first),
        "ends": _midnight(market, last + timedelta(days=1)),
    }


def _account(session: Session, market: Market, biller: str) -> int:
    return ledger.house_account(session, f"settlement:{biller}", market.currency.code)


def _midnight(market: Market, day: date) -> datetime:
    return datetime.combine(day, time(), market.zone)

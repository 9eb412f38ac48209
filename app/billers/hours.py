"""When a biller takes payments, and until when one may wait or be asked about: local time.

Pure: the market's zone, the biller's rules, an instant. A database's clock decides leases; the
hours of a day may come from ours.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.billers.protocols.answers import Bill
from app.errors import DomainError
from app.markets.billers import Biller

FILE_MARGIN = timedelta(hours=2)
EVER = datetime(1970, 1, 1, tzinfo=UTC)


def refuse_closed(rules: Biller, zone: ZoneInfo, at: datetime) -> None:
    """Raises DomainError `biller_closed` with `opens` and `cut_off` outside the biller's hours."""
    if not is_open(rules, zone, at):
        assert rules.opens is not None
        assert rules.cut_off is not None
        raise DomainError(
            "biller_closed", opens=f"{rules.opens:%H:%M}", cut_off=f"{rules.cut_off:%H:%M}"
        )


def refuse_stale(rules: Biller, zone: ZoneInfo, bill: Bill | None, at: datetime) -> None:
    """Raises DomainError `bill_old` for an inquiry of a day before, where it must be of today."""
    asked_on = bill.asked_on if bill else None
    if rules.same_day and asked_on is not None and asked_on != at.astimezone(zone).date():
        raise DomainError("bill_old")


def is_open(rules: Biller, zone: ZoneInfo, at: datetime) -> bool:
    """A biller without hours, and one that is paid by file, always takes payments."""
    if rules.opens is None or rules.cut_off is None or rules.family == "file":
        return True
    return rules.opens <= at.astimezone(zone).time() < rules.cut_off


def hold_until(rules: Biller, zone: ZoneInfo, at: datetime, hold_seconds: int) -> datetime:
    """When an unsent payment of now gives its money back: never after the biller's cut-off, nor
    after midnight where inquiry and payment belong to one day. For a file: well after the next.
    """
    if rules.family == "file":
        return next_cut_off(rules, zone, at).astimezone(UTC) + FILE_MARGIN
    until = at + timedelta(seconds=hold_seconds)
    if rules.cut_off is not None:
        until = min(until, next_cut_off(rules, zone, at))
    if rules.same_day:
        until = min(until, day_start(zone, at, days=1))
    return until


def next_cut_off(rules: Biller, zone: ZoneInfo, at: datetime) -> datetime:
    """The next instant at which the biller's day ends."""
    assert rules.cut_off is not None
    local = at.astimezone(zone)
    days = 0 if local.time() < rules.cut_off else 1
    return datetime.combine(local.date() + timedelta(days=days), rules.cut_off, zone)


def day_start(zone: ZoneInfo, at: datetime, days: int = 0) -> datetime:
    """The beginning of the local day, `days` later."""
    day = at.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(day, time(), zone)


def asked_until(
    rules: Biller, zone: ZoneInfo, first_sent_at: datetime, asked_from: datetime | None = None
) -> datetime:
    """When asking ends and two people must decide; `asked_from` is when it began anew."""
    until = (asked_from or first_sent_at) + timedelta(seconds=rules.manual_after_seconds)
    return min(until, day_start(zone, first_sent_at, days=1)) if rules.same_day else until


def asked_since(rules: Biller, zone: ZoneInfo, at: datetime) -> datetime:
    """What was first sent at or before this instant is of a day that is over at `at`, where a day
    ends the asking; there the biller would take the reference for another's.
    """
    return day_start(zone, at) - timedelta(microseconds=1) if rules.same_day else EVER

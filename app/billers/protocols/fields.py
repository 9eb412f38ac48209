"""What several wire families write alike: names, receipts, tokens, whole amounts, bills of months.

What a biller wrote is shown to people and kept in rows, so every reader here bounds what it takes.
"""

from __future__ import annotations

import re

from typing_extensions import TypeIs

from app.billers import tokens
from app.billers.protocols.answers import Bill, InquiryError, Line
from app.money import Currency

LONGEST_NAME = 60
LONGEST_RECEIPT = 20
LONGEST_LABEL = 20
MOST_LINES = 100
_NOT_SHOWN = re.compile(r"[^\w .,'/&()-]+")
_MONTH = re.compile(r"(\d{4})(0[1-9]|1[0-2])\Z", re.ASCII)
_PARTS = ("nilai_tagihan", "admin", "denda")
_REFERENCE = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
_WHOLE = re.compile(r"\d{1,12}\Z", re.ASCII)


def is_reference(written: object) -> TypeIs[str]:
    """Whether a webhook names something that can be a reference of ours."""
    return isinstance(written, str) and _REFERENCE.match(written) is not None


def shown_name(name: object) -> str:
    """A customer's name as far as a screen may show it; "" for none."""
    shown = " ".join(_NOT_SHOWN.sub(" ", name).split()) if isinstance(name, str) else ""
    return shown[:LONGEST_NAME]


def receipt_no(serial: object) -> str:
    """The biller's own number of a sale, as far as a receipt may show it."""
    return _NOT_SHOWN.sub("", serial)[:LONGEST_RECEIPT].strip() if isinstance(serial, str) else ""


def serial_tokens(serial: object) -> tuple[str, ...]:
    """The tokens of a serial number: they come first, then name, tariff, power and kWh, with
    slashes between. None at all where one of them is none."""
    return (tokens.parse_all(serial.split("/", 1)[0]) or ()) if isinstance(serial, str) else ()


def whole(written: object) -> int | None:
    """Whole units of a currency, as a number or in digits; None for anything else."""
    if type(written) is int:
        return written if 0 <= written < 10**12 else None
    return int(written) if isinstance(written, str) and _WHOLE.match(written) else None


def whole_minor(written: object, currency: Currency) -> int | None:
    """Whole units as minor ones; None for anything else."""
    units = whole(written)
    return None if units is None else units * currency.minor_per_major


def is_price(written: object, amount_minor: int, currency: Currency) -> bool:
    """Whether this is the amount of our order, in whole units."""
    return whole_minor(written, currency) == amount_minor


def named_bill(
    customer_no: str,
    name: object,
    owed: object,
    detail: object,
    currency: Currency,
    *,
    code: str,
    bill_ref: str = "",
) -> Bill:
    """The bill of an inquiry that the biller answered: every open month is a line.

    `detail`: the months as these billers write them. Raises InquiryError `nameless`,
    `owed_unreadable`, `nothing_owed`, `lines_unreadable`, `lines_differ`.
    """

    def refuse(reason: str) -> InquiryError:
        nothing = reason == "nothing_owed"
        return InquiryError(reason, in_format=True, code=code, nothing_owed=nothing)

    shown, owed_minor = shown_name(name), whole_minor(owed, currency)
    if not shown:
        raise refuse("nameless")
    if not owed_minor:
        raise refuse("owed_unreadable" if owed_minor is None else "nothing_owed")
    lines = _lines(detail, currency)
    if lines is None:
        raise refuse("lines_unreadable")
    if lines and sum(line.total_minor for line in lines) != owed_minor:
        raise refuse("lines_differ")
    return Bill(customer_no, shown, owed_minor, lines, bill_ref)


def _lines(detail: object, currency: Currency) -> tuple[Line, ...] | None:
    """Some bills have no months; None for a list that is not one of months."""
    if detail is None:
        return ()
    if not isinstance(detail, list) or len(detail) > MOST_LINES:
        return None
    lines = [_line(month, currency) for month in detail]
    return None if None in lines else tuple(line for line in lines if line)


def _line(month: object, currency: Currency) -> Line | None:
    """What the biller asks for its own work belongs to what is owed."""
    if not isinstance(month, dict):
        return None
    bill, admin, penalty = (whole_minor(month.get(key, 0), currency) for key in _PARTS)
    if bill is None or admin is None or penalty is None:
        return None
    return Line(month_label(month.get("periode")), bill + admin, penalty)


def month_label(period: object) -> str:
    """A month as `08/2026`, any other words as far as a screen may show them."""
    month = _MONTH.match(period) if isinstance(period, str) else None
    return f"{month[2]}/{month[1]}" if month else shown_name(period)[:LONGEST_LABEL]

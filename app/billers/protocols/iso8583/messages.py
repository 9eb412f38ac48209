"""The messages of ISO 8583 (1987, ASCII): our orders as fields, and what their answers say.

1. A purchase is known to the biller by RRN (DE37) and terminal (DE41). The RRN, the STAN (DE11) and
   the times come from the payment's row, so a process that goes on after a kill writes the same.
2. The STANs are parted: purchases, their reversals, and everything that is not about money. The
   RRN of an inquiry begins with 9, which no serial number does.
3. An answer must repeat our STAN, RRN, terminal, amount, currency, product and customer, else it is
   another's and says nothing about this order.
4. All times are UTC, DE12 and DE13 too: this terminal is a server, and that is its local time.
"""

from __future__ import annotations

import itertools
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import iso8583
from iso8583.specs import default_ascii

from app.billers import tokens
from app.billers.protocols.answers import (
    ANYBODYS,
    Answer,
    Bill,
    InquiryError,
    Line,
    Order,
    Outcome,
    about_another,
)
from app.billers.protocols.fields import month_label, receipt_no, shown_name
from app.markets.billers import Biller

Fields = dict[str, str]
Key = tuple[str, str, str]

SIGN_ON, SIGN_OFF, ECHO = "001", "002", "301"
DONE, UNKNOWN_CUSTOMER, NO_ORIGINAL, NOTHING_OPEN, NOT_SIGNED_ON = "00", "14", "25", "88", "91"
BILL_PAYMENTS = "6012"  # DE18
INQUIRY, PREPAID, POSTPAID = "380000", "180000", "500000"  # DE3
SKU_CHARS, CUSTOMER_CHARS = 12, 20
PURCHASES = 449_999  # STANs 000001 … 449999; a reversal's is its purchase's and this many more
_OTHERS_FROM, _OTHERS = 900_000, 99_999
_NAME_CHARS, _LINE_CHARS = 25, 30
_CODE = re.compile(r"[0-9A-Z]{2}\Z", re.ASCII)
_BILL = re.compile(r"B(\d\d)((?:\d{30})*)\Z", re.ASCII)
_MONTH = re.compile(r"\d{4}(?:0[1-9]|1[0-2])\Z", re.ASCII)
_ECHOED = (
    ("11", "other_reference"),
    ("37", "other_reference"),
    ("41", "other_terminal"),
    ("4", "other_amount"),
    ("49", "other_amount"),
)


class MessageError(Exception):
    """Fields that cannot be written, or bytes that are no message."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Who we are to a biller: acquirer (DE32), terminal (DE41), and our money (DE49)."""

    acquirer: str
    name: str
    currency: str


def encode(fields: Fields) -> bytes:
    """A message's bytes. Raises MessageError."""
    try:
        return bytes(iso8583.encode(dict(fields), default_ascii)[0])
    except ValueError as error:
        raise MessageError from error


def decode(message: bytes) -> Fields:
    """A message's fields; `t` is its type. Raises MessageError."""
    try:
        return iso8583.decode(message, default_ascii)[0]
    except ValueError as error:
        raise MessageError from error


def key(fields: Fields) -> Key:
    """What a message is matched by: its type, STAN and RRN."""
    return fields["t"], fields.get("11", ""), fields.get("37", "")


def answer_key(request: Fields) -> Key:
    """The key of the answer to a request; that to a repetition has the type of the first's."""
    kind, stan, rrn = key(request)
    return f"{kind[:2]}{int(kind[2]) + 1}0", stan, rrn


class Numbers:
    """STANs and RRNs of what is not about money; they collide with those of no purchase."""

    def __init__(self) -> None:
        self._count = itertools.count(secrets.randbelow(_OTHERS))

    def stan(self) -> str:
        return f"{_OTHERS_FROM + next(self._count) % _OTHERS}"

    def rrn(self) -> str:
        """Other processes count their own STANs, so this one is drawn."""
        return f"9{secrets.randbelow(10**11):011d}"


def network(code: str, stan: str, at: datetime) -> Fields:
    """Sign-on, sign-off or echo."""
    return {"t": "0800", "7": _sent_at(at), "11": stan, "70": code}


def inquiry(
    terminal: Terminal, sku: str, customer_no: str, *, stan: str, rrn: str, at: datetime
) -> Fields:
    """Whose number is this, and what is owed."""
    return _financial(terminal, "0200", INQUIRY, sku, customer_no, 0, stan, rrn, at)


def payment(terminal: Terminal, order: Order) -> Fields:
    """The purchase."""
    stan = order.serial % PURCHASES + 1
    return _financial(
        terminal,
        "0200",
        POSTPAID if order.owes else PREPAID,
        order.sku,
        order.customer_no,
        order.amount_minor,
        f"{stan:06d}",
        f"{order.serial:012d}",
        order.first_sent_at or datetime.now(UTC),
    )


def advice(terminal: Terminal, order: Order) -> Fields:
    """ "This was bought": completes the sale if it was never seen, else tells what became of it.

    0220 goes with the second request, which is claimed once and never again; every later one may
    repeat it, and says so: 0221.
    """
    return payment(terminal, order) | {"t": "0220" if order.request == 2 else "0221"}


def reversal(terminal: Terminal, order: Order) -> Fields:
    """ "Undo this": 0400 and 0401 by the same rule as the advice's."""
    bought = payment(terminal, order)
    original = f"0200{bought['11']}{bought['7']}{terminal.acquirer.zfill(11)}{'0' * 11}"
    return bought | {
        "t": "0400" if order.request == 2 else "0401",
        "11": f"{int(bought['11']) + PURCHASES:06d}",
        "90": original,
    }


def _financial(
    terminal: Terminal,
    kind: str,
    service: str,
    sku: str,
    customer_no: str,
    amount_minor: int,
    stan: str,
    rrn: str,
    at: datetime,
) -> Fields:
    sent_at = _sent_at(at)
    return {
        "t": kind,
        "3": service,
        "4": f"{amount_minor:012d}",
        "7": sent_at,
        "11": stan,
        "12": sent_at[4:],
        "13": sent_at[:4],
        "18": BILL_PAYMENTS,
        "32": terminal.acquirer,
        "37": rrn,
        "41": terminal.name,
        "48": sku.ljust(SKU_CHARS) + customer_no.ljust(CUSTOMER_CHARS),
        "49": terminal.currency,
    }


def _sent_at(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%m%d%H%M%S")


def read_sale(answer: Fields, request: Fields, order: Order, rules: Biller) -> Answer:
    """What the answer to a purchase (0210) or to its advice (0230) says of the order.

    A code that only the first request's answer may be refused with means nothing on an advice's.
    """
    code, other = _judge_form(answer, request)
    if other:
        told = _sold(answer, order, code) if code == DONE else Answer(Outcome.UNKNOWN, other, code)
        return about_another(told, other)
    if code == DONE:
        return _sold(answer, order, code)
    if code in rules.refused_codes:
        return Answer(Outcome.REFUSED, "refused", code, in_format=True)
    if code in rules.refused_first_codes and request["t"] == "0200":
        return Answer(Outcome.REFUSED_FIRST, "refused_first", code, in_format=True)
    return Answer(Outcome.UNKNOWN, "code_not_final", code, in_format=True)


def read_reversal(answer: Fields, request: Fields) -> Answer:
    """What the answer to a reversal (0410) says; that the order was paid it never does.

    25: the biller never saw the original and refuses it should it still arrive, so nothing was sold
    and nothing will be.
    """
    code, other = _judge_form(answer, request)
    if other:
        return about_another(Answer(Outcome.UNKNOWN, other, code), other)
    undone = {DONE: "reversed", NO_ORIGINAL: "never_arrived"}.get(code)
    if undone is None:
        return Answer(Outcome.UNKNOWN, "not_reversed", code, in_format=True)
    return Answer(Outcome.REFUSED, undone, code, in_format=True)


def read_bill(answer: Fields, request: Fields, customer_no: str) -> Bill | None:
    """The customer and what is owed; None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    code, other = _judge_form(answer, request)
    if other:
        raise InquiryError(other, in_format=other not in ANYBODYS, code=code)
    if code == UNKNOWN_CUSTOMER:
        return None
    if code == NOTHING_OPEN:
        raise InquiryError("nothing_open", in_format=True, code=code, nothing_owed=True)
    if code != DONE:
        raise InquiryError("code_not_final", in_format=True, code=code)
    told = answer.get("62", "")
    name, rest = shown_name(told[:_NAME_CHARS]), told[_NAME_CHARS:]
    if not name:
        raise InquiryError("nameless", in_format=True, code=code)
    if rest == "P00":
        return Bill(customer_no, name)
    lines = _lines(rest)
    if lines is None:
        raise InquiryError("bill_unreadable", in_format=True, code=code)
    return Bill(customer_no, name, sum(line.total_minor for line in lines), lines)


def _judge_form(answer: Fields, request: Fields) -> tuple[str, str]:
    """An answer's code, and why it is none to this request; "" when it is one."""
    code = answer.get("39", "")
    if not _CODE.match(code):
        return "", "body_foreign"
    for field, reason in _ECHOED:
        if answer.get(field) != request[field]:
            return code, reason
    told, ours = (fields.get("48", "").rstrip() for fields in (answer, request))
    if told[:SKU_CHARS] != ours[:SKU_CHARS]:
        return code, "other_product"
    return code, "" if told == ours else "other_customer"


def _sold(answer: Fields, order: Order, code: str) -> Answer:
    told = answer.get("62", "")
    if not order.sells_token:
        receipt = receipt_no(told) if order.owes else ""
        return Answer(Outcome.PAID, "paid", code, in_format=True, receipt_no=receipt)
    found = _tokens(told)
    if not found:
        return Answer(Outcome.UNKNOWN, "paid_without_token", code, in_format=True)
    return Answer(Outcome.PAID, "paid", code, in_format=True, tokens=found)


def _tokens(told: str) -> tuple[str, ...]:
    """A count and as many tokens of 20 digits; () for anything else."""
    count, digits = told[:1], told[1:]
    written = [digits[at : at + tokens.DIGITS] for at in range(0, len(digits), tokens.DIGITS)]
    if count != str(len(written)):
        return ()
    return tokens.parse_all(";".join(written)) or ()


def _lines(written: str) -> tuple[Line, ...] | None:
    """`B`, a count, and for each month its name, amount and penalty; None for anything else."""
    match = _BILL.match(written)
    if not match or len(match[2]) != int(match[1]) * _LINE_CHARS:
        return None
    lines: list[Line] = []
    for at in range(0, len(match[2]), _LINE_CHARS):
        month, amounts = match[2][at : at + 6], match[2][at + 6 : at + _LINE_CHARS]
        if not _MONTH.match(month):
            return None
        lines.append(Line(month_label(month), int(amounts[:12]), int(amounts[12:])))
    return tuple(lines)

"""The IAK-like family, prepaid: JSON, `sign` = md5(username + api key + subject).

1. The first answer to a purchase is always PROCESS. What follows up is `check-status`, which buys
   nothing; the same purchase again would be a question too, for the biller sells a reference once.
2. Paid: HTTP 200, our reference, number, product and price, code 00, status 1 and, for
   electricity, one to three valid STS tokens.
3. Refused: status 2, our reference and a code that the market file lists. The biller says so with
   HTTP 400 too, as its documents have it; a bare 400 is a proxy's and says nothing. 39 and 05 are
   pending, 11 judges a repetition.
4. 06 in answer to the question: the biller never had our reference.
5. A callback is signed over its reference only: it says that something became of it, and we ask.

`iak_postpaid` speaks the same words.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.billers.protocols import calls
from app.billers.protocols.answers import (
    Answer,
    Bill,
    Heard,
    InquiryError,
    Order,
    Outcome,
    WebhookError,
    about_another,
)
from app.billers.protocols.digiflazz import referring_data
from app.billers.protocols.fields import (
    is_price,
    receipt_no,
    serial_tokens,
    shown_name,
    whole_minor,
)
from app.billers.protocols.http import Reply, Wire
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials

PAID_CODE, NO_SUCH_NUMBER_CODE, NOT_FOUND_CODE = "00", "14", "06"
PENDING_CODES = ("39", "05")
SUCCESS, FAILED = "1", "2"
OK = 200
READABLE = (OK, 400)
_STATUSES = ("0", SUCCESS, FAILED)
Expected = Mapping[str, tuple[str, str]]
_CODE = re.compile(r"\d{2,4}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """An answer in this family's format. `status` is "" where the answer has none."""

    data: dict[str, Any]
    code: str
    status: str
    is_ok: bool

    @property
    def transaction(self) -> str:
        """The biller's number of the transaction, "" for none."""
        number = self.data.get("tr_id")
        return str(number) if type(number) is int and 0 < number < 10**18 else ""


class IakPrepaid:
    """One biller of this family."""

    def __init__(
        self, code: str, rules: Biller, credentials: BillerCredentials, currency: Currency
    ) -> None:
        self._code = code
        self._rules = rules
        self._credentials = credentials
        self._currency = currency
        self._wire = Wire(credentials.url, connections=rules.concurrency)

    def pay(self, order: Order) -> Answer:
        """Send the purchase, or hear again what became of it."""
        body = {"customer_id": order.customer_no, "product_code": order.sku}
        return calls.settled(self._code, "pay", lambda: self._settle("/api/top-up", order, body))

    def follow_up(self, order: Order) -> Answer:
        """Ask what became of the purchase; this buys nothing."""
        call = lambda: self._settle("/api/check-status", order, {}, absent=NOT_FOUND_CODE)  # noqa: E731
        return calls.settled(self._code, "ask", call)

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:  # noqa: ARG002 - only electricity has a name check
        """Name check of an electricity customer. Raises InquiryError."""
        seconds = self._rules.inquiry_timeout_seconds
        body = {"customer_id": customer_no}

        def call() -> Bill | None:
            reply = self._send("/api/inquiry-pln", customer_no, body, seconds)
            return read_inquiry(reply, customer_no)

        return calls.inquired(self._code, call)

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:  # noqa: ARG002 - the signature is in the body
        """A callback. Raises WebhookError."""
        return heard(body, self._credentials)

    def _settle(
        self, path: str, order: Order, body: Mapping[str, str], *, absent: str = ""
    ) -> Answer:
        body = {"ref_id": order.biller_ref, **body}
        reply = self._send(path, order.biller_ref, body, self._rules.timeout_seconds)
        return read_transaction(reply, order, self._rules, self._currency, absent=absent)

    def _send(self, path: str, subject: str, body: Mapping[str, str], seconds: float) -> Reply:
        signed = {
            "username": self._credentials.username,
            **body,
            "sign": sign(self._credentials, subject),
        }
        return self._wire.call("POST", path, seconds=seconds, body=signed, readable=READABLE)


def sign(credentials: BillerCredentials, subject: str) -> str:
    """How this family signs: md5, as its documents have it."""
    text = f"{credentials.username}{credentials.api_key.get_secret_value()}{subject}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def heard(body: bytes, credentials: BillerCredentials) -> Heard:
    """The reference that a callback is about.

    Raises WebhookError `body_foreign`, `unsigned`, `signature_wrong`.
    """
    data = referring_data(body)
    written = data.get("sign")
    if not isinstance(written, str) or not written:
        raise WebhookError("unsigned")
    right = sign(credentials, data["ref_id"])
    if not hmac.compare_digest(right.encode(), written.encode(errors="replace")):
        raise WebhookError("signature_wrong")
    return Heard(data["ref_id"])


def read_form(reply: Reply, code_field: str = "rc") -> Form | None:
    """An answer in this family's format; None for any other."""
    data = reply.body.get("data")
    if not isinstance(data, dict):
        return None
    code, status = data.get(code_field), data.get("status", "")
    if not isinstance(code, str) or not _CODE.match(code):
        return None
    status = str(status) if type(status) is int else status
    if status not in ("", *_STATUSES):
        return None
    return Form(data, code, status, reply.status == OK)


def judge(form: Form, rules: Biller) -> tuple[Outcome, str]:
    """What a code and its status mean by the biller's file, and the constant name of that."""
    if form.code == PAID_CODE and form.status == SUCCESS and form.is_ok:
        return Outcome.PAID, "paid"
    if form.status == FAILED and form.code in rules.refused_codes:
        return Outcome.REFUSED, "refused"
    if form.status == FAILED and form.code in rules.refused_first_codes:
        return Outcome.REFUSED_FIRST, "refused_first"
    return Outcome.UNKNOWN, "pending" if form.code in PENDING_CODES else "code_not_final"


def other_than(form: Form, expected: Expected, *, paid: bool) -> str:
    """The name of what in an answer is not our order's, "" where all is.

    `expected`: field → the name of the difference and our value. What is no success may leave a
    field empty, except the reference.
    """
    for field, (name, ours) in expected.items():
        theirs = form.data.get(field)
        may_lack = not paid and field != "ref_id"
        if theirs != ours and not (may_lack and theirs in (None, "")):
            return name
    return ""


def read_transaction(
    reply: Reply, order: Order, rules: Biller, currency: Currency, *, absent: str = ""
) -> Answer:
    """Judge an answer about a purchase. `absent`: the code by which the biller says, to a question
    that buys nothing, that it never had our reference."""
    form = read_form(reply)
    if form is None:
        return Answer(Outcome.UNKNOWN, "body_foreign")
    outcome, reason = judge(form, rules)
    if form.code == absent and form.status == FAILED:
        outcome, reason = Outcome.ABSENT, "absent"
    paid = outcome is Outcome.PAID
    expected = {
        "ref_id": ("other_reference", order.biller_ref),
        "customer_id": ("other_customer", order.customer_no),
        "product_code": ("other_product", order.sku),
    }
    other = other_than(form, expected, paid=paid)
    price = form.data.get("price")
    priced = not rules.price_is_amount or is_price(price, order.amount_minor, currency)
    if paid and not other and not priced:
        other = "other_amount"
    if other:
        told = _sold(form, order, currency) if paid else Answer(outcome, reason, form.code)
        return about_another(told, other)
    if paid:
        return _sold(form, order, currency)
    return Answer(outcome, reason, form.code, True, biller_txn=form.transaction)


def _sold(form: Form, order: Order, currency: Currency) -> Answer:
    serial = form.data.get("sn")
    found = serial_tokens(serial) if order.sells_token else ()
    if order.sells_token and not found:
        return Answer(Outcome.UNKNOWN, "paid_without_token", form.code, True)
    return Answer(
        Outcome.PAID,
        "paid",
        form.code,
        True,
        found,
        whole_minor(form.data.get("balance"), currency),
        "" if order.sells_token else receipt_no(serial),
        form.transaction,
    )


def read_inquiry(reply: Reply, customer_no: str) -> Bill | None:
    """The customer of an answer, None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    form = read_form(reply)
    if form is None:
        raise InquiryError("body_foreign")
    code, status, whose = form.code, form.status, form.data.get("customer_id")
    if whose != customer_no and not (status == FAILED and whose in (None, "")):
        raise InquiryError("other_customer", in_format=True, code=code)
    if (code, status) == (NO_SUCH_NUMBER_CODE, FAILED):
        return None
    if (code, status) != (PAID_CODE, SUCCESS) or not form.is_ok:
        raise InquiryError("code_not_final", in_format=True, code=code)
    shown = shown_name(form.data.get("name"))
    if not shown:
        raise InquiryError("nameless", in_format=True, code=code)
    return Bill(customer_no, shown)

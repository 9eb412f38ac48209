"""The Xendit-like family: JSON, an inquiry first, then a payment that is decided a little later.

1. A payment is sent under an idempotency key, our reference: the same key with the same body is the
   same payment. What follows up only reads: by the biller's own id where we know it, else by ours.
2. Paid: HTTP 200, our reference, inquiry, number, product and amount, status SUCCEEDED and, for
   electricity, one to three valid STS tokens.
3. Refused: the same form with status FAILED and a code that the market file lists. An error with
   our reference formed no transaction: at most a refusal as the answer to the very first request.
   A conflict of keys (IDEMPOTENCY_ERROR) says nothing about the payment that holds the key.
4. An empty list for our reference: the biller never had it. Whether to send it again is the file's
   to say; its key is the same, so that it is sold once.
5. A webhook is signed over its time and its body, and counts for five minutes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from app.billers import tokens
from app.billers.protocols import calls
from app.billers.protocols.answers import (
    Answer,
    Bill,
    Heard,
    InquiryError,
    Line,
    Order,
    Outcome,
    WebhookError,
    about_another,
)
from app.billers.protocols.fields import (
    MOST_LINES,
    is_price,
    is_reference,
    month_label,
    receipt_no,
    shown_name,
    whole_minor,
)
from app.billers.protocols.http import Reply, Wire, WireError, parse_object
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials

SUCCEEDED, PENDING, FAILED = "SUCCEEDED", "PENDING", "FAILED"
NO_SUCH_ACCOUNT, NOTHING_OWED = "ACCOUNT_NOT_FOUND", "NO_OUTSTANDING_BILL"
WEBHOOK_SECONDS = 300
OK = 200
_READABLE = (OK, *range(400, 500))  # the biller's own errors; a proxy's are told by their body
_PAYMENT = "/v1/payment"
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}\Z")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_SECONDS = re.compile(r"\d{1,12}\Z", re.ASCII)
Read = Callable[[Mapping[str, Any], Order, Biller, Currency], Answer]


class Xendit:
    """One biller of this family."""

    def __init__(
        self, code: str, rules: Biller, credentials: BillerCredentials, currency: Currency
    ) -> None:
        self._code = code
        self._rules = rules
        self._auth = (credentials.api_key.get_secret_value(), "")
        self._secret = credentials.webhook_secret.get_secret_value()
        self._currency = currency
        self._wire = Wire(credentials.url, connections=rules.concurrency)

    def pay(self, order: Order) -> Answer:
        """Send the payment of an inquiry; it is mostly still pending when this answers."""
        body = {
            "reference_id": order.biller_ref,
            "inquiry_id": order.bill_ref,
            "amount": order.amount_minor // self._currency.minor_per_major,
        }
        key = {"Idempotency-Key": order.biller_ref}

        def call() -> Answer:
            reply = self._call("POST", _PAYMENT, self._rules.timeout_seconds, body, key)
            return self._judge(reply, order, read_payment)

        return calls.settled(self._code, "pay", call)

    def follow_up(self, order: Order) -> Answer:
        """Ask what became of the payment; this buys nothing."""
        by_id = f"/{order.biller_txn}" if order.biller_txn else ""
        path = _PAYMENT + (by_id or f"?reference_id={order.biller_ref}")

        def call() -> Answer:
            reply = self._call("GET", path, self._rules.timeout_seconds)
            return self._judge(reply, order, read_payment if by_id else read_found)

        return calls.settled(self._code, "ask", call)

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:  # noqa: ARG002 - the biller's own name for the inquiry is the one that is paid
        """Whose number it is and what is owed. Raises InquiryError."""
        body = {"product_code": product.sku, "account_number": customer_no}
        seconds = self._rules.inquiry_timeout_seconds

        def call() -> Bill | None:
            reply = self._call("POST", "/v1/inquiry", seconds, body)
            return read_inquiry(reply, product.sku, customer_no, self._currency)

        return calls.inquired(self._code, call)

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:
        """A webhook, signed over its time and its body. Raises WebhookError `unsigned`,
        `signature_wrong`, `too_old`, `body_foreign`."""
        self._refuse_unsigned(headers, body, now)
        try:
            told = parse_object(body)
        except WireError as error:
            raise WebhookError("body_foreign") from error
        payment = told.get("data")
        if told.get("event") != "payment.updated" or not isinstance(payment, dict):
            raise WebhookError("body_foreign")
        reference = payment.get("reference_id")
        if not is_reference(reference):
            raise WebhookError("body_foreign")
        judge = partial(read_payment, payment, rules=self._rules, currency=self._currency)
        return Heard(reference, judge)

    def _refuse_unsigned(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        stamp = headers.get("x-callback-timestamp", "")
        signature = headers.get("x-callback-signature", "")
        if not self._secret or not signature or not _SECONDS.match(stamp):
            raise WebhookError("unsigned")
        signed = stamp.encode() + b"." + body
        right = hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(right.encode(), signature.encode()):
            raise WebhookError("signature_wrong")
        if abs(now.timestamp() - int(stamp)) > WEBHOOK_SECONDS:
            raise WebhookError("too_old")

    def _judge(self, reply: Reply, order: Order, read: Read) -> Answer:
        if reply.status == OK:
            return read(reply.body, order, self._rules, self._currency)
        return read_error(reply.body, order, self._rules)

    def _call(
        self,
        method: str,
        path: str,
        seconds: float,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        return self._wire.call(
            method, path, seconds=seconds, body=body, headers=headers, auth=self._auth,
            readable=_READABLE,
        )  # fmt: skip


def read_found(body: Mapping[str, Any], order: Order, rules: Biller, currency: Currency) -> Answer:
    """Judge what the biller found under our reference: one payment, or none."""
    found = body.get("data")
    if found == []:
        return Answer(Outcome.ABSENT, "absent", in_format=True)
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        return Answer(Outcome.UNKNOWN, "body_foreign")
    return read_payment(found[0], order, rules, currency)


def read_error(body: Mapping[str, Any], order: Order, rules: Biller) -> Answer:
    """The biller's own error: no transaction was formed by this request."""
    code = body.get("error_code")
    if not isinstance(code, str) or not _CODE.match(code):
        return Answer(Outcome.UNKNOWN, "body_foreign")
    if body.get("reference_id") != order.biller_ref:
        return Answer(Outcome.UNKNOWN, "other_reference", code)
    if code in (*rules.refused_codes, *rules.refused_first_codes):
        return Answer(Outcome.REFUSED_FIRST, "refused_first", code, True)
    return Answer(Outcome.UNKNOWN, "code_not_final", code, True)


def read_payment(
    payment: Mapping[str, Any], order: Order, rules: Biller, currency: Currency
) -> Answer:
    """Judge a payment as the biller has it."""
    status, failure = payment.get("status"), payment.get("failure_code", "")
    if not isinstance(status, str) or not _CODE.match(status):
        return Answer(Outcome.UNKNOWN, "body_foreign")
    if not isinstance(failure, str) or not (failure == "" or _CODE.match(failure)):
        return Answer(Outcome.UNKNOWN, "body_foreign")
    code = failure if status == FAILED else status
    other = _other(payment, order, currency)
    if other:
        given = _tokens(payment) if order.sells_token and status == SUCCEEDED else ()
        return about_another(Answer(Outcome.UNKNOWN, other, code, tokens=given), other)
    outcome, reason = _judge(status, code, rules)
    sold: tuple[str, ...] = ()
    if outcome is Outcome.PAID and order.sells_token:
        sold = _tokens(payment)
        if not sold:
            outcome, reason = Outcome.UNKNOWN, "paid_without_token"
    receipt = "" if order.sells_token else receipt_no(payment.get("receipt_number"))
    paid = outcome is Outcome.PAID
    return Answer(
        outcome, reason, code, True, sold, None, receipt if paid else "", str(payment["id"])
    )


def _other(payment: Mapping[str, Any], order: Order, currency: Currency) -> str:
    """The name of what in it is not ours, "" where all is."""
    ours = {
        "other_reference": payment.get("reference_id") == order.biller_ref,
        "other_inquiry": payment.get("inquiry_id") == order.bill_ref,
        "other_customer": payment.get("account_number") == order.customer_no,
        "other_product": payment.get("product_code") == order.sku,
        "other_transaction": _is_its_id(payment.get("id"), order),
        "other_amount": is_price(payment.get("amount"), order.amount_minor, currency),
    }
    return next((name for name, is_ours in ours.items() if not is_ours), "")


def _is_its_id(named: object, order: Order) -> bool:
    if not isinstance(named, str) or not _ID.match(named):
        return False
    return order.biller_txn in ("", named)


def _judge(status: str, code: str, rules: Biller) -> tuple[Outcome, str]:
    if status == SUCCEEDED:
        return Outcome.PAID, "paid"
    if status == FAILED and code in rules.refused_codes:
        return Outcome.REFUSED, "refused"
    if status == FAILED and code in rules.refused_first_codes:
        return Outcome.REFUSED_FIRST, "refused_first"
    return Outcome.UNKNOWN, "pending" if status == PENDING else "code_not_final"


def _tokens(payment: Mapping[str, Any]) -> tuple[str, ...]:
    written = payment.get("tokens") or [payment.get("token")]
    if not isinstance(written, list) or not all(isinstance(one, str) for one in written):
        return ()
    return tokens.parse_all(";".join(written)) or ()


def read_inquiry(reply: Reply, sku: str, customer_no: str, currency: Currency) -> Bill | None:
    """Whose number it is and what is owed; None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    told = reply.body
    if reply.status != OK:
        _refuse_unless_unknown(told)
        return None
    if told.get("account_number") != customer_no:
        raise InquiryError("other_customer", in_format=True)
    if told.get("product_code") != sku:
        raise InquiryError("other_product", in_format=True)
    if told.get("currency", currency.code) != currency.code:
        raise InquiryError("other_currency", in_format=True)
    inquiry, name = told.get("id"), shown_name(told.get("customer_name"))
    if not isinstance(inquiry, str) or not _ID.match(inquiry):
        raise InquiryError("body_foreign")
    if not name:
        raise InquiryError("nameless", in_format=True)
    owed = whole_minor(told.get("amount"), currency)
    if owed is None:
        raise InquiryError("owed_unreadable", in_format=True)
    lines = _lines(told.get("items") or [], currency)
    # For an open amount the items are no bill; a bill whose lines do not add up is none.
    if owed and lines and sum(line.total_minor for line in lines) != owed:
        raise InquiryError("lines_differ", in_format=True)
    return Bill(customer_no, name, owed or None, lines if owed else (), inquiry)


def _refuse_unless_unknown(body: Mapping[str, Any]) -> None:
    code = body.get("error_code")
    if not isinstance(code, str) or not _CODE.match(code):
        raise InquiryError("body_foreign")
    if code == NO_SUCH_ACCOUNT:
        return
    nothing_owed = code == NOTHING_OWED
    reason = "nothing_owed" if nothing_owed else "code_not_final"
    raise InquiryError(reason, in_format=True, code=code, nothing_owed=nothing_owed)


def _lines(items: object, currency: Currency) -> tuple[Line, ...]:
    if not isinstance(items, list) or len(items) > MOST_LINES:
        raise InquiryError("lines_unreadable", in_format=True)
    return tuple(_line(item, currency) for item in items)


def _line(item: object, currency: Currency) -> Line:
    if not isinstance(item, dict):
        raise InquiryError("lines_unreadable", in_format=True)
    amount, penalty = (whole_minor(item.get(key, 0), currency) for key in ("amount", "penalty"))
    if amount is None or penalty is None:
        raise InquiryError("lines_unreadable", in_format=True)
    return Line(month_label(item.get("period") or item.get("name")), amount, penalty)

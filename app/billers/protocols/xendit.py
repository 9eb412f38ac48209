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
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from app.billers import tokens
from app.billers.protocols.answers import (
    Answer,
    Bill,
    Heard,
    InquiryError,
    Line,
    Order,
    Outcome,
    WebhookError,
)
from app.billers.protocols.fields import receipt_no, shown_name
from app.billers.protocols.http import Reply, Wire, WireError, parse_object
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials
from app.telemetry import BILLER_SECONDS

SUCCEEDED, PENDING, FAILED = "SUCCEEDED", "PENDING", "FAILED"
NO_SUCH_ACCOUNT, NOTHING_OWED = "ACCOUNT_NOT_FOUND", "NO_OUTSTANDING_BILL"
WEBHOOK_SECONDS = 300
LINES_MOST = 100
LONGEST_LABEL = 20
OK = 200
_READABLE = (OK, *range(400, 500))  # the biller's own errors; a proxy's are told by their body
_PAYMENT = "/v1/payment"
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}\Z")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_PERIOD = re.compile(r"(\d{4})(0[1-9]|1[0-2])\Z", re.ASCII)
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
        return self._settling("pay", "POST", _PAYMENT, order, body, key)

    def follow_up(self, order: Order) -> Answer:
        """Ask what became of the payment; this buys nothing."""
        if order.biller_txn:
            return self._settling("ask", "GET", f"{_PAYMENT}/{order.biller_txn}", order)
        path = f"{_PAYMENT}?reference_id={order.biller_ref}"
        return self._settling("ask", "GET", path, order, read=read_found)

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:  # noqa: ARG002 - the biller's own name for the inquiry is the one that is paid
        """Whose number it is and what is owed. Raises InquiryError."""
        body = {"product_code": product.sku, "account_number": customer_no}
        started, outcome = time.perf_counter(), "silent"
        try:
            seconds = self._rules.inquiry_timeout_seconds
            reply = self._call("POST", "/v1/inquiry", seconds, body)
            outcome = "unnamed"
            bill = read_inquiry(reply, product.sku, customer_no, self._currency)
            outcome = "known" if bill else "no_such_number"
            return bill
        except WireError as error:
            slow = error.reason in ("timeout", "connect_timeout")
            raise InquiryError(error.reason, slow=slow) from error
        finally:
            self._observe("inquire", outcome, started)

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
        if not isinstance(reference, str):
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

    def _settling(
        self,
        call: str,
        method: str,
        path: str,
        order: Order,
        body: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        read: Read | None = None,
    ) -> Answer:
        started, read = time.perf_counter(), read or read_payment
        try:
            reply = self._call(method, path, self._rules.timeout_seconds, body, headers)
            if reply.status == OK:
                answer = read(reply.body, order, self._rules, self._currency)
            else:
                answer = read_error(reply.body, order, self._rules)
        except WireError as error:
            answer = Answer(Outcome.UNKNOWN, error.reason)
        self._observe(call, answer.outcome, started)
        return answer

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

    def _observe(self, call: str, outcome: str, started: float) -> None:
        seconds = time.perf_counter() - started
        BILLER_SECONDS.labels(self._code, call, outcome).observe(seconds)


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
        return Answer(Outcome.UNKNOWN, other, code)
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
    amount = payment.get("amount")
    ours = {
        "other_reference": payment.get("reference_id") == order.biller_ref,
        "other_inquiry": payment.get("inquiry_id") == order.bill_ref,
        "other_customer": payment.get("account_number") == order.customer_no,
        "other_product": payment.get("product_code") == order.sku,
        "other_transaction": _is_its_id(payment.get("id"), order),
        "other_amount": type(amount) is int
        and amount * currency.minor_per_major == order.amount_minor,
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
        raise InquiryError("other_customer")
    if told.get("product_code") != sku:
        raise InquiryError("other_product")
    if told.get("currency", currency.code) != currency.code:
        raise InquiryError("other_currency", in_format=True)
    inquiry, name = told.get("id"), shown_name(told.get("customer_name"))
    if not isinstance(inquiry, str) or not _ID.match(inquiry):
        raise InquiryError("body_foreign")
    if not name:
        raise InquiryError("nameless", in_format=True)
    owed = _minor(told.get("amount"), currency)
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
    if not isinstance(items, list) or len(items) > LINES_MOST:
        raise InquiryError("body_foreign")
    return tuple(_line(item, currency) for item in items)


def _line(item: object, currency: Currency) -> Line:
    if not isinstance(item, dict):
        raise InquiryError("body_foreign")
    period = _PERIOD.match(str(item.get("period", "")))
    label = f"{period[2]}/{period[1]}" if period else shown_name(item.get("name"))[:LONGEST_LABEL]
    return Line(
        label, _minor(item.get("amount"), currency), _minor(item.get("penalty", 0), currency)
    )


def _minor(amount: object, currency: Currency) -> int:
    if type(amount) is not int or amount < 0:
        raise InquiryError("body_foreign")
    return amount * currency.minor_per_major

"""The Digiflazz-like family, prepaid: JSON, `sign` = md5(username + api key + reference).

1. Paying and asking are the same request with the same reference: the biller sells a reference
   once and later tells what became of it, until its horizon. `fulfilment` stops asking long before.
2. Paid: HTTP 200, our reference, number, product and amount, rc 00, status Sukses and, for
   electricity, one to three valid STS tokens.
3. Refused: the same form with status Gagal and a code that the market file lists. Nothing else is
   a refusal: 01 (time-out), 03 (pending), 49 (duplicate) and every unknown word are unknown.
4. A webhook is signed over its whole body, and judged as an answer is.

`digiflazz_postpaid` speaks the same words.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
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
from app.billers.protocols.fields import (
    is_price,
    is_reference,
    receipt_no,
    serial_tokens,
    shown_name,
    whole_minor,
)
from app.billers.protocols.http import Wire, WireError, parse_object
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials

SUCCESS, FAILED = "Sukses", "Gagal"
PAID_CODE, PENDING_CODE, NO_SUCH_NUMBER_CODE = "00", "03", "54"
_CODE = re.compile(r"[0-9A-Za-z]{1,8}\Z")


class DigiflazzPrepaid:
    """One biller of this family."""

    def __init__(
        self, code: str, rules: Biller, credentials: BillerCredentials, currency: Currency
    ) -> None:
        self._code = code
        self._rules = rules
        self._credentials = credentials
        self._currency = currency
        # Inquiries come from web processes, payments from workers; one pool is enough for either.
        self._wire = Wire(credentials.url, connections=rules.concurrency)

    def pay(self, order: Order) -> Answer:
        """Send the purchase."""
        return calls.settled(self._code, "pay", lambda: self._send(order))

    def follow_up(self, order: Order) -> Answer:
        """The purchase again under its own reference, which is this family's status check."""
        return calls.settled(self._code, "ask", lambda: self._send(order))

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:  # noqa: ARG002 - only electricity has a name check
        """Name check of an electricity customer. Raises InquiryError."""
        body = {
            "username": self._credentials.username,
            "customer_no": customer_no,
            "sign": sign(self._credentials, customer_no),
        }
        seconds = self._rules.inquiry_timeout_seconds

        def call() -> Bill | None:
            return read_inquiry(
                self._wire.post("/v1/inquiry-pln", body, seconds=seconds), customer_no
            )

        return calls.inquired(self._code, call)

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:  # noqa: ARG002 - this family dates nothing
        """A webhook. Raises WebhookError."""
        data = signed_data(headers, body, self._credentials)
        answer = {"data": data}
        judge = partial(read_transaction, answer, rules=self._rules, currency=self._currency)
        return Heard(data["ref_id"], judge)

    def _send(self, order: Order) -> Answer:
        body = {
            "username": self._credentials.username,
            "buyer_sku_code": order.sku,
            "customer_no": order.customer_no,
            "ref_id": order.biller_ref,
            "amount": order.amount_minor // self._currency.minor_per_major,
            "sign": sign(self._credentials, order.biller_ref),
        }
        answer = self._wire.post("/v1/transaction", body, seconds=self._rules.timeout_seconds)
        return read_transaction(answer, order, self._rules, self._currency)


def sign(credentials: BillerCredentials, subject: str) -> str:
    """How this family signs what is asked: md5, as its documents have it."""
    text = f"{credentials.username}{credentials.api_key.get_secret_value()}{subject}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def signed_data(
    headers: Mapping[str, str], body: bytes, credentials: BillerCredentials
) -> dict[str, Any]:
    """The data of a webhook with the biller's own signature and a reference.

    Raises WebhookError `unsigned`, `signature_wrong`, `body_foreign`.
    """
    secret = credentials.webhook_secret.get_secret_value()
    written = headers.get("x-hub-signature", "")
    if not secret or not written.startswith("sha1="):
        raise WebhookError("unsigned")
    right = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    if not hmac.compare_digest(right.encode(), written.removeprefix("sha1=").encode()):
        raise WebhookError("signature_wrong")
    return referring_data(body)


def referring_data(body: bytes) -> dict[str, Any]:
    """The data of a webhook that names a reference. Raises WebhookError `body_foreign`."""
    try:
        data = parse_object(body).get("data")
    except WireError as error:
        raise WebhookError("body_foreign") from error
    reference = data.get("ref_id") if isinstance(data, dict) else None
    if not is_reference(reference):
        raise WebhookError("body_foreign")
    assert isinstance(data, dict)
    return data


def read_transaction(
    answer: dict[str, Any],
    order: Order,
    rules: Biller,
    currency: Currency,
    *,
    price: str = "price",
    absent: str = "",
) -> Answer:
    """Judge the JSON of a 200 answer about a payment, by the rules at the head of this file.

    `price`: the field that names what was paid. `absent`: the code by which the biller says, to a
    question that buys nothing, that it never had our reference.
    """
    form = read_form(answer)
    if form is None:
        return Answer(Outcome.UNKNOWN, "body_foreign")
    data, code, status = form
    outcome, reason = judge(code, status, rules)
    if code == absent and status == FAILED:
        outcome, reason = Outcome.ABSENT, "absent"
    paid, other = outcome is Outcome.PAID, other_than(data, order)
    priced = not rules.price_is_amount or is_price(data.get(price), order.amount_minor, currency)
    if paid and not other and not priced:
        other = "other_amount"
    if other:
        told = sold(data, order, code, currency) if paid else Answer(outcome, reason, code)
        return about_another(told, other)
    return sold(data, order, code, currency) if paid else Answer(outcome, reason, code, True)


def read_form(answer: dict[str, Any]) -> tuple[dict[str, Any], str, str] | None:
    """Data, code and status of an answer in this family's format; None for any other."""
    data = answer.get("data")
    if not isinstance(data, dict):
        return None
    code, status = data.get("rc"), data.get("status")
    if not isinstance(code, str) or not _CODE.match(code) or not isinstance(status, str):
        return None
    return data, code, status


def other_than(data: Mapping[str, Any], order: Order) -> str:
    """The name of what in an answer is not our order's, "" where all is."""
    if data.get("ref_id") != order.biller_ref:
        return "other_reference"
    if data.get("customer_no") != order.customer_no:
        return "other_customer"
    return "" if data.get("buyer_sku_code") == order.sku else "other_product"


def judge(code: str, status: str, rules: Biller) -> tuple[Outcome, str]:
    """What a code and its status mean by the biller's file, and the constant name of that."""
    if code == PAID_CODE and status == SUCCESS:
        return Outcome.PAID, "paid"
    if status == FAILED and code in rules.refused_codes:
        return Outcome.REFUSED, "refused"
    if status == FAILED and code in rules.refused_first_codes:
        return Outcome.REFUSED_FIRST, "refused_first"
    return Outcome.UNKNOWN, "pending" if code == PENDING_CODE else "code_not_final"


def sold(data: Mapping[str, Any], order: Order, code: str, currency: Currency) -> Answer:
    """The answer of a sale of our order; one of electricity counts only with its tokens."""
    serial = data.get("sn")
    # Only here: other answers write a deposit of 0, and mean nothing by it.
    deposit_minor = whole_minor(data.get("buyer_last_saldo"), currency)
    if not order.sells_token:
        receipt = receipt_no(serial)
        return Answer(Outcome.PAID, "paid", code, True, (), deposit_minor, receipt)
    found = serial_tokens(serial)
    if not found:
        return Answer(Outcome.UNKNOWN, "paid_without_token", code, True)
    return Answer(Outcome.PAID, "paid", code, True, found, deposit_minor)


def read_inquiry(answer: dict[str, Any], customer_no: str) -> Bill | None:
    """The customer of a 200 answer, None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    form = read_form(answer)
    if form is None:
        raise InquiryError("body_foreign")
    data, code, status = form
    if data.get("customer_no") not in (customer_no, None):
        raise InquiryError("other_customer", in_format=True, code=code)
    if (code, status) == (NO_SUCH_NUMBER_CODE, FAILED):
        return None
    if (code, status) != (PAID_CODE, SUCCESS):
        raise InquiryError("code_not_final", in_format=True, code=code)
    if data.get("customer_no") != customer_no:
        raise InquiryError("other_customer", in_format=True, code=code)
    shown = shown_name(data.get("name"))
    if not shown:
        raise InquiryError("nameless", in_format=True, code=code)
    return Bill(customer_no, shown)

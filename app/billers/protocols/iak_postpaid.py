"""The IAK-like family, postpaid: the words of `iak`, and three commands at one address.

1. `inq-pasca` says what is owed and gives the inquiry a number, `tr_id`; `pay-pasca` pays just
   that, by the number; `checkstatus` tells by our reference what became of it and pays nothing.
2. Paid: HTTP 200, our reference and inquiry, number and product, code 00, what was owed is what we
   were asked to pay, and status 1 or, in an answer that has none, the biller's number of the sale.
   Without either it could be an inquiry's own success.
3. Refused: as in `iak`; an answer to a payment may lack the status.
4. 42 (never paid) and 06 (not found) in answer to the question: the biller never had the payment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.billers.protocols import calls
from app.billers.protocols.answers import (
    ANYBODYS,
    Answer,
    Bill,
    Heard,
    InquiryError,
    Order,
    Outcome,
    about_another,
)
from app.billers.protocols.fields import is_price, named_bill, receipt_no, whole_minor
from app.billers.protocols.http import Reply, Wire
from app.billers.protocols.iak import (
    FAILED,
    NO_SUCH_NUMBER_CODE,
    NOT_FOUND_CODE,
    PAID_CODE,
    READABLE,
    SUCCESS,
    Expected,
    Form,
    heard,
    judge,
    other_than,
    read_form,
    sign,
)
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials

PATH = "/api/v1/bill/check"
NEVER_PAID_CODE, NOTHING_OWED_CODE = "42", "01"
CODE_FIELD = "response_code"
_CHECKED = "cs"  # what the signature of a question is about


class IakPostpaid:
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
        """Pay the bill of the inquiry that the order names."""
        body = {"commands": "pay-pasca", "tr_id": int(order.bill_ref or 0)}
        return calls.settled(
            self._code, "pay", lambda: self._settle(body, order.bill_ref, order, asked=False)
        )

    def follow_up(self, order: Order) -> Answer:
        """Ask what became of the payment; this pays nothing."""
        body = {"commands": "checkstatus", "ref_id": order.biller_ref}
        return calls.settled(
            self._code, "ask", lambda: self._settle(body, _CHECKED, order, asked=True)
        )

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:
        """Whose number it is and what is owed. Raises InquiryError."""
        body = {
            "commands": "inq-pasca",
            "code": product.sku,
            "hp": customer_no,
            "ref_id": biller_ref,
        }
        asked = Order(biller_ref, product.sku, customer_no, 0)

        def call() -> Bill | None:
            reply = self._send(body, biller_ref, self._rules.inquiry_timeout_seconds)
            return read_inquiry(reply, asked, self._currency)

        return calls.inquired(self._code, call)

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:  # noqa: ARG002 - the signature is in the body
        """A callback. Raises WebhookError."""
        return heard(body, self._credentials)

    def _settle(
        self, body: Mapping[str, Any], subject: str, order: Order, *, asked: bool
    ) -> Answer:
        reply = self._send(body, subject, self._rules.timeout_seconds)
        return read_payment(reply, order, self._rules, self._currency, asked=asked)

    def _send(self, body: Mapping[str, Any], subject: str, seconds: float) -> Reply:
        signed = {
            **body,
            "username": self._credentials.username,
            "sign": sign(self._credentials, subject),
        }
        return self._wire.call("POST", PATH, seconds=seconds, body=signed, readable=READABLE)


def read_payment(
    reply: Reply, order: Order, rules: Biller, currency: Currency, *, asked: bool
) -> Answer:
    """Judge an answer. `asked`: it tells what became of a payment, and is no answer to one."""
    form = read_form(reply, CODE_FIELD)
    if form is None:
        return Answer(Outcome.UNKNOWN, "body_foreign")
    receipt = receipt_no(form.data.get("noref"))
    outcome, reason = judge(form if asked else _with_status(form, receipt), rules)
    if asked and _was_never_paid(form):
        outcome, reason = Outcome.ABSENT, "absent"
    paid = outcome is Outcome.PAID
    other = _other(form, order, currency, paid=paid)
    if other:
        return about_another(Answer(outcome, reason, form.code), other)
    deposit = whole_minor(form.data.get("balance"), currency) if paid else None
    told = receipt if paid else ""
    return Answer(outcome, reason, form.code, True, (), deposit, told, form.transaction)


def _with_status(form: Form, receipt: str) -> Form:
    """An answer to a payment may lack the status: its code stands for it, of a sale its number."""
    if form.status:
        return form
    status = FAILED if form.code != PAID_CODE else SUCCESS if receipt else ""
    return replace(form, status=status)


def _was_never_paid(form: Form) -> bool:
    if form.code == NEVER_PAID_CODE:
        return form.status != SUCCESS
    return (form.code, form.status) == (NOT_FOUND_CODE, FAILED)


def _other(form: Form, order: Order, currency: Currency, *, paid: bool) -> str:
    other = other_than(form, _expected(order), paid=paid)
    if other:
        return other
    if form.transaction != order.bill_ref and (paid or form.transaction):
        return "other_inquiry"
    if paid and not is_price(form.data.get("selling_price"), order.amount_minor, currency):
        return "other_amount"
    return ""


def _expected(order: Order) -> Expected:
    return {
        "ref_id": ("other_reference", order.biller_ref),
        "hp": ("other_customer", order.customer_no),
        "code": ("other_product", order.sku),
    }


def read_inquiry(reply: Reply, asked: Order, currency: Currency) -> Bill | None:
    """The bill of an answer, None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    form = read_form(reply, CODE_FIELD)
    if form is None:
        raise InquiryError("body_foreign")
    code, found = form.code, form.code == PAID_CODE
    other = other_than(form, _expected(asked), paid=found)
    if other:
        raise InquiryError(other, in_format=other not in ANYBODYS, code=code)
    if code == NO_SUCH_NUMBER_CODE:
        return None
    if code == NOTHING_OWED_CODE:
        raise InquiryError("nothing_owed", in_format=True, code=code, nothing_owed=True)
    if not found or not form.is_ok:
        raise InquiryError("code_not_final", in_format=True, code=code)
    if not form.transaction:
        raise InquiryError("unnumbered", in_format=True, code=code)
    name, owed = form.data.get("tr_name"), form.data.get("selling_price")
    return named_bill(
        asked.customer_no,
        name,
        owed,
        _months(form.data),
        currency,
        code=code,
        bill_ref=form.transaction,
    )


def _months(data: Mapping[str, Any]) -> object:
    described = data.get("desc")
    bills = described.get("tagihan") if isinstance(described, dict) else None
    return bills.get("detail") if isinstance(bills, dict) else None

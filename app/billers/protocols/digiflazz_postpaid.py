"""The Digiflazz-like family, postpaid: the words of `digiflazz`, and three commands.

1. `inq-pasca` says what is owed, `pay-pasca` pays just that under the SAME reference on the same
   local day, `status-pasca` tells what became of it and pays nothing.
2. Paid: our reference, number and product, rc 00, status Sukses, and what the customer owed is
   what we were asked to pay.
3. rc 50 in answer to the question: the biller never had the payment. Whether it is sent again is
   the file's to say; the biller pays a reference once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from app.billers.protocols import calls
from app.billers.protocols.answers import ANYBODYS, Answer, Bill, Heard, InquiryError, Order
from app.billers.protocols.digiflazz import (
    FAILED,
    NO_SUCH_NUMBER_CODE,
    PAID_CODE,
    SUCCESS,
    other_than,
    read_form,
    read_transaction,
    sign,
    signed_data,
)
from app.billers.protocols.fields import named_bill
from app.billers.protocols.http import Wire
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials

INQUIRE, PAY, ASK = "inq-pasca", "pay-pasca", "status-pasca"
NOT_FOUND_CODE, NO_BILL_CODE = "50", "60"


class DigiflazzPostpaid:
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
        """Pay the bill that was inquired under this reference."""
        return calls.settled(self._code, "pay", lambda: self._settle(PAY, order))

    def follow_up(self, order: Order) -> Answer:
        """Ask what became of the payment; this pays nothing."""
        return calls.settled(self._code, "ask", lambda: self._settle(ASK, order))

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:
        """Whose number it is and what is owed. Raises InquiryError."""

        def call() -> Bill | None:
            seconds = self._rules.inquiry_timeout_seconds
            answer = self._send(INQUIRE, product.sku, customer_no, biller_ref, seconds)
            asked = Order(biller_ref, product.sku, customer_no, 0)
            return read_inquiry(answer, asked, self._currency)

        return calls.inquired(self._code, call)

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:  # noqa: ARG002 - this family dates nothing
        """A webhook. Raises WebhookError."""
        data = signed_data(headers, body, self._credentials)
        answer = {"data": data}
        judge = partial(read_payment, answer, rules=self._rules, currency=self._currency)
        return Heard(data["ref_id"], judge)

    def _settle(self, command: str, order: Order) -> Answer:
        seconds = self._rules.timeout_seconds
        answer = self._send(command, order.sku, order.customer_no, order.biller_ref, seconds)
        read = read_status if command == ASK else read_payment
        return read(answer, order, self._rules, self._currency)

    def _send(
        self, command: str, sku: str, customer_no: str, biller_ref: str, seconds: float
    ) -> dict[str, Any]:
        body = {
            "commands": command,
            "username": self._credentials.username,
            "buyer_sku_code": sku,
            "customer_no": customer_no,
            "ref_id": biller_ref,
            "sign": sign(self._credentials, biller_ref),
        }
        return self._wire.post("/v1/transaction", body, seconds=seconds)


# Judge the JSON of a 200 answer: to a payment, to a question what became of one.
read_payment = partial(read_transaction, price="selling_price")
read_status = partial(read_transaction, price="selling_price", absent=NOT_FOUND_CODE)


def read_inquiry(answer: dict[str, Any], asked: Order, currency: Currency) -> Bill | None:
    """The bill of a 200 answer, None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    form = read_form(answer)
    if form is None:
        raise InquiryError("body_foreign")
    data, code, status = form
    other = other_than(data, asked)
    if other:
        raise InquiryError(other, in_format=other not in ANYBODYS, code=code)
    if (code, status) == (NO_SUCH_NUMBER_CODE, FAILED):
        return None
    if (code, status) == (NO_BILL_CODE, FAILED):
        raise InquiryError("nothing_owed", in_format=True, code=code, nothing_owed=True)
    if (code, status) != (PAID_CODE, SUCCESS):
        raise InquiryError("code_not_final", in_format=True, code=code)
    described = data.get("desc")
    months = described.get("detail") if isinstance(described, dict) else None
    name, owed = data.get("customer_name"), data.get("selling_price")
    return named_bill(asked.customer_no, name, owed, months, currency, code=code)

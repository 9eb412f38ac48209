"""The Digiflazz-like family, prepaid: JSON, `sign` = md5(username + api key + reference).

1. Paying and asking are the same request with the same reference: the biller sells a reference
   once and later tells what became of it, until its horizon. `fulfilment` stops asking long before.
2. Paid: HTTP 200, our reference, number and product, rc 00, status Sukses and a valid STS token.
3. Refused: the same form with status Gagal and a code that the market file lists. Nothing else is
   a refusal: 01 (time-out), 03 (pending), 49 (duplicate) and every unknown word are unknown.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

from app.billers import tokens
from app.billers.protocols.answers import Answer, Customer, InquiryError, Order, Outcome
from app.billers.protocols.http import Wire, WireError
from app.markets.model import Biller
from app.money import Currency
from app.settings import BillerCredentials
from app.telemetry import BILLER_SECONDS

SUCCESS, FAILED = "Sukses", "Gagal"
PAID_CODE, PENDING_CODE, NO_SUCH_NUMBER_CODE = "00", "03", "54"
LONGEST_NAME = 60
_CODE = re.compile(r"[0-9A-Za-z]{1,8}\Z")
_NOT_SHOWN = re.compile(r"[^\w .,'/&()-]+")


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
        return self._send(order, "pay")

    def ask(self, order: Order) -> Answer:
        """The purchase again under its own reference, which is this family's status check."""
        return self._send(order, "ask")

    def inquire(self, customer_no: str) -> Customer | None:
        """Name check of an electricity customer. Raises InquiryError."""
        body = {
            "username": self._credentials.username,
            "customer_no": customer_no,
            "sign": self._sign(customer_no),
        }
        started, outcome = time.perf_counter(), "silent"
        try:
            answer = self._wire.post(
                "/v1/inquiry-pln", body, seconds=self._rules.inquiry_timeout_seconds
            )
            outcome = "unnamed"
            customer = read_inquiry(answer, customer_no)
            outcome = "known" if customer else "no_such_number"
            return customer
        except WireError as error:
            slow = error.reason in ("timeout", "connect_timeout")
            raise InquiryError(error.reason, slow=slow) from error
        finally:
            self._observe("inquire", outcome, started)

    def _send(self, order: Order, call: str) -> Answer:
        body = {
            "username": self._credentials.username,
            "buyer_sku_code": order.sku,
            "customer_no": order.customer_no,
            "ref_id": order.biller_ref,
            "amount": order.amount_minor // self._currency.minor_per_major,
            "sign": self._sign(order.biller_ref),
        }
        started = time.perf_counter()
        try:
            answer = read_transaction(
                self._wire.post("/v1/transaction", body, seconds=self._rules.timeout_seconds),
                order,
                self._rules,
                self._currency,
            )
        except WireError as error:
            answer = Answer(Outcome.UNKNOWN, error.reason)
        self._observe(call, answer.outcome, started)
        return answer

    def _sign(self, subject: str) -> str:
        key = self._credentials.api_key.get_secret_value()
        text = f"{self._credentials.username}{key}{subject}"
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def _observe(self, call: str, outcome: str, started: float) -> None:
        seconds = time.perf_counter() - started
        BILLER_SECONDS.labels(self._code, call, outcome).observe(seconds)


def read_transaction(
    answer: dict[str, Any], order: Order, rules: Biller, currency: Currency
) -> Answer:
    """Judge the JSON of a 200 answer to a purchase, by the rules at the head of this file."""
    form = _form(answer)
    if form is None:
        return Answer(Outcome.UNKNOWN, "body_foreign")
    data, code, status = form
    if data.get("ref_id") != order.biller_ref:
        return Answer(Outcome.UNKNOWN, "other_reference", code)
    if data.get("customer_no") != order.customer_no:
        return Answer(Outcome.UNKNOWN, "other_customer", code)
    if data.get("buyer_sku_code", order.sku) != order.sku:
        return Answer(Outcome.UNKNOWN, "other_product", code)
    outcome, reason, sold = _judge(code, status, data.get("sn"), rules)
    deposit = data.get("buyer_last_saldo")
    deposit_minor = None
    if outcome is Outcome.PAID and type(deposit) is int:  # other answers write 0, and mean nothing
        deposit_minor = deposit * currency.minor_per_major
    return Answer(outcome, reason, code, True, sold, deposit_minor)


def _form(answer: dict[str, Any]) -> tuple[dict[str, Any], str, str] | None:
    """Data, code and status of an answer in this family's format; None for any other."""
    data = answer.get("data")
    if not isinstance(data, dict):
        return None
    code, status = data.get("rc"), data.get("status")
    if not isinstance(code, str) or not _CODE.match(code) or not isinstance(status, str):
        return None
    return data, code, status


def _judge(
    code: str, status: str, serial: object, rules: Biller
) -> tuple[Outcome, str, tuple[str, ...]]:
    if code == PAID_CODE and status == SUCCESS:
        # The serial number is the token, then name, tariff, power and kWh, with slashes between.
        token = tokens.parse(serial.split("/", 1)[0]) if isinstance(serial, str) else None
        if token is None:
            return Outcome.UNKNOWN, "paid_without_token", ()
        return Outcome.PAID, "paid", (token,)
    if status == FAILED and code in rules.refused_codes:
        return Outcome.REFUSED, "refused", ()
    if status == FAILED and code in rules.refused_first_codes:
        return Outcome.REFUSED_FIRST, "refused_first", ()
    pending = code == PENDING_CODE
    return Outcome.UNKNOWN, "pending" if pending else "code_not_final", ()


def read_inquiry(answer: dict[str, Any], customer_no: str) -> Customer | None:
    """The customer of a 200 answer, None for a number that the biller does not know.

    Raises InquiryError for any other answer, `in_format` when it is the biller's own.
    """
    form = _form(answer)
    if form is None:
        raise InquiryError("body_foreign")
    data, code, status = form
    if data.get("customer_no") not in (customer_no, None):
        raise InquiryError("other_customer", code=code)
    if (code, status) == (NO_SUCH_NUMBER_CODE, FAILED):
        return None
    if (code, status) != (PAID_CODE, SUCCESS):
        raise InquiryError("code_not_final", in_format=True, code=code)
    if data.get("customer_no") != customer_no:
        raise InquiryError("other_customer", code=code)
    name = data.get("name")
    shown = " ".join(_NOT_SHOWN.sub(" ", name).split()) if isinstance(name, str) else ""
    if not shown:
        raise InquiryError("nameless", in_format=True, code=code)
    return Customer(customer_no, shown[:LONGEST_NAME])

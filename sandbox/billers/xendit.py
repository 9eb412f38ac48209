"""The Xendit-like family: an inquiry, then a payment that is decided a little later.

1. A payment is PENDING in its first answer; its webhook, or asking, tells the rest.
2. The same idempotency key with the same body is the same payment; with another body it is a
   conflict, which says nothing about the first.
3. An error code with our reference means that no transaction was formed.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac_of
from typing import Any
from uuid import uuid4

from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.customers import Line, total
from sandbox.billers.family import LONGEST_REF, Asked, Biller, Call, Reply, World
from sandbox.billers.inquiries import Inquiry
from sandbox.billers.till import NoDepositError, NotFormedError
from sandbox.billers.transactions import PENDING, SOLD, Order, Transaction
from sandbox.billers.webhooks import Message

DECIDED_SECONDS = 0.3
INQUIRY_SECONDS = 1800
LARGEST = 10_000_000
REJECTED = "BILLER_REJECTED"
_PAYMENT = "/v1/payment"
_ERRORS = {
    "INVALID_API_KEY": (401, "The API key is not valid"),
    "API_VALIDATION_ERROR": (400, "The request is not as it should be"),
    "PRODUCT_NOT_FOUND": (404, "There is no such product"),
    "ACCOUNT_NOT_FOUND": (404, "There is no such account"),
    "NO_OUTSTANDING_BILL": (409, "Nothing is outstanding"),
    "INQUIRY_REJECTED": (422, "The biller refuses this inquiry"),
    "INQUIRY_NOT_FOUND": (404, "There is no such inquiry"),
    "INQUIRY_EXPIRED": (410, "The inquiry has expired"),
    "AMOUNT_NOT_ALLOWED": (400, "This amount cannot be paid"),
    "INSUFFICIENT_BALANCE": (400, "The balance is too small"),
    "IDEMPOTENCY_ERROR": (409, "This key was used with another request"),
    "PAYMENT_NOT_FOUND": (404, "There is no such payment"),
}


class Xendit(Biller):
    """Whatever has an inquiry: premiums, bills, tokens."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._hooks = self._webhooks(world, self._webhook)
        self._asked = self._inquiries(world)

    def call(self, method: str, path: str) -> Call | None:
        calls = {
            ("GET", "/v1/product"): Call("inquiry", self._products),
            ("POST", "/v1/inquiry"): Call("inquiry", self._inquire),
            ("POST", _PAYMENT): Call("transaction", self._pay),
            ("GET", _PAYMENT): Call("status", self._by_reference),
        }
        found = calls.get((method, path))
        if found is None and method == "GET" and path.startswith(f"{_PAYMENT}/"):
            payment_id = path.removeprefix(f"{_PAYMENT}/")
            return Call("status", lambda asked: self._by_id(asked, payment_id))
        return found

    def knows(self, asked: Asked) -> bool:
        if "product_code" in asked.body:
            return self.account.product(asked.body["product_code"]) is not None
        if "inquiry_id" in asked.body:
            return self._asked.get(asked.text("inquiry_id")) is not None
        return self.till.find(asked.query.get("reference_id", "")) is not None

    def _products(self, asked: Asked) -> Reply:
        if not self._is_ours(asked):
            return _error("INVALID_API_KEY")
        return Reply({"data": [_product(one) for one in self.account.products]})

    def _inquire(self, asked: Asked) -> Reply:
        if not self._is_ours(asked):
            return _error("INVALID_API_KEY")
        number = asked.text("account_number")
        product = self.account.product(asked.body.get("product_code"))
        if product is None or not number:
            return _error("PRODUCT_NOT_FOUND" if product is None else "API_VALIDATION_ERROR")
        if self._refuses_inquiry():
            return _error("INQUIRY_REJECTED")
        if not self.customers.exists(product, number):
            return _error("ACCOUNT_NOT_FOUND")
        lines = self.customers.owed(product, number)
        if product.owes and not lines:
            return _error("NO_OUTSTANDING_BILL")
        return Reply(self._shown(self._keep(product, number, lines)))

    def _keep(self, product: Product, number: str, lines: tuple[Line, ...]) -> Inquiry:
        owed = total(lines) if product.owes else product.price or Decimal(0)
        expires = datetime.now(UTC) + timedelta(seconds=INQUIRY_SECONDS)
        inquiry_id = f"inq_{uuid4().hex}"
        inquiry = {
            "sku": product.sku,
            "customer_no": number,
            "owed": int(owed),
            "items": [_item(line) for line in lines],
            "expires_at": expires.isoformat(timespec="seconds"),
            **_bounds(product, owed),
        }
        return self._asked.keep(inquiry_id, inquiry)

    def _shown(self, inquiry: Inquiry) -> dict[str, Any]:
        return {
            "id": inquiry["key"],
            "product_code": inquiry["sku"],
            "account_number": inquiry["customer_no"],
            "customer_name": self.customers.name(inquiry["customer_no"]),
            "currency": self.customers.currency,
            "amount": inquiry["owed"],
            "min_amount": inquiry["min_amount"],
            "max_amount": inquiry["max_amount"],
            "expires_at": inquiry["expires_at"],
            "items": inquiry["items"],
        }

    def _pay(self, asked: Asked) -> Reply:
        ref_id, amount = asked.text("reference_id"), asked.body.get("amount")
        if not self._is_ours(asked):
            return _error("INVALID_API_KEY", ref_id)
        well_formed = ref_id and asked.text("inquiry_id") and len(ref_id) <= LONGEST_REF
        if not well_formed or type(amount) is not int or asked.idempotency_key != ref_id:
            return _error("API_VALIDATION_ERROR", ref_id)
        first = self.till.find(ref_id)
        if first is not None:
            this = (asked.text("inquiry_id"), Decimal(amount))
            same = this == (first.facts["inquiry_id"], first.amount)
            if not same or self.till.is_called_duplicate(ref_id):
                return _error("IDEMPOTENCY_ERROR", ref_id)
            return Reply(self._payment(first))
        return self._buy(ref_id, self._asked.get(asked.text("inquiry_id")), Decimal(amount))

    def _buy(self, ref_id: str, inquiry: Inquiry | None, amount: Decimal) -> Reply:
        refusal = _refusal(inquiry, amount)
        if refusal or inquiry is None:
            return _error(refusal, ref_id)
        try:
            sale = self.till.sell(self._order(ref_id, inquiry, amount))
        except NoDepositError:
            return _error("INSUFFICIENT_BALANCE", ref_id)
        except NotFormedError:
            return _error("INQUIRY_EXPIRED", ref_id)
        self._hooks.follow(sale)
        lost = sale.outcome == "refuse_after_lost_reply"
        return Reply(self._payment(sale.transaction, PENDING), lost=lost)

    def _order(self, ref_id: str, inquiry: Inquiry, amount: Decimal) -> Order:
        product = self.account.product(inquiry["sku"])
        assert product is not None
        number = inquiry["customer_no"]

        def judge() -> str:
            owed = self.customers.owes(product, number)
            too_much = amount > owed if product.pay in ("exact", "partial") else not owed
            return REJECTED if product.owes and too_much else SOLD

        return Order(
            ref_id=ref_id,
            customer_no=number,
            sku=product.sku,
            amount=amount,
            refused=REJECTED,
            judge=judge,
            wait=DECIDED_SECONDS,
            gives_token=product.gives_token,
            facts={"id": f"pay_{uuid4().hex}", "inquiry_id": inquiry["key"]},
        )

    def _by_reference(self, asked: Asked) -> Reply:
        if not self._is_ours(asked):
            return _error("INVALID_API_KEY")
        found = self.till.find(asked.query.get("reference_id", ""))
        return Reply({"data": [self._payment(found)] if found else []})

    def _by_id(self, asked: Asked, payment_id: str) -> Reply:
        if not self._is_ours(asked):
            return _error("INVALID_API_KEY")
        found = self.till.find_by_fact("id", payment_id)
        return Reply(self._payment(found)) if found else _error("PAYMENT_NOT_FOUND")

    def _payment(self, transaction: Transaction, word: str = "") -> dict[str, Any]:
        word = word or transaction.rc_at(time.time())
        return {
            "id": transaction.facts["id"],
            "reference_id": transaction.ref_id,
            "inquiry_id": transaction.facts["inquiry_id"],
            "product_code": transaction.sku,
            "account_number": transaction.customer_no,
            "amount": int(transaction.amount),
            **_outcome(transaction, word),
        }

    def _webhook(self, ref_id: str, wrong: bool) -> Message:
        transaction = self.till.find(ref_id)
        assert transaction is not None
        payment = self._payment(transaction)
        body = json.dumps({"event": "payment.updated", "data": payment}).encode()
        timestamp = str(int(time.time()))
        secret = "wrong" if wrong else self.account.webhook_secret
        signed = timestamp.encode() + b"." + body
        signature = hmac_of(secret.encode(), signed, sha256).hexdigest()
        headers = {"X-Callback-Timestamp": timestamp, "X-Callback-Signature": signature}
        return Message(body, headers)

    def _is_ours(self, asked: Asked) -> bool:
        return compare_digest(asked.user.encode(), self.account.api_key.encode())


def _refusal(inquiry: Inquiry | None, amount: Decimal) -> str:
    """The error that forms no transaction, or an empty one."""
    if inquiry is None:
        return "INQUIRY_NOT_FOUND"
    if datetime.fromisoformat(inquiry["expires_at"]) < datetime.now(UTC):
        return "INQUIRY_EXPIRED"
    allowed = inquiry["min_amount"] <= amount <= inquiry["max_amount"]
    return "" if allowed else "AMOUNT_NOT_ALLOWED"


def _bounds(product: Product, owed: Decimal) -> dict[str, int]:
    """The least and the most that can be paid."""
    if product.price is not None:
        return {"min_amount": int(product.price), "max_amount": int(product.price)}
    least = {"exact": int(owed)}.get(product.pay, 1)
    most = {"exact": int(owed), "partial": int(owed)}.get(product.pay, LARGEST)
    return {"min_amount": least, "max_amount": most}


def _product(product: Product) -> dict[str, Any]:
    price = int(product.price or 0)
    return {
        "code": product.sku,
        "name": product.category,
        "min": price or 1,
        "max": price or LARGEST,
    }


def _item(line: Line) -> dict[str, Any]:
    period = {"period": line.period} if line.period else {}
    return {
        "name": line.name,
        **period,
        "amount": int(line.amount),
        "penalty": int(line.penalty),
    }


def _outcome(transaction: Transaction, word: str) -> dict[str, Any]:
    if word == PENDING:
        return {"status": "PENDING"}
    if word != SOLD:
        return {"status": "FAILED", "failure_code": REJECTED}
    sold: dict[str, Any] = {"status": "SUCCEEDED", "receipt_number": transaction.receipt}
    if transaction.tokens:
        sold |= {"token": transaction.tokens[0], "tokens": list(transaction.tokens)}
    return sold


def _error(code: str, reference_id: str = "") -> Reply:
    status, message = _ERRORS[code]
    named = {"reference_id": reference_id} if reference_id else {}
    return Reply({"error_code": code, **named, "message": message}, status)

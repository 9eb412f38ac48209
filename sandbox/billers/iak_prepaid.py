"""The IAK-like family, prepaid: data bundles, TV and tokens, at a fixed price each.

1. The first answer to a purchase is always PROCESS, whatever becomes of it.
2. The same reference again is a status check; about another customer or product it is 11.
"""

from decimal import Decimal
from typing import Any

from sandbox import meters
from sandbox.billers.accounts import Product
from sandbox.billers.digiflazz import serial_of
from sandbox.billers.family import Asked, Call, Reply, by_test_number
from sandbox.billers.iak import FAILED, MESSAGES, NOT_FORMED, Iak, status_of, word_of
from sandbox.billers.till import NoDepositError, NotFormedError
from sandbox.billers.transactions import Order, Transaction

PROCESS_SECONDS = 0.3


class IakPrepaid(Iak):
    """Data bundles, TV and tokens, at a fixed price each."""

    def call(self, method: str, path: str) -> Call | None:
        calls = {
            ("POST", "/api/top-up"): Call("transaction", self._top_up),
            ("POST", "/api/check-status"): Call("status", self._check),
            ("POST", "/api/inquiry-pln"): Call("inquiry", self._name),
        }
        return calls.get((method, path))

    def knows(self, asked: Asked) -> bool:
        if "product_code" in asked.body:
            return self.account.product(asked.body["product_code"]) is not None
        return "ref_id" not in asked.body or self.till.find(asked.text("ref_id")) is not None

    def _top_up(self, asked: Asked) -> Reply:
        ref_id = asked.text("ref_id")
        refusal = self._refusal(asked, ref_id, "ref_id", "customer_id", "product_code")
        if refusal:
            return self._turned_away(asked, refusal)
        first = self.till.find(ref_id)
        if first is not None:
            same = (asked.text("customer_id"), asked.text("product_code"))
            if same != (first.customer_no, first.sku) or self.till.is_called_duplicate(ref_id):
                return self._turned_away(asked, "11")
            return Reply({"data": self._status(first)})
        product = self.account.product(asked.text("product_code"))
        if product is None or product.price is None:
            return self._turned_away(asked, "20")
        return self._buy(asked, product, product.price)

    def _buy(self, asked: Asked, product: Product, price: Decimal) -> Reply:
        customer_no = asked.text("customer_id")
        rc, wait = by_test_number(product, customer_no, FAILED)
        if not self.customers.exists(product, customer_no):
            rc = "14"
        order = Order(
            ref_id=asked.text("ref_id"),
            customer_no=customer_no,
            sku=product.sku,
            amount=price,
            refused=FAILED,
            judge=lambda: rc,
            wait=wait or PROCESS_SECONDS,
            gives_token=product.gives_token,
            facts={"tr_id": str(next(self._numbers))},
        )
        try:
            sale = self.till.sell(order)
        except NoDepositError:
            return self._turned_away(asked, "17")
        except NotFormedError:
            return self._turned_away(asked, "106")
        self._hooks.follow(sale)
        answer = self._data(sale.transaction, "39") if sale.new else self._status(sale.transaction)
        return Reply({"data": answer}, lost=sale.outcome == "refuse_after_lost_reply")

    def _check(self, asked: Asked) -> Reply:
        ref_id = asked.text("ref_id")
        refusal = self._refusal(asked, ref_id, "ref_id")
        if refusal:
            return self._turned_away(asked, refusal)
        found = self.till.find(ref_id)
        if found is None:
            return self._turned_away(asked, "06")
        return Reply({"data": self._status(found)})

    def _name(self, asked: Asked) -> Reply:
        """Whose meter this is."""
        meter = asked.text("customer_id")
        refusal = self._refusal(asked, meter, "customer_id")
        if refusal:
            return self._turned_away(asked, refusal)
        rc = "00" if meters.exists(meter) else "14"
        rc = FAILED if self._refuses_inquiry() else rc
        known = meter if rc == "00" else ""
        segment, power = meters.segment(known)
        data = {
            "status": "1" if known else "2",
            "customer_id": meter,
            "meter_no": known,
            "subscriber_id": meters.subscriber(known) if known else "",
            "name": self.customers.name(known) if known else "",
            "segment_power": f"{segment} /{power:09d}" if known else "",
            "message": MESSAGES[rc],
            "rc": rc,
        }
        return Reply({"data": data})

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        return self._data(transaction, word_of(transaction))

    def _data(self, transaction: Transaction, rc: str) -> dict[str, Any]:
        serial = serial_of(transaction, self.customers.region) if rc == "00" else ""
        return {
            "ref_id": transaction.ref_id,
            "status": status_of(rc),
            "product_code": transaction.sku,
            "customer_id": transaction.customer_no,
            "price": int(transaction.amount),
            "message": MESSAGES[rc],
            "sn": serial,
            "balance": int(transaction.saldo),
            "tr_id": int(transaction.facts["tr_id"]),
            "rc": rc,
        }

    def _told_back(self, transaction: Transaction) -> dict[str, Any]:
        data = self._status(transaction)
        texts = {name: str(data[name]) for name in ("status", "price", "balance", "tr_id")}
        return {**data, **texts, "pin": ""}

    def _turned_away(self, asked: Asked, rc: str) -> Reply:
        data = {
            "ref_id": asked.text("ref_id"),
            "status": 2,
            "product_code": asked.text("product_code"),
            "customer_id": asked.text("customer_id"),
            "price": 0,
            "message": MESSAGES[rc],
            "balance": 0,
            "tr_id": 0,
            "rc": rc,
        }
        return Reply({"data": data}, NOT_FORMED)

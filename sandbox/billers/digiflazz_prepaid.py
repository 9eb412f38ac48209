"""The Digiflazz-like family, prepaid: tokens, and anything else that is sold at once."""

import time
from decimal import Decimal
from typing import Any

from sandbox import meters
from sandbox.billers.accounts import Product
from sandbox.billers.digiflazz import (
    PATH,
    REFUSED,
    RESULTS,
    WORDS,
    Digiflazz,
    data_of,
    result,
    same,
    serial_of,
)
from sandbox.billers.family import Answer, Asked, Call, Reply, by_test_number
from sandbox.billers.till import Sale
from sandbox.billers.transactions import Order, Transaction


class DigiflazzPrepaid(Digiflazz):
    """Prepaid electricity, and anything else that is sold at once."""

    def call(self, method: str, path: str) -> Call | None:
        calls = {
            PATH: Call("transaction", self._pay),
            ("POST", "/v1/inquiry-pln"): Call("inquiry", self._name),
        }
        return calls.get((method, path))

    def knows(self, asked: Asked) -> bool:
        if "commands" in asked.body:
            return False
        return "ref_id" not in asked.body or self._product(asked) is not None

    def _product(self, asked: Asked) -> Product | None:
        return self.account.product(asked.body.get("buyer_sku_code"))

    def _pay(self, asked: Asked) -> Reply:
        """Buy, or hear again what became of the first purchase under this reference."""
        product = self._product(asked)
        amount = _amount(asked, product)
        refusal = self._refusal(asked) or ("" if amount else "40")
        if refusal:
            return Reply(result(asked.body, refusal))
        first = self.till.find(asked.text("ref_id"))
        if first is not None:
            if not _repeats(asked, amount, first):
                return Reply(result(asked.body, "49"))
            return self._told(Sale(first, new=False), asked.body)
        if product is None:
            return Reply(result(asked.body, "43"))
        return self._buy(asked, product, amount)

    def _buy(self, asked: Asked, product: Product, amount: Decimal) -> Reply:
        customer_no = asked.text("customer_no")
        rc, wait = by_test_number(product, customer_no, REFUSED)
        if not self.customers.exists(product, customer_no):
            rc = "54"
        order = Order(
            ref_id=asked.text("ref_id"),
            customer_no=customer_no,
            sku=product.sku,
            amount=amount,
            refused=REFUSED,
            judge=lambda: rc,
            wait=wait,
            gives_token=product.gives_token,
        )
        return self._sold(order, asked.body)

    def _name(self, asked: Asked) -> Reply:
        """Whose meter this is."""
        meter = asked.text("customer_no")
        if not meter or not asked.text("sign"):
            rc = "40"
        elif asked.body.get("username") != self.account.username:
            rc = "42"
        elif not self._signed(asked.text("sign"), meter):
            rc = "41"
        else:
            rc = "00" if meters.exists(meter) else "54"
        answer = _name_of(meter, rc, self.customers.region)
        if self._refuses_inquiry():
            answer["data"] |= {"status": "Gagal", "rc": REFUSED, "message": "Transaksi Gagal"}
        return Reply(answer)

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        rc = WORDS.get(word := transaction.rc_at(time.time()), word)
        asked = {
            "ref_id": transaction.ref_id,
            "customer_no": transaction.customer_no,
            "buyer_sku_code": transaction.sku,
        }
        serial = serial_of(transaction, self.customers.region) if rc == "00" else ""
        saldo, price = int(transaction.saldo), int(transaction.amount)
        return data_of(rc, asked, sn=serial, saldo=saldo, price=price)


def _amount(asked: Asked, product: Product | None) -> Decimal:
    """What is bought; 0 when that cannot be read."""
    if product is not None and product.price is not None:
        return product.price
    amount = asked.body.get("amount")
    return Decimal(amount) if type(amount) is int and amount > 0 else Decimal(0)


def _repeats(asked: Asked, amount: Decimal, first: Transaction) -> bool:
    return same(asked, first.customer_no, first.sku) and amount == first.amount


def _name_of(meter: str, rc: str, region: str) -> Answer:
    status, message = RESULTS[rc]
    known = meter if rc == "00" else ""
    segment, power = meters.segment(known)
    data = {
        "message": message,
        "status": status,
        "rc": rc,
        "customer_no": meter,
        "meter_no": known,
        "subscriber_id": meters.subscriber(known) if known else "",
        "name": meters.owner(known, region) if known else "",
        "segment_power": f"{segment} /{power:09d}" if known else "",
    }
    return {"data": data}

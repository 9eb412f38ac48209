"""The Digiflazz-like family, postpaid: a bill is asked for, then paid under the same reference.

It is paid on the local day of its inquiry, and exactly.
"""

import time
from decimal import Decimal
from typing import Any

from sandbox.billers.accounts import BillerAccount
from sandbox.billers.customers import Line, total
from sandbox.billers.digiflazz import PATH, REFUSED, RESULTS, WORDS, Digiflazz, result, same
from sandbox.billers.family import Asked, Call, Reply, World, by_test_number
from sandbox.billers.inquiries import Inquiry
from sandbox.billers.till import Sale
from sandbox.billers.transactions import Order, Transaction


class DigiflazzPostpaid(Digiflazz):
    """Bills: asked for, then paid exactly under the same reference on the same day."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._asked = self._inquiries(world)

    def call(self, method: str, path: str) -> Call | None:
        return Call("transaction", self._command) if (method, path) == PATH else None

    def name_of_call(self, asked: Asked) -> str:
        """All three come to one address; faults tell them apart."""
        names = {"inq-pasca": "inquiry", "status-pasca": "status"}
        return names.get(asked.text("commands"), "transaction")

    def knows(self, asked: Asked) -> bool:
        sku = asked.body.get("buyer_sku_code")
        return "commands" in asked.body and self.account.product(sku) is not None

    def _command(self, asked: Asked) -> Reply:
        acts = {
            "inq-pasca": self._inquire,
            "pay-pasca": self._pay,
            "status-pasca": self._ask_status,
        }
        act = acts.get(asked.text("commands"))
        refusal = self._refusal(asked) or ("" if act else "40")
        if refusal or act is None:
            return Reply(result(asked.body, refusal))
        if self.account.product(asked.text("buyer_sku_code")) is None:
            return Reply(result(asked.body, "43"))
        return act(asked)

    def _inquire(self, asked: Asked) -> Reply:
        if self._refuses_inquiry():
            return Reply(result(asked.body, REFUSED))
        earlier = self._asked.get(asked.text("ref_id"))
        if earlier is not None:
            if not self._is_current(asked, earlier):
                return Reply(result(asked.body, "49"))
            return Reply({"data": self._bill("00", earlier)})
        sku, customer_no = asked.text("buyer_sku_code"), asked.text("customer_no")
        product = self.account.product(sku)
        assert product is not None
        if not self.customers.exists(product, customer_no):
            return Reply(result(asked.body, "54"))
        lines = self.customers.owed(product, customer_no)
        if not lines:
            return Reply(result(asked.body, "60"))
        inquiry: Inquiry = {
            "ref_id": asked.text("ref_id"),
            "customer_no": customer_no,
            "sku": sku,
            "day": self.customers.today().isoformat(),
            "owed": int(total(lines)),
            "detail": [_detail(line) for line in lines],
        }
        return Reply({"data": self._bill("00", self._asked.keep(inquiry["ref_id"], inquiry))})

    def _is_current(self, asked: Asked, inquiry: Inquiry) -> bool:
        today = inquiry["day"] == self.customers.today().isoformat()
        return today and same(asked, inquiry["customer_no"], inquiry["sku"])

    def _pay(self, asked: Asked) -> Reply:
        first = self.till.find(asked.text("ref_id"))
        if first is not None:
            if not same(asked, first.customer_no, first.sku):
                return Reply(result(asked.body, "49"))
            return self._told(Sale(first, new=False), asked.body)
        inquiry = self._asked.get(asked.text("ref_id"))
        if inquiry is None or inquiry["day"] != self.customers.today().isoformat():
            return Reply(result(asked.body, "50"))
        if not same(asked, inquiry["customer_no"], inquiry["sku"]):
            return Reply(result(asked.body, "49"))
        return self._sold(self._order(inquiry), asked.body)

    def _order(self, inquiry: Inquiry) -> Order:
        product = self.account.product(inquiry["sku"])
        assert product is not None
        customer_no, amount = inquiry["customer_no"], Decimal(inquiry["owed"])
        rc, wait = by_test_number(product, customer_no, REFUSED)

        def judge() -> str:
            still_owed = self.customers.owes(product, customer_no) == amount
            return rc if still_owed else REFUSED

        return Order(
            ref_id=inquiry["ref_id"],
            customer_no=customer_no,
            sku=product.sku,
            amount=amount,
            refused=REFUSED,
            judge=judge,
            wait=wait,
        )

    def _ask_status(self, asked: Asked) -> Reply:
        paid = self.till.find(asked.text("ref_id"))
        if paid is None:
            return Reply(result(asked.body, "50"))
        if not same(asked, paid.customer_no, paid.sku):
            return Reply(result(asked.body, "49"))
        return Reply({"data": self._status(paid)})

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        rc = WORDS.get(word := transaction.rc_at(time.time()), word)
        inquiry = self._asked.get(transaction.ref_id)
        assert inquiry is not None
        serial = transaction.receipt if rc == "00" else ""
        return {
            **self._bill(rc, inquiry),
            "sn": serial,
            "buyer_last_saldo": int(transaction.saldo),
        }

    def _bill(self, rc: str, inquiry: Inquiry) -> dict[str, Any]:
        status, message = RESULTS[rc]
        detail = inquiry["detail"]
        return {
            "ref_id": inquiry["ref_id"],
            "customer_no": inquiry["customer_no"],
            "customer_name": self.customers.name(inquiry["customer_no"]),
            "buyer_sku_code": inquiry["sku"],
            "admin": 0,
            "message": message,
            "status": status,
            "rc": rc,
            "periode": ",".join(one["periode"] for one in detail if one["periode"]),
            "price": inquiry["owed"],
            "selling_price": inquiry["owed"],
            "desc": {"lembar_tagihan": len(detail), "detail": detail},
        }


def _detail(line: Line) -> dict[str, str]:
    return {
        "periode": line.period,
        "nilai_tagihan": str(int(line.amount)),
        "admin": "0",
        "denda": str(int(line.penalty)),
    }

"""The IAK-like families, prepaid and postpaid.

1. The first answer to a prepaid purchase is always PROCESS, whatever becomes of it.
2. The same reference again is a status check; about another customer or product it is 11.
3. What forms no transaction is said with HTTP 400, in this family's own body.
4. The callback's signature does not cover what it says.
"""

import itertools
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox import meters
from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.customers import Line, total
from sandbox.billers.digiflazz import serial_of
from sandbox.billers.family import (
    LONGEST_REF,
    Answer,
    Asked,
    Biller,
    Call,
    Reply,
    World,
    by_test_number,
)
from sandbox.billers.inquiries import Inquiry
from sandbox.billers.till import (
    DEPOSIT,
    PENDING,
    UNDONE,
    NoDepositError,
    NotFormedError,
    Order,
    Transaction,
)
from sandbox.billers.webhooks import Message

PROCESS_SECONDS = 0.3
FAILED = "07"
MESSAGES = {
    "00": "SUCCESS",
    "01": "INVOICE HAS BEEN PAID",
    "06": "TRANSACTION NOT FOUND",
    "07": "FAILED",
    "11": "DUPLICATE REF ID",
    "14": "INCORRECT DESTINATION NUMBER",
    "17": "INSUFFICIENT DEPOSIT",
    "20": "CODE NOT FOUND",
    "37": "FAILED",
    "39": "PROCESS",
    "42": "PAYMENT NEVER RECEIVED",
    "102": "INVALID SIGN",
    "106": "PRODUCT IS TEMPORARILY OUT OF SERVICE",
    "205": "WRONG COMMAND",
}
_STATUSES = {"00": 1, "39": 0, "42": 0}  # every other code is status 2
_WORDS = {PENDING: "39", UNDONE: FAILED}
_NOT_FORMED = 400


class _Iak(Biller):
    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._hooks = self._webhooks(world, self._callback)
        self._asked = self._inquiries(world)
        self._numbers = itertools.count(int(time.time() * 1000))

    def _refusal(self, asked: Asked, subject: str, *names: str) -> str:
        """The code by which a request is turned away at the door, or an empty one."""
        texts = [asked.text(name) for name in ("username", "sign", *names)]
        if not all(texts) or len(asked.text("ref_id")) > LONGEST_REF:
            return "205"
        right = asked.text("username") == self.account.username
        return "" if right and self._signed(asked.text("sign"), subject) else "102"

    def _callback(self, ref_id: str, wrong: bool) -> Message:
        transaction = self.till.find(ref_id)
        assert transaction is not None
        sign = "0" * 32 if wrong else self._sign(ref_id)
        body = {"data": {**self._told_back(transaction), "sign": sign}}
        return Message(json.dumps(body).encode())

    def _told_back(self, transaction: Transaction) -> dict[str, Any]:
        raise NotImplementedError


class IakPrepaid(_Iak):
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
        return self._data(transaction, _word(transaction))

    def _data(self, transaction: Transaction, rc: str) -> dict[str, Any]:
        serial = serial_of(transaction, self.customers.region) if rc == "00" else ""
        return {
            "ref_id": transaction.ref_id,
            "status": _status_of(rc),
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
        return Reply({"data": data}, _NOT_FORMED)


class IakPostpaid(_Iak):
    """Bills: an inquiry gives a number, which is then paid, exactly."""

    def call(self, method: str, path: str) -> Call | None:
        here = (method, path) == ("POST", "/api/v1/bill/check")
        return Call("transaction", self._command) if here else None

    def name_of_call(self, asked: Asked) -> str:
        names = {"inq-pasca": "inquiry", "checkstatus": "status"}
        return names.get(asked.text("commands"), "transaction")

    def knows(self, asked: Asked) -> bool:
        if "code" in asked.body:
            return self.account.product(asked.body["code"]) is not None
        number = asked.body.get("tr_id", asked.body.get("ref_id"))
        return self._asked.get(str(number)) is not None

    def _command(self, asked: Asked) -> Reply:
        acts = {"inq-pasca": self._inquire, "pay-pasca": self._pay, "checkstatus": self._check}
        act = acts.get(asked.text("commands"))
        return act(asked) if act else self._turned_away(asked, "205")

    def _inquire(self, asked: Asked) -> Reply:
        ref_id, code, customer_no = asked.text("ref_id"), asked.text("code"), asked.text("hp")
        product = self.account.product(code)
        refusal = self._refusal(asked, ref_id, "ref_id", "code", "hp")
        refusal = refusal or ("" if product else "20")
        if refusal or product is None:
            return self._turned_away(asked, refusal)
        if self._refuses_inquiry():
            return self._turned_away(asked, "37", 200)
        earlier = self._asked.get(ref_id)
        if earlier is not None:
            if (code, customer_no) != (earlier["sku"], earlier["customer_no"]):
                return self._turned_away(asked, "11")
            return self._told(self._bill(earlier))
        if not self.customers.exists(product, customer_no):
            return self._turned_away(asked, "14", 200)
        lines = self.customers.owed(product, customer_no)
        if not lines:
            return self._turned_away(asked, "01", 200)
        return self._told(self._bill(self._keep(ref_id, product, customer_no, lines)))

    def _keep(
        self, ref_id: str, product: Product, customer_no: str, lines: tuple[Line, ...]
    ) -> Inquiry:
        tr_id = next(self._numbers)
        inquiry = {
            "tr_id": tr_id,
            "ref_id": ref_id,
            "sku": product.sku,
            "customer_no": customer_no,
            "owed": int(total(lines)),
            "detail": [_detail(line) for line in lines],
        }
        return self._asked.keep(ref_id, inquiry, also=str(tr_id))

    def _pay(self, asked: Asked) -> Reply:
        tr_id = asked.body.get("tr_id")
        number = str(tr_id) if type(tr_id) is int else ""
        refusal = self._refusal(asked, number) if number else "205"
        if refusal:
            return self._turned_away(asked, refusal)
        inquiry = self._asked.get(number)
        if inquiry is None:
            return self._turned_away(asked, "06")
        try:
            sale = self.till.sell(self._order(inquiry))
        except NoDepositError:
            return self._turned_away(inquiry, "17")
        except NotFormedError:
            return self._turned_away(inquiry, "106")
        self._hooks.follow(sale)
        if not sale.new and self.till.is_called_duplicate(inquiry["ref_id"]):
            return self._turned_away(inquiry, "11")
        return self._told(
            self._status(sale.transaction), lost=sale.outcome == "refuse_after_lost_reply"
        )

    def _order(self, inquiry: Inquiry) -> Order:
        product = self.account.product(inquiry["sku"])
        assert product is not None
        customer_no, amount = inquiry["customer_no"], Decimal(inquiry["owed"])
        rc, wait = by_test_number(product, customer_no, "37")

        def judge() -> str:
            return rc if self.customers.owes(product, customer_no) == amount else "37"

        return Order(
            ref_id=inquiry["ref_id"],
            customer_no=customer_no,
            sku=product.sku,
            amount=amount,
            refused="37",
            judge=judge,
            wait=wait,
        )

    def _check(self, asked: Asked) -> Reply:
        ref_id = asked.text("ref_id")
        refusal = self._refusal(asked, "cs", "ref_id")
        if refusal:
            return self._turned_away(asked, refusal)
        paid, inquiry = self.till.find(ref_id), self._asked.get(ref_id)
        if paid is not None:
            return self._told(self._status(paid))
        if inquiry is None:
            return self._turned_away(asked, "06")
        answer = {**self._bill(inquiry), "noref": "", "balance": int(DEPOSIT)}
        return self._told(answer | _said("42"))

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        rc = _word(transaction)
        rc = "37" if rc == FAILED else rc
        inquiry = self._asked.get(transaction.ref_id)
        assert inquiry is not None
        paid = {
            "noref": transaction.receipt if rc == "00" else "",
            "balance": int(transaction.saldo),
        }
        return {**self._bill(inquiry), **paid, **_said(rc)}

    def _bill(self, inquiry: Inquiry) -> dict[str, Any]:
        detail = inquiry["detail"]
        return {
            "tr_id": inquiry["tr_id"],
            "code": inquiry["sku"],
            "hp": inquiry["customer_no"],
            "tr_name": self.customers.name(inquiry["customer_no"]),
            "period": ",".join(one["periode"] for one in detail if one["periode"]),
            "nominal": inquiry["owed"],
            "admin": 0,
            "ref_id": inquiry["ref_id"],
            "response_code": "00",
            "message": "INQUIRY SUCCESS",
            "price": inquiry["owed"],
            "selling_price": inquiry["owed"],
            "desc": {"lembar_tagihan": len(detail), "tagihan": {"detail": detail}},
        }

    def _told_back(self, transaction: Transaction) -> dict[str, Any]:
        data = self._status(transaction)
        texts = {name: str(data[name]) for name in ("status", "price", "balance", "tr_id")}
        return {**data, **texts}

    def _told(self, data: dict[str, Any], *, lost: bool = False) -> Reply:
        return Reply({"data": data, "meta": []}, lost=lost)

    def _turned_away(
        self, asked: Asked | Mapping[str, Any], rc: str, status: int = _NOT_FORMED
    ) -> Reply:
        body = asked.body if isinstance(asked, Asked) else asked
        data = {
            "tr_id": body.get("tr_id", 0),
            "ref_id": body.get("ref_id", ""),
            "code": body.get("code", body.get("sku", "")),
            "hp": body.get("hp", body.get("customer_no", "")),
            **_said(rc),
        }
        answer: Answer = {"data": data, "meta": []}
        return Reply(answer, status)


def _word(transaction: Transaction) -> str:
    word = transaction.rc_at(time.time())
    return _WORDS.get(word, word)


def _status_of(rc: str) -> int:
    return _STATUSES.get(rc, 2)


def _said(rc: str) -> dict[str, Any]:
    return {"status": _status_of(rc), "response_code": rc, "message": MESSAGES[rc]}


def _detail(line: Line) -> dict[str, Any]:
    return {
        "periode": line.period,
        "nilai_tagihan": int(line.amount),
        "admin": 0,
        "denda": int(line.penalty),
        "total": int(line.total),
    }

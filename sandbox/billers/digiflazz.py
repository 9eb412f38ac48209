"""The Digiflazz-like families, prepaid and postpaid: one address, one table of codes, one webhook.

1. The same reference again tells the status of the first; with another number, product or amount
   it is rc 49.
2. Codes 40 to 49, 50, 53 and 60 form no transaction: nothing is kept of them, and a later try may
   succeed.
3. A postpaid bill is paid under the reference of its inquiry, on the same local day, and exactly.
"""

import json
import time
import uuid
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha1
from hmac import new as hmac_of
from typing import Any

from sandbox import meters
from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.customers import Line, total
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
    PENDING,
    UNDONE,
    NoDepositError,
    NotFormedError,
    Order,
    Sale,
    Transaction,
)
from sandbox.billers.webhooks import Message

# Result code → status and message, as this family words them.
RESULTS = {
    "00": ("Sukses", "Transaksi Sukses"),
    "02": ("Gagal", "Transaksi Gagal"),
    "03": ("Pending", "Transaksi Pending"),
    "40": ("Gagal", "Payload Error"),
    "41": ("Gagal", "Signature tidak valid"),
    "42": ("Gagal", "Gagal memproses API Buyer"),
    "43": ("Gagal", "SKU tidak ditemukan atau Non-Aktif"),
    "44": ("Gagal", "Saldo tidak cukup"),
    "49": ("Gagal", "Ref ID tidak unik"),
    "50": ("Gagal", "Transaksi Tidak Ditemukan"),
    "53": ("Gagal", "Produk Seller Sedang Tidak Tersedia"),
    "54": ("Gagal", "Nomor Tujuan Salah"),
    "60": ("Gagal", "Tagihan belum tersedia"),
}
REFUSED = "02"
_WORDS = {PENDING: "03", UNDONE: REFUSED}
_PATH = ("POST", "/v1/transaction")
_FIELDS = ("username", "buyer_sku_code", "customer_no", "ref_id", "sign")


class _Digiflazz(Biller):
    """What both families have in common: who may ask, and how a webhook is signed."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._hooks = self._webhooks(world, self._webhook)

    def _refusal(self, asked: Asked) -> str:
        """The code by which a request is turned away at the door, or an empty one."""
        if not all(asked.text(name) for name in _FIELDS) or len(asked.text("ref_id")) > LONGEST_REF:
            return "40"
        if asked.text("username") != self.account.username:
            return "42"
        return "" if self._signed(asked.text("sign"), asked.text("ref_id")) else "41"

    def _sold(self, order: Order, data: Mapping[str, Any]) -> Reply:
        """Sell and answer; the answer repeats the order's own data where nothing was formed."""
        try:
            sale = self.till.sell(order)
        except NoDepositError:
            return Reply(_result(data, "44"))
        except NotFormedError:
            return Reply(_result(data, "53"))
        self._hooks.follow(sale)
        return self._told(sale, data)

    def _told(self, sale: Sale, data: Mapping[str, Any]) -> Reply:
        ref_id = sale.transaction.ref_id
        if not sale.new and self.till.is_called_duplicate(ref_id):
            return Reply(_result(data, "49"))
        lost = sale.outcome == "refuse_after_lost_reply"
        return Reply({"data": self._status(sale.transaction)}, lost=lost)

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        raise NotImplementedError

    def _webhook(self, ref_id: str, wrong: bool) -> Message:
        transaction = self.till.find(ref_id)
        assert transaction is not None
        body = json.dumps({"data": self._status(transaction)}).encode()
        secret = "wrong" if wrong else self.account.webhook_secret
        signature = hmac_of(secret.encode(), body, sha1).hexdigest()
        headers = {
            "X-Digiflazz-Event": "update",
            "X-Digiflazz-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature": f"sha1={signature}",
        }
        return Message(body, headers)


class DigiflazzPrepaid(_Digiflazz):
    """Prepaid electricity, and anything else that is sold at once."""

    def call(self, method: str, path: str) -> Call | None:
        calls = {
            _PATH: Call("transaction", self._pay),
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
            return Reply(_result(asked.body, refusal))
        first = self.till.find(asked.text("ref_id"))
        if first is not None:
            if not _repeats(asked, amount, first):
                return Reply(_result(asked.body, "49"))
            return self._told(Sale(first, new=False), asked.body)
        if product is None:
            return Reply(_result(asked.body, "43"))
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
        rc = _WORDS.get(word := transaction.rc_at(time.time()), word)
        asked = {
            "ref_id": transaction.ref_id,
            "customer_no": transaction.customer_no,
            "buyer_sku_code": transaction.sku,
        }
        serial = serial_of(transaction, self.customers.region) if rc == "00" else ""
        saldo, price = int(transaction.saldo), int(transaction.amount)
        return _data(rc, asked, sn=serial, saldo=saldo, price=price)


class DigiflazzPostpaid(_Digiflazz):
    """Bills: asked for, then paid exactly under the same reference on the same day."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._asked = self._inquiries(world)

    def call(self, method: str, path: str) -> Call | None:
        return Call("transaction", self._command) if (method, path) == _PATH else None

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
            return Reply(_result(asked.body, refusal))
        if self.account.product(asked.text("buyer_sku_code")) is None:
            return Reply(_result(asked.body, "43"))
        return act(asked)

    def _inquire(self, asked: Asked) -> Reply:
        if self._refuses_inquiry():
            return Reply(_result(asked.body, REFUSED))
        earlier = self._asked.get(asked.text("ref_id"))
        if earlier is not None:
            rc = "00" if self._is_current(asked, earlier) else "49"
            answer = {"data": self._bill("00", earlier)} if rc == "00" else None
            return Reply(answer or _result(asked.body, rc))
        sku, customer_no = asked.text("buyer_sku_code"), asked.text("customer_no")
        product = self.account.product(sku)
        assert product is not None
        if not self.customers.exists(product, customer_no):
            return Reply(_result(asked.body, "54"))
        lines = self.customers.owed(product, customer_no)
        if not lines:
            return Reply(_result(asked.body, "60"))
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
        same = _same(asked, inquiry["customer_no"], inquiry["sku"])
        return same and inquiry["day"] == self.customers.today().isoformat()

    def _pay(self, asked: Asked) -> Reply:
        first = self.till.find(asked.text("ref_id"))
        if first is not None:
            if not _same(asked, first.customer_no, first.sku):
                return Reply(_result(asked.body, "49"))
            return self._told(Sale(first, new=False), asked.body)
        inquiry = self._asked.get(asked.text("ref_id"))
        if inquiry is None or inquiry["day"] != self.customers.today().isoformat():
            return Reply(_result(asked.body, "50"))
        if not _same(asked, inquiry["customer_no"], inquiry["sku"]):
            return Reply(_result(asked.body, "49"))
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
            return Reply(_result(asked.body, "50"))
        if not _same(asked, paid.customer_no, paid.sku):
            return Reply(_result(asked.body, "49"))
        return Reply({"data": self._status(paid)})

    def _status(self, transaction: Transaction) -> dict[str, Any]:
        rc = _WORDS.get(word := transaction.rc_at(time.time()), word)
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


def serial_of(transaction: Transaction, region: str) -> str:
    """Tokens, name, tariff, power and kWh of a meter; the receipt's number of anything else."""
    if not transaction.tokens:
        return transaction.receipt
    name, power = meters.segment(transaction.customer_no)
    return "/".join(
        (
            ";".join(meters.grouped(token) for token in transaction.tokens),
            meters.owner(transaction.customer_no, region),
            name,
            f"{power}VA",
            meters.units(int(transaction.amount), region),
        )
    )


def _amount(asked: Asked, product: Product | None) -> Decimal:
    """What is bought; 0 when that cannot be read."""
    if product is not None and product.price is not None:
        return product.price
    amount = asked.body.get("amount")
    return Decimal(amount) if type(amount) is int and amount > 0 else Decimal(0)


def _repeats(asked: Asked, amount: Decimal, first: Transaction) -> bool:
    return _same(asked, first.customer_no, first.sku) and amount == first.amount


def _same(asked: Asked, customer_no: str, sku: str) -> bool:
    return (asked.text("customer_no"), asked.text("buyer_sku_code")) == (customer_no, sku)


def _detail(line: Line) -> dict[str, str]:
    return {
        "periode": line.period,
        "nilai_tagihan": str(int(line.amount)),
        "admin": "0",
        "denda": str(int(line.penalty)),
    }


def _result(asked: Mapping[str, Any], rc: str) -> Answer:
    """An answer that forms no transaction; it repeats what was asked as far as it could be read."""
    return {"data": _data(rc, asked, sn="", saldo=0, price=0)}


def _data(rc: str, asked: Mapping[str, Any], *, sn: str, saldo: int, price: int) -> dict[str, Any]:
    status, message = RESULTS[rc]
    return {
        "ref_id": _text(asked.get("ref_id")),
        "customer_no": _text(asked.get("customer_no")),
        "buyer_sku_code": _text(asked.get("buyer_sku_code")),
        "message": message,
        "status": status,
        "rc": rc,
        "sn": sn,
        "buyer_last_saldo": saldo,
        "price": price,
    }


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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

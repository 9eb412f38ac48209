"""What both Digiflazz-like families have in common: who may ask, the codes, and the webhook.

1. The same reference again tells the status of the first; with another number, product or amount
   it is rc 49.
2. Codes 40 to 44, 49, 50, 53 and 60 form no transaction: nothing is kept of them, and a later try
   may succeed.
"""

import json
import uuid
from collections.abc import Mapping
from hashlib import sha1
from hmac import new as hmac_of
from typing import Any

from sandbox import meters
from sandbox.billers.accounts import BillerAccount
from sandbox.billers.family import LONGEST_REF, Answer, Asked, Biller, Reply, World
from sandbox.billers.till import NoDepositError, NotFormedError, Sale
from sandbox.billers.transactions import PENDING, UNDONE, Order, Transaction
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
WORDS = {PENDING: "03", UNDONE: REFUSED}
PATH = ("POST", "/v1/transaction")
_FIELDS = ("username", "buyer_sku_code", "customer_no", "ref_id", "sign")


class Digiflazz(Biller):
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
            return Reply(result(data, "44"))
        except NotFormedError:
            return Reply(result(data, "53"))
        self._hooks.follow(sale)
        return self._told(sale, data)

    def _told(self, sale: Sale, data: Mapping[str, Any]) -> Reply:
        ref_id = sale.transaction.ref_id
        if not sale.new and self.till.is_called_duplicate(ref_id):
            return Reply(result(data, "49"))
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


def same(asked: Asked, customer_no: str, sku: str) -> bool:
    return (asked.text("customer_no"), asked.text("buyer_sku_code")) == (customer_no, sku)


def result(asked: Mapping[str, Any], rc: str) -> Answer:
    """An answer that forms no transaction; it repeats what was asked as far as it could be read."""
    return {"data": data_of(rc, asked, sn="", saldo=0, price=0)}


def data_of(
    rc: str, asked: Mapping[str, Any], *, sn: str, saldo: int, price: int
) -> dict[str, Any]:
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

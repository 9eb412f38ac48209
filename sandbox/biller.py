"""A Digiflazz-like biller of prepaid electricity: what it decides. Its HTTP face is `biller_http`.

1. A reference is sold at most once: looking for it and writing the sale happen under one lock.
2. A sale is on disk before any answer speaks of it, so a killed biller still knows what it sold.
3. The same reference again tells the status of the first; with another meter, product or amount it
   is rc 49.
4. Codes 40 to 49 form no transaction: nothing is kept of them, and a later try may succeed.
"""

import hmac
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import md5
from typing import Any

from sandbox import meters
from sandbox.faults import Fault, FaultBook
from sandbox.journal import Journal, iso
from sandbox.settings import BillerAccount

DEPOSIT = 1_000_000_000  # whole currency units that we have prefunded
_LONGEST_REF = 64

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
    "54": ("Gagal", "Nomor Tujuan Salah"),
}
# Faults that decide the outcome of a new purchase; a repeated reference does not use them up.
_OUTCOMES = ("refuse", "late_success", "late_refusal", "refuse_after_lost_reply")

Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """One formed transaction: `rc` for ever, but pending before `pending_until`.

    Both times are epoch seconds; 0 for a transaction that was never pending, so that a clock set
    back cannot take a final answer away.
    """

    ref_id: str
    customer_no: str
    sku: str
    amount: int
    rc: str
    at: float
    pending_until: float
    token: str
    saldo: int

    def rc_at(self, now: float) -> str:
        return self.rc if now >= self.pending_until else "03"

    @property
    def final_at(self) -> float:
        return max(self.at, self.pending_until)


@dataclass(frozen=True)
class Reply:
    """What the biller decided, and whether the wire loses it on the way back."""

    answer: Answer
    lost: bool = False


class Biller:
    """One biller with our account at it; safe for threads."""

    def __init__(
        self,
        code: str,
        account: BillerAccount,
        journal: Journal,
        faults: FaultBook,
        region: str = "KE",
    ) -> None:
        self._sku = f"{code}-token"
        self._region = region
        self._account = account
        self._journal = journal
        self._faults = faults
        self._target = f"biller:{code}"
        self._lock = threading.Lock()
        self._transactions = {
            record["ref_id"]: Transaction(**record) for record in journal.records()
        }
        self._called_duplicate: dict[
            str, int
        ] = {}  # reference → the clearing until which it counts

    def pay(self, body: object) -> Reply:
        """Buy, or hear again what became of the first purchase under this reference."""
        order = _Order.parse(body)
        if order is None:
            return Reply(_result(body, "40"))
        if order.username != self._account.username:
            return Reply(_result(body, "42"))
        if not self._signed(order.sign, order.ref_id):
            return Reply(_result(body, "41"))
        with self._lock:
            first = self._transactions.get(order.ref_id)
            if first is None:
                return self._buy(order)
        if not order.repeats(first) or self._is_called_duplicate(order.ref_id):
            return Reply(_result(body, "49"))
        return Reply(_status(first, self._region))

    def inquire(self, body: object) -> Answer:
        """Whose meter this is."""
        asked = body if isinstance(body, dict) else {}
        meter = asked.get("customer_no")
        if not isinstance(meter, str) or not isinstance(asked.get("sign"), str):
            return _name(meter, "40", self._region)
        if asked.get("username") != self._account.username:
            return _name(meter, "42", self._region)
        if not self._signed(asked["sign"], meter):
            return _name(meter, "41", self._region)
        return _name(meter, "00" if meters.exists(meter) else "54", self._region)

    def sales(self) -> list[Answer]:
        """What was really sold by now, oldest first; the token is plain digits."""
        now = time.time()
        with self._lock:
            sold = [t for t in self._transactions.values() if t.rc_at(now) == "00"]
        return [
            {
                "ref_id": sale.ref_id,
                "customer_no": sale.customer_no,
                "amount": sale.amount,
                "token": sale.token,
                "at": iso(sale.final_at),
            }
            for sale in sorted(sold, key=lambda sale: sale.final_at)
        ]

    def _buy(self, order: "_Order") -> Reply:
        saldo = self._saldo() - order.amount
        if order.sku != self._sku:
            return Reply(_result(order.body, "43"))
        if saldo < 0:
            return Reply(_result(order.body, "44"))
        fault = self._faults.take(self._target, _OUTCOMES, "transaction")
        rc, wait = _outcome(order, fault)
        now = time.time()
        formed = Transaction(
            ref_id=order.ref_id,
            customer_no=order.customer_no,
            sku=order.sku,
            amount=order.amount,
            rc=rc,
            at=now,
            pending_until=now + wait if wait else 0.0,
            token=meters.new_token() if rc == "00" else "",
            saldo=saldo if rc == "00" else saldo + order.amount,
        )
        self._journal.append(asdict(formed))
        self._transactions[order.ref_id] = formed
        if fault and fault.kind == "refuse_after_lost_reply":
            self._called_duplicate[order.ref_id] = self._faults.clearings
            return Reply(_status(formed, self._region), lost=True)
        return Reply(_status(formed, self._region))

    def _saldo(self) -> int:
        return DEPOSIT - sum(t.amount for t in self._transactions.values() if t.rc == "00")

    def _is_called_duplicate(self, ref_id: str) -> bool:
        return self._called_duplicate.get(ref_id) == self._faults.clearings

    def _signed(self, sign: str, subject: str) -> bool:
        text = f"{self._account.username}{self._account.api_key}{subject}"
        right = md5(text.encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest(right.encode(), sign.encode())


@dataclass(frozen=True, kw_only=True)
class _Order:
    body: Mapping[str, Any]
    username: str
    sku: str
    customer_no: str
    ref_id: str
    sign: str
    amount: int

    @classmethod
    def parse(cls, body: object) -> "_Order | None":
        """The order, or None when a field is missing or of the wrong type (rc 40)."""
        if not isinstance(body, dict):
            return None
        names = ("username", "buyer_sku_code", "customer_no", "ref_id", "sign")
        if not all(isinstance(body.get(name), str) and body[name] for name in names):
            return None
        amount = body.get("amount")
        if type(amount) is not int or amount <= 0 or len(body["ref_id"]) > _LONGEST_REF:
            return None
        return cls(
            body=body,
            username=body["username"],
            sku=body["buyer_sku_code"],
            customer_no=body["customer_no"],
            ref_id=body["ref_id"],
            sign=body["sign"],
            amount=amount,
        )

    def repeats(self, first: Transaction) -> bool:
        return (self.customer_no, self.sku, self.amount) == (
            first.customer_no,
            first.sku,
            first.amount,
        )


def _outcome(order: _Order, fault: Fault | None) -> tuple[str, float]:
    """Final result code of a new purchase, and the seconds until it is known."""
    kind, seconds = (fault.kind, fault.seconds) if fault else ("", 0.0)
    if kind in ("refuse", "late_refusal"):
        return "02", seconds if kind == "late_refusal" else 0.0
    if not meters.exists(order.customer_no):
        return "54", 0.0
    return "00", seconds if kind == "late_success" else 0.0


def _status(transaction: Transaction, region: str) -> Answer:
    rc = transaction.rc_at(time.time())
    sold = rc == "00"
    asked = {
        "ref_id": transaction.ref_id,
        "customer_no": transaction.customer_no,
        "buyer_sku_code": transaction.sku,
    }
    serial = _serial(transaction, region) if sold else ""
    return _data(rc, asked, sn=serial, saldo=transaction.saldo, price=transaction.amount)


def _serial(transaction: Transaction, region: str) -> str:
    name, power = meters.segment(transaction.customer_no)
    return "/".join(
        (
            meters.grouped(transaction.token),
            meters.owner(transaction.customer_no, region),
            name,
            f"{power}VA",
            meters.units(transaction.amount, region),
        )
    )


def _result(body: object, rc: str) -> Answer:
    """An answer that forms no transaction; it repeats what was asked as far as it could be read."""
    asked = body if isinstance(body, dict) else {}
    return _data(rc, asked, sn="", saldo=0, price=0)


def _data(rc: str, asked: Mapping[str, Any], *, sn: str, saldo: int, price: int) -> Answer:
    status, message = RESULTS[rc]
    data = {
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
    return {"data": data}


def _name(meter: object, rc: str, region: str) -> Answer:
    status, message = RESULTS[rc]
    known = _text(meter) if rc == "00" else ""
    segment, power = meters.segment(known)
    data = {
        "message": message,
        "status": status,
        "rc": rc,
        "customer_no": _text(meter),
        "meter_no": known,
        "subscriber_id": meters.subscriber(known) if known else "",
        "name": meters.owner(known, region) if known else "",
        "segment_power": f"{segment} /{power:09d}" if known else "",
    }
    return {"data": data}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

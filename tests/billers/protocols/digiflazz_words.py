"""What a Digiflazz-like biller says of a sale, and how it signs that."""

from __future__ import annotations

import hmac
import json
from hashlib import sha1
from typing import Any

from tests.billers.table import WEBHOOK_SECRET, Sale, Word

RESULTS: dict[Word, tuple[str, str]] = {
    "sold": ("00", "Sukses"),
    "pending": ("03", "Pending"),
    "refused": ("02", "Gagal"),
    "not_formed": ("44", "Gagal"),
    "absent": ("50", "Gagal"),
    "duplicate": ("49", "Gagal"),
}


def data_of(sale: Sale, word: Word) -> dict[str, Any]:
    """`data` of an answer about a prepaid sale."""
    code, status = RESULTS[word]
    sold = word == "sold"
    serial = f"{';'.join(sale.tokens)}/GRACE KAMAU/R1/900VA/1.2"
    return {
        "ref_id": sale.ref,
        "customer_no": sale.customer_no,
        "buyer_sku_code": sale.sku,
        "message": "words",
        "status": status,
        "rc": code,
        "sn": serial if sold else "",
        "buyer_last_saldo": 990_000 if sold else 0,
        "price": sale.amount if sold else 0,
    }


def signed(body: dict[str, Any], secret: str = WEBHOOK_SECRET) -> tuple[dict[str, str], bytes]:
    """A webhook with this body: headers in small letters, and the bytes."""
    raw = json.dumps(body).encode()
    signature = hmac.new(secret.encode(), raw, sha1).hexdigest()
    headers = {
        "x-digiflazz-event": "update",
        "x-digiflazz-delivery": "4f6d1c1e-8d4b-4c0e-9a55-0d6a3f3f7d11",
        "x-hub-signature": f"sha1={signature}",
    }
    return headers, raw

"""What an IAK-like biller says of a sale, and how it signs that."""

from __future__ import annotations

import json
from hashlib import md5
from typing import Any

from tests.billers.table import API_KEY, USERNAME, Sale, Word

# Word → code, status, HTTP status: what forms no transaction is said with 400.
RESULTS: dict[Word, tuple[str, int, int]] = {
    "sold": ("00", 1, 200),
    "pending": ("39", 0, 200),
    "refused": ("07", 2, 200),
    "not_formed": ("17", 2, 400),
    "absent": ("06", 2, 400),
    "duplicate": ("11", 2, 400),
}
CODES: dict[str, Any] = {"refused_codes": ("07", "14", "37"), "refused_first_codes": ("17", "20")}


def prepaid(sale: Sale, word: Word) -> dict[str, Any]:
    """`data` of an answer about a prepaid sale."""
    code, status, http = RESULTS[word]
    formed = http == 200
    serial = f"{';'.join(sale.tokens)}/GRACE KAMAU/R1/900VA/1.2"
    return {
        "ref_id": sale.ref,
        "status": status,
        "product_code": sale.sku if formed else "",
        "customer_id": sale.customer_no if formed else "",
        "price": sale.amount if formed else 0,
        "message": "words",
        "sn": serial if word == "sold" else "",
        "balance": 990_000,
        "tr_id": 417 if formed else 0,
        "rc": code,
    }


def postpaid(sale: Sale, word: Word) -> dict[str, Any]:
    """`data` of an answer about a bill and its payment."""
    code, status, _ = RESULTS[word]
    code = {"07": "37"}.get(code, code)
    month = {
        "periode": "202608",
        "nilai_tagihan": sale.amount,
        "admin": 0,
        "denda": 0,
        "total": sale.amount,
    }
    return {
        "tr_id": sale.facts["tr_id"],
        "code": sale.sku,
        "hp": sale.customer_no,
        "tr_name": "GRACE KAMAU",
        "ref_id": sale.ref,
        "response_code": code,
        "status": status,
        "message": "words",
        "selling_price": sale.amount,
        "noref": sale.receipt if word == "sold" else "",
        "balance": 990_000,
        "desc": {"lembar_tagihan": 1, "tagihan": {"detail": [month]}},
    }


def callback(data: dict[str, Any], key: str = API_KEY) -> tuple[dict[str, str], bytes]:
    """A callback with this data: its numbers are texts, and only its reference is signed."""
    texts = {name: str(value) for name, value in data.items() if type(value) is int}
    sign = md5(f"{USERNAME}{key}{data['ref_id']}".encode()).hexdigest()
    return {}, json.dumps({"data": {**data, **texts, "pin": "", "sign": sign}}).encode()

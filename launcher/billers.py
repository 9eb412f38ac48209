"""The billers of a demo market: what the sandbox is told of them, and Kibanda of its accounts.

Names and keys are the demo's published ones. Nothing here is used for a market that is no demo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

USERNAME = "kibanda"
ACQUIRER, TERMINAL = "384123", "KIBANDA1"  # of ISO 8583: DE32 and DE41


@dataclass(frozen=True)
class Biller:
    """A biller of the market file; two of them may have one `account`."""

    code: str
    family: str
    account: str
    products: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Whereabouts:
    """Where a run has its parts. `ports` are those of the billers that speak ISO 8583."""

    sandbox: str
    kibanda: str
    data: Path
    ports: Mapping[str, int]


def read(told: Mapping[str, Any], exponent: int) -> tuple[Biller, ...]:
    """The billers of a market file."""
    return tuple(
        Biller(
            code,
            str(table["family"]),
            str(table.get("credentials", code)),
            tuple(_product(one, exponent) for one in table["products"]),
        )
        for code, table in told.items()
    )


def settings(billers: tuple[Biller, ...], where: Whereabouts) -> dict[str, str]:
    """BILLER_CREDENTIALS, which Kibanda reads, and SANDBOX_BILLERS."""
    credentials = {one.account: _credentials(one, where) for one in reversed(billers)}
    sandbox = {one.code: _of_sandbox(one, where) for one in billers}
    ordered = {one.account: credentials[one.account] for one in billers}
    return {"BILLER_CREDENTIALS": _json(ordered), "SANDBOX_BILLERS": _json(sandbox)}


def ports(billers: tuple[Biller, ...], next_port: Callable[[], int]) -> dict[str, int]:
    """A port for every biller that speaks ISO 8583."""
    return {one.code: next_port() for one in billers if one.family == "iso8583"}


def _credentials(biller: Biller, where: Whereabouts) -> dict[str, str]:
    """Our account at a biller, as both sides know it."""
    iso = biller.family == "iso8583"
    return {
        "url": _url(biller, where),
        "username": ACQUIRER if iso else USERNAME,
        "api_key": TERMINAL if iso else f"demo-{biller.account}-key",
        "webhook_secret": f"demo-{biller.account}-secret",
    }


def _url(biller: Biller, where: Whereabouts) -> str:
    match biller.family:
        case "iso8583":
            return f"tcp://{urlsplit(where.sandbox).hostname}:{where.ports[biller.code]}"
        case "file":
            return _folder(biller, where).as_uri()
    return f"{where.sandbox}/billers/{biller.account}"


def _folder(biller: Biller, where: Whereabouts) -> Path:
    return where.data.absolute() / "files" / biller.code


def _of_sandbox(biller: Biller, where: Whereabouts) -> dict[str, Any]:
    account = _credentials(biller, where)
    del account["url"]
    told: dict[str, Any] = {"family": biller.family, "account": biller.account, **account}
    match biller.family:
        case "iso8583":
            told["port"] = where.ports[biller.code]
        case "file":
            told["folder"] = str(_folder(biller, where))
        case _:
            told["callback_url"] = f"{where.kibanda}/callbacks/billers/{biller.code}"
    return {**told, "products": biller.products}


def _product(table: Mapping[str, Any], exponent: int) -> dict[str, Any]:
    """What the biller knows of a product of ours."""
    price_minor, customer = table.get("price_minor"), table["customer"]
    return {
        "sku": str(table["sku"]),
        "category": str(table["category"]),
        "sells": str(table.get("sells", "service")),
        "pay": str(table["pay"]),
        "price": None if price_minor is None else str(Decimal(price_minor).scaleb(-exponent)),
        "luhn": customer.get("luhn") is True,
        "digits": int(customer["least"]),
    }


def _json(told: object) -> str:
    return json.dumps(told, separators=(",", ":"))

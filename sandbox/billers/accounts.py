"""Which billers there are: their family, our account at each, and what they sell."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

FAMILIES = (
    *("digiflazz_prepaid", "digiflazz_postpaid", "iak_prepaid", "iak_postpaid"),
    *("xendit", "iso8583", "file"),
)
PAYS = ("any", "fixed", "exact", "partial", "over")


class AccountsError(Exception):
    """A setting from which no billers can be made; the text says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """What a biller sells; `price` in major units is given where `pay` is fixed.

    `luhn`: the customer number is a meter's, 11 digits with a check digit. `digits`: how long the
    numbers are in the customer list of a biller that is paid by file.
    """

    sku: str
    category: str
    sells: str
    pay: str
    price: Decimal | None
    luhn: bool
    digits: int = 6

    @property
    def owes(self) -> bool:
        """Whether a customer of this has a bill to pay."""
        return self.pay in ("exact", "partial", "over")

    @property
    def gives_token(self) -> bool:
        return self.sells == "token"


@dataclass(frozen=True, kw_only=True)
class BillerAccount:
    """One biller and our account at it. Billers with the same `account` answer at one address."""

    code: str
    family: str
    account: str
    username: str
    api_key: str
    webhook_secret: str = ""
    callback_url: str = ""
    port: int = 0
    folder: str = ""
    products: tuple[Product, ...] = ()

    def product(self, sku: object) -> Product | None:
        return next((one for one in self.products if one.sku == sku), None)


def from_billers(text: str) -> dict[str, BillerAccount]:
    """Accounts from SANDBOX_BILLERS. Raises AccountsError."""
    accounts = {code: _account(code, told) for code, told in _tables(text).items()}
    ports = [one.port for one in accounts.values() if one.family == "iso8583"]
    if len(set(ports)) != len(ports):
        raise AccountsError("every biller of family iso8583 needs a port of its own")
    return accounts


def from_credentials(text: str) -> dict[str, BillerAccount]:
    """Accounts from Kibanda's own BILLER_CREDENTIALS: prepaid electricity, each of them."""
    return {
        code: BillerAccount(
            code=code,
            family="digiflazz_prepaid",
            account=code,
            username=_text(code, told, "username"),
            api_key=_text(code, told, "api_key"),
            webhook_secret=str(told.get("webhook_secret") or ""),
            products=(meter_token(f"{code}-token"),),
        )
        for code, told in _tables(text).items()
    }


def meter_token(sku: str) -> Product:
    """Prepaid electricity of any amount."""
    return Product(sku=sku, category="electricity", sells="token", pay="any", price=None, luhn=True)


def _tables(text: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        tables = json.loads(text)
    except ValueError:
        tables = None
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise AccountsError('it must be JSON like {"code": {"username": …, "api_key": …}}')
    return tables


def _account(code: str, told: Mapping[str, Any]) -> BillerAccount:
    family = told.get("family")
    if family not in FAMILIES:
        raise AccountsError(f"family of {code} must be one of: {', '.join(FAMILIES)}")
    products = told.get("products") or []
    if not isinstance(products, list) or not all(isinstance(one, dict) for one in products):
        raise AccountsError(f"products of {code} must be a list of objects")
    return BillerAccount(
        code=code,
        family=family,
        account=str(told.get("account") or code),
        username=_text(code, told, "username"),
        api_key=_text(code, told, "api_key"),
        webhook_secret=str(told.get("webhook_secret") or ""),
        callback_url=str(told.get("callback_url") or ""),
        port=_port(code, told) if family == "iso8583" else 0,
        folder=_text(code, told, "folder") if family == "file" else "",
        products=tuple(_product(code, one) for one in products),
    )


def _product(code: str, told: Mapping[str, Any]) -> Product:
    pay, sells = told.get("pay", "any"), told.get("sells", "service")
    if pay not in PAYS:
        raise AccountsError(f"pay of a product of {code} must be one of: {', '.join(PAYS)}")
    price = told.get("price")
    if (pay == "fixed") != (price is not None):
        raise AccountsError(f"a product of {code} has a price where pay is fixed, and only there")
    luhn = told.get("luhn")
    return Product(
        sku=_text(code, told, "sku"),
        category=str(told.get("category", "")),
        sells=str(sells),
        pay=pay,
        price=None if price is None else _price(code, price),
        luhn=sells == "token" if luhn is None else bool(luhn),
        digits=_digits(code, told.get("digits", 6)),
    )


def _digits(code: str, written: object) -> int:
    if type(written) is not int or not 4 <= written <= 20:
        raise AccountsError(f"digits of a product of {code} must be from 4 to 20")
    return written


def _price(code: str, written: object) -> Decimal:
    try:
        price = Decimal(str(written))
    except InvalidOperation:
        price = Decimal(0)
    if not price.is_finite() or price <= 0:
        raise AccountsError(f"a price of {code} must be above 0, not {written!r}")
    return price


def _port(code: str, told: Mapping[str, Any]) -> int:
    port = told.get("port")
    if type(port) is not int or not 0 < port < 65536:
        raise AccountsError(f"port of {code} must be a number from 1 to 65535")
    return port


def _text(code: str, told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value:
        raise AccountsError(f"{name} of {code} is missing")
    return value

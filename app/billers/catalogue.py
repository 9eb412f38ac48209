"""What can be bought, and which customer numbers can exist."""

from __future__ import annotations

import re

from app import msisdn
from app.errors import DomainError
from app.luhn import passes_luhn
from app.markets.billers import CATEGORIES, Biller, Category, Product
from app.markets.model import Market


def products(market: Market, category: str | None = None) -> list[Product]:
    """The products of a category, or all, in the order of the market file."""
    return [
        product
        for biller in market.billers.values()
        for product in biller.products
        if category in (None, product.category)
    ]


def categories(market: Market) -> list[Category]:
    """The categories in which this market sells something, always in the same order."""
    sold = {product.category for product in products(market)}
    return [category for category in CATEGORIES if category in sold]


def find(market: Market, product_code: str) -> tuple[str, Biller, Product]:
    """Biller code, biller and product. Raises DomainError `product_unknown`."""
    try:
        return market.product(product_code)
    except KeyError as error:
        raise DomainError("product_unknown") from error


def is_sold(market: Market, product_code: str) -> bool:
    """Whether the market still has it."""
    return any(product.code == product_code for product in products(market))


def product_name(market: Market, code: str) -> str:
    """What people call a product; its code when it has left the market file since it was bought."""
    return next((one.name for one in products(market) if one.code == code), code)


def customer_number(product: Product, typed: str, region: str) -> str:
    """The customer number that a person typed, spaces and dashes taken out, letters made capital.

    A typo is refused before any biller is asked. The number of a telephone, typed in any way, is
    as it is dialled at home. Raises DomainError `customer_number_length` with `digits`,
    `customer_number_form`, `customer_number_check`, or `msisdn_invalid`.
    """
    rules = product.customer
    if rules.kind == "phone":
        phone = msisdn.local(msisdn.parse(typed, region))
        if not rules.least <= len(phone) <= rules.most:
            raise DomainError("msisdn_invalid")
        return phone
    number = typed.replace(" ", "").replace("-", "")
    readable = number.isascii() and (number.isalnum() if rules.letters else number.isdigit())
    number = number.upper()
    if not readable or not rules.least <= len(number) <= rules.most:
        raise DomainError("customer_number_length", digits=digits(product))
    if rules.pattern is not None and not re.fullmatch(rules.pattern, number):
        raise DomainError("customer_number_form")
    if rules.luhn and not passes_luhn(number):
        raise DomainError("customer_number_check")
    return number


def digits(product: Product) -> str:
    """How long a customer number is, as a sentence says it: `11`, or `6-10`."""
    rules = product.customer
    return str(rules.most) if rules.least == rules.most else f"{rules.least}-{rules.most}"


def hint(product: Product, language: str) -> str:
    """What is asked for, in a language of the market."""
    said = product.customer.hint
    return said.get(language) or next(iter(said.values()))

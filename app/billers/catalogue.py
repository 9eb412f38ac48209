"""What can be bought, and which customer numbers can exist."""

from __future__ import annotations

from app.errors import DomainError
from app.luhn import passes_luhn
from app.markets.model import Biller, Market, Product


def products(market: Market, category: str) -> list[Product]:
    """The products of a category, in the order of the market file."""
    return [
        product
        for biller in market.billers.values()
        for product in biller.products
        if product.category == category
    ]


def find(market: Market, product_code: str) -> tuple[str, Biller, Product]:
    """Biller code, biller and product. Raises DomainError `product_unknown`."""
    try:
        return market.product(product_code)
    except KeyError as error:
        raise DomainError("product_unknown") from error


def product_name(market: Market, code: str) -> str:
    """What people call a product; its code when it has left the market file since it was bought."""
    names = {p.code: p.name for biller in market.billers.values() for p in biller.products}
    return names.get(code, code)


def customer_number(product: Product, typed: str) -> str:
    """The customer number that a person typed, spaces and dashes taken out.

    A typo is refused before any biller is asked. Raises DomainError `customer_number_length` with
    `digits`, or `customer_number_check`.
    """
    number = typed.replace(" ", "").replace("-", "")
    if not (number.isascii() and number.isdigit() and len(number) == product.customer_digits):
        raise DomainError("customer_number_length", digits=product.customer_digits)
    if product.customer_luhn and not passes_luhn(number):
        raise DomainError("customer_number_check")
    return number

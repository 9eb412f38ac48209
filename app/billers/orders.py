"""A payment's row as its biller's wire is told of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from app.billers.models import Payment
from app.billers.protocols.answers import Order
from app.markets.model import Market


def order_of(market: Market, row: Row[Any] | Payment) -> Order:
    """A payment as its biller's wire is told of it. Raises KeyError for a product that is gone."""
    _, _, product = market.product(row.product)
    return Order(
        row.biller_ref,
        row.sku or product.sku,
        row.customer_no,
        row.amount_minor,
        sells_token=product.sells == "token",
        owes=product.owes,
        bill_ref=row.bill_ref,
        biller_txn=row.biller_txn,
        serial=row.serial,
        request=row.requests,
        first_sent_at=row.first_sent_at,
    )

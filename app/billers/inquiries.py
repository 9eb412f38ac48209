"""Whose meter is this: the one question to a biller that a person waits for on the screen."""

from __future__ import annotations

from collections.abc import Mapping

from app.billers import breaker, catalogue
from app.billers.breaker import BreakerView
from app.billers.protocols.answers import Customer, Family, InquiryError
from app.db import Database
from app.errors import DomainError
from app.markets.model import Biller, Market
from app.telemetry import log


class Inquiries:
    """Name checks at every biller of a market; one object a process."""

    def __init__(self, db: Database, market: Market, wires: Mapping[str, Family]) -> None:
        self._db = db
        self._market = market
        self._wires = wires
        self._view = BreakerView(db)

    def inquire(self, product_code: str, customer_no: str) -> Customer:
        """The biller's name for a customer number, within its `inquiry_timeout_seconds`.

        To be called with no transaction open. Raises DomainError `product_unknown`,
        `customer_number_…`, `customer_unknown`, `biller_slow`, `biller_down`, `biller_paused`.
        """
        biller, rules, product = catalogue.find(self._market, product_code)
        number = catalogue.customer_number(product, customer_no)
        breaker.refuse(self._view.standing(biller))
        wire = self._wires.get(biller)
        if wire is None:
            log.error("biller_without_credentials", biller=biller)
            raise DomainError("biller_down")
        try:
            customer = wire.inquire(number)
        except InquiryError as error:
            self._count(biller, rules, error)
            code = "biller_slow" if error.slow else "biller_down"
            raise DomainError(code, retryable=True) from error
        self._db.transact(lambda session: breaker.answered(session, biller))
        if customer is None:
            raise DomainError("customer_unknown")
        return customer

    def _count(self, biller: str, rules: Biller, error: InquiryError) -> None:
        """One unusual meter, asked about again and again, must not shut its biller for all."""
        if error.in_format:
            log.warning("inquiry_unusual", biller=biller, reason=error.reason, code=error.code)
            self._db.transact(lambda session: breaker.answered(session, biller))
        elif self._db.transact(lambda session: breaker.failed(session, biller, rules)):
            log.error("breaker_opened", biller=biller, reason=error.reason)

"""Whose number is this, and what is owed: the one question to a biller that a person waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from app.billers import breaker, catalogue, hours
from app.billers.breaker import BreakerView
from app.billers.protocols.answers import Bill, Family, InquiryError
from app.db import Database
from app.errors import DomainError
from app.markets.billers import Biller
from app.markets.model import Market
from app.telemetry import log
from app.wallet.keys import new_key


class Inquiries:
    """Inquiries at every biller of a market; one object a process."""

    def __init__(self, db: Database, market: Market, wires: Mapping[str, Family]) -> None:
        self._db = db
        self._market = market
        self._wires = wires
        self._view = BreakerView(db)

    def inquire(self, product_code: str, customer_no: str, *, at: datetime) -> Bill:
        """The biller's name for a customer number and what is owed, within its
        `inquiry_timeout_seconds`; of a product without an inquiry the number alone.

        To be called with no transaction open. Raises DomainError `product_unknown`,
        `customer_number_…`, `customer_unknown`, `nothing_owed`, `biller_closed`, `biller_slow`,
        `biller_down`, `biller_paused`.
        """
        biller, rules, product = catalogue.find(self._market, product_code)
        number = catalogue.customer_number(product, customer_no, self._market.region)
        hours.refuse_closed(rules, self._market.zone, at)
        breaker.refuse(self._view.standing(biller))
        today = at.astimezone(self._market.zone).date()
        biller_ref = new_key().hex if rules.traits.needs_inquiry else ""
        if not product.inquiry:
            return Bill(number, "", biller_ref=biller_ref, asked_on=today)
        wire = self._wires.get(biller)
        if wire is None:
            log.error("biller_without_credentials", biller=biller)
            raise DomainError("biller_down")
        try:
            bill = wire.inquire(product, number, biller_ref)
        except InquiryError as error:
            self._count(biller, rules, error)
            if error.nothing_owed:
                raise DomainError("nothing_owed") from error
            code = "biller_slow" if error.slow else "biller_down"
            raise DomainError(code, retryable=True) from error
        self._db.transact(lambda session: breaker.inquiry_answered(session, biller))
        if bill is None:
            raise DomainError("customer_unknown")
        if product.owes and not bill.owed_minor:
            raise DomainError("nothing_owed")
        return replace(bill, biller_ref=biller_ref, asked_on=today)

    def _count(self, biller: str, rules: Biller, error: InquiryError) -> None:
        """One unusual meter, asked about again and again, must not shut its biller for all."""
        if error.in_format:
            log.warning("inquiry_unusual", biller=biller, reason=error.reason, code=error.code)
            self._db.transact(lambda session: breaker.inquiry_answered(session, biller))
        elif self._db.transact(lambda session: breaker.failed(session, biller, rules)):
            log.error("breaker_opened", biller=biller, reason=error.reason)

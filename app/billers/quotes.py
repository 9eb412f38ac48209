"""What a payment will cost, before anybody confirms it. Pure: no clock, no database."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.billers import catalogue
from app.billers.protocols.answers import Bill
from app.errors import DomainError
from app.markets.billers import Product
from app.markets.model import Market
from app.wallet import agents
from app.wallet.agents import Agent


@dataclass(frozen=True, slots=True)
class WalkIn:
    """Somebody who brings cash to an agent: the float pays, the receipt goes to `msisdn`."""

    agent_id: UUID
    float_id: int
    has_super_agent: bool
    msisdn: str


def at_counter(agent: Agent, msisdn: str) -> WalkIn:
    """A customer at this agent's counter. Raises DomainError `agent_suspended`, `own_number`."""
    agents.refuse_inactive(agent)
    if msisdn == agent.msisdn:
        raise DomainError("own_number")
    return WalkIn(agent.id, agent.float_id, agent.parent_id is not None, msisdn)


@dataclass(frozen=True, slots=True)
class Quote:
    """What the confirmation shows and the PIN agrees to; amounts in minor units.

    `tax_minor` and `commission_minor` are parts of `fee_minor`. `earned_minor` is all that agents
    earn, `super_agent_minor` the super-agent's part of that: what the fee does not fund, in
    `commission_minor`, the operator owes.
    """

    product_code: str
    product_name: str
    biller: str
    customer_no: str
    customer_name: str
    currency: str
    amount_minor: int
    fee_minor: int
    tax_minor: int
    commission_minor: int
    earned_minor: int = 0
    super_agent_minor: int = 0
    walk_in: WalkIn | None = None
    bill: Bill | None = None

    @property
    def total_minor(self) -> int:
        return self.amount_minor + self.fee_minor

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that differ as soon as anything that moves money differs."""
        agreed = [
            self.product_code, self.biller, self.customer_no, self.currency,
            self.amount_minor, self.fee_minor, self.tax_minor, self.commission_minor,
            self.super_agent_minor,
        ]  # fmt: skip
        if self.bill:
            agreed += [self.bill.biller_ref, self.bill.bill_ref, self.bill.owed_minor or 0]
        if self.walk_in:
            agreed += [self.earned_minor, str(self.walk_in.agent_id), self.walk_in.msisdn]
        return hashlib.blake2b(json.dumps(agreed).encode(), digest_size=16).digest()


def quote(
    market: Market,
    product_code: str,
    customer_no: str,
    customer_name: str,
    amount_minor: int,
    *,
    at: datetime,
    walk_in: WalkIn | None = None,
    bill: Bill | None = None,
) -> Quote:
    """The price of a payment of `amount_minor` to a customer that the biller has named.

    `at`: when it was quoted; a tariff that begins later does not apply. `walk_in`: an agent pays it
    for somebody at the counter. `bill`: what the biller said is owed.

    Raises DomainError `product_unknown`, `customer_number_…`, `nothing_owed`, `amount_too_small`,
    `amount_too_large`, `amount_step` or `amount_exact`, the amounts in their facts written in the
    currency.
    """
    biller, _, product = catalogue.find(market, product_code)
    number = catalogue.customer_number(product, customer_no, market.region)
    _check_amount(market, product, amount_minor, bill)
    tariff = market.bill_tariff(biller, "agent_bill" if walk_in else "bill_payment", at)
    above = walk_in is not None and walk_in.has_super_agent
    fee = tariff.fee(amount_minor, agent=walk_in is not None, super_agent=above)
    return Quote(
        product_code=product.code,
        product_name=product.name,
        biller=biller,
        customer_no=number,
        customer_name=customer_name,
        currency=market.currency.code,
        amount_minor=amount_minor,
        fee_minor=fee.total_minor,
        tax_minor=fee.tax_minor,
        commission_minor=fee.funded_minor,
        earned_minor=fee.commission_minor,
        super_agent_minor=fee.super_agent_minor,
        walk_in=walk_in,
        bill=bill,
    )


def bounds(product: Product, bill: Bill | None) -> tuple[int, int]:
    """The least and the most that can be paid, minor units; both the same where nothing is asked.

    Raises DomainError `nothing_owed`.
    """
    least, most = product.least_minor, product.most_minor
    if not product.owes:
        return least, most
    owed = bill.owed_minor if bill else None
    if not owed:
        raise DomainError("nothing_owed")
    if product.pay == "exact":
        return owed, owed
    return min(least, owed), owed if product.pay == "partial" else most


def _check_amount(market: Market, product: Product, amount_minor: int, bill: Bill | None) -> None:
    written = market.currency.format
    least, most = bounds(product, bill)
    if least == most != amount_minor:
        raise DomainError("amount_exact", total=written(most))
    if amount_minor > min(most, product.most_minor):
        raise DomainError("amount_too_large", most=written(min(most, product.most_minor)))
    if amount_minor < least:
        raise DomainError("amount_too_small", least=written(least))
    whole = bill is not None and amount_minor == bill.owed_minor
    if amount_minor % product.step_minor and not whole:
        raise DomainError("amount_step", step=written(product.step_minor))

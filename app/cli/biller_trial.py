"""One inquiry at a biller's real wire, for who connects it: the answer, its time, the price.

It reads no table, counts for no breaker, and heeds no pause: it is for finding out what is wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from app.billers import catalogue, hours, quotes
from app.billers.protocols import credentials_name
from app.billers.protocols.answers import Bill, InquiryError, Line
from app.errors import DomainError
from app.markets import Biller, Market, Product
from app.runtime import Runtime
from app.wallet.keys import new_key


@dataclass(frozen=True, slots=True)
class Trial:
    """`seconds` None: nobody was asked, because the product has no inquiry."""

    product: Product
    bill: Bill
    seconds: float | None


def product_of(rules: Biller, code: str | None) -> Product:
    """A product of a biller, its first by default. Raises DomainError `biller_sells_other`."""
    if code is None:
        return rules.products[0]
    found = {product.code: product for product in rules.products}
    if code not in found:
        raise DomainError("biller_sells_other", known=", ".join(found))
    return found[code]


def ask(parts: Runtime, name: str, rules: Biller, product: Product, customer: str) -> Trial:
    """Ask the biller. Raises DomainError `customer_number_…`, `credentials_missing`,
    `customer_unknown`, `nothing_owed`, `biller_slow`, `biller_odd`, `biller_down`, with what
    the wire said.
    """
    number = catalogue.customer_number(product, customer, parts.market.region)
    wire = parts.wires.get(name)
    if wire is None:
        raise DomainError("credentials_missing", name=credentials_name(name, rules))
    if not product.inquiry:
        return Trial(product, Bill(number, ""), None)
    started = time.perf_counter()
    try:
        bill = wire.inquire(product, number, new_key().hex)
    except InquiryError as error:
        raise _refusal(error, time.perf_counter() - started) from error
    seconds = time.perf_counter() - started
    if bill is None:
        raise DomainError("customer_unknown", customer=number, seconds=f"{seconds:.2f}")
    return Trial(product, bill, seconds)


def _refusal(error: InquiryError, seconds: float) -> DomainError:
    said = f"{error.reason}, code {error.code}" if error.code else error.reason
    took = f"{seconds:.2f}"
    if error.nothing_owed:
        return DomainError("nothing_owed", said=said, seconds=took)
    code = "biller_slow" if error.slow else "biller_odd" if error.in_format else "biller_down"
    return DomainError(code, retryable=True, said=said, seconds=took)


def shown(parts: Runtime, name: str, rules: Biller, trial: Trial, now: datetime) -> str:
    """What came back, and what a person would be asked to pay."""
    market, product, bill = parts.market, trial.product, trial.bill
    took = "was not asked" if trial.seconds is None else f"answered in {trial.seconds:.2f} s"
    lines = [f"{name} ({rules.family}) {took}"]
    if not hours.is_open(rules, market.zone, now):
        lines.append(f"closed now: it takes payments {rules.opens:%H:%M}-{rules.cut_off:%H:%M}")
    lines += [f"product   {product.code} {product.name}", f"number    {bill.customer_no}"]
    lines += [f"name      {bill.name}"] if bill.name else []
    if product.owes:
        lines.append(f"owed      {market.currency.format(bill.owed_minor or 0)}")
        lines += [_line(market, line) for line in bill.lines]
    return "\n".join([*lines, *_prices(market, name, product, bill, now)])


def _line(market: Market, line: Line) -> str:
    money = market.currency.format
    penalty = f", penalty {money(line.penalty_minor)}" if line.penalty_minor else ""
    return f"          {line.label}  {money(line.amount_minor)}{penalty}"


def _prices(market: Market, name: str, product: Product, bill: Bill, now: datetime) -> list[str]:
    """Raises DomainError `nothing_owed`, `not_offered_yet`."""
    money = market.currency.format
    least, most = quotes.bounds(product, bill)
    if least > product.most_minor:
        return [f"payable   not here: the most is {money(product.most_minor)}"]
    tariff = market.bill_tariff(name, "bill_payment", now)
    amounts = [least] if least == most else [least, min(most, product.most_minor)]
    fees = [tariff.fee(amount).total_minor for amount in amounts]
    return [
        f"payable   {' to '.join(money(one) for one in amounts)}",
        f"fee       {' to '.join(money(one) for one in dict.fromkeys(fees))}",
    ]

"""Offers: what a confirmation shows and the PIN agrees to, before anything moves."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from app.errors import DomainError
from app.markets.model import Market
from app.markets.tariffs import Fee, Operation, Payer

Kind = Literal[
    "send", "voucher", "voucher_collect", "cash_in", "cash_out", "float_move", "float_payout",
    "closing",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Offer:
    """One movement to be; amounts in minor units, accounts of the ledger.

    `payer_id` and `payee_id` are people, None where an agent's float, a voucher or the bank is the
    party. `agent_id` is the agent at the counter, who earns the commission. `name` is the other
    party's, as the confirmation shows it; it is not part of what is agreed to.
    """

    kind: Kind
    payer_account: int
    payee_account: int
    payer_id: UUID | None
    payee_id: UUID | None
    agent_id: UUID | None
    msisdn: str | None
    name: str
    currency: str
    amount_minor: int
    fee: Fee
    fee_payer: Payer = "sender"

    @property
    def fee_minor(self) -> int:
        return self.fee.total_minor

    @property
    def total_minor(self) -> int:
        """What leaves the payer."""
        return self.amount_minor + (self.fee_minor if self.fee_payer == "sender" else 0)

    @property
    def received_minor(self) -> int:
        """What reaches the payee."""
        return self.amount_minor - (self.fee_minor if self.fee_payer == "receiver" else 0)

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that differ as soon as anything that moves money differs."""
        fee = self.fee
        agreed = [
            self.kind, self.payer_account, self.payee_account, str(self.agent_id), self.msisdn,
            self.currency, self.amount_minor, self.fee_payer, fee.total_minor, fee.tax_minor,
            fee.commission_minor, fee.funded_minor, fee.super_agent_minor,
        ]  # fmt: skip
        return hashlib.blake2b(json.dumps(agreed).encode(), digest_size=16).digest()


def priced(
    market: Market,
    operation: Operation,
    amount_minor: int,
    at: datetime,
    *,
    agent: bool = False,
    super_agent: bool = False,
) -> tuple[Fee, Payer]:
    """Fee of an amount and who pays it, by the tariff that applied `at`.

    Raises DomainError `amount_too_small`, `amount_too_large` with `most`, `not_offered_yet`.
    """
    tariff = market.tariff(operation, at)
    if amount_minor <= 0:
        raise DomainError("amount_too_small", least=market.currency.format(1))
    if amount_minor > tariff.most_minor:
        raise DomainError("amount_too_large", most=market.currency.format(tariff.most_minor))
    fee = tariff.fee(amount_minor, agent=agent, super_agent=super_agent)
    if tariff.payer == "receiver" and fee.total_minor >= amount_minor:
        raise DomainError("amount_too_small", least=market.currency.format(fee.total_minor + 1))
    return fee, tariff.payer


def counter_amount(market: Market, amount_minor: int) -> int:
    """An amount that cash can be given for.

    Raises DomainError `amount_too_small` with `least`, `amount_step`.
    """
    rules, written = market.agents, market.currency.format
    if amount_minor < rules.least_minor:
        raise DomainError("amount_too_small", least=written(rules.least_minor))
    if amount_minor % rules.step_minor:
        raise DomainError("amount_step", step=written(rules.step_minor))
    return amount_minor

"""L1: tariffs: what an operation costs, who pays it, and how it is divided.

Rounding: the tax in a fee half up, as tax offices ask; commissions down, so that the parts never
exceed the whole; what is left is the house's fee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from app.markets.tables import BasisPoints, Fault, Minor, Table
from app.money import part_included, round_down, round_half_up, share

Operation = Literal[
    "bill_payment",  # from a wallet
    "agent_bill",  # by an agent's float, for a walk-in customer
    "send",  # to a registered number
    "voucher",  # to a number that is not registered
    "cash_in",
    "cash_out",
    "float_move",  # between two agents' floats
]
Payer = Literal["sender", "receiver"]


@dataclass(frozen=True, slots=True)
class Fee:
    """What an operation costs, and how that is divided; minor units.

    `tax_minor` and `funded_minor` are parts of `total_minor`. `commission_minor` is all that the
    agents earn: what the fee does not fund, the operator owes them and pays from its own account.
    `super_agent_minor` is the super-agent's part of the commission.
    """

    total_minor: int
    tax_minor: int = 0
    commission_minor: int = 0
    funded_minor: int = 0
    super_agent_minor: int = 0

    @property
    def net_minor(self) -> int:
        return self.total_minor - self.tax_minor - self.funded_minor

    @property
    def agent_minor(self) -> int:
        return self.commission_minor - self.super_agent_minor


class Band(Table):
    """Amounts up to `up_to_minor`. `commission_minor`, where it is given, is instead of a share."""

    up_to_minor: int = Field(gt=0)
    fee_minor: Minor
    commission_minor: Minor | None = None


class Tariff(Table):
    """The price list of one operation from a day of the market on.

    The fee is paid on top by the sender, or taken from what the receiver gets. It includes its tax;
    the commission is a share of what is left, or an amount of the band.
    """

    effective_from: date
    payer: Payer = "sender"
    tax_in_fee_bps: BasisPoints
    commission_bps: BasisPoints = 0
    super_agent_bps: BasisPoints = 0
    bands: tuple[Band, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        least = 1
        for index, band in enumerate(self.bands):
            if band.up_to_minor < least:
                raise Fault("must be above the band before it", "bands", index, "up_to_minor")
            if self.payer == "receiver" and band.fee_minor >= least and band.fee_minor:
                reason = f"eats the whole of an amount of {least}, which the receiver pays it from"
                raise Fault(reason, "bands", index, "fee_minor")
            least = band.up_to_minor + 1
        return self

    @property
    def most_minor(self) -> int:
        return self.bands[-1].up_to_minor

    def fee(self, amount_minor: int, *, agent: bool = False, super_agent: bool = False) -> Fee:
        """The fee of an amount. Without an agent in it nobody earns a commission, without a
        super-agent the agent earns it all. Raises ValueError above the last band.
        """
        band = next((band for band in self.bands if amount_minor <= band.up_to_minor), None)
        if band is None:
            raise ValueError("amount above the last band")
        total = band.fee_minor
        tax = part_included(total, self.tax_in_fee_bps, round_half_up)
        if not agent:
            return Fee(total, tax)
        commission = band.commission_minor
        if commission is None:
            commission = share(total - tax, self.commission_bps, round_down)
        above = share(commission, self.super_agent_bps, round_down) if super_agent else 0
        return Fee(total, tax, commission, min(commission, total - tax), above)


def refuse_disorder(tariffs: Sequence[Tariff], *place: str | int) -> None:
    """Raises Fault for price lists, at that place, that do not follow each other in time."""
    if not tariffs:
        raise Fault("must have one price list at least", *place)
    for index in range(1, len(tariffs)):
        if tariffs[index].effective_from <= tariffs[index - 1].effective_from:
            reason = "must be after the price list before it"
            raise Fault(reason, *place, index, "effective_from")

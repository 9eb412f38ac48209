"""The demo market made small: a few movements meet every limit, ceiling and bound of it."""

from __future__ import annotations

from datetime import date
from typing import Any

from app import markets
from app.markets.model import Market
from app.markets.rules import Limits
from app.markets.tariffs import Operation, Payer, Tariff

Bands = list[dict[str, int]]
TIERS = {
    "tier0": (30_000, 45_000, 90_000, 80_000),
    "tier1": (60_000, 90_000, 200_000, 150_000),
    "tier2": (100_000, 150_000, 500_000, 250_000),
}
MOST = 100_000  # the highest band
TAXED: dict[str, Any] = {"effective_from": date(2020, 1, 1), "tax_in_fee_bps": 1500}
SHARED = TAXED | {"commission_bps": 5000, "super_agent_bps": 2000}
SEND: Bands = [
    {"up_to_minor": 10_000, "fee_minor": 0},
    {"up_to_minor": 40_000, "fee_minor": 700},
    {"up_to_minor": MOST, "fee_minor": 1_300},
]
BILL: Bands = [{"up_to_minor": 10_000, "fee_minor": 500}, {"up_to_minor": MOST, "fee_minor": 1_000}]
CASH_IN: Bands = [  # the operator pays the agent for the small ones
    {"up_to_minor": 10_000, "fee_minor": 0, "commission_minor": 200},
    {"up_to_minor": 30_000, "fee_minor": 0, "commission_minor": 800},
    {"up_to_minor": MOST, "fee_minor": 900},
]


def dear(fee_minor: int) -> Bands:
    """From the least amount of a counter on; below it nothing, so that no fee eats it whole."""
    return [
        {"up_to_minor": 4_999, "fee_minor": 0},
        {"up_to_minor": 20_000, "fee_minor": fee_minor},
        {"up_to_minor": MOST, "fee_minor": 3 * fee_minor},
    ]


def small(payer: Payer) -> Market:
    """With fees that the sender pays, or the receiver; then no deposit is free."""
    market = markets.load("demo")
    cash_in = CASH_IN if payer == "sender" else dear(300)
    price_lists: dict[Operation, dict[str, Any]] = {
        "bill_payment": TAXED | {"bands": BILL},
        "agent_bill": SHARED | {"bands": BILL},
        "send": TAXED | {"bands": SEND, "payer": payer},
        "voucher": SHARED | {"bands": dear(900), "payer": payer},
        "cash_in": SHARED | {"bands": cash_in, "payer": payer},
        "cash_out": SHARED | {"bands": dear(700), "payer": payer},
        "float_move": TAXED | {"bands": dear(100), "payer": payer},
    }
    stima = market.billers["stima"]
    product = stima.products[0].model_copy(update={"max_minor": MOST})
    changes = {
        "tariffs": {name: (Tariff.model_validate(one),) for name, one in price_lists.items()},
        "tiers": {
            name: Limits(
                per_transaction_minor=once,
                per_day_minor=day,
                per_month_minor=month,
                balance_minor=balance,
            )
            for name, (once, day, month, balance) in TIERS.items()
        },
        "agents": market.agents.model_copy(update={"low_float_minor": 40_000}),
        "billers": {"stima": stima.model_copy(update={"products": (product,), "concurrency": 256})},
    }
    return market.model_copy(update=changes)

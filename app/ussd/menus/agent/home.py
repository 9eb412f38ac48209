"""The counter's menu."""

from __future__ import annotations

from typing import Any

from app.ussd.menus.services import Services
from app.ussd.menus.start import NEWS_KEYS, news_facts
from app.ussd.states import Hop, Menu, Option, State


def facts(hop: Hop[Services]) -> dict[str, object]:
    code, name, *_ = hop.data["agent"]
    return {**news_facts(hop), "name": hop.name(name), "number": code}


STATES: tuple[State[Any], ...] = (
    Menu(
        "agent",
        text="menus.agent.title",
        facts=facts,
        extra_texts=NEWS_KEYS,
        pages=True,
        options=(
            Option("menus.agent.cash_in", goes="cash_in.number"),
            Option("menus.agent.code_out", goes="code_out.number"),
            Option("menus.agent.bill", goes="bill.category", sets={"counter": True}),
            Option("menus.agent.voucher", goes="voucher_collect.number"),
            Option("menus.agent.float", goes="float"),
            Option("menus.agent.commission", goes="commission.pin"),
            Option("menus.agent.customers", goes="customers"),
            Option("menus.agent.reports", goes="reports"),
            Option("menus.agent.own", goes="home", sets={"counter": False, "walkin": None}),
        ),
    ),
)

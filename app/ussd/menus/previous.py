"""The menus of the release before, as differences from today's.

Sessions that began with them end with them, and processes of that release know no others. When a
release changes the menus, this file is written anew and `menus.VERSION` counts up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.billers import payments
from app.markets import Market
from app.ussd.menubook import MenuBook
from app.ussd.menus import account, bill, history, outcome, start
from app.ussd.menus.services import Services, caller
from app.ussd.menus.transfer import told_of_transfer
from app.ussd.states import End, Hop, Item, Menu, State, targets

VERSION = "2"
# People, sending, cash and the counter came with version 3: rooms, and single states of old ones.
NEW_ROOMS = frozenset(
    {
        "send", "voucher", "voucher_back", "withdraw", "cash_out", "withdrawal_code", "stop",
        "reset", "wake",
        "agent", "cash_in", "code_out", "voucher_collect", "float", "float_ask", "float_move",
        "float_grant", "commission", "customers", "invite", "reset_for", "mistake", "reports",
        "sheet",
    }
)  # fmt: skip
NEW_STATES = frozenset(
    {"home.dormant", "home.closed", "bill.phone", "register.named", "history.transfer",
     "history.sent", "history.voucher"}
)  # fmt: skip
NEW_OF_ACCOUNT = ("tariffs", "tariff", "limits")
NEW_AT_HOME = ("menus.home.send", "menus.home.withdraw")


def enter(hop: Hop[Services]) -> str:
    """There was no counter, and whoever did not pay was told that they are suspended."""
    state = hop.data.get("state", "active")
    if hop.person is not None and state != "active":
        return "home.suspended"
    if hop.person is not None and hop.left is not None:
        return "resume"
    return "register.language" if hop.person is None else "home"


def last_payments(hop: Hop[Services]) -> list[Item]:
    """Bills only."""
    person_id = caller(hop).id
    views = hop.services.db.transact(
        lambda session: payments.recent(session, person_id, history.SHOWN)
    )
    return [history.line(hop, view) for view in views]


def fees_facts(hop: Hop[Services]) -> dict[str, object]:
    """The fees of bills, and the limits of whoever registers alone."""
    limits = hop.market.tiers[hop.market.default_tier]
    return {
        "bands": account.bands(hop, "bill_payment"),
        "once_minor": limits.per_transaction_minor,
        "day_minor": limits.per_day_minor,
        "wallet_minor": limits.balance_minor,
    }


FEES: End[Any] = End(
    "fees",
    text="menus.fees.text",
    facts=fees_facts,
    extra_texts=("menus.fees.band",),
    pages=True,
)


def _changed(states: dict[str, State[Any]]) -> dict[str, dict[str, Any]]:
    home, consent, own = states["home"], states["register.consent"], states["account"]
    assert isinstance(home, Menu)
    assert isinstance(own, Menu)
    assert isinstance(consent, Menu)
    agree, refuse = consent.options
    return {
        "enter": {"run": enter, "goes": ("register.language", "home.suspended", "home", "resume")},
        "home": {
            "options": tuple(one for one in home.options if one.label not in NEW_AT_HOME),
        },
        "register.consent": {"options": (replace(agree, goes="register.name"), refuse)},
        "account": {
            "options": tuple(
                replace(one, goes="fees") if one.goes == "tariffs" else one for one in own.options
            ),
        },
        "bill.inquiry": {
            "goes": tuple(name for name in targets(states["bill.inquiry"]) if name != "bill.phone")
        },
        "history.payments": {"items": last_payments, "goes": ("history.payment",)},
    }


def of_lost_session(hop: Hop[Services]) -> str | None:
    """A session of the new menus may end up here while Redis forgot when they were first used."""
    found = outcome.of_lost_session(hop)
    return found if found is None or found in outcome.BILL_OUTCOMES else "lost.done"


def done_facts(hop: Hop[Services]) -> dict[str, object]:
    told = told_of_transfer(hop)
    return {"amount_minor": told["amount_minor"], "reference": told["reference"]}


DONE: End[Any] = End("lost.done", text="menus.news.posted", facts=done_facts, reads=True)


def book(market: Market, today: tuple[State[Any], ...]) -> MenuBook[Services]:
    """The book of the release before, made from the states of today's."""
    kept = {
        state.name: state
        for state in today
        if state.name not in {*NEW_STATES, *NEW_OF_ACCOUNT}
        and state.name.split(".")[0] not in NEW_ROOMS
    }
    changed = _changed(kept)
    return MenuBook(
        version=VERSION,
        start="enter",
        home="enter",
        states=[
            *(replace(state, **changed.get(name, {})) for name, state in kept.items()),
            FEES,
            DONE,
        ],
        who=start.arrive,
        on_unknown_session=of_lost_session,
        entries=(*outcome.BILL_OUTCOMES, "lost.done"),
        shortcuts=bill.shortcuts(market),
        bad_shortcut="bill.shortcut",
        fresh=start.FRESH,
    )

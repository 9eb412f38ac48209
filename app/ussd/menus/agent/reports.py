"""What an agent earns and did: commission, last transactions, the day's cash and float sheet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.ussd.menus.history import MOVED_KEYS
from app.ussd.menus.services import Services, acting_agent, open_with_pin
from app.ussd.states import End, Hop, Item, Menu, Option, Pick, Secret, State
from app.wallet.counter import payouts, sheet

SHOWN = 10


def open_commission(hop: Hop[Services], pin: str) -> str:
    open_with_pin(hop, pin)
    return "commission.shown"


def commission_facts(hop: Hop[Services]) -> dict[str, object]:
    found = hop.services.db.transact(
        lambda session: payouts.earnings(session, hop.market, acting_agent(hop, session), hop.now)
    )
    return {
        "today_minor": found.today_minor,
        "waiting_minor": found.accrued_minor,
        "paid_minor": found.last[0].amount_minor if found.last else 0,
    }


def last_lines(hop: Hop[Services]) -> list[Item]:
    def read(session: Session) -> list[sheet.Movement]:
        return sheet.last(session, acting_agent(hop, session), SHOWN)

    return [
        Item(
            [_word(movement), movement.float_minor, movement.msisdn, movement.reference,
             int(movement.at.timestamp())],
            {
                "time": movement.at.astimezone(hop.market.zone).strftime("%d/%m %H:%M"),
                "state": hop.say(f"menus.moved.{_word(movement)}"),
                "amount_minor": movement.float_minor,
            },
        )
        for movement in hop.services.db.transact(read)
    ]  # fmt: skip


def _word(movement: sheet.Movement) -> str:
    if movement.taken_back:
        return "reversed"
    return {"bill_payment": "bill"}.get(movement.kind, movement.kind)


def choose_line(hop: Hop[Services], line: list[Any]) -> str:
    hop.data["line"] = line
    return "reports.line"


def line_facts(hop: Hop[Services]) -> dict[str, object]:
    word, float_minor, msisdn, reference, at = hop.data["line"]
    local = datetime.fromtimestamp(at, hop.market.zone)
    return {
        "state": hop.say(f"menus.moved.{word}"),
        "amount_minor": float_minor,
        "to": numbers.local(msisdn) if msisdn else "",
        "reference": reference,
        "at": local.strftime("%d/%m/%Y %H:%M"),
    }


def open_sheet(hop: Hop[Services], pin: str) -> str:
    open_with_pin(hop, pin)
    return "sheet.shown"


def sheet_facts(hop: Hop[Services]) -> dict[str, object]:
    today = hop.now.astimezone(hop.market.zone).date()
    day = hop.services.db.transact(
        lambda session: sheet.of_day(
            session, hop.market, acting_agent(hop, session), today, now=hop.now
        )
    )
    moved = ("float_move", "float_payout", "deposit")
    return {
        "date": today.strftime("%d/%m/%Y"),
        "opening_minor": day.opening_minor,
        "taken_minor": day.of("cash_in").cash_minor,
        "given_minor": -sum(day.of(kind).cash_minor for kind in ("cash_out", "voucher_collect")),
        "bills_minor": day.of("bill_payment").cash_minor,
        "moved_minor": sum(day.of(kind).float_minor for kind in moved),
        "earned_minor": day.of("commission").float_minor,
        "closing_minor": day.closing_minor,
        "count": sum(line.count for line in day.lines),
    }


STATES: tuple[State[Any], ...] = (
    Secret(
        "commission.pin",
        text="menus.commission.pin",
        accept=open_commission,
        goes=("commission.shown",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
    ),
    End(
        "commission.shown",
        text="menus.commission.shown",
        facts=commission_facts,
        reads=True,
        private=True,
    ),
    Menu(
        "reports",
        text="menus.reports.title",
        options=(
            Option("menus.reports.last", goes="reports.last"),
            Option("menus.reports.sheet", goes="sheet.pin"),
        ),
    ),
    Pick(
        "reports.last",
        text="menus.reports.last",
        item="menus.reports.item",
        items=last_lines,
        accept=choose_line,
        goes=("reports.line",),
        empty="reports.none",
        extra_texts=MOVED_KEYS,
    ),
    End("reports.none", text="menus.reports.none"),
    End("reports.line", text="menus.reports.line", facts=line_facts, extra_texts=MOVED_KEYS),
    Secret(
        "sheet.pin",
        text="menus.sheet.pin",
        accept=open_sheet,
        goes=("sheet.shown",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
    ),
    End(
        "sheet.shown",
        text="menus.sheet.shown",
        facts=sheet_facts,
        reads=True,
        private=True,
        pages=True,
    ),
)

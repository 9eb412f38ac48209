"""The sentences of the small books."""

from __future__ import annotations

from collections.abc import Mapping

from app.text import Catalogues

TEXTS = {
    "en": {
        "menus.t.main": "Hello {name}",
        "menus.t.pay": "Pay",
        "menus.t.list": "Payments",
        "menus.t.terms": "Terms",
        "menus.t.balance": "Balance",
        "menus.t.swahili": "Kiswahili",
        "menus.t.ask_biller": "Ask the biller",
        "menus.t.new_pin": "New PIN",
        "menus.t.hidden": "Hidden",
        "menus.t.amount": "Enter amount",
        "menus.t.pin": "Pay {amount}. Enter PIN",
        "menus.t.pin_again": "Enter PIN to pay {amount}",
        "menus.t.paid": "Paid {amount}, number {count}",
        "menus.t.late": "In progress. SMS follows",
        "menus.t.differ": "Not the same",
        "menus.t.changed": "PIN changed",
        "menus.t.line": "{day} {amount}",
        "menus.t.none": "Nothing yet",
        "menus.t.one": "Payment {which}",
        "menus.t.long": "Terms. " + "Be kind to each other and pay in time. " * 12,
        "menus.t.crowded": "The biller is slow. Nothing was taken",
        "menus.t.biller": "The biller says hello",
        "menus.t.language": "Language is English",
        "menus.t.first": "Choose a PIN",
        "menus.t.second": "The same PIN again",
        "menus.t.balance_pin": "Enter PIN for the balance",
        "menus.t.balance_shown": "Balance {amount}",
        "menus.t.outcome": "Last session: payment done",
        "refusals.not_a_number": "Digits only.",
        "refusals.too_much": "At most {most}.",
        "refusals.too_poor": "Not enough money: you have {amount}",
        "refusals.pin_wrong": "Wrong PIN, {left} left.",
        "refusals.pin_locked": "Locked for {lock_minutes} min. Help: {care}",
    }
}
TEXTS["sw"] = {
    **TEXTS["en"],
    "menus.t.main": "Habari {name}",
    "menus.t.amount": "Andika kiasi",
    "menus.t.language": "Lugha ni Kiswahili",
}

SHOP = {
    "en": {
        "menus.s.main": "Hello {name}",
        "menus.s.pay": "Pay",
        "menus.s.new_pin": "New PIN",
        "menus.s.figures": "Figures",
        "menus.s.swahili": "Kiswahili",
        "menus.s.resume": "Go on where you were?",
        "menus.s.go_on": "Go on",
        "menus.s.again": "Start again",
        "menus.s.meter": "Enter meter",
        "menus.s.amount": "Enter amount for {meter}",
        "menus.s.confirm": "Pay {amount} for {meter}. Enter PIN",
        "menus.s.review": "{amount} for {meter}",
        "menus.s.paid": "Paid {amount}",
        "menus.s.late": "In progress",
        "menus.s.first": "Choose a PIN",
        "menus.s.hint": "Enter a hint",
        "menus.s.done": "Done",
        "menus.s.year": "Enter year",
        "menus.s.kinds": "Kinds of {year}",
        "menus.s.open": "Open",
        "menus.s.closed": "With PIN",
        "menus.s.list": "List",
        "menus.s.line": "Line {which}",
        "menus.s.pin": "Enter PIN",
        "menus.s.shown": "Secret figures of {year}",
        "menus.s.bad_code": "Dial *51*meter*amount#",
        "refusals.not_a_number": "Digits only.",
        "refusals.too_long": "Too long.",
        "refusals.pin_wrong": "Wrong PIN, {left} left.",
    }
}
SHOP["sw"] = {**SHOP["en"], "menus.s.meter": "Andika mita", "menus.s.main": "Habari {name}"}


def catalogues(texts: Mapping[str, Mapping[str, str]] = TEXTS) -> Catalogues:
    """The engine's own sentences and those of a small book."""
    made = Catalogues(["en", "sw"])
    made._sentences = {
        language: {**made._sentences[language], **texts[language]} for language in made.languages
    }
    return made

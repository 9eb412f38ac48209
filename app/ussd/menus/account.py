"""My account: PIN, language, fees and limits, help."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.markets import Market
from app.markets.tariffs import Operation
from app.notices import notify
from app.ussd.menus.newpin import typed_twice
from app.ussd.menus.services import Services, caller, open_with_pin, recipient
from app.ussd.states import End, Hop, Menu, Option, Secret, State, Step
from app.wallet import people
from app.wallet.keys import new_key

SHOWN: tuple[Operation, ...] = ("bill_payment", "send", "voucher", "cash_out")


def check_old(hop: Hop[Services], pin: str) -> str:
    open_with_pin(hop, pin)
    return "pin.new"


def change(hop: Hop[Services], pin: str) -> str:
    """The new PIN and the SMS that tells of it, in one transaction."""
    services, person_id = hop.services, caller(hop).id
    sealed, message_id = services.pins.seal(person_id, pin), new_key()

    def put(session: Session) -> None:
        services.pins.put(session, person_id, sealed, hop.now)
        notify(
            session,
            "pin_changed",
            recipient(hop, person_id),
            message_id=message_id,
            subject=message_id,
            facts={"at": hop.now.isoformat(), "care": hop.market.care_number},
            now=hop.now,
        )

    services.db.transact(put, name="pin", idempotent=True)
    return "pin.changed"


def set_language(hop: Hop[Services]) -> str:
    language = hop.data.pop("language")
    person_id = caller(hop).id
    hop.services.db.transact(lambda session: people.set_language(session, person_id, language))
    hop.language = language
    return "enter"


def bands(hop: Hop[Services], operation: Operation) -> str:
    """The price list of today, a line a band."""
    return "\n".join(
        hop.say("menus.fees.band", up_to=hop.money(band.up_to_minor), fee=hop.money(band.fee_minor))
        for band in hop.market.tariff(operation, hop.now).bands
    )


def fees_facts(hop: Hop[Services]) -> dict[str, object]:
    operation = hop.data["fees"]
    return {"of": hop.say(f"menus.fees.{operation}"), "bands": bands(hop, operation)}


def limits_facts(hop: Hop[Services]) -> dict[str, object]:
    """Those of the person's own tier."""
    person_id = caller(hop).id
    person = hop.services.db.transact(lambda session: people.get(session, person_id))
    limits = hop.market.tiers[person.tier]
    return {
        "once_minor": limits.per_transaction_minor,
        "day_minor": limits.per_day_minor,
        "month_minor": limits.per_month_minor,
        "wallet_minor": limits.balance_minor,
    }


def language_options(market: Market, goes: str) -> tuple[Option[Services], ...]:
    return tuple(
        Option(f"languages.{language}", goes=goes, sets={"language": language})
        for language in market.languages
    )


def states(market: Market) -> tuple[State[Any], ...]:
    return (
        Menu(
            "account",
            text="menus.account.title",
            options=(
                Option("menus.account.pin", goes="pin.old"),
                Option("menus.account.language", goes="language"),
                Option("menus.account.fees", goes="tariffs"),
                Option("menus.account.help", goes="help"),
            ),
        ),
        Secret(
            "pin.old",
            text="menus.pin.old",
            accept=check_old,
            goes=("pin.new",),
            refusals=("pin_wrong",),
            ends=("pin_locked",),
        ),
        *typed_twice("pin", keep=change, goes="pin.changed"),
        End("pin.changed", text="menus.pin.changed"),
        Menu(
            "language",
            text="menus.language.title",
            options=language_options(market, "language.set"),
        ),
        Step("language.set", run=set_language, goes=("enter",)),
        Menu(
            "tariffs",
            text="menus.account.fees",
            options=(
                *(
                    Option(f"menus.fees.{operation}", goes="tariff", sets={"fees": operation})
                    for operation in SHOWN
                ),
                Option("menus.fees.limits", goes="limits"),
            ),
        ),
        End(
            "tariff",
            text="menus.fees.shown",
            facts=fees_facts,
            extra_texts=("menus.fees.band", *(f"menus.fees.{one}" for one in SHOWN)),
            pages=True,
        ),
        End("limits", text="menus.fees.limits_shown", facts=limits_facts, reads=True),
        End("help", text="menus.account.helped"),
    )

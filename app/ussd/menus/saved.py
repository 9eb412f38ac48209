"""Saved numbers: paid by a name of the person's own, saved from a payment, renamed, deleted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.billers import catalogue, favourites, payments
from app.billers.favourites import NICKNAME_MOST, Favourite
from app.ussd.menus.services import Services, caller
from app.ussd.states import Ask, End, Hop, Item, Menu, Option, Pick, State, Step

CHANGE = "change"


def to_pay(hop: Hop[Services]) -> list[Item]:
    """Those that are still sold, and at the end the way to change any."""
    rows = [_line(hop, one) for one in _own(hop) if catalogue.is_sold(hop.market, one.product_code)]
    return [*rows, Item(CHANGE, {"line": hop.say("menus.saved.change")})]


def to_change(hop: Hop[Services]) -> list[Item]:
    return [_line(hop, one) for one in _own(hop)]


def _own(hop: Hop[Services]) -> list[Favourite]:
    person_id = caller(hop).id
    return hop.services.db.transact(lambda session: favourites.of_person(session, person_id))


def _line(hop: Hop[Services], one: Favourite) -> Item:
    product = catalogue.product_name(hop.market, one.product_code)
    return Item(str(one.id), {"line": f"{_shown(hop, one.nickname)}: {product}"})


def _shown(hop: Hop[Services], nickname: str) -> str:
    return hop.name(nickname, NICKNAME_MOST)


def choose(hop: Hop[Services], chosen: str) -> str:
    if chosen == CHANGE:
        return "saved.change"
    one = _one(hop, chosen)
    hop.data["product"], hop.data["customer_no"] = one.product_code, one.customer_no
    return "bill.inquiry"


def _one(hop: Hop[Services], favourite_id: str) -> Favourite:
    person_id, one = caller(hop).id, UUID(favourite_id)
    return hop.services.db.transact(lambda session: favourites.get(session, person_id, one))


def choose_to_change(hop: Hop[Services], chosen: str) -> str:
    hop.data["favourite"] = chosen
    return "saved.one"


def facts(hop: Hop[Services]) -> dict[str, object]:
    one = _one(hop, hop.data["favourite"])
    return {
        "nickname": _shown(hop, one.nickname),
        "product": catalogue.product_name(hop.market, one.product_code),
        "customer_no": one.customer_no,
    }


def parse_name(hop: Hop[Services], typed: str) -> str:
    return favourites.nickname(typed, wide=hop.is_wide)


def rename(hop: Hop[Services], name: str) -> str:
    person_id, one = caller(hop).id, UUID(hop.data["favourite"])
    hop.services.db.transact(lambda session: favourites.rename(session, person_id, one, name))
    hop.data["nickname"] = name
    return "saved.done"


def delete(hop: Hop[Services]) -> str:
    person_id, one = caller(hop).id, UUID(hop.data["favourite"])
    hop.services.db.transact(lambda session: favourites.remove(session, person_id, one))
    return "saved.deleted"


def paid_facts(hop: Hop[Services]) -> dict[str, object]:
    """The number of the payment that is on the screen."""
    payment_id = UUID(hop.data["payment"])
    view = hop.services.db.transact(lambda session: payments.outcome(session, payment_id))
    return {
        "product": catalogue.product_name(hop.market, view.product_code),
        "customer_no": view.customer_no,
    }


def save(hop: Hop[Services], name: str) -> str:
    person_id, payment_id = caller(hop).id, UUID(hop.data["payment"])

    def keep(session: Session) -> None:
        paid = payments.outcome(session, payment_id)
        number = paid.product_code, paid.customer_no
        favourites.save(session, person_id, *number, name, now=hop.now)

    hop.services.db.transact(keep)
    hop.data["nickname"] = name
    return "saved.done"


def done_facts(hop: Hop[Services]) -> dict[str, object]:
    return {"nickname": _shown(hop, hop.data["nickname"])}


STATES: tuple[State[Any], ...] = (
    Pick(
        "saved.list",
        text="menus.saved.title",
        item="menus.bill.line",
        items=to_pay,
        accept=choose,
        goes=("bill.inquiry", "saved.change"),
        empty="saved.none",
        ends=("favourite_unknown",),
        extra_texts=("menus.saved.change",),
        search=True,
    ),
    Pick(
        "saved.change",
        text="menus.saved.change",
        item="menus.bill.line",
        items=to_change,
        accept=choose_to_change,
        goes=("saved.one",),
        empty="saved.none",
        search=True,
    ),
    End("saved.none", text="menus.saved.none"),
    Menu(
        "saved.one",
        text="menus.saved.one",
        facts=facts,
        reads=True,
        options=(
            Option("menus.saved.rename", goes="saved.rename"),
            Option("menus.saved.delete", goes="saved.delete"),
        ),
    ),
    Ask(
        "saved.rename",
        text="menus.saved.new_name",
        facts=facts,
        parse=parse_name,
        accept=rename,
        goes=("saved.done",),
        refusals=("nickname_invalid",),
        ends=("favourite_unknown",),
        reads=True,
    ),
    Step("saved.delete", run=delete, goes=("saved.deleted",)),
    End("saved.deleted", text="menus.saved.deleted"),
    Ask(
        "saved.name",
        text="menus.saved.name",
        facts=paid_facts,
        parse=parse_name,
        accept=save,
        goes=("saved.done",),
        refusals=("nickname_invalid",),
        ends=("favourites_full",),
        reads=True,
    ),
    End("saved.done", text="menus.saved.done", facts=done_facts),
)

"""L6: the longest value that each fact of a sentence may take, for `check`.

A sentence with a fact that is not here cannot be measured, which `check` reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.billers import catalogue
from app.billers.favourites import NICKNAME_MOST
from app.markets import Market
from app.markets.billers import Product
from app.text import Catalogues

NAME_CHARS = 20  # billers' and people's names are clipped to this before they are shown
LINES_MOST = 3  # of a bill, with labels of at most 12 characters
LINE = "W" * 12
TURNOVER_TIMES = 10  # a digit more than the largest balance
TOKENS_MOST = 3  # two key-change tokens before the credit token (IEC 62055-41)


@dataclass(frozen=True, slots=True)
class Context:
    """Where a value is shown."""

    market: Market
    catalogues: Catalogues
    language: str


Sample = Callable[[Context], str]


def samples(context: Context, names: Iterable[str]) -> dict[str, str]:
    """The worst values of those facts. Raises KeyError with the name of an unknown one."""
    return {name: WORST[name](context) for name in names}


def _text(value: str) -> Sample:
    return lambda _: value


def _top_minor(context: Context) -> int:
    return max(tier.balance_minor for tier in context.market.tiers.values())


def _money(context: Context) -> str:
    """The largest balance of any tier, with its last unit, is the widest amount of a person."""
    return context.market.currency.format(_top_minor(context))


def _turnover(context: Context) -> str:
    """What goes through an agent's hands in a day may be more than any balance."""
    return context.market.currency.format(TURNOVER_TIMES * _top_minor(context))


def _net_turnover(context: Context) -> str:
    """The same, where what went out is subtracted from what came in."""
    return context.market.currency.format(-TURNOVER_TIMES * _top_minor(context))


def _longest(*rooms: str) -> Sample:
    """The longest sentence of these tables of the catalogue, itself with worst values."""

    def sample(context: Context) -> str:
        catalogues, language = context.catalogues, context.language
        keys = [key for key in catalogues.keys(language) if key.startswith(rooms)]
        said = (
            catalogues.say(language, key, samples(context, catalogues.placeholders(language, key)))
            for key in keys
        )
        return max(said, key=len, default="")

    return sample


def _news(context: Context) -> str:
    return _longest("menus.news.")(context) + "\n"


def _of_products(say: Callable[[Context, Product], str]) -> Sample:
    """The longest of what is said of any product."""
    return lambda context: max(
        (say(context, product) for product in catalogue.products(context.market)),
        key=len,
        default="",
    )


_product = _of_products(lambda _, product: product.name)
_customer_no = _of_products(lambda _, product: "5" * product.customer.most)
_digits = _of_products(lambda _, product: catalogue.digits(product))
_hint = _of_products(lambda context, product: catalogue.hint(product, context.language))


def _line(context: Context) -> str:
    """A line of a list to choose what to pay from: a saved number, or a heading."""
    saved = f"{'W' * NICKNAME_MOST}: {_product(context)}"
    return max(saved, _longest("menus.category.")(context), key=len)


def _lines(context: Context) -> str:
    """A bill of many months, each with a penalty."""
    _, bare = _money(context).split(" ", 1)
    lines = [f"{LINE} {bare} +{bare}"] * LINES_MOST
    more = context.catalogues.say(context.language, "menus.bill.more", {"count": 99})
    return "".join(f"{line}\n" for line in [*lines, more])


def _receipt_line(context: Context) -> str:
    return "\n" + _longest("menus.bill.receipt")(context)


def _longest_of_fees(context: Context) -> str:
    names = [f"menus.fees.{operation}" for operation in context.market.tariffs]
    said = [
        context.catalogues.say(context.language, name)
        for name in names
        if context.catalogues.has(context.language, name)
    ]
    return max(said, key=len, default="")


def _bands(context: Context) -> str:
    money = context.market.currency.format
    tariffs = [tariff for dated in context.market.tariffs.values() for tariff in dated]
    longest = max(tariffs, key=lambda tariff: len(tariff.bands))
    return "\n".join(
        context.catalogues.say(
            context.language,
            "menus.fees.band",
            {"up_to": money(band.up_to_minor), "fee": money(band.fee_minor)},
        )
        for band in longest.bands
    )


_TOKEN = "-".join(["1234"] * 5)

WORST: dict[str, Sample] = {
    "amount": _money,
    "at": _text("31/12/2026 23:59"),
    "available": _money,
    "balance": _money,
    "bands": _bands,
    "bills": _turnover,
    "care": lambda context: context.market.care_number,
    "closing": _money,
    "by": _text("31/12 23:59"),
    "category": _longest("menus.category."),
    "code": lambda context: max(context.market.service_codes, key=len),
    "code_minutes": _text("10"),
    "count": _text("9999"),
    "customer_no": _customer_no,
    "cut_off": _text("23:59"),
    "date": _text("31/12/2026"),
    "day": _money,  # a date in lists, the daily limit elsewhere; money is the wider one
    "digits": lambda context: max(str(context.market.pin.length), _digits(context), key=len),
    "earned": _money,
    "fee": _money,
    "form": _longest("menus.bill.form_"),
    "given": _turnover,
    "held": _money,
    "hint": _hint,
    "least": _money,
    "line": _line,
    "lines": _lines,
    "left": lambda context: str(context.market.pin.tries),
    "minutes": lambda context: str(
        max(context.market.pin.lock_seconds, context.market.repeat_seconds) // 60
    ),
    "month": _money,
    "most": _money,
    "moved": _net_turnover,
    "name": _text("W" * NAME_CHARS),
    "news": _news,
    "nickname": _text("W" * NICKNAME_MOST),
    "number": _text("482910"),  # an agent's code; the number of a shortcut is shorter
    "of": _longest_of_fees,
    "once": _money,
    "opening": _money,
    "opens": _text("23:59"),
    "owed": _money,
    "paid": _money,
    "product": _product,
    "receipt": _text("W" * NAME_CHARS),
    "receipt_line": _receipt_line,
    "reference": _text("8WWWWWWW"),
    "received": _money,
    "state": _longest("menus.state.", "menus.moved."),
    "stem": lambda context: max(context.market.service_codes, key=len).removesuffix("#") + "*5151",
    "step": _money,
    "taken": _turnover,
    "time": _text("31/12 23:59"),
    "to": _text("6281234567890"),  # a phone number; an agent's code is shorter
    "today": _money,
    "token": _text(_TOKEN),
    "tokens": _text("\n".join([_TOKEN] * TOKENS_MOST)),
    "total": _money,
    "up_to": _money,
    "waiting": _money,
    "wallet": _money,
    "whose": _text("W" * NAME_CHARS + "\n"),
    "who": _text("W" * NAME_CHARS + " " + "0" * 13),
}

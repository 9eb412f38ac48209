"""L6: the longest value that each fact of a sentence may take, for `check`.

A sentence with a fact that is not here cannot be measured, which `check` reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.markets import Market
from app.text import Catalogues

NAME_CHARS = 20  # billers' and people's names are clipped to this before they are shown
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


def _money(context: Context) -> str:
    """The largest balance of any tier, with its last unit, is the widest amount there is."""
    top = max(tier.balance_minor for tier in context.market.tiers.values())
    return context.market.currency.format(top)


def _longest(room: str) -> Sample:
    """The longest sentence of a table of the catalogue, itself with worst values."""

    def sample(context: Context) -> str:
        catalogues, language = context.catalogues, context.language
        keys = [key for key in catalogues.keys(language) if key.startswith(room)]
        said = (
            catalogues.say(language, key, samples(context, catalogues.placeholders(language, key)))
            for key in keys
        )
        return max(said, key=len, default="")

    return sample


def _news(context: Context) -> str:
    return _longest("menus.news.")(context) + "\n"


def _product(context: Context) -> str:
    billers = context.market.billers.values()
    names = [product.name for biller in billers for product in biller.products]
    return max(names, key=len, default="")


def _customer_no(context: Context) -> str:
    billers = context.market.billers.values()
    digits = [product.customer_digits for biller in billers for product in biller.products]
    return "5" * max(digits, default=0)


def _bands(context: Context) -> str:
    money = context.market.currency.format
    longest = max(context.market.tariffs["bill_payment"], key=lambda tariff: len(tariff.bands))
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
    "care": lambda context: context.market.care_number,
    "code": lambda context: max(context.market.service_codes, key=len),
    "customer_no": _customer_no,
    "day": _money,  # a date in lists, the daily limit elsewhere; money is the wider one
    "digits": lambda context: str(context.market.pin.length),
    "fee": _money,
    "held": _money,
    "least": _money,
    "left": lambda context: str(context.market.pin.tries),
    "minutes": lambda context: str(
        max(context.market.pin.lock_seconds, context.market.repeat_seconds) // 60
    ),
    "month": _money,
    "most": _money,
    "name": _text("W" * NAME_CHARS),
    "news": _news,
    "number": lambda context: max(context.market.shortcuts, key=len, default=""),
    "once": _money,
    "product": _product,
    "reference": _text("8WWWWWWW"),
    "state": _longest("menus.state."),
    "stem": lambda context: max(context.market.service_codes, key=len).removesuffix("#"),
    "step": _money,
    "token": _text(_TOKEN),
    "tokens": _text("\n".join([_TOKEN] * TOKENS_MOST)),
    "total": _money,
    "up_to": _money,
    "wallet": _money,
}

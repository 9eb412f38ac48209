"""What a soak buys and what goes wrong meanwhile: all of it drawn from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.luhn import passes_luhn
from app.markets.billers import Product
from app.markets.model import Market

FAULTY = 0.2
BY_FILE, BY_FILE_MOST = 0.02, 150  # a biller that is paid by file knows so few customers
# What ends with staff and what costs a thread its time-out comes seldom.
SELDOM = ("pending_forever", "bad_token", "no_answer")
SECONDS: Mapping[str, tuple[float, ...]] = {
    "slow": (0.4, 3.0),  # the second is longer than we wait
    "late_success": (3.0,),
    "late_refusal": (3.0,),
    "flipped_webhook": (1.0,),
}
# A line without an answer is waited for for days, and one file is all that is asked about.
NOT_BY_FILE = ("missing_line",)


@dataclass(frozen=True, slots=True)
class Fault:
    """An order to the sandbox."""

    kind: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Purchase:
    """`share` says how much of what may be paid is paid."""

    biller: str
    product: Product
    customer_no: str
    share: float
    fault: Fault | None


def draw(
    market: Market, kinds: Mapping[str, Mapping[str, object]], count: int, dice: random.Random
) -> list[Purchase]:
    """`count` purchases, those by file first; `kinds`: what each biller can be told to do."""
    by_file = [code for code, rules in market.billers.items() if rules.family == "file"]
    others = [code for code in market.billers if code not in by_file]
    first = min(BY_FILE_MOST, max(3, round(count * BY_FILE / len(by_file))))
    chosen = [code for code in by_file for _ in range(first)]
    chosen += dice.choices(others, k=count - len(chosen))
    numbers = {
        product.code: _numbers(product, code in by_file, count, dice)
        for code, rules in market.billers.items()
        for product in rules.products
    }
    made = []
    for code in chosen:
        product = dice.choice(market.billers[code].products)
        fault = None
        if code not in by_file and dice.random() < FAULTY:
            fault = draw_fault(kinds[code], dice)
        made.append(Purchase(code, product, next(numbers[product.code]), dice.random(), fault))
    return made


def draw_fault(kinds: Mapping[str, object], dice: random.Random) -> Fault:
    """One of what a biller can be told to do."""
    names = [kind for kind in sorted(kinds) if kind not in NOT_BY_FILE]
    weights = [1 if kind in SELDOM else 4 for kind in names]
    (kind,) = dice.choices(names, weights)
    return Fault(kind, dice.choice(SECONDS[kind]) if kind in SECONDS else None)


def _numbers(product: Product, by_file: bool, count: int, dice: random.Random) -> Iterator[str]:
    """Customer numbers that exist and owe something, each once."""
    rules = product.customer
    if by_file:
        first = 10 ** (rules.least - 1)
        listed = [str(first + n) for n in range(1, 201) if n % 10 not in (8, 9)]
        return iter(dice.sample(listed, len(listed)))
    if rules.kind == "phone":
        return (f"071{n:06d}1" for n in dice.sample(range(10**6), count))
    if rules.luhn:
        bodies = (f"54{n:08d}" for n in dice.sample(range(10**8), count))
        return (body + _check_digit(body) for body in bodies)
    letters = "AB" if rules.letters else ""
    width = rules.least - len(letters) - 1
    drawn = dice.sample(range(10 ** (width - 1), 10**width), count)
    return (f"{letters}{n}1" for n in drawn)  # no 8 and no 9 at the end: those owe nothing


def _check_digit(body: str) -> str:
    return next(str(check) for check in range(10) if passes_luhn(body + str(check)))

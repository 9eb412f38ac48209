"""L1: what each wire family is like, as far as a biller's file can be judged by it.

The rules are the families' own (`docs/billers.md` tells their sources); `app/billers/protocols/`
speaks them. A file that says otherwise could buy twice, and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FamilyName = Literal[
    "digiflazz_prepaid",
    "digiflazz_postpaid",
    "iak_prepaid",
    "iak_postpaid",
    "xendit",
    "iso8583",
    "file",
]
Policy = Literal["ask", "advise", "reverse", "wait"]
Pay = Literal["any", "fixed", "exact", "partial", "over"]

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Traits:
    """One wire family.

    `codes` is the form of its codes with an example. `sold`, `pending` and `judges_repetition` are
    codes that never mean that nothing was sold. `forms_nothing` are codes that judge the request
    they answer and no other (its signature, form, deposit, product): a repeated request that gets
    one says nothing about the first. `absent`: the biller never had it, as far as it remembers.

    `buys_anew_seconds`: asking is sending the purchase again, which after this long is a new one.
    `repeats_safely`: the biller sells a reference once, so that what it says it never had may be
    sent again. `same_day`: inquiry, payment and question belong to one local day.
    `signs_webhooks`: with a secret of its own, the `webhook_secret` of its credentials.
    `price_may_be_cost`: the price in its answers may be what the sale costs us.
    `inquires`: the only categories whose numbers it can name. `sku_most`: characters of a sku.
    """

    policies: tuple[Policy, ...]
    pays: tuple[Pay, ...]
    codes: tuple[str, str]
    sold: frozenset[str]
    pending: frozenset[str] = frozenset()
    judges_repetition: frozenset[str] = frozenset()
    forms_nothing: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    buys_anew_seconds: int | None = None
    repeats_safely: bool = False
    same_day: bool = False
    needs_inquiry: bool = False
    sells_tokens: bool = False
    signs_webhooks: bool = False
    price_may_be_cost: bool = False
    whole_units: bool = True
    inquires: tuple[str, ...] | None = None
    sku_most: int = 20


_NUMBERS = (r"[0-9]{2,4}", "02")
_WORDS = (r"[A-Z][A-Z0-9_]{1,39}", "BILLER_REJECTED")
_DIGIFLAZZ_FORMS_NOTHING = frozenset({"40", "41", "42", "43", "44", "45", "53", "55", "60"})
_IAK_FORMS_NOTHING = frozenset({"17", "20", "102", "103", "106", "205"})

FAMILIES: dict[FamilyName, Traits] = {
    "digiflazz_prepaid": Traits(
        policies=("ask",),
        pays=("any", "fixed"),
        codes=_NUMBERS,
        sold=frozenset({"00"}),
        pending=frozenset({"03"}),
        judges_repetition=frozenset({"49"}),
        forms_nothing=_DIGIFLAZZ_FORMS_NOTHING | {"50"},
        inquires=("electricity",),
        buys_anew_seconds=90 * DAY_SECONDS,
        sells_tokens=True,
        signs_webhooks=True,
        price_may_be_cost=True,
    ),
    "digiflazz_postpaid": Traits(
        policies=("ask",),
        pays=("exact",),
        codes=_NUMBERS,
        sold=frozenset({"00"}),
        pending=frozenset({"03"}),
        judges_repetition=frozenset({"49"}),
        forms_nothing=_DIGIFLAZZ_FORMS_NOTHING,
        absent=frozenset({"50"}),
        repeats_safely=True,
        same_day=True,
        needs_inquiry=True,
        signs_webhooks=True,
    ),
    "iak_prepaid": Traits(
        policies=("ask",),
        pays=("fixed",),
        codes=_NUMBERS,
        sold=frozenset({"00"}),
        pending=frozenset({"39", "05"}),
        judges_repetition=frozenset({"11"}),
        forms_nothing=_IAK_FORMS_NOTHING,
        absent=frozenset({"06"}),
        inquires=("electricity",),
        repeats_safely=True,
        sells_tokens=True,
        price_may_be_cost=True,
    ),
    "iak_postpaid": Traits(
        policies=("ask",),
        pays=("exact",),
        codes=_NUMBERS,
        sold=frozenset({"00"}),
        pending=frozenset({"39", "05"}),
        judges_repetition=frozenset({"11"}),
        forms_nothing=_IAK_FORMS_NOTHING | {"03", "04"},
        absent=frozenset({"06", "42"}),
        repeats_safely=True,
        same_day=True,
        needs_inquiry=True,
    ),
    "xendit": Traits(
        policies=("ask",),
        pays=("any", "fixed", "exact", "partial", "over"),
        codes=_WORDS,
        sold=frozenset({"SUCCEEDED"}),
        pending=frozenset({"PENDING"}),
        judges_repetition=frozenset({"IDEMPOTENCY_ERROR"}),
        forms_nothing=frozenset(
            {
                "AMOUNT_NOT_ALLOWED",
                "INQUIRY_EXPIRED",
                "INQUIRY_NOT_FOUND",
                "INSUFFICIENT_BALANCE",
                "INVALID_API_KEY",
            }
        ),
        repeats_safely=True,
        needs_inquiry=True,
        sells_tokens=True,
        signs_webhooks=True,
    ),
    "iso8583": Traits(
        policies=("advise", "reverse"),
        pays=("any", "fixed", "exact", "partial", "over"),
        codes=(r"[0-9A-Z]{2}", "05"),
        sold=frozenset({"00"}),
        pending=frozenset({"09", "10", "68", "96"}),  # 10: a part of the amount
        judges_repetition=frozenset({"26", "94"}),
        forms_nothing=frozenset({"13", "30", "51", "91"}),
        absent=frozenset({"25"}),
        sku_most=12,
        sells_tokens=True,
        whole_units=False,
    ),
    "file": Traits(
        policies=("wait",),
        pays=("any", "fixed", "partial", "over"),
        codes=(r"[A-Z0-9_]{1,40}", "UNKNOWN"),
        sold=frozenset({"ACCEPTED"}),
        judges_repetition=frozenset({"DUPLICATE"}),
        whole_units=False,
    ),
}

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

    `sold`, `pending` and `judges_repetition` are codes that never mean that nothing was sold.
    `buys_anew_seconds`: asking is sending the purchase again, which after this long is a new one.
    `repeats_safely`: the biller sells a reference once, so that what it says it never had may be
    sent again. `same_day`: inquiry, payment and question belong to one local day.
    """

    policies: tuple[Policy, ...]
    pays: tuple[Pay, ...]
    sold: frozenset[str]
    pending: frozenset[str] = frozenset()
    judges_repetition: frozenset[str] = frozenset()
    buys_anew_seconds: int | None = None
    repeats_safely: bool = False
    same_day: bool = False
    needs_inquiry: bool = False
    sells_tokens: bool = False
    whole_units: bool = True


FAMILIES: dict[FamilyName, Traits] = {
    "digiflazz_prepaid": Traits(
        policies=("ask",),
        pays=("any", "fixed"),
        sold=frozenset({"00"}),
        pending=frozenset({"03"}),
        judges_repetition=frozenset({"49"}),
        buys_anew_seconds=90 * DAY_SECONDS,
        sells_tokens=True,
    ),
    "digiflazz_postpaid": Traits(
        policies=("ask",),
        pays=("exact",),
        sold=frozenset({"00"}),
        pending=frozenset({"03"}),
        judges_repetition=frozenset({"49"}),
        repeats_safely=True,
        same_day=True,
        needs_inquiry=True,
    ),
    "iak_prepaid": Traits(
        policies=("ask",),
        pays=("fixed",),
        sold=frozenset({"00"}),
        pending=frozenset({"39", "05"}),
        judges_repetition=frozenset({"11"}),
        repeats_safely=True,
        sells_tokens=True,
    ),
    "iak_postpaid": Traits(
        policies=("ask",),
        pays=("exact",),
        sold=frozenset({"00"}),
        pending=frozenset({"39", "05"}),
        judges_repetition=frozenset({"11"}),
        repeats_safely=True,
        needs_inquiry=True,
    ),
    "xendit": Traits(
        policies=("ask",),
        pays=("any", "fixed", "exact", "partial", "over"),
        sold=frozenset({"SUCCEEDED"}),
        pending=frozenset({"PENDING"}),
        judges_repetition=frozenset({"IDEMPOTENCY_ERROR"}),
        repeats_safely=True,
        needs_inquiry=True,
        sells_tokens=True,
    ),
    "iso8583": Traits(
        policies=("advise", "reverse"),
        pays=("any", "fixed", "exact", "partial", "over"),
        sold=frozenset({"00"}),
        pending=frozenset({"68"}),
        judges_repetition=frozenset({"94"}),
        sells_tokens=True,
        whole_units=False,
    ),
    "file": Traits(
        policies=("wait",),
        pays=("any", "fixed", "partial", "over"),
        sold=frozenset({"ACCEPTED"}),
        whole_units=False,
    ),
}

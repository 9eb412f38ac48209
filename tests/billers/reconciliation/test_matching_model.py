"""Random days of a biller, compared by the database and by a model on plain dicts."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.billers.reconciliation.desk import DAY, Desk, PaymentRow, at, line

REFERENCES = "ABCDEFGH"
AMOUNTS = (10_000, 20_000)
SPARE = timedelta(minutes=30)
STARTS = at("00:00") - SPARE
ENDS = at("00:00", DAY + timedelta(days=1)) + SPARE
OWED = ("captured", "paid_late")
MOMENTS = tuple(
    at(clock, DAY + timedelta(days=days))
    for days, clock in (
        (-1, "12:00"), (-1, "23:29"), (-1, "23:30"), (0, "00:05"), (0, "12:00"), (0, "23:29"),
        (0, "23:30"), (1, "00:29"), (1, "00:30"), (1, "12:00"),
    )
)  # fmt: skip


class Told(NamedTuple):
    reference: str
    amount: int
    status: str


def payment(reference: str) -> st.SearchStrategy[PaymentRow]:
    return st.builds(
        _payment,
        st.just(reference),
        st.sampled_from(AMOUNTS),
        st.sampled_from((*OWED, "captured", "captured", "sent", "manual", "released", "returned")),
        st.lists(st.sampled_from(MOMENTS), min_size=2, max_size=2),
    )


def _payment(reference: str, amount: int, state: str, moments: list[datetime]) -> PaymentRow:
    sent, settled = sorted(moments)
    return PaymentRow(reference, amount, state, sent, settled)


OURS = st.lists(st.sampled_from(REFERENCES[:6]), unique=True).flatmap(
    lambda names: st.tuples(*(payment(name) for name in names))
)
THEIRS = st.lists(
    st.builds(
        Told, st.sampled_from(REFERENCES[2:]), st.sampled_from(AMOUNTS),
        st.sampled_from(("OK", "OK", "OK", "REV", "PENDING")),
    ),
    max_size=14,
)  # fmt: skip


def expected(ours: dict[str, PaymentRow], theirs: list[Told]) -> tuple[int, Counter[str]]:
    """How many are matched, and the exceptions as `kind/why/reference`."""
    found: Counter[str] = Counter()
    matched: set[str] = set()
    left: dict[str, list[tuple[int, int]]] = defaultdict(list)  # what stays sold, in order
    undone: set[tuple[str, int]] = set()
    for key in {(one.reference, one.amount) for one in theirs}:
        sold = [at for at, one in enumerate(theirs) if one[:2] == key and one.status == "OK"]
        back = sum(one[:2] == key and one.status == "REV" for one in theirs)
        left[key[0]] += [(at, key[1]) for at in sold[back:]]
        if back > len(sold):
            undone.add(key)
    for reference, amount in undone:
        mine = ours.get(reference)
        if mine and mine.state in OWED:
            kind = "only_ours" if mine.amount_minor == amount else "different"
            found[f"{kind}/taken_back/{reference}"] += 1
    for reference, sales in left.items():
        if not sales:
            continue
        (_, amount), *again = sorted(sales)
        found[f"duplicate/twice/{reference}"] += len(again)
        verdict = judged(ours.get(reference), amount)
        if verdict == "matched":
            matched.add(reference)
        else:
            found[f"{verdict}/{reference}"] += 1
    excused = {name.rsplit("/", 1)[1] for name, times in found.items() if times}
    for reference, mine in ours.items():
        last_day_is_this = STARTS <= mine.settled_at < ENDS - 2 * SPARE
        if mine.state == "captured" and last_day_is_this and reference not in matched | excused:
            found[f"only_ours/missing/{reference}"] += 1
    return len(matched), +found


def judged(mine: PaymentRow | None, amount: int) -> str:
    if mine is None:
        return "only_theirs/not_ours"
    if mine.state in ("sent", "unknown", "manual"):
        return "only_theirs/undecided"
    if mine.state not in OWED:
        return f"only_theirs/{mine.state}"
    if mine.amount_minor != amount:
        return "different/amount"
    if mine.sent_at >= ENDS or (mine.state == "captured" and mine.settled_at < STARTS):
        return "different/day"
    return "matched"


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ours=OURS, theirs=THEIRS)
def test_the_database_judges_as_the_model(
    desk: Desk, ours: tuple[PaymentRow, ...], theirs: list[Told]
) -> None:
    desk.forget()
    if ours:
        desk.have(*ours)
    told = [line(one.reference, f"{one.amount // 100}.00", status=one.status) for one in theirs]
    run = desk.compare(*told)
    matched, exceptions = expected({one.biller_ref: one for one in ours}, theirs)
    assert Counter("/".join(one) for one in desk.found(run)) == exceptions
    assert run.matched == matched
    assert run.lines == len(theirs)

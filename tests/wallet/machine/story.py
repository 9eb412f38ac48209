"""One life in which everything happens that can move money, in any market.

The random lives meet the rare things rarely; here each is met, and compared as there. Amounts are
multiples of one that costs something in that market.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app.billers.protocols.answers import Outcome
from app.wallet.counter import payouts
from tests.wallet.machine.base import Asked
from tests.wallet.machine.life import PAID, REFUSED, UNKNOWN, Life

DAY = timedelta(days=1)


def tell(life: Life, unit: int) -> None:
    """Play it; what each step comes to is compared by the steps themselves."""
    life.open()
    chapters = (
        _sends, _stops, _vouchers, _counter, _codes, _floats, _bills, _settles, _bank, _changes,
        _earns,
    )  # fmt: skip
    for chapter in chapters:
        for name, least in (("baraka", 3), ("chika", 6)):
            if life.books.left(name) < least * unit:
                assert life.pays_in(name=name, minor=2 * unit, then=["line"])
        chapter(life, unit)
    _ends(life, unit)
    life.teardown()


def _done(it: Any) -> Asked:
    assert isinstance(it, Asked)
    assert it.made is not None, it.what
    return it


def _send(life: Life, payer: str, payee: str, amount: int, **more: Any) -> Asked:
    return _done(
        life.sends(
            payer=payer, payee=payee, amount=amount,
            **{"how": "once", "then": [], "top_up": "nothing", **more},
        )
    )  # fmt: skip


def _cash_in(life: Life, agent: str, customer: str, amount: int, **more: Any) -> Asked:
    return _done(
        life.takes_cash(
            agent=agent, customer=customer, amount=amount,
            **{"how": "once", "then": [], "top_up": "nothing", **more},
        )
    )  # fmt: skip


def _voucher(life: Life, payer: str, payee: str, amount: int, then: Sequence[str] = ()) -> Asked:
    return _done(
        life.sends_a_voucher(
            payer=payer, payee=payee, amount=amount, how="again", then=list(then), agent="neema"
        )
    )


def _sends(life: Life, unit: int) -> None:
    _send(life, "chika", "dalila", unit, how="at once")
    it = _send(life, "baraka", "neema", unit, how="again")
    life.confirm_or_repeat(it=it, how="at once")
    life.follow_transfer(it=it, act="approve", by="chika", top_up="nothing", spent=False)


def _stops(life: Life, unit: int) -> None:
    life.operator_has(minor=20_000 * life.scale)
    _send(life, "baraka", "amina", unit, then=["refuse", "refuse", "approve", "another asks"])
    _send(life, "baraka", "amina", unit, then=["approve", "approve", "refuse", "ask"])
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)
    short = _send(life, "baraka", "dalila", unit, then=["collect"], top_up="the rest")
    stop = life.stop_of(life.model.transfers[short.made.id])
    assert stop
    assert stop.top_up > stop.collected
    for _ in range(3):
        _cash_in(life, "neema", "dalila", unit)
        life.follow_transfer(it=short, act="collect", by="chika", top_up="nothing", spent=False)
    assert stop.collected == stop.top_up
    _send(life, "chika", "amina", unit, then=["ask"])
    life.time_passes(by=3 * DAY, house_is_kept=True, holds_run_out=True)


def _vouchers(life: Life, unit: int) -> None:
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)
    tiers = life.market.tiers
    most = tiers["tier2"].per_transaction_minor
    fits = tiers[life.market.default_tier].balance_minor
    if fits < most < life.books.left("chika"):  # more than fits stays open
        _voucher(life, "chika", "hawa", most)
        for what in ("registers", "fetches"):
            life.newcomer(name="hawa", agent="neema", what=what)
        assert not life.books.money["hawa"]
        assert life.pays_in(name="chika", minor=3 * unit, then=["line"])
    _voucher(
        life, "baraka", "faraja", unit, then=["another cancels", "cancel", "cancel", "no code"]
    )
    it = _voucher(life, "chika", "faraja", unit, then=["wrong code"])
    pay_out: dict[str, Any] = {"it": it, "act": "right code", "agent": "neema", "by": "chika"}
    first, second = (life.follow_voucher(**pay_out, how="later") for _ in range(2))
    for one in (first, second, first):
        life.confirm_or_repeat(it=one, how="at once")
    life.follow_voucher(**{**pay_out, "act": "cancel"}, how="once")
    _voucher(life, "chika", "gaspar", unit)
    life.newcomer(name="gaspar", agent="neema", what="registers")
    assert life.books.money["gaspar"]
    _voucher(life, "baraka", "faraja", unit)
    life.newcomer(name="faraja", agent="neema", what="is invited")
    life.time_passes(
        by=timedelta(seconds=life.market.vouchers.seconds), house_is_kept=True, holds_run_out=False
    )


def _counter(life: Life, unit: int) -> None:
    _cash_in(life, "omari", "baraka", unit, then=["refuse"])
    _cash_in(life, "omari", "baraka", unit, then=["approve"])
    _cash_in(life, "zawadi", "chika", 2 * unit)
    life.operator_has(minor=20_000 * life.scale)
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)
    short = _cash_in(life, "omari", "gaspar", unit, then=["collect"], top_up="the rest")
    stop = life.stop_of(life.model.transfers[short.made.id])
    assert stop
    assert stop.top_up
    for how in ("once", "at once"):
        _done(life.gives_cash(customer="chika", agent="neema", amount=unit, how=how))


def _codes(life: Life, unit: int) -> None:
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)

    def make(*then: str) -> Asked:
        return _done(
            life.makes_a_code(
                customer="chika", agent="neema", amount=unit, how="again", then=list(then)
            )
        )

    make("no code", "another cancels", "cancel", "cancel")
    redeem: dict[str, Any] = {"act": "right code", "agent": "neema", "by": "chika", "how": "later"}
    for end in ("pay out", "cancel"):
        it = make("wrong code")
        first, second = (life.follow_code(it=it, **redeem) for _ in range(2))
        if end == "cancel":
            life.follow_code(it=it, **{**redeem, "act": "cancel"})
        for one in (first, second, first):
            life.confirm_or_repeat(it=one, how="at once")
    make()
    life.time_passes(by=timedelta(minutes=11), house_is_kept=True, holds_run_out=True)


def _floats(life: Life, unit: int) -> None:
    _done(life.moves_float(giver="zawadi", taker="omari", amount=unit, how="at once"))
    for then in (["another grants", "grant", "refuse"], ["refuse", "refuse", "grant"], []):
        assert life.asks_for_float(agent="neema", amount=unit, how="again", then=then)
    life.time_passes(by=2 * DAY, house_is_kept=True, holds_run_out=False)


def _bills(life: Life, unit: int) -> None:
    says: tuple[Outcome, ...]
    for says in ((PAID, REFUSED), (REFUSED, PAID), (UNKNOWN, PAID), ()):
        _done(life.pays_a_bill(payer="chika", amount=unit, how="again", says=says))
    for says in ((PAID,), (REFUSED,), (UNKNOWN,), ()):
        _done(
            life.pays_a_bill_at_the_counter(
                agent="neema", customer="amina", amount=unit, how="again", says=says
            )
        )
    _taken_back(life, unit)
    life.time_passes(by=timedelta(minutes=11), house_is_kept=True, holds_run_out=True)


def _taken_back(life: Life, unit: int) -> None:
    """After these the payer has all of it again, once."""
    own = life.pays_a_bill(payer="chika", amount=unit, how="once", says=(PAID,))
    at_counter = life.pays_a_bill_at_the_counter(
        agent="neema", customer="amina", amount=unit, how="once", says=(PAID,)
    )
    for it in (own, at_counter):
        life.gives_back(it=_done(it))
        life.follow_bill(it=it, says=(REFUSED,))
        for _ in range(2):
            life.gives_back(it=it)
        life.follow_bill(it=it, says=(PAID, REFUSED))
        assert life.bills[it.made.id].refunded


def _settles(life: Life, unit: int) -> None:
    """Their file of the day, what does not fit in it, and what the day comes to."""
    life.operator_has(minor=20_000 * life.scale)
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)
    life.reconcile_biller()
    life.bear_late_sales()
    life.agree()
    (kept,) = (bill for bill in life.bills.values() if bill.written_off)
    life.refund(kept)
    assert not kept.refunded
    _done(life.pays_a_bill(payer="chika", amount=unit, how="once", says=(PAID,)))
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)
    assert life.settle_biller(comes_back=True)
    assert life.settle_biller(comes_back=False)
    life.agree()


def _bank(life: Life, unit: int) -> None:
    for name in ("neema", "dalila"):
        for then in (["two lines", "take back"], ["take back", "take back", "line"]):
            assert life.pays_in(name=name, minor=unit, then=then)
    for then in (["line", "take back"], ["two lines", "line"], ["take back", "line", "take back"]):
        assert life.is_paid_out(agent="zawadi", minor=unit, then=then)
    life.operator_has(minor=-1_000 * life.scale)


def _earns(life: Life, unit: int) -> None:
    """Commission that was paid already is taken back, and the next payout gives it back."""
    _to_the_end_of_a_period(life)
    life.is_paid(agent="neema", tomorrow=False)
    wrong = _cash_in(life, "neema", "baraka", unit, then=["ask"])
    life.time_passes(by=timedelta(hours=3), house_is_kept=True, holds_run_out=False)
    for agent in ("zawadi", "neema", "neema"):
        life.is_paid(agent=agent, tomorrow=False)
    life.follow_transfer(it=wrong, act="approve", by="chika", top_up="nothing", spent=False)
    assert sum(one.minor for one in life.model.agents["neema"].accruals) < 0
    if life.model.priced("cash_in", unit, "neema")[0].fee == 0:  # what the operator owed is gone
        amount = unit * 3 // 2
        _done(life.gives_cash(customer="chika", agent="neema", amount=amount, how="once"))
    else:  # what the customer's fee had given is gone
        it = _voucher(life, "chika", "faraja", unit)
        life.follow_voucher(it=it, act="right code", agent="neema", by="chika", how="once")
    _to_the_end_of_a_period(life)
    life.time_passes(by=timedelta(hours=3), house_is_kept=True, holds_run_out=False)
    for agent in ("neema", "zawadi"):
        life.is_paid(agent=agent, tomorrow=False)


def _changes(life: Life, unit: int) -> None:
    """Who was fit when it was shown and is not any more when it is confirmed."""
    shown: list[tuple[Any, str]] = [
        (_send_later(life, unit), "chika"),
        (_send_later(life, unit), "omari"),
        (_cash_later(life, unit), "omari"),
        (_cash_later(life, unit), "neema"),
    ]
    for it, name in shown:
        life.changes(name=name, what="suspend")
        life.confirm_or_repeat(it=it, how="again")
        assert it.made is None
        life.all_is_well()
    life.changes(name="neema", what="shut the counter")
    life.confirm_or_repeat(it=shown[2][0], how="once")
    life.all_is_well()
    for it, _ in shown:
        life.confirm_or_repeat(it=it, how="at once")
        _done(it)


def _send_later(life: Life, unit: int) -> Any:
    return life.sends(
        payer="chika", payee="omari", amount=unit, how="later", then=[], top_up="nothing"
    )


def _cash_later(life: Life, unit: int) -> Any:
    return life.takes_cash(
        agent="neema", customer="omari", amount=unit, how="later", then=[], top_up="nothing"
    )


def _may_come_back(life: Life, unit: int) -> None:
    """A wallet stays open while something may come back into it."""
    life.time_passes(by=DAY, house_is_kept=True, holds_run_out=False)
    while life.books.left("dalila") < 3 * unit:
        _cash_in(life, "neema", "dalila", unit)
    it = _voucher(life, "dalila", "faraja", unit)
    life.changes(name="dalila", what="close")
    life.follow_voucher(it=it, act="cancel", agent="neema", by="chika", how="once")
    it = _send(life, "dalila", "baraka", unit, then=["ask"])
    life.changes(name="dalila", what="close")
    assert life.books.money["dalila"]
    life.follow_transfer(it=it, act="refuse", by="chika", top_up="nothing", spent=False)


def _ends(life: Life, unit: int) -> None:
    for what in ("suspend", "resume", "sleep", "wake"):
        life.changes(name="dalila", what=what)
    _may_come_back(life, unit)
    it = life.changes(name="dalila", what="close")
    life.follow_on_way(it=it, act="two lines")
    life.follow_on_way(it=life.changes(name="dalila", what="close"), act="take back")
    assert life.books.money["dalila"]
    life.changes(name="dalila", what="close")


def _to_the_end_of_a_period(life: Life) -> None:
    market = life.market
    began = payouts.period_start(market, life.now)
    ends = began + timedelta(days=market.agents.commission_days)
    life.time_passes(
        by=ends - timedelta(hours=2) - life.now, house_is_kept=True, holds_run_out=False
    )

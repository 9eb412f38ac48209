"""Tariffs: which price list applies, and how a fee is divided."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import markets
from app.errors import DomainError
from app.markets import Market
from app.markets.tariffs import Band, Fee, Operation, Tariff
from app.wallet.transfers.offers import priced

DEMO, INDONESIA = markets.load("demo"), markets.load("demo_id")


def tariff(*bands: tuple[int, int] | tuple[int, int, int], **rules: Any) -> Tariff:
    """Bands are `up_to, fee` or `up_to, fee, commission`."""
    made = [
        Band(up_to_minor=band[0], fee_minor=band[1], commission_minor=(*band, None)[2])
        for band in bands
    ]
    told = {"effective_from": date(2026, 1, 1), "tax_in_fee_bps": 0, "bands": tuple(made)}
    return Tariff.model_validate(told | rules)


def dated(market: Market, *days: date) -> Market:
    """A market whose sends cost 1 from the first day, 2 from the second, and so on."""
    lists = tuple(
        tariff((25_000_000, fee), effective_from=day) for fee, day in enumerate(days, start=1)
    )
    return market.model_copy(update={"tariffs": {**market.tariffs, "send": lists}})


@pytest.mark.parametrize(
    ("market", "midnight"),
    [
        (DEMO, datetime(2026, 6, 30, 21, tzinfo=UTC)),  # Nairobi is three hours ahead
        (INDONESIA, datetime(2026, 6, 30, 17, tzinfo=UTC)),  # Jakarta seven
    ],
    ids=["demo", "demo_id"],
)
def test_a_price_list_begins_at_midnight_where_the_market_is(
    market: Market, midnight: datetime
) -> None:
    priced_anew = dated(market, date(2026, 1, 1), date(2026, 7, 1), date(2026, 8, 1))
    before, instant = midnight - timedelta(microseconds=1), timedelta(days=31)
    costs = [
        priced_anew.tariff("send", at).fee(100).total_minor
        for at in (before, midnight, before + instant, midnight + instant)
    ]
    assert costs == [1, 2, 2, 3]


def test_before_the_first_price_list_nothing_is_offered() -> None:
    first = dated(DEMO, date(2026, 7, 1))
    with pytest.raises(DomainError, match=r"^not_offered_yet$"):
        first.tariff("send", datetime(2026, 6, 30, 20, 59, tzinfo=UTC))


def test_a_quote_of_before_midnight_is_priced_by_its_own_instant() -> None:
    market = dated(DEMO, date(2026, 1, 1), date(2026, 7, 1))
    quoted = datetime(2026, 6, 30, 20, 59, 59, tzinfo=UTC)
    confirmed = quoted + timedelta(seconds=2)
    assert priced(market, "send", 100, quoted)[0].total_minor == 1
    assert priced(market, "send", 100, confirmed)[0].total_minor == 2


def test_indonesia_s_bills_became_dearer_with_the_new_year() -> None:
    last = datetime(2025, 12, 31, 16, 59, tzinfo=UTC)
    costs = [
        INDONESIA.tariff("bill_payment", at).fee(50_000).total_minor
        for at in (last, last + timedelta(minutes=1))
    ]
    assert costs == [2_000, 2_500]


def test_a_band_holds_up_to_its_top() -> None:
    price = tariff((100, 1), (1_000, 2))
    assert [price.fee(amount).total_minor for amount in (1, 100, 101, 1_000)] == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="above the last band"):
        price.fee(1_001)


@pytest.mark.parametrize(
    ("fee", "tax_bps", "tax"),
    [
        (1_000, 1_500, 130),  # 1000 x 15 / 115 = 130.43
        (500, 1_500, 65),  # 65.2
        (100, 1_500, 13),  # 13.04
        (2_500, 1_100, 248),  # 247.7
        (3, 10_000, 2),  # 1.5: a half goes to the tax office
        (1, 10_000, 1),
        (0, 1_500, 0),
    ],
)
def test_the_tax_is_a_part_of_the_fee_rounded_half_up(fee: int, tax_bps: int, tax: int) -> None:
    divided = tariff((1_000, fee), tax_in_fee_bps=tax_bps).fee(1_000)
    assert divided == Fee(fee, tax)
    assert divided.net_minor == fee - tax


SHARED = {"tax_in_fee_bps": 1_500, "commission_bps": 5_000, "super_agent_bps": 2_000}


def test_a_commission_is_a_share_of_the_fee_without_its_tax() -> None:
    price = tariff((1_000, 1_000), **SHARED)
    # 130 tax; of the other 870 half; of the 435 a fifth to the super-agent.
    alone = price.fee(1_000, agent=True)
    assert alone == Fee(1_000, 130, commission_minor=435, funded_minor=435)
    assert (alone.agent_minor, alone.net_minor) == (435, 435)
    below = price.fee(1_000, agent=True, super_agent=True)
    assert below == Fee(1_000, 130, 435, 435, super_agent_minor=87)
    assert (below.agent_minor, below.net_minor) == (348, 435)


def test_without_an_agent_nobody_earns_a_commission() -> None:
    assert tariff((1_000, 1_000), **SHARED).fee(1_000) == Fee(1_000, 130)
    assert tariff((1_000, 1_000, 400)).fee(1_000, super_agent=True) == Fee(1_000)


def test_commissions_are_rounded_down() -> None:
    divided = tariff((9, 9), commission_bps=5_000, super_agent_bps=5_000).fee(
        9, agent=True, super_agent=True
    )
    assert divided == Fee(9, 0, commission_minor=4, funded_minor=4, super_agent_minor=2)
    assert tariff((9, 1), commission_bps=9_999).fee(9, agent=True) == Fee(1)


def test_what_a_fee_does_not_fund_of_a_commission_the_operator_owes() -> None:
    divided = tariff((1_000, 100, 250), tax_in_fee_bps=1_500).fee(1_000, agent=True)
    assert divided == Fee(100, 13, commission_minor=250, funded_minor=87)
    assert divided.net_minor == 0
    free = tariff((1_000, 0, 250)).fee(1_000, agent=True)
    assert free == Fee(0, 0, commission_minor=250, funded_minor=0)


def test_the_payer_of_a_fee_is_said_with_it() -> None:
    """Both payers occur in the demo markets."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert priced(DEMO, "cash_out", 10_000, now) == (Fee(1_000, 130), "sender")
    paid_by_receiver = priced(INDONESIA, "cash_in", 100_000, now, agent=True)
    assert paid_by_receiver == (Fee(1_500, 149, 945, 945), "receiver")


def test_whole_rupiah_are_never_split() -> None:
    assert INDONESIA.currency.minor_per_major == 1
    assert INDONESIA.currency.format(1_234_500) == "IDR 1,234,500"
    assert INDONESIA.currency.parse("1,234,500") == 1_234_500
    with pytest.raises(DomainError, match="amount_not_a_number"):
        INDONESIA.currency.parse("1000.5")


BPS = st.integers(0, 10_000)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """Any bands that rise, with any fees and commissions, paid by the sender."""
    tops = draw(st.lists(st.integers(1, 10**9), min_size=1, max_size=6, unique=True))
    commissions = st.none() | st.integers(0, 10**7)
    bands = tuple(
        Band(
            up_to_minor=top,
            fee_minor=draw(st.integers(0, 10**7)),
            commission_minor=draw(commissions),
        )
        for top in sorted(tops)
    )
    return Tariff(
        effective_from=date(2026, 1, 1),
        tax_in_fee_bps=draw(BPS),
        commission_bps=draw(BPS),
        super_agent_bps=draw(BPS),
        bands=bands,
    )


@given(price=tariffs(), part=st.floats(0, 1), agent=st.booleans(), above=st.booleans())
def test_the_parts_never_exceed_the_whole(
    price: Tariff, part: float, agent: bool, above: bool
) -> None:
    amount = max(1, int(price.most_minor * part))
    fee = price.fee(amount, agent=agent, super_agent=above)
    assert 0 <= fee.tax_minor <= fee.total_minor
    assert 0 <= fee.funded_minor <= fee.commission_minor
    assert fee.tax_minor + fee.funded_minor + fee.net_minor == fee.total_minor
    assert fee.net_minor >= 0
    assert 0 <= fee.super_agent_minor <= fee.commission_minor
    assert fee.agent_minor + fee.super_agent_minor == fee.commission_minor
    if fee.funded_minor < fee.commission_minor:
        assert fee.net_minor == 0
    if not agent:
        assert fee.commission_minor == 0
    assert price.fee(amount).total_minor == fee.total_minor  # an agent makes nothing dearer


@pytest.mark.parametrize("market", [DEMO, INDONESIA], ids=["demo", "demo_id"])
@pytest.mark.parametrize("operation", get_args(Operation))
def test_what_a_receiver_pays_leaves_them_something(market: Market, operation: Operation) -> None:
    for price in market.tariffs[operation]:
        tops = [band.up_to_minor for band in price.bands]
        for amount in (1, *tops, *(top + 1 for top in tops[:-1])):
            if price.payer == "receiver":
                assert price.fee(amount).total_minor < amount

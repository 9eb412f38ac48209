"""docs/wallet.md's posting table against what people's and agents' operations really post.

Whatever an operation moves is in the table, and whatever the table says of it happens. The bank's
kinds and those of bills are compared in the same way as far as this database has seen them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID

from sqlalchemy import text

from app import markets
from app.markets.tariffs import Operation
from app.wallet.counter import payouts
from app.wallet.keys import new_key
from app.wallet.transfers import closing, stops
from app.wallet.transfers.offers import KINDS
from app.wallet.transfers.records import TransferView
from tests.people import fresh_msisdn
from tests.wallet.counter.kiosk import Kiosk
from tests.wallet.transfers.town import now
from tests.world import ROOT

TABLE = (
    (ROOT / "docs" / "wallet.md").read_text().split("<!-- posting table -->")[1].split("\n## ")[0]
)
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
PAIR = re.compile(r"(\w+) → (\w+)")
DONE_HERE = {
    "send", "voucher", "voucher_collect", "cash_in", "cash_out", "float_move", "closing",
    "commission", "stop_top_up", "stop_collect",
}  # fmt: skip
SEEN = """
    SELECT DISTINCT p.kind, split_part(d.kind, ':', 1), split_part(c.kind, ':', 1),
           split_part(p.authority, ':', 1)
    FROM postings p
    JOIN moves m ON m.posting_id = p.id AND m.posted_at = p.posted_at
    JOIN accounts d ON d.id = m.debit JOIN accounts c ON c.id = m.credit
    WHERE p.id > :since AND p.kind = ANY (:kinds)
"""
AMOUNT = 40_000


def documented() -> dict[str, set[tuple[str, str]]]:
    return {kind: set(PAIR.findall(moves)) for kind, moves, _ in ROW.findall(TABLE)}


def authorities() -> dict[str, str]:
    written = {kind: allowed.strip(" `:") for kind, _, allowed in ROW.findall(TABLE)}
    return {kind: "" if allowed == "–" else allowed for kind, allowed in written.items()}


def stopped(kiosk: Kiosk, transfer: TransferView, asker: UUID) -> stops.StopView:
    """A wrong transfer that staff take back, and add to."""
    stop = kiosk.run(lambda s: stops.ask(s, kiosk.market, transfer.id, by=asker, now=now()))
    kiosk.run(
        lambda s: stops.approve(s, kiosk.market, stop.id, by="baraka", now=now(), top_up_minor=500)
    )
    return stop


def everything(kiosk: Kiosk, began: datetime) -> None:
    """Every operation of people and agents, with fees from either side."""
    kiosk.operator(10_000_000)
    agent = kiosk.agent(5_000_000, parent=kiosk.super_agent())
    amina, juma = kiosk.person(5_000_000), kiosk.person(1_000_000)
    kiosk.tariff("send", bands=[{"up_to_minor": 10**9, "fee_minor": 1_000}])
    kiosk.send(amina, juma, AMOUNT)
    kiosk.collect(agent, kiosk.voucher(amina, fresh_msisdn(), AMOUNT))
    kiosk.register(kiosk.voucher(amina, fresh_msisdn(), AMOUNT).msisdn)
    free = {"up_to_minor": AMOUNT - 1, "fee_minor": 0}
    bands = [free, {"up_to_minor": 10**9, "fee_minor": 2_000}]
    for payer in ("sender", "receiver"):
        kiosk.tariff(
            "cash_in", payer=payer, bands=bands, tax_in_fee_bps=1_500, commission_bps=5_000
        )
        kiosk.cash_in(agent, amina, AMOUNT)
    kiosk.cash_out(amina, agent, AMOUNT)
    kiosk.move(agent, kiosk.agent(), AMOUNT)
    later = began + timedelta(days=2)
    assert kiosk.run(lambda s: payouts.pay(s, kiosk.market, agent.id, later))
    spender = kiosk.person(0)
    sent = kiosk.send(amina, spender, AMOUNT)
    kiosk.send(spender, juma, AMOUNT - 5_000)
    stopped(kiosk, sent, amina.id)
    debtor = kiosk.person(0)
    paid_in = kiosk.cash_in(agent, debtor, AMOUNT)
    kiosk.send(debtor, juma, AMOUNT - 5_000)
    stop = stopped(kiosk, paid_in, agent.person_id)
    kiosk.send(amina, debtor, AMOUNT)
    kiosk.run(
        lambda s: stops.collect_later(
            s, kiosk.market, stop.id, collection_id=new_key(), by="baraka", now=now()
        )
    )
    kiosk.run(lambda s: closing.close(s, kiosk.market, juma.id, closing_id=new_key(), now=now()))


def test_the_table_is_what_is_posted(kiosk: Kiosk) -> None:
    began = now()
    (since,) = kiosk.query("SELECT coalesce(max(id), 0) FROM postings")[0]
    everything(kiosk, began)
    rows = kiosk.run(
        lambda s: list(s.execute(text(SEEN), {"since": since, "kinds": sorted(DONE_HERE)}))
    )
    seen: dict[str, set[tuple[str, str]]] = {kind: set() for kind in DONE_HERE}
    for kind, debit, credit, authority in rows:
        seen[kind].add((debit, credit))
        assert (authority or "") == authorities()[kind]
    table = documented()
    assert seen == {kind: table[kind] for kind in DONE_HERE}
    assert kiosk.verify() == []


def test_nothing_else_that_was_posted_is_undocumented(kiosk: Kiosk) -> None:
    """Whatever ran in this database before: bank lines, bills, by whichever test."""
    table = documented()
    others = sorted(set(table) - DONE_HERE - {"reversal"})
    rows = kiosk.run(lambda s: list(s.execute(text(SEEN), {"since": 0, "kinds": others})))
    for kind, debit, credit, _ in rows:
        assert (debit, credit) in table[kind], f"{kind}: {debit} to {credit} is not in the table"


def test_the_table_has_every_kind_of_transfer() -> None:
    assert set(KINDS) <= set(documented())


def test_every_operation_has_a_price_in_both_markets() -> None:
    for name in ("demo", "demo_id"):
        assert set(markets.load(name).tariffs) == set(get_args(Operation))

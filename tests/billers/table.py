"""What a biller can do to a purchase, and what becomes of it: one table for every wire family.

A family's tests give a `Kit`: how such a biller is played on a real socket out of a `Till`. `play`
makes a payment for every row of the table, lets a real worker pay them all at once against
PostgreSQL, and tells what became of each: state, moves, hold, SMS, and what was really sold.

    ROWS = table.rows(KIT, *further)             # those of every family, and the family's own
    seen = table.play(db, demo, KIT, ROWS)       # once a module: all payments fly together
    assert seen[row.name] == row.ending          # one test a row
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from app.billers import expiry, webhooks
from app.billers.fulfilment import Fulfilment
from app.billers.inquiries import Inquiries
from app.billers.payments import PaymentView
from app.billers.protocols import wires
from app.billers.quotes import quote
from app.db import Database
from app.markets.families import FamilyName
from app.markets.model import Market
from app.settings import Settings
from app.wallet.people import Person
from tests.billers.played import PlayedBiller, Torn
from tests.billers.stage import AMOUNT, FEE, Stage, market_with, now
from tests.people import fresh_meter

USERNAME, API_KEY, WEBHOOK_SECRET = "kibanda", "key", "hush"
# A busy machine answers within the first, and a late answer comes after it.
CALL_SECONDS = 1.5
LATE_SECONDS = 1.8
SETTLED = ("captured", "released", "cancelled", "manual", "returned", "paid_late")
TOKENS = ("73786976294838206463", "00000000000000000001", "12345678901234567890")

Word = Literal["sold", "pending", "refused", "not_formed", "absent", "duplicate"]
How = Literal["whole", "lost", "late", "cut", "malformed", "page_400", "page_502"]


@dataclass(frozen=True)
class Play:
    """What the biller does to one request: in its books, in words, on the wire.

    `does` changes its books, `says` None is the truth of them. `more_minor`: it names so much more
    than was asked for; `other_ref`: somebody else's reference. `tells` are webhooks that come
    before its answer, or with `beside` all at the same moment as that.
    """

    does: Literal["sell", "pend", "refuse", "nothing"] = "sell"
    says: Word | None = None
    how: How = "whole"
    more_minor: int = 0
    other_ref: bool = False
    tokens: tuple[str, ...] = TOKENS[:1]
    tells: tuple[Word, ...] = ()
    beside: bool = False


@dataclass
class Sale:
    """The biller's record of one reference; `word` is what it holds true."""

    ref: str
    customer_no: str
    sku: str
    amount_minor: int
    word: Word = "absent"
    tokens: tuple[str, ...] = ()
    receipt: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def amount(self) -> int:
        """In whole units of the currency."""
        return self.amount_minor // 100


@dataclass(frozen=True)
class Said:
    """What the biller says to one request, and how; the family puts it into its own words."""

    word: Word
    sale: Sale
    how: How


class Till:
    """The books of one played biller: a reference is sold once, whatever is asked how often.

    `plays`: for each customer number what happens to the first request about it, to the second and
    so on; the last goes on for ever. Inquiries are no requests.
    """

    def __init__(self) -> None:
        self.plays: dict[str, tuple[Play, ...]] = {}
        self.sales: dict[str, Sale] = {}
        self.bills: dict[str, dict[str, Any]] = {}  # whatever a family remembers of its inquiries
        self.requests: dict[str, int] = {}
        self.tell: Callable[[Sale, Word], None] = lambda _sale, _word: None
        self._beside: list[threading.Thread] = []
        self._lock = threading.Lock()

    def take(self, ref: str, customer_no: str, sku: str, amount_minor: int, *, buys: bool) -> Said:
        """Do to a request what its row says. `buys`: a reference that was never seen is sold."""
        with self._lock:
            turn = self.requests[customer_no] = self.requests.get(customer_no, 0) + 1
            plays = self.plays.get(customer_no, (HONEST,))
            play = plays[min(turn, len(plays)) - 1]
            sale = self._book(play, Sale(ref, customer_no, sku, amount_minor), buys=buys)
        self._tell(play, sale)
        told = replace(sale, amount_minor=sale.amount_minor + play.more_minor)
        if play.other_ref:
            told.ref = "0" * len(ref)
        return Said(play.says or sale.word, told, play.how)

    def sale_of(self, payment: PaymentView) -> Sale | None:
        """By the customer: some wires have a reference of their own. Raises for two sales."""
        sales = [sale for sale in self.sales.values() if sale.customer_no == payment.customer_no]
        assert len(sales) <= 1, "one payment was sold under two references"
        return sales[0] if sales else None

    def undo(self, ref: str) -> Sale | None:
        """Take a sale back; None for a reference that was never sold."""
        with self._lock:
            sale = self.sales.get(ref)
            if sale is not None:
                sale.word = "refused"
            return sale

    def _book(self, play: Play, asked: Sale, *, buys: bool) -> Sale:
        sale = self.sales.get(asked.ref)
        if play.does == "nothing" or (sale is None and not buys):
            return sale or asked
        sale = self.sales.setdefault(asked.ref, asked)
        if sale.word in ("absent", "pending"):
            sale.word = {"sell": "sold", "pend": "pending", "refuse": "refused"}[play.does]  # type: ignore[assignment]
            sale.tokens, sale.receipt = play.tokens, sale.receipt or secrets.token_hex(5)
        return sale

    def _tell(self, play: Play, sale: Sale) -> None:
        for word in play.tells:
            if play.beside:
                thread = threading.Thread(target=self.tell, args=(sale, word))
                self._beside.append(thread)
                thread.start()
            else:
                self.tell(sale, word)

    def finish(self) -> None:
        for thread in self._beside:
            thread.join()


def over_http(said: Said, body: dict[str, Any], status: int = 200) -> object:
    """What a server of `played.served` sends so that `body` arrives as the row says, or not."""
    if said.how == "lost":
        return None
    if said.how in ("page_400", "page_502"):
        line = "400 Bad Request" if said.how == "page_400" else "502 Bad Gateway"
        return _response(line, "text/html", b"<html>proxy</html>")
    raw = json.dumps(body).encode()
    if said.how == "malformed":
        return _response("200 OK", "application/json", raw[: len(raw) // 2])
    if said.how == "cut":
        return Torn(_response("200 OK", "application/json", raw)[: -len(raw) // 2])
    if said.how == "late":
        time.sleep(LATE_SECONDS)
    return status, body


def _response(line: str, kind: str, content: bytes) -> bytes:
    head = f"HTTP/1.1 {line}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


@dataclass(frozen=True)
class Kit:
    """How a family is played. `rules` and `product` are its part of a market file.

    `serve` opens the played biller on a real socket and gives its address. `webhook` writes what
    it would tell of a sale; None for a family that tells nothing. `signed`: its webhooks say what
    became of it; else they only say that something did. `http`: a proxy may stand in between.
    `asks`: it has a question about a reference that never buys it.
    """

    family: FamilyName
    serve: Callable[[Till], AbstractContextManager[str]]
    rules: Mapping[str, Any]
    product: Mapping[str, Any]
    webhook: Callable[[Sale, Word], tuple[dict[str, str], bytes]] | None = None
    signed: bool = True
    http: bool = True
    asks: bool = True
    customer: Callable[[], str] = fresh_meter
    credentials: Mapping[str, str] = field(default_factory=dict)


Move = tuple[str, str, int]
_TAX = 130
CAPTURE: tuple[Move, ...] = (
    ("wallet", "settlement", AMOUNT),
    ("wallet", "tax", _TAX),
    ("wallet", "fees", FEE - _TAX),
)


@dataclass(frozen=True)
class Ending:
    """How a payment ended. `sold` None: it may have been sold or not, two people find out."""

    state: str
    moves: tuple[Move, ...]
    held_minor: int
    sms: tuple[str, ...]
    sold: bool | None


CAPTURED = Ending("captured", CAPTURE, 0, ("payment_paid",), True)
RELEASED = Ending("released", (), 0, ("payment_refused",), False)
MANUAL = Ending("manual", (), AMOUNT + FEE, ("payment_manual",), None)
NEVER_SOLD = replace(MANUAL, sold=False)
RETURNED = Ending(
    "returned",
    (*CAPTURE, ("settlement", "suspense:returned", AMOUNT)),
    0,
    ("payment_paid", "payment_returned"),
    False,
)
FOUND_LATER = replace(CAPTURED, sms=("payment_manual", "payment_paid"))
PAID_LATE = Ending(
    "paid_late", (("suspense:late", "settlement", AMOUNT),), 0, ("payment_refused",), True
)


@dataclass(frozen=True)
class Row:
    """`plays` is what the biller does to each request in turn, `told` are webhooks after that.

    `rules` change the biller's file. After `over_after` requests the time for asking is over, if
    it is given; `most` bounds the requests.
    """

    name: str
    plays: tuple[Play, ...]
    ending: Ending
    told: tuple[Word, ...] = ()
    rules: tuple[tuple[str, Any], ...] = ()
    most: int | None = None
    over_after: int | None = None


HONEST = Play()
SILENT = Play(does="nothing", how="lost")  # never arrived
NO_WORD = Play(does="nothing", how="late", says="pending")
LATE, LOST = Play(how="late"), Play(how="lost")
CUT, MALFORMED = Play(how="cut"), Play(how="malformed")
PAGE_400, PAGE_502 = Play(does="nothing", how="page_400"), Play(does="nothing", how="page_502")
SOLD_400, SOLD_502 = Play(how="page_400"), Play(how="page_502")
REFUSE, REFUSE_LOST = Play(does="refuse"), Play(does="refuse", how="lost")
NOT_FORMED = Play(does="nothing", says="not_formed")
DUPLICATE = Play(does="nothing", says="duplicate")
ABSENT = Play(does="nothing", says="absent")
PENDING = Play(does="pend")
OTHER_AMOUNT, OTHER_REF = Play(more_minor=100), Play(other_ref=True)
NO_TOKEN = Play(tokens=())
PENDING_NOW = Play(does="nothing", says="pending")
BUY_AGAIN = (("when_absent", "buy_again"),)

COMMON: tuple[Row, ...] = (
    Row("sold at once", (HONEST,), CAPTURED, most=2),
    Row("pending, then sold", (PENDING, PENDING, HONEST), CAPTURED),
    Row("pending, then refused", (PENDING, REFUSE), RELEASED),
    Row("pending for ever", (PENDING,), MANUAL, over_after=3),
    Row("refused", (REFUSE,), RELEASED),
    Row("not formed", (NOT_FORMED,), RELEASED),
    Row("pending, then not formed", (PENDING, NOT_FORMED, HONEST), CAPTURED),
    Row("late answer", (LATE, HONEST), CAPTURED),
    Row("sold, reply lost", (LOST, HONEST), CAPTURED),
    Row("refused, reply lost", (REFUSE_LOST, HONEST), RELEASED),
    Row("sold, reply cut in the middle", (CUT, HONEST), CAPTURED),
    Row("sold, reply malformed", (MALFORMED, HONEST), CAPTURED),
    Row("sold, then told as a duplicate", (LOST, DUPLICATE, DUPLICATE, HONEST), CAPTURED),
    Row("sold, then no repetition is formed", (LOST, NOT_FORMED, NOT_FORMED, HONEST), CAPTURED),
    Row("sold, another amount", (OTHER_AMOUNT, HONEST), CAPTURED),
    Row("sold, another amount for ever", (OTHER_AMOUNT,), MANUAL, over_after=3),
    Row("somebody else's answer", (OTHER_REF, HONEST), CAPTURED),
    Row("malformed for ever", (MALFORMED,), MANUAL, over_after=3),
)
OVER_HTTP: tuple[Row, ...] = (
    Row("sold behind a proxy's 400", (SOLD_400, HONEST), CAPTURED),
    Row("sold behind a proxy's 502", (SOLD_502, HONEST), CAPTURED),
    Row("sold, then a proxy's 400", (LOST, PAGE_400, HONEST), CAPTURED),
    Row("proxies for ever", (PAGE_502, PAGE_400), MANUAL, over_after=3),
)
# For a family that asks without buying, with a file that says `ask_again` or `buy_again`.
ABSENCE: tuple[Row, ...] = (
    # Whoever bought again here, against the file, would be sold to.
    Row("never arrived, never bought", (SILENT, HONEST), NEVER_SOLD, over_after=4),
    Row("no word, bought again", (NO_WORD, ABSENT, HONEST), CAPTURED, rules=BUY_AGAIN, most=3),
    Row("never arrived, bought again", (SILENT, ABSENT, HONEST), CAPTURED, rules=BUY_AGAIN),
    Row("bought again, refused", (SILENT, ABSENT, REFUSE), RELEASED, rules=BUY_AGAIN),
    # The first request comes late, after the question: the reference is sold once all the same.
    Row(
        "called absent, though sold", (LOST, ABSENT, HONEST), CAPTURED, rules=BUY_AGAIN, most=3
    ),
    Row("absent as often as bought", (SILENT, ABSENT, SILENT, ABSENT, HONEST), CAPTURED,
        rules=BUY_AGAIN),
)  # fmt: skip
TOKEN: tuple[Row, ...] = (
    Row("two tokens", (Play(tokens=TOKENS[:2]),), CAPTURED),
    Row("three tokens", (Play(tokens=TOKENS),), CAPTURED),
    Row("four tokens", (Play(tokens=(*TOKENS, "1" * 20)),), MANUAL, over_after=2),
    Row("a token of 2^66", (Play(tokens=("73786976294838206464",)),), MANUAL, over_after=2),
    Row("a token of 19 digits", (Play(tokens=("1234567890123456789",)),), MANUAL, over_after=2),
    Row("one bad token of two", (Play(tokens=(TOKENS[0], "9" * 20)),), MANUAL, over_after=2),
    Row("no token", (NO_TOKEN,), MANUAL, over_after=2),
)
SOLD_TOLD, BOTH_TOLD = Play(tells=("sold",)), Play(tells=("sold", "sold"))
# Webhooks of every family: whatever they say, whenever they come, once is once.
HEARD: tuple[Row, ...] = (
    Row("webhook before the answer", (SOLD_TOLD, HONEST), CAPTURED),
    Row("webhook twice before the answer", (BOTH_TOLD, HONEST), CAPTURED),
    Row("webhook instead of the answer", (replace(SOLD_TOLD, how="lost"), HONEST), CAPTURED),
    Row("webhook after the answer", (HONEST,), CAPTURED, told=("sold",)),
    Row("webhook twice after the answer", (HONEST,), CAPTURED, told=("sold", "sold")),
    *(
        Row(f"webhooks and answer at one moment ({n})", (replace(BOTH_TOLD, beside=True), HONEST),
            CAPTURED)
        for n in range(4)
    ),
    Row("webhook of what is pending", (Play(does="pend", tells=("pending",)), HONEST), CAPTURED),
    Row("webhook of a refusal before it", (Play(does="refuse", tells=("refused",)), HONEST),
        RELEASED),
    Row("webhook of a refusal after it", (REFUSE,), RELEASED, told=("refused", "refused")),
)  # fmt: skip
# Those of a signed webhook: what it says counts.
FLIPPED: tuple[Row, ...] = (
    Row("a success that flips", (HONEST,), RETURNED, told=("refused",)),
    Row("a success that flips twice", (HONEST,), RETURNED, told=("refused", "refused")),
    Row("a refusal that was a sale", (REFUSE,), PAID_LATE, told=("sold", "sold")),
    Row("manual, then a webhook of the sale", (LOST, PENDING_NOW), FOUND_LATER, told=("sold",),
        over_after=2),
)  # fmt: skip


def rows(kit: Kit, *further: Row) -> tuple[Row, ...]:
    """The rows that a family must stand, and its own."""
    chosen = [
        COMMON,
        OVER_HTTP if kit.http else (),
        ABSENCE if kit.asks else (),
        TOKEN if kit.product.get("sells") == "token" else (),
        HEARD if kit.webhook else (),
        FLIPPED if kit.webhook and kit.signed else (),
        further,
    ]
    return tuple(row for table in chosen for row in table)


@dataclass(frozen=True)
class Seen:
    """What became of a row's payment, and how many requests about it the biller got."""

    ending: Ending
    requests: int
    tokens: tuple[str, ...]
    sold_tokens: tuple[str, ...]


def check(row: Row, seen: Seen) -> None:
    """The row came true: nothing more, nothing less, and the tokens are those that were sold."""
    assert seen.ending == row.ending
    assert seen.requests >= (row.over_after or 1)
    assert row.most is None or seen.requests <= row.most
    if row.ending.state == "captured":
        assert seen.tokens == seen.sold_tokens


def play(db: Database, demo: Market, kit: Kit, table: Sequence[Row]) -> dict[str, Seen]:
    """Pay every row's bill at such a biller, all at once, and tell what became of each."""
    till = Till()
    with kit.serve(till) as url:
        scene = _Scene(db, demo, kit, url, till)
        acts = [scene.begin(row) for row in table]
        scene.settle(acts)
        for act in acts:
            for word in act.row.told:
                scene.tell(till.sales[act.payment.biller_ref], word)
        till.finish()
        assert not scene.failures
        seen = {act.row.name: scene.seen(act) for act in acts}
        assert len(seen) == len(table), "two rows of one name"
        return seen


@dataclass(frozen=True)
class _Act:
    """One row's payment."""

    row: Row
    stage: Stage
    person: Person
    payment: PaymentView


class _Scene:
    """A market of such billers, one for each set of rules, and one worker for them all."""

    def __init__(self, db: Database, demo: Market, kit: Kit, url: str, till: Till) -> None:
        self._db, self._demo, self._kit, self._till = db, demo, kit, till
        self._biller = PlayedBiller(url=url)
        self._stages: dict[object, Stage] = {}
        self._acts: dict[str, _Act] = {}  # by customer number
        self.failures: list[Exception] = []
        till.tell = self.tell

    def begin(self, row: Row) -> _Act:
        """A confirmed payment of this row's, held and due."""
        stage = self._stage(row.rules)
        customer_no, person = self._kit.customer(), stage.person()
        self._till.plays[customer_no] = row.plays
        bill = None
        if stage.market.billers[stage.code].traits.needs_inquiry:
            inquiries = Inquiries(self._db, stage.market, self._wires(stage))
            bill = inquiries.inquire(stage.product, customer_no, at=now())
        agreed = quote(
            stage.market, stage.product, customer_no, "GRACE KAMAU", AMOUNT, at=now(), bill=bill
        )
        payment = stage.confirm(person, agreed, stage.intent(person, agreed))
        act = self._acts[payment.customer_no] = _Act(row, stage, person, payment)
        return act

    def _stage(self, rules: tuple[tuple[str, Any], ...]) -> Stage:
        if rules not in self._stages:
            code = f"t{secrets.token_hex(6)}"
            token = self._demo.billers["stima"].products[0].model_dump()
            product = {**token, "code": f"{code}_item", **self._kit.product}
            changes = {**_QUICK, "family": self._kit.family, **self._kit.rules, **dict(rules)}
            market = market_with(self._demo, code, **changes, products=(product,))
            self._stages[rules] = Stage(self._db, market, code, self._biller)
        return self._stages[rules]

    def _wires(self, *stages: Stage) -> dict[str, Any]:
        account = {
            "url": self._biller.url,
            "username": USERNAME,
            "api_key": API_KEY,
            "webhook_secret": WEBHOOK_SECRET,
            **self._kit.credentials,
        }
        credentials = {stage.code: account for stage in stages}
        settings = Settings.model_validate({"biller_credentials": credentials})
        return wires(self._market(*stages), settings)

    def _market(self, *stages: Stage) -> Market:
        billers = {stage.code: stage.market.billers[stage.code] for stage in stages}
        return self._demo.model_copy(update={"billers": billers})

    def settle(self, acts: Sequence[_Act], seconds: float = 60) -> None:
        """Drain again and again, as the sweep does, until every payment is settled."""
        stages = tuple(self._stages.values())
        market = self._market(*stages)
        worker = Fulfilment(self._db, market, self._wires(*stages))
        deadline = time.monotonic() + seconds
        while open_acts := self._unsettled(acts):
            assert time.monotonic() < deadline, [act.row.name for act in open_acts]
            worker.drain(stop=lambda: False, seconds=5)
            self._end_time(open_acts)
            expiry.end_asking(self._db, market, now())
            for stage in stages:
                stage.hurry()
        worker.finish(5)

    def _unsettled(self, acts: Sequence[_Act]) -> list[_Act]:
        query = "SELECT id, state FROM payments WHERE biller = ANY (:billers)"
        found = acts[0].stage.run(query, billers=[stage.code for stage in self._stages.values()])
        states = {row.id: row.state for row in found}
        return [act for act in acts if states[act.payment.id] not in SETTLED]

    def _end_time(self, acts: Sequence[_Act]) -> None:
        """As much time has passed as a biller may be asked, for those that were asked enough."""
        enough = [
            act.payment.id
            for act in acts
            if act.row.over_after
            and self._till.requests.get(act.payment.customer_no, 0) >= act.row.over_after
        ]
        query = """UPDATE payments SET first_sent_at = first_sent_at - interval '1 hour'
            WHERE id = ANY (:ids) AND state IN ('sent', 'unknown')"""
        acts[0].stage.run(query, ids=enough)

    def tell(self, sale: Sale, word: Word) -> None:
        """A webhook to us; one that says something new has changed the biller's books."""
        act, write = self._acts[sale.customer_no], self._kit.webhook
        assert write is not None
        sale.word = word
        try:
            headers, body = write(sale, word)
            told = self._wires(act.stage)[act.stage.code].hear(headers, body, now())
            self._db.transact(
                partial(
                    webhooks.heard, market=act.stage.market, biller=act.stage.code,
                    heard_of=told, now=now(),
                )
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - it may be a thread's; the test must see it
            self.failures.append(error)

    def seen(self, act: _Act) -> Seen:
        view, sale = act.stage.view(act.payment), self._till.sale_of(act.payment)
        sold = sale is not None and sale.word == "sold"
        return Seen(
            Ending(
                str(view.state),
                self._moves(act),
                act.stage.balance(act.person).held_minor,
                tuple(kind for kind, _ in act.stage.messages(act.payment)),
                None if act.row.ending.sold is None else sold,
            ),
            self._till.requests.get(act.payment.customer_no, 0),
            view.tokens,
            sale.tokens if sale and view.tokens else (),
        )

    def _moves(self, act: _Act) -> tuple[Move, ...]:
        """Every move under the payment's reference, the biller's code left out."""
        found = act.stage.run(_MOVES, reference=act.payment.reference)
        own = f"settlement:{act.stage.code}"
        short = lambda name: "settlement" if name == own else name  # noqa: E731
        return tuple((short(row.debit), short(row.credit), row.amount_minor) for row in found)


_QUICK = {
    "inquiry_timeout_seconds": 2,
    "timeout_seconds": CALL_SECONDS,
    "breaker_failures": 100,
}
_MOVES = """
    SELECT debit.kind AS debit, credit.kind AS credit, m.amount_minor
    FROM postings p
    JOIN moves m ON m.posting_id = p.id
    JOIN accounts debit ON debit.id = m.debit
    JOIN accounts credit ON credit.id = m.credit
    WHERE p.reference = :reference ORDER BY p.id, m.line
"""

"""The ISO 8583 family (1987, ASCII): what its switch decides. Its line is `iso_line`.

1. An original (0200), its advice (0220) and their repeats are one by RRN: whichever comes first is
   judged and sold, all others hear the same. Other content under a known RRN is 94.
2. A decision is kept even when it is a refusal: an advice never sells what was declined.
3. A reversal undoes what was sold, as often as it is sent. Of what never came it says 25, and what
   it speaks of is never sold afterwards.
"""

import time
from dataclasses import dataclass, replace
from decimal import Decimal

from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.customers import Line
from sandbox.billers.family import Biller, World
from sandbox.billers.till import BarredError, NoDepositError, NotFormedError, Sale
from sandbox.billers.transactions import PENDING, SOLD, UNDONE, Order, Transaction

Fields = dict[str, str]
INQUIRY, PREPAID, POSTPAID = "380000", "180000", "500000"
REFUSED, BAD_AMOUNT, NO_CUSTOMER, BAD_FORMAT = "05", "13", "14", "30"
NO_ORIGINAL, NO_DEPOSIT, IN_DOUBT, NOTHING_OWED = "25", "51", "68", "88"
SWITCH_DOWN, DUPLICATE, CANNOT_NOW = "91", "94", "96"
_WORDS = {PENDING: IN_DOUBT, UNDONE: DUPLICATE}
_CURRENCIES = {"KES": "404", "IDR": "360"}
# Type of a request → type of its response, and what faults call it.
TYPES = {
    "0200": ("0210", "transaction"),
    "0220": ("0230", "transaction"),
    "0221": ("0230", "transaction"),
    "0400": ("0410", "reversal"),
    "0401": ("0410", "reversal"),
    "0800": ("0810", "network"),
}
_NEEDED = ("3", "4", "7", "11", "12", "13", "18", "32", "37", "41", "48", "49")
_SKU_WIDTH, _NUMBER_WIDTH, _NAME_WIDTH, _MOST_LINES = 12, 20, 25, 30


@dataclass(frozen=True)
class Response:
    """The fields of an answer, and whether the wire loses it on the way back."""

    fields: Fields
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class _Request:
    """A financial request, read; `amount` in major units."""

    fields: Fields
    product: Product | None
    customer_no: str
    amount: Decimal

    @property
    def code(self) -> str:
        return self.fields["3"]


class Iso8583(Biller):
    """A biller behind a switch."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._minor = Decimal(10) ** world.country.exponent
        self._currency = _CURRENCIES.get(world.country.currency, "")
        self.changed = world.changed

    def call_of(self, fields: Fields) -> str:
        """What faults call this request."""
        if fields["t"] == "0200" and fields.get("3") == INQUIRY:
            return "inquiry"
        return TYPES[fields["t"]][1]

    def answer(self, fields: Fields) -> Response:
        """Judge a financial request or a reversal."""
        asked = self._read(fields)
        if asked is None:
            return Response(respond(fields, BAD_FORMAT))
        if not self._is_ours(fields):
            return Response(respond(fields, REFUSED))
        if fields["t"].startswith("04"):
            return self._reverse(asked)
        if asked.code == INQUIRY:
            return self._inquire(asked)
        answered = self._pay(asked)
        self.changed(self.code)
        return answered

    def _read(self, fields: Fields) -> _Request | None:
        if not all(fields.get(name) for name in _NEEDED) or not fields["4"].isdecimal():
            return None
        if self._currency and fields["49"] != self._currency:
            return None
        about = fields["48"].ljust(_SKU_WIDTH + _NUMBER_WIDTH)
        return _Request(
            fields=fields,
            product=self.account.product(about[:_SKU_WIDTH].strip()),
            customer_no=about[_SKU_WIDTH:].strip(),
            amount=Decimal(fields["4"]) / self._minor,
        )

    def _is_ours(self, fields: Fields) -> bool:
        terminal = fields["41"].strip() == self.account.api_key
        return terminal and fields["32"] == self.account.username

    def _inquire(self, asked: _Request) -> Response:
        product, customer_no = asked.product, asked.customer_no
        if product is None or self._refuses_inquiry():
            return Response(respond(asked.fields, REFUSED))
        if not self.customers.exists(product, customer_no):
            return Response(respond(asked.fields, NO_CUSTOMER))
        lines = self.customers.owed(product, customer_no)
        if product.owes and not lines:
            return Response(respond(asked.fields, NOTHING_OWED))
        name = self.customers.name(customer_no).ljust(_NAME_WIDTH)[:_NAME_WIDTH]
        kind = "B" if product.owes else "P"
        told = "".join(self._line(line) for line in lines[:_MOST_LINES])
        return Response(respond(asked.fields, SOLD, f"{name}{kind}{len(lines):02d}{told}"))

    def _line(self, line: Line) -> str:
        period = line.period or f"{self.customers.today():%Y%m}"
        return f"{period}{self._in_minor(line.amount)}{self._in_minor(line.penalty)}"

    def _in_minor(self, amount: Decimal) -> str:
        return f"{int(amount * self._minor):012d}"

    def _pay(self, asked: _Request) -> Response:
        product = asked.product
        if product is None or asked.code != (POSTPAID if product.owes else PREPAID):
            return Response(respond(asked.fields, REFUSED if product is None else BAD_FORMAT))
        try:
            sale = self._sell(self._order(asked, product))
        except BarredError:
            return Response(respond(asked.fields, DUPLICATE))
        except NotFormedError:
            return Response(respond(asked.fields, SWITCH_DOWN))
        return self._told(asked, sale)

    def _sell(self, order: Order) -> Sale:
        try:
            return self.till.sell(order)
        except NoDepositError:
            return self.till.sell(replace(order, judge=lambda: NO_DEPOSIT))

    def _order(self, asked: _Request, product: Product) -> Order:
        return Order(
            ref_id=asked.fields["37"],
            customer_no=asked.customer_no,
            sku=product.sku,
            amount=asked.amount,
            refused=REFUSED,
            judge=lambda: self._judged(product, asked.customer_no, asked.amount),
            gives_token=product.gives_token,
            facts={"about": _content(asked.fields)},
        )

    def _judged(self, product: Product, customer_no: str, amount: Decimal) -> str:
        if not self.customers.exists(product, customer_no):
            return NO_CUSTOMER
        owed = self.customers.owes(product, customer_no)
        if product.owes and not owed:
            return NOTHING_OWED
        allowed = {
            "fixed": amount == product.price,
            "exact": amount == owed,
            "partial": amount <= owed,
        }
        return SOLD if amount > 0 and allowed.get(product.pay, True) else BAD_AMOUNT

    def _told(self, asked: _Request, sale: Sale) -> Response:
        done = sale.transaction
        other = done.facts["about"] != _content(asked.fields)
        called_duplicate = not sale.new and self.till.is_called_duplicate(done.ref_id)
        if other or called_duplicate or sale.outcome == "duplicate_stan":
            return Response(respond(asked.fields, DUPLICATE))
        word = done.rc_at(time.time())
        told = _sold(done, asked.code) if word == SOLD else ""
        answer = respond(asked.fields, _WORDS.get(word, word), told)
        return Response(answer, lost=sale.outcome == "refuse_after_lost_reply")

    def _reverse(self, asked: _Request) -> Response:
        original = asked.fields.get("90", "")
        if len(original) != 42 or not original.startswith("0200"):
            return Response(respond(asked.fields, BAD_FORMAT))
        if self.faults.take(self.target, ("refuse",), "reversal"):
            return Response(respond(asked.fields, CANNOT_NOW))
        ref_id = asked.fields["37"]
        if self.till.bar(ref_id):
            return Response(respond(asked.fields, NO_ORIGINAL))
        self.till.undo(ref_id)
        self.changed(self.code)
        return Response(respond(asked.fields, SOLD))


def respond(asked: Fields, code: str, told: str = "") -> Fields:
    """A response: the request's own fields, the code, and what is told in DE62."""
    kept = {name: value for name, value in asked.items() if name.isdecimal() and name != "1"}
    answer = {**kept, "t": TYPES[asked["t"]][0], "39": code}
    return {**answer, "62": told} if told else answer


def _content(fields: Fields) -> str:
    """What an original and its repeats have in common."""
    return "|".join(fields[name] for name in ("3", "4", "48", "49"))


def _sold(done: Transaction, code: str) -> str:
    if code == POSTPAID:
        return done.receipt
    return f"{len(done.tokens)}{''.join(done.tokens)}"

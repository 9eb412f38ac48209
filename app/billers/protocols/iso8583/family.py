"""The ISO 8583 family: purchase 0200, then advice 0220 or reversal 0400, by the biller's file.

1. Paid: an answer 00 to our purchase or to its advice; electricity only with its tokens.
2. Refused: a listed code in an answer to either. The advice's answer is the biller's record of our
   reference, so it refuses as well as the first; codes that form no transaction refuse there never.
3. Reversed: 00 or 25 to a reversal, and nothing else. A reversal says never that it was sold.
4. Everything else is unknown, also a purchase that surely was never written: the payment is `sent`
   since before the call, this process cannot prove to the next one that nothing left, and the
   advice or the reversal ends the doubt without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from app.billers.protocols import calls
from app.billers.protocols.answers import (
    Answer,
    Bill,
    Heard,
    Order,
    WebhookError,
)
from app.billers.protocols.iso8583 import messages
from app.billers.protocols.iso8583.link import Link
from app.billers.protocols.iso8583.messages import Fields, Terminal
from app.billers.protocols.iso8583.opening import address_of
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials

# ISO 4217, for DE49.
NUMERIC = {
    "CDF": "976", "ETB": "230", "GHS": "936", "IDR": "360", "KES": "404", "MWK": "454",
    "MZN": "943", "NGN": "566", "RWF": "646", "TZS": "834", "UGX": "800", "USD": "840",
    "XAF": "950", "XOF": "952", "ZMW": "967",
}  # fmt: skip
TERMINAL_CHARS, ACQUIRER_DIGITS = 8, 11


class Iso8583:
    """One biller of this family."""

    def __init__(
        self, code: str, rules: Biller, credentials: BillerCredentials, currency: Currency
    ) -> None:
        self._code = code
        self._rules = rules
        try:
            self._terminal = terminal_of(credentials, currency)
            self._link = Link(code, address_of(credentials.url), most=rules.concurrency)
        except ValueError as error:
            raise ValueError(f"BILLER_CREDENTIALS of {code!r}: {error}") from error

    def pay(self, order: Order) -> Answer:
        """Send the purchase."""
        request = messages.payment(self._terminal, order)
        return calls.settled(self._code, "pay", lambda: self._sale(request, order))

    def follow_up(self, order: Order) -> Answer:
        """Advise the purchase, or reverse it."""
        if self._rules.silence_policy == "reverse":
            undo = messages.reversal(self._terminal, order)
            return calls.settled(self._code, "reverse", lambda: self._reversal(undo))
        advice = messages.advice(self._terminal, order)
        return calls.settled(self._code, "advise", lambda: self._sale(advice, order))

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:  # noqa: ARG002 - no bill is named in this family
        """Whose number this is and what is owed. Raises InquiryError."""
        numbers = self._link.numbers
        request = messages.inquiry(
            self._terminal, product.sku, customer_no,
            stan=numbers.stan(), rrn=numbers.rrn(), at=datetime.now(UTC),
        )  # fmt: skip
        seconds = self._rules.inquiry_timeout_seconds

        def ask() -> Bill | None:
            answer = self._link.call(request, seconds=seconds)
            return messages.read_bill(answer, request, customer_no)

        return calls.inquired(self._code, ask)

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:  # noqa: ARG002 - there is nothing to read
        """These billers tell nothing by themselves. Raises WebhookError."""
        raise WebhookError("no_webhooks")

    def close(self) -> None:
        """Sign off."""
        self._link.close()

    def _sale(self, request: Fields, order: Order) -> Answer:
        answer = self._link.call(request, seconds=self._rules.timeout_seconds)
        return messages.read_sale(answer, request, order, self._rules)

    def _reversal(self, request: Fields) -> Answer:
        answer = self._link.call(request, seconds=self._rules.timeout_seconds)
        return messages.read_reversal(answer, request)


def terminal_of(credentials: BillerCredentials, currency: Currency) -> Terminal:
    """Who we are: `username` is the acquirer's number, `api_key` the terminal's name.

    Raises ValueError.
    """
    acquirer, name = credentials.username, credentials.api_key.get_secret_value()
    if not (acquirer.isascii() and acquirer.isdecimal() and len(acquirer) <= ACQUIRER_DIGITS):
        raise ValueError("username is the acquirer's number, at most 11 digits")
    if not (name.isascii() and name.isprintable() and len(name) == TERMINAL_CHARS):
        raise ValueError("api_key is the terminal's name, 8 characters")
    if currency.code not in NUMERIC:
        raise ValueError(f"no number of the currency {currency.code} is known")
    return Terminal(acquirer, name, NUMERIC[currency.code])

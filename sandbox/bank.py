"""The bank of the trust account: what it books. Its HTTP face is `bank_http`.

1. Whatever is asked for is booked as it comes: the bank knows no reference of ours, looks for no
   earlier order of the same one, and books a thing twice that is sent twice.
2. A line is on disk before anybody hears of it, so a killed bank still knows its balance.
3. Its days are UTC's; its amounts are decimals of the currency, kept as text in the journal.
"""

import csv
import io
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from sandbox.journal import Journal

HEADER = ("id", "booked_on", "amount", "currency", "reference", "text", "balance")
_CENT = Decimal("0.01")
_MOST = Decimal(10) ** 13


class BankError(Exception):
    """What the bank will not book; the text says why, `status` how HTTP says it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the statement; `amount` is negative when it went out."""

    id: str
    booked_on: str
    amount: str
    currency: str
    reference: str
    text: str
    balance: str


class Bank:
    """The trust account at the bank; safe for threads."""

    def __init__(self, journal: Journal, currency: str, opening: Decimal) -> None:
        self._journal = journal
        self._currency = currency
        self._lock = threading.Lock()
        self._lines = [Line(**record) for record in journal.records()]
        self._opening = opening

    @property
    def currency(self) -> str:
        return self._currency

    def balance(self) -> Decimal:
        with self._lock:
            return self._balance()

    def deposit(self, amount: Decimal, reference: str, text: str) -> Line:
        """Somebody pays in."""
        return self._book(amount, reference, text)

    def pay_out(self, amount: Decimal, reference: str, text: str) -> Line:
        """A transfer to another bank, or a charge. Raises BankError when there is too little."""
        return self._book(-amount, reference, text)

    def send_back(self, line_id: str, text: str) -> Line:
        """A transfer that went out comes back, once. Raises BankError."""
        with self._lock:
            out = next((line for line in self._lines if line.id == line_id), None)
            if out is None:
                raise BankError("there is no such line", 404)
            if Decimal(out.amount) > 0:
                raise BankError("this line came in", 409)
            said = f"RETURN OF {line_id}:"
            if any(line.text.startswith(said) for line in self._lines):
                raise BankError("this line was sent back before", 409)
            return self._booked(-Decimal(out.amount), out.reference, f"{said} {text}".strip())

    def statement(self, since: str = "") -> str:
        """CSV of the lines after that one, or of all. Raises BankError for an unknown line."""
        with self._lock:
            ids = [line.id for line in self._lines]
            if since and since not in ids:
                raise BankError("there is no such line", 404)
            lines = self._lines[ids.index(since) + 1 :] if since else list(self._lines)
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(HEADER)
        writer.writerows([getattr(line, name) for name in HEADER] for line in lines)
        return out.getvalue()

    def _book(self, amount: Decimal, reference: str, text: str) -> Line:
        with self._lock:
            return self._booked(amount, reference, text)

    def _booked(self, amount: Decimal, reference: str, text: str) -> Line:
        after = self._balance() + amount
        if after < 0:
            raise BankError(f"the account has only {self._balance():f}", 409)
        line = Line(
            id=f"BK-{len(self._lines) + 1:06d}",
            booked_on=datetime.now(UTC).date().isoformat(),
            amount=f"{amount:f}",
            currency=self._currency,
            reference=reference,
            text=text,
            balance=f"{after:f}",
        )
        self._journal.append(asdict(line))
        self._lines.append(line)
        return line

    def _balance(self) -> Decimal:
        return Decimal(self._lines[-1].balance) if self._lines else self._opening


def amount_of(written: str) -> Decimal:
    """An amount as text, two decimals at most, above zero. Raises BankError."""
    try:
        amount = Decimal(written)
    except InvalidOperation:
        raise BankError(f"this is no amount: {written!r}") from None
    if not amount.is_finite() or not 0 < amount <= _MOST or amount != amount.quantize(_CENT):
        raise BankError(f"this is no amount: {written!r}")
    return amount.quantize(_CENT)

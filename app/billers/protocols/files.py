"""Billers that are paid by file: one of ours when their day ends, one of theirs as the answer.

    out/school-20261127-01.csv     in/school-20261127-01.answer.csv     in/customers.csv

1. Ours appears whole under its name or not at all, and is the same bytes however often it is
   written. What stands there under its name with other bytes is not touched.
2. Theirs stay where they are: nothing in `in/` is changed by us.
3. Whose a number is stands in `in/customers.csv`, which they renew as they like.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.billers.protocols import calls
from app.billers.protocols.answers import (
    Answer,
    Bill,
    Heard,
    InquiryError,
    Order,
    Outcome,
    WebhookError,
)
from app.billers.protocols.fields import shown_name
from app.billers.protocols.file_lines import Customer, FileRefusedError, in_minor, read_customers
from app.durable import sync_folder
from app.markets.billers import Biller, Product
from app.money import Currency
from app.settings import BillerCredentials
from app.telemetry import log

ANSWER_BYTES_MOST = 8 * 1024 * 1024
Stamp = tuple[int, int, int]  # inode, time of change, size


class OtherFileError(OSError):
    """Under the name of our file stands one with other bytes."""


Answers = Callable[[bytes], bool]


def any_answer(_raw: bytes) -> bool:
    return True


class DayFiles:
    """One biller of this family: its folder, with `out` for our files and `in` for theirs."""

    def __init__(
        self, code: str, rules: Biller, credentials: BillerCredentials, currency: Currency
    ) -> None:
        self._code = code
        self._rules = rules
        self._currency = currency
        folder = _folder(credentials.url)
        self._out, self._in = folder / "out", folder / "in"
        self._customers = _Customers(self._in / "customers.csv", code)
        # Answers that this process has taken or refused, and need no other look until they change.
        self.looked_at: dict[str, Stamp] = {}

    # ---- what every family is asked

    def pay(self, order: Order) -> Answer:  # noqa: ARG002 - nobody is called
        """Never called: what is to be paid goes out with the day's file."""
        return Answer(Outcome.UNKNOWN, "paid_by_file")

    def follow_up(self, order: Order) -> Answer:  # noqa: ARG002 - nobody is called
        """Never called: only the biller's own file ends the doubt."""
        return Answer(Outcome.UNKNOWN, "paid_by_file")

    def hear(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Heard:  # noqa: ARG002 - nobody calls back
        """Such a biller calls nobody. Raises WebhookError."""
        raise WebhookError("calls_nobody")

    def inquire(self, product: Product, customer_no: str, biller_ref: str) -> Bill | None:  # noqa: ARG002 - one list for all products
        """Whose number it is by the biller's own list. Raises InquiryError."""

        def look() -> Bill | None:
            found = self._customers.find(customer_no)
            return self._bill(customer_no, *found) if found else None

        return calls.inquired(self._code, look)

    def _bill(self, customer_no: str, name: str, owed: str) -> Bill:
        shown, owed_minor = shown_name(name), in_minor(owed, self._currency)
        if not shown:
            raise InquiryError("nameless", in_format=True)
        if owed and owed_minor is None:
            raise InquiryError("owed_unreadable", in_format=True)
        return Bill(customer_no, shown, owed_minor)

    # ---- our file

    @property
    def can_write(self) -> bool:
        """Whether there is a folder to put a file into, before money goes on its way."""
        return self._out.is_dir()

    def has(self, name: str) -> bool:
        """Whether there is a file of ours of this name, or an answer to one."""
        return (self._out / f"{name}.csv").exists() or self.answer_stamp(name) is not None

    def put(self, name: str, content: bytes, answers: Answers = any_answer) -> None:
        """Write our file, whole or not at all; the same bytes again change nothing.

        One that is answered already is not written a second time: the biller has had it, and may
        have put it away. `answers` says whether a file is that answer. Raises OSError, and
        OtherFileError where another file has its name.
        """
        path = self._out / f"{name}.csv"
        if self.answer_stamp(name) is not None and answers(self.answer(name)):
            return
        if not path.exists():
            self._write(path, content)
        if path.read_bytes() != content:
            raise OtherFileError(path.name)
        sync_folder(self._out)

    def _write(self, path: Path, content: bytes) -> None:
        # A name of its own: two workers must not write into one file.
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except FileNotFoundError:
            if not path.exists():  # another worker was quicker, and has put away what was left
                raise
        finally:
            # Its own, and what a process left that was killed here before.
            for left in path.parent.glob(f"{path.name}.*.part"):
                left.unlink(missing_ok=True)

    # ---- their file

    def answer_path(self, name: str) -> Path:
        return self._in / f"{name}.answer.csv"

    def answer_stamp(self, name: str) -> Stamp | None:
        """When the answer to a batch was last changed, and its size; None while there is none."""
        return _stamp(self.answer_path(name))

    def answer(self, name: str) -> bytes:
        """The bytes of the answer to a batch. Raises OSError, FileRefusedError."""
        with self.answer_path(name).open("rb") as file:
            raw = file.read(ANSWER_BYTES_MOST + 1)
        if len(raw) > ANSWER_BYTES_MOST:
            raise FileRefusedError(1, "too_large")
        return raw


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    folder = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or not folder.is_absolute():
        raise ValueError("BILLER_CREDENTIALS: a biller that is paid by file has a file:///… url")
    return folder


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class _Customers:
    """`customers.csv`, read again when it has changed; safe for threads."""

    def __init__(self, path: Path, code: str) -> None:
        self._path = path
        self._code = code
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._found: dict[str, Customer] | None = None

    def find(self, number: str) -> Customer | None:
        """What the list says of a number. Raises InquiryError without a list to look into."""
        try:
            with self._lock:
                found = self._list()
        except OSError as error:
            log.error("customers_unreadable", biller=self._code, error=type(error).__name__)
            raise InquiryError("customers_unreadable") from error
        if found is None:
            raise InquiryError("customers_refused")
        return found.get(number)

    def _list(self) -> dict[str, Customer] | None:
        stamp = _stamp(self._path)
        if stamp is None:
            raise InquiryError("customers_missing")
        if stamp != self._stamp:
            self._found, self._stamp = self._load(), stamp
        return self._found

    def _load(self) -> dict[str, Customer] | None:
        try:
            with self._path.open("rb") as file:
                return read_customers(file)
        except FileRefusedError as error:
            log.error(
                "customers_refused", biller=self._code, file=self._path.name, line=error.line,
                reason=error.reason,
            )  # fmt: skip
            return None

"""What every family is made of, and the exchange with one that speaks HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from hmac import compare_digest
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sandbox.billers.accounts import BillerAccount, Product
from sandbox.billers.agenda import Agenda
from sandbox.billers.customers import TEST_NUMBERS, TEST_PENDING_SECONDS, Country, Customers
from sandbox.billers.inquiries import Inquiries
from sandbox.billers.till import Till
from sandbox.billers.transactions import SOLD
from sandbox.billers.webhooks import Webhooks, Write
from sandbox.faults import FaultBook
from sandbox.journal import Journal

LONGEST_REF = 64
Answer = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class World:
    """What all billers share."""

    data: Path
    country: Country
    faults: FaultBook
    agenda: Agenda
    changed: Callable[[str], None]  # told a biller's code after each of its transactions


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as a family sees it; `body` is empty when it was no JSON object."""

    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    user: str = ""

    def text(self, name: str) -> str:
        """A field that must be text; empty when it is anything else."""
        value = self.body.get(name)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Reply:
    """What the biller says, and whether the wire loses it on the way back."""

    answer: Answer
    status: int = 200
    lost: bool = False


@dataclass(frozen=True)
class Call:
    """One thing that can be asked: its name for faults, and who answers."""

    name: str
    act: Callable[[Asked], Reply]


class Biller:
    """One biller of any family: its account, till, customers and memory of inquiries."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        self.account = account
        self.code = account.code
        self.faults = world.faults
        self.target = f"biller:{self.code}"
        self.till = Till(self.code, self._journal(world, ""), world.faults)
        self.customers = Customers(self.till, world.country)

    def open(self) -> None:
        """Begin with what needs no asking: to listen on a port, to watch a folder."""

    def name_of_call(self, asked: Asked) -> str:
        """What faults call this request, where its address does not tell; empty where it does."""
        del asked
        return ""

    def _journal(self, world: World, what: str) -> Journal:
        return Journal(world.data / f"biller-{self.code}{what}.jsonl")

    def _inquiries(self, world: World) -> Inquiries:
        return Inquiries(self._journal(world, "-inquiries"))

    def _webhooks(self, world: World, write: Write) -> Webhooks:
        return Webhooks(world.agenda, self.account.callback_url, self.till, write)

    def _refuses_inquiry(self) -> bool:
        return self.faults.take(self.target, ("refuse",), "inquiry") is not None

    def _signed(self, sign: str, subject: str) -> bool:
        return compare_digest(self._sign(subject).encode(), sign.encode())

    def _sign(self, subject: str) -> str:
        text = f"{self.account.username}{self.account.api_key}{subject}"
        return md5(text.encode(), usedforsecurity=False).hexdigest()


@runtime_checkable
class HttpBiller(Protocol):
    """A biller that is spoken to by HTTP."""

    code: str
    account: BillerAccount
    till: Till

    def call(self, method: str, path: str) -> Call | None:
        """What this request is to it; None when it knows no such address."""
        ...

    def name_of_call(self, asked: Asked) -> str: ...

    def knows(self, asked: Asked) -> bool:
        """Whether this is about something of its own, where two billers share an address."""
        ...


def by_test_number(product: Product, customer_no: str, refused: str) -> tuple[str, float]:
    """How a sale to this number ends, and the seconds until then; SOLD and 0 for most."""
    if product.luhn or customer_no not in TEST_NUMBERS:
        return SOLD, 0.0
    succeeds, pending = TEST_NUMBERS[customer_no]
    return SOLD if succeeds else refused, TEST_PENDING_SECONDS if pending else 0.0

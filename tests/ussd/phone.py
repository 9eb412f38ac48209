"""A phone before the engine: it types, keeps the accumulated text, and can send a hop again."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app import markets
from app.gateways import africastalking
from app.gateways.wire import Event, Screen, UssdGateway, UssdRequest
from app.markets import Market
from app.sealing import Sealer
from app.ussd.engine import Engine
from app.ussd.hop import Surroundings
from app.ussd.session import SessionStore
from tests.ussd import book

KEY = b"k" * 32
AT = africastalking.GATEWAY
WINDOW = UssdGateway("window", "latest", "window", answer_seconds=15, session_seconds=120)
_numbers = itertools.count(1)


@dataclass
class Clock:
    """Real time, moved on at will."""

    moved: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.moved

    def pass_seconds(self, seconds: float) -> None:
        self.moved += timedelta(seconds=seconds)


def market() -> Market:
    """The demo market with PINs of ten digits, which a leak test can look for."""
    demo = markets.load("demo")
    return demo.model_copy(update={"pin": demo.pin.model_copy(update={"length": 10})})


@dataclass
class Bench:
    """An engine over a real Redis, and what its menus act on."""

    redis_url: str
    strict: bool = True
    wait_places: int = 4
    version: str = "t1"
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}:")
    played: book.Played = field(default_factory=book.Played)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.store = SessionStore(self.redis_url, KEY, prefix=self.prefix)
        around = Surroundings(
            self.played, market(), book.catalogues(), Sealer({1: KEY}), self.clock
        )
        self.engine = Engine(
            [book.book(self.version)],
            around,
            self.store,
            wait_places=self.wait_places,
            strict=self.strict,
        )

    def phone(self, msisdn: str = "+254711000001", gateway: UssdGateway = AT) -> Phone:
        return Phone(self, msisdn, gateway)


@dataclass
class Phone:
    """One session after another; `text` is what the gateway has accumulated."""

    bench: Bench
    msisdn: str
    gateway: UssdGateway = AT
    session_id: str = ""
    text: str = ""
    screen: Screen = field(default_factory=lambda: Screen("", open=False))

    def send(self, text: str, event: Event = "input", msisdn: str = "") -> Screen:
        """One request as the gateway would send it; changes nothing of this phone."""
        request = UssdRequest(
            self.gateway,
            self.session_id,
            msisdn or self.msisdn,
            "*384*123#",
            "99999",
            event,
            text,
        )
        return self.bench.engine.step(request)

    def dial(self, text: str = "") -> str:
        self.session_id = f"ATUid_{next(_numbers):032x}"
        self.text = text
        self.screen = self.send(text, "input" if text else "new")
        return self.screen.text

    def reply(self, typed: str) -> str:
        accumulated = self.gateway.mode == "accumulated"
        self.text = f"{self.text}*{typed}" if self.text and accumulated else typed
        self.screen = self.send(self.text)
        return self.screen.text

    def again(self) -> Screen:
        """The gateway delivers the last hop once more."""
        return self.send(self.text)

    def keys(self, *typed: str) -> str:
        """Dial and reply; the last screen."""
        shown = self.dial()
        for one in typed:
            assert self.screen.open, f"the session ended before {one!r}: {shown}"
            shown = self.reply(one)
        return shown

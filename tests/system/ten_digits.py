"""A world with PINs of ten digits and stores that can be read: four would be found by chance in any
timestamp.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import requests
from sqlalchemy.orm import Session

from app import markets
from app.cli.demo import DemoPerson, add
from app.factory import build_runtime
from app.luhn import passes_luhn
from app.notices import Recipient, notify
from app.runtime import Runtime
from app.settings import Settings
from app.wallet import codes
from app.wallet.keys import new_key
from launcher.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER
from launcher.redis import Redis
from launcher.servers import Servers
from tests.people import fresh_msisdn
from tests.system.scanner import dump, redis_ever, redis_now
from tests.world import Phone, World

DIGITS = 10
OUR_LOGS = ("web", "worker", "worker_sms", "schedule")


def fresh_pin() -> str:
    """Ten digits that no rule calls weak, and that are no meter number with a 1 behind them."""
    while True:
        pin = f"{secrets.choice('3456789')}{secrets.randbelow(10 ** (DIGITS - 1)):0{DIGITS - 1}d}"
        if not passes_luhn(f"{pin}1"):
            return pin


@dataclass
class Stage:
    """A world whose stores can be read, and what was found worth keeping while it ran."""

    world: World
    redis: Redis
    servers: Servers
    database: str
    pins: dict[str, str] = field(default_factory=dict)
    moments: dict[str, bytes] = field(default_factory=dict)

    def pin(self, name: str) -> str:
        """A new PIN of that name; no trace of it may be found at the end."""
        return self.pins.setdefault(name, fresh_pin())

    def look(self, moment: str) -> None:
        """Keep what Redis holds at this moment, while a session is open."""
        held = redis_now(self.redis.url())
        assert b"ussd:" in held, f"{moment}: no session is open, so nothing is proved"
        self.moments[f"Redis {moment}"] = held

    def admin(self, *statements: str, database: str = "") -> None:
        """Statements as the superuser, in the stage's database unless another is named."""
        url = self.servers.url(SUPERUSER, database or self.database)
        with psycopg.connect(url, autocommit=True) as line:
            for statement in statements:
                line.execute(statement.encode())

    def places(self) -> dict[str, bytes]:
        """Everything that is kept or said. The processes are stopped, so that all is written."""
        metrics = requests.get(f"{self.world.url}/metrics", timeout=5).content
        at_the_end = redis_now(self.redis.url())
        self.world.stop()
        logs = {f"log of {name}": (self.world.folder / f"{name}.log") for name in OUR_LOGS}
        logs |= {"log of PostgreSQL": self.servers.postgres.log, "log of Redis": self.redis.log}
        return {
            "metrics": metrics,
            "Redis at the end": at_the_end,
            "Redis at any time": redis_ever(self.redis_folder),
            "database": dump(self.servers.programs.postgres, self.dump_url),
            **self.moments,
            **{name: path.read_bytes() for name, path in logs.items()},
        }

    @property
    def redis_folder(self) -> Path:
        return self.servers.places.base / self.redis.socket.stem

    @property
    def dump_url(self) -> str:
        return self.servers.url(SUPERUSER, self.database)


@contextmanager
def stage(servers: Servers, own_name: str, folder: Path) -> Iterator[Stage]:
    """A database, a Redis and a market of its own; nothing is started in it."""
    name = f"{own_name}_{secrets.token_hex(4)}"
    market = folder / "market.toml"
    text = (markets.FOLDER / "demo.toml").read_text()
    assert "length = 4\n" in text
    market.write_text(text.replace("length = 4\n", f"length = {DIGITS}\n"))
    database = f"kibanda_{name}"
    servers.postgres.create_database(database, template=DATABASE)
    own = Redis(servers.places, servers.programs, f"redis_{name}")
    own.start()
    keys = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2)]
    world = World(
        folder,
        servers.url(APPLICATION, database),
        servers.url(OWNER, database),
        own.url(),
        str(market),
        {
            "CALLBACK_TOKEN": secrets.token_urlsafe(24),
            "AT_API_KEY": secrets.token_urlsafe(24),
            "PIN_KEYS": f"7:{keys[0]}",
            "SESSION_KEY": keys[1],
            "LOG_LEVEL": "DEBUG",
        },
    )
    try:
        yield Stage(world, own, servers, database)
    finally:
        world.stop()
        own.stop()
        servers.postgres.drop_database(database)


def runtime_of(stage: Stage) -> Runtime:
    """The parts of a process of the stage, in the test's own."""
    world = stage.world
    return build_runtime(
        Settings(
            database_url=world.database_url,
            redis_url=world.redis_url,
            kibanda_market=world.market,
            pin_keys=world.extra["PIN_KEYS"],  # type: ignore[arg-type]  # as the environment gives it
        )
    )


def payer(stage: Stage, pin: str) -> Phone:
    """A registered person with money."""
    parts = runtime_of(stage)
    who = DemoPerson(fresh_msisdn(), "Amina Wanjiru", "en", "customer", 1_000_000)
    add(parts.db, parts.pins, parts.market, who, datetime.now(UTC), pin)
    parts.db.dispose()
    return Phone(stage.world, who.msisdn)


def send_code(stage: Stage, phone: Phone, name: str) -> str:
    """A one-time code goes to a phone by SMS, no trace of it may be found at the end; what came.

    It has twelve digits, for the reason that the PINs have ten.
    """
    parts, code_id, now = runtime_of(stage), new_key(), datetime.now(UTC)
    facts = {"code_id": str(code_id), "minutes": 5, "service_code": "*384*123#"}

    def issue(session: Session) -> None:
        parts.codes.issue(
            session,
            code_id,
            purpose="otp",
            subject=code_id,
            digits=codes.DIGITS_MOST,
            tries=3,
            expires_at=now + timedelta(minutes=5),
            now=now,
        )
        notify(
            session,
            "pin_reset_code",
            Recipient(phone.msisdn, "en"),
            message_id=code_id,
            subject=code_id,
            facts=facts,
            now=now,
        )

    parts.db.transact(issue)
    made = parts.db.transact(lambda session: codes.outgoing(session, code_id))
    stage.pins[name] = parts.codes.digits(made)
    parts.db.dispose()
    return phone.wait_sms(1)[-1]

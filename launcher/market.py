"""The little that a run has to know of its market file.

The product judges the file, and says the line when something is wrong with it. So what cannot be
read here is no demo market, and the run ends where the product first reads it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher import billers
from launcher.billers import Biller, Whereabouts

DEFAULT = "demo"
FOLDER = Path("app/markets")


@dataclass(frozen=True)
class Person:
    """Somebody whom `seed` registers."""

    name: str
    msisdn: str
    role: str
    balance_minor: int = 0


@dataclass(frozen=True)
class Market:
    """`name` is what KIBANDA_MARKET says, `code` what the file calls itself."""

    name: str
    code: str = DEFAULT
    demo: bool = False
    region: str = ""
    service_code: str = ""
    biller_files: tuple[Biller, ...] = ()
    timezone: str = ""
    people: tuple[Person, ...] = ()
    currency: str = ""
    exponent: int = 0
    operator_minor: int = 0

    @property
    def database(self) -> str:
        """Every market has a database of its own: wallets of two currencies in one would not be
        told apart by the country's people, nor by its staff.
        """
        return "kibanda" if self.code == DEFAULT else f"kibanda_{self.code}"

    @property
    def billers(self) -> tuple[str, ...]:
        """Their codes."""
        return tuple(one.code for one in self.biller_files)

    def biller_ports(self, next_port: Callable[[], int]) -> dict[str, int]:
        """Ports for the billers that are not spoken to by HTTP."""
        return billers.ports(self.biller_files, next_port)

    def of_billers(self, where: Whereabouts) -> dict[str, str]:
        """What the sandbox and Kibanda are told of the billers."""
        return billers.settings(self.biller_files, where)

    def of_sandbox(self) -> dict[str, str]:
        """What the sandbox is told of the country that it plays."""
        people = [{"name": _shown(one), "msisdn": one.msisdn} for one in self.people]
        return {
            "SANDBOX_REGION": self.region,
            "SANDBOX_TIMEZONE": self.timezone,
            "SANDBOX_EXPONENT": str(self.exponent),
            "SANDBOX_SERVICE_CODE": self.service_code,
            "SANDBOX_PEOPLE": json.dumps(people, separators=(",", ":")),
            "SANDBOX_BANK_CURRENCY": self.currency,
            "SANDBOX_BANK_OPENING": self._paid_in(),
        }

    def _paid_in(self) -> str:
        """What `seed demo` pays in; the trust account at the bank opens with it."""
        minor = self.operator_minor + sum(one.balance_minor for one in self.people)
        total = minor * 100 // 10**self.exponent
        return f"{total // 100}.{total % 100:02d}"


def read(project: Path, name: str) -> Market:
    """The market of that name in the project, or of that path, as far as it can be read."""
    named = project / FOLDER / f"{name}.toml"
    path = named if named.exists() else project / name
    try:
        return _market(name, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return Market(name)


def _market(name: str, told: Mapping[str, Any]) -> Market:
    people = tuple(
        Person(
            str(one["name"]),
            str(one["msisdn"]),
            str(one.get("role", "customer")),
            int(one["balance_minor"]),
        )
        for one in told.get("demo_people", ())
    )
    return Market(
        name,
        code=str(told["code"]),
        demo=told.get("demo") is True,
        region=str(told["region"]),
        service_code=str(told["service_codes"][0]),
        biller_files=billers.read(told["billers"], int(told["currency"]["exponent"])),
        timezone=str(told["timezone"]),
        people=people,
        currency=str(told["currency"]["code"]),
        exponent=int(told["currency"]["exponent"]),
        operator_minor=int(told.get("demo_operator_minor", 0)),
    )


def _shown(one: Person) -> str:
    return one.name if one.role == "customer" else f"{one.name} ({one.role.replace('_', '-')})"

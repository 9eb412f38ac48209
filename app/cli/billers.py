"""`billers`: is a market's file sound, how does each biller stand, does one answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from flask.cli import with_appcontext

from app import markets
from app.billers import breaker, hours
from app.billers.breaker import HEALTHY, Standing
from app.billers.protocols import credentials_name
from app.cli import batches
from app.cli.biller_trial import ask, product_of, shown
from app.cli.output import as_json, local, refusing, runtime, table
from app.errors import DomainError
from app.gateways.table import USSD
from app.markets import Biller, Market, MarketError, Product
from app.runtime import Runtime
from app.staff.billers import BillerCounts, read_counts
from app.text import known_languages

COLUMNS = [
    "biller", "name", "family", "policy", "standing", "in flight", "due", "unknown", "manual",
    "oldest", "deposit", "last answer",
]  # fmt: skip
PRODUCTS = [
    "product", "biller", "category", "sells", "pay", "least", "most", "step", "number", "asked",
    "shortcut", "sku",
]  # fmt: skip


@click.group("billers")
def billers() -> None:
    """Who can be paid: check a market's file, list, try an inquiry."""


batches.add_to(billers)


@billers.command("check")
@click.argument("file", required=False)
@with_appcontext
@refusing
def check(file: str | None) -> None:
    """Refuse a market file that could buy twice or never end; exit code 1 on a problem.

    FILE is a market file, or the name of a market. Without it: the one in use, with its settings.
    """
    parts = runtime()
    name = file or parts.settings.kibanda_market
    try:
        market = markets.load(name, known={"gateways": USSD, "languages": known_languages()})
    except MarketError as error:
        _end(list(error.problems))
    problems: list[str] = []
    for code, rules in market.billers.items():
        found = [] if file else list(_unset(parts, code, rules))
        told = found or ["0 problems"]
        click.echo("\n".join(f"{code} ({rules.family}, {rules.silence_policy}): {t}" for t in told))
        problems += found
    sys.exit(1 if problems else 0)


def _end(problems: list[str]) -> None:
    click.echo("\n".join(problems))
    sys.exit(1)


def _unset(parts: Runtime, code: str, rules: Biller) -> Iterator[str]:
    """What its settings lack."""
    name = credentials_name(code, rules)
    credentials = parts.settings.biller_credentials.get(name)
    if credentials is None:
        yield f"BILLER_CREDENTIALS has no entry {name!r}"
    elif rules.traits.signs_webhooks and not credentials.webhook_secret.get_secret_value():
        yield f"BILLER_CREDENTIALS: {name!r} has no webhook_secret, so what it tells is refused"


@billers.command("list")
@click.option("--products", is_flag=True, help="what they sell")
@click.option("--json", "as_machine", is_flag=True, help="JSON instead of a table")
@with_appcontext
@refusing
def show_all(*, products: bool, as_machine: bool) -> None:
    """How every biller stands; with --products what each sells."""
    parts, now = runtime(), datetime.now(UTC)
    if products:
        sold = list(_products(parts.market))
        written = [row | _amounts(parts.market, row) for row in sold]
        click.echo(as_json(sold) if as_machine else table(written, PRODUCTS))
        return
    standings, counts = parts.db.transact(
        lambda session: (breaker.standings(session), read_counts(session))
    )
    found = [
        _row(parts, code, rules, standings.get(code, HEALTHY), counts.get(code), now)
        for code, rules in parts.market.billers.items()
    ]
    click.echo(
        as_json(found) if as_machine else table([_written(parts, r) for r in found], COLUMNS)
    )


def _row(
    parts: Runtime,
    code: str,
    rules: Biller,
    standing: Standing,
    found: BillerCounts | None,
    now: datetime,
) -> dict[str, Any]:
    counts = found or BillerCounts()
    last = counts.last
    return {
        "biller": code,
        "name": rules.name,
        "family": rules.family,
        "policy": rules.silence_policy,
        "standing": _standing(parts, code, rules, standing, now),
        "in_flight": counts.in_flight,
        "due": counts.due,
        "unknown": counts.unknown,
        "manual": counts.manual,
        "oldest_seconds": counts.oldest_seconds,
        "deposit_minor": counts.deposit_minor,
        "deposit_at": counts.deposit_at,
        "last_answer": last and {"at": last.at, "reason": last.reason, "code": last.code},
    }


def _standing(parts: Runtime, code: str, rules: Biller, standing: Standing, now: datetime) -> str:
    """The first thing that stands in the way of a payment of now."""
    if code not in parts.wires:
        return "no credentials"
    if standing.paused:
        return "paused"
    if standing.breaker != "closed":
        return f"breaker {standing.breaker.replace('_', ' ')}"
    if not hours.is_open(rules, parts.market.zone, now):
        return f"closed till {rules.opens:%H:%M}"
    return "open"


def _written(parts: Runtime, row: dict[str, Any]) -> dict[str, Any]:
    """A row as people read it."""
    seconds, deposit, last = row["oldest_seconds"], row["deposit_minor"], row["last_answer"]
    return row | {
        "in flight": row["in_flight"],
        "oldest": "" if seconds is None else str(timedelta(seconds=seconds)),
        "deposit": "not told" if deposit is None else parts.market.currency.format(deposit),
        "last answer": f"{last['reason']} {last['code']}".strip()
        + f" {local(last['at'], parts.market)}"
        if last
        else "",
    }


def _products(market: Market) -> Iterator[dict[str, Any]]:
    for code, rules in market.billers.items():
        for product in rules.products:
            yield {
                "product": product.code,
                "biller": code,
                "category": product.category,
                "sells": product.sells,
                "pay": product.pay,
                "least_minor": product.least_minor,
                "most_minor": product.most_minor,
                "step_minor": None if product.price_minor else product.step_minor,
                "number": _number(product),
                "asked": "yes" if product.inquiry else "no",
                "shortcut": product.shortcut or "",
                "sku": product.sku,
            }


def _amounts(market: Market, row: dict[str, Any]) -> dict[str, str]:
    minor = {name: row[f"{name}_minor"] for name in ("least", "most", "step")}
    return {name: market.currency.format(m) if m else "" for name, m in minor.items()}


def _number(product: Product) -> str:
    """What a customer number looks like, in a word or two."""
    rules = product.customer
    if rules.kind == "phone":
        return "telephone"
    long = str(rules.most) if rules.least == rules.most else f"{rules.least}-{rules.most}"
    parts = [long, "letters, digits" if rules.letters else "digits", "Luhn" if rules.luhn else ""]
    return " ".join(part for part in [*parts, rules.pattern or ""] if part)


@billers.command("try")
@click.argument("name")
@click.argument("customer")
@click.option("--product", "product_code", help="which of its products; else its first")
@with_appcontext
@refusing
def try_one(name: str, customer: str, product_code: str | None) -> None:
    """Ask a biller whose number this is and what is owed. Nothing is paid."""
    parts, now = runtime(), datetime.now(UTC)
    rules = parts.market.billers.get(name)
    if rules is None:
        raise DomainError("biller_unknown", known=", ".join(parts.market.billers))
    product = product_of(rules, product_code)
    click.echo(shown(parts, name, rules, ask(parts, name, rules, product, customer), now))


COMMANDS = (billers,)

"""`payment show`, `payment resolve propose|approve|withdraw` and `biller pause|resume`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.billers import payments, resolution
from app.billers.payments import PaymentView
from app.cli.acting import acting
from app.cli.output import happenings_table, refusing, runtime
from app.errors import DomainError
from app.staff import movements, timeline
from app.staff.accounts import Role
from app.staff.timeline import Happening

DECIDES: tuple[Role, ...] = ("finance", "supervisor")


@click.group("payment")
def payment() -> None:
    """One payment: what became of it, and deciding what the biller never told."""


@payment.command("show")
@click.argument("reference")
@with_appcontext
@refusing
def show(reference: str) -> None:
    """A payment and every step of it."""
    parts = runtime()

    def read(session: Session) -> tuple[PaymentView, list[Happening]]:
        found = payments.of_reference(session, reference)
        if found is None:
            raise movements.elsewhere(session, reference, "payment_unknown")
        return found, timeline.of_payment(session, found.id)

    found, happenings = parts.db.transact(read)
    money = parts.market.currency.format
    click.echo(
        f"{found.reference}  {found.state}  {found.product_code} {found.customer_no}"
        f"  {found.customer_name}\namount {money(found.amount_minor)}"
        f"  fee {money(found.fee_minor)}  total {money(found.total_minor)}"
        f"\nbiller reference {found.biller_ref}\n"
    )
    click.echo(happenings_table(happenings, parts.market))


@payment.group("resolve")
def resolve() -> None:
    """Decide a payment that its biller left open: one proposes, another approves."""


@resolve.command("propose")
@click.argument("reference")
@click.option("--outcome", required=True, type=click.Choice(list(resolution.FITS)))
@click.option("--evidence", required=True, help="what the biller said, where, when, to whom")
@click.option("--token", help="the token, when the biller sold one")
@with_appcontext
@refusing
def propose(reference: str, outcome: resolution.Decision, evidence: str, token: str | None) -> None:
    """Say what the biller did, with evidence; nothing moves yet."""
    parts = runtime()
    maker = acting(parts, *DECIDES).name
    parts.db.transact(
        lambda session: resolution.propose(
            session,
            reference,
            outcome,
            token=token,
            evidence=evidence,
            maker=maker,
            now=datetime.now(UTC),
        )
    )
    click.echo(f"{reference}: {outcome} proposed by {maker}; another person must approve it.")


@resolve.command("approve")
@click.argument("reference")
@with_appcontext
@refusing
def approve(reference: str) -> None:
    """Approve the open proposal of another person; the money moves."""
    parts = runtime()
    checker = acting(parts, *DECIDES).name
    state = parts.db.transact(
        lambda session: resolution.approve(
            session, parts.market, reference, checker=checker, now=datetime.now(UTC)
        )
    )
    click.echo(f"{reference}: {state}")


@resolve.command("withdraw")
@click.argument("reference")
@with_appcontext
@refusing
def withdraw(reference: str) -> None:
    """Take the open proposal back; nothing moves."""
    parts = runtime()
    by = acting(parts, *DECIDES).name
    parts.db.transact(
        lambda session: resolution.withdraw(session, reference, by=by, now=datetime.now(UTC))
    )
    click.echo(f"{reference}: proposal withdrawn")


@click.group("biller")
def biller() -> None:
    """Stop and start paying a biller."""


@biller.command("pause")
@click.argument("code")
@with_appcontext
@refusing
def pause(code: str) -> None:
    """Take no new payments for a biller; what was sent is still asked about."""
    _set_paused(code, paused=True)


@biller.command("resume")
@click.argument("code")
@with_appcontext
@refusing
def resume(code: str) -> None:
    """Take payments for a biller again."""
    _set_paused(code, paused=False)


def _set_paused(code: str, *, paused: bool) -> None:
    parts = runtime()
    acting(parts, *DECIDES)
    if code not in parts.market.billers:
        raise DomainError("biller_unknown", known=", ".join(parts.market.billers))
    changed = parts.db.transact(lambda session: resolution.set_paused(session, code, paused=paused))
    click.echo(f"{code}: {'paused' if paused else 'takes payments'}{'' if changed else ' already'}")


COMMANDS = (payment, biller)

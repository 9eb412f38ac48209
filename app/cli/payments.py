"""`payment show`, `payment resolve|refund propose|approve|withdraw` and `biller pause|resume`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.billers import payments, resolution
from app.billers.payments import PaymentView
from app.cli.acting import acting
from app.cli.acting import propose as propose_case
from app.cli.output import happenings_table, refusing, runtime
from app.errors import DomainError
from app.markets import Market
from app.staff import cases, decisions, movements, payment_cases, payment_facts, timeline
from app.staff.accounts import Role
from app.staff.cases import Case
from app.staff.payment_facts import Fact
from app.staff.timeline import Happening
from app.wallet.references import written

DECIDES: tuple[Role, ...] = ("finance", "supervisor")


@click.group("payment")
def payment() -> None:
    """One payment: what became of it, and deciding what the biller never told."""


@payment.command("show")
@click.argument("reference")
@with_appcontext
@refusing
def show(reference: str) -> None:
    """A payment: all that its biller can be asked by, and every step of it."""
    parts = runtime()

    def read(session: Session) -> tuple[PaymentView, list[Fact], list[Happening]]:
        found = payments.of_reference(session, reference)
        if found is None:
            raise movements.elsewhere(session, reference, "payment_unknown")
        facts = payment_facts.known(session, parts.market, found.id)
        return found, facts, timeline.of_payment(session, found.id)

    found, facts, happenings = parts.db.transact(read)
    click.echo(_head(found, facts, parts.market) + "\n")
    click.echo(happenings_table(happenings, parts.market))


def _head(found: PaymentView, facts: list[Fact], market: Market) -> str:
    money = market.currency.format
    what = f"{found.product_code} {found.customer_no}  {found.customer_name}"
    amount, fee, total = found.amount_minor, found.fee_minor, found.total_minor
    widest = max(len(name) for name, _ in facts)
    lines = [
        f"{found.reference}  {found.state}  {what}",
        f"amount {money(amount)}  fee {money(fee)}  total {money(total)}",
        *(f"{name.ljust(widest)}  {fact}" for name, fact in facts),
    ]
    return "\n".join(lines)


@payment.group("resolve")
def resolve() -> None:
    """Decide a payment that its biller left open: one proposes, another approves."""


@resolve.command("propose")
@click.argument("reference")
@click.option("--outcome", required=True, type=click.Choice(list(resolution.FITS)))
@click.option("--evidence", required=True, help="what the biller said, where, when, to whom")
@click.option("--token", help="the token, or up to three with ; between them")
@with_appcontext
@refusing
def propose(reference: str, outcome: resolution.Decision, evidence: str, token: str | None) -> None:
    """Say what the biller did, with evidence; nothing moves yet."""
    parts = runtime()
    maker = acting(parts, *DECIDES).name

    def work(session: Session) -> None:
        view = payments.of_reference(session, reference)
        if view is not None:  # at once, and not only when another person approves
            told = [token] if token else []
            resolution.refuse_odd_tokens(parts.market, view.product_code, outcome, told)
        resolution.propose(
            session,
            reference,
            outcome,
            token=token,
            evidence=evidence,
            maker=maker,
            now=datetime.now(UTC),
        )

    parts.db.transact(work)
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


@payment.group("refund")
def refund() -> None:
    """Give back what a biller took back from its payer: one proposes, another approves."""


@refund.command("propose")
@click.argument("reference")
@click.option("--evidence", required=True, help="what the biller said, where, when, to whom")
@with_appcontext
@refusing
def propose_refund(reference: str, evidence: str) -> None:
    """Propose that amount and fee go back to the payer; nothing moves yet."""
    propose_case(
        payment_cases.REFUND,
        evidence,
        lambda session: payment_cases.about_refund(session, reference),
    )


@refund.command("approve")
@click.argument("reference")
@with_appcontext
@refusing
def approve_refund(reference: str) -> None:
    """Approve another's proposal; the payer has the money at once."""
    parts = runtime()
    checker, now = acting(parts, *cases.ROLES[payment_cases.REFUND]), datetime.now(UTC)

    def carry_out(session: Session, approved: Case) -> str:
        return decisions.carry_out(session, parts.market, approved, checker, now)

    def work(session: Session) -> str:
        case = payment_cases.open_refund(session, reference)
        return cases.approve(session, case, checker, now, carry_out)

    done = parts.db.transact(work)
    click.echo(f"{written(reference)}: {done}")


@refund.command("withdraw")
@click.argument("reference")
@with_appcontext
@refusing
def withdraw_refund(reference: str) -> None:
    """Take your own proposal back; nothing moves."""
    parts = runtime()
    maker = acting(parts, *cases.ROLES[payment_cases.REFUND])

    def work(session: Session) -> None:
        case = payment_cases.open_refund(session, reference)
        cases.withdraw(session, case, maker, datetime.now(UTC))

    parts.db.transact(work)
    click.echo(f"{written(reference)}: proposal withdrawn")


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

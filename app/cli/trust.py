"""`trust`: the bank behind the money. Do the books agree, what waits, what is each line for.

Files and matches carry maker and checker themselves; what moves money before the bank does is a
case (`case approve`).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.cli import trust_report
from app.cli.acting import acting, propose
from app.cli.output import refusing, runtime, table
from app.errors import DomainError
from app.markets import Market
from app.runtime import Runtime
from app.staff import bank_cases
from app.staff.accounts import Staff
from app.wallet.trust import matching, payees, report, statements
from app.wallet.trust.lines import UNMATCHED_AT_MOST
from app.wallet.trust.matching import Proposal
from app.wallet.trust.payees import Payee


def bank_staff(parts: Runtime) -> Staff:
    """Who acts, with a role that may touch the trust account."""
    return acting(parts, "finance", "supervisor")


@click.group("trust", invoke_without_command=True)
@click.option("--json", "as_machine", is_flag=True, help="JSON instead of tables")
@click.pass_context
@with_appcontext
@refusing
def trust(context: click.Context, *, as_machine: bool) -> None:
    """The identity with its parts, the bank beside it, and what waits.

    Exit code 1 when anything is off by one unit, 2 when it could not look.
    """
    if context.invoked_subcommand:
        return
    parts, now = runtime(), datetime.now(UTC)
    found = parts.db.transact(lambda session: report.read(session, parts.market, now))
    trust_report.alarm(found)
    say = trust_report.as_machine if as_machine else trust_report.as_tables
    click.echo(say(found, parts.market, now))
    sys.exit(1 if found.off else 0)


@trust.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
@refusing
def import_file(file: Path) -> None:
    """Enter a file of the bank's statement: CSV, after the one before, once."""
    parts = runtime()
    maker = bank_staff(parts)
    done = parts.db.transact(
        lambda session: statements.import_file(
            session, parts.market, file, maker=maker.name, now=datetime.now(UTC)
        )
    )
    money = parts.market.currency.format
    click.echo(
        f"{done.lines} lines, from {money(done.opening_minor)} to {money(done.closing_minor)};"
        " `trust match` says what they are for."
    )


@trust.command("match")
@with_appcontext
@refusing
def match() -> None:
    """The lines that are not matched, and what each is proposed to be."""
    parts = runtime()
    found = parts.db.transact(lambda session: matching.propose(session, parts.market.currency.code))
    rows = [_row(proposal, parts.market) for proposal in found]
    columns = ["line", "booked", "amount", "says", "for", "by"]
    click.echo(table(rows, columns) if rows else "every line is matched")
    if len(rows) == UNMATCHED_AT_MOST:
        click.echo(f"These are the oldest {UNMATCHED_AT_MOST}; there may be more.")


@trust.command("confirm")
@click.argument("line")
@click.option("--yes", is_flag=True, help="without asking once more")
@with_appcontext
@refusing
def confirm(line: str, *, yes: bool) -> None:
    """Agree that a line is what it is proposed to be; the money moves."""
    parts = runtime()
    checker = bank_staff(parts)
    shown = parts.db.transact(lambda session: matching.proposal(session, line))
    if shown.target and not yes:
        click.confirm(_sentence(shown, parts.market) + ". Is that so?", abort=True)
    done = parts.db.transact(
        lambda session: matching.confirm(
            session, parts.market, shown, checker=checker.name, now=datetime.now(UTC)
        ),
        idempotent=True,
    )
    click.echo(f"{line}: {done.kind} {done.reference}, {done.payee.name}")


@trust.command("assign")
@click.argument("line")
@click.option("--agent", metavar="CODE", help="came in for an agent's float")
@click.option("--person", metavar="MSISDN", help="came in for a person's wallet")
@click.option("--operator", is_flag=True, help="the operator's own: interest, the bank's charges")
@click.option("--reference", metavar="REF", help="this deposit or payout, whatever the line says")
@with_appcontext
@refusing
def assign(
    line: str, agent: str | None, person: str | None, reference: str | None, *, operator: bool
) -> None:
    """Say what a line is for; another person must confirm it."""
    if sum(map(bool, (agent, person, operator, reference))) != 1:
        raise click.UsageError("one of --agent, --person, --operator, --reference")
    parts = runtime()
    maker, now = bank_staff(parts), datetime.now(UTC)

    def work(session: Session) -> Proposal:
        if reference:
            return matching.assign_reference(session, line, reference, proposer=maker.name, now=now)
        payee = _payee(session, parts.market, agent, person)
        return matching.assign(session, line, payee, proposer=maker.name, now=now)

    said = _sentence(parts.db.transact(work), parts.market)
    click.echo(f"{said}; another person must confirm it.")


@trust.command("withdraw")
@click.argument("line")
@with_appcontext
@refusing
def withdraw(line: str) -> None:
    """Take back what a line was assigned to; nothing moves."""
    parts = runtime()
    by = bank_staff(parts)
    parts.db.transact(
        lambda session: matching.withdraw(session, line, by=by.name, now=datetime.now(UTC))
    )
    click.echo(f"{line}: assignment withdrawn")


@trust.command("expect")
@click.argument("amount")
@click.option("--agent", metavar="CODE", help="for an agent's float")
@click.option("--person", metavar="MSISDN", help="for a person's wallet")
@click.option("--slip", default="", help="the number of the slip, if it is filled in already")
@click.option("--evidence", required=True, help="who saw the slip or the bank's advice, when")
@with_appcontext
@refusing
def expect(amount: str, agent: str | None, person: str | None, slip: str, evidence: str) -> None:
    """Propose to note a deposit that is on its way to the bank."""
    if bool(agent) is bool(person):
        raise click.UsageError("one of --agent, --person")
    market = runtime().market
    number = numbers.parse(person, market.region) if person else None
    minor = market.currency.parse(amount)
    propose(
        "deposit_notice",
        evidence,
        lambda session: bank_cases.about_deposit(
            session, market, minor, agent=agent, msisdn=number, slip=slip
        ),
    )


@trust.command("cancel")
@click.argument("reference")
@click.option("--evidence", required=True, help="how one knows that it will not come")
@with_appcontext
@refusing
def cancel(reference: str, evidence: str) -> None:
    """Propose that a deposit on its way will not come."""
    propose(
        "deposit_cancel",
        evidence,
        lambda session: bank_cases.about_deposit_of(session, reference),
    )


@trust.command("payout")
@click.argument("agent")
@click.argument("amount")
@click.option("--evidence", required=True, help="who asked for it, when, to which bank account")
@with_appcontext
@refusing
def payout(agent: str, amount: str, evidence: str) -> None:
    """Propose to pay an agent's float out to its bank account."""
    market = runtime().market
    minor = market.currency.parse(amount)
    propose(
        "float_payout",
        evidence,
        lambda session: bank_cases.about_payout(session, market, agent, minor),
    )


@trust.command("take-back")
@click.argument("reference")
@click.option("--evidence", required=True, help="what the bank said, where, when, to whom")
@with_appcontext
@refusing
def take_back(reference: str, evidence: str) -> None:
    """Propose that a payout goes back, because the bank never carried it out."""
    propose(
        "payout_return",
        evidence,
        lambda session: bank_cases.about_payout_of(session, reference),
    )


def _payee(session: Session, market: Market, agent: str | None, person: str | None) -> Payee:
    if agent:
        return payees.of_agent(session, agent)
    if person:
        return payees.of_person(session, numbers.parse(person, market.region))
    return payees.operator(session, market.currency.code)


def _row(proposal: Proposal, market: Market) -> dict[str, str]:
    line, target = proposal.line, proposal.target
    return {
        "line": line.id,
        "booked": line.booked_on.isoformat(),
        "amount": market.currency.format(line.amount_minor),
        "says": f"{line.reference} {line.text}".strip()[:40],
        "for": _for(proposal),
        "by": target.proposer if target else "",
    }


def _for(proposal: Proposal) -> str:
    if proposal.target is None:
        return f"? {(proposal.reason or '').replace('_', ' ')}"
    target = proposal.target
    name = "" if target.kind == "account" else f"{target.kind} {target.reference}, "
    return f"{name}{target.payee.name}"


def _sentence(proposal: Proposal, market: Market) -> str:
    if proposal.target is None:
        raise DomainError("line_unmatched", reason=proposal.reason)
    line = proposal.line
    return f"{line.id}: {market.currency.format(line.amount_minor)} for {_for(proposal)}"


COMMANDS = (trust,)

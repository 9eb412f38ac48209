"""`person`: where is my money, on one screen; proposals about a person; a forgotten PIN."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.cli.acting import acting, propose
from app.cli.output import happenings_table, local, refusing, runtime, table
from app.errors import DomainError
from app.markets import Market
from app.staff import overview, person_cases, pin_resets, timeline
from app.staff.overview import Open, Overview
from app.staff.timeline import Happening
from app.wallet import people

Seen = tuple[Overview | None, list[Open], list[Happening]]


@click.group("person")
def person() -> None:
    """One person: what happened, what staff propose, a forgotten PIN."""


@person.command("show")
@click.argument("msisdn")
@with_appcontext
@refusing
def show(msisdn: str) -> None:
    """What a person has, what is set aside or on its way, and all that happened.

    Of a number that is nobody's: the vouchers that wait for it, and its SMS.
    """
    parts = runtime()
    number = numbers.parse(msisdn, parts.market.region)
    who, still_open, happenings = parts.db.transact(lambda session: _read(session, number))
    click.echo(_of(who, parts.market) if who else f"{number}  not registered")
    if still_open:
        click.echo("\n" + _open_table(still_open, parts.market))
    click.echo("\n" + happenings_table(happenings, parts.market))


@person.command("suspend")
@click.argument("msisdn")
@click.option("--evidence", required=True, help="what happened, where, when, who said so")
@with_appcontext
@refusing
def suspend(msisdn: str, evidence: str) -> None:
    """Propose that a person moves no money until they are resumed."""
    _propose_state("person_suspend", msisdn, evidence)


@person.command("resume")
@click.argument("msisdn")
@click.option("--evidence", required=True, help="what was settled, where, when, by whom")
@with_appcontext
@refusing
def resume(msisdn: str, evidence: str) -> None:
    """Propose that a suspended person may move money again."""
    _propose_state("person_resume", msisdn, evidence)


@person.command("tier")
@click.argument("msisdn")
@click.argument("tier")
@click.option("--evidence", required=True, help="which documents were seen, where, by whom")
@with_appcontext
@refusing
def tier(msisdn: str, tier: str, evidence: str) -> None:
    """Propose another tier for a person, with its limits: higher or lower."""
    market, number = runtime().market, _number(msisdn)
    propose(
        "person_tier",
        evidence,
        lambda session: person_cases.about_tier(session, market, number, tier),
    )


@person.command("close")
@click.argument("msisdn")
@click.option("--evidence", required=True, help="who asked for it, when; where the money goes")
@with_appcontext
@refusing
def close(msisdn: str, evidence: str) -> None:
    """Propose to pay a wallet out and close it for good."""
    market, number = runtime().market, _number(msisdn)
    propose(
        "person_close",
        evidence,
        lambda session: person_cases.about_closing(session, market, number),
    )


@person.command("questions")
@click.argument("msisdn")
@with_appcontext
@refusing
def questions(msisdn: str) -> None:
    """What only this person should know, to ask before a new PIN; with the answers."""
    parts, number = runtime(), _number(msisdn)
    by = acting(parts, *pin_resets.ROLES)
    known = parts.db.transact(
        lambda session: pin_resets.questions(session, parts.market, number, by)
    )
    rows: list[dict[str, object]] = [
        {"ask": "the last amount sent or received", "answer": known.last_amount},
        {"ask": "and the day of it", "answer": known.last_day},
        {"ask": "the month of registration", "answer": known.registered_month},
        {"ask": "the document, and the end of its number", "answer": known.document},
    ]
    asked = [row for row in rows if row["answer"] is not None]
    click.echo(table(asked, ["ask", "answer"]))


@person.command("reset-pin")
@click.argument("msisdn")
@click.option("--evidence", required=True, help="what was asked, and what was answered")
@with_appcontext
@refusing
def reset_pin(msisdn: str, evidence: str) -> None:
    """Send a code for a new PIN to the person's own phone; nobody else ever sees it."""
    parts, number = runtime(), _number(msisdn)
    by = acting(parts, *pin_resets.ROLES)

    def start(session: Session) -> None:
        now = datetime.now(UTC)
        pin_resets.start(
            session, parts.codes, parts.market, number, by=by, evidence=evidence, now=now
        )

    parts.db.transact(start)
    dial, minutes = parts.market.service_codes[0], parts.market.people.otp_seconds // 60
    click.echo(
        f"{number}: a code is on its way to this phone alone;"
        f" dial {dial} there within {minutes} minutes."
    )


def _number(msisdn: str) -> str:
    return numbers.parse(msisdn, runtime().market.region)


def _propose_state(kind: str, msisdn: str, evidence: str) -> None:
    number = _number(msisdn)
    propose(kind, evidence, lambda session: person_cases.about_state(session, kind, number))


def _read(session: Session, number: str) -> Seen:
    """Raises DomainError `person_unknown` for a number that we never had anything to do with."""
    found = people.find(session, number)
    if found:
        now = overview.of_person(session, found)
        return now, now.open, timeline.of_person(session, found, now.agent)
    waiting = overview.waiting_for(session, number)
    happenings = timeline.of_number(session, number)
    if not (waiting or happenings):
        raise DomainError("person_unknown", msisdn=number)
    return None, waiting, happenings


def _of(now: Overview, market: Market) -> str:
    who, money = now.person, market.currency.format
    lines = [f"{who.name}  {who.msisdn}  {who.role}  {who.state}  {who.language}  {who.tier}"]
    if who.state != "active":
        lines.append(f"{who.state} since {local(who.state_since, market)}")
    if now.pin_locked_minutes:
        lines.append(f"PIN locked for {now.pin_locked_minutes} minutes")
    lines.append(
        f"available {money(now.wallet.available_minor)}  held {money(now.wallet.held_minor)}"
    )
    if now.agent and now.in_float:
        rank = "super-agent" if now.agent.is_super else "agent"
        available, held = money(now.in_float.available_minor), money(now.in_float.held_minor)
        lines.append(
            f"{rank} {now.agent.code} {now.agent.name}  {now.agent.state}"
            f"  float {available}  held {held}"
        )
    return "\n".join(lines)


def _open_table(still_open: Sequence[Open], market: Market) -> str:
    rows = [
        {
            "open": one.what,
            "reference": one.reference,
            "amount": "" if one.amount_minor is None else market.currency.format(one.amount_minor),
            "until": local(one.until, market) if one.until else "",
            "what": one.about,
        }
        for one in still_open
    ]
    return table(rows, ["open", "reference", "amount", "until", "what"])


COMMANDS = (person,)

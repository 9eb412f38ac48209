"""`agent`: one agent with its float, split deposits, proposals to make, stop or restart one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app import msisdn as numbers
from app.cli.acting import propose
from app.cli.output import as_json, refusing, runtime, table
from app.markets import Market
from app.staff import agent_cases
from app.wallet import agents, ledger
from app.wallet.agents import Agent
from app.wallet.counter import payouts, splitting
from app.wallet.counter.payouts import Earnings
from app.wallet.counter.splitting import Split
from app.wallet.ledger import Balance


@click.group("agent")
def agent() -> None:
    """Agents and super-agents."""


@agent.command("show")
@click.argument("code")
@with_appcontext
@refusing
def show(code: str) -> None:
    """An agent: its float, what it has earned, its super-agent, and those below it.

    What happened is shown by `person show` of its number.
    """
    parts = runtime()

    def read(session: Session) -> tuple[Agent, Balance, Earnings, Agent | None, list[Agent]]:
        found = agents.of_code(session, code)
        above = agents.get(session, found.parent_id) if found.parent_id else None
        return (
            found,
            ledger.balance(session, found.float_id),
            payouts.earnings(session, parts.market, found, datetime.now(UTC)),
            above,
            agents.below(session, found.id),
        )

    one, balance, earned, above, below = parts.db.transact(read)
    money = parts.market.currency.format
    rank = "super-agent" if one.is_super else "agent"
    click.echo(f"{one.code}  {one.name}  {one.msisdn}  {rank}  {one.state}")
    click.echo(f"float {money(balance.available_minor)}  held {money(balance.held_minor)}")
    click.echo(
        f"commission {money(earned.accrued_minor)} not paid yet, next on {earned.next_payout_on}"
    )
    if above:
        click.echo(f"super-agent {above.code}  {above.name}")
    if below:
        rows = [{"code": a.code, "name": a.name, "state": a.state} for a in below]
        click.echo("\n" + table(rows, ["code", "name", "state"]))


@agent.command("appoint")
@click.argument("msisdn")
@click.option("--name", required=True, help="what customers read, as on the kiosk's sign")
@click.option("--super", "is_super", is_flag=True, help="a super-agent, with agents below it")
@click.option("--parent", metavar="CODE", help="the super-agent above it")
@click.option("--evidence", required=True, help="the contract: where it lies, who signed it, when")
@with_appcontext
@refusing
def appoint(msisdn: str, name: str, parent: str | None, evidence: str, *, is_super: bool) -> None:
    """Propose to make a registered person an agent."""
    number = numbers.parse(msisdn, runtime().market.region)
    propose(
        "agent_appoint",
        evidence,
        lambda session: agent_cases.about_appointment(
            session, number, name, is_super=is_super, parent=parent
        ),
    )


@agent.command("suspend")
@click.argument("code")
@click.option("--evidence", required=True, help="what happened, where, when, who said so")
@with_appcontext
@refusing
def suspend(code: str, evidence: str) -> None:
    """Propose that an agent serves nobody until it is resumed."""
    kind = "agent_suspend"
    propose(kind, evidence, lambda session: agent_cases.about_state(session, kind, code))


@agent.command("resume")
@click.argument("code")
@click.option("--evidence", required=True, help="what was settled, where, when, by whom")
@with_appcontext
@refusing
def resume(code: str, evidence: str) -> None:
    """Propose that a suspended agent serves again."""
    kind = "agent_resume"
    propose(kind, evidence, lambda session: agent_cases.about_state(session, kind, code))


@agent.command("splits")
@click.option(
    "--days", type=click.IntRange(1, 31), default=1, show_default=True, help="how far to look back"
)
@click.option("--json", "as_machine", is_flag=True, help="JSON instead of a table")
@with_appcontext
@refusing
def splits(days: int, *, as_machine: bool) -> None:
    """Deposits that look split to earn more commission: for staff to look at, nothing is done."""
    parts = runtime()
    since = datetime.now(UTC) - timedelta(days=days)
    found = parts.db.transact(lambda session: splitting.found(session, parts.market, since))
    said = splitting.rule(parts.market)
    if as_machine:
        rows = [{**asdict(split), "excess_minor": split.excess_minor} for split in found]
        click.echo(as_json({"rule": said, "since": since, "splits": rows}))
        return
    click.echo(said)
    if found:
        click.echo("\n" + _splits_table(found, parts.market))


def _splits_table(found: Sequence[Split], market: Market) -> str:
    money = market.currency.format
    rows = [
        {
            "agent": f"{split.agent_code} {split.agent_name}",
            "customer": split.customer,
            "from": split.first_at.astimezone(market.zone).strftime("%Y-%m-%d %H:%M"),
            "to": split.last_at.astimezone(market.zone).strftime("%H:%M"),
            "deposits": split.deposits,
            "sum": money(split.amount_minor),
            "earned": money(split.earned_minor),
            "as one": money(split.one_minor),
            "excess": money(split.excess_minor),
        }
        for split in found
    ]
    return table(rows, list(rows[0]))


COMMANDS = (agent,)

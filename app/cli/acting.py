"""Who acts from this terminal, and how a command proposes a case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import click
from sqlalchemy.orm import Session

from app.cli.output import runtime
from app.runtime import Runtime
from app.staff import cases, sessions
from app.staff.accounts import Role, Staff
from app.staff.cases import Case, Proposal


def acting(parts: Runtime, *needed: Role) -> Staff:
    """Whose session KIBANDA_STAFF_SESSION holds; any of the `needed` roles will do.

    Raises DomainError `staff_session_missing`, `staff_session_over`, `staff_suspended`,
    `role_missing`.
    """
    return parts.db.transact(lambda session: sessions.acting(session, token(parts), needed))


def token(parts: Runtime) -> str:
    """The token of this terminal's session, or nothing."""
    held = parts.settings.kibanda_staff_session
    return held.get_secret_value() if held else ""


def propose(kind: str, evidence: str, about: Callable[[Session], Proposal]) -> None:
    """Propose a case about what `about` finds, in the transaction that finds it, and say so.

    Raises what `about`, `acting` and `cases.propose` raise.
    """
    parts = runtime()
    maker = acting(parts, *cases.ROLES[kind])

    def work(session: Session) -> Case:
        subject, facts = about(session)
        return cases.propose(
            session,
            kind=kind,
            subject=subject,
            facts=facts,
            evidence=evidence,
            maker=maker,
            now=datetime.now(UTC),
        )

    case = parts.db.transact(work)
    click.echo(
        f"{case.reference}: {kind} proposed by {maker.name}; another person must approve it."
    )

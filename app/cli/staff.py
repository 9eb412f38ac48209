"""`staff`: logging in, and the accounts of staff.

Password and code are asked without echo and on stderr: what `login` prints on stdout is one line
for `eval`, and nothing else ever says the token.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.cli import demo_staff
from app.cli.acting import acting, token
from app.cli.output import local, refusing, runtime, table
from app.runtime import Runtime
from app.sealing import Sealer
from app.staff import accounts, credentials, sessions
from app.staff.accounts import ROLES, Role
from app.staff.credentials import Credentials
from app.wallet.keys import new_key

VARIABLE = "KIBANDA_STAFF_SESSION"


@click.group("staff")
def staff() -> None:
    """Who may act: log in, and the accounts of staff."""


@staff.command("login")
@click.argument("name")
@with_appcontext
@refusing
def login(name: str) -> None:
    """Begin to act under your name: eval "$(flask --app app.factory staff login NAME)"."""
    parts = runtime()
    password, code = _ask("Password"), _ask("Code")
    attempt = parts.db.transact(lambda session: sessions.begin(session, name))
    step = sessions.check(
        attempt, seals(parts), password, code, datetime.now(UTC), demo=parts.market.demo
    )
    new = parts.db.transact(lambda session: sessions.start(session, attempt, step))
    click.echo(f"export {VARIABLE}={new}")


@staff.command("logout")
@with_appcontext
@refusing
def logout() -> None:
    """End your session; what it prints takes it out of your shell."""
    parts = runtime()
    parts.db.transact(lambda session: sessions.end(session, token(parts)))
    click.echo(f"unset {VARIABLE}")


@staff.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(ROLES))
@with_appcontext
@refusing
def add(name: str, roles: tuple[Role, ...]) -> None:
    """A new account, whose owner types the password; the first of all needs no session."""
    parts = runtime()
    first = parts.db.transact(accounts.is_first)
    by = None if first else acting(parts, "admin")
    name, staff_id = accounts.written(name), new_key()
    kept, uri = _new_credentials(parts, staff_id, name)

    def work(session: Session) -> accounts.Staff:
        now = datetime.now(UTC)
        return accounts.add(session, staff_id, name, roles, kept, by=by, now=now)

    made = parts.db.transact(work)
    click.echo(f"{made.name}: added, {', '.join(sorted(made.roles))}")
    _show_once(uri)


@staff.command("reset")
@click.argument("name")
@with_appcontext
@refusing
def reset(name: str) -> None:
    """New password and code for another account; its sessions end, a lock is lifted."""
    parts = runtime()
    by = acting(parts, "admin")
    staff_id = parts.db.transact(lambda session: accounts.refuse_own_reset(session, name, by))
    name = accounts.written(name)
    kept, uri = _new_credentials(parts, staff_id, name)
    parts.db.transact(
        lambda session: accounts.reset(session, name, kept, by=by, now=datetime.now(UTC))
    )
    click.echo(f"{name}: reset")
    _show_once(uri)


@staff.command("suspend")
@click.argument("name")
@with_appcontext
@refusing
def suspend(name: str) -> None:
    """Nobody acts under this name from now on."""
    parts = runtime()
    by = acting(parts, "admin")
    parts.db.transact(lambda session: accounts.suspend(session, name, by=by, now=datetime.now(UTC)))
    click.echo(f"{accounts.written(name)}: suspended")


@staff.command("resume")
@click.argument("name")
@with_appcontext
@refusing
def resume(name: str) -> None:
    """A suspended account may log in again."""
    parts = runtime()
    by = acting(parts, "admin")
    parts.db.transact(lambda session: accounts.resume(session, name, by=by, now=datetime.now(UTC)))
    click.echo(f"{accounts.written(name)}: active")


@staff.command("list")
@with_appcontext
@refusing
def show_all() -> None:
    """Every account: roles, state, who made it, when it was last used."""
    parts = runtime()
    rows = [
        {
            "name": one.name,
            "roles": ", ".join(one.roles),
            "state": one.state,
            "made by": one.made_by or "nobody: the first",
            "last seen": local(one.last_seen_at, parts.market) if one.last_seen_at else "never",
        }
        for one in parts.db.transact(accounts.listed)
    ]
    click.echo(table(rows, ["name", "roles", "state", "made by", "last seen"]))


@staff.command("history")
@with_appcontext
@refusing
def history() -> None:
    """Who changed whose account, newest first."""
    parts = runtime()
    rows = [
        {
            "at": local(one.at, parts.market),
            "name": one.name,
            "what": one.what,
            "by": one.by or "nobody: the first",
        }
        for one in parts.db.transact(accounts.history)
    ]
    click.echo(table(rows, ["at", "name", "what", "by"]))


@staff.command("code")
@click.argument("name", type=click.Choice([one.name for one in demo_staff.STAFF]))
@with_appcontext
def show_code(name: str) -> None:
    """The code of a demo account, for the first ten minutes without a phone app."""
    market = runtime().market
    if not market.demo:
        raise click.ClickException(f"market {market.code} is not a demo market")
    click.echo(credentials.code_at(demo_staff.secret_of(name), datetime.now(UTC)))


def seals(parts: Runtime) -> Sealer:
    """What seals TOTP secrets in this installation."""
    return credentials.sealer(parts.settings.pin_key_ring)


def _new_credentials(parts: Runtime, staff_id: UUID, name: str) -> tuple[Credentials, str]:
    """What to store, and the address that a phone app reads."""
    password = _ask(f"Password of {name}", twice=True)
    credentials.refuse_weak(name, password)
    secret = credentials.new_secret()
    kept = credentials.kept(seals(parts), staff_id, password, secret)
    return kept, credentials.uri(name, secret)


def _show_once(uri: str) -> None:
    click.echo("This is shown once. Put it into the phone app of the account's owner:")
    click.echo(uri)


def _ask(what: str, *, twice: bool = False) -> str:
    typed: str = click.prompt(what, hide_input=True, confirmation_prompt=twice, err=True)
    return typed


COMMANDS = (staff,)

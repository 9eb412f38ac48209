"""How commands speak: JSON for machines, aligned columns for people, one sentence on refusal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import click
from flask import current_app

from app.errors import DomainError
from app.health import Unfit
from app.markets import Market
from app.runtime import Runtime
from app.staff.timeline import Happening

# What a refusal means to staff, and what they can do next.
SENTENCES = {
    "account_missing": "PostgreSQL does not run as root, and there is no user `postgres` here.",
    "agent_code_wrong": "This is no agent's code: it has 6 digits, and the last checks the others.",
    "agent_name_invalid": "An agent's name has {least} to {most} characters.",
    "agent_state": "This agent is {state}; that does not fit.",
    "agent_suspended": "This agent, or its person, is not active.",
    "agent_unknown": "No agent has this code.",
    "already_agent": "This person is an agent already.",
    "amount_not_a_number": "Write the amount in digits, for example 1500.50.",
    "amount_too_large": "The most is {most}.",
    "amount_too_small": "The least is {least}.",
    "archive_missing": "There is no folder {folder}; --archive or WAL_ARCHIVE names the archive.",
    "backup_broken": "The backup is not as it was made, beginning with {file}; take another one.",
    "backup_unreadable": "{folder} is no backup of `backup`: its backup.json cannot be read.",
    "backup_url_missing": "BACKUP_DATABASE_URL is not set: a role with REPLICATION.",
    "biller_down": "No answer that can be used, in {seconds} s ({said}). Nothing was paid.",
    "biller_odd": "It answered in {seconds} s, but names nobody ({said}). Nothing was paid.",
    "biller_sells_other": "This biller sells no such product; it has {known}.",
    "biller_slow": "No answer within {seconds} s ({said}); people would hear that it is slow.",
    "biller_unknown": "The market has no such biller; it has {known}.",
    "case_decided": "This case is {state} and stays so; propose a new one.",
    "case_kind_unknown": "This release cannot carry out cases of kind {kind}.",
    "case_open": "There is an open case about this already, {reference}: decide that one first.",
    "case_unknown": "No case has this reference. `case list --all` shows them.",
    "close_has_holds": "Something is open that may bring money back; `person show` lists it.",
    "close_is_agent": "This person is an agent, whose wallet cannot be closed.",
    "credentials_missing": "BILLER_CREDENTIALS has no entry {name}, so nobody can be asked.",
    "customer_number_check": "Its last digit does not fit the others: a typo, most likely.",
    "customer_number_form": "It has not the form of the market file: `billers list --products`.",
    "customer_number_length": "A number of this biller has {digits} digits or letters.",
    "customer_unknown": "It answered in {seconds} s that it knows no {customer}.",
    "database_away": "PostgreSQL does not answer at DATABASE_URL; nothing was changed.",
    "day_not_over": "The day {day} is not over; it can be ordered after midnight.",
    "day_ordered": "The day {day} of {biller} is ordered already: {order}.",
    "debtor_missing": "The market file has no [trust.account], from which orders are paid.",
    "deposit_ended": "This deposit is {state} already.",
    "deposit_unknown": "No deposit on its way has this reference; `trust` lists them.",
    "evidence_missing": "Say how you know: who said what, where, when, in {least} to {most} signs.",
    "exception_action": "This exception cannot be handled by {action}; what fits: {fitting}.",
    "exception_amounts": "The amounts differ; settle that with the biller first.",
    "exception_changed": "It has changed since; `reconcile list` says what it is now.",
    "exception_done": "This exception has ended: {outcome}.",
    "exception_unknown": "There is no such exception; `reconcile list` shows those that wait.",
    "folder_taken": "{folder} is there already; nothing is ever overwritten.",
    "folder_unwritable": "The backup cannot be written there: {said}.",
    "insufficient_funds": "There is not enough: {total} needed, {available} there; nothing moved.",
    "last_admin": "This is the last active admin; make another first.",
    "limit_balance": "The wallet may hold {most} at most; nothing moved.",
    "line_assigned": "This line, or what it would be for, is assigned; withdraw that first.",
    "line_does_not_fit": "The line cannot be for that: {reason}.",
    "line_matched": "This line is matched already.",
    "line_unassigned": "This line is assigned to nothing.",
    "line_unknown": "The bank's statement has no such line; `trust match` lists those that wait.",
    "line_unmatched": "Nothing is proposed for it ({reason}); `trust assign` says what it is.",
    "made_good_before": "The operator has borne this one before.",
    "message_not_waiting": "One of these does not wait for review (any more); nothing was changed.",
    "messages_missing": "Name the messages to {command}, or a --kind of them, and not both.",
    "msisdn_invalid": "This is no telephone number. Write it with + and country, or as dialled.",
    "not_offered_yet": "There is no price list of this market yet for today.",
    "not_paid_late": "This payment is {state}; only a late sale is borne by the operator.",
    "not_quarantined": "No quarantine stands; there is nothing to recover from.",
    "not_returned": "This payment is {state}; only what its biller took back is given back.",
    "not_super_agent": "A super-agent stands above agents only, and nobody else does.",
    "not_your_case": "Only {maker}, who proposed it, withdraws it; you can refuse it.",
    "nothing_due": "The day {day} comes to {amount}; there is nothing to pay.",
    "nothing_owed": "It answered in {seconds} s that nothing is owed.",
    "operator_funds_short": "The operator's own account has only {available}; nothing moved.",
    "order_changed": "The day comes to another amount by now; propose it anew.",
    "order_state": "This order is {state}; that does not fit.",
    "order_unknown": "No order has this reference; `settlement list` shows those on their way.",
    "order_unwritable": "The file cannot be written: {reason}.",
    "outcome_unknown": "It is not known whether this was done: look before you try again.",
    "owner_url_missing": "MIGRATION_DATABASE_URL is not set; its role and database are needed.",
    "own_account": "Nobody resets their own account; ask another admin.",
    "password_guessable": "A name, or the demo's published password, is no password.",
    "password_length": "A password has {least} to {most} characters.",
    "payee_missing": "The market file has no [billers.{biller}.payee].",
    "payee_suspended": "This person may receive nothing now; the line waits.",
    "payment_manual": "The payment {reference} is {state}; nobody asks any more, staff decide.",
    "payment_unknown": "No payment has this reference. `person show` lists those of a person.",
    "payout_ended": "This payout has ended already.",
    "payout_left": "The statement says that it left the bank; only a line can bring it back.",
    "payout_unknown": "No payout has this reference; `trust` lists those on their way.",
    "person_closed": "This wallet is closed already, and empty.",
    "person_state": "The state of this person does not fit; `person show` tells it.",
    "person_suspended": "This person is not active.",
    "person_unknown": "Nobody is registered with {msisdn}.",
    "program_failed": "{program} failed, and nothing was made: {said}.",
    "program_missing": "{program} was not found; POSTGRES_BIN is the folder with it.",
    "proposal_changed": "Somebody changed what this line is for; look again, then confirm.",
    "proposal_missing": "There is no open proposal; somebody must propose first.",
    "proposal_open": "There is an open proposal already: approve it or withdraw it.",
    "quarantined": "The database was restored and is in quarantine; `recover` ends that.",
    "reason_missing": "Say why, for who proposed it: {least} to {most} characters.",
    "reference_elsewhere": "This is something else: `{command} {reference}` shows it.",
    "reference_unknown": "No deposit and no payout has this reference.",
    "report_changed": "Somebody writes into this file; wait until it is whole. Nothing came in.",
    "report_day_known": "Of {biller} the day {day} came in before, as {run}. Nothing came in.",
    "report_day_open": "The day {day} is not over; nothing came in.",
    "report_empty": "There are no lines in it; `--day` says of which day that is.",
    "report_known": "This very file came in before, as {run}.",
    "report_not_described": "The market file has no [billers.{biller}.report].",
    "report_refused": "Refused at {file}:{line}: {reason}. Nothing came in.",
    "report_unreadable": "The file cannot be read: {reason}.",
    "report_wrong_day": "Wrong day at {file}:{line}: {found}, not {day}. Nothing came in.",
    "resolution_does_not_fit": "A payment that is {state} cannot be decided as {decision}.",
    "restore_failed": "Nothing was restored: {said}.",
    "restore_too_early": "This backup ended at {earliest}; take an older one for that instant.",
    "role_missing": "This needs the role {needs}; ask somebody who has it.",
    "run_unknown": "No file has this reference; `reconcile list` shows them.",
    "sale_refunded": "The payer of {reference} has the money back; it is given once.",
    "sale_written_off": "{reference} was written off already: it was a sale after all.",
    "same_person": "Who proposes may not decide; ask somebody else.",
    "server_away": "The server at BACKUP_DATABASE_URL cannot be had: {said}.",
    "slip_invalid": "The number of a slip has {most} letters and digits at most.",
    "staff_code_used": "This code was used; wait for the next one, at most 30 seconds.",
    "staff_locked": "Too many wrong tries; wait {minutes} minutes, or ask an admin for a reset.",
    "staff_login_wrong": "Name, password and code do not fit together; the fifth time locks.",
    "staff_name_invalid": "A name has 2 to 32 of a-z, 0-9, dot, dash, underscore; a letter first.",
    "staff_name_taken": "There is an account of this name; it keeps it for ever.",
    "staff_session_missing": 'Log in first: eval "$(flask --app app.factory staff login NAME)".',
    "staff_session_over": "Your session is over: log in again.",
    "staff_state": "The account {name} is {state} already.",
    "staff_suspended": "Your account is suspended; ask an admin.",
    "staff_unknown": "Nobody has an account named {name}.",
    "statement_changed": "Somebody writes into this file; wait until it is whole. Nothing came in.",
    "statement_gap": "Line {line}: it begins with {found}; the last file ended with {expected}.",
    "statement_known": "This very file came in before.",
    "statement_line_differs": "Line {line}: {id} came in before, with another amount or day.",
    "statement_line_known": "Line {line}: {id} came in before.",
    "statement_refused": "Line {line}: {reason}. Nothing came in.",
    "statement_unreadable": "The file cannot be read: {reason}.",
    "stop_closed": "This stop is {state} already; nothing changes it.",
    "stop_nothing_left": "The payee has nothing left; only a top-up could give it back.",
    "stop_nothing_owed": "Of this stop nothing is owed to the operator.",
    "stop_unknown": "No stop has this reference; `stop list` shows those that wait.",
    "tier_same": "This person is in {tier} already.",
    "tier_unknown": "The market has no such tier; it has {known}.",
    "token_invalid": "A sale has a token of 20 digits; without a sale there is none.",
    "too_many_codes": "Too many codes or wrong documents in the last hour; wait.",
    "top_up_too_large": "The most that can be given on top is {most}.",
    "transfer_reversed": "This transfer was taken back already.",
    "transfer_unknown": "Nothing has this reference. `person show` lists what a person did.",
}

P = ParamSpec("P")
R = TypeVar("R")


def runtime() -> Runtime:
    """The assembled parts of the app that this command runs in."""
    assembled: Runtime = current_app.extensions["kibanda"]
    return assembled


def as_json(value: object) -> str:
    def plain(other: object) -> object:
        if isinstance(other, datetime):
            return other.isoformat()
        if isinstance(other, UUID):
            return str(other)
        raise TypeError(f"{type(other).__name__} has no JSON form here")

    return json.dumps(value, default=plain, indent=2, ensure_ascii=False)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Columns padded to their widest cell, heads first."""
    cells = [[str(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *cells]) for i in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [list(columns), *cells]
    ]
    return "\n".join(lines)


def local(at: datetime, market: Market) -> str:
    """An instant in the market's own time."""
    return at.astimezone(market.zone).strftime("%Y-%m-%d %H:%M:%S")


def happenings_table(happenings: Sequence[Happening], market: Market) -> str:
    """A timeline in the market's local time, with the money in its currency."""
    rows = [
        {
            "at": local(line.at, market),
            "kind": line.kind,
            "total": "" if line.amount_minor is None else market.currency.format(line.amount_minor),
            "what": line.what,
        }
        for line in happenings
    ]
    return table(rows, ["at", "kind", "total", "what"])


class CannotAsk(click.ClickException):
    """The system could not be asked: no answer is not an answer, so not exit code 1."""

    exit_code = 2


def refusing(command: Callable[P, R]) -> Callable[P, R]:
    """A named refusal ends the command with exit code 1 and a sentence, not with a traceback; a
    database that is away, or no place for us to be, with exit code 2.
    """

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Unfit as error:
            raise CannotAsk(str(error)) from error
        except DomainError as error:
            kind = CannotAsk if error.retryable else click.ClickException
            raise kind(_sentence(error)) from error

    return guarded


def _sentence(error: DomainError) -> str:
    sentence = SENTENCES.get(error.code)
    if sentence is None:
        facts = ", ".join(f"{name}={value}" for name, value in error.facts.items())
        return f"{error.code}{f' ({facts})' if facts else ''}"
    return f"{error.code}: {sentence.format(**error.facts)}"

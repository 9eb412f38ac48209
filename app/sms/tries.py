"""The tries of a message, as its row remembers them: claimed, then settled by their outcome.

    due ──claim──▶ sending ──┬──▶ sent       the gateway has it
     ▲                       ├──▶ refused    the gateway never will
     └──── try again ────────┴──▶ gave_up    72 hours are over; alarm

1. The text is rendered once and stored with the first claim, before the first byte leaves; the
   database refuses to change it. So every later try sends the same bytes.
2. A claim is a lease by the database's clock and a fence that only rises. An outcome under an
   older fence is late and changes nothing but the names that the gateway gave.
3. A try of which nobody knows whether the gateway took it is a doubt: an answer was lost, or a
   worker died and its lease ran out. Every try that was taken or is in doubt, beyond the first,
   is a repeat. A try that certainly was not taken is neither.
4. Certain failures are tried again soon; doubts ever more slowly, for each may be one more SMS
   on the phone. Both end with the message's age, but never before its first try.
5. A one-time code is in no stored text: a mark stands there, and the sender fills it in. It is
   derived, so a repeat is the same bytes. A code that is over is not sent any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from app.errors import DomainError
from app.gateways.africastalking_sms import Outcome, Refused, Taken, Unknown
from app.markets import Market
from app.notices import Message
from app.sms import delivery, receipts
from app.sms.receipts import ReceiptError
from app.telemetry import log
from app.text import Catalogues
from app.wallet import codes
from app.wallet.codes import Code

LEASE_SECONDS = 30  # a try ends well within: the gateway bounds its connection and its answer
REFUSED_WAITS_SECONDS = (2, 5, 15, 30, 60, 120, 300, 600)  # the last one repeats, here and below
DOUBT_WAITS_SECONDS = (3, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800)
UNWRITABLE_WAIT_SECONDS = 600  # a sentence is missing; the next release may bring it
GIVE_UP_AFTER = timedelta(hours=72)


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
    """One try that this process may make. It has no repr: the text may hold a token.

    With a `code` the text holds `receipts.CODE_MARK` where its digits belong.
    """

    message_id: UUID
    fence: int
    msisdn: str
    text: str
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """A claim and what came of it."""

    claim: Claim
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Claims:
    """What a claim found: tries to make, and the kinds of messages that it had to give up."""

    tries: tuple[Claim, ...]
    given_up: tuple[str, ...]


def claim(session: Session, catalogues: Catalogues, market: Market, most: int) -> Claims:
    """Lease up to `most` due messages that no other process holds; the caller commits at once."""
    now = _clock(session)
    due = (
        select(Message)
        .where(Message.due_at <= func.clock_timestamp())
        .order_by(Message.due_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    found = session.scalars(due).all()
    tries = (_try(session, message, catalogues, market, now) for message in found)
    return Claims(tuple(claim for claim in tries if claim), _given_up(found))


def record_all(session: Session, tried: Sequence[Tried]) -> dict[UUID, Message]:
    """Settle tries, of each message the latest. What is not in the answer was late: the message has
    been claimed anew or is settled.
    """
    delivery.join_all(
        session,
        {
            one.outcome.provider_id: one.claim.message_id
            for one in tried
            if isinstance(one.outcome, Taken) and one.outcome.provider_id
        },
    )
    by_id = {one.claim.message_id: one for one in sorted(tried, key=lambda one: one.claim.fence)}
    locked = select(Message).where(Message.id.in_(by_id)).order_by(Message.id).with_for_update()
    now = None
    settled = {}
    for message in session.scalars(locked):
        one = by_id[message.id]
        if message.fence == one.claim.fence and message.state == "sending":
            now = now or _clock(session)
            settle(message, one.outcome, now)
            settled[message.id] = message
    return settled


def settle(message: Message, outcome: Outcome, now: datetime) -> None:
    """What the outcome of its open try makes of a message; `now` is the database's clock."""
    message.lease_until = None
    match outcome:
        case Taken(provider_id, cost):
            message.state, message.due_at, message.sent_at = "sent", None, now
            message.provider_id, message.cost, message.last_error = provider_id, cost, None
            message.repeats = message.doubts
        case Refused(reason, permanent=True):
            message.state, message.due_at, message.last_error = "refused", None, reason
        case Refused(reason):
            certain = message.attempts - message.doubts
            _later(message, _nth(REFUSED_WAITS_SECONDS, certain), reason, now)
        case Unknown(reason):
            message.repeats = message.doubts
            message.doubts += 1
            _later(message, _nth(DOUBT_WAITS_SECONDS, message.doubts), reason, now)


def _try(
    session: Session, message: Message, catalogues: Catalogues, market: Market, now: datetime
) -> Claim | None:
    """The claim of a due message; None for one that has to wait, or is over."""
    if not _is_ready(message, now) or not _has_text(message, catalogues, market, now):
        return None
    if "code_id" not in message.facts:
        return _claim(message, None, now)
    try:
        code = codes.outgoing(session, UUID(message.facts["code_id"]))
    except DomainError as over:
        message.state, message.due_at, message.last_error = "gave_up", None, over.code
        log.info("sms_code_over", message_id=str(message.id), reason=over.code)
        return None
    except (ValueError, TypeError, AttributeError, NoResultFound) as error:
        _unwritable(message, type(error).__name__, now)
        return None
    return _claim(message, code, now)


def _is_ready(message: Message, now: datetime) -> bool:
    """Whether a due message may be tried now. One whose worker died may have to wait longer."""
    if message.state == "due":
        return True
    lost_since = now - timedelta(seconds=LEASE_SECONDS)
    settle(message, Unknown("worker_lost"), lost_since)
    log.warning("sms_worker_lost", message_id=str(message.id), doubts=message.doubts)
    return message.due_at is not None and message.due_at <= now


def _has_text(message: Message, catalogues: Catalogues, market: Market, now: datetime) -> bool:
    """Whether a text is stored, rendered now if it never was. What cannot be written waits."""
    if message.text is not None:
        return True
    try:
        message.text = receipts.render(
            catalogues, market, message.kind, message.language, message.facts
        )
    except ReceiptError as error:
        _unwritable(message, str(error), now)
        return False
    return True


def _unwritable(message: Message, why: str, now: datetime) -> None:
    log.error("sms_unwritable", message_id=str(message.id), reason=why)
    _later(message, UNWRITABLE_WAIT_SECONDS, "unwritable", now)


def _claim(message: Message, code: Code | None, now: datetime) -> Claim:
    assert message.text is not None, "a message is written before it is claimed"
    message.state = "sending"
    message.attempts += 1
    message.fence += 1
    message.lease_until = message.due_at = now + timedelta(seconds=LEASE_SECONDS)
    return Claim(message.id, message.fence, message.msisdn, message.text, code)


def _later(message: Message, seconds: int, reason: str, now: datetime) -> None:
    message.last_error = reason
    if now - message.created_at > GIVE_UP_AFTER:
        message.state, message.due_at = "gave_up", None
    else:
        message.state, message.due_at = "due", now + timedelta(seconds=seconds)


def _given_up(messages: Sequence[Message]) -> tuple[str, ...]:
    """The kinds that somebody waits for. A code that was used, or replaced, has been had."""
    return tuple(
        message.kind
        for message in messages
        if message.state == "gave_up" and message.last_error != "code_used"
    )


def _nth(waits: tuple[int, ...], count: int) -> int:
    """The wait after the `count`-th failure, the first being 1."""
    return waits[min(max(count, 1), len(waits)) - 1]


def _clock(session: Session) -> datetime:
    """The database's time: workers on several machines must agree on leases."""
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now

"""What a line of the statement is for, by maker and checker. Only this moves trust_bank.

    line ──proposed──▶ confirmed, which posts it        proposed ──▶ withdrawn

1. A line that names a deposit or a payout is proposed by whoever imported it; any other by whoever
   assigns it. The checker is neither of them: here, and by two constraints of the database.
2. A line is matched once, a deposit by one line, a payout by one line out and one back: unique in
   the database, as is the authority `bank_line:<id>` that the posting spends.
3. A checker confirms what was shown: a proposal that has changed since is refused.

Locks: the payee, the line, its deposit or payout, accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.errors import DomainError
from app.markets.model import Market
from app.wallet import ledger, references
from app.wallet.trust import lines, matches, payees, settlement, targets
from app.wallet.trust.lines import BankLine
from app.wallet.trust.matches import Confirmed, Target
from app.wallet.trust.payees import Payee
from app.wallet.trust.targets import Reason


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a line would be confirmed as; without a target, why nothing is proposed."""

    line: BankLine
    target: Target | None
    reason: Reason | None


def propose(session: Session, currency: str) -> list[Proposal]:
    """All unmatched lines, oldest first, with what each is proposed to be; at most 500."""
    return _proposals(session, lines.unmatched(session, currency))


def proposal(session: Session, line_id: str) -> Proposal:
    """What one line is proposed to be. Raises DomainError `line_unknown`, `line_matched`."""
    line = lines.get(session, line_id)
    if line.posting_id is not None:
        raise DomainError("line_matched")
    return _proposals(session, [line])[0]


def assign(
    session: Session, line_id: str, payee: Payee, *, proposer: str, now: datetime
) -> Proposal:
    """Say that a line is an account's: what came in for an agent, a person or the operator; what
    went out for the operator only.

    Raises DomainError `line_unknown`, `line_matched`, `line_assigned`, `line_does_not_fit` with
    `reason`.
    """
    found = proposal(session, line_id)
    if found.line.amount_minor < 0 and (payee.person_id or payee.agent_id):
        raise DomainError("line_does_not_fit", reason="other_direction")
    target = Target("account", matches.free_reference(session), payee, proposer)
    matches.write(session, line_id, target, now)
    return proposal(session, line_id)


def assign_reference(
    session: Session, line_id: str, reference: str, *, proposer: str, now: datetime
) -> Proposal:
    """Say that a line is this deposit's, payout's or order's, whatever the payer wrote on the slip.

    Raises as `assign`, and DomainError `reference_unknown`.
    """
    line, wanted = proposal(session, line_id).line, references.written(reference)
    named = [one for one in targets.known_by_words(session, [wanted]) if one.reference == wanted]
    if not named:
        raise DomainError("reference_unknown")
    reason = targets.misfit(named[0], line)
    if reason:
        raise DomainError("line_does_not_fit", reason=reason)
    target = targets.target_of(named[0], line, proposer)
    matches.write(session, line_id, target, now)
    return proposal(session, line_id)


def withdraw(session: Session, line_id: str, *, by: str, now: datetime) -> None:
    """Take back what a line was assigned to; nothing moves.

    Raises DomainError `line_unassigned`.
    """
    if not matches.withdraw(session, line_id, by=by, now=now):
        raise DomainError("line_unassigned")


def confirm(
    session: Session, market: Market, shown: Proposal, *, checker: str, now: datetime
) -> Confirmed:
    """Match a line as it was shown, and move the money. The same again answers the same.

    Raises DomainError `line_unmatched` with `reason` (nothing is proposed), `same_person`,
    `line_matched` (as something else, or by another), `proposal_changed`, `line_assigned`,
    `deposit_ended`, `payout_ended`, `order_state`, `payee_suspended`, `agent_suspended`,
    `limit_balance` with `most`, `insufficient_funds` (the operator has not so much). Then nothing
    moved.
    """
    line, target = shown.line, shown.target
    if target is None:
        raise DomainError("line_unmatched", reason=shown.reason)
    if checker in (line.maker, target.proposer):
        raise DomainError("same_person")
    brings_money = settlement.brings_money(line, target)
    if brings_money:
        payees.refuse_unfit(session, target.payee)
    ledger.approve_bank_line(session, line_id=line.id, checker=checker)  # waits for another checker
    if lines.get(session, line.id).posting_id is not None:
        return _done_before(session, shown, checker)
    settlement.lock_subject(session, target)
    if proposal(session, line.id) != shown:
        raise DomainError("proposal_changed")
    if brings_money:
        payees.refuse_over_ceiling(session, market, target.payee, line.amount_minor)
    match_id = target.match_id or matches.write(session, line.id, target, now)
    posting_id = settlement.post(session, market, line, target, match_id=match_id, now=now)
    matches.close(session, match_id, checker=checker, posting_id=posting_id, now=now)
    settlement.follow_up(
        session, market, line, target, match_id=match_id, posting_id=posting_id, now=now
    )
    return Confirmed(line.id, target.kind, target.reference, target.payee, checker, posting_id)


def _done_before(session: Session, shown: Proposal, checker: str) -> Confirmed:
    """A confirmation whose answer was lost is answered again; any other comes too late."""
    done, target = matches.confirmed(session, shown.line.id), shown.target
    assert target
    same = (
        done is not None
        and done.checker == checker
        and (done.kind, done.reference) == (target.kind, target.reference)
    )
    if done is None or not same:
        raise DomainError("line_matched")
    return done


def _proposals(session: Session, found: Sequence[BankLine]) -> list[Proposal]:
    assigned = matches.written_down(session, [line.id for line in found])
    named = targets.by_reference(session, [line for line in found if line.id not in assigned])
    proposals = []
    for line in found:
        judged = assigned.get(line.id) or named[line.id]
        if isinstance(judged, Target):
            proposals.append(Proposal(line, judged, None))
        else:
            proposals.append(Proposal(line, None, judged))
    return proposals

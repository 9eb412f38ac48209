"""The comparison of a biller's day with ours, as sets: no row of it passes through Python.

A line is for the payment that was sent under its reference. It is matched when we captured that
payment, for this amount, and the sale can be of this day: it was sent before the day's end and
captured after its beginning, each with the file's `midnight_minutes` to spare. So a sale near
midnight may stand in either day's file, in one of them.

1. A line that takes a sale back takes away the earliest line of the same reference and amount.
   What is left of a reference is one sale; a further line is a duplicate.
2. Only ours is what we captured, whose last possible day this is, and which no file has had. So a
   sale that could still stand in tomorrow's file is looked for there.
3. A payment is in at most one file: a second one is a duplicate, in whatever file.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markets.model import Market
from app.markets.reports import Report

if TYPE_CHECKING:
    from app.billers.reconciliation.runs import Run

_BEGIN = (
    """CREATE TEMP TABLE report_lines (
        line         integer,
        biller_ref   text COLLATE "C",
        amount_minor bigint,
        sold         boolean,
        standing     text NOT NULL DEFAULT 'sale'
    ) ON COMMIT DROP""",
    """CREATE TEMP TABLE report_verdicts (
        kind         text,
        why          text,
        line         integer,
        biller_ref   text COLLATE "C",
        theirs_minor bigint,
        payment_id   uuid,
        ours_minor   bigint
    ) ON COMMIT DROP""",
)
# Most references stand in a file once, and as a sale: only the others are looked at.
_STAND = text("""
    WITH several AS (
        SELECT biller_ref FROM report_lines
        GROUP BY biller_ref HAVING count(*) > 1 OR NOT bool_and(sold)
    ), counted AS (
        SELECT l.line, l.biller_ref, l.sold,
               row_number() OVER (
                   PARTITION BY l.biller_ref, l.amount_minor, l.sold ORDER BY l.line) AS nth,
               count(*) FILTER (WHERE l.sold) OVER alike AS sold_so_often,
               count(*) FILTER (WHERE NOT l.sold) OVER alike AS undone_so_often
        FROM report_lines l JOIN several USING (biller_ref)
        WINDOW alike AS (PARTITION BY l.biller_ref, l.amount_minor)
    ), placed AS (
        SELECT line, sold, nth, sold_so_often, sold AND nth > undone_so_often AS stays,
               row_number() OVER (
                   PARTITION BY biller_ref, sold AND nth > undone_so_often ORDER BY line) AS at
        FROM counted
    )
    UPDATE report_lines l SET standing = CASE
        WHEN p.stays AND p.at = 1 THEN 'sale'
        WHEN p.stays THEN 'again'
        WHEN NOT p.sold AND p.nth = p.sold_so_often + 1 THEN 'taken_back'
        ELSE 'undone' END
    FROM placed p WHERE p.line = l.line
""")
_JUDGE = text("""
    INSERT INTO report_verdicts (kind, why, line, biller_ref, theirs_minor, payment_id, ours_minor)
    SELECT split_part(v.verdict, '/', 1), split_part(v.verdict, '/', 2), v.line, v.biller_ref,
           v.amount_minor, v.id, v.ours_minor
    FROM (
        SELECT l.line, l.biller_ref, l.amount_minor, p.id, p.amount_minor AS ours_minor,
               CASE
                   WHEN l.standing = 'undone' THEN NULL
                   WHEN l.standing = 'again' THEN 'duplicate/twice'
                   WHEN l.standing = 'taken_back' THEN CASE
                       WHEN p.state IS NULL OR p.state NOT IN ('captured', 'paid_late') THEN NULL
                       WHEN p.amount_minor <> l.amount_minor THEN 'different/taken_back'
                       ELSE 'only_ours/taken_back' END
                   WHEN p.id IS NULL THEN 'only_theirs/not_ours'
                   WHEN p.state IN ('sent', 'unknown', 'manual') THEN 'only_theirs/undecided'
                   WHEN p.state NOT IN ('captured', 'paid_late') THEN 'only_theirs/' || p.state
                   WHEN r.payment_id IS NOT NULL THEN 'duplicate/other_file'
                   WHEN p.amount_minor <> l.amount_minor THEN 'different/amount'
                   WHEN p.first_sent_at >= CAST(:ends AS timestamptz)
                        OR p.state = 'captured' AND p.settled_at < CAST(:starts AS timestamptz)
                   THEN 'different/day'
                   ELSE 'matched/' END AS verdict
        FROM report_lines l
        LEFT JOIN payments p ON p.biller_ref = l.biller_ref AND p.biller = :biller
        LEFT JOIN reconciled_payments r ON r.payment_id = p.id
    ) AS v
    WHERE v.verdict IS NOT NULL
""")
_MATCHED = text("""
    WITH matched AS (
        INSERT INTO reconciled_payments (payment_id, run_id)
        SELECT payment_id, :run FROM report_verdicts WHERE kind = 'matched'
    )
    UPDATE reconciliation_runs SET
        matched = (SELECT count(*) FROM report_verdicts WHERE kind = 'matched'),
        matched_minor = (SELECT coalesce(sum(ours_minor), 0) FROM report_verdicts
                         WHERE kind = 'matched'),
        total_minor = (SELECT coalesce(sum(CASE WHEN sold THEN amount_minor
                                           ELSE -amount_minor END), 0) FROM report_lines)
    WHERE id = :run
""")
_EXCEPTIONS = text("""
    INSERT INTO reconciliation_exceptions (
        run_id, number, biller, kind, why, line, biller_ref, payment_id, ours_minor, theirs_minor,
        opened_at)
    SELECT :run, row_number() OVER (ORDER BY line), :biller, kind, why, line, biller_ref,
           payment_id, ours_minor, theirs_minor, :now
    FROM report_verdicts WHERE kind <> 'matched'
""")
# A payment that already is an exception of some file is not missing from this one.
_ONLY_OURS = text("""
    INSERT INTO reconciliation_exceptions (
        run_id, number, biller, kind, why, biller_ref, payment_id, ours_minor, opened_at)
    SELECT :run, row_number() OVER (ORDER BY p.settled_at, p.id) + (
               SELECT count(*) FROM report_verdicts WHERE kind <> 'matched'),
           :biller, 'only_ours', 'missing', p.biller_ref, p.id, p.amount_minor, :now
    FROM payments p
    WHERE p.biller = :biller AND p.state = 'captured'
      AND p.settled_at >= CAST(:last_from AS timestamptz)
      AND p.settled_at < CAST(:last_to AS timestamptz)
      AND NOT EXISTS (SELECT FROM reconciled_payments r WHERE r.payment_id = p.id)
      AND NOT EXISTS (SELECT FROM reconciliation_exceptions e WHERE e.payment_id = p.id)
""")


def begin(session: Session) -> None:
    """The tables of this transaction alone, for the lines and what is said of each."""
    for statement in _BEGIN:
        session.execute(text(statement))


def match(session: Session, market: Market, rules: Report, run: Run) -> None:
    """Judge the lines that were copied in; what fits and what does not is written down."""
    starts = datetime.combine(run.day, time(), market.zone)
    ends = datetime.combine(run.day + timedelta(days=1), time(), market.zone)
    spare = timedelta(minutes=rules.midnight_minutes)
    session.execute(text("ANALYZE report_lines"))
    session.execute(_STAND)
    facts = {"biller": run.biller, "starts": starts - spare, "ends": ends + spare}
    session.execute(_JUDGE, facts)
    session.execute(_MATCHED, {"run": run.id})
    facts = {"run": run.id, "biller": run.biller, "now": run.made_at}
    session.execute(_EXCEPTIONS, facts)
    last = {"last_from": starts - spare, "last_to": ends - spare}
    session.execute(_ONLY_OURS, facts | last)

"""Files of billers that arrive by themselves: a folder for each, looked at by the schedule.

    <folder>/stima/2026-11-26.csv ─┬─▶ <folder>/stima/done/       it was compared
                                   └─▶ <folder>/stima/refused/    with the reason beside it

A file is taken when nobody has written into it for a while. One whose run was committed and whose
move was not is known the next time, by its bytes, and then moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.billers.reconciliation import exceptions, runs
from app.billers.reconciliation.runs import Run
from app.db import Database
from app.errors import DomainError
from app.markets.model import Market
from app.telemetry import log

QUIET_SECONDS = 60
MAKER = "schedule"
DONE, REFUSED = "done", "refused"


def inbox(db: Database, market: Market, folder: str | Path, now: datetime) -> int:
    """Take the oldest file that waits, one a call; how many were compared.

    Also ends exceptions whose payments were decided. Nothing where no folder is set.
    """
    db.transact(lambda session: exceptions.settle(session, now))
    if not folder:
        return 0
    for biller, path in _waiting(market, Path(folder), now):
        return int(_take(db, market, biller, path, now))
    return 0


def _waiting(market: Market, folder: Path, now: datetime) -> Iterator[tuple[str, Path]]:
    """Files that are whole, oldest first."""
    found = [
        (path.stat().st_mtime, biller, path)
        for biller, rules in market.billers.items()
        if rules.report is not None and (folder / biller).is_dir()
        for path in (folder / biller).iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".part"
    ]
    for modified, biller, path in sorted(found):
        if modified <= now.timestamp() - QUIET_SECONDS:
            yield biller, path


def _take(db: Database, market: Market, biller: str, path: Path, now: datetime) -> bool:
    def work(session: Session) -> Run:
        return runs.take(session, market, biller, path, maker=MAKER, now=now)

    try:
        run = db.transact(work)
    except DomainError as error:
        if error.retryable:
            raise
        if error.code == "report_known" and _was_taken(db, path, str(error.facts["run"])):
            _move(path, DONE)
            return False
        log.error("report_refused", biller=biller, file=path.name, reason=error.code)
        facts = ", ".join(f"{name}={value}" for name, value in error.facts.items())
        refused = _move(path, REFUSED)
        refused.with_name(f"{refused.name}.why").write_text(f"{error.code} {facts}\n")
        return False
    _move(path, DONE)
    log.info("report_taken", biller=biller, run=run.reference, lines=run.lines, matched=run.matched)
    return True


def _was_taken(db: Database, path: Path, reference: str) -> bool:
    """Whether it is this very file, of which the schedule never heard that it was taken."""
    taken = select(Run.file_name).where(Run.reference == reference, Run.maker == MAKER)
    return db.transact(lambda session: session.scalar(taken)) == path.name


def _move(path: Path, folder: str) -> Path:
    """Into a folder beside it, under a name that is free."""
    target = path.parent / folder
    target.mkdir(exist_ok=True)
    place, count = target / path.name, 1
    while place.exists():
        place, count = target / f"{path.stem}-{count}{path.suffix}", count + 1
    return path.rename(place)

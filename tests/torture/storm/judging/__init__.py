"""The verdict over a storm, by what the outside saw beside what the books say.

evidence   phones, billers, the SMS gateway, the bank, the weather
books      the tables, by plain queries of our own
ledger     I1 I2 I3 I10, and I4 for keys
bills      I5 I6
receipts   I7
phones     I8, and I4, I3 as a phone sees them
secrets    I9
due        I11
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import psycopg

from app.markets import Market
from app.runtime import Runtime
from app.text import Catalogues
from app.wallet import ledger as product
from tests.torture.storm.caller import Lost, Over, Person
from tests.torture.storm.crowd import Crowd
from tests.torture.storm.journal import Journal
from tests.torture.storm.judging import bills, due, evidence, ledger, phones, receipts, secrets
from tests.torture.storm.judging.books import Books
from tests.torture.storm.judging.evidence import Evidence
from tests.torture.storm.judging.phones import Reader
from tests.torture.storm.wording import Wording
from tests.world import World

SHOWN_MOST = 12  # of each sort
PEOPLE_FOR_ONE = 40  # of so many people one at least must have heard what became of a confirmation


def judge(world: World, parts: Runtime, journal: Journal, crowd: Crowd) -> list[str]:
    """What is wrong, a line each; everything must be up, and at rest."""
    seen = gather(world, parts, journal, crowd)
    print(seen.told(), flush=True)
    wrong = [f"crowd: {broken}" for broken in crowd.broken]
    if seen.answered < len(crowd.everyone) // PEOPLE_FOR_ONE:
        wrong.append(f"crowd: {seen.answered} confirmations were answered, which proves nothing")
    wrong += [
        f"I2: verify, {one.rule} {one.subject}: {one.detail}"
        for one in parts.db.transact(product.verify)
    ]
    with psycopg.connect(parts.settings.database_url, autocommit=True) as line:
        return wrong + verdict(Books(line), seen, parts.market, parts.catalogues)


def gather(world: World, parts: Runtime, journal: Journal, crowd: Crowd) -> Evidence:
    """All that the outside knows, after everybody has dialled once more."""
    crowd.lookout.stop()
    redials = {who.msisdn: screen for who in crowd.everyone if (screen := _redial(crowd, who))}
    seen = evidence.collect(world, journal.records())
    seen.redials = redials
    seen.secrets = crowd.secrets
    seen.stores = secrets.stores(world, parts)
    return seen


def verdict(books: Books, seen: Evidence, market: Market, catalogues: Catalogues) -> list[str]:
    """What is wrong, by the evidence beside the books."""
    sms, reader = Wording(catalogues, ("sms.",), "en"), Reader(catalogues)
    read = {text: sms.read(text) for text in {taken["text"] for taken in seen.taken}}
    rules: tuple[Iterable[str], ...] = (
        ledger.zero_sum(books),
        ledger.replayed(books),
        ledger.as_told(books, seen, read),
        ledger.bounds(books, market),
        phones.tries_are_counted(seen),
        ledger.one_posting_a_key(books),
        phones.same_bytes(seen, reader),
        bills.finished(books, market),
        bills.sold_once(books, seen),
        bills.given_back(books, market),
        receipts.told(books, seen, read),
        phones.shown_is_true(books, seen, reader),
        phones.redials_tell(books, seen, reader),
        phones.answered(seen),
        secrets.no_secret(seen, read),
        ledger.identity(books, seen, market.currency.code),
        due.in_time(seen),
    )
    return [line for rule in rules for line in _first(rule)]


def _first(found: Iterable[str]) -> Iterable[str]:
    """The first few, and how many more there are: a broken rule breaks often."""
    some = iter(found)
    yield from islice(some, SHOWN_MOST)
    more = sum(1 for _ in some)
    if more:
        yield f"and {more} more like that"


def _redial(crowd: Crowd, who: Person) -> str:
    """The first screen after all is over; "" where none came."""
    try:
        return crowd.caller(who).dial()
    except (Lost, Over):
        return ""

"""I8, and I4 and I3 as a phone sees them: what was shown is true, is durable, and is said once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta

from app.text import Catalogues
from tests.torture.storm.caller import FLOWS
from tests.torture.storm.judging.books import Books, Movement
from tests.torture.storm.judging.evidence import Answer, Confirmation, Evidence, Hop
from tests.torture.storm.wording import Said, Wording

SAME_DIAL_SECONDS = 8.0  # a first hop that comes later than that again is a new call
NEWS_SECONDS = 14 * 60
AT_ONCE_SECONDS = 1.0  # both phones of one number wait for each other before the PIN
REDIS_MARGIN_SECONDS = 3.0  # what its log may have lost, and the hop that was on its way
PAID = ("bill.paid", "bill.more_tokens", "bill.served")
UNDER_WAY = ("bill.accepted", "bill.progress", "bill.manual")
GIVEN_BACK = ("bill.returned", "bill.cancelled")
TRUE_IN: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PAID, ("captured", "returned")),
    "bill.returned": ("released", "paid_late"),
    "bill.cancelled": ("cancelled",),
}
OF_ANOTHER = ("just_paid", "bill_used")  # says nothing of this very confirmation
OF_SESSIONS = ("redis", "redis was flushed", "flush", "kill_all", "disk", "web-redis")
LOCK_SECONDS_MOST = 1_500.0
# Sentences that say nothing of what was done, and end the session.
SORRY = (
    "engine.dial_again", "engine.busy", "engine.away", "engine.database_away",
    "engine.outcome_unknown", "engine.error", "engine.refused",
)  # fmt: skip
_LEFT = re.compile(r"Wrong PIN\. Tries left: (\d)\.")


class Reader:
    """Puts the screens of the phones into words again."""

    def __init__(self, catalogues: Catalogues) -> None:
        outcomes = (
            *(f"menus.{name}" for name in (*PAID, *UNDER_WAY, *GIVEN_BACK)),
            *(f"menus.{flow}.done" for flow in FLOWS),
            "menus.news.", "refusals.", "engine.",
        )  # fmt: skip
        self._screens = Wording(catalogues, outcomes, "en")
        self._news = Wording(catalogues, ("menus.news.",), "en")
        self._known: dict[str, Said | None] = {}

    def screen(self, text: str) -> Said | None:
        if text not in self._known:
            self._known[text] = self._screens.read(text)
        return self._known[text]

    def news(self, text: str) -> Said | None:
        """The first line of a dial, where it tells of the last confirmation."""
        return self._news.read(text.partition("\n")[0])

    def reference(self, body: str) -> str:
        """Of the outcome that an answer tells; "" where it tells none."""
        said = self.screen(body.partition(" ")[2])
        return said.reference if said else ""

    def is_sorry(self, text: str) -> bool:
        said = self.screen(text)
        return said is not None and said.key in SORRY


def shown_is_true(books: Books, evidence: Evidence, reader: Reader) -> Iterator[str]:
    """I8: success that a phone saw is in the books, as it was agreed to; "nothing was taken" is
    true; and one confirmation is there once at most.
    """
    keys = set()
    for one in evidence.confirmations:
        rows = books.by_key.get(one.key, [])
        if one.key not in keys and len(rows) > 1:
            yield f"I8: {one} is in the books {len(rows)} times"
        keys.add(one.key)
        for answer in evidence.answers_to(one.session, one.hop):
            said = reader.screen(answer.screen)
            if said is not None:
                yield from _claim(one, rows, said)
    for movement in books.movements:
        if movement.key not in keys and (movement.flow != "voucher_collect" or movement.by_agent):
            yield f"I8: {movement.name} is in the books, and no phone agreed to it"


def _claim(one: Confirmation, rows: list[Movement], said: Said) -> Iterator[str]:
    name = said.key.removeprefix("menus.")
    success = name in (*PAID, *UNDER_WAY, *GIVEN_BACK) or name.endswith(".done")
    if success:
        row = next((row for row in rows if row.reference == said.reference), None)
        if row is None:
            yield f"I8: {one} was told {name} {said.reference}, which the books do not have"
            return
        if (row.amount_minor, row.fee_minor) != (one.amount_minor, one.fee_minor):
            yield f"I8: {one} with a fee of {one.fee_minor} became {row.name}, fee {row.fee_minor}"
        if row.state not in TRUE_IN.get(name, (row.state,)):
            yield f"I8: {one} was told {name}, and is {row.state}"
        if name.endswith(".done") and row.took_minor != row.total_minor:
            yield f"I8: {one} was told {name}, the ledger took {row.took_minor}"
    elif _says_nothing_taken(said) and rows:
        yield f"I8: {one} was told {said.key}, and {rows[0].name} is in the books"


def _says_nothing_taken(said: Said) -> bool:
    if said.key == "menus.news.not_done":
        return True
    reason = said.key.removeprefix("refusals.")
    return said.key.startswith("refusals.") and reason not in OF_ANOTHER


def redials_tell(books: Books, evidence: Evidence, reader: Reader) -> Iterator[str]:
    """I8: what a redial says of the last confirmation is so; after all is over it says which."""
    for hop in evidence.hops.values():
        if hop.number == 0:
            for answer in hop.said:
                yield from _news_are_true(books, hop.msisdn, reader.news(answer.screen))
    for one in evidence.confirmations:
        before, after = _news_around(evidence, reader, one)
        if after == "not_done" and before != "not_done" and books.by_key.get(one.key):
            yield f"I8: a redial said that {one} was not done, and it is in the books"
    last = {one.msisdn: one for one in evidence.confirmations}
    for one in last.values():
        words = [
            list(_last_word(books, evidence, reader, each)) for each in _at_once(evidence, one)
        ]
        if all(words):
            yield from words[0]


def _news_are_true(books: Books, msisdn: str, said: Said | None) -> Iterator[str]:
    if said is None or not said.reference:
        return
    row = books.by_reference.get(said.reference)
    if row is None or row.actor != msisdn:
        yield f"I8: {msisdn} was told of {said.reference}, which is not theirs"
    elif said.minor.get("amount") != row.amount_minor:
        yield f"I8: {msisdn} was told of {row.name} as {said.facts['amount']}"
    elif said.key == "menus.news.paid" and row.state not in ("captured", "returned"):
        yield f"I8: {msisdn} was told that {row.name} is paid, it is {row.state}"


def _news_around(
    evidence: Evidence, reader: Reader, one: Confirmation
) -> tuple[str | None, str | None]:
    """What the dial of a confirmation's own session said, and what the next dial after it said;
    None where another confirmation of the same number stood between.
    """
    hops = evidence.hops_of(one.msisdn)
    mine = evidence.hops.get((one.session, one.hop))
    began = evidence.hops.get((one.session, 0))
    if mine is None or began is None:
        return None, None
    over = max(answer.at for answer in mine.answers)
    after = next((hop for hop in hops if hop.number == 0 and hop.sent_at > over), None)
    if after is None or not after.said or not began.said:
        return None, None
    others = [
        other for other in evidence.confirmations
        if other.msisdn == one.msisdn and other is not one
        and began.sent_at < other.at < after.said[0].at
    ]  # fmt: skip
    seen_at = after.said[0].at
    if others or evidence.given_up(one.msisdn, began.sent_at, seen_at, but_of=one.session):
        return None, None
    return _news_key(reader, began.said[0]), _news_key(reader, after.said[0])


def _news_key(reader: Reader, answer: Answer) -> str:
    said = reader.news(answer.screen)
    return said.key.removeprefix("menus.news.") if said else ""


def _at_once(evidence: Evidence, one: Confirmation) -> list[Confirmation]:
    """It, and those of another phone at the same moment: which of them was the last is open."""
    others = [
        other for other in evidence.confirmations
        if other.msisdn == one.msisdn and other.session != one.session
        and one.at - other.at < AT_ONCE_SECONDS
    ]  # fmt: skip
    return [one, *others]


def _last_word(
    books: Books, evidence: Evidence, reader: Reader, one: Confirmation
) -> Iterator[str]:
    """After the storm a dial tells what became of somebody's last confirmation; of one that was
    given up since, it tells that.
    """
    redial = evidence.redials.get(one.msisdn)
    if redial is None:
        yield f"I8: {one.msisdn} could not dial after the storm"
        return
    said = reader.news(redial)
    rows = books.by_key.get(one.key, [])
    if not rows or books.now - rows[0].created_at > timedelta(seconds=NEWS_SECONDS):
        return
    if said and said.key == "menus.news.not_done" and evidence.given_up(one.msisdn, one.at):
        return
    if said is None or said.key in ("menus.news.not_done", "menus.news.open"):
        yield f"I8: after the storm a redial says {said and said.key} of {rows[0].name}"
        return
    told = books.by_reference.get(said.reference)
    if told is not None and told.created_at < rows[0].created_at:
        yield f"I8: after the storm a redial tells of {told.name}, which was before {rows[0].name}"


def same_bytes(evidence: Evidence, reader: Reader) -> Iterator[str]:
    """I4: a hop that was delivered again got the same bytes, or those of the session's last answer;
    where Redis was lost between, the same outcome.
    """
    sessions = defaultdict[str, list[Hop]](list)
    for hop in evidence.hops.values():
        sessions[hop.session].append(hop)
    for hop in evidence.hops.values():
        newer = [other for other in sessions[hop.session] if other.number > hop.number]
        last = {answer.body for other in newer for answer in other.said}
        outcomes = {reader.reference(body) for body in last} - {""}
        first = hop.said[0] if hop.said else None
        for other in hop.said[1:]:
            assert first
            if other.body == first.body or other.body in last:
                continue
            if reader.reference(other.body) in outcomes:
                continue  # it came while the outcome was waited for
            if not _may_differ(evidence, reader, hop, first, other):
                yield (
                    f"I4: hop {hop.number} of {hop.session} was answered {first.body[:60]!r},"
                    f" delivered again ({other.delivery}) {other.body[:60]!r}"
                )


def _may_differ(evidence: Evidence, reader: Reader, hop: Hop, first: Answer, other: Answer) -> bool:
    if reader.is_sorry(first.screen) or reader.is_sorry(other.screen):
        return True
    outcome = reader.reference(first.body)
    if outcome:  # it stays one, whatever Redis has lost: "in progress" may become "paid"
        return outcome == reader.reference(other.body)
    if hop.number == 0 and other.sent_at - first.at > SAME_DIAL_SECONDS:
        return True
    began = min(first.sent_at, other.sent_at) - REDIS_MARGIN_SECONDS
    return evidence.troubled(began, max(first.at, other.at), *OF_SESSIONS)


def tries_are_counted(evidence: Evidence) -> Iterator[str]:
    """I3: a wrong PIN costs a try, whatever was lost since: who never types a right one hears each
    number of tries left once.
    """
    right = {record["msisdn"] for record in evidence.of("agreed", "pin")}
    heard = defaultdict[tuple[str, int], list[float]](list)
    for wrong in evidence.of("mistyped"):
        answers = evidence.answers_to(wrong["session"], wrong["hop"])
        left = _LEFT.search(answers[0].screen) if answers else None  # later ones may be of others
        if left and wrong["msisdn"] not in right:
            heard[wrong["msisdn"], int(left[1])].append(wrong["at"])
    for (msisdn, tries), times in heard.items():
        if len(times) > 1 and times[-1] - times[0] < LOCK_SECONDS_MOST:
            yield f"I3: {msisdn} had {tries} tries left {len(times)} times, and no right PIN"


def answered(evidence: Evidence) -> Iterator[str]:
    """I8: a phone hears a sentence or nothing, never an error of ours."""
    for hop in evidence.hops.values():
        for answer in hop.answers:
            if answer.status and not answer.came:
                yield f"I8: hop {hop.number} of {hop.session} was answered {answer.status}"

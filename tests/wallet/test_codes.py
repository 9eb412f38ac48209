"""One-time codes: counted before they are looked at, used once, stored nowhere."""

from __future__ import annotations

import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db import Database
from app.errors import DomainError
from app.wallet import codes
from app.wallet.codes import Code, Codes
from app.wallet.keys import new_key

KEYS = {version: secrets.token_bytes(32) for version in (1, 2, 9)}
DIGITS = 6


def codes_with(*versions: int) -> Codes:
    return Codes({version: KEYS[version] for version in versions})


@dataclass
class Lock:
    """One code as a counter uses it, each step in a transaction of its own."""

    db: Database
    owner: Database
    codes: Codes
    id: UUID = field(default_factory=new_key)
    subject: UUID = field(default_factory=new_key)

    def issue(self, *, tries: int = 3, seconds: int = 300, digits: int = DIGITS) -> None:
        now = datetime.now(UTC)
        self.db.transact(
            lambda s: self.codes.issue(
                s,
                self.id,
                purpose="otp",
                subject=self.subject,
                digits=digits,
                tries=tries,
                expires_at=now + timedelta(seconds=seconds),
                now=now,
            )
        )

    def code(self) -> str:
        """What the SMS says."""
        return self.codes.digits(self.db.transact(lambda s: codes.outgoing(s, self.id)))

    def wrong(self) -> str:
        return f"{(int(self.code()) + 1) % 10**DIGITS:0{DIGITS}d}"

    def knock(self, typed: str) -> str:
        """Try a code without using it: `right`, or the refusal."""
        try:
            attempt = self.db.transact(lambda s: self.codes.begin(s, self.id))
            self.codes.check(attempt, typed)
        except DomainError as error:
            return " ".join([error.code, *map(str, error.facts.values())])
        return "right"

    def use(self, now: datetime | None = None) -> str:
        moment = now or datetime.now(UTC)
        try:
            self.db.transact(lambda s: self.codes.use(s, self.id, moment))
        except DomainError as error:
            return error.code
        return "used"

    def withdraw(self) -> None:
        self.db.transact(lambda s: self.codes.withdraw(s, self.id, datetime.now(UTC)))

    def row(self) -> Any:
        query = text("SELECT * FROM one_time_codes WHERE id = :id")
        return self.db.transact(lambda s: s.execute(query, {"id": self.id}).one())

    def change(self, what: str) -> None:
        """Somebody writes into the table."""
        query = text(f"UPDATE one_time_codes SET {what} WHERE id = :id")
        self.owner.transact(lambda s: s.execute(query, {"id": self.id}))


@pytest.fixture
def lock(ledger_db: Database, owner_db: Database) -> Lock:
    lock = Lock(ledger_db, owner_db, codes_with(1))
    lock.issue()
    return lock


def test_a_right_code_passes_and_is_used_once(lock: Lock) -> None:
    code = lock.code()
    assert (len(code), code.isdecimal()) == (DIGITS, True)
    assert lock.knock(code) == "right"
    assert lock.use() == "used"
    assert [lock.use(), lock.knock(code)] == ["code_used", "code_used"]
    with pytest.raises(DomainError, match="code_used"):
        lock.code()


def test_a_right_code_is_counted_too_but_not_used_up_by_looking(lock: Lock) -> None:
    assert [lock.knock(lock.code()) for _ in range(3)] == ["right"] * 3
    assert lock.knock("000000") == "code_locked"
    assert lock.use() == "used", "who was right at the last try may act"


def test_the_third_wrong_one_locks_and_then_the_right_one_is_refused_too(lock: Lock) -> None:
    right, wrong = lock.code(), lock.wrong()
    said = [lock.knock(wrong) for _ in range(4)]
    assert said == ["code_wrong 2", "code_wrong 1", "code_locked", "code_locked"]
    assert lock.knock(right) == "code_locked"
    with pytest.raises(DomainError, match="code_locked"):
        lock.code()


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "12 345"])
def test_what_is_no_code_is_wrong_and_costs_a_try(lock: Lock, typed: str) -> None:
    assert lock.knock(typed) == "code_wrong 2"


def test_a_code_ends_by_the_clock_of_the_database(lock: Lock) -> None:
    code, tries = lock.code(), lock.row().tries_left
    lock.change("expires_at = clock_timestamp(), created_at = created_at - interval '1 hour'")
    assert [lock.knock(code), lock.use()] == ["code_expired", "code_expired"]
    assert lock.row().tries_left == tries
    with pytest.raises(DomainError, match="code_expired"):
        lock.code()


def test_a_code_that_was_withdrawn_is_worth_nothing(lock: Lock) -> None:
    code = lock.code()
    lock.withdraw()
    assert [lock.knock(code), lock.use()] == ["code_used", "code_used"]
    other = Lock(lock.db, lock.owner, lock.codes)
    other.issue()
    other.use()
    other.withdraw()
    assert other.row().state == "used", "what was used is not taken back"


def test_issuing_again_changes_nothing(lock: Lock) -> None:
    code = lock.code()
    lock.knock("000000")
    lock.codes = codes_with(1, 9)
    lock.issue(tries=9, seconds=600)
    assert (lock.row().tries_left, lock.row().key_version, lock.code()) == (2, 1, code)


def test_of_ten_threads_with_the_right_code_one_acts(lock: Lock) -> None:
    assert lock.knock(lock.code()) == "right"
    barrier = Barrier(10)

    def one(_: int) -> str:
        barrier.wait(10)
        return lock.use()

    with ThreadPoolExecutor(10) as pool:
        said = Counter(pool.map(one, range(10)))
    assert said == {"used": 1, "code_used": 9}


def test_twenty_threads_never_get_more_than_three_checks(lock: Lock) -> None:
    barrier = Barrier(20)

    def one(_: int) -> int | str:
        barrier.wait(10)
        try:
            return lock.db.transact(lambda s: lock.codes.begin(s, lock.id)).left
        except DomainError as error:
            return error.code

    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(one, range(20)))
    assert sorted(left for left in got if left != "code_locked") == [0, 1, 2]
    assert got.count("code_locked") == 17


def test_a_try_counts_even_if_the_process_dies_before_the_check(lock: Lock) -> None:
    for _ in range(3):
        lock.db.transact(lambda s: lock.codes.begin(s, lock.id))
    assert lock.knock(lock.row().id.hex[:6]) == "code_locked"


@pytest.mark.parametrize(
    "what",
    [
        "subject = gen_random_uuid()",
        "purpose = 'voucher'",
        "id = gen_random_uuid()",
        "digits = 7",
    ],
)
def test_a_code_belongs_to_its_row(lock: Lock, what: str) -> None:
    """Who can write to the table can turn no code into another one's."""
    before = lock.db.transact(lambda s: codes.outgoing(s, lock.id))
    found = lock.owner.transact(
        lambda s: s.execute(
            text(f"UPDATE one_time_codes SET {what} WHERE id = :id RETURNING *"), {"id": lock.id}
        ).one()
    )
    after = Code(found.id, found.purpose, found.subject, found.digits, found.key_version)
    assert lock.codes.digits(after) != lock.codes.digits(before)


def test_keys_are_rotated_by_adding_a_higher_version(lock: Lock) -> None:
    code = lock.code()
    lock.codes = codes_with(9, 1, 2)
    assert (lock.code(), lock.row().key_version) == (code, 1), "an old one stays as it was sent"
    new = Lock(lock.db, lock.owner, lock.codes)
    new.issue()
    assert new.row().key_version == 9
    assert Codes({9: KEYS[1]}).digits(Code(new.id, "otp", new.subject, DIGITS, 9)) != new.code(), (
        "another key gives another code"
    )


def test_codes_are_spread_evenly_and_keep_their_zeros() -> None:
    found = codes_with(1)
    many = [found.digits(Code(new_key(), "otp", new_key(), 6, 1)) for _ in range(20_000)]
    assert {len(code) for code in many} == {6}
    firsts = Counter(code[0] for code in many)
    assert set(firsts) == set("0123456789")
    assert max(firsts.values()) < 1.15 * min(firsts.values())
    assert len(set(many)) > 19_500


def test_the_application_may_not_change_what_a_code_is_made_of(lock: Lock) -> None:
    for what in ("subject = id", "expires_at = now()", "key_version = 2", "digits = 6"):
        query = text(f"UPDATE one_time_codes SET {what} WHERE id = :id")
        with pytest.raises(DBAPIError, match="permission denied"):
            lock.db.transact(lambda s, q=query: s.execute(q, {"id": lock.id}))
    with pytest.raises(DBAPIError, match="permission denied"):
        lock.db.transact(lambda s: s.execute(text("DELETE FROM one_time_codes")))


def test_the_number_of_a_document_is_kept_as_a_keyed_hash() -> None:
    kept = codes_with(1).documents.make("12345678")
    assert b"12345678" not in kept
    assert codes_with(1, 9).documents.match(kept, "12345678")
    assert not codes_with(1, 9).documents.match(kept, "12345679")
    assert kept[2:] != Codes({1: KEYS[2]}).documents.make("12345678")[2:]
    with pytest.raises(ValueError, match="no key of version 1"):
        codes_with(9).documents.match(kept, "12345678")

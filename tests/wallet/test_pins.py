"""PINs: counted before they are looked at, sealed for one person, refused when a thief's guess."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db import Database
from app.errors import DomainError
from app.markets.model import PinRules
from app.sealing import Sealer
from app.settings import Settings
from app.wallet import people
from app.wallet.keys import new_key
from app.wallet.pins import HISTORY, WEAK, Pins, locked_minutes
from tests.people import fresh_msisdn

RULES = PinRules(length=4, tries=3, lock_seconds=1800)
RIGHT, WRONG = "7391", "2846"
KEYS = {version: secrets.token_bytes(32) for version in (1, 2, 9)}
Add = Callable[[], UUID]


def pins_with(*versions: int) -> Pins:
    return Pins(Sealer({version: KEYS[version] for version in versions}), RULES)


@dataclass
class Door:
    """One person's PIN as the menus use it, each step in a transaction of its own."""

    db: Database
    owner: Database
    pins: Pins
    person_id: UUID

    def set(self, pin: str = RIGHT) -> None:
        sealed = self.pins.seal(self.person_id, pin)
        now = datetime.now(UTC)
        self.db.transact(lambda s: self.pins.put(s, self.person_id, sealed, now))

    def knock(self, pin: str) -> str:
        """Try a PIN: `open`, or the refusal with its one fact."""
        try:
            attempt = self.db.transact(lambda s: self.pins.begin(s, self.person_id))
            self.pins.check(attempt, pin)
        except DomainError as error:
            ((_, fact),) = error.facts.items()
            return f"{error.code} {fact}"
        self.db.transact(lambda s: self.pins.passed(s, self.person_id))
        return "open"

    def crash(self) -> None:
        """A try of a process that was killed after the count and before the check."""
        self.db.transact(lambda s: self.pins.begin(s, self.person_id))

    def row(self) -> Any:
        query = text("SELECT *, locked_until IS NOT NULL AS locked FROM pins WHERE person_id = :id")
        return self.db.transact(lambda s: s.execute(query, {"id": self.person_id}).one())

    def time_passes(self, minutes: int) -> None:
        """As if the lock had been set that much earlier."""
        query = text(
            "UPDATE pins SET locked_until = locked_until - make_interval(mins => :minutes)"
            " WHERE person_id = :id"
        )
        self.owner.transact(lambda s: s.execute(query, {"minutes": minutes, "id": self.person_id}))


@pytest.fixture
def add(ledger_db: Database) -> Add:
    def person() -> UUID:
        person_id = new_key()
        ledger_db.transact(
            lambda session: people.register(
                session,
                person_id=person_id,
                msisdn=fresh_msisdn(),
                name="Asha Mwangi",
                language="en",
                tier="tier0",
                currency="KES",
                now=datetime.now(UTC),
            )
        )
        return person_id

    return person


@pytest.fixture
def door(ledger_db: Database, owner_db: Database, add: Add) -> Door:
    door = Door(ledger_db, owner_db, pins_with(1), add())
    door.set()
    return door


def test_a_right_pin_opens_and_clears_the_count(door: Door) -> None:
    assert [door.knock(WRONG), door.knock(WRONG)] == ["pin_wrong 2", "pin_wrong 1"]
    assert door.row().attempts == 2
    assert door.knock(RIGHT) == "open"
    assert (door.row().attempts, door.row().locked) == (0, False)
    assert [door.knock(WRONG), door.knock(RIGHT)] == ["pin_wrong 2", "open"]


def test_the_third_wrong_one_locks_and_then_the_right_one_is_refused_too(door: Door) -> None:
    said = [door.knock(WRONG) for _ in range(4)]
    assert said == ["pin_wrong 2", "pin_wrong 1", "pin_locked 30", "pin_locked 30"]
    assert [door.knock(RIGHT) for _ in range(3)] == ["pin_locked 30"] * 3
    assert door.row().attempts == 3, "a try while locked costs nothing and lengthens nothing"


def test_a_right_pin_at_the_last_try_opens(door: Door) -> None:
    door.knock(WRONG)
    door.knock(WRONG)
    assert door.knock(RIGHT) == "open"
    assert (door.row().attempts, door.row().locked) == (0, False)


def test_time_unlocks(door: Door) -> None:
    for _ in range(3):
        door.knock(WRONG)
    door.time_passes(20)
    assert door.knock(RIGHT) == "pin_locked 10", "the minutes that are left, rounded up"
    door.time_passes(9)
    assert door.knock(RIGHT) == "pin_locked 1"
    door.time_passes(1)
    assert [door.knock(WRONG), door.knock(WRONG)] == ["pin_wrong 2", "pin_wrong 1"], "a new count"
    assert door.knock(RIGHT) == "open"


def test_a_lock_that_ran_out_locks_again_after_three(door: Door) -> None:
    for _ in range(2):
        said = [door.knock(WRONG) for _ in range(3)]
        assert said == ["pin_wrong 2", "pin_wrong 1", "pin_locked 30"]
        door.time_passes(31)
    assert door.knock(RIGHT) == "open"


def test_a_try_counts_even_if_the_process_dies_before_the_check(door: Door) -> None:
    door.crash()
    door.crash()
    assert door.row().attempts == 2
    assert door.knock(WRONG) == "pin_locked 30"
    other = Door(door.db, door.owner, door.pins, door.person_id)
    other.set()
    for _ in range(3):
        other.crash()
    assert other.knock(RIGHT) == "pin_locked 30"


def test_a_count_that_is_not_committed_gives_no_check(door: Door) -> None:
    """What the caller gets back from `begin` is worth nothing unless the count is kept."""

    def begin_and_fail(session: Any) -> None:
        door.pins.begin(session, door.person_id)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        door.db.transact(begin_and_fail)
    assert door.row().attempts == 0


@pytest.mark.parametrize("others", [0, 2])
def test_twenty_threads_never_get_more_than_three_checks(door: Door, others: int) -> None:
    for _ in range(others):
        door.knock(WRONG)
    barrier = Barrier(20)

    def one(_: int) -> int | str:
        barrier.wait(10)
        try:
            return door.db.transact(lambda s: door.pins.begin(s, door.person_id)).left
        except DomainError as error:
            return error.code

    with ThreadPoolExecutor(20) as pool:
        got = list(pool.map(one, range(20)))
    assert sorted(left for left in got if left != "pin_locked") == list(range(3 - others))
    assert got.count("pin_locked") == 17 + others
    assert door.knock(RIGHT) == "pin_locked 30"


def test_a_new_pin_replaces_the_old_one_and_its_count(door: Door) -> None:
    door.knock(WRONG)
    door.set("9182")
    assert door.row().attempts == 0
    assert [door.knock(RIGHT), door.knock("9182")] == ["pin_wrong 2", "open"]


def test_somebody_without_a_pin_is_refused(door: Door, add: Add) -> None:
    assert Door(door.db, door.owner, door.pins, add()).knock(RIGHT).startswith("pin_locked")


# --- sealed ---


def test_what_is_stored_says_nothing_and_differs_each_time(door: Door) -> None:
    first = bytes(door.row().sealed)
    door.set()
    second = bytes(door.row().sealed)
    assert first != second
    for stored in (first, second):
        assert RIGHT.encode() not in stored
        assert b"argon2" not in stored


def test_a_sealed_pin_belongs_to_one_person(door: Door, add: Add) -> None:
    """Who can write to the table cannot give one person another's PIN."""
    victim = Door(door.db, door.owner, door.pins, add())
    victim.set("9182")
    swap = text(
        "UPDATE pins a SET sealed = b.sealed FROM pins b"
        " WHERE (a.person_id, b.person_id) IN ((:one, :two), (:two, :one))"
    )
    ids = {"one": door.person_id, "two": victim.person_id}
    door.owner.transact(lambda s: s.execute(swap, ids))
    for swapped, pin in ((door, "9182"), (victim, RIGHT), (door, RIGHT)):
        with pytest.raises(ValueError, match="does not belong here"):
            swapped.knock(pin)
    assert (door.row().attempts, victim.row().attempts) == (2, 1), "and the tries were counted"


@pytest.mark.parametrize("at", [0, 1, 2, 13, 14, -1])
def test_a_changed_byte_is_noticed(door: Door, at: int) -> None:
    sealed = bytearray(door.row().sealed)
    sealed[at] ^= 1
    query = text("UPDATE pins SET sealed = :sealed WHERE person_id = :id")
    values = {"sealed": bytes(sealed), "id": door.person_id}
    door.owner.transact(lambda s: s.execute(query, values))
    with pytest.raises(ValueError, match=r"no key of version|was changed"):
        door.knock(RIGHT)


def test_keys_are_rotated_by_adding_a_higher_version(door: Door) -> None:
    assert door.row().sealed[:2] == b"\0\1"
    both = Door(door.db, door.owner, pins_with(9, 1, 2), door.person_id)
    assert both.knock(RIGHT) == "open", "an old one still opens"
    both.set("9182")
    assert both.row().sealed[:2] == b"\0\x09", "the highest version seals, wherever it stands"
    assert Door(door.db, door.owner, pins_with(9), door.person_id).knock("9182") == "open"
    with pytest.raises(ValueError, match="no key of version 9"):
        door.knock("9182")


def test_the_keys_come_from_the_settings() -> None:
    written = ", ".join(f"{v}:{base64.b64encode(KEYS[v]).decode()}" for v in (2, 9, 1))
    assert Settings.model_validate({"pin_keys": written}).pin_key_ring == KEYS
    for broken in ("1:short", f"1:{'A' * 43}", f"1:{base64.b64encode(b'x' * 31).decode()}", "x"):
        with pytest.raises(ValueError, match=r"PIN_KEYS|base 10"):
            Settings.model_validate({"pin_keys": broken})


# --- history ---


def chosen(door: Door, pin: str) -> str:
    """Choose a new PIN as a menu does: `taken`, or the refusal."""
    history = door.db.transact(lambda s: door.pins.history(s, door.person_id))
    try:
        door.pins.refuse_used(history, pin)
    except DomainError as error:
        return error.code
    door.set(pin)
    return "taken"


def test_none_of_the_last_three_may_be_chosen_again(door: Door) -> None:
    assert chosen(door, RIGHT) == "pin_used_before", "the current one is one of them"
    assert [chosen(door, pin) for pin in ("9182", "3748")] == ["taken", "taken"]
    again = [chosen(door, pin) for pin in (RIGHT, "9182", "3748")]
    assert again == ["pin_used_before"] * 3
    assert chosen(door, "6041") == "taken"
    assert chosen(door, RIGHT) == "taken", "the fourth last may"
    assert door.knock(RIGHT) == "open"


def test_only_the_last_three_are_kept_and_all_are_sealed(door: Door) -> None:
    for pin in ("9182", "3748", "6041", "5829"):
        door.set(pin)
    query = text("SELECT sealed FROM pin_history WHERE person_id = :id ORDER BY id")
    kept = door.db.transact(lambda s: s.scalars(query, {"id": door.person_id}).all())
    assert len(kept) == HISTORY
    assert bytes(kept[-1]) == bytes(door.row().sealed)
    assert not any(b"argon2" in bytes(sealed) for sealed in kept)


def test_a_history_belongs_to_one_person_and_is_empty_for_others(door: Door, add: Add) -> None:
    other = Door(door.db, door.owner, door.pins, add())
    assert chosen(other, RIGHT) == "taken"
    swap = text("UPDATE pin_history SET person_id = :other WHERE person_id = :id")
    ids = {"other": other.person_id, "id": door.person_id}
    door.owner.transact(lambda s: s.execute(swap, ids))
    with pytest.raises(ValueError, match="does not belong here"):
        chosen(other, "9182")


def test_eight_new_pins_at_once_leave_three_and_the_current_one_among_them(door: Door) -> None:
    pins = [f"{number}048" for number in range(1, 9)]
    barrier = Barrier(8)

    def put(pin: str) -> None:
        sealed = door.pins.seal(door.person_id, pin)
        barrier.wait(10)
        door.db.transact(lambda s: door.pins.put(s, door.person_id, sealed, datetime.now(UTC)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, pins))
    history = door.db.transact(lambda s: door.pins.history(s, door.person_id))
    assert len(history.sealed) == HISTORY
    assert history.sealed[0] == bytes(door.row().sealed)


def test_staff_see_how_long_a_pin_is_locked(door: Door) -> None:
    def minutes() -> int:
        return door.db.transact(lambda s: locked_minutes(s, door.person_id))

    assert minutes() == 0
    for _ in range(3):
        door.knock(WRONG)
    assert minutes() == 30
    door.time_passes(31)
    assert minutes() == 0


# --- weak ---

GUESSES = {
    "pin_weak_same": ("0000", "7777", "1111111111"),
    "pin_weak_row": ("1234", "4321", "7890", "9012", "1357", "9753", "3456789012"),
    "pin_weak_number": ("1198", "4711", "2547"),
    "pin_weak_guess": ("1984", "2007", "2020", "1212", "7373", "1900", "2580", "0852", "789456"),
}
MSISDN = "+254711987654"


@pytest.mark.parametrize(
    ("reason", "pin"), [(reason, pin) for reason, weak in GUESSES.items() for pin in weak]
)
def test_a_thiefs_first_guesses_are_refused_with_the_reason(reason: str, pin: str) -> None:
    with pytest.raises(DomainError) as refused:
        pins_with(1).refuse_weak(pin, MSISDN)
    assert refused.value.code == reason
    assert pin not in str(refused.value.facts)


@pytest.mark.parametrize(
    "pin", ["7391", "8520", "9182", "0938", "2846", "4827163950", "1990199019"]
)
def test_others_are_taken(pin: str) -> None:
    pins_with(1).refuse_weak(pin, "+254711000001")


def test_the_published_list_is_refused_whole() -> None:
    """The list is data: a line that is no PIN would refuse nothing."""
    assert len(WEAK) >= 35
    for pin in WEAK:
        assert (pin.isdecimal(), len(pin) in (4, 6)) == (True, True), pin
        with pytest.raises(DomainError, match="pin_weak_"):
            pins_with(1).refuse_weak(pin, MSISDN)


def test_most_pins_are_allowed() -> None:
    """A rule that refuses too much makes the rest easier to guess."""
    pins, allowed = pins_with(1), 0
    for number in range(10_000):
        try:
            pins.refuse_weak(f"{number:04d}", "+254711987654")
        except DomainError:
            continue
        allowed += 1
    assert allowed > 9_500

"""Numbers saved under a name: which names there are, whose they are, and how many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.billers import favourites
from app.billers.favourites import FAVOURITES_MOST, NICKNAME_MOST, Favourite
from app.errors import DomainError
from app.runtime import Runtime
from app.text.width import is_gsm7
from app.wallet import people

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
T = TypeVar("T")
AddPerson = Callable[..., str]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Mum", "Mum"),
        ("  my   shop ", "my shop"),
        ("Ngũgĩ", "Ngugi"),
        ("home {1} ^", "home 1"),
        ("7", "7"),
        ("Twelve chars", "Twelve chars"),
    ],
)
def test_a_name_is_kept_as_a_screen_shows_it(typed: str, kept: str) -> None:
    assert favourites.nickname(typed, wide=False) == kept


@pytest.mark.parametrize("typed", ["", "  ", "...", "🙂", "{}", "Thirteen char", "እናት"])
def test_what_is_no_name_is_refused(typed: str) -> None:
    with pytest.raises(DomainError, match="nickname_invalid"):
        favourites.nickname(typed, wide=False)


def test_a_language_of_other_letters_keeps_them() -> None:
    assert favourites.nickname(" እናት  ቤት ", wide=True) == "እናት ቤት"


@given(st.text(max_size=60), st.booleans())
def test_whatever_is_typed_a_name_fits(typed: str, wide: bool) -> None:
    try:
        name = favourites.nickname(typed, wide=wide)
    except DomainError:
        return
    assert 1 <= len(name) <= NICKNAME_MOST
    assert name == name.strip()
    assert wide or is_gsm7(name)
    assert not set(name) & set("{}\n")


class Owner:
    """Somebody and their numbers."""

    def __init__(self, runtime: Runtime, msisdn: str) -> None:
        self.runtime = runtime
        person = self._run(lambda session: people.find(session, msisdn))
        assert person
        self.id: UUID = person.id

    def _run(self, work: Callable[[Session], T]) -> T:
        return self.runtime.db.transact(work)

    def save(self, name: str, number: str = "54100234563", product: str = "stima_token") -> None:
        self._run(lambda session: favourites.save(session, self.id, product, number, name, now=NOW))

    def all(self) -> list[Favourite]:
        return self._run(lambda session: favourites.of_person(session, self.id))

    def names(self) -> list[str]:
        return [one.nickname for one in self.all()]

    def rename(self, which: UUID, name: str) -> None:
        self._run(lambda session: favourites.rename(session, self.id, which, name))

    def remove(self, which: UUID) -> None:
        self._run(lambda session: favourites.remove(session, self.id, which))


@pytest.fixture
def amina(runtime: Runtime, add_person: AddPerson) -> Owner:
    return Owner(runtime, add_person("en", 0))


@pytest.fixture
def juma(runtime: Runtime, add_person: AddPerson) -> Owner:
    return Owner(runtime, add_person("en", 0))


def test_they_are_listed_by_name(amina: Owner) -> None:
    amina.save("shop")
    amina.save("Mum", "54100234571")
    amina.save("mum", "12345678", "maji_bill")
    assert [name.lower() for name in amina.names()] == ["mum", "mum", "shop"]


def test_a_number_that_is_saved_again_is_renamed(amina: Owner) -> None:
    amina.save("shop")
    amina.save("Duka")
    assert amina.names() == ["Duka"]
    amina.save("bill", product="stima_bill")
    assert amina.names() == ["bill", "Duka"], "at another product it is another number"


def test_nobody_reaches_those_of_others(amina: Owner, juma: Owner) -> None:
    amina.save("shop")
    (mine,) = amina.all()
    with pytest.raises(DomainError, match="favourite_unknown"):
        juma.rename(mine.id, "stolen")
    juma.remove(mine.id)
    assert (amina.names(), juma.names()) == (["shop"], [])


def test_one_that_was_deleted_is_gone(amina: Owner) -> None:
    amina.save("shop")
    (mine,) = amina.all()
    amina.rename(mine.id, "Duka")
    amina.remove(mine.id)
    amina.remove(mine.id)
    with pytest.raises(DomainError, match="favourite_unknown"):
        amina.rename(mine.id, "shop")
    assert amina.names() == []


def test_twenty_and_no_more_however_many_phones_save_at_once(amina: Owner) -> None:
    for number in range(FAVOURITES_MOST - 1):
        amina.save(f"n{number}", f"{10_000_000 + number}", "stima_bill")
    together = threading.Barrier(4)

    def save(number: int) -> str:
        together.wait(10)
        try:
            amina.save(f"late{number}", f"{20_000_000 + number}", "stima_bill")
        except DomainError as error:
            return error.code
        return "saved"

    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(save, range(4)))
    assert told == [*["favourites_full"] * 3, "saved"]
    assert len(amina.all()) == FAVOURITES_MOST
    amina.save("renamed", f"{10_000_000}", "stima_bill")
    assert "renamed" in amina.names(), "one of the twenty can still be renamed"

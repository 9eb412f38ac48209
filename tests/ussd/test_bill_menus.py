"""What the bill menus do with the rules of a market: hours, days, limits, the counter."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.billers import favourites
from app.billers.inquiries import Inquiries
from app.billers.protocols import wires
from app.cli.demo import PIN, DemoPerson, add
from app.markets import Market
from app.runtime import Runtime
from app.sealing import Sealer
from app.settings import Settings
from app.ussd.engine import Engine
from app.ussd.hop import Surroundings
from app.ussd.menus import VERSION, books, previous
from app.ussd.menus.services import Services
from app.wallet import people
from tests.people import fresh_meter, fresh_msisdn
from tests.ussd.phone import KEY, Bench, Phone

NAIROBI = ZoneInfo("Africa/Nairobi")
FOOT = "\n0 Back 00 Home"
CUSTOMERS = "customer_no,name,owed\n100001,AMINA YUSUF,2119.00\n100002,RICH SCHOOL,60000.00\n"


def at(hour: int, minute: int = 0) -> datetime:
    """Tomorrow at that time of the market's day."""
    day = datetime.now(NAIROBI).date() + timedelta(days=1)
    return datetime.combine(day, time(hour, minute), NAIROBI).astimezone(UTC)


@dataclass
class Menus(Bench):
    """The product's menus of both releases, over a market whose billers a test may change."""

    runtime: Runtime | None = None
    market: Market | None = None
    folder: Path = field(default_factory=Path)

    def release(self, *versions: str) -> None:
        runtime, market = self.runtime, self.market
        assert runtime
        assert market
        credentials = {"url": self.folder.as_uri(), "username": "kibanda", "api_key": "key"}
        settings = Settings.model_validate({"biller_credentials": {"shule": credentials}})
        inquiries = Inquiries(runtime.db, market, wires(market, settings))
        services = Services(runtime.db, runtime.pins, runtime.codes, inquiries)
        around = Surroundings(services, market, runtime.catalogues, Sealer({1: KEY}), self.clock)
        chosen: list[Any] = [book for book in books(market) if book.version in versions]
        self.engine = Engine(chosen, around, self.store, wait_places=4, strict=True)

    def rules(self, biller: str, **changes: Any) -> None:
        """Another market file: this biller's rules are changed."""
        assert self.market
        rules = self.market.billers[biller].model_copy(update=changes)
        billers = self.market.billers | {biller: rules}
        self.market = self.market.model_copy(update={"billers": billers})
        self.release(VERSION)

    def person(self, role: str = "customer") -> Phone:
        assert self.runtime
        parts, who = self.runtime, DemoPerson(fresh_msisdn(), "Amina", "en", role, 10_000_000)
        add(parts.db, parts.pins, parts.market, who, datetime.now(UTC), PIN)
        return self.phone(who.msisdn)

    def save(self, phone: Phone, name: str, product: str, number: str) -> None:
        assert self.runtime

        def work(session: Any) -> None:
            person = people.find(session, phone.msisdn)
            assert person
            favourites.save(session, person.id, product, number, name, now=datetime.now(UTC))

        self.runtime.db.transact(work)


@pytest.fixture
def menus(runtime: Runtime, session_redis_url: str, tmp_path: Path) -> Menus:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "customers.csv").write_text(CUSTOMERS)
    parts = {"runtime": runtime, "market": runtime.market, "folder": tmp_path}
    return Menus(session_redis_url, version=VERSION, **parts)


def test_a_biller_is_closed_outside_its_hours(menus: Menus) -> None:
    menus.rules("stima", opens=time(6), cut_off=time(20))
    phone, code = menus.person(), f"51*{fresh_meter()}*200"
    menus.clock.stopped = at(20)
    closed = "Stima token takes payments from 06:00 to 20:00. Nothing was taken."
    assert phone.dial(code) == f"{closed} Please dial again then."
    menus.clock.stopped = at(19, 59)
    assert phone.dial(code).startswith("Stima token is not working now."), "it has no wire here"


def test_a_bill_of_yesterday_is_chosen_anew_where_inquiry_and_payment_are_of_one_day(
    menus: Menus,
) -> None:
    menus.rules("shule", same_day=True)
    phone = menus.person()
    menus.clock.stopped = at(23, 59)
    assert phone.keys("1", "3", "100001", "1").startswith("Pay KES 2,119.00 to School fees")
    menus.clock.pass_seconds(30)
    assert phone.keys("1").startswith("Pay KES 2,119.00 to School fees"), "it is still that day"
    phone.reply("1")
    menus.clock.pass_seconds(31)
    assert phone.keys("1").startswith("Pay bill\n"), "midnight has passed"
    assert phone.keys("2", "1", "3", "100001", "1", PIN).startswith("KES 2,119.00 and fee KES 25")


def test_more_is_owed_than_one_payment_may_be(menus: Menus) -> None:
    phone = menus.person()
    owed = phone.dial("54*100002")
    assert owed.startswith("RICH SCHOOL\nNo. 100002\nTo pay KES 60,000.00\n1 Pay all KES 60,000.00")
    assert phone.reply("1") == "The most is KES 50,000.00."
    assert phone.dial("54*100002") == owed
    phone.reply("2")
    assert phone.reply("50,000").startswith("Pay KES 50,000.00 to School fees")


def test_what_was_paid_a_moment_ago_is_asked_about_and_told_again_on_the_way_back(
    menus: Menus,
) -> None:
    phone = menus.person()
    phone.dial("54*100001")
    assert " are set aside. School fees gets it on " in phone.keys("1", "3", "100001", "1", PIN)
    asked = phone.keys("1", "3", "100001", "1")
    assert asked.startswith("You paid KES 2,119.00 for 100001 1 min ago: waiting, ref ")
    assert phone.reply("1").startswith("Pay KES 2,119.00 to School fees")
    assert phone.reply("0") == asked


def test_numbers_of_one_s_own_are_not_for_customers_at_the_counter(menus: Menus) -> None:
    agent = menus.person("agent")
    menus.save(agent, "Mum", "shule_fees", "100001")
    assert "Saved numbers" not in agent.keys("3")
    assert "1 Saved numbers\n2 Electricity\n" in agent.keys("9", "1")
    agent.keys("3", "3", "100001")
    assert agent.reply("0712345678").startswith("AMINA YUSUF\nNo. 100001\nTo pay KES 2,119.00")
    assert agent.reply("00").startswith("Amina ")
    assert agent.reply("3").startswith("Pay bill\nOr type first letters.\n1 Electricity\n")


def test_a_saved_number_of_what_is_sold_no_more_can_only_be_changed(menus: Menus) -> None:
    phone = menus.person()
    menus.save(phone, "Old", "gone_product", "123")
    menus.save(phone, "Son", "shule_fees", "100001")
    listed = phone.keys("1", "1")
    assert listed == f"Saved numbers\n1 Son: School fees\n2 Rename or delete{FOOT}"
    assert phone.reply("1").startswith("AMINA YUSUF\n")
    old = phone.keys("1", "1", "2", "1")
    assert old == f"Old\ngone_product\nNo. 123\n1 Rename\n2 Delete{FOOT}"
    assert phone.reply("2") == "Deleted. Your payments stay in My payments."
    assert phone.keys("1", "1", "2") == f"Rename or delete\n1 Son: School fees{FOOT}"


def test_a_number_that_was_deleted_on_another_phone_is_paid_no_more(menus: Menus) -> None:
    phone = menus.person()
    menus.save(phone, "Son", "shule_fees", "100001")
    phone.keys("1", "1")
    other = menus.phone(phone.msisdn)
    other.keys("1", "1", "2", "1", "2")
    assert phone.reply("1").startswith("The list has changed.")


@pytest.fixture
def before(menus: Menus) -> Menus:
    """A process that begins sessions with the menus of the release before."""
    menus.release(previous.VERSION)
    return menus


def test_the_release_before_sells_prepaid_meters_only(before: Menus) -> None:
    phone = before.person()
    before.save(phone, "Son", "shule_fees", "100001")
    assert phone.keys("1") == f"Pay bill\n1 Stima token\n2 Jiji token{FOOT}"
    assert phone.reply("1") == f"Stima token. Enter:\nMeter number, 11 digits{FOOT}"
    assert phone.screen.name == "bill.meter"
    assert phone.reply("1").startswith("Check the number: its length is 11.")
    assert before.person().dial("54*100001").startswith("Kibanda\n"), "it knows no such code"

"""The benches' own checks: their sessions fit the menus, and they see a body that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from app.wallet import ledger
from bench import growth
from bench.callers import play
from bench.figures import Figure, table
from bench.person import Person
from bench.profiling import of_ours, package, read_stacks
from bench.web import answer_of
from launcher.servers import Servers
from tests.world import ROOT, Phone, World

AddPerson = Callable[..., str]
START = 10_000  # whole shillings


@pytest.mark.parametrize("language", ["en", "sw"])
def test_every_session_gets_the_screens_that_are_written_down(
    world: World, add_person: AddPerson, language: str
) -> None:
    who = Person(add_person(language, START * 100), language, START)
    first = play(world.port, [[who.browse(), who.look_back(), who.pay()]])
    assert first.wrong + first.errors == []
    assert who.crowded == 0, "the biller was slow or the places to wait were taken"
    Phone(world, who.msisdn).wait_sms(1)
    who.at_rest()
    then = play(world.port, [[who.browse(), who.look_back(), who.look_at_balance()]])
    assert then.wrong + then.errors == []
    (paid,) = who.payments
    sold = [(sale["customer_no"], sale["amount"]) for sale in world.sales()]
    assert sold.count((paid.meter, paid.amount)) == 1
    assert (first.hops, then.hops) == (8 + 2 + 7, 8 + 5 + 3)


def test_another_language_and_another_balance_are_wrong_screens(
    world: World, add_person: AddPerson
) -> None:
    msisdn = add_person("en", START * 100)
    mistaken = [Person(msisdn, "sw", START).browse(), Person(msisdn, "en", 1).look_at_balance()]
    played = play(world.port, [mistaken])
    assert len(played.wrong) == 2
    assert "Pay bill" in played.wrong[0]
    assert f"KES {START:,}.00" in played.wrong[1]
    assert played.errors == []


def test_an_error_of_the_server_is_counted_and_the_next_session_is_played(
    world: World, add_person: AddPerson
) -> None:
    broken = Person("no number", "en", START)
    who = Person(add_person("en", START * 100), "en", START)
    played = play(world.port, [[broken.browse(), who.browse()], [who.look_back()]])
    assert [error[:8] for error in played.errors] == ["HTTP 400"]
    assert played.wrong == []
    assert played.hops == 8 + 2


def test_an_answer_is_read_when_it_is_whole() -> None:
    whole = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 9\r\n\r\nCON Hello"
    assert [answer_of(whole[:size]) for size in (0, 20, len(whole) - 1)] == [None] * 3
    assert answer_of(whole) == (200, "CON Hello")


def test_a_grown_ledger_is_right_and_a_page_of_it_is_not_planned_anew(
    servers: Servers, own_name: str
) -> None:
    name = f"grown_{own_name}"
    servers.postgres.create_database(name, template="kibanda")
    with growth.book(servers, name, 5_000, 500) as grown:
        for page in growth.PAGES:
            for _ in range(8):  # PostgreSQL tries five plans before it keeps one
                grown.db.transact(lambda session, p=page: p(session, grown))  # type: ignore[misc]
        kept = text(
            "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%FROM moves%'"
        )
        assert grown.db.transact(lambda session: session.scalars(kept).all()) == [3, 3, 3]
        assert grown.db.transact(ledger.verify) == []
    servers.postgres.drop_database(name)


@pytest.mark.parametrize(
    ("figure", "met", "is_fault"),
    [
        (Figure("told only", 5, "/s"), None, False),
        (Figure("too slow", 5, "/s", least=6), False, False),
        (Figure("quick enough", 6, "/s", least=6), True, False),
        (Figure("by its ratio", 5, "/s", "another", 1.1, least=1), True, False),
        (Figure("by its ratio", 0.5, "ms", "another", 1.3, most=1.2), False, False),
        (Figure("sold twice", 1, "", most=0, proof=True), False, True),
        (Figure("sold twice", 0, "", most=0, proof=True), True, False),
    ],
)
def test_a_figure_is_judged_by_its_ratio_if_it_has_one(
    figure: Figure, met: bool | None, is_fault: bool
) -> None:
    assert (figure.met, figure.is_fault) == (met, is_fault)


def test_all_figures_of_a_run_are_one_table() -> None:
    figure = Figure("transfer", 1234.5, "/s", "pgbench", 0.5, least=0.6)
    told = table([("ledger", figure), ("sessions", Figure("sold twice", 0, "", most=0))])
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines()] == [
        ["bench", "what", "measured", "beside it", "ratio", "target", ""],
        ["-" * 10, "-" * 12, "-" * 10, "-" * 11, "-" * 7, "-" * 8, "-" * 8],
        ["ledger", "transfer", "1,234 /s", "pgbench", "0.50", "≥ 0.60", "MISSED"],
        ["sessions", "sold twice", "0", "", "", "≤ 0", "met"],
    ]
    assert len({len(line) for line in told.splitlines()}) == 1


def test_a_profile_is_read_from_the_stacks_of_py_spy() -> None:
    ours, theirs = f"{ROOT}/app/ussd/engine.py", "/x/lib/python3.11/site-packages/redis/client.py"
    seen = ((41, 9, 3), (57, 8, 4))
    raw = "\n".join(f"step ({ours}:{a});run (redis) ({theirs}:{b}) {n}" for a, b, n in seen)
    (stack,) = stacks = read_stacks(raw)
    assert stacks[stack] == 7, "lines of code are the same function"
    assert stack == ((ours, "step"), (theirs, "run (redis)"))
    assert [package(file) for file, _ in stack] == ["app.ussd.engine", "redis"]
    assert package("/x/lib/python3.11/threading.py") == "python: threading"
    assert [of_ours(*frame) for frame in stack] == ["app.ussd.engine.step", ""]

"""Accounts: who makes, suspends and resets whose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy.exc import DBAPIError

from app.errors import DomainError
from app.staff import accounts, credentials
from app.staff.accounts import Staff
from app.staff.credentials import Credentials
from tests.staff.desk import HASHED, PASSWORD, Desk, now, refusal


def suspend(desk: Desk, name: str, by: Staff) -> None:
    desk.db.transact(lambda s: accounts.suspend(s, name, by=by, now=now()))


def resume(desk: Desk, name: str, by: Staff) -> None:
    desk.db.transact(lambda s: accounts.resume(s, name, by=by, now=now()))


def reset(desk: Desk, name: str, by: Staff) -> None:
    kept = Credentials(credentials.HASHER.hash("another horse entirely"), b"sealed")
    desk.db.transact(lambda s: accounts.reset(s, name, kept, by=by, now=now()))


def history(desk: Desk) -> list[tuple[str, str, str | None]]:
    """Name, what, by whom: oldest first."""
    found = desk.db.transact(accounts.history)
    return [(one.name, one.what, one.by) for one in reversed(found)]


def test_the_first_is_an_admin_and_only_the_first_needs_none(desk: Desk) -> None:
    assert desk.db.transact(accounts.is_first)
    mkuu = desk.add("mkuu", "finance")
    assert mkuu.roles == {"finance", "admin"}
    assert not desk.db.transact(accounts.is_first)
    assert refusal(lambda: desk.add("thief", "admin"))[0] == "staff_session_missing"
    asha = desk.add("asha", "support", "finance", by=mkuu)
    assert refusal(lambda: desk.add("thief", "support", by=asha)) == (
        "role_missing",
        {"needs": "admin"},
    )
    assert refusal(lambda: desk.add("Asha ", "support", by=mkuu))[0] == "staff_name_taken"
    shown = desk.db.transact(accounts.listed)
    assert [one[:4] for one in shown] == [
        ("asha", ("support", "finance"), "active", "mkuu"),
        ("mkuu", ("finance", "admin"), "active", None),
    ]
    assert history(desk) == [("mkuu", "added", None), ("asha", "added", "mkuu")]


def test_of_two_first_accounts_one_is_made(desk: Desk) -> None:
    together = Barrier(8)

    def add(number: int) -> str:
        together.wait()
        try:
            return desk.add(f"first{number}", "admin").name
        except DomainError as error:
            return error.code

    with ThreadPoolExecutor(8) as threads:
        told = sorted(threads.map(add, range(8)))
    assert told.count("staff_session_missing") == 7
    assert desk.rows("SELECT name FROM staff") == [(told[0],)]


@pytest.mark.parametrize("name", ["", "a", "9lives", "as ha", "asha'--", "a" * 33, "ашa", "-asha"])
def test_names_that_are_none(desk: Desk, name: str) -> None:
    assert refusal(lambda: desk.add(name, "admin"))[0] == "staff_name_invalid"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("elevenchars", "password_length"),
        ("", "password_length"),
        ("x" * 201, "password_length"),
        ("twelvechars!", None),
        ("longlastname", "password_guessable"),
        ("LongLastName ", "password_guessable"),
        ("longlastname longlastname", "password_guessable"),
        (credentials.DEMO_PASSWORD, "password_guessable"),
    ],
)
def test_passwords(password: str, code: str | None) -> None:
    if code:
        assert refusal(lambda: credentials.refuse_weak("longlastname", password))[0] == code
    else:
        credentials.refuse_weak("longlastname", password)


def test_suspended_and_resumed(desk: Desk) -> None:
    mkuu = desk.add("mkuu", "admin")
    asha = desk.add("asha", "support", by=mkuu)
    token = desk.login("asha")
    assert refusal(lambda: suspend(desk, "mkuu", asha))[0] == "role_missing"
    assert refusal(lambda: suspend(desk, "nobody", mkuu)) == ("staff_unknown", {"name": "nobody"})
    assert refusal(lambda: resume(desk, "asha", mkuu))[0] == "staff_state"
    suspend(desk, "asha", mkuu)
    assert refusal(lambda: suspend(desk, "asha", mkuu)) == (
        "staff_state",
        {"name": "asha", "state": "suspended"},
    )
    assert refusal(lambda: desk.acting(token))[0] == "staff_suspended"
    assert refusal(lambda: desk.login("asha", code=desk.code("asha", 1)))[0] == "staff_suspended"
    assert refusal(lambda: resume(desk, "asha", asha))[0] == "role_missing"
    resume(desk, "asha", mkuu)
    assert refusal(lambda: desk.acting(token))[0] == "staff_session_over", (
        "an old session stays over"
    )
    assert desk.acting(desk.login("asha", code=desk.code("asha", 1))).name == "asha"
    assert history(desk)[2:] == [("asha", "suspended", "mkuu"), ("asha", "resumed", "mkuu")]


def test_the_last_active_admin_stays(desk: Desk) -> None:
    mkuu = desk.add("mkuu", "admin")
    assert refusal(lambda: suspend(desk, "mkuu", mkuu))[0] == "last_admin"
    rehema = desk.add("rehema", "admin", by=mkuu)
    suspend(desk, "rehema", mkuu)
    assert refusal(lambda: suspend(desk, "mkuu", mkuu))[0] == "last_admin"
    resume(desk, "rehema", mkuu)
    suspend(desk, "mkuu", rehema)
    assert refusal(lambda: suspend(desk, "rehema", rehema))[0] == "last_admin"


def test_admins_who_suspend_each_other_leave_one(desk: Desk) -> None:
    mkuu = desk.add("mkuu", "admin")
    rehema = desk.add("rehema", "admin", by=mkuu)
    for _ in range(5):
        together = Barrier(2)

        def strike(by: Staff, name: str, together: Barrier = together) -> str:
            together.wait()
            try:
                suspend(desk, name, by)
            except DomainError as error:
                return error.code
            return "done"

        with ThreadPoolExecutor(2) as threads:
            told = list(threads.map(strike, (mkuu, rehema), ("rehema", "mkuu")))
        assert sorted(told) == ["done", "last_admin"]
        assert desk.rows("SELECT count(*) FROM staff WHERE state = 'active'") == [(1,)]
        desk.admin("UPDATE staff SET state = 'active'")


def test_a_reset_is_anothers_and_ends_everything_old(desk: Desk) -> None:
    mkuu = desk.add("mkuu", "admin")
    asha = desk.add("asha", "support", by=mkuu)
    assert refusal(lambda: reset(desk, "mkuu", mkuu))[0] == "own_account"
    assert refusal(lambda: reset(desk, "mkuu", asha))[0] == "role_missing"
    assert refusal(lambda: reset(desk, "nobody", mkuu))[0] == "staff_unknown"
    token = desk.login("asha")
    for _ in range(5):
        refusal(lambda: desk.login("asha", "wrong password"))
    assert refusal(lambda: desk.attempt("asha"))[0] == "staff_locked"
    reset(desk, "asha", mkuu)
    assert refusal(lambda: desk.acting(token))[0] == "staff_session_over"
    assert refusal(lambda: desk.login("asha", PASSWORD))[0] == "staff_login_wrong"
    assert history(desk)[-1] == ("asha", "reset", "mkuu")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE staff SET roles = '{admin}'",
        "UPDATE staff SET name = 'mkuu'",
        "DELETE FROM staff",
        "UPDATE staff_events SET what = 'resumed'",
        "DELETE FROM staff_events",
        "UPDATE staff_sessions SET staff_id = staff_id",
        "DELETE FROM staff_sessions",
    ],
)
def test_the_application_cannot_rewrite_who_somebody_is(desk: Desk, statement: str) -> None:
    desk.login(desk.add("asha", "support").name)
    with pytest.raises(DBAPIError, match="permission denied"):
        desk.as_application(statement)


def test_the_database_refuses_what_the_code_never_does(desk: Desk) -> None:
    mkuu = desk.add("mkuu", "admin")
    events = "INSERT INTO staff_events (staff_id, what, by_id, at) VALUES"
    with pytest.raises(DBAPIError, match="reset_by_another"):
        desk.as_application(f"{events} ('{mkuu.id}', 'reset', '{mkuu.id}', now())")
    row = "INSERT INTO staff SELECT gen_random_uuid(), 'thief'"
    rest = "totp_secret, 0, 'active', 0, NULL, now()"
    for roles, password, by, why in (
        ("'{admin}'", "password", "NULL", "staff_first"),
        ("'{root}'", "password", "id", "staff_roles_check"),
        ("'{}'::text[]", "password", "id", "staff_roles_check"),
        ("'{admin}'", "'plain'", "id", "staff_password_check"),
    ):
        with pytest.raises(DBAPIError, match=why):
            desk.as_application(f"{row}, {roles}, {password}, {rest}, {by} FROM staff")
    assert desk.rows("SELECT password FROM staff") == [(HASHED,)]

"""Logging in: counted before it is checked, a code once, and how a session ends."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from app.errors import DomainError
from app.staff import accounts, credentials, sessions
from app.staff.credentials import Credentials
from launcher.servers import Servers
from tests.staff.desk import HASHED, PASSWORD, Desk, now, refusal
from tests.system.scanner import Scanner, dump


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """An admin and one of support."""
    desk.add("asha", "support", by=desk.add("mkuu", "admin"))
    return desk


def attempts(desk: Desk) -> int:
    ((count,),) = desk.rows("SELECT attempts FROM staff WHERE name = 'asha'")
    return int(count)


# --- the code: RFC 6238, appendix B, for SHA-1, cut to six digits ---


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_of_the_standard(seconds: int, code: str) -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # 12345678901234567890
    assert credentials.code_at(secret, datetime.fromtimestamp(seconds, UTC)) == code


def test_the_phone_app_reads_name_and_secret() -> None:
    secret = credentials.new_secret()
    assert len(secret) == 32
    assert credentials.uri("asha", secret) == (
        f"otpauth://totp/Kibanda:asha?secret={secret}&issuer=Kibanda"
    )


# --- logging in ---


def test_name_password_and_code(desk: Desk) -> None:
    who = desk.acting(desk.login("asha"), "support")
    assert (who.name, who.roles) == ("asha", {"support"})
    assert desk.acting(desk.login(" Asha", code=desk.code("asha", 1))).id == who.id


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_clocks_may_differ_by_one_step(desk: Desk, steps: int) -> None:
    at = datetime(2026, 11, 24, 12, 0, 15, tzinfo=UTC)
    code = credentials.code_at(desk.secret_of["asha"], at + timedelta(seconds=30 * steps))
    assert desk.acting(desk.login("asha", code=f"{code[:3]} {code[3:]}", at=at))


@pytest.mark.parametrize("steps", [-2, 2])
def test_and_not_by_two(desk: Desk, steps: int) -> None:
    at = datetime(2026, 11, 24, 12, 0, 15, tzinfo=UTC)
    code = credentials.code_at(desk.secret_of["asha"], at + timedelta(seconds=30 * steps))
    assert refusal(lambda: desk.login("asha", code=code, at=at))[0] == "staff_login_wrong"


def test_a_code_is_used_once(desk: Desk) -> None:
    code = desk.code("asha")
    desk.login("asha", code=code)
    assert refusal(lambda: desk.login("asha", code=code))[0] == "staff_code_used"
    desk.login("asha", code=desk.code("asha", 1))
    assert refusal(lambda: desk.login("asha", code=code))[0] == "staff_code_used", (
        "nor an older one"
    )


def test_of_many_with_the_same_code_one_gets_in(desk: Desk) -> None:
    code, together = desk.code("asha"), Barrier(4)

    def enter(attempt: sessions.Attempt) -> str:
        step = sessions.check(attempt, desk.seals, PASSWORD, code, now(), demo=False)
        together.wait()
        try:
            return desk.db.transact(lambda s: sessions.start(s, attempt, step))
        except DomainError as error:
            return error.code

    tries = [desk.attempt("asha") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(enter, tries))
    assert told.count("staff_code_used") == 3
    assert len(desk.rows("SELECT FROM staff_sessions")) == 1


def test_wrong_is_wrong_whatever_it_is(desk: Desk) -> None:
    stranger = desk.secret_of["mkuu"]
    for name, password, code in (
        ("asha", "wrong password", desk.code("asha")),
        ("asha", PASSWORD, credentials.code_at(stranger, now())),
        ("asha", PASSWORD, ""),
        ("asha", "", desk.code("asha")),
        ("nobody", PASSWORD, desk.code("asha")),
    ):
        assert refusal(lambda n=name, p=password, c=code: desk.login(n, p, c)) == (
            "staff_login_wrong",
            {},
        )


def test_a_try_is_counted_before_it_is_looked_at_and_the_fifth_locks(desk: Desk) -> None:
    for count in range(1, 5):
        desk.attempt("asha")  # and then the process died
        assert attempts(desk) == count
    assert refusal(lambda: desk.login("asha", "wrong password"))[0] == "staff_login_wrong"
    assert refusal(lambda: desk.login("asha")) == ("staff_locked", {"minutes": 15})
    assert attempts(desk) == 5, "while it is locked nothing is counted, and nothing is right"
    assert desk.acting(desk.login("mkuu")), "a lock is one account's"
    desk.admin("UPDATE staff SET locked_until = now() WHERE name = 'asha'")
    refusal(lambda: desk.login("asha", "wrong password"))
    assert attempts(desk) == 1, "a lock that ran out begins a new count"
    desk.login("asha")
    assert attempts(desk) == 0


def test_racing_tries_are_all_counted(desk: Desk) -> None:
    def knock(_: int) -> str:
        try:
            desk.attempt("asha")
        except DomainError as error:
            return error.code
        return "counted"

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(knock, range(16)))
    assert (told.count("counted"), told.count("staff_locked")) == (sessions.TRIES, 11)


def test_what_changed_since_the_try_began_opens_nothing(desk: Desk) -> None:
    attempt = desk.attempt("asha")
    step = sessions.check(attempt, desk.seals, PASSWORD, desk.code("asha"), now(), demo=False)
    admin = desk.acting(desk.login("mkuu"))
    kept = Credentials(credentials.HASHER.hash("another horse entirely"), b"sealed")
    desk.db.transact(lambda s: accounts.reset(s, "asha", kept, by=admin, now=now()))
    late = lambda: desk.db.transact(lambda s: sessions.start(s, attempt, step))  # noqa: E731
    assert refusal(late)[0] == "staff_code_used"


def test_the_published_password_is_for_demo_markets(desk: Desk) -> None:
    published = credentials.HASHER.hash(credentials.DEMO_PASSWORD)
    desk.admin(f"UPDATE staff SET password = '{published}' WHERE name = 'asha'")
    real = lambda: desk.login("asha", credentials.DEMO_PASSWORD)  # noqa: E731
    assert refusal(real)[0] == "staff_login_wrong"
    assert desk.login("asha", credentials.DEMO_PASSWORD, demo=True)


# --- sessions ---


def test_a_session_ends(desk: Desk) -> None:
    token = desk.login("asha")
    for column, inside, outside in (
        ("used_at", "14 minutes", "15 minutes"),
        ("started_at", "479 minutes", "8 hours"),
    ):
        desk.admin(f"UPDATE staff_sessions SET {column} = now() - interval '{inside}'")
        assert desk.acting(token).name == "asha"
        desk.admin(f"UPDATE staff_sessions SET {column} = now() - interval '{outside}'")
        assert refusal(lambda: desk.acting(token))[0] == "staff_session_over"
        desk.admin("UPDATE staff_sessions SET used_at = now(), started_at = now()")
    desk.db.transact(lambda s: sessions.end(s, token))
    assert refusal(lambda: desk.acting(token))[0] == "staff_session_over"


def test_use_keeps_a_session_open_and_a_refused_one_does_not(desk: Desk) -> None:
    token = desk.login("asha")
    idle = "SELECT now() - used_at > interval '10 minutes' FROM staff_sessions"
    desk.admin("UPDATE staff_sessions SET used_at = now() - interval '14 minutes'")
    assert refusal(lambda: desk.acting(token, "finance"))[0] == "role_missing"
    assert desk.rows(idle) == [(True,)]
    desk.acting(token, "support")
    assert desk.rows(idle) == [(False,)]


def test_who_is_nobody(desk: Desk) -> None:
    desk.login("asha")
    assert refusal(lambda: desk.acting(""))[0] == "staff_session_missing"
    for token in ("x", "x" * 43, hashlib.sha256(b"x").hexdigest()):
        assert refusal(lambda t=token: desk.acting(t))[0] == "staff_session_over"


def test_roles_are_a_choice_of_any(desk: Desk) -> None:
    token = desk.login("asha")
    assert desk.acting(token, "supervisor", "support").name == "asha"
    assert refusal(lambda: desk.acting(token, "finance", "supervisor")) == (
        "role_missing",
        {"needs": "finance or supervisor"},
    )


def test_no_secret_is_kept_or_logged(
    desk: Desk, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, typed = desk.login("asha"), "wrong but secret"
    refusal(lambda: desk.login("asha", typed))
    refusal(lambda: desk.login("mkuu", typed))
    assert desk.acting(token).name == "asha"
    secrets = {"password": PASSWORD, "typed": typed, "secret": desk.secret_of["asha"]}
    scanner = Scanner.of({**secrets, "token": token})
    kept = dump(servers.programs.postgres, desk.admin_url)
    assert b"asha" in kept
    assert HASHED.encode() in kept
    found = set(scanner.found(kept))
    assert found == {"token as sha256 in hex"}, "of a random token a hash may be kept"
    assert scanner.found(caplog.text.encode()) == []
    assert token not in repr(desk.rows("SELECT * FROM staff_sessions"))

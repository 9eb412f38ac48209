"""What a client sends stays out of the log, whoever refuses it: our views or the web server."""

from __future__ import annotations

import logging
import secrets
import socket

import psycopg
import pytest

from app import telemetry
from tests.web.posting import ANSWER_SECONDS, FORM_TYPE, SECRET, USSD, raw, serves
from tests.world import World, wait_for

TARGET = "/callbacks/africastalking/ussd?token=demo"
NUMBERS = ("%2B254711000001", "254711000001", "0711000001", "+254711000001")
# The head of a request, and what follows it: all of it is quoted somewhere in an error's text.
REFUSED_BY_THE_SERVER = {
    "a body longer than announced": (
        f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: 10",
        "sessionId=",
    ),
    "a line that is no header": (f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nBad header ", ""),
    "a header name": (f"POST {TARGET} HTTP/1.1\r\nHost: x\r\n", ""),
    "a version": (f"POST {TARGET} HTTP/", ""),
    "a method": ("", f" {TARGET} HTTP/1.1\r\nHost: x"),
    "a chunk": (f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", ""),
    "a transfer coding": (f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ", ""),
    "a length": (f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nContent-Length: ", ""),
}


def web_log(world: World) -> str:
    return (world.folder / "web.log").read_text()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("place", REFUSED_BY_THE_SERVER)
def test_the_web_server_quotes_no_client(world: World, place: str, number: str) -> None:
    head, rest = REFUSED_BY_THE_SERVER[place]
    typed = f"phoneNumber={number}&text=1*1*1*54100234563*500*{SECRET}"
    between = "\r\n\r\n" if place in ("a body longer than announced", "a chunk") else ""
    before = len(web_log(world))
    raw(world, f"{head}{between}{rest}{typed}{'' if between else rest}\r\n\r\n".encode("latin-1"))
    serves(world)
    said = web_log(world)[before:]
    for secret in (SECRET, number, number[-9:], "54100234563", "token=demo"):
        assert secret not in said, said


def test_a_refused_request_is_still_told(world: World) -> None:
    """The operator sees that somebody sends nonsense, from where, and what kind of it."""
    before = len(web_log(world))
    # A few lines a minute of each kind: no other test sends this one.
    raw(
        world,
        f"POST {TARGET} HTTP/1.1\r\nHost: x\r\n folded-{secrets.token_hex(4)}\r\n\r\n".encode(),
    )
    words = "Invalid request from ip=127.0.0.1: ObsoleteFolding"
    wait_for(lambda: words in web_log(world)[before:], ANSWER_SECONDS, "the log")


def test_a_client_that_hangs_up_is_no_leak(world: World) -> None:
    before = len(web_log(world))
    with socket.create_connection(("127.0.0.1", world.port), ANSWER_SECONDS) as line:
        line.sendall(f"POST {TARGET} HTTP/1.1\r\nContent-Length: 900\r\n\r\n{SECRET}".encode())
    serves(world)
    assert SECRET not in web_log(world)[before:]


def server_line(template: str, *arguments: object, error: Exception | None = None) -> str:
    """A line of the web server as our log writes it."""
    record = logging.LogRecord("gunicorn.error", 40, "f.py", 1, template, arguments, None)
    try:
        if error:
            raise error
        telemetry.cut_request(record)
    except Exception:  # noqa: BLE001 - it is being handled while the line is written
        telemetry.cut_request(record)
    return record.getMessage()


def test_lines_about_requests_are_cut_and_others_are_not() -> None:
    assert server_line("Booting worker with pid: %s", 5) == "Booting worker with pid: 5"
    uri = f"/{USSD}?token=demo"
    assert (
        server_line("Error handling request %s %s", "POST", uri, error=ValueError(SECRET))
        == "Error handling request: ValueError"
    )
    assert (
        server_line(f"Invalid request from ip=::1: {uri}", error=KeyError(SECRET))
        == "Invalid request from ip=::1: KeyError"
    )


@pytest.mark.parametrize("number", [*NUMBERS, "12345678901234567890"])
def test_foreign_lines_lose_every_long_run_of_digits(number: str) -> None:
    event = telemetry.mask_foreign(None, "", {"event": f"failed for {number}*1 in 20260102"})
    assert number[-9:] not in event["event"]
    assert "20260102" in event["event"]


def test_our_own_fields_keep_what_is_no_number() -> None:
    ours = {
        "at": "2026-01-02T15:04:05.123456Z",
        "id": "019a7b6c-1234-7123-8123-012345678901",
        "reference": "1234567890",
    }
    assert telemetry.mask(None, "", dict(ours)) == ours
    masked = telemetry.mask(None, "", {"path": "/x?phoneNumber=%2B254711000001"})
    assert "000001" not in masked["path"]


def test_an_exception_is_told_without_its_words(database_url: str) -> None:
    """PostgreSQL quotes the whole row that a constraint refused."""
    with psycopg.connect(database_url) as line, line.transaction(force_rollback=True):
        line.execute("CREATE TEMP TABLE t (pin text, n int CONSTRAINT few CHECK (n < 5))")
        with pytest.raises(psycopg.errors.CheckViolation, match=SECRET) as raised:
            line.execute("INSERT INTO t VALUES (%s, 7)", [SECRET])
    wrapped = ValueError(f"could not keep {SECRET}")
    wrapped.__cause__ = raised.value
    told = telemetry.where_it_broke((ValueError, wrapped, None))
    assert SECRET not in told
    assert told.startswith("ValueError at  from CheckViolation 23514 few at ")
    assert "test_an_exception_is_told_without_its_words" in told

"""Bodies and characters that no gateway should send: no error of ours, no hang, by real HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from app.runtime import Runtime
from tests.gateway_client import Session
from tests.web.posting import (
    ANSWER_SECONDS,
    DELIVERY,
    END,
    FORM_TYPE,
    USSD,
    call,
    end_form,
    ends_of,
    raw,
    serves,
    ussd_form,
)
from tests.world import World

AddPerson = Callable[..., str]

HOSTILE: dict[str, dict[str, Any]] = {
    "ten megabytes": {"data": ussd_form(text="1" * 10_000_000)},
    "ten megabytes in chunks": {"data": (b"text=" + b"1" * 100_000 for _ in range(100))},
    "ten thousand parameters": {"data": "&".join(f"p{n}" for n in range(10_000))},
    "ten thousand texts": {"data": [*ussd_form().items(), *[("text", "")] * 8000]},
    "ten thousand in the address": {"params": {f"p{n}": "" for n in range(10_000)}},
    "an empty body": {"data": b""},
    "JSON": {"json": ussd_form()},
    "broken UTF-8": {"data": b"sessionId=\xff\xfe&text=\x80\xc3"},
    "broken UTF-8, escaped": {"data": "sessionId=%ff%fe&phoneNumber=%C3&text=%80"},
    "broken escapes": {"data": "sessionId=%zz&phoneNumber=%2&text=%"},
    "UTF-16": {"data": "sessionId=1&text=1".encode("utf-16")},
    "another charset": {
        "data": "text=é".encode("latin-1"),
        "headers": {"Content-Type": f"{FORM_TYPE}; charset=nonsense"},
    },
    "multipart without an end": {
        "data": b"--x\r\nContent-Disposition: form-data; name=text\r\n\r\n1",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "multipart without a boundary": {
        "data": b"1",
        "headers": {"Content-Type": "multipart/form-data"},
    },
    "a thousand files": {"files": [(f"f{n}", (f"f{n}", b"x")) for n in range(1200)]},
}


@pytest.mark.parametrize("path", [USSD, END, DELIVERY])
@pytest.mark.parametrize("body", HOSTILE)
def test_a_hostile_body_is_no_error_of_ours(world: World, path: str, body: str) -> None:
    request = dict(HOSTILE[body])
    if not isinstance(request.get("data"), bytes | str | dict | list | None):
        request["data"] = (b"text=" + b"1" * 100_000 for _ in range(100))
    if isinstance(request.get("data"), bytes | str):
        request.setdefault("headers", {"Content-Type": FORM_TYPE})
    if "params" in request:
        url = f"{world.url}/callbacks/africastalking/{path}"
        answered = requests.post(url, timeout=ANSWER_SECONDS, **request).status_code
    else:
        try:
            answered = call(world, path, **request).status_code
        except requests.ConnectionError:  # hung up on while still sending
            answered = 413
    assert 200 <= answered < 500, answered
    serves(world)


@pytest.mark.parametrize(
    "end",
    [
        b"Transfer-Encoding: chunked\r\n\r\nZZZZ\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\nx\r\n",
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: five\r\n\r\nhello",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"Content-Length: 99999999999\r\n\r\nhello",
    ],
)
def test_a_body_that_contradicts_itself(world: World, end: bytes) -> None:
    head = (
        f"POST /callbacks/africastalking/ussd?token=demo HTTP/1.1\r\nContent-Type: {FORM_TYPE}\r\n"
    )
    assert re.match(rb"HTTP/1.1 4\d\d ", raw(world, head.encode() + end))
    serves(world)


ODD_TEXTS = [
    "\0",
    "1\0",
    "😀",
    "مرحبا",
    "\u202e1",
    "1*😀*" * 20,
    "*",
    "**",
    "#",
    "\r\n",
    "é",
    "\ufeff",
]


@pytest.mark.parametrize("odd", ODD_TEXTS)
def test_odd_characters_get_a_screen_or_a_named_refusal(
    world: World, add_person: AddPerson, odd: str
) -> None:
    session = Session(world, add_person("en", 100_000))
    session.dial()
    answer = session.post(odd)
    if "\0" in odd:
        assert (answer.status_code, answer.text) == (400, "field_malformed: text\n")
    else:
        assert answer.status_code == 200
        assert answer.text.startswith(("CON ", "END "))
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    serves(world)


@pytest.mark.parametrize(
    "field", ["status", "cost", "durationInMillis", "hopsCount", "errorMessage", "hopsMetadata"]
)
def test_odd_characters_in_an_end_event(world: World, runtime: Runtime, field: str) -> None:
    for odd in ("😀" * 200, "مرحبا", "٣٣", "²", "-1", "9" * 30, "\r\n", "\u202e", "a\0b"):
        form = end_form(**{field: odd})
        answer = call(world, END, data=form)
        if "\0" in odd:
            assert (answer.status_code, answer.text) == (400, f"field_malformed: {field}\n")
        else:
            assert answer.status_code == 200, odd
            assert len(ends_of(runtime, form["sessionId"])) == 1

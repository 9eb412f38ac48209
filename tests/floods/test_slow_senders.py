"""Clients that are slow, silent or rude to the web server hold nobody else up."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from app.web.server import COME_SECONDS
from bench.web import hop_request, new_session_id
from tests.floods.flooding import connect, hop
from tests.people import fresh_msisdn
from tests.web.posting import metric, serves
from tests.world import World, wait_for

HEAD = b"POST /callbacks/africastalking/ussd?token=demo HTTP/1.1\r\nHost: x\r\n"
BODY_HEAD = HEAD + b"Content-Length: 400\r\n\r\n"
SOON_SECONDS = 1.5  # what is served beside them, on a busy machine
Add = Callable[[bytes], socket.socket]


@pytest.fixture
def add(world: World) -> Iterator[Add]:
    """Connections that have sent these bytes and stay open until the test ends."""
    lines: list[socket.socket] = []

    def one(sent: bytes) -> socket.socket:
        line = connect(world.port)
        lines.append(line)
        if sent:
            line.sendall(sent)
        return line

    yield one
    for line in lines:
        line.close()


def request(text: str = "") -> bytes:
    return hop_request(new_session_id(), fresh_msisdn(), text)


def is_over(line: socket.socket) -> bool:
    """Whether the server has hung up; an answer on the way is read over."""
    line.settimeout(0.01)
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while line.recv(65_536):
            pass
        return True
    return False


def answers_of(line: socket.socket, count: int) -> bytes:
    """What comes until that many answers began, or the server hangs up."""
    line.settimeout(10)
    received = b""
    while received.count(b"HTTP/1.1 ") < count:
        more = line.recv(65_536)
        if not more:
            break
        received += more
    return received


def quickly(world: World) -> float:
    """Seconds that a hop of somebody else takes, on a connection of its own."""
    began = time.monotonic()
    line = connect(world.port)
    status, body = hop(line, new_session_id(), fresh_msisdn(), "")
    line.close()
    assert (status, body[:11]) == (200, "CON Kibanda")
    return time.monotonic() - began


def test_slow_senders_hold_no_thread_and_are_hung_up_on(world: World, add: Add) -> None:
    before = metric(world, 'kibanda_web_hung_up_total{reason="slow"}')
    began = time.monotonic()
    slow = [add(BODY_HEAD) for _ in range(60)]
    slow += [add(HEAD) for _ in range(60)]
    slow += [add(b"") for _ in range(30)]
    slow += [add(HEAD + b"Transfer-Encoding: chunked\r\n\r\n") for _ in range(30)]
    took = []
    while time.monotonic() - began < COME_SECONDS - 3:
        for line in slow[:120]:
            line.sendall(b"x")
        took += [quickly(world) for _ in range(5)]
        time.sleep(1)
    assert not any(is_over(line) for line in slow[:5]), "there is time for a slow network"
    assert max(took) < SOON_SECONDS, took
    wait_for(lambda: all(is_over(line) for line in slow), 10, "all to be hung up on")
    assert time.monotonic() - began < COME_SECONDS + 8
    assert metric(world, 'kibanda_web_hung_up_total{reason="slow"}') - before == len(slow)


def test_a_slow_request_that_is_whole_in_time_is_answered(world: World, add: Add) -> None:
    whole = request()
    line = add(whole[:20])
    for place in range(20, len(whole), 100):
        time.sleep(0.05)
        line.sendall(whole[place : place + 100])
    assert answers_of(line, 1).startswith(b"HTTP/1.1 200 OK")


def test_who_does_not_hang_up_keeps_nobody_waiting(world: World, add: Add) -> None:
    closing = request().replace(b"Host:", b"Connection: close\r\nHost:", 1)
    stays = [add(closing) for _ in range(20)]
    for line in stays:
        assert answers_of(line, 1).startswith(b"HTTP/1.1 200 OK")
    assert quickly(world) < SOON_SECONDS
    wait_for(lambda: all(is_over(line) for line in stays), 5, "them to be closed")


def test_pipelined_hops_are_answered_in_their_order(world: World, add: Add) -> None:
    session_id, msisdn = new_session_id(), fresh_msisdn()
    texts = ["", "1", "1*x"]
    line = add(b"".join(hop_request(session_id, msisdn, text) for text in texts))
    heard = answers_of(line, 3)
    assert heard.count(b"HTTP/1.1 200 OK") == 3
    whole = b"".join(hop_request(session_id, msisdn, text) for text in texts)
    line.sendall(whole[:-10])
    assert answers_of(line, 2).count(b"HTTP/1.1 200 OK") == 2
    line.sendall(whole[-10:])
    assert answers_of(line, 1).count(b"HTTP/1.1 200 OK") == 1  # behind the rest of the second


def test_a_thousand_pipelined_hops_whose_answers_nobody_reads(world: World, add: Add) -> None:
    line = add(b"")
    line.settimeout(2)
    with contextlib.suppress(TimeoutError, OSError):
        for _ in range(1000):
            line.sendall(request())
    assert quickly(world) < SOON_SECONDS
    serves(world)


@pytest.mark.parametrize("sent", [HEAD, BODY_HEAD + b"text=1", b"\x16\x03\x01\x02\x00\x01", b"\0"])
def test_what_breaks_off_is_refused_at_once(world: World, add: Add, sent: bytes) -> None:
    line = add(sent)
    line.shutdown(socket.SHUT_WR)
    began = time.monotonic()
    heard = answers_of(line, 1)
    assert heard == b"" or re.match(rb"HTTP/1\.1 4\d\d ", heard), heard
    assert time.monotonic() - began < SOON_SECONDS
    serves(world)


def test_a_head_without_an_end(world: World, add: Add) -> None:
    line = add(HEAD)
    with contextlib.suppress(OSError):
        line.sendall(b"X-Padding: " + b"x" * 200_000)
    with contextlib.suppress(ConnectionResetError):
        assert answers_of(line, 1)[:13] in (b"HTTP/1.1 431 ", b"")
    assert quickly(world) < SOON_SECONDS


def test_a_large_body_is_refused_before_it_comes(world: World, add: Add) -> None:
    line = add(HEAD + b"Content-Length: 10000000\r\n\r\ntext=")
    began = time.monotonic()
    assert answers_of(line, 1).startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - began < SOON_SECONDS


def test_a_client_that_asks_whether_it_may_send(world: World, add: Add) -> None:
    head, _, body = request().partition(b"\r\n\r\n")
    line = add(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert answers_of(line, 1).startswith(b"HTTP/1.1 100 Continue")
    line.sendall(body)
    assert b"HTTP/1.1 200 OK" in answers_of(line, 2)


def test_chunks_are_put_together(world: World, add: Add) -> None:
    body = request().partition(b"\r\n\r\n")[2]
    form = HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"
    line = add(form + b"Transfer-Encoding: chunked\r\n\r\n")
    for place in range(0, len(body), 40):
        part = body[place : place + 40]
        line.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        time.sleep(0.01)
    line.sendall(b"0\r\n\r\n")
    assert answers_of(line, 1).startswith(b"HTTP/1.1 200 OK")

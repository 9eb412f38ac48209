"""A link to a switch on a real socket: many calls at once, and everything that a peer can do."""

from __future__ import annotations

import ipaddress
import os
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.billers.protocols.answers import Order
from app.billers.protocols.http import WireError
from app.billers.protocols.iso8583 import link as links
from app.billers.protocols.iso8583 import messages
from app.billers.protocols.iso8583.connection import STRAYS, Patience
from app.billers.protocols.iso8583.frames import LONGEST_BYTES, FrameError, Frames, framed
from app.billers.protocols.iso8583.link import Link
from app.billers.protocols.iso8583.messages import Fields, Terminal
from app.billers.protocols.iso8583.opening import address_of
from tests.billers.switch import (
    ACQUIRER,
    TERMINAL,
    TOKEN,
    Line,
    PlayedSwitch,
    answer_to,
    packed,
    played_switch,
    sign_on,
)

US = Terminal(ACQUIRER, TERMINAL, "404")
AT = datetime(2026, 11, 26, 23, 25, 7, tzinfo=UTC)
SOON = Patience(
    connect_seconds=0.5,
    network_seconds=0.5,
    frame_seconds=0.5,
    idle_seconds=0.2,
    retry_seconds=(0.2, 0.4),
)
MakeLink = Callable[..., Link]


@pytest.fixture
def switch() -> Iterator[PlayedSwitch]:
    with played_switch() as running:
        yield running


@pytest.fixture
def link_to() -> Iterator[MakeLink]:
    made: list[Link] = []

    def make(switch: PlayedSwitch, *, most: int = 32, patience: Patience | None = None) -> Link:
        made.append(Link("stima", address_of(switch.url), most=most, patience=patience))
        return made[-1]

    yield make
    for link in made:
        link.close()
        link.join(2)


def purchase(serial: int, amount_minor: int = 50_000) -> Fields:
    order = Order(
        f"ref{serial}", "stima-token", "54100234563", amount_minor,
        serial=serial, first_sent_at=AT,
    )  # fmt: skip
    return messages.payment(US, order)


def standing(link: Link) -> Link:
    """With the connection open and signed on."""
    link.call(purchase(999), seconds=5)
    return link


def reason_of(link: Link, asked: Fields, seconds: float = 2) -> str:
    with pytest.raises(WireError) as raised:
        link.call(asked, seconds=seconds)
    return raised.value.reason


def strays() -> float:
    return float(STRAYS.labels("stima")._value.get())


def test_the_first_call_opens_signs_on_and_asks(switch: PlayedSwitch, link_to: MakeLink) -> None:
    link = link_to(switch)
    assert switch.lines == []
    answer = link.call(purchase(1), seconds=2)
    assert (answer["t"], answer["39"], answer["62"]) == ("0210", "00", f"1{TOKEN}")
    link.call(purchase(2), seconds=2)
    assert [fields["t"] for fields in switch.heard] == ["0800", "0200", "0200"]
    assert switch.heard[0]["70"] == "001"
    assert len(switch.lines) == 1


def test_thirty_two_at_once_on_one_connection_answered_backwards(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    held: list[tuple[Line, Fields]] = []

    def backwards(line: Line, asked: Fields) -> None:
        with switch.lock:
            held.append((line, asked))
            all_here = held[::-1] if len(held) == 32 else []
        for there, waiting in all_here:
            there.answer(waiting, "00", f"1{int(waiting['4']):020d}")

    switch.script = backwards
    link = link_to(switch)
    with ThreadPoolExecutor(32) as pool:
        calls = {n: pool.submit(link.call, purchase(n, n * 100), seconds=5) for n in range(1, 33)}
        for n, call in calls.items():
            assert call.result()["62"] == f"1{n * 100:020d}"
            assert call.result()["37"] == f"{n:012d}"
    assert len(switch.lines) == 1


def test_no_more_than_most_are_in_flight_and_the_next_waits_for_a_place(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    go_on = threading.Event()

    def hold(line: Line, asked: Fields) -> None:
        go_on.wait(5)
        switch.honest(line, asked)

    switch.script = hold
    link = link_to(switch, most=2)
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(link.call, purchase(n), seconds=5) for n in (1, 2)]
        switch.wait(lambda seen: len(seen.of("0200")) == 2)
        assert reason_of(link, purchase(3), seconds=0.1) == "too_many_in_flight"
        third = pool.submit(link.call, purchase(4), seconds=5)
        go_on.set()
        assert {call.result()["39"] for call in [*first, third]} == {"00"}
    assert "000000000003" not in {fields["37"] for fields in switch.of("0200")}


def test_silence_ends_with_the_callers_own_time(switch: PlayedSwitch, link_to: MakeLink) -> None:
    def only_the_second(line: Line, asked: Fields) -> None:
        if asked["37"] == f"{2:012d}":
            line.answer(asked)

    link = standing(link_to(switch))
    switch.script = only_the_second
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(reason_of, link, purchase(1), 0.8)
        assert link.call(purchase(2), seconds=2)["39"] == "00"
        assert time.monotonic() - started < 0.75
        assert silent.result() == "timeout"
    assert 0.75 < time.monotonic() - started < 3


def test_a_late_answer_is_dropped_and_the_next_call_hears_its_own(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    owed: list[Fields] = []

    def late(line: Line, asked: Fields) -> None:
        if not owed:
            owed.append(asked)
            return
        line.answer(owed[0], "05")
        line.answer(asked, "00", f"1{TOKEN}")

    link, before = standing(link_to(switch)), strays()
    switch.script = late
    assert reason_of(link, purchase(1), seconds=0.5) == "timeout"
    answer = link.call(purchase(2), seconds=2)
    assert (answer["37"], answer["39"]) == ("000000000002", "00")
    assert strays() - before == 1


def test_an_answer_to_the_purchase_is_none_to_its_advice(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    """STAN and RRN are the same; a late 0210 must not end the wait for the 0230, or the 0410."""

    def late(line: Line, asked: Fields) -> None:
        if asked["t"] != "0200":
            line.answer(purchase(1), "05")
            line.answer(asked, "00")

    link = standing(link_to(switch))
    switch.script = late
    assert reason_of(link, purchase(1), seconds=0.5) == "timeout"
    assert link.call(purchase(1) | {"t": "0221"}, seconds=2)["39"] == "00"
    undo = purchase(1) | {"t": "0401", "90": "0" * 42}
    assert link.call(undo, seconds=2)["t"] == "0410"


def test_one_request_cannot_be_in_flight_twice(switch: PlayedSwitch, link_to: MakeLink) -> None:
    go_on = threading.Event()

    def hold(line: Line, asked: Fields) -> None:
        go_on.wait(5)
        switch.honest(line, asked)

    switch.script = hold
    link = link_to(switch)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(link.call, purchase(1), seconds=5)
        switch.wait(lambda seen: bool(seen.of("0200")))
        assert reason_of(link, purchase(1), seconds=5) == "already_in_flight"
        go_on.set()
        assert first.result()["39"] == "00"
    assert len(switch.of("0200")) == 1


WHOLE = packed(answer_to(purchase(1)))[2:]
HALF = packed(answer_to(purchase(1)))[:40]
ENDS: list[tuple[str, Callable[[Line], object]]] = [
    ("cut before the answer", lambda line: line.cut()),
    ("cut in the middle of it", lambda line: (line.raw(HALF), line.cut())),
    ("no message in the frame", lambda line: line.raw(framed(b"0210" + b"?" * 30))),
    ("bytes behind the message", lambda line: line.raw(framed(WHOLE + b"9"))),
    ("a length of 0", lambda line: line.raw(b"\0\0")),
    ("a length of 65535", lambda line: line.raw(b"\xff\xff" + b"0" * 100)),
    ("one more than may be", lambda line: line.raw(struct.pack(">H", LONGEST_BYTES + 1))),
    ("HTTP", lambda line: line.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
]  # fmt: skip


@pytest.mark.parametrize("end", [row[1] for row in ENDS], ids=[row[0] for row in ENDS])
def test_what_ends_a_connection_ends_every_call_at_once_and_the_next_opens_anew(
    switch: PlayedSwitch, link_to: MakeLink, end: Callable[[Line], object]
) -> None:
    def script(line: Line, asked: Fields) -> None:
        if asked["37"] == f"{3:012d}":
            end(line)
        elif line.number > 1:
            switch.honest(line, asked)

    switch.script = script
    link = link_to(switch)
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(reason_of, link, purchase(n), 5) for n in (1, 2)]
        switch.wait(lambda seen: len(seen.of("0200")) == 2)
        assert reason_of(link, purchase(3), seconds=5) == "connection_lost"
        assert [call.result() for call in others] == ["connection_lost"] * 2
    assert time.monotonic() - started < 2.5
    assert link.call(purchase(1), seconds=2)["39"] == "00"
    assert switch.networks() == {"001": 2}


def test_a_message_that_drips_is_not_waited_for(switch: PlayedSwitch, link_to: MakeLink) -> None:
    def drip(line: Line, asked: Fields) -> None:
        for byte in packed(answer_to(asked)):
            line.raw(bytes([byte]))
            time.sleep(0.1)

    switch.script = drip
    link = link_to(switch, patience=replace(SOON, idle_seconds=20))
    started = time.monotonic()
    assert reason_of(link, purchase(1), seconds=5) == "connection_lost"
    assert 0.45 < time.monotonic() - started < 3


def test_a_peer_that_does_not_read_holds_nobody(link_to: MakeLink) -> None:
    stop = threading.Event()

    def network(line: Line, asked: Fields) -> None:
        sign_on(line, asked)
        stop.wait(10)  # this is the thread that reads

    with played_switch(receive_bytes=4096) as switch:
        switch.network = network
        link = link_to(switch, most=64, patience=replace(SOON, idle_seconds=20))
        padding = dict.fromkeys(("46", "47", "48", "60", "61", "62", "63"), "x" * 990)
        started = time.monotonic()
        with ThreadPoolExecutor(64) as pool:
            asks = [purchase(n) | padding for n in range(64)]
            reasons = list(pool.map(lambda asked: reason_of(link, asked, 8), asks))
        stop.set()
    assert reasons == ["connection_lost"] * 64
    assert time.monotonic() - started < 5


def test_an_idle_link_asks_for_an_echo_and_lives_on(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    link = link_to(switch, patience=SOON)
    link.call(purchase(1), seconds=2)
    switch.wait(lambda seen: seen.networks()["301"] >= 2)
    link.call(purchase(2), seconds=2)
    assert len(switch.lines) == 1


def test_an_echo_without_an_answer_ends_the_link(switch: PlayedSwitch, link_to: MakeLink) -> None:
    switch.network = lambda line, asked: sign_on(line, asked) if asked["70"] == "001" else None
    switch.script = lambda _line, _asked: None
    link = link_to(switch, patience=SOON)
    started = time.monotonic()
    assert reason_of(link, purchase(1), seconds=5) == "connection_lost"
    assert 0.65 < time.monotonic() - started < 3


def test_no_purchase_leaves_before_the_sign_on_is_answered(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    go_on = threading.Event()

    def slow(line: Line, asked: Fields) -> None:
        go_on.wait(5)
        sign_on(line, asked)

    switch.network = slow
    link = link_to(switch)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(link.call, purchase(1), seconds=5)
        switch.wait(lambda seen: bool(seen.of("0800")))
        # Its caller has gone before the sign-on was answered: it must never leave.
        assert reason_of(link, purchase(2), seconds=0.1) == "timeout"
        assert switch.of("0200") == []
        go_on.set()
        assert call.result()["39"] == "00"
    link.call(purchase(3), seconds=2)
    assert [fields["37"] for fields in switch.of("0200")] == ["000000000001", "000000000003"]


def test_a_switch_that_has_forgotten_us_hears_a_sign_on_again(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    link = link_to(switch)
    link.call(purchase(1), seconds=2)
    switch.lines[0].signed_on = False
    assert link.call(purchase(2), seconds=2)["39"] == "91"
    switch.wait(lambda seen: seen.networks()["001"] == 2)
    assert link.call(purchase(3), seconds=2)["39"] == "00"
    assert len(switch.lines) == 1


def test_after_a_failed_opening_calls_fail_at_once_until_the_next_try(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    switch.network = lambda line, asked: line.answer(asked, "05")
    link = link_to(switch, patience=replace(SOON, retry_seconds=(1.0,)))
    assert reason_of(link, purchase(1)) == "connect_failed"
    started = time.monotonic()
    for _ in range(10):
        assert reason_of(link, purchase(1)) == "connect_failed"
    assert time.monotonic() - started < 0.8
    assert len(switch.lines) == 1
    switch.network = None
    time.sleep(max(0.0, link._retry_at - time.monotonic()))
    assert link.call(purchase(1), seconds=2)["39"] == "00"
    assert len(switch.lines) == 2


def test_waits_between_tries_grow_to_a_bound() -> None:
    with played_switch() as gone:
        link = Link("stima", address_of(gone.url), most=1, patience=SOON)
    for wait in (0.2, 0.4, 0.4):
        began = time.monotonic()
        assert reason_of(link, purchase(1)) == "connect_failed"
        ended = time.monotonic()
        assert began + wait <= link._retry_at <= ended + wait
        time.sleep(max(0.0, link._retry_at - time.monotonic()))


def test_a_sign_on_that_is_not_answered_fails_the_opening(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    switch.network = lambda _line, _asked: None
    link = link_to(switch, patience=SOON)
    started = time.monotonic()
    assert reason_of(link, purchase(1), seconds=5) == "connect_failed"
    assert 0.45 < time.monotonic() - started < 3
    assert switch.of("0200") == []


def test_a_message_that_cannot_be_written_opens_nothing(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    assert reason_of(link_to(switch), purchase(1) | {"48": "é"}) == "message_unwritable"
    assert switch.lines == []


def test_closing_signs_off_and_the_next_call_opens_anew(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    link = link_to(switch)
    link.call(purchase(1), seconds=2)
    link.close()
    link.join(2)
    switch.wait(lambda seen: seen.networks()["002"] == 1)
    assert link.call(purchase(2), seconds=2)["39"] == "00"
    links.close_all()  # as at the process's exit
    switch.wait(lambda seen: seen.networks()["002"] == 2)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of threads
def test_a_forked_child_opens_its_own_link_and_leaves_its_parents(
    switch: PlayedSwitch, link_to: MakeLink
) -> None:
    link = link_to(switch)
    link.call(purchase(1), seconds=2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if link.call(purchase(2), seconds=3)["37"] == f"{2:012d}" else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert link.call(purchase(3), seconds=2)["39"] == "00"
    by_line = [line.number for line in switch.lines]
    assert by_line == [1, 2]
    assert switch.networks() == {"001": 2}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for loopback, in one file."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "switch")])
    today = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "switch.pem"
    path.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_over_tls_with_a_known_certificate_only(
    certificate: Path, link_to: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with played_switch(context) as switch:
        assert reason_of(link_to(switch), purchase(1)) == "connect_failed"
        assert switch.heard == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        link = link_to(switch)
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: link.call(purchase(n), seconds=5), range(1, 65)))
        assert [answer["37"] for answer in answers] == [f"{n:012d}" for n in range(1, 65)]


def test_a_tls_greeting_that_never_comes_is_not_waited_for(
    switch: PlayedSwitch, link_to: MakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plain switch takes the client's greeting for a frame and says nothing."""
    address = address_of(switch.url.replace("tcp://", "tls://"))
    link = Link("stima", address, most=1, patience=SOON)
    started = time.monotonic()
    assert reason_of(link, purchase(1), seconds=5) == "connect_failed"
    assert time.monotonic() - started < 3


CHUNKS = st.lists(st.binary(max_size=200), max_size=8)


@given(CHUNKS)
def test_frames_keep_little_whatever_comes(chunks: list[bytes]) -> None:
    frames = Frames()
    try:
        for chunk in chunks:
            for message in frames.feed(chunk):
                assert 20 <= len(message) <= LONGEST_BYTES
            assert len(frames._rest) <= LONGEST_BYTES + 2
    except FrameError:
        pass


@given(st.lists(st.binary(min_size=20, max_size=300), max_size=5), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_however_they_are_torn(
    sent: list[bytes], step: int
) -> None:
    stream = b"".join(framed(message) for message in sent)
    frames = Frames()
    found = [
        message
        for at in range(0, len(stream), step)
        for message in frames.feed(stream[at : at + step])
    ]
    assert found == sent
    assert not frames.unfinished


@given(
    st.one_of(st.binary(max_size=300), st.text("0123456789ABCDEF", max_size=200).map(str.encode))
)
def test_bytes_that_are_no_message_are_refused_by_name(raw: bytes) -> None:
    try:
        read = messages.decode(raw)
    except messages.MessageError:
        return
    assert messages.key(read)[0] == read["t"]


@pytest.fixture(scope="module")
def babbler() -> Iterator[tuple[PlayedSwitch, list[bytes]]]:
    """A switch that answers every request with what stands in the list."""
    said: list[bytes] = []

    def babble(line: Line, asked: Fields) -> None:
        line.raw(said[0])
        line.cut()

    with played_switch() as switch:
        switch.script = babble
        yield switch, said


@given(
    st.one_of(
        st.binary(max_size=100),
        st.binary(min_size=20, max_size=100).map(framed),
        st.integers(0, 200).map(lambda at: packed(answer_to(purchase(1)))[:at] + b"\x00\xff"),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_a_switch_says_its_callers_hear_an_end(
    babbler: tuple[PlayedSwitch, list[bytes]], raw: bytes
) -> None:
    """Nothing hangs, and the thread foresaw what came (else it would call the link broken)."""
    switch, said = babbler
    said[:] = [raw]
    link = Link("stima", address_of(switch.url), most=4)
    started = time.monotonic()
    with capture_logs() as logged:
        try:
            end = link.call(purchase(1), seconds=3)["37"]
        except WireError as error:
            end = error.reason
        link.join(2)
    assert end in ("connection_lost", f"{1:012d}")
    assert time.monotonic() - started < 2.5
    assert [line["event"] for line in logged] == ["biller_link_up", "biller_link_ended"]
    assert not link._connection._thread.is_alive()  # type: ignore[union-attr]

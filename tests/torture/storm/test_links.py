"""The proxies of a storm, with a real listener behind each."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.storm.links import Links

SOON = 5.0
SILENCE = 0.3


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Links]:
    """`tcp` and `unix`, each to a listener that answers every piece in capitals."""
    folder = tmp_path_factory.mktemp("links")
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = str(folder / "listener")
        unix.bind(path)
        unix.listen()
        for listener in (tcp, unix):
            threading.Thread(target=_shout, args=(listener,), daemon=True).start()
        targets = {"tcp": (f"127.0.0.1:{tcp.getsockname()[1]}",), "unix": (path,)}
        running = Links(targets, folder / "log")
        yield running
        running.stop()
        for listener in (tcp, unix):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def _open(links: Links) -> Iterator[None]:
    yield
    for name in links.ports:
        links.set(name, "open")


@pytest.mark.parametrize("name", ["tcp", "unix"])
def test_an_open_link_carries_all_and_the_end_of_each_direction(links: Links, name: str) -> None:
    sent = b"kibanda " * 200_000
    with _connect(links, name) as phone:
        threading.Thread(target=lambda: (phone.sendall(sent), phone.shutdown(1))).start()
        assert _read_all(phone) == sent.upper()


def test_latency_holds_back_each_way(links: Links) -> None:
    with _connect(links) as phone:
        links.set("tcp", "latency", seconds=0.2)
        began = time.monotonic()
        phone.sendall(b"a")
        assert phone.recv(1) == b"A"
        assert time.monotonic() - began >= 0.4


def test_reset_ends_what_is_connected_and_what_connects(links: Links) -> None:
    with _connect(links) as before:
        _say(before, b"a")
        links.set("tcp", "reset")
        with pytest.raises(ConnectionResetError):
            before.recv(1)
        with pytest.raises(ConnectionResetError), _connect(links) as after:
            after.recv(1)


def test_half_open_is_silent_to_whom_it_lost_and_carries_what_is_new(links: Links) -> None:
    with _connect(links) as lost:
        _say(lost, b"a")
        links.set("tcp", "half_open", deaf="client")
        lost.sendall(b"b")
        assert _is_silent(lost)
        with _connect(links) as new:
            _say(new, b"c")
        links.set("tcp", "open")
        with pytest.raises(ConnectionResetError):
            lost.recv(1)


def test_half_open_the_other_way_resets_the_client_alone(links: Links) -> None:
    with _connect(links) as lost:
        _say(lost, b"a")
        links.set("tcp", "half_open", deaf="server")
        with pytest.raises(ConnectionResetError):
            lost.recv(1)


def test_a_black_hole_delivers_afterwards_what_was_said_meanwhile(links: Links) -> None:
    with _connect(links) as before:
        _say(before, b"a")
        links.set("tcp", "black_hole")
        before.sendall(b"b")
        with _connect(links) as during:
            during.sendall(b"c")
            assert _is_silent(before)
            assert _is_silent(during)
            links.set("tcp", "open")
            assert before.recv(1) == b"B"
            assert during.recv(1) == b"C"


def test_a_link_to_nobody_resets(links: Links, tmp_path: Path) -> None:
    nowhere = Links({"nobody": (str(tmp_path / "nobody"),)}, tmp_path / "log")
    with pytest.raises(ConnectionResetError), _connect(nowhere, "nobody") as phone:
        phone.recv(1)
    nowhere.stop()


def _connect(links: Links, name: str = "tcp") -> socket.socket:
    return socket.create_connection(("127.0.0.1", links.ports[name][0]), timeout=SOON)


def _say(phone: socket.socket, what: bytes) -> None:
    phone.sendall(what)
    assert phone.recv(len(what)) == what.upper()


def _is_silent(phone: socket.socket) -> bool:
    phone.settimeout(SILENCE)
    try:
        phone.recv(1)
    except TimeoutError:
        return True
    finally:
        phone.settimeout(SOON)
    return False


def _read_all(phone: socket.socket) -> bytes:
    read = bytearray()
    while piece := phone.recv(65_536):
        read += piece
    return bytes(read)


def _shout(listener: socket.socket) -> None:
    """Answer every connection, each in a thread, until the listener is shut down."""

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while piece := connection.recv(65_536):
                connection.sendall(piece.upper())

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()

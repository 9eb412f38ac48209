"""The line of the ISO 8583 family: TCP, a length of two bytes before every message.

1. Every connection signs on first; until then financial messages hear 91.
2. Requests of one connection are worked on at once, and answered in whatever order they are done.
3. What cannot be read is not answered.
"""

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import iso8583 as codec
from iso8583.specs import default_ascii as spec

from sandbox.billers.iso8583 import BAD_FORMAT, SWITCH_DOWN, TYPES, Fields, Iso8583, respond
from sandbox.billers.kinds import SILENCE
from sandbox.faults import Fault

_MOST_CONNECTIONS = 64
_MOST_IN_FLIGHT = 256
_LONGEST = 4096
_WRONG_BY = 100
_NONSENSE = b"Welcome to StimaNet free Wi-Fi"
_log = logging.getLogger(__name__)


class Switch(Iso8583):
    """A biller of this family, and the port it answers at."""

    def open(self) -> None:
        """Listen from now on. Raises OSError when the port is taken."""
        server = socket.create_server(("127.0.0.1", self.account.port), backlog=_MOST_CONNECTIONS)
        _start(f"iso-{self.code}", lambda: _accept(server, self))


def _accept(server: socket.socket, biller: Iso8583) -> None:
    room = threading.Semaphore(_MOST_CONNECTIONS)
    while True:
        client, _ = server.accept()
        if not room.acquire(blocking=False):
            client.close()
            continue
        connection = _Connection(client, biller, room.release)
        _start(f"iso-{biller.code}-connection", connection.serve)


def _start(name: str, run: Callable[[], None]) -> None:
    threading.Thread(target=run, daemon=True, name=name).start()


class _Connection:
    """One connection of ours at the switch."""

    def __init__(self, client: socket.socket, biller: Iso8583, closed: Callable[[], None]) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._biller = biller
        self._closed = closed
        self._signed_on = False
        self._writing = threading.Lock()
        self._in_flight = threading.Semaphore(_MOST_IN_FLIGHT)

    def serve(self) -> None:
        """Read requests until the other side leaves."""
        try:
            while (content := self._read()) is not None:
                self._take(content)
        except OSError:
            return  # cut, by them or by a fault
        finally:
            self._client.close()
            self._closed()

    def _read(self) -> bytes | None:
        head = self._receive(2)
        if head is None:
            return None
        (length,) = struct.unpack(">H", head)
        return self._receive(length) if 0 < length <= _LONGEST else None

    def _receive(self, length: int) -> bytes | None:
        content = b""
        while len(content) < length:
            part = self._client.recv(length - len(content))
            if not part:
                return None
            content += part
        return content

    def _take(self, content: bytes) -> None:
        try:
            fields, _ = codec.decode(content, spec)
        except codec.DecodeError:
            _log.warning("a message of %d bytes that cannot be read", len(content))
            return
        if fields["t"] not in TYPES:
            return
        self._in_flight.acquire()
        _start("iso-request", lambda: self._work(fields))

    def _work(self, fields: Fields) -> None:
        try:
            call = self._biller.call_of(fields)
            fault = self._biller.faults.take(self._biller.target, tuple(SILENCE), call)
            self._answer(fields, fault)
        except OSError:
            return  # whoever asked has left
        finally:
            self._in_flight.release()

    def _answer(self, fields: Fields, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "no_answer":
            return
        if kind == "wrong_body":
            self._send(_NONSENSE)
            return
        if kind == "slow" and fault:
            time.sleep(fault.seconds)
        answer, lost = self._judge(fields)
        if lost or kind == "lost_reply":
            return
        if kind == "wrong_amount" and answer.get("4", "").isdecimal():
            answer = {**answer, "4": f"{int(answer['4']) + _WRONG_BY:012d}"}
        content, _ = codec.encode(answer, spec)
        self._send_spoiled(bytes(content), kind)

    def _judge(self, fields: Fields) -> tuple[Fields, bool]:
        if fields["t"] == "0800":
            return self._network(fields), False
        if not self._signed_on:
            return respond(fields, SWITCH_DOWN), False
        response = self._biller.answer(fields)
        return response.fields, response.lost

    def _network(self, fields: Fields) -> Fields:
        match fields.get("70"):
            case "001":  # sign-on
                self._signed_on = True
            case "002":  # sign-off
                self._signed_on = False
            case "301":  # echo
                pass
            case _:
                return respond(fields, BAD_FORMAT)
        return respond(fields, "00")

    def _send_spoiled(self, content: bytes, kind: str) -> None:
        half = content[: len(content) // 2]
        if kind == "malformed":
            self._send(half)
        elif kind == "cut":
            with self._writing:
                self._client.sendall(struct.pack(">H", len(content)) + half)
                with suppress(OSError):
                    self._client.shutdown(socket.SHUT_RDWR)
        else:
            self._send(content)

    def _send(self, content: bytes) -> None:
        with self._writing:
            self._client.sendall(struct.pack(">H", len(content)) + content)

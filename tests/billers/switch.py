"""An ISO 8583 switch on a real socket that does what a test tells it: answers late, lies, hangs up.

It reads and writes messages with the codec itself, so what it takes is what the wire's rules say,
not what our own code believes of them.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import iso8583
from iso8583.specs import default_ascii

Fields = dict[str, str]
Script = Callable[["Line", Fields], object]
TYPES = {"0200": "0210", "0220": "0230", "0221": "0230", "0400": "0410", "0401": "0410"}
TOKEN = "73786976294838206463"
NAME = "GRACE KAMAU".ljust(25)
TERMINAL, ACQUIRER = "KIBANDA1", "628001"


def packed(fields: Fields) -> bytes:
    message, _ = iso8583.encode(dict(fields), default_ascii)
    return struct.pack(">H", len(message)) + bytes(message)


def answer_to(asked: Fields, code: str = "00", told: str = "", **changes: str) -> Fields:
    """The biller's answer; `changes` as `f4="…"` for DE4, "" to leave a field out."""
    kind = TYPES.get(asked["t"], "0810")
    kept = {name: value for name, value in asked.items() if name.isdecimal() and name != "1"}
    answer = kept | {"t": kind, "39": code} | ({"62": told} if told else {})
    answer |= {name.removeprefix("f"): value for name, value in changes.items()}
    return {name: value for name, value in answer.items() if value}


@dataclass
class Line:
    """One connection, from the switch's side."""

    sock: socket.socket
    number: int
    signed_on: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, fields: Fields) -> None:
        self.raw(packed(fields))

    def answer(self, asked: Fields, code: str = "00", told: str = "", **changes: str) -> None:
        self.say(answer_to(asked, code, told, **changes))

    def raw(self, content: bytes) -> None:
        with self.lock:
            self.sock.sendall(content)

    def cut(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


@dataclass
class PlayedSwitch:
    """`script` gets every request but the network's, each in a thread of its own; `network` gets
    those. Both None: the honest switch."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    script: Script | None = None
    network: Script | None = None
    heard: list[Fields] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sold: dict[str, Fields] = field(default_factory=dict)  # the purchase, by RRN
    undone: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"

    def honest(self, line: Line, asked: Fields) -> None:
        """Sells an RRN once, whatever it comes in; undoes it when asked, and then for ever."""
        rrn, kind = asked["37"], asked["t"][:2]
        with self.lock:
            if kind == "04":
                known = rrn in self.sold or rrn in self.undone
                self.sold.pop(rrn, None)
                self.undone.add(rrn)
                return line.answer(asked, "00" if known else "25")
            if asked["3"] == "380000":
                return line.answer(asked, "00", NAME + "P00")
            if rrn in self.undone:
                return line.answer(asked, "94")
            self.sold.setdefault(rrn, asked)
        return line.answer(asked, "00", f"1{TOKEN}")

    def sell(self, asked: Fields) -> None:
        """Take a purchase into the books without a word."""
        with self.lock:
            if asked["37"] not in self.undone:
                self.sold.setdefault(asked["37"], asked)

    def of(self, *kinds: str) -> list[Fields]:
        return [fields for fields in list(self.heard) if fields["t"] in kinds]

    def networks(self) -> Counter[str]:
        """How often it was asked for what: 001 sign-on, 301 echo, 002 sign-off."""
        return Counter(fields["70"] for fields in self.of("0800"))

    def wait(self, holds: Callable[[PlayedSwitch], bool], seconds: float = 5) -> None:
        """Until what was heard makes it true."""
        with self.news:
            assert self.news.wait_for(lambda: holds(self), seconds), self.heard

    def serve(self, line: Line) -> None:
        """Read one connection until it ends."""
        with suppress(OSError, struct.error), line.sock:
            while True:
                (length,) = struct.unpack(">H", _exactly(line.sock, 2))
                message = _exactly(line.sock, length)
                asked = dict(iso8583.decode(message, default_ascii)[0])
                with self.news:
                    self.heard.append(asked)
                    self.news.notify_all()
                if asked["t"] == "0800":
                    (self.network or sign_on)(line, asked)
                else:
                    self._work(line, asked)

    def _work(self, line: Line, asked: Fields) -> None:
        def work() -> None:
            with suppress(OSError):  # they hung up, or a test did
                if not line.signed_on:
                    line.answer(asked, "91")
                else:
                    (self.script or self.honest)(line, asked)

        threading.Thread(target=work, daemon=True).start()

    def greet(self, server: socket.socket) -> None:
        """Take connections until the server's socket is shut."""
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._begin, args=(client,), daemon=True).start()

    def _begin(self, client: socket.socket) -> None:
        try:
            sock = self.tls.wrap_socket(client, server_side=True) if self.tls else client
        except OSError:
            client.close()
            return
        with self.news:
            line = Line(sock, len(self.lines) + 1)
            self.lines.append(line)
            self.news.notify_all()
        self.serve(line)


def sign_on(line: Line, asked: Fields) -> None:
    line.signed_on = line.signed_on or asked["70"] == "001"
    line.answer(asked)


def _exactly(sock: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = sock.recv(length - len(content))
        if not part:
            raise ConnectionResetError
        content += part
    return content


@contextmanager
def played_switch(
    tls: ssl.SSLContext | None = None, *, receive_bytes: int | None = None
) -> Iterator[PlayedSwitch]:
    """A running switch on a free port of loopback; `receive_bytes` are kept that nobody reads."""
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    if receive_bytes:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    switch = PlayedSwitch(server.getsockname()[1], tls)
    thread = threading.Thread(target=switch.greet, args=(server,))
    thread.start()
    try:
        yield switch
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        server.close()
        for line in switch.lines:
            line.cut()

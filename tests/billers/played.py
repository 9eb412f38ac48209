"""A biller on a real socket that does what a test tells it: sells, stays silent, lies, hangs up."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Body = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request as it came; `headers` by their names in small letters."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Body


@dataclass(frozen=True)
class Torn:
    """The beginning of a response, after which the connection is closed."""

    raw: bytes


Script = Callable[["PlayedBiller", Body], object]


@dataclass
class PlayedBiller:
    """`script` decides every purchase: a dict is the answer's `data`, bytes are sent raw as the
    whole response, None closes the connection without a word."""

    url: str = ""
    script: Script | None = None
    sold: dict[str, Body] = field(default_factory=dict)
    requests: list[Body] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    in_flight: int = 0
    most_in_flight: int = 0

    def sell(self, body: Body) -> Body:
        """The honest biller: a reference is sold once and answered alike ever after."""
        with self.lock:
            token = f"{secrets.randbelow(2**66):020d}"
            return self.sold.setdefault(
                body["ref_id"], answer(body, "00", "Sukses", sn=f"{token}/GRACE/R1/900VA/1.2")
            )

    def take(self, body: Body) -> object:
        with self.lock:
            self.requests.append(body)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return self.script(self, body) if self.script else self.sell(body)
        finally:
            with self.lock:
                self.in_flight -= 1

    def calls(self, ref_id: str) -> int:
        return sum(body.get("ref_id") == ref_id for body in self.requests)


def answer(body: Body, rc: str, status: str, **more: object) -> Body:
    """`data` of an answer in the biller's own format to this request."""
    return {
        "ref_id": body["ref_id"],
        "customer_no": body["customer_no"],
        "buyer_sku_code": body["buyer_sku_code"],
        "message": "words",
        "status": status,
        "rc": rc,
        "sn": "",
        "buyer_last_saldo": 990_000,
        "price": body.get("amount", 0),
        **more,
    }


def refuse(rc: str) -> Script:
    return lambda _, body: answer(body, rc, "Gagal")


def pending(_: PlayedBiller, body: Body) -> Body:
    return answer(body, "03", "Pending")


def lose_after_selling(biller: PlayedBiller, body: Body) -> None:
    biller.sell(body)


def slow(seconds: float) -> Script:
    def script(biller: PlayedBiller, body: Body) -> Body:
        time.sleep(seconds)
        return biller.sell(body)

    return script


def http(status: str, text: str = "<html>proxy</html>", kind: str = "text/html") -> Script:
    raw = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    return lambda _biller, _body: raw.encode()


def in_turn(*scripts: Script) -> Script:
    """The first request under each reference by the first script, and so on; the last repeats."""

    def script(biller: PlayedBiller, body: Body) -> object:
        turn = min(biller.calls(body["ref_id"]), len(scripts)) - 1
        return scripts[turn](biller, body)

    return script


def honest(biller: PlayedBiller, body: Body) -> Body:
    return biller.sell(body)


@contextmanager
def played_biller() -> Iterator[PlayedBiller]:
    """A running biller on a free port of loopback."""
    biller = PlayedBiller()

    def answered(asked: Asked) -> object:
        reply = biller.take(asked.body)
        return {"data": reply} if isinstance(reply, dict) else reply

    with served(answered) as biller.url:
        yield biller


@contextmanager
def served(answered: Callable[[Asked], object]) -> Iterator[str]:
    """The address of a server on a free port of loopback.

    A dict is the JSON of a 200 answer, a status with a dict that of another; bytes are sent raw as
    the whole response, `Torn` as its beginning; None closes the connection without a word.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: in two, the second waits for 40 ms

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            at = urlsplit(self.path)
            query = {name: found[-1] for name, found in parse_qs(at.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else {}
            reply = answered(Asked(self.command, at.path, query, headers, body))
            try:
                self._send(reply)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_GET(self) -> None:
            self.do_POST()

        def _send(self, reply: object) -> None:
            if reply is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif isinstance(reply, bytes):
                self.wfile.write(reply)
            elif isinstance(reply, Torn):
                self.close_connection = True
                self.wfile.write(reply.raw)
            else:
                status, said = reply if isinstance(reply, tuple) else (200, reply)
                text = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Tests read what was asked, not a log."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up is part of the play."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Africa's Talking's messaging address over real HTTP: literal answers, kept requests."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

Form = dict[str, str]
JSON = "application/json"


@dataclass(frozen=True)
class Reply:
    """What the server does with one request. `status` 0 closes the connection without an answer;
    `takes` says whether the gateway has the message then."""

    status: int = 201
    body: str = ""
    content_type: str = JSON
    takes: bool = True
    wait_seconds: float = 0


def taken(form: Form, number: int, **facts: object) -> Reply:
    recipient = {
        "cost": "KES 0.8000",
        "messageId": f"ATXid_{number}",
        "number": form["to"],
        "status": "Success",
        "statusCode": 101,
        **facts,
    }
    data = {"Message": "Sent to 1/1 Total Cost: KES 0.8000", "Recipients": [recipient]}
    return Reply(body=json.dumps({"SMSMessageData": data}))


LOST = Reply(status=0)
DOWN = Reply(status=0, takes=False)
BROKEN = Reply(status=500, body="Internal Server Error", content_type="text/plain", takes=False)


@dataclass
class MessagingServer:
    """`script` answers the first requests in order, everything after that is taken as usual."""

    port: int
    script: list[Reply] = field(default_factory=list)
    wait_seconds: float = 0
    before_answer: Callable[[str], None] | None = None
    requests: list[Form] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    messages: list[Form] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def listening(self) -> Iterator[MessagingServer]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(raw).items()}
        with self._lock:
            number = next(self._numbers)
            self.paths.append(handler.path)
            self.requests.append(form)
            self.headers.append(dict(handler.headers.items()))
            reply = self.script.pop(0) if self.script else taken(form, number)
            if reply.takes:
                self.messages.append(form)
        if self.before_answer:
            self.before_answer(f"ATXid_{number}")
        time.sleep(reply.wait_seconds or self.wait_seconds)
        handler.close_connection = True
        if reply.status == 0:
            return
        body = reply.body.encode()
        handler.send_response(reply.status)
        handler.send_header("Content-Type", reply.content_type)
        handler.send_header("Content-Length", str(len(body)))
        if reply.status == 302:
            handler.send_header("Location", f"{self.url}/elsewhere")
        handler.end_headers()
        with contextlib.suppress(OSError):  # the sender may have given up
            handler.wfile.write(body)

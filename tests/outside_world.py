"""For tests of the sandbox: the real process on a free port, and a tiny stand-in for Kibanda.

The stand-in answers CON and END by what it is told, and keeps every form that was posted to it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 15.0

Form = dict[str, str]
Reply = tuple[int, str]


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Return as soon as the condition holds; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def demo_menu(form: Form) -> Reply:
    """What the stand-in says unless a test tells it otherwise: a menu, then goodbye."""
    if form["text"] == "":
        return 200, "CON Karibu\n1. Balance\n2. Pay bill"
    return 200, f"END You sent {len(form['text'])} characters"


@dataclass(frozen=True)
class Webhook:
    """What a biller told, as it came: the last part of the path, the headers in small letters."""

    biller: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)["data"]
        return told


@dataclass
class StandIn:
    """Kibanda as the outside sees it: its callbacks. `hops`, `ends`, `reports` and `webhooks` keep
    what came.
    """

    url: str = ""
    answer: Callable[[Form], Reply] = demo_menu
    report_status: int = 200
    hops: list[Form] = field(default_factory=list)
    ends: list[Form] = field(default_factory=list)
    reports: list[Form] = field(default_factory=list)
    webhook_status: int = 200
    webhooks: list[Webhook] = field(default_factory=list)

    def forget(self) -> None:
        self.answer, self.report_status = demo_menu, 200
        self.webhook_status = 200
        self.webhooks.clear()
        for kept in (self.hops, self.ends, self.reports):
            kept.clear()

    def webhooks_of(self, ref_id: str) -> list[Webhook]:
        return [one for one in self.webhooks if ref_id in one.body.decode()]

    def ends_of(self, who: str) -> list[Form]:
        """The end events of one session, or of one number; they come late, so tests never mix."""
        return [end for end in self.ends if who in (end["sessionId"], end["phoneNumber"])]

    def reports_of(self, message: str) -> list[str]:
        return [report["status"] for report in self.reports if report["id"] == message]

    def take(self, path: str, form: Form) -> Reply:
        match path.removeprefix("/callbacks/africastalking"):
            case "/ussd":
                self.hops.append(form)
                return self.answer(form)
            case "/ussd/end":
                self.ends.append(form)
                return 200, ""
            case "/sms/delivery":
                self.reports.append(form)
                return self.report_status, ""
        return 404, ""


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A running stand-in on a free port."""
    kibanda = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            url = urlsplit(self.path)
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if url.path.startswith("/callbacks/billers/"):
                headers = {name.lower(): value for name, value in self.headers.items()}
                kibanda.webhooks.append(Webhook(url.path.split("/")[-1], headers, content))
                self.reply(kibanda.webhook_status, "")
                return
            fields = parse_qs(content.decode(), keep_blank_values=True)
            form = {name: values[0] for name, values in fields.items()}
            right = parse_qs(url.query).get("token") == ["demo"]
            self.reply(*(kibanda.take(url.path, form) if right else (403, "")))

        def reply(self, status: int, text: str) -> None:
            body = text.encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "text/plain")
                self.send_header("at-ussd-hop-metadata", "Home")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                return  # the sandbox stopped listening, as some tests mean it to

        def log_message(self, *args: object) -> None:
            """Tests read what was posted, not a log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kibanda.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield kibanda
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Sandbox:
    """The real `python -m sandbox`, and short ways to speak to it."""

    process: "subprocess.Popen[bytes]"
    url: str
    data: Path
    ports: dict[str, int] = field(default_factory=dict)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=20)

    def post(self, path: str, body: object = None, timeout: float = 20) -> requests.Response:
        return requests.post(self.url + path, json=body, timeout=timeout)

    def fault(self, target: str, kind: str, **more: object) -> None:
        answer = self.post("/faults", {"target": target, "kind": kind, "times": 1, **more})
        assert answer.status_code == 201, answer.text

    def kill(self) -> None:
        """kill -9, the worker too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def clear_faults(self) -> None:
        requests.delete(f"{self.url}/faults", timeout=5).raise_for_status()


@contextmanager
def running_sandbox(
    kibanda_url: str, data: Path, port: int = 0, **settings: str
) -> Iterator[Sandbox]:
    """A sandbox of its own, on a free port unless told one, stopped at the end; `settings` go to
    its environment.
    """
    port = port or free_port()
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SANDBOX_PORT": str(port),
        "SANDBOX_DATA": str(data),
        "KIBANDA_URL": kibanda_url,
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox"], cwd=ROOT, env=environ, start_new_session=True
    )
    sandbox = Sandbox(process, f"http://127.0.0.1:{port}", data)
    try:
        wait_until(lambda: process.poll() is not None or _is_ready(sandbox.url), READY_SECONDS)
        assert process.poll() is None, "the sandbox did not start"
        yield sandbox
    finally:
        process.terminate()
        process.wait(timeout=10)


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/faults", timeout=2).ok
    except requests.ConnectionError:
        return False

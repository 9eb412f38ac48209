"""When a run is ready, and what a person is told then."""

from __future__ import annotations

import http.client
import time

from launcher.settings import Settings
from launcher.terminal import Terminal

LOOPBACK = "127.0.0.1"
LOOK_SECONDS = 0.2
ANSWER_SECONDS = 1.0
REMIND_SECONDS = 60.0
BODY_BYTES = 500
HEADS = {"customer": "Customers", "agent": "Agents", "super_agent": "Super-agent"}


class Readiness:
    """Says once that everything answers, with what a person needs to try it."""

    def __init__(self, asked: Settings, terminal: Terminal) -> None:
        self._asked = asked
        self._terminal = terminal
        self._ready = False
        self._next_look = 0.0
        self._remind_at = time.monotonic() + REMIND_SECONDS

    def look(self) -> None:
        now = time.monotonic()
        if self._ready or now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        status, body = _get(self._asked.port, "/readyz")
        sandbox_up = not self._asked.demo or _get(self._asked.sandbox_port, "/")[0] == 200
        if status == 200 and sandbox_up:
            self._ready = True
            self._terminal.plain(self._welcome())
        elif now >= self._remind_at:
            self._remind_at = now + REMIND_SECONDS
            self._terminal.step(f"not ready yet: {body or 'nobody answers on the web port'}")

    def _welcome(self) -> str:
        asked, seconds = self._asked, self._terminal.seconds
        if not asked.demo:
            address = f"http://{LOOPBACK}:{asked.port}"
            return f"\nKibanda is ready ({seconds:.1f} s): market {asked.market.name}, {address}\n"
        phone = f"http://{LOOPBACK}:{asked.sandbox_port}/"
        lines = (
            ("", f"Kibanda is ready ({seconds:.1f} s)."),
            ("", ""),
            ("Phone", f"{phone} in a browser, or `make phone` in a second terminal"),
            ("Dial", asked.market.service_code),
            *self._people(),
            ("PIN", "7391 for all of them"),
            ("Staff", "asha, baraka, mkuu: kibanda-demo-staff; code by `flask staff code NAME`"),
            ("Meter", "54100234563 (any 11 digits that pass Luhn)"),
            ("Stop", "Ctrl-C"),
        )
        return "\n" + "\n".join(f"  {name:<11} {text}".rstrip() for name, text in lines) + "\n"

    def _people(self) -> list[tuple[str, str]]:
        """One line a role; the phone's page has them by name."""
        lines: dict[str, list[str]] = {}
        for one in self._asked.market.people:
            lines.setdefault(one.role, []).append(f"{one.msisdn} {one.name}")
        return [(HEADS.get(role, role), ", ".join(people)) for role, people in lines.items()]


def _get(port: int, path: str) -> tuple[int, str]:
    """Status and beginning of the body from our own port; (0, "") when nobody answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(BODY_BYTES).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()

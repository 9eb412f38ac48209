"""L3: Africa's Talking from the other side: a phone that dials our callback as the operator does.

For transcripts, and for tests of hops that no polite operator would send. It asks a running
Kibanda over HTTP and is no part of serving one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import requests
import urllib3

from app.errors import DomainError
from app.gateways.africastalking import GATEWAY

NETWORK_CODE = "99999"  # what the operator sends for its own simulator
NETWORK_ERROR = "Network error / MMI"
CONNECT_SECONDS = 3.05
END_SECONDS = 10.0
ANSWER_BYTES_MOST = 16_384


@dataclass
class Session:
    """One USSD session at the wire: `text` accumulates, and may be sent again or wrong."""

    url: str
    token: str = field(repr=False)
    msisdn: str
    service_code: str
    id: str = field(default_factory=lambda: f"ATUid_{secrets.token_hex(16)}")
    text: str = field(default="", repr=False)
    answer_seconds: float = GATEWAY.answer_seconds
    began: float = field(default_factory=time.monotonic)
    hops: list[str] = field(default_factory=list)

    def extend(self, typed: str) -> None:
        self.text = f"{self.text}*{typed}" if self.text else typed

    def post(self, text: str, *, stream: bool = False, **changed: str) -> requests.Response:
        """One hop with exactly this text. Raises requests.RequestException."""
        form = {**self._who(), "text": text, **changed}
        return self._post("", form, self.answer_seconds, stream=stream)

    def end(self, status: str) -> None:
        """The operator's word that it is over, said once. Raises requests.RequestException."""
        form = {
            **self._who(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "status": status,
            "cost": "KES 0.10",
            "durationInMillis": str(int((time.monotonic() - self.began) * 1000)),
            "hopsCount": str(len(self.hops)),
            "hopsMetadata": ",".join(name for name in self.hops if name),
        }
        self._post("/end", form, END_SECONDS).close()

    def _who(self) -> dict[str, str]:
        return {
            "sessionId": self.id,
            "phoneNumber": self.msisdn,
            "networkCode": NETWORK_CODE,
            "serviceCode": self.service_code,
        }

    def _post(
        self, path: str, form: dict[str, str], seconds: float, *, stream: bool = False
    ) -> requests.Response:
        return requests.post(
            f"{self.url.rstrip('/')}/callbacks/africastalking/ussd{path}",
            params={"token": self.token},
            data=form,
            timeout=(CONNECT_SECONDS, seconds),
            allow_redirects=False,
            stream=stream,
        )


class WirePhone:
    """A phone of one number. `tell` hears why the network gave an error of its own.

    No answer, and a token that is refused, are DomainErrors: `server_away`, `server_refuses`,
    `server_other`, each with the fact `url`. What a phone would show as an error of the network is
    a screen: NETWORK_ERROR.
    """

    def __init__(
        self,
        url: str,
        token: str,
        msisdn: str,
        service_codes: Iterable[str],
        tell: Callable[[str], None] = lambda _line: None,
        answer_seconds: float = GATEWAY.answer_seconds,
    ) -> None:
        self.url, self.msisdn = url, msisdn
        self._answer_seconds = answer_seconds
        self._token, self._codes, self._tell = token, tuple(service_codes), tell
        self._session: Session | None = None

    @property
    def open(self) -> bool:
        return self._session is not None

    def dial(self, code: str) -> str:
        """The first screen. A menu that is open is left first, as by the red key."""
        self.drop()
        service_code, text = self._one_shot(code)
        if not service_code:
            self._tell(f"# {code} is none of {', '.join(self._codes)}: no network carries it here")
            return NETWORK_ERROR
        self._session = Session(
            self.url,
            self._token,
            self.msisdn,
            service_code,
            text=text,
            answer_seconds=self._answer_seconds,
        )
        return self._hop(self._session)

    def reply(self, text: str) -> str:
        """The next screen; a menu must be open."""
        assert self._session, "no menu is open"
        self._session.extend(text)
        return self._hop(self._session)

    def drop(self) -> None:
        """The network is lost, or the red key is pressed: the operator says Incomplete."""
        if self._session is not None:
            self._over(self._session, "Incomplete")

    def _hop(self, session: Session) -> str:
        try:
            status, body, state = self._ask(session)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            self._session = None
            # The error's own text holds the address, and the address holds the token.
            raise DomainError(
                "server_away", retryable=True, url=self.url, reason=type(error).__name__
            ) from None
        session.hops.append(state)
        word, _, screen = body.partition(" ")
        if 200 <= status < 300 and word == "CON":
            return screen
        if 200 <= status < 300 and word == "END":
            self._over(session, "Success")
            return screen
        return self._error(session, status)

    def _ask(self, session: Session) -> tuple[int, str, str]:
        """Status, body and state of one hop; a body that trickles beyond the operator's patience
        is late, too. Raises as requests and urllib3 do.
        """
        deadline = time.monotonic() + session.answer_seconds
        content = b""
        with session.post(session.text, stream=True) as response:
            while chunk := response.raw.read1(ANSWER_BYTES_MOST, decode_content=True):
                content += chunk
                if time.monotonic() > deadline or len(content) > ANSWER_BYTES_MOST:
                    raise requests.ReadTimeout("the answer does not end")
        state = response.headers.get("at-ussd-hop-metadata", "")
        return response.status_code, content.decode("utf-8", "replace"), state

    def _error(self, session: Session, status: int) -> str:
        """The network's own screen; DomainError where no phone would have come so far."""
        if status == 403:
            self._session = None
            raise DomainError("server_refuses", url=self.url)
        if status == 404 or 300 <= status < 400:
            self._session = None
            raise DomainError("server_other", url=self.url, status=status)
        fine = 200 <= status < 300
        self._tell(f"# {'neither CON nor END came' if fine else f'the answer was HTTP {status}'}")
        self._over(session, "Failed")
        return NETWORK_ERROR

    def _over(self, session: Session, status: str) -> None:
        self._session = None
        try:
            session.end(status)
        except requests.RequestException as error:
            self._tell(f"# the end event was not taken: {type(error).__name__}")

    def _one_shot(self, code: str) -> tuple[str, str]:
        """The service code and the replies that were dialled with it; empty for nobody's code."""
        for ours in self._codes:
            stem = ours.removesuffix("#")
            if code == ours:
                return ours, ""
            if code.startswith(f"{stem}*"):
                return ours, code.removeprefix(f"{stem}*").removesuffix("#")
        return "", ""

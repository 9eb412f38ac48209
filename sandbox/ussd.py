"""The operator's side of a USSD session: carries replies to our callback, and says how it ended.

Africa's Talking's wire: the USSD callback, and the end event at a URL of its own. Only `CON ` and
`END ` are understood; a 4xx, a 5xx, silence beyond the deadline or any other body is an error of
ours. Nothing is ever tried again.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Literal

from urllib3.exceptions import HTTPError

from sandbox.outbound import (
    CONNECT_SECONDS,
    NETWORK_CODE,
    RequestException,
    Response,
    Timeout,
    post,
)
from sandbox.settings import Settings

_log = logging.getLogger(__name__)

_LONGEST_BODY = 16_384
_COST = "KES 0.10"
_END_EVENT_TIMEOUTS = (3.0, 10.0)  # connect, read
_TOO_LATE = "Request timed out"

EndStatus = Literal["Success", "Incomplete", "Failed"]


@dataclass
class Session:
    """One USSD session as the gateway knows it. The replies hold PINs: they stay in memory."""

    msisdn: str
    service_code: str
    replies: list[str]
    id: str = field(default_factory=lambda: f"ATUid_{token_hex(16)}")
    began: float = field(default_factory=time.monotonic)
    hops: int = 0
    last_response: str = ""
    hop_names: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "*".join(self.replies)


@dataclass(frozen=True)
class Answer:
    """What came back for a hop: a menu (con), a last screen (end), or our error and its reason."""

    kind: Literal["con", "end", "error"]
    text: str
    body: str = ""
    hop_name: str = ""


class Operator:
    """Speaks to our callbacks; safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"{settings.kibanda_url}/callbacks/africastalking/ussd"
        self._token = settings.callback_token
        self._answer_seconds = settings.answer_seconds

    def hop(self, session: Session, service_code: str) -> Answer:
        """Deliver the session's text so far and wait for our answer until the deadline."""
        form = {
            "sessionId": session.id,
            "phoneNumber": session.msisdn,
            "networkCode": NETWORK_CODE,
            "serviceCode": service_code,
            "text": session.text,
        }
        timeouts = (min(CONNECT_SECONDS, self._answer_seconds), self._answer_seconds)
        deadline = time.monotonic() + self._answer_seconds
        try:
            with post(self._url, token=self._token, form=form, timeout=timeouts) as response:
                answer = _understand(response, _read(response, deadline))
        except (RequestException, HTTPError) as error:
            late = isinstance(error, Timeout) or time.monotonic() > deadline
            return Answer("error", _TOO_LATE if late else "Could not connect")
        return answer if time.monotonic() <= deadline else Answer("error", _TOO_LATE)

    def end(self, session: Session, status: EndStatus, error: str = "") -> None:
        """Tell us, in the background and only once, how the session ended."""
        form = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "sessionId": session.id,
            "serviceCode": session.service_code,
            "networkCode": NETWORK_CODE,
            "phoneNumber": session.msisdn,
            "status": status,
            "cost": _COST,
            "durationInMillis": str(int((time.monotonic() - session.began) * 1000)),
            "hopsCount": str(session.hops),
            "lastAppResponse": session.last_response,
        }
        if session.text:
            form["input"] = session.text
        if error:
            form["errorMessage"] = error
        if session.hop_names:
            form["hopsMetadata"] = ",".join(session.hop_names)
        threading.Thread(target=self._post_end, args=(form,), daemon=True, name="ussd-end").start()

    def _post_end(self, form: dict[str, str]) -> None:
        url = f"{self._url}/end"
        try:
            post(url, token=self._token, form=form, timeout=_END_EVENT_TIMEOUTS).close()
        except RequestException as error:
            _log.warning("end event of %s lost: %s", form["sessionId"], type(error).__name__)


def _read(response: Response, deadline: float) -> str:
    """The body, as far as it came by the deadline; one that trickles beyond it is late, too."""
    content = b""
    while chunk := response.raw.read1(_LONGEST_BODY, decode_content=True):
        content += chunk
        if time.monotonic() > deadline or len(content) > _LONGEST_BODY:
            break
    return content.decode("utf-8", "replace")


def _understand(response: Response, body: str) -> Answer:
    if not 200 <= response.status_code < 300:
        return Answer("error", f"Application answered HTTP {response.status_code}", body)
    name = response.headers.get("at-ussd-hop-metadata", "")
    if body.startswith("CON "):
        return Answer("con", body[4:], body, name)
    if body.startswith("END "):
        return Answer("end", body[4:], body, name)
    return Answer("error", "Response was neither CON nor END", body)

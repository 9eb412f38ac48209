"""L3: SMS through Africa's Talking: the send, its outcome as data, and delivery reports.

The package builds the form, the headers and the address; `_Wire` carries them, because the
package's own transport loses the HTTP status, follows redirects (a followed one may send twice)
and parses JSON only under an exact content type.

1. An outcome is Taken, Refused or Unknown and never an exception: the caller must record it.
2. Refused means that the gateway certainly did not take the message: no connection came about, or
   it said so in its own words. All else, 5xx and nonsense included, is Unknown: it may be on its
   way to the phone.
3. The gateway's words stand in three tables; a word that is not there is logged and never guessed.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from africastalking.SMS import SMSService

from app.errors import DomainError
from app.msisdn import is_e164
from app.settings import Settings
from app.telemetry import log, mask_text

CONNECT_SECONDS, READ_SECONDS = 3.05, 6.0
ANSWER_SECONDS = 9.0  # of one try as a whole, so that a stop within 10 s can wait for its outcome
ANSWER_BYTES_MOST = 65_536
WORD_CHARS_MOST = 64
PROVIDER_ID_CHARS_MOST = 128
_NUMBERS = re.compile(r"[0-9]{4,}")


@dataclass(frozen=True, slots=True)
class Taken:
    """The gateway has the message. Its id names the message in reports; None if it gave none."""

    provider_id: str | None
    cost: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The gateway certainly did not take it. `permanent`: for this message it never will."""

    reason: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been taken: no answer, or one that we cannot read."""

    reason: str


Outcome = Taken | Refused | Unknown

# Recipient status codes. What our account or the gateway must cure can be tried again; what lies
# in the number cannot. 401 keeps the message for review and may send it later.
STATUS_CODES: Mapping[int, Refused | Unknown | type[Taken]] = {
    100: Taken,
    101: Taken,
    102: Taken,
    401: Unknown("risk_hold"),
    402: Refused("invalid_sender", permanent=False),
    403: Refused("invalid_number", permanent=True),
    404: Refused("unsupported_number_type", permanent=True),
    405: Refused("insufficient_balance", permanent=False),
    406: Refused("blacklisted", permanent=True),
    407: Refused("not_routable", permanent=False),
    409: Refused("do_not_disturb", permanent=True),
    500: Unknown("gateway_internal"),
    501: Unknown("gateway_error"),
    502: Refused("rejected_by_gateway", permanent=False),
}
# What a 201 without recipients says of the whole request.
REQUEST_WORDS: Mapping[str, Refused] = {
    "InvalidSenderId": Refused("invalid_sender", permanent=False),
}
# A delivery report's status, in our words.
DELIVERY_WORDS: Mapping[str, str] = {
    "Sent": "sent",
    "Submitted": "submitted",
    "Buffered": "buffered",
    "Success": "delivered",
    "Failed": "failed",
    "Rejected": "rejected",
    "Expired": "expired",
    "AbsentSubscriber": "absent",
}
FINAL_WORDS = frozenset({"delivered", "failed", "rejected", "expired", "absent"})
UNKNOWN_WORD = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What the gateway says became of a message. `status` is its word, `word` is ours."""

    provider_id: str
    status: str
    word: str
    reason: str | None = None
    msisdn: str | None = None
    network: str | None = None
    retry_count: int | None = None


class AfricasTalkingSms:
    """The SMS side of one account. Safe for threads: it holds no connection and changes nothing.

    A connection a message, never a kept one: a kept connection that the gateway has just closed
    cannot be told from an answer that was lost, and would repeat a message without a fault.
    """

    def __init__(
        self,
        *,
        username: str,
        api_key: str,
        api_url: str = "",
        sender_id: str = "",
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._sender_id = sender_id or None
        self._timeout = (CONNECT_SECONDS, read_seconds)
        self._wire = _Wire(username, api_key, api_url)

    @classmethod
    def from_settings(cls, settings: Settings) -> AfricasTalkingSms:
        return cls(
            username=settings.at_username,
            api_key=settings.at_api_key.get_secret_value(),
            api_url=settings.at_api_url,
            sender_id=settings.at_sender_id,
        )

    def send(self, msisdn: str, text: str) -> Outcome:
        """Hand over one SMS to one E.164 number; a failure of the network is an outcome too."""
        if not is_e164(msisdn):
            return Refused("invalid_number", permanent=True)
        try:
            answer = self._wire.send(text, [msisdn], self._sender_id, timeout=self._timeout)
        except requests.RequestException as error:
            reason = type(error).__name__
            return Refused(reason, permanent=False) if _unsent(error) else Unknown(reason)
        return read_answer(answer)


class _Wire(SMSService):  # type: ignore[misc]  # the package ships no types
    """The package's SMS service with our address and a transport that keeps the HTTP status."""

    def __init__(self, username: str, api_key: str, api_url: str) -> None:
        self._api_url = api_url.rstrip("/")
        super().__init__(username, api_key)

    def _init_service(self) -> None:
        super()._init_service()
        if self._api_url:
            self._baseUrl = self._contentUrl = f"{self._api_url}/version1"

    def _make_request(
        self,
        url: str,
        method: str,
        headers: Mapping[str, str],
        data: Mapping[str, Any],
        params: Mapping[str, str] | None,
        callback: object = None,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> Answer:
        """One request, one answer read to its bound. Raises requests.RequestException."""
        assert callback is None, "a callback of the package runs in a thread that loses errors"
        deadline = time.monotonic() + ANSWER_SECONDS
        with requests.request(
            method,
            url,
            headers=dict(headers),
            data=data,
            params=params,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            body = _read(response, deadline)
        return Answer(response.status_code, body.decode("utf-8", "replace"))


def _read(response: requests.Response, deadline: float) -> bytes:
    """The body as it comes in, so that one which trickles is cut off too. Raises as requests."""
    body = b""
    try:
        while piece := response.raw.read1(ANSWER_BYTES_MOST, decode_content=True):
            body += piece
            if len(body) > ANSWER_BYTES_MOST or time.monotonic() > deadline:
                raise requests.ReadTimeout("the answer does not end")
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    return body


def read_answer(answer: Answer) -> Outcome:
    """The outcome of a request for one recipient, from the gateway's literal answer."""
    if answer.status == 401:  # in plain text; the key is wrong and nothing was looked at
        return Refused("unauthorized", permanent=False)
    if not 200 <= answer.status < 300:
        return _unlisted(f"http_{answer.status}", answer.body)
    try:
        data = json.loads(answer.body)["SMSMessageData"]
        message, recipients = data["Message"], data["Recipients"]
        if not recipients:
            return REQUEST_WORDS.get(message) or _unlisted("no_recipient", message)
        (recipient,) = recipients
        return _read_recipient(recipient)
    except (ValueError, KeyError, TypeError):
        return _unlisted("unreadable_answer", answer.body)


def _read_recipient(recipient: Mapping[str, Any]) -> Outcome:
    code = int(recipient["statusCode"])
    listed = STATUS_CODES.get(code)
    if listed is None:
        return _unlisted(f"status_{code}", str(recipient.get("status")))
    if not isinstance(listed, type):
        return listed
    provider_id = _line(recipient.get("messageId"), PROVIDER_ID_CHARS_MOST)
    return Taken(
        provider_id=None if provider_id in (None, "None") else provider_id,
        cost=_line(recipient.get("cost"), WORD_CHARS_MOST) or "",
    )


def parse_delivery(form: Mapping[str, str]) -> DeliveryReport:
    """A delivery report from its form. Raises DomainError `field_missing` with the field's name."""
    provider_id = _line(form.get("id"), PROVIDER_ID_CHARS_MOST)
    status = _line(form.get("status"), WORD_CHARS_MOST)
    if provider_id is None or status is None:
        raise DomainError("field_missing", field="status" if provider_id else "id")
    word = DELIVERY_WORDS.get(status, UNKNOWN_WORD)
    if word == UNKNOWN_WORD:
        log.warning("delivery_status_unknown", status=status)
    retries = _line(form.get("retryCount"), WORD_CHARS_MOST) or ""
    return DeliveryReport(
        provider_id=provider_id,
        status=status,
        word=word,
        reason=_line(form.get("failureReason"), WORD_CHARS_MOST),
        msisdn=_line(form.get("phoneNumber"), WORD_CHARS_MOST),
        network=_line(form.get("networkCode"), WORD_CHARS_MOST),
        retry_count=int(retries) if re.fullmatch(r"[0-9]{1,6}", retries) else None,
    )


def _unlisted(reason: str, answer: object) -> Unknown:
    """An answer outside our tables, with its first words in the log.

    Should it quote our message, then without its numbers: one may be a code that opens something.
    """
    words = _NUMBERS.sub("***", mask_text(_line(answer, 120) or ""))
    log.warning("sms_answer_unlisted", reason=reason, answer=words)
    return Unknown(reason)


def _unsent(error: requests.RequestException) -> bool:
    """Whether the failure came before a byte of the message could leave."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError):
        return True
    return any(
        type(cause).__name__ in ("NewConnectionError", "NameResolutionError")
        or isinstance(cause, ssl.SSLCertVerificationError)
        for cause in _chain(error)
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, eight deep: requests wraps urllib3, which wraps the socket."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < 8:
        causes.append(cause)
        inner = cause.args[0] if cause.args else None
        reason = getattr(inner, "reason", None) or getattr(cause, "reason", None)
        cause = reason if isinstance(reason, BaseException) else cause.__cause__
    return causes


def _line(value: object, most: int) -> str | None:
    """A field as one printable line of at most `most` characters; None when nothing is left."""
    printable = "".join(char for char in str(value or "") if char.isprintable())
    return printable.strip()[:most] or None

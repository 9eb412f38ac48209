"""L3: the messages that every adapter speaks, whatever its operator's wire looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_plus

from app.errors import DomainError

Mode = Literal["accumulated", "latest"]
Exactness = Literal["exact", "window"]
Event = Literal["new", "input", "end", "timeout"]
EndStatus = Literal["ended", "dropped", "failed", "unknown"]

USSD_SEPTETS = 182  # 160 octets of GSM-7 (3GPP TS 23.038, section 6.1.2.3)
USSD_UCS2_UNITS = 80
SESSION_ID_MOST = 100
FIELDS_MOST = 40
TEXT_MOST = 4096  # accumulated text of a session; gateways stop far below
_VISIBLE = re.compile(r"[!-~]+\Z")


@dataclass(frozen=True, slots=True)
class UssdGateway:
    """What the engine must know of an operator.

    `accumulated`: each request holds all replies so far, joined with `*`; `latest`: this reply
    only. `exact`: a redelivery can be told from a new reply; `window`: only by its coming within
    a second of our answer. `answer_seconds`: how long the operator waits for us;
    `session_seconds`: how long it keeps a session.
    """

    name: str
    mode: Mode
    exactness: Exactness
    answer_seconds: float
    session_seconds: int
    septets: int = USSD_SEPTETS
    ucs2_units: int = USSD_UCS2_UNITS


@dataclass(frozen=True, slots=True, repr=False)
class UssdRequest:
    """One hop. It has no repr, because `text` may hold a PIN.

    `msisdn` is E.164. `new` is the first request of a session as far as the wire can tell.
    """

    gateway: UssdGateway
    session_id: str
    msisdn: str
    service_code: str
    network: str
    event: Event
    text: str


@dataclass(frozen=True, slots=True)
class Screen:
    """What the phone shows next. `open`: a reply is expected; `name`: the menus' state."""

    text: str
    open: bool
    name: str = ""


@dataclass(frozen=True, slots=True)
class UssdEnd:
    """How the gateway says that a session ended; nothing of what was typed or shown.

    status: `ended` as we asked, `dropped` while a menu waited, `failed` by our fault, `unknown`
    for a word that we do not know. `cost` is the gateway's own text.
    """

    gateway: str
    session_id: str
    msisdn: str
    service_code: str
    network: str
    status: EndStatus
    hops: int | None
    duration_ms: int | None
    cost: str | None
    error: str | None
    hops_metadata: str | None


def form_fields(body: bytes) -> dict[str, str]:
    """The fields of an `application/x-www-form-urlencoded` body, the first of each name.

    Operators send plain forms of a few fields, so this stands in for a framework's general
    parser on the path that every hop takes. Raises DomainError `field_malformed` for a body that
    is no UTF-8 or has too many fields.
    """
    fields: dict[str, str] = {}
    try:
        pairs = body.decode().split("&", FIELDS_MOST)
        for pair in pairs:
            name, _, value = pair.partition("=")
            if "%" in value or "+" in value:
                value = unquote_plus(value, errors="strict")
            fields.setdefault(name, value)
    except UnicodeDecodeError as error:
        raise DomainError("field_malformed", field="body") from error
    if len(pairs) > FIELDS_MOST:
        raise DomainError("field_malformed", field="body")
    return fields


def visible(value: str | None, field: str, most: int) -> str:
    """A field of printable ASCII without spaces, 1 to `most` characters.

    Raises DomainError `field_missing` or `field_malformed`, fact `field`.
    """
    if not value:
        raise DomainError("field_missing", field=field)
    if len(value) > most or not _VISIBLE.match(value):
        raise DomainError("field_malformed", field=field)
    return value

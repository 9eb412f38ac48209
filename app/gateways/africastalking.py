"""L3: Africa's Talking, the USSD half. Its callbacks are form posts; see its documentation.

The `text` of a hop holds all replies so far, so a redelivery is recognised exactly. A reply may
itself hold `*`, so nobody splits the text here.
"""

from __future__ import annotations

from collections.abc import Mapping

from app import msisdn
from app.errors import DomainError
from app.gateways.wire import (
    SESSION_ID_MOST,
    TEXT_MOST,
    EndStatus,
    Screen,
    UssdEnd,
    UssdGateway,
    UssdRequest,
    visible,
)

# It drops us after 15 s, and a session after 180 s (documented for Kenya).
GATEWAY = UssdGateway(
    name="africastalking",
    mode="accumulated",
    exactness="exact",
    answer_seconds=15.0,
    session_seconds=180,
)
END_STATUSES: dict[str, EndStatus] = {
    "Success": "ended",
    "Incomplete": "dropped",
    "Failed": "failed",
}
CODE_MOST = 40
NETWORK_MOST = 20
PLAIN_MOST = 100
METADATA_MOST = 1000  # the names of forty hops


def parse_ussd(form: Mapping[str, str]) -> UssdRequest:
    """A hop. Raises DomainError `field_missing` or `field_malformed` with the field's wire name."""
    session_id, number, service_code, network = _who(form)
    text = form.get("text")
    if text is None:
        raise DomainError("field_missing", field="text")
    if len(text) > TEXT_MOST:
        raise DomainError("field_malformed", field="text")
    return UssdRequest(
        GATEWAY, session_id, number, service_code, network, "input" if text else "new", text
    )


def render(screen: Screen) -> tuple[bytes, dict[str, str]]:
    """The body of our answer, `text/plain; charset=utf-8`, and its headers.

    The header comes back in the end event: where the person was when the session ended.
    """
    body = (b"CON " if screen.open else b"END ") + screen.text.encode()
    return body, {"at-ussd-hop-metadata": screen.name}


def parse_end(form: Mapping[str, str]) -> UssdEnd:
    """An end event. `input` and `lastAppResponse` can hold the PIN and are not even read.

    Raises as `parse_ussd` does.
    """
    session_id, number, service_code, network = _who(form)
    return UssdEnd(
        gateway=GATEWAY.name,
        session_id=session_id,
        msisdn=number,
        service_code=service_code,
        network=network,
        status=END_STATUSES.get(form.get("status", ""), "unknown"),
        hops=_count(form.get("hopsCount")),
        duration_ms=_count(form.get("durationInMillis")),
        cost=_plain(form.get("cost")),
        error=_plain(form.get("errorMessage")),
        hops_metadata=_plain(form.get("hopsMetadata"), METADATA_MOST),
    )


def _who(form: Mapping[str, str]) -> tuple[str, str, str, str]:
    session_id = visible(form.get("sessionId"), "sessionId", SESSION_ID_MOST)
    number = form.get("phoneNumber")
    if not number:
        raise DomainError("field_missing", field="phoneNumber")
    if number.startswith(" "):  # a client that forgot to escape the plus sign of a form
        number = "+" + number[1:]
    if not msisdn.is_e164(number):
        raise DomainError("field_malformed", field="phoneNumber")
    service_code = visible(form.get("serviceCode"), "serviceCode", CODE_MOST)
    network = visible(form.get("networkCode"), "networkCode", NETWORK_MOST)
    return session_id, number, service_code, network


def _count(value: str | None) -> int | None:
    """A number that only informs: what is not one is dropped, the event is kept."""
    return int(value) if value and value.isdecimal() and len(value) <= 9 else None


def _plain(value: str | None, most: int = PLAIN_MOST) -> str | None:
    kept = "".join(char for char in value or "" if char.isprintable())
    return kept[:most] or None

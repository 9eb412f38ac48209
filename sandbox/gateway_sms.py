"""Africa's Talking's SMS API, as contract: `POST /version1/messaging`, with its traps.

The traps: a wrong key is 401 in plain text; a refused sender is 201 with no recipients; a bad
number is 201 with its own status beside the good ones; without `Accept: application/json` the
answer is XML.
"""

import hmac
import re
from typing import Any
from xml.sax.saxutils import escape

from flask import Blueprint, Response, jsonify, request

from sandbox import wire
from sandbox.delivery import DeliveryReports
from sandbox.faults import Fault, FaultBook
from sandbox.messages import Messages
from sandbox.septets import sms_parts
from sandbox.settings import Settings

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_DEFAULT_SENDER = "AFRICASTKNG"  # what the operator shows when no sender is named
_TEN_THOUSANDTHS_A_PART = 8000  # KES 0.8000
_REPORTING = ("duplicate_report", "out_of_order_report", "unknown_report", "undelivered")

Recipient = dict[str, Any]


def blueprint(
    settings: Settings, messages: Messages, reports: DeliveryReports, faults: FaultBook
) -> Blueprint:
    routes = Blueprint("sms", __name__)

    @routes.post("/version1/messaging")
    def messaging() -> Response:
        fault = faults.take("sms", ("down", "http_500", "lost_reply"))
        if fault and fault.kind == "down":
            return wire.close_without_answer()
        if fault and fault.kind == "http_500":
            return _plain("Internal Server Error", 500)
        refusal = _refusal(settings)
        if refusal:
            return refusal
        if _sender_is_refused(settings.sender_id, faults):
            return _accepted("InvalidSenderId", [])
        answer = _send(messages, reports, faults)
        return wire.close_without_answer() if fault else answer

    @routes.get("/gateway/sms")
    def taken() -> Response:
        return jsonify([message.as_json() for message in messages.all()])

    return routes


def _refusal(settings: Settings) -> Response | None:
    """401 for a stranger, 400 for a missing field, both plain text; None when all is there."""
    key = request.headers.get("apiKey", "")
    known = hmac.compare_digest(key.encode(), settings.at_api_key.encode())
    if not known or request.form.get("username", settings.at_username) != settings.at_username:
        return _plain("The supplied authentication is invalid", 401)
    for field in ("username", "to", "message"):
        if not request.form.get(field):
            return _plain(f"Request is missing required form field '{field}'", 400)
    return None


def _sender_is_refused(approved: str, faults: FaultBook) -> bool:
    sender = request.form.get("from")
    return sender not in (None, approved) or faults.take("sms", ("refuse_sender",)) is not None


def _send(messages: Messages, reports: DeliveryReports, faults: FaultBook) -> Response:
    text = request.form["message"]
    sender = request.form.get("from", _DEFAULT_SENDER)
    cost = sms_parts(text) * _TEN_THOUSANDTHS_A_PART
    recipients = []
    for number in request.form["to"].split(","):
        if not _NUMBER.fullmatch(number):
            recipients.append(_recipient(number, "0", "None", "InvalidPhoneNumber", 403))
            continue
        fault = faults.take("sms", _REPORTING)
        message = messages.take(to=number, sender=sender, text=text, reachable=_is_reachable(fault))
        reports.begin(message, fault.kind if fault else "")
        recipients.append(_recipient(number, _price(cost), message.id, "Success", 101))
    sent = sum(recipient["statusCode"] == 101 for recipient in recipients)
    total = _price(cost * sent) if sent else "0"
    return _accepted(f"Sent to {sent}/{len(recipients)} Total Cost: {total}", recipients)


def _is_reachable(fault: Fault | None) -> bool:
    return fault is None or fault.kind != "undelivered"


def _recipient(number: str, cost: str, message_id: str, status: str, code: int) -> Recipient:
    return {
        "cost": cost,
        "messageId": message_id,
        "number": number,
        "status": status,
        "statusCode": code,
    }


def _price(ten_thousandths: int) -> str:
    return f"KES {ten_thousandths // 10_000}.{ten_thousandths % 10_000:04d}"


def _accepted(message: str, recipients: list[Recipient]) -> Response:
    """201 in the format that was asked for; for JSON, exactly application/json."""
    if "application/json" in request.headers.get("Accept", ""):
        answer = jsonify({"SMSMessageData": {"Message": message, "Recipients": recipients}})
        answer.status_code = 201
        return answer
    rows = "".join(
        "<Recipient>"
        + "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in recipient.items())
        + "</Recipient>"
        for recipient in recipients
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><AfricasTalkingResponse><SMSMessageData>'
        f"<Message>{escape(message)}</Message><Recipients>{rows}</Recipients>"
        "</SMSMessageData></AfricasTalkingResponse>"
    )
    return Response(body, 201, content_type="application/xml")


def _plain(text: str, status: int) -> Response:
    return Response(text, status, content_type="text/plain; charset=UTF-8")

"""Webhooks of billers: what one tells us by itself about a payment.

Nobody's word is taken without the biller's own signature; the secret of the gateways' addresses is
none of theirs. What is refused changes nothing and is counted by its reason.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, request
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from app.billers import webhooks
from app.billers.protocols.answers import WebhookError
from app.billers.states import State
from app.errors import DomainError
from app.runtime import Runtime
from app.telemetry import CALLBACKS_REFUSED, Seldom, log

_refusals = Seldom("webhook_refused", lines=5)
FORGED = ("unsigned", "signature_wrong", "too_old")


def blueprint(runtime: Runtime) -> Blueprint:
    """The webhook view of one app."""
    views = Blueprint("billers", __name__, url_prefix="/callbacks/billers")

    @views.post("/<code>")
    def webhook(code: str) -> Response:
        wire = runtime.wires.get(code)
        if wire is None:
            return _refused("biller_unknown", 404)  # and nothing of what a stranger typed is logged
        now = datetime.now(UTC)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            body = _body()
            told = wire.hear(headers, body, now)

            def take_in(session: Session) -> State:
                market = runtime.market
                owner = webhooks.owner(session, market, code, told.biller_ref)
                about = told if owner == code else runtime.wires[owner].hear(headers, body, now)
                return webhooks.heard(session, market, owner, about, now=now)

            state = runtime.db.transact(take_in, name="webhook", idempotent=True)
        except WebhookError as error:
            return _refused(error.reason, 403 if error.reason in FORGED else 400, code)
        except DomainError as error:
            return _refused(error.code, 503 if error.retryable else 404, code)
        log.info("biller_told", biller=code, state=state)
        return Response("ok\n", mimetype="text/plain")

    return views


def _body() -> bytes:
    """Raises WebhookError `body_unreadable`; a body that is too large is werkzeug's own 413."""
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:  # every server has its own words for a body that broke off
        raise WebhookError("body_unreadable") from error


def _refused(reason: str, status: int, biller: str = "") -> Response:
    CALLBACKS_REFUSED.labels(reason).inc()
    _refusals.warning((reason, biller), reason=reason, biller=biller)
    return Response(f"{reason}\n", status, mimetype="text/plain")

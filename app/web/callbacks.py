"""Callbacks of the gateways: a USSD hop, the end of a session, an SMS delivery report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from app.errors import DomainError
from app.gateways import africastalking, africastalking_sms
from app.gateways.wire import form_fields
from app.runtime import Runtime
from app.sms import delivery
from app.telemetry import CALLBACKS_REFUSED, Seldom
from app.ussd import ends
from app.web.guard import callback_guard

FORM = "application/x-www-form-urlencoded"
View = Callable[[], Response]
_malformed = Seldom("callback_malformed", lines=5)


def blueprint(runtime: Runtime) -> Blueprint:
    """The callback views of one app."""
    views = Blueprint("callbacks", __name__, url_prefix="/callbacks")
    check = callback_guard(runtime.settings)

    @views.before_request
    def guard() -> Response | None:
        return check(request)

    @views.post("/africastalking/ussd")
    @_naming_bad_fields
    def ussd() -> Response:
        hop = africastalking.parse_ussd(_fields())
        screen = runtime.engine.step(hop)
        body, headers = africastalking.render(screen)
        return Response(body, headers=headers, mimetype="text/plain")

    @views.post("/africastalking/ussd/end")
    @_naming_bad_fields
    def ussd_end() -> Response:
        end = africastalking.parse_end(_fields())
        way = ends.way_of(end, runtime.sessions, runtime.engine.books)
        runtime.db.transact(lambda session: ends.store(session, end, way, datetime.now(UTC)))
        return _noted()

    @views.post("/africastalking/sms/delivery")
    @_naming_bad_fields
    def sms_delivery() -> Response:
        report = africastalking_sms.parse_delivery(_fields())
        runtime.db.transact(lambda session: delivery.record(session, report, datetime.now(UTC)))
        return _noted()

    return views


def _fields() -> Mapping[str, str]:
    """The form that was posted.

    Raises DomainError `body_unreadable`, and `field_malformed` for a NUL, which no text column
    takes. A body that is too large is werkzeug's own 413.
    """
    try:
        if request.mimetype == FORM:
            form: Mapping[str, str] = form_fields(request.get_data(cache=False))
        else:
            form = request.form
    except (HTTPException, DomainError):
        raise
    except Exception as error:  # every server has its own words for a body that broke off
        raise DomainError("body_unreadable") from error
    for name, value in form.items():
        if "\0" in value:
            raise DomainError("field_malformed", field=name if name.isidentifier() else "")
    return form


def _naming_bad_fields(view: View) -> View:
    """400 with the field's name, so that an integrator sees what is missing; 503 to be retried."""

    @wraps(view)
    def guarded() -> Response:
        try:
            return view()
        except DomainError as error:
            if error.retryable:
                return Response(f"{error.code}\n", 503, mimetype="text/plain")
            field = error.facts.get("field", "")
            CALLBACKS_REFUSED.labels(error.code).inc()
            _malformed.warning(
                (error.code, field, request.path),
                reason=error.code,
                field=field,
                path=request.path,
            )
            return Response(f"{error.code}: {field}\n", 400, mimetype="text/plain")

    return guarded


def _noted() -> Response:
    return Response("ok\n", mimetype="text/plain")

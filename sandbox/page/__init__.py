"""The page with the phones (GET /), its stream of events, and the switches for faults."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, abort, current_app, jsonify, render_template, request

from sandbox.billers.family import Biller
from sandbox.events import Events, TooManyStreamsError
from sandbox.faults import FaultBook, FaultError
from sandbox.settings import Settings


def blueprint(
    settings: Settings, faults: FaultBook, events: Events, billers: Mapping[str, Biller]
) -> Blueprint:
    routes = Blueprint(
        "page",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/page",
    )

    @routes.get("/")
    def page() -> Response:
        shown = render_template("phone.html", config=_config(settings, faults, billers))
        # Nothing from outside: the page must work, and look the same, on a machine with no network.
        return Response(shown, headers={"Content-Security-Policy": "default-src 'self'"})

    @routes.get("/config")
    def configured() -> Response:
        return jsonify(_config(settings, faults, billers))

    @routes.get("/events")
    def stream() -> Response:
        try:
            told = events.stream(_faults(faults), current_app.config["STILL_SERVING"])
        except TooManyStreamsError:
            return Response("too many pages are open", 503, content_type="text/plain")
        return Response(
            told, content_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @routes.get("/faults")
    def listed() -> Response:
        return jsonify(_faults(faults))

    @routes.post("/faults")
    def added() -> tuple[Response, int]:
        try:
            return jsonify(faults.add(request.get_json(silent=True)).as_json()), 201
        except FaultError as error:
            return jsonify({"error": str(error)}), 400

    @routes.delete("/faults")
    def cleared() -> Response:
        return jsonify({"cleared": faults.clear()})

    @routes.delete("/faults/<int:fault_id>")
    def removed(fault_id: int) -> Response:
        return jsonify({"cleared": 1}) if faults.remove(fault_id) else abort(404)

    return routes


def _faults(faults: FaultBook) -> list[dict[str, Any]]:
    return [fault.as_json() for fault in faults.list()]


def _config(settings: Settings, faults: FaultBook, billers: Mapping[str, Biller]) -> dict[str, Any]:
    """What the page, and the phone in a terminal, need to know before anything happens."""
    switches = [
        {"target": target, "kind": kind, "label": about.label, "on": "transaction"}
        for target, kinds in faults.kinds.items()
        for kind, about in kinds.items()
    ]
    silent = [
        {
            "target": f"biller:{code}",
            "kind": "no_answer",
            "label": "Wholly silent, name check too",
            "on": "all",
        }
        for code in billers
    ]
    return {
        "people": [{"name": name, "msisdn": msisdn} for name, msisdn in settings.people],
        "country_code": settings.country_code,
        "service_code": settings.service_code,
        "session_seconds": settings.session_seconds,
        "billers": list(billers),
        "switches": silent + switches,
    }

"""The biller's HTTP face: its three paths, and what a bad wire does to them."""

from collections.abc import Callable

from flask import Blueprint, Response, abort, jsonify, request

from sandbox import wire
from sandbox.biller import Answer, Biller, Reply
from sandbox.events import Events
from sandbox.faults import Fault, FaultBook

# Faults of the wire: they hit a first request and a repeated one alike.
_WIRE = ("no_answer", "slow", "lost_reply", "http_400", "http_500", "wrong_body")
_INQUIRY = (*_WIRE, "refuse")
_PROXY_PAGE = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
)
_PROXY_TITLES = {
    "http_400": (400, "400 Bad Request"),
    "http_500": (500, "500 Internal Server Error"),
}
_NONSENSE = '<?xml version="1.0"?><html><body>Welcome to StimaNet free Wi-Fi</body></html>'


def blueprint(billers: dict[str, Biller], faults: FaultBook, events: Events) -> Blueprint:
    """Routes of every biller under /billers/<code>."""
    routes = Blueprint("billers", __name__, url_prefix="/billers/<code>")

    def biller(code: str) -> Biller:
        return billers.get(code) or abort(404)

    @routes.post("/v1/transaction")
    def transaction(code: str) -> Response:
        asked = biller(code)
        body = request.get_json(silent=True)

        def pay() -> Reply:
            reply = asked.pay(body)
            events.publish("sales", {"biller": code})
            return reply

        fault = faults.take(f"biller:{code}", _WIRE, "transaction")
        return _over_the_wire(fault, pay)

    @routes.post("/v1/inquiry-pln")
    def inquiry(code: str) -> Response:
        asked = biller(code)
        body = request.get_json(silent=True)
        fault = faults.take(f"biller:{code}", _INQUIRY, "inquiry")
        return _over_the_wire(fault, lambda: Reply(_name_answer(asked, body, fault)))

    @routes.get("/sales")
    def sales(code: str) -> Response:
        return jsonify(biller(code).sales())

    return routes


def _name_answer(biller: Biller, body: object, fault: Fault | None) -> Answer:
    answer = biller.inquire(body)
    if fault and fault.kind == "refuse":
        answer["data"] |= {"status": "Gagal", "rc": "02", "message": "Transaksi Gagal"}
    return answer


def _over_the_wire(fault: Fault | None, act: Callable[[], Reply]) -> Response:
    """Do what was asked, unless the wire kills it first; lose the answer if it is to be lost."""
    match fault.kind if fault else "":
        case "no_answer":
            return wire.stay_silent()
        case "http_400" | "http_500" as kind:
            status, title = _PROXY_TITLES[kind]
            return Response(_PROXY_PAGE.format(title=title), status, content_type="text/html")
        case "wrong_body":
            return Response(_NONSENSE, 200, content_type="application/json")
        case "slow" if fault:
            wire.pause(fault.seconds)
            if not wire.still_serving():
                return wire.close_without_answer()
    reply = act()
    if reply.lost or (fault and fault.kind == "lost_reply"):
        return wire.close_without_answer()
    return jsonify(reply.answer)

"""The counter: the HTTP face of all billers, and what a bad wire does to it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from sandbox import wire
from sandbox.billers.family import Answer, Asked, Biller, HttpBiller, Reply
from sandbox.billers.kinds import PROXIES, SILENCE
from sandbox.events import Events
from sandbox.faults import Fault, FaultBook

_WIRE = (*SILENCE, *PROXIES)
_PROXY_PAGE = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
)
_PROXY_TITLES = {
    "http_400": (400, "400 Bad Request"),
    "http_500": (500, "500 Internal Server Error"),
    "http_502": (502, "502 Bad Gateway"),
}
_NONSENSE = '<?xml version="1.0"?><html><body>Welcome to StimaNet free Wi-Fi</body></html>'
_AMOUNTS = ("price", "selling_price", "amount", "nominal")
_WRONG_BY = 100
_PAYING = ("transaction", "status")


def blueprint(billers: Mapping[str, Biller], faults: FaultBook, events: Events) -> Blueprint:
    """Routes under /billers/<code>: what any of them sold, and the wire of those with HTTP."""
    spoken = [one for one in billers.values() if isinstance(one, HttpBiller)]
    routes = Blueprint("billers", __name__, url_prefix="/billers/<code>")

    def biller(code: str) -> Biller:
        return billers.get(code) or abort(404)

    @routes.get("/sales")
    def sales(code: str) -> Response:
        return jsonify(biller(code).till.sales())

    @routes.get("/undone")
    def undone(code: str) -> Response:
        return jsonify(biller(code).till.undone())

    @routes.route("/<path:path>", methods=["GET", "POST"])
    def asked(code: str, path: str) -> Response:
        there = [one for one in spoken if one.account.account == code]
        return _answer(there, f"/{path}", faults, events)

    return routes


def _answer(there: Sequence[HttpBiller], path: str, faults: FaultBook, events: Events) -> Response:
    asked = _asked()
    able = [(one, call) for one in there if (call := one.call(request.method, path))]
    if not able:
        abort(404)
    biller, call = next((pair for pair in able if pair[0].knows(asked)), able[0])
    name = biller.name_of_call(asked) or call.name

    def act() -> Reply:
        reply = call.act(asked)
        if name in _PAYING:
            events.publish("sales", {"biller": biller.code})
        return reply

    fault = faults.take(f"biller:{biller.code}", _WIRE, name)
    return _over_the_wire(fault, act, paying=name in _PAYING)


def _asked() -> Asked:
    body = request.get_json(silent=True)
    user = request.authorization.username if request.authorization else None
    return Asked(
        body=body if isinstance(body, dict) else {},
        query=request.args.to_dict(),
        idempotency_key=request.headers.get("Idempotency-Key", ""),
        user=user or "",
    )


def _over_the_wire(fault: Fault | None, act: Callable[[], Reply], *, paying: bool) -> Response:
    """Do what was asked, unless the wire kills it first; spoil the answer if it is to be."""
    kind = fault.kind if fault else ""
    if kind == "no_answer":
        return wire.stay_silent()
    if kind in _PROXY_TITLES:
        status, title = _PROXY_TITLES[kind]
        return Response(_PROXY_PAGE.format(title=title), status, content_type="text/html")
    if kind == "wrong_body":
        return Response(_NONSENSE, 200, content_type="application/json")
    if kind == "slow" and fault:
        wire.pause(fault.seconds)
        if not wire.still_serving():
            return wire.close_without_answer()
    reply = act()
    if reply.lost or kind == "lost_reply":
        return wire.close_without_answer()
    answer = _with_wrong_amount(reply.answer) if kind == "wrong_amount" and paying else reply.answer
    return _spoiled(json.dumps(answer).encode(), reply.status, kind)


def _spoiled(body: bytes, status: int, kind: str) -> Response:
    if kind == "malformed":
        body = body[: len(body) // 2]
    answer = Response(body, status, content_type="application/json")
    return wire.cut_in_half(answer) if kind == "cut" else answer


def _with_wrong_amount(answer: Answer) -> Answer:
    """The same answer about another amount, wherever it names one."""
    data = answer.get("data", answer)
    if isinstance(data, list):
        return {**answer, "data": [_wrong(one) for one in data]}
    wrong = _wrong(data)
    return {**answer, "data": wrong} if "data" in answer else wrong


def _wrong(data: dict[str, Any]) -> dict[str, Any]:
    changed = {name: data[name] + _WRONG_BY for name in _AMOUNTS if data.get(name)}
    return {**data, **changed}

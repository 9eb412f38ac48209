"""The phones by HTTP: /phones/<msisdn>/…, and the journal of what they showed."""

import re
import threading
import time
from collections.abc import Callable

from flask import Blueprint, Response, abort, jsonify, request

from sandbox.handset import Handset, HandsetError, State
from sandbox.journal import Journal
from sandbox.messages import Messages

_TICK_SECONDS = 0.25
_MOST_PHONES = 100_000  # a bench may use many; a loop gone wrong may not use all memory
_MSISDN = re.compile(r"[1-9][0-9]{6,14}")


class Phones:
    """Every phone that was ever touched, and the clock that ends their sessions."""

    def __init__(self, new_handset: Callable[[str], Handset]) -> None:
        self._new = new_handset
        self._lock = threading.Lock()
        self._phones: dict[str, Handset] = {}
        threading.Thread(target=self._run, daemon=True, name="session-clock").start()

    def get(self, msisdn: str) -> Handset:
        with self._lock:
            if msisdn not in self._phones:
                if len(self._phones) >= _MOST_PHONES:
                    raise HandsetError("too many phones; restart the sandbox")
                self._phones[msisdn] = self._new(msisdn)
            return self._phones[msisdn]

    def _run(self) -> None:
        while True:
            time.sleep(_TICK_SECONDS)
            with self._lock:
                phones = list(self._phones.values())
            for phone in phones:
                phone.tick()


def blueprint(phones: Phones, messages: Messages, screens: Journal) -> Blueprint:
    routes = Blueprint("phones", __name__)

    @routes.get("/phones/<msisdn>")
    def state(msisdn: str) -> Response:
        return jsonify(phones.get(_number(msisdn)).state())

    @routes.post("/phones/<msisdn>/dial")
    def dial(msisdn: str) -> Response:
        code = _field("code")
        return _act(lambda: phones.get(_number(msisdn)).dial(code))

    @routes.post("/phones/<msisdn>/reply")
    def reply(msisdn: str) -> Response:
        text = _field("text")
        return _act(lambda: phones.get(_number(msisdn)).reply(text))

    @routes.post("/phones/<msisdn>/drop")
    def drop(msisdn: str) -> Response:
        return _act(phones.get(_number(msisdn)).drop)

    @routes.post("/phones/<msisdn>/hangup")
    def hangup(msisdn: str) -> Response:
        return _act(phones.get(_number(msisdn)).hangup)

    @routes.get("/phones/<msisdn>/sms")
    def inbox(msisdn: str) -> Response:
        return jsonify(messages.inbox(_number(msisdn)))

    @routes.get("/log/screens")
    def shown() -> Response:
        return jsonify(screens.records())

    return routes


def _act(action: Callable[[], State]) -> Response:
    try:
        return jsonify(action())
    except HandsetError as error:
        abort(_error(str(error), 409))


def _number(msisdn: str) -> str:
    """The number with +; 404 for what is no number."""
    digits = msisdn.strip().removeprefix("+")
    if not _MSISDN.fullmatch(digits):
        abort(_error("a phone is named by its number, like +254711000001", 404))
    return f"+{digits}"


def _field(name: str) -> str:
    body = request.get_json(silent=True)
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str):
        abort(_error(f'send JSON with the text "{name}"', 400))
    return value


def _error(text: str, status: int) -> Response:
    answer = jsonify({"error": text})
    answer.status_code = status
    return answer

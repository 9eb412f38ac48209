"""The bank's HTTP face: a counter that books what it is told, and the statement as a file."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from sandbox.bank import Bank, BankError, Line, amount_of

_LONGEST_WORDS = 100
_TYPE = "text/csv; charset=utf-8"


def blueprint(bank: Bank) -> Blueprint:
    """Routes of the trust account under /bank."""
    routes = Blueprint("bank", __name__, url_prefix="/bank")

    @routes.post("/deposit")
    def deposit() -> tuple[Response, int]:
        return _booked(
            lambda asked: bank.deposit(
                amount_of(_words(asked, "amount")),
                _words(asked, "reference"),
                _words(asked, "text", "CASH DEPOSIT"),
            )
        )

    @routes.post("/payout")
    def payout() -> tuple[Response, int]:
        return _booked(
            lambda asked: bank.pay_out(
                amount_of(_words(asked, "amount")),
                _words(asked, "reference"),
                _words(asked, "text", "TRANSFER"),
            )
        )

    @routes.post("/return")
    def send_back() -> tuple[Response, int]:
        return _booked(
            lambda asked: bank.send_back(
                _words(asked, "line"), _words(asked, "text", "ACCOUNT CLOSED")
            )
        )

    @routes.get("/statement.csv")
    def statement() -> tuple[Response, int]:
        try:
            return Response(bank.statement(request.args.get("since", "")), content_type=_TYPE), 200
        except BankError as error:
            return _refused(error)

    @routes.get("/balance")
    def balance() -> Response:
        return jsonify({"currency": bank.currency, "balance": f"{bank.balance():f}"})

    return routes


def _booked(act: Callable[[dict[str, Any]], Line]) -> tuple[Response, int]:
    body = request.get_json(silent=True)
    try:
        return jsonify(asdict(act(body if isinstance(body, dict) else {}))), 201
    except BankError as error:
        return _refused(error)


def _refused(error: BankError) -> tuple[Response, int]:
    return jsonify({"error": str(error)}), error.status


def _words(asked: dict[str, Any], name: str, default: str = "") -> str:
    value = asked.get(name, default)
    if not isinstance(value, str) or len(value) > _LONGEST_WORDS:
        raise BankError(f'"{name}" is text of {_LONGEST_WORDS} characters at most')
    return value

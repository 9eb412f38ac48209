"""A biller's webhook by HTTP: whose it must be, what each refusal is called, and that it is over.

The market is the demo's with a biller of another name, so that no other test's worker pays it.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.billers.payments import PaymentView
from app.factory import BODY_BYTES_MOST, create_app
from app.settings import Settings
from tests.billers.played import PlayedBiller
from tests.billers.protocols.digiflazz_words import data_of, signed
from tests.billers.stage import AMOUNT, Stage
from tests.billers.table import TOKENS, Sale, Word

DEMO = Path(__file__).parents[2] / "app" / "markets" / "demo.toml"
SECRET = "hush"


@dataclass
class Front(Stage):
    """A stage with the web in front of it."""

    client: FlaskClient = field(kw_only=True)


@pytest.fixture(scope="module")
def stage(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    code = f"w{secrets.token_hex(6)}"
    market = tmp_path_factory.mktemp("market") / "demo.toml"
    market.write_text(DEMO.read_text().replace("stima", code))
    account = {"url": "http://127.0.0.1:9", "username": "kibanda", "api_key": "key"}
    app = create_app(
        Settings(
            database_url=database_url,
            redis_url=redis_url,
            kibanda_market=str(market),
            menu_overlap_seconds=0,
            biller_credentials={code: {**account, "webhook_secret": SECRET}},
        )
    )
    runtime = app.extensions["kibanda"]
    yield Front(runtime.db, runtime.market, code, PlayedBiller(), client=app.test_client())
    runtime.db.dispose()


@pytest.fixture
def client(stage: Front) -> FlaskClient:
    return stage.client


@pytest.fixture
def payment(stage: Front) -> PaymentView:
    """A payment that has left; its answer has not come."""
    made = stage.pay()
    (work,) = stage.claim()
    assert work.claim.payment_id == made.id
    return made


def words(stage: Front, payment: PaymentView, word: Word = "sold") -> dict[str, Any]:
    sku = f"{stage.code}-token"
    sale = Sale(payment.biller_ref, payment.customer_no, sku, AMOUNT, tokens=TOKENS[:1])
    return {"data": data_of(sale, word)}


def post(
    client: FlaskClient, code: str, headers: dict[str, str], body: bytes, **more: Any
) -> TestResponse:
    return client.post(f"/callbacks/billers/{code}", data=body, headers=headers, **more)


def told(stage: Front, body: dict[str, Any], secret: str = SECRET) -> TestResponse:
    return post(stage.client, stage.code, *signed(body, secret))


def everything(stage: Front) -> list[Any]:
    """All that a webhook could change for this biller's payments."""
    query = """
        SELECT p.state, p.due_at, p.tokens, p.requests, p.fence, p.settled_at,
            (SELECT count(*) FROM payment_events e WHERE e.payment_id = p.id) AS events,
            (SELECT count(*) FROM messages m WHERE m.subject = p.id) AS messages,
            (SELECT count(*) FROM postings l WHERE l.reference = p.reference) AS postings
        FROM payments p WHERE p.biller = :code ORDER BY p.id"""
    return [tuple(row) for row in stage.run(text(query), code=stage.code)]


def test_a_signed_webhook_settles_and_its_replay_changes_nothing(
    stage: Front, payment: PaymentView
) -> None:
    answer = told(stage, words(stage, payment))
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.mimetype == "text/plain"
    view = stage.view(payment)
    assert (view.state, view.tokens) == ("captured", TOKENS[:1])
    before = everything(stage)
    for _ in range(3):
        assert told(stage, words(stage, payment)).status_code == 200
    after = everything(stage)
    # A note says that it came again; money, state and SMS are as they were.
    assert [row[:6] + row[7:] for row in after] == [row[:6] + row[7:] for row in before]
    assert [kind for kind, _ in stage.messages(payment)] == ["payment_paid"]


def test_one_address_may_serve_a_whole_account(stage: Front, payment: PaymentView) -> None:
    """The bills of the same company share its account, and so may its webhook's address."""
    headers, body = signed(words(stage, payment), SECRET)
    assert post(stage.client, f"{stage.code}_post", headers, body).status_code == 200
    assert stage.view(payment).state == "captured"


def test_a_refusal_only_hastens_the_question(stage: Front, payment: PaymentView) -> None:
    assert told(stage, words(stage, payment, "refused")).status_code == 200
    assert stage.view(payment).state == "sent"


def unsigned(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {}, body


def of_another_body(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return headers, body + b" "


def signed_twice(headers: dict[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    return {"x-hub-signature": headers["x-hub-signature"] * 2}, body


Change = Callable[[dict[str, str], bytes], tuple[dict[str, str], bytes]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unsigned, "unsigned"),
        (of_another_body, "signature_wrong"),
        (signed_twice, "signature_wrong"),
    ],
)
def test_what_the_biller_has_not_signed(
    stage: Front, client: FlaskClient, payment: PaymentView, change: Change, reason: str
) -> None:
    before = everything(stage)
    headers, body = change(*signed(words(stage, payment)))
    answer = post(client, stage.code, headers, body)
    assert (answer.status_code, answer.text) == (403, f"{reason}\n")
    assert everything(stage) == before


def test_a_secret_of_somebody_else(stage: Front, payment: PaymentView) -> None:
    before = everything(stage)
    for secret in ("key", "demo", "hush ", "Hush"):
        answer = told(stage, words(stage, payment), secret)
        assert (answer.status_code, answer.text) == (403, "signature_wrong\n")
    assert everything(stage) == before


FOREIGN: dict[str, Any] = {
    "no object": [],
    "no data": {},
    "data of nothing": {"data": None},
    "no reference": {"data": {"rc": "00", "status": "Sukses"}},
    "a number for a reference": {"data": {"ref_id": 5}},
    "a NUL in the reference": {"data": {"ref_id": "a\0b"}},
    "half a character": {"data": {"ref_id": "\ud83d"}},
    "a reference of 64 KiB": {"data": {"ref_id": "1" * 65_000}},
}


@pytest.mark.parametrize("body", FOREIGN)
def test_a_signed_body_that_is_not_of_this_family(
    stage: Front, payment: PaymentView, body: str
) -> None:
    before = everything(stage)
    answer = told(stage, FOREIGN[body])
    assert (answer.status_code, answer.text) == (400, "body_foreign\n")
    assert everything(stage) == before


def test_data_that_is_not_about_this_purchase(stage: Front, payment: PaymentView) -> None:
    """It names our reference, so that we look; what it says does not count."""
    sold = words(stage, payment)["data"]
    for changed in (
        {"customer_no": "\0"},
        {"price": 501},
        {"price": "500\0"},
        {"sn": "\0" * 20},
        {"sn": "9" * 20},
        {"rc": "\0"},
        {"rc": "x" * 60_000},
        {"status": ["Sukses"]},
        {"buyer_sku_code": None},
        {"buyer_last_saldo": 10**400, "sn": ""},
    ):
        answer = told(stage, {"data": {**sold, **changed}})
        assert (answer.status_code, answer.text) == (200, "ok\n"), changed
        assert stage.view(payment).state == "sent"
    assert told(stage, {"data": {**sold, "buyer_last_saldo": 10**400}}).status_code == 200
    assert stage.view(payment).state == "captured"


def test_a_reference_that_nobody_has(stage: Front, payment: PaymentView) -> None:
    before = everything(stage)
    for reference in ("0" * 32, payment.reference, str(payment.id), "x"):
        body = words(stage, payment)
        body["data"]["ref_id"] = reference
        answer = told(stage, body)
        assert (answer.status_code, answer.text) == (404, "reference_unknown\n")
    assert everything(stage) == before


def test_a_biller_that_nobody_has(stage: Front, client: FlaskClient, payment: PaymentView) -> None:
    before = everything(stage)
    for code in ("nobody", "stima%00", "%00", "x" * 2000, stage.code.upper(), "%F0%9F%98%80"):
        answer = post(client, code, *signed(words(stage, payment)))
        assert (answer.status_code, answer.text) == (404, "biller_unknown\n"), code
    for path in ("", "a/b", "../gateways"):
        assert post(client, path, *signed(words(stage, payment))).status_code in (404, 405)
    assert everything(stage) == before


def test_bodies_as_large_as_may_be_and_larger(
    stage: Front, client: FlaskClient, payment: PaymentView
) -> None:
    raw = json.dumps(words(stage, payment)).encode()
    before = everything(stage)
    for size in (BODY_BYTES_MOST + 1, 10 * BODY_BYTES_MOST):
        headers, body = signed({"padding": "x" * size})
        assert post(client, stage.code, headers, body).status_code == 413
    for junk in (b"[" * BODY_BYTES_MOST, b"\0" * BODY_BYTES_MOST, b"\xff" * BODY_BYTES_MOST, b""):
        assert post(client, stage.code, {}, junk).status_code == 403
    assert everything(stage) == before
    padded = {"padding": "x" * (BODY_BYTES_MOST - len(raw) - 40), **words(stage, payment)}
    assert told(stage, padded).status_code == 200
    assert stage.view(payment).state == "captured"


class Broken(io.BytesIO):
    """A body that breaks off."""

    def read(self, *_: object) -> bytes:
        raise OSError("connection reset")

    readinto = read  # type: ignore[assignment]


def test_a_body_that_breaks_off(stage: Front, client: FlaskClient) -> None:
    broken = {"wsgi.input": Broken(), "CONTENT_LENGTH": "100"}
    answer = client.post(f"/callbacks/billers/{stage.code}", environ_overrides=broken)
    assert answer.status_code == 400


def test_only_a_post(stage: Front, client: FlaskClient) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert client.open(f"/callbacks/billers/{stage.code}", method=method).status_code == 405


def test_the_gateways_token_opens_nothing(
    stage: Front, client: FlaskClient, payment: PaymentView
) -> None:
    body = json.dumps(words(stage, payment)).encode()
    answer = client.post(f"/callbacks/billers/{stage.code}?token=demo", data=body)
    assert answer.status_code == 403
    assert stage.view(payment).state == "sent"

"""The wire of the Digiflazz-like family: what we send, and what each literal answer means."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.billers.protocols import wires
from app.billers.protocols.answers import Bill, InquiryError, Order
from app.billers.protocols.digiflazz import read_inquiry, read_transaction
from app.billers.protocols.http import LARGEST_BODY_BYTES, Wire, WireError
from app.db import Database
from app.markets.model import Market
from app.money import Currency
from tests.billers import played, table
from tests.billers.played import Asked, PlayedBiller
from tests.billers.protocols.digiflazz_words import data_of, signed
from tests.billers.stage import Stage
from tests.billers.table import CAPTURED, HONEST, Kit, Play, Row, Seen, Till, over_http

KES = Currency("KES", 2)
ORDER = Order("0198c0ffee", "stima-token", "54100234563", 50_000)
PAID = """{"data": {"ref_id": "0198c0ffee", "customer_no": "54100234563",
  "buyer_sku_code": "stima-token", "message": "Transaksi Sukses", "status": "Sukses", "rc": "00",
  "sn": "7378-6976-2948-3820-6463/GRACE KAMAU/R1/1300VA/12.4",
  "buyer_last_saldo": 990000, "price": 500}}"""


def changed(**fields: Any) -> str:
    body = json.loads(PAID)
    body["data"] |= fields
    return json.dumps(body)


FAILED = {"status": "Gagal", "sn": ""}
# Literal body → outcome and our reason for it.
ANSWERS: list[tuple[str, str, str]] = [
    (PAID, "paid", "paid"),
    (changed(sn="73786976294838206463/GRACE"), "paid", "paid"),
    (changed(sn="7378 6976 2948 3820 6463"), "paid", "paid"),
    # 2^66 does not fit into a token; a sale without its token is looked into, not told as paid.
    (changed(sn="7378-6976-2948-3820-6464/GRACE"), "unknown", "paid_without_token"),
    (changed(sn="7378-6976-2948-3820/GRACE"), "unknown", "paid_without_token"),
    (changed(sn=""), "unknown", "paid_without_token"),
    (changed(sn=None), "unknown", "paid_without_token"),
    (changed(rc="03", status="Pending", sn=""), "unknown", "pending"),
    (changed(rc="02", **FAILED), "refused", "refused"),
    (changed(rc="54", **FAILED), "refused", "refused"),
    (changed(rc="40", **FAILED), "refused_first", "refused_first"),
    (changed(rc="41", **FAILED), "refused_first", "refused_first"),
    (changed(rc="44", **FAILED), "refused_first", "refused_first"),
    (changed(rc="50", **FAILED), "refused_first", "refused_first"),
    (changed(rc="53", **FAILED), "refused_first", "refused_first"),
    (changed(rc="55", **FAILED), "refused_first", "refused_first"),
    (changed(rc="60", **FAILED), "refused_first", "refused_first"),
    (changed(rc="01", **FAILED), "unknown", "code_not_final"),
    (changed(rc="49", **FAILED), "unknown", "code_not_final"),
    (changed(rc="77", **FAILED), "unknown", "code_not_final"),
    # Code and status contradict each other.
    (changed(rc="00", status="Gagal"), "unknown", "code_not_final"),
    (changed(rc="00", status="Pending"), "unknown", "code_not_final"),
    (changed(rc="02", status="Sukses"), "unknown", "code_not_final"),
    (changed(rc="02", status="Pending"), "unknown", "code_not_final"),
    (changed(rc="00", status="sukses"), "unknown", "code_not_final"),
    # Somebody else's answer.
    (changed(ref_id="other"), "unknown", "other_reference"),
    (changed(ref_id="", rc="41", **FAILED), "unknown", "other_reference"),
    (changed(customer_no="54100234571"), "unknown", "other_customer"),
    (changed(buyer_sku_code="pulsa"), "unknown", "other_product"),
    # Not this biller's format.
    (changed(rc=0), "unknown", "body_foreign"),
    (changed(rc=None), "unknown", "body_foreign"),
    (changed(rc="00; DROP"), "unknown", "body_foreign"),
    (changed(status=None), "unknown", "body_foreign"),
    ('{"data": []}', "unknown", "body_foreign"),
    ('{"data": null}', "unknown", "body_foreign"),
    ('{"status": "Gagal", "rc": "02"}', "unknown", "body_foreign"),
]


@pytest.mark.parametrize(("body", "outcome", "reason"), ANSWERS)
def test_what_an_answer_means(demo: Market, body: str, outcome: str, reason: str) -> None:
    answer = read_transaction(json.loads(body), ORDER, demo.billers["stima"], KES)
    assert (answer.outcome, answer.reason) == (outcome, reason)
    assert answer.in_format == (not reason.startswith(("other_reference", "body_")))
    kept = outcome == "paid" or reason == "other_amount"  # for staff
    assert answer.tokens == (("73786976294838206463",) if kept else ())
    assert answer.deposit_minor == (99_000_000 if outcome == "paid" else None)


NAMED = """{"data": {"message": "Transaksi Sukses", "status": "Sukses", "rc": "00",
  "customer_no": "54100234563", "meter_no": "54100234563", "subscriber_id": "523300817840",
  "name": "GRACE  \\u0000KAMAU", "segment_power": "R1 /000001300"}}"""
UNKNOWN_METER = """{"data": {"message": "Nomor Tujuan Salah", "status": "Gagal", "rc": "54",
  "customer_no": "54100234563", "meter_no": "", "subscriber_id": "", "name": ""}}"""


def test_what_a_name_check_means() -> None:
    named = json.loads(NAMED)
    assert read_inquiry(named, "54100234563") == Bill("54100234563", "GRACE KAMAU")
    assert read_inquiry(json.loads(UNKNOWN_METER), "54100234563") is None
    for wrong in (
        {"customer_no": "54100234571"},
        {"customer_no": "54100234571", "rc": "42", "status": "Gagal"},
        {"customer_no": None},
        {"rc": 42},
        {"status": None},
    ):
        with pytest.raises(InquiryError) as raised:
            read_inquiry({"data": named["data"] | wrong}, "54100234563")
        assert raised.value.in_format == (str(raised.value) != "body_foreign")
    for unusual, reason in (
        ({"rc": "42", "status": "Gagal"}, "code_not_final"),
        ({"rc": "54", "status": "Sukses"}, "code_not_final"),
        ({"rc": "03", "status": "Pending"}, "code_not_final"),
        ({"name": ""}, "nameless"),
        ({"name": None}, "nameless"),
    ):
        with pytest.raises(InquiryError, match=reason) as raised:
            read_inquiry({"data": named["data"] | unusual}, "54100234563")
        assert raised.value.in_format == (str(raised.value) != "body_foreign")
    for foreign in ({}, {"data": None}, {"data": []}):
        with pytest.raises(InquiryError, match="body_foreign"):
            read_inquiry(foreign, "54100234563")


def test_what_we_send(stage: Stage) -> None:
    payment = stage.pay(amount_minor=50_000)
    stage.drain()
    (sent,) = stage.biller.requests
    ref_id = stage.view(payment).biller_ref
    assert sent == {
        "username": "kibanda",
        "buyer_sku_code": "stima-token",
        "customer_no": payment.customer_no,
        "ref_id": ref_id,
        "amount": 500,
        "sign": hashlib.md5(f"kibandakey{ref_id}".encode()).hexdigest(),
    }


HTTP_ANSWERS = [
    (played.http("200 OK", "<html>free wifi</html>"), "body_not_json"),
    (played.http("200 OK", "[" * 50_000), "body_not_json"),
    (played.http("200 OK", '"a"'), "body_not_json"),
    (played.http("200 OK", " " * (LARGEST_BODY_BYTES + 1)), "body_too_large"),
    (played.http("201 Created", "{}"), "http_2xx"),
    (played.http("302 Found\r\nLocation: /elsewhere", "{}"), "http_3xx"),
    (played.http("400 Bad Request", "{}"), "http_4xx"),
    (played.http("502 Bad Gateway", "{}"), "http_5xx"),
    (lambda _biller, _body: None, "connection_lost"),
    (lambda _biller, _body: b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "connection_lost"),
    (lambda _biller, _body: time.sleep(0.8), "timeout"),
]


@pytest.mark.parametrize(("script", "reason"), HTTP_ANSWERS)
def test_what_the_wire_does(biller: PlayedBiller, script: Any, reason: str) -> None:
    biller.script = script
    wire = Wire(biller.url, connections=2)
    with pytest.raises(WireError) as raised:
        wire.post("/v1/transaction", {"ref_id": "r"}, seconds=0.5)
    assert raised.value.reason == reason
    assert len(biller.requests) == 1
    wire.close()


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    wire = Wire(url, connections=1)
    with pytest.raises(WireError, match="connection_lost"):
        wire.post("/", {}, seconds=0.5)
    wire.close()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_a_peer_that_drips_is_cut_off(head: bytes) -> None:
    """Each byte comes well within the time-out of a read; the whole must end all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = Wire(f"http://127.0.0.1:{server.getsockname()[1]}", connections=1)

        def drip() -> None:
            peer, _ = server.accept()
            with peer:
                try:
                    peer.sendall(head)
                    for _ in range(100):
                        peer.sendall(b" " if head else b"H")
                        time.sleep(0.1)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(WireError):
            wire.post("/", {}, seconds=0.6)
        assert time.monotonic() - began < 2
        thread.join()
        wire.close()


def test_a_connection_is_used_again_and_not_cut_by_its_last_call(biller: PlayedBiller) -> None:
    wire = Wire(biller.url, connections=1)
    body = {"ref_id": "r", "customer_no": "1", "buyer_sku_code": "s"}
    wire.post("/", body, seconds=0.3)
    biller.script = played.slow(0.5)
    assert wire.post("/", body, seconds=2)["data"]["rc"] == "00"
    wire.close()


def test_an_inquiry_that_takes_too_long_is_slow(stage: Stage) -> None:
    stage.biller.script = lambda _biller, _body: time.sleep(0.8)
    wire = wires(stage.market, stage.settings)[stage.code]
    with pytest.raises(InquiryError) as raised:
        wire.inquire(stage.market.billers[stage.code].products[0], "54100234563", "")
    assert raised.value.slow


# --- through the real settlement ---


@contextmanager
def served(till: Till) -> Iterator[str]:
    """Such a biller: the purchase again is its question."""

    def answered(asked: Asked) -> object:
        body = asked.body
        said = till.take(
            body["ref_id"],
            body["customer_no"],
            body["buyer_sku_code"],
            body["amount"] * 100,
            buys=True,
        )
        return over_http(said, {"data": data_of(said.sale, said.word)})

    with played.served(answered) as url:
        yield url


KIT = Kit(
    family="digiflazz_prepaid",
    serve=served,
    rules={},
    product={"sells": "token"},
    webhook=lambda sale, word: signed({"data": data_of(sale, word)}),
    asks=False,
)
ROWS = table.rows(
    KIT,
    # Its own table says that 01, a time-out, has failed; our file does not believe that.
    Row("a time-out is no refusal", (Play(does="pend", says="duplicate"), HONEST), CAPTURED),
)


@pytest.fixture(scope="module")
def seen(db: Database, demo: Market) -> dict[str, Seen]:
    return table.play(db, demo, KIT, ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_becomes_of_a_payment(seen: dict[str, Seen], row: Row) -> None:
    table.check(row, seen[row.name])

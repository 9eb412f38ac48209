"""The Digiflazz-like biller: literal payloads, one sale a reference, faults."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.wire import METER, OTHER_METER, buy, inquire, new_ref, sold


def test_a_sale_as_the_contract_says(outside: Sandbox) -> None:
    ref = new_ref()
    answer = buy(outside, ref)
    data = answer.json()["data"]
    serial = data.pop("sn")
    saldo = data.pop("buyer_last_saldo")
    assert data == {
        "ref_id": ref,
        "customer_no": METER,
        "buyer_sku_code": "stima-token",
        "message": "Transaksi Sukses",
        "status": "Sukses",
        "rc": "00",
        "price": 500,
    }
    assert type(saldo) is int
    assert re.fullmatch(r"\d{4}(-\d{4}){4}/[A-Z]+ [A-Z]+/R\d/\d+VA/20\.1", serial)
    token = serial.split("/")[0].replace("-", "")
    assert int(token) <= 2**66 - 1
    (sale,) = sold(outside, ref)
    assert sale.pop("at").endswith("Z")
    assert sale.pop("tokens") == [token]
    assert re.fullmatch(r"\d{16}", sale.pop("receipt"))
    assert sale == {
        "ref_id": ref,
        "customer_no": METER,
        "sku": "stima-token",
        "amount": 500,
        "token": token,
    }
    assert buy(outside, ref).json() == answer.json()
    assert len(sold(outside, ref)) == 1


@pytest.mark.parametrize(
    ("changes", "rc", "message"),
    [
        ({"sign": "0" * 32}, "41", "Signature tidak valid"),
        ({"username": "someone"}, "42", "Gagal memproses API Buyer"),
        ({"buyer_sku_code": "airtime"}, "43", "SKU tidak ditemukan atau Non-Aktif"),
        ({"amount": 10**12}, "44", "Saldo tidak cukup"),
        ({"amount": None}, "40", "Payload Error"),
        ({"amount": 0}, "40", "Payload Error"),
        ({"amount": 12.5}, "40", "Payload Error"),
        ({"amount": "500"}, "40", "Payload Error"),
        ({"amount": True}, "40", "Payload Error"),
        ({"customer_no": ""}, "40", "Payload Error"),
        ({"customer_no": 54100234563}, "40", "Payload Error"),
        ({"customer_no": "54100234564"}, "54", "Nomor Tujuan Salah"),
        ({"customer_no": "5410023456"}, "54", "Nomor Tujuan Salah"),
    ],
)
def test_what_the_biller_refuses(
    outside: Sandbox, changes: dict[str, object], rc: str, message: str
) -> None:
    ref = new_ref()
    answer = buy(outside, ref, **changes)
    data = answer.json()["data"]
    assert answer.status_code == 200
    assert (data["ref_id"], data["rc"], data["status"]) == (ref, rc, "Gagal")
    assert (data["message"], data["sn"]) == (message, "")
    assert sold(outside, ref) == []


@pytest.mark.parametrize("changes", [{"customer_no": OTHER_METER}, {"amount": 501}])
def test_the_same_reference_for_something_else_is_49(
    outside: Sandbox, changes: dict[str, object]
) -> None:
    ref = new_ref()
    buy(outside, ref)
    assert buy(outside, ref, **changes).json()["data"]["rc"] == "49"
    assert len(sold(outside, ref)) == 1


def test_one_reference_asked_by_many_at_once_is_sold_once(outside: Sandbox) -> None:
    ref = new_ref()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: buy(outside, ref).json()["data"]["sn"], range(16)))
    assert len(set(answers)) == 1
    assert len(sold(outside, ref)) == 1


@pytest.mark.parametrize(
    ("meter", "name", "segment"),
    [
        (METER, "PETER KAMAU", "R1 /000001300"),
        (OTHER_METER, "BRIAN KAMAU", "R2 /000003500"),
    ],
)
def test_the_name_behind_a_meter(outside: Sandbox, meter: str, name: str, segment: str) -> None:
    data = inquire(outside, meter).json()["data"]
    assert re.fullmatch(r"5\d{11}", data.pop("subscriber_id"))
    assert data == {
        "message": "Transaksi Sukses",
        "status": "Sukses",
        "rc": "00",
        "customer_no": meter,
        "meter_no": meter,
        "name": name,
        "segment_power": segment,
    }


@pytest.mark.parametrize(
    ("meter", "changes", "rc"),
    [
        ("54100234564", {}, "54"),
        ("5410023456", {}, "54"),
        ("541002345630", {}, "54"),
        ("٥٤١٠٠٢٣٤٥٦٣", {}, "54"),
        (METER, {"sign": "x"}, "41"),
        (METER, {"username": "x"}, "42"),
    ],
)
def test_an_inquiry_that_finds_nobody(
    outside: Sandbox, meter: str, changes: dict[str, str], rc: str
) -> None:
    answer = inquire(outside, meter, **changes)
    data = answer.json()["data"]
    assert (answer.status_code, data["rc"], data["status"], data["name"]) == (200, rc, "Gagal", "")


def test_an_unknown_biller_is_404(outside: Sandbox) -> None:
    assert outside.get("/billers/water/sales").status_code == 404


def test_no_answer_sells_nothing_and_ends_with_the_clients_patience(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "no_answer")
    with pytest.raises(requests.ReadTimeout):
        buy(outside, ref, timeout=0.3)
    assert sold(outside, ref) == []
    assert buy(outside, ref).json()["data"]["rc"] == "00"


def test_slow_sells_although_the_client_left(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "slow", seconds=0.5)
    with pytest.raises(requests.ReadTimeout):
        buy(outside, ref, timeout=0.2)
    wait_until(lambda: sold(outside, ref))
    assert buy(outside, ref).json()["data"]["rc"] == "00"


def test_a_lost_reply_is_a_sale(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "lost_reply")
    with pytest.raises(requests.ConnectionError):
        buy(outside, ref)
    assert len(sold(outside, ref)) == 1
    assert buy(outside, ref).json()["data"]["status"] == "Sukses"
    assert len(sold(outside, ref)) == 1


def test_refuse_is_a_formed_transaction(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "refuse")
    first = buy(outside, ref).json()
    assert (first["data"]["rc"], first["data"]["status"]) == ("02", "Gagal")
    assert buy(outside, ref).json() == first
    assert sold(outside, ref) == []


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "part"),
    [
        ("http_400", 400, "text/html", "<h1>400 Bad Request</h1>"),
        ("http_500", 500, "text/html", "<h1>500 Internal Server Error</h1>"),
        ("wrong_body", 200, "application/json", "free Wi-Fi"),
    ],
)
def test_answers_that_are_not_the_billers(
    outside: Sandbox, kind: str, status: int, content_type: str, part: str
) -> None:
    ref = new_ref()
    outside.fault("biller:stima", kind, times=2, on="all")
    for answer in (inquire(outside, METER), buy(outside, ref)):
        assert (answer.status_code, part in answer.text) == (status, True)
        assert answer.headers["Content-Type"].startswith(content_type)
    assert sold(outside, ref) == []
    assert buy(outside, ref).json()["data"]["rc"] == "00"


@pytest.mark.parametrize(
    ("kind", "rc", "sales"), [("late_success", "00", 1), ("late_refusal", "02", 0)]
)
def test_pending_becomes_final_by_itself(outside: Sandbox, kind: str, rc: str, sales: int) -> None:
    ref = new_ref()
    outside.fault("biller:stima", kind, seconds=0.6)
    first = buy(outside, ref).json()["data"]
    assert (first["rc"], first["status"], first["sn"]) == ("03", "Pending", "")
    assert sold(outside, ref) == []
    wait_until(lambda: buy(outside, ref).json()["data"]["rc"] == rc)
    assert len(sold(outside, ref)) == sales


def test_a_duplicate_code_after_a_lost_reply_lasts_until_cleared(outside: Sandbox) -> None:
    ref = new_ref()
    outside.fault("biller:stima", "refuse_after_lost_reply")
    with pytest.raises(requests.ConnectionError):
        buy(outside, ref)
    assert len(sold(outside, ref)) == 1
    for _ in range(2):
        data = buy(outside, ref).json()["data"]
        assert (data["rc"], data["message"]) == ("49", "Ref ID tidak unik")
    outside.clear_faults()
    assert buy(outside, ref).json()["data"]["rc"] == "00"


def test_faults_of_one_call_leave_the_other_alone(outside: Sandbox) -> None:
    outside.fault("biller:stima", "refuse", times=None)
    assert inquire(outside, METER).json()["data"]["rc"] == "00"
    outside.clear_faults()
    outside.fault("biller:stima", "refuse", on="inquiry")
    assert inquire(outside, METER).json()["data"]["rc"] == "02"


def test_many_held_requests_leave_room_for_others(outside: Sandbox) -> None:
    outside.fault("biller:stima", "no_answer", times=40)
    begin = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        held = [pool.submit(_give_up, outside) for _ in range(40)]
        wait_until(lambda: outside.get("/faults").json() == [])
        assert buy(outside, new_ref()).json()["data"]["rc"] == "00"
        assert time.monotonic() - begin < 1.5
        assert all(one.result() for one in held)


def _give_up(outside: Sandbox) -> bool:
    try:
        buy(outside, new_ref(), timeout=1.5)
    except requests.ReadTimeout:
        return True
    return False

"""Which billers there are: settings that are refused, shared addresses, memory over kill -9."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.settings import SettingsError, from_environment
from tests.outside_world import StandIn, running_sandbox, wait_until
from tests.ports import free_port
from tests.sandbox import billers as wire

ONE: dict[str, Any] = {"family": "xendit", "username": "u", "api_key": "k"}


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("{", 'it must be JSON like {"code": {"username": …, "api_key": …}}'),
        ({"a": "x"}, 'it must be JSON like {"code": {"username": …, "api_key": …}}'),
        ({"a": {**ONE, "family": "soap"}}, "family of a must be one of: digiflazz_prepaid, "),
        ({"a": {**ONE, "api_key": ""}}, "api_key of a is missing"),
        ({"a": {**ONE, "family": "iso8583"}}, "port of a must be a number from 1 to 65535"),
        ({"a": {**ONE, "family": "file"}}, "folder of a is missing"),
        ({"a": {**ONE, "products": ["x"]}}, "products of a must be a list of objects"),
        ({"a": {**ONE, "products": [{"sku": ""}]}}, "sku of a is missing"),
        (
            {"a": {**ONE, "products": [{"sku": "s", "pay": "some"}]}},
            "pay of a product of a must be one of: any, fixed, exact, partial, over",
        ),
        (
            {"a": {**ONE, "products": [{"sku": "s", "pay": "fixed"}]}},
            "a product of a has a price where pay is fixed, and only there",
        ),
        (
            {"a": {**ONE, "products": [{"sku": "s", "pay": "fixed", "price": "-1"}]}},
            "a price of a must be above 0, not '-1'",
        ),
        (
            {name: {**ONE, "family": "iso8583", "port": 9} for name in "ab"},
            "every biller of family iso8583 needs a port of its own",
        ),
    ],
)
def test_billers_that_cannot_be(told: object, sentence: str) -> None:
    text = told if isinstance(told, str) else json.dumps(told)
    with pytest.raises(SettingsError) as refused:
        from_environment({"SANDBOX_BILLERS": text})
    assert str(refused.value).startswith(f"SANDBOX_BILLERS: {sentence}")


@pytest.mark.parametrize(
    ("name", "value"), [("SANDBOX_TIMEZONE", "Mars/Base"), ("SANDBOX_EXPONENT", "1")]
)
def test_other_settings_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment({name: value})


def test_without_them_the_credentials_are_sellers_of_electricity() -> None:
    told = '{"pln": {"username": "u", "api_key": "k", "url": "x", "webhook_secret": "s"}}'
    billers = from_environment({"BILLER_CREDENTIALS": told}).billers
    assert billers["pln"].family == "digiflazz_prepaid"
    assert billers["pln"].webhook_secret == "s"
    assert [one.sku for one in billers["pln"].products] == ["pln-token"]
    assert list(from_environment({}).billers) == ["stima"]


def test_billers_of_one_account_and_memory_over_kill(kibanda: StandIn, tmp_path: Path) -> None:
    """All at the address of `stima`; what they sold and what was asked survives."""
    billers = json.loads(wire.settings(kibanda.url, str(tmp_path / "files"))[0])
    shared = ("stima", "stima_post", "bando", "maji", "afya")
    told = {code: {**billers[code], "account": "stima"} for code in shared}
    told["jiji"] = {**billers["jiji"], "port": free_port()}
    kept = {code: wire.new_ref() for code in shared}
    with running_sandbox(kibanda.url, tmp_path, SANDBOX_BILLERS=json.dumps(told)) as first:
        _pay_all_at_one_address(first, kept)
        asked = wire.new_ref()
        body = wire.digiflazz(asked, "power", "12345671", commands="inq-pasca")
        wire.asked(first, "stima/v1/transaction", body)
        wait_until(lambda: all(wire.sold(first, code, ref) for code, ref in kept.items()))
        before = {code: first.get(f"/billers/{code}/sales").json() for code in shared}
        assert [len(sales) for sales in before.values()] == [1] * len(shared)
        assert first.get("/billers/bando/v1/transaction").status_code == 404
        first.kill()
    with running_sandbox(kibanda.url, tmp_path, SANDBOX_BILLERS=json.dumps(told)) as second:
        after = {code: second.get(f"/billers/{code}/sales").json() for code in shared}
        assert after == before
        body = wire.digiflazz(asked, "power", "12345671", commands="pay-pasca")
        paid = wire.asked(second, "stima/v1/transaction", body).json()["data"]
        assert paid["rc"] == "00"


def _pay_all_at_one_address(outside: Any, refs: dict[str, str]) -> None:
    def post(path: str, body: dict[str, Any]) -> Any:
        return wire.asked(outside, f"stima/{path}", body).json()

    body = wire.digiflazz(refs["stima"], "token", "54100234563", amount=500)
    post("v1/transaction", body)
    for command in ("inq-pasca", "pay-pasca"):
        body = wire.digiflazz(refs["stima_post"], "power", "12345682", commands=command)
        post("v1/transaction", body)
    ref = refs["bando"]
    top_up = {"username": wire.USER, "ref_id": ref, "sign": wire.sign(ref)}
    post("api/top-up", {**top_up, "customer_id": "0711000001", "product_code": "data1"})
    ref = refs["maji"]
    bill = {"username": wire.USER, "ref_id": ref, "code": "water", "hp": "12345682"}
    asked = {**bill, "commands": "inq-pasca", "sign": wire.sign(ref)}
    tr_id = post("api/v1/bill/check", asked)["data"]["tr_id"]
    paying = {"commands": "pay-pasca", "username": wire.USER, "tr_id": tr_id}
    post("api/v1/bill/check", {**paying, "sign": wire.sign(tr_id)})
    _pay_by_key(outside, refs["afya"])


def _pay_by_key(outside: Any, ref: str) -> None:
    there = f"{outside.url}/billers/stima/v1"
    asked = {"product_code": "bundle", "account_number": "0711000001"}
    inquiry = requests.post(f"{there}/inquiry", json=asked, auth=(wire.KEY, ""), timeout=5).json()
    body = {"reference_id": ref, "inquiry_id": inquiry["id"], "amount": 99}
    headers = {"Idempotency-Key": ref}
    requests.post(
        f"{there}/payment", json=body, auth=(wire.KEY, ""), headers=headers, timeout=5
    ).raise_for_status()

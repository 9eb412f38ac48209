"""Every callback gets rubbish, over real HTTP: no 500, no hang, no growth, and nothing moves.

Seeded by FLOODS_SEED; FLOODS=10 takes ten times as long.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from app.runtime import Runtime
from tests.floods.rubbish import (
    SEED,
    Before,
    ask,
    content_types,
    examples,
    forms,
    methods,
    request,
    values,
)
from tests.gateway_client import Session
from tests.people import fresh_meter
from tests.web.posting import DELIVERY, END, USSD, serves
from tests.world import World, wait_for

AddPerson = Callable[..., str]
TOKEN = "?token=demo"
FINE = {200, 400, 405, 413, 415}
CALLED_BACK = ("stima", "stima_post", "maji", "afya", "king", "bando")


@pytest.fixture(scope="module")
def msisdn(add_person: AddPerson) -> str:
    """Somebody with money, in whose name rubbish comes."""
    return add_person("sw", 50_000)


@pytest.fixture
def before(world: World, runtime: Runtime, msisdn: str) -> Iterator[Before]:
    serves(world)
    state = Before(world, runtime)
    yield state
    state.changed_nothing()
    serves(world)


def known(path: str, msisdn: str, session_id: str) -> dict[str, bytes]:
    """The fields of a callback with what is usually in them."""
    if path == DELIVERY:
        return {
            "id": b"ATXid_nobody", "status": b"Success", "networkCode": b"99999",
            "failureReason": b"", "retryCount": b"1", "phoneNumber": msisdn.encode(),
        }  # fmt: skip
    who = {
        "sessionId": session_id.encode(), "phoneNumber": msisdn.encode(), "networkCode": b"99999",
        "serviceCode": b"*384*123#",
    }  # fmt: skip
    if path == USSD:
        return {**who, "text": b""}
    return {
        **who, "date": b"2026-01-02 15:04:05", "status": b"Incomplete", "cost": b"KES 0.10",
        "durationInMillis": b"9120", "hopsCount": b"6", "input": b"1*2", "lastAppResponse": b"CON",
        "hopsMetadata": b"home,bill.category", "errorMessage": b"",
    }  # fmt: skip


@pytest.mark.parametrize("path", [USSD, END, DELIVERY])
def test_callbacks_of_a_gateway(world: World, before: Before, path: str, msisdn: str) -> None:
    people = [msisdn, "+254799999999", "+1", "+999999999999999"]
    url = f"/callbacks/africastalking/{path}"

    @seed(SEED)
    @examples(120)
    @given(data=st.data())
    def rubbish(data: st.DataObject) -> None:
        session_id = data.draw(st.sampled_from(("one", "two", secrets.token_hex(8))))
        fields = known(path, data.draw(st.sampled_from(people)), session_id)
        sent = request(
            data.draw(methods), url + TOKEN, data.draw(content_types), data.draw(forms(fields))
        )
        status, body = ask(world, sent)
        assert status in FINE | {0}, (status, body[:200], sent[:300])
        if status == 200 and path == USSD and sent.startswith(b"POST"):
            assert body[:4] in (b"CON ", b"END "), body
            body.decode()

    rubbish()


def test_hops_of_a_person_who_types_anything(world: World, before: Before, msisdn: str) -> None:
    """Well-formed hops whose replies are rubbish: they get deep into the menus."""
    typed = st.one_of(st.sampled_from([*"0123456789", "00", "98", "54100234563"]), st.text())

    @seed(SEED)
    @examples(60)
    @given(replies=st.lists(typed, max_size=8), again=st.booleans())
    def journey(replies: list[str], again: bool) -> None:
        session = Session(world, msisdn)
        session.dial()
        for reply in replies:
            session.extend(reply.encode(errors="ignore").decode().replace("7391", "1937"))
            if len(session.text) > 4000:
                return
            answer = session.post(session.text)
            assert answer.status_code == (400 if "\0" in session.text else 200), answer.text
            if answer.status_code != 200:
                return
            assert answer.text.startswith(("CON ", "END "))
            if again:
                assert session.post(session.text).content == answer.content

    journey()


def signature(biller: str, body: bytes, now: int) -> bytes:
    """Headers that sign these bytes as the biller would, in every family that signs a body."""
    secret = f"demo-{'stima' if biller == 'stima_post' else biller}-secret".encode()
    digiflazz = hmac.new(secret, body, hashlib.sha1).hexdigest()
    xendit = hmac.new(secret, b"%d." % now + body, hashlib.sha256).hexdigest()
    return (
        f"X-Hub-Signature: sha1={digiflazz}\r\nX-Callback-Timestamp: {now}\r\n"
        f"X-Callback-Signature: {xendit}\r\n"
    ).encode()


def signed_inside(biller: str, told: Any) -> Any:
    """IAK's own: the signature is a field of the data."""
    if isinstance(told, dict) and isinstance(told.get("data"), dict):
        data = dict(told["data"])
        subject = f"kibandademo-{biller}-key{data.get('ref_id')}".encode(errors="replace")
        return {**told, "data": {**data, "sign": hashlib.md5(subject).hexdigest()}}
    return told


leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(("00", "Sukses", "Gagal", "SUCCEEDED", "FAILED", 10**400, -1, "\0", "\ud800")),
)  # fmt: skip
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=10,
)
FIELDS = (
    "ref_id", "reference_id", "customer_no", "customer_id", "buyer_sku_code", "product_code", "rc",
    "status", "sn", "price", "message", "response_code", "noref", "hp", "code", "amount", "id",
    "currency", "properties", "failure_code", "selling_price", "desc", "tr_id",
)  # fmt: skip


@pytest.fixture(scope="module")
def references(world: World, add_person: AddPerson) -> list[str]:
    """References of nobody, and one of a sale that was captured."""
    session = Session(world, add_person("en", 100_000))
    meter = fresh_meter()
    session.home()
    session.reply("1", "1", "1", meter, "200", "7391")

    def sold() -> list[str]:
        return [str(sale["ref_id"]) for sale in world.sales() if sale["customer_no"] == meter]

    (reference,) = wait_for(sold, 15, "the sale")
    wait_for(lambda: world.inbox(session.msisdn), 15, "the receipt")
    return [reference, "0" * 32, "x", ""]


@pytest.mark.parametrize("biller", [*CALLED_BACK, "jiji", "shule", "nobody"])
def test_webhooks_of_every_family(
    world: World, references: list[str], before: Before, biller: str
) -> None:
    """Unsigned, wrongly signed, and signed rightly over nonsense."""

    @seed(SEED)
    @examples(40)
    @given(data=st.data())
    def rubbish(data: st.DataObject) -> None:
        about = data.draw(st.dictionaries(st.sampled_from(FIELDS), leaves, max_size=8))
        for name in ("ref_id", "reference_id"):
            if data.draw(st.booleans()):
                about[name] = data.draw(st.sampled_from(references))
        told: Any = {"data": about, "event": "payment.updated"}
        told = data.draw(st.sampled_from((told, told, about))) if data.draw(st.booleans()) else told
        told = data.draw(trees) if data.draw(st.integers(0, 5)) == 0 else told
        body = json.dumps(signed_inside(biller, told)).encode()
        if data.draw(st.integers(0, 4)) == 0:
            body = data.draw(values)
        headers = signature(biller, body, int(time.time()))
        if data.draw(st.integers(0, 5)) == 0:
            headers = b"X-Hub-Signature: %b\r\n" % data.draw(values).translate(None, b"\r\n\0")
        sent = request(
            data.draw(methods), f"/callbacks/billers/{biller}", data.draw(content_types), body,
            headers,
        )  # fmt: skip
        status, answer = ask(world, sent)
        assert status in FINE | {0, 403, 404}, (status, answer[:200], sent[:600])

    rubbish()


def test_bytes_that_are_no_request(world: World, before: Before) -> None:
    """Heads of any sort, cut anywhere, followed by anything."""
    good = request(
        b"POST", f"/callbacks/africastalking/{USSD}{TOKEN}", b"application/x-www-form-urlencoded",
        b"sessionId=1&phoneNumber=%2B254711000009&networkCode=1&serviceCode=*1%23&text=",
    )  # fmt: skip

    @seed(SEED)
    @examples(120)
    @given(data=st.data())
    def rubbish(data: st.DataObject) -> None:
        sent = bytearray(good)
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(0, len(sent)))
            cut = data.draw(st.sampled_from((0, 0, 1, 5, 40)))
            sent[place : place + cut] = data.draw(values)
        status, answer = ask(world, bytes(sent))
        assert status < 500 or (status, answer) == (501, b""), (status, answer[:200], bytes(sent))

    rubbish()


def test_pages_that_nobody_should_ask_for(world: World, before: Before) -> None:
    paths = st.one_of(
        st.sampled_from(("/", "/healthz", "/metrics", "/readyz", "/callbacks/", "/static/x")),
        st.from_regex(r"/callbacks/(africastalking|billers)/[ -~]{0,20}", fullmatch=True),
        st.text(st.characters(codec="ascii", exclude_characters=" \r\n"), max_size=40).map(
            "/".__add__
        ),
    )  # fmt: skip

    @seed(SEED)
    @examples(80)
    @given(method=methods, path=paths, body=values)
    def rubbish(method: bytes, path: str, body: bytes) -> None:
        status, answer = ask(world, request(method, path.replace(" ", "%20"), b"", body))
        assert status < 500 or path.startswith("/readyz"), (status, answer[:200], path)

    rubbish()

"""`billers`: what a market's file lacks, how each biller stands, what one answers to an inquiry."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app import markets
from app.factory import create_app
from app.settings import Settings
from tests.billers.played import Asked, pending, served
from tests.cli.office import Office, refusal, said
from tests.people import fresh_meter

KEY, SECRET = "the-api-key-of-stima", "the-webhook-secret"
METER, ACCOUNT = "54100234563", "20000015"
DEMO = (markets.FOLDER / "demo.toml").read_text()


@dataclass
class Played:
    """Both stimas at one address; `reply` answers the inquiries."""

    url: str = ""
    reply: Callable[[Asked], object] = lambda _: None
    asked: list[Asked] = field(default_factory=list)

    def answer(self, asked: Asked) -> object:
        self.asked.append(asked)
        return self.reply(asked)


@contextmanager
def an_office(office: Office, url: str, **settings: Any) -> Iterator[Office]:
    """The same office, with credentials of stima alone."""
    stima = {"url": url, "username": "kibanda", "api_key": KEY, "webhook_secret": SECRET}
    told = {"database_url": office.app.extensions["kibanda"].settings.database_url}
    app = create_app(Settings(**told, biller_credentials={"stima": stima}, **settings))
    try:
        yield Office(app, office.admin_url, office.stage)
    finally:
        app.extensions["kibanda"].db.dispose()


@pytest.fixture(scope="module")
def stima() -> Iterator[Played]:
    played = Played()
    with served(played.answer) as played.url:
        yield played


@pytest.fixture
def connected(office: Office, stima: Played) -> Iterator[Office]:
    stima.asked.clear()
    with an_office(office, stima.url) as with_credentials:
        yield with_credentials


def name_check(asked: Asked, name: str = "GRACE KAMAU", rc: str = "00") -> dict[str, Any]:
    status = "Sukses" if rc == "00" else "Gagal"
    customer = asked.body["customer_no"]
    return {"data": {"customer_no": customer, "name": name, "rc": rc, "status": status}}


def bill(asked: Asked, owed: int = 247, rc: str = "00") -> dict[str, Any]:
    months = [
        {"periode": "202609", "nilai_tagihan": "120", "admin": "0", "denda": "5"},
        {"periode": "202610", "nilai_tagihan": str(owed - 125), "admin": "0", "denda": "0"},
    ]
    echoed = {key: asked.body[key] for key in ("ref_id", "customer_no", "buyer_sku_code")}
    return {
        "data": {
            **echoed, "customer_name": "JUMA OTIENO", "rc": rc, "selling_price": owed,
            "status": "Sukses" if rc == "00" else "Gagal",
            "desc": {"lembar_tagihan": 2, "detail": months},
        }
    }  # fmt: skip


# --- check ---


def test_check_says_0_problems_of_each_biller_of_a_sound_file(office: Office) -> None:
    told = said(office.run("billers", "check", "demo_id"))
    billers = markets.load("demo_id").billers
    assert told.splitlines() == [
        f"{code} ({rules.family}, {rules.silence_policy}): 0 problems"
        for code, rules in billers.items()
    ]


def test_check_tells_every_problem_of_a_file_by_its_line(office: Office, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    wrong = DEMO.replace('refused_codes = ["02", "54"]', 'refused_codes = ["02", "49"]', 1)
    wrong = wrong.replace('silence_policy = "reverse"', 'silence_policy = "ask"')
    path.write_text(wrong)
    told = said(office.run("billers", "check", str(path)), code=1)
    first, second = [re.sub(r"^.*mine\.toml:\d+: ", "", line) for line in told.splitlines()]
    assert first.startswith("billers.stima.refused_codes: 49, a duplicate reference, says nothing")
    assert second == "billers.serikali.silence_policy: this family knows 'advise' or 'reverse' only"
    for line in told.splitlines():
        number, key = re.findall(r"mine\.toml:(\d+): [a-z_.]+\.(\w+): ", line)[0]
        assert wrong.splitlines()[int(number) - 1].startswith(f"{key} = ")


def test_check_of_a_file_that_is_not_there(office: Office) -> None:
    told = said(office.run("billers", "check", "narnia"), code=1)
    assert "no market has this name, only demo, demo_id" in told


def test_check_of_the_market_in_use_looks_at_its_settings(
    office: Office, stima: Played, connected: Office
) -> None:
    told = said(connected.run("billers", "check"), code=1).splitlines()
    assert "stima (digiflazz_prepaid, ask): 0 problems" in told
    assert "stima_post (digiflazz_postpaid, ask): 0 problems" in told
    assert "maji (iak_postpaid, ask): BILLER_CREDENTIALS has no entry 'maji'" in told
    assert KEY not in "".join(told)
    unsigned = {"url": stima.url, "username": "kibanda", "api_key": KEY}
    app = create_app(Settings(biller_credentials={"stima": unsigned}))
    told = said(Office(app, "", office.stage).run("billers", "check"), code=1).splitlines()
    assert told[0] == (
        "stima (digiflazz_prepaid, ask): BILLER_CREDENTIALS: 'stima' has no webhook_secret, so "
        "what it tells is refused"
    )


# --- list ---


def listed(office: Office) -> dict[str, dict[str, Any]]:
    rows = json.loads(said(office.run("billers", "list", "--json")))
    assert [row["biller"] for row in rows] == list(markets.load("demo").billers)
    return {row["biller"]: row for row in rows}


def test_list_counts_what_is_open_and_tells_the_last_answer(connected: Office) -> None:
    before = listed(connected)["stima"]
    connected.manual()
    connected.stage.biller.script = pending
    connected.stage.pay()
    connected.stage.drain()
    connected.stage.biller.script = None
    held = connected.stage.pay()
    now = listed(connected)["stima"]
    assert now["manual"] == before["manual"] + 1
    assert now["unknown"] == before["unknown"] + 1
    assert now["due"] >= before["due"] + 1
    assert now["oldest_seconds"] >= 86_400
    assert (now["last_answer"]["reason"], now["last_answer"]["code"]) == ("pending", "03")
    assert (now["family"], now["policy"], now["standing"]) == ("digiflazz_prepaid", "ask", "open")

    connected.stage.drain_until(held, "captured")
    sold = listed(connected)["stima"]
    assert sold["deposit_minor"] == 99_000_000
    table = said(connected.run("billers", "list"))
    (line,) = re.findall(r"^stima  .*$", table, re.MULTILINE)
    assert "KES 990,000.00" in line
    assert re.search(r"1 day, .*(pending 03|paid 00) 20\d\d-", line), line
    (maji,) = re.findall(r"^maji  .*$", table, re.MULTILINE)
    assert "no credentials" in maji
    assert "not told" in maji


def test_list_tells_what_stands_in_the_way(connected: Office) -> None:
    connected.stage.run("UPDATE biller_states SET paused_at = now() WHERE biller = 'stima'")
    try:
        assert listed(connected)["stima"]["standing"] == "paused"
        assert "paused" in said(connected.run("billers", "list"))
    finally:
        connected.stage.run("UPDATE biller_states SET paused_at = NULL WHERE biller = 'stima'")
    opened = "UPDATE biller_states SET open_until = now() + interval '%s' WHERE biller = 'stima'"
    try:
        connected.stage.run(opened % "1 minute")
        assert listed(connected)["stima"]["standing"] == "breaker open"
        connected.stage.run(opened % "-1 minute")
        assert listed(connected)["stima"]["standing"] == "breaker half open"
    finally:
        connected.stage.run("UPDATE biller_states SET open_until = NULL WHERE biller = 'stima'")


def test_list_of_products(connected: Office) -> None:
    rows = json.loads(said(connected.run("billers", "list", "--products", "--json")))
    products = {row["product"]: row for row in rows}
    token = products["stima_token"]
    assert (token["biller"], token["pay"], token["number"]) == ("stima", "any", "11 digits Luhn")
    assert (token["least_minor"], token["most_minor"]) == (5_000, 5_000_000)
    assert products["king_basic"]["step_minor"] is None
    table = said(connected.run("billers", "list", "--products"))
    assert re.search(r"^king_basic .* fixed +KES 600.00 +KES 600.00 ", table, re.MULTILINE)
    assert re.search(r"^bando_day .* telephone +no ", table, re.MULTILINE)


# --- try ---


def test_try_shows_whose_number_it_is_and_never_pays(connected: Office, stima: Played) -> None:
    stima.reply = name_check
    told = said(connected.run("billers", "try", "stima", METER))
    assert re.fullmatch(
        r"stima \(digiflazz_prepaid\) answered in \d\.\d\d s\n"
        rf"product   stima_token Stima token\nnumber    {METER}\nname      GRACE KAMAU\n"
        r"payable   KES 50.00 to KES 50,000.00\nfee       KES 5.00 to KES 50.00\n",
        told,
    ), told
    assert [asked.path for asked in stima.asked] == ["/v1/inquiry-pln"]
    assert KEY not in told
    assert SECRET not in told


def test_try_shows_a_bill_line_by_line(connected: Office, stima: Played) -> None:
    stima.reply = bill
    told = said(connected.run("billers", "try", "stima_post", "2000 0015"))
    assert told.splitlines()[1:] == [
        "product   stima_bill Stima bill",
        f"number    {ACCOUNT}",
        "name      JUMA OTIENO",
        "owed      KES 247.00",
        "          09/2026  KES 120.00, penalty KES 5.00",
        "          10/2026  KES 122.00",
        "payable   KES 247.00",
        "fee       KES 10.00",
    ]
    assert [asked.body["commands"] for asked in stima.asked] == ["inq-pasca"]


def test_try_of_a_bill_that_is_too_large(connected: Office, stima: Played) -> None:
    stima.reply = lambda asked: bill(asked, owed=60_000)
    told = said(connected.run("billers", "try", "stima_post", ACCOUNT))
    assert "payable   not here: the most is KES 50,000.00" in told


def hang(_: Asked) -> object:
    time.sleep(2.5)
    return {}


SAYS: dict[str, tuple[Callable[[Asked], object], str, int, str]] = {
    "nobody": (lambda a: name_check(a, rc="54"), "customer_unknown", 1, METER),
    "odd": (lambda a: name_check(a, rc="40"), "biller_odd", 2, "code_not_final, code 40"),
    "a page": (lambda _: (502, {}), "biller_down", 2, "http_5xx"),
    "hung up": (lambda _: None, "biller_down", 2, "connection_lost"),
    "slow": (hang, "biller_slow", 2, "timeout"),
}


@pytest.mark.parametrize("case", SAYS.values(), ids=SAYS)
def test_try_tells_what_the_wire_did(
    connected: Office, stima: Played, case: tuple[Callable[[Asked], object], str, int, str]
) -> None:
    stima.reply, reason, code, words = case
    result = connected.run("billers", "try", "stima", METER)
    refusal(result, reason, code=code)
    assert words in result.output
    assert KEY not in result.output


def test_try_of_a_bill_that_is_paid(connected: Office, stima: Played) -> None:
    stima.reply = lambda asked: bill(asked, rc="60")
    refusal(connected.run("billers", "try", "stima_post", ACCOUNT), "nothing_owed")


def test_try_refuses_what_nobody_need_be_asked(connected: Office, stima: Played) -> None:
    for arguments, reason in (
        (("narnia", METER), "biller_unknown"),
        (("stima", METER[:-1] + "0"), "customer_number_check"),
        (("stima", "12"), "customer_number_length"),
        (("serikali", "12345678"), "customer_number_form"),
        (("stima", METER, "--product", "stima_bill"), "biller_sells_other"),
        (("maji", ACCOUNT), "credentials_missing"),
    ):
        refusal(connected.run("billers", "try", *arguments), reason)
    assert stima.asked == []


def test_try_of_a_product_without_inquiry_and_of_a_closed_biller(
    office: Office, stima: Played, tmp_path: Path
) -> None:
    path = tmp_path / "night.toml"
    hours = 'silence_policy = "ask"\nopens = 00:00:00\ncut_off = 00:00:01'
    text = DEMO.replace('silence_policy = "ask"', hours, 1)
    path.write_text(text.replace('name = "Stima token"', 'name = "Stima token"\ninquiry = false'))
    with an_office(office, stima.url, kibanda_market=str(path)) as night:
        told = said(night.run("billers", "try", "stima", fresh_meter())).splitlines()
        assert told[0] == "stima (digiflazz_prepaid) was not asked"
        assert told[1] == "closed now: it takes payments 00:00-00:00"
        assert listed(night)["stima"]["standing"] == "closed till 00:00"


def test_the_group_has_the_day_files_too(office: Office) -> None:
    assert "files" in said(office.run("billers", "--help"))

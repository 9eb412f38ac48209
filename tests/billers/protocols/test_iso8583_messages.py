"""ISO 8583: the bytes of every message of ours, and what each recorded answer means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.billers.protocols.answers import Bill, InquiryError, Line, Order
from app.billers.protocols.iso8583 import Iso8583, messages
from app.billers.protocols.iso8583.messages import Fields, Numbers, Terminal
from app.billers.protocols.iso8583.opening import address_of
from app.markets.billers import Biller
from app.markets.model import Market
from app.money import Currency
from app.settings import BillerCredentials
from tests.billers.stage import market_with
from tests.billers.switch import ACQUIRER, NAME, TERMINAL, TOKEN, answer_to

KES = Currency("KES", 2)
US = Terminal(ACQUIRER, TERMINAL, "404")
AT = datetime(2026, 11, 26, 23, 25, 7, tzinfo=UTC)
ORDER = Order(
    "0198c0ffee", "stima-token", "54100234563", 50_000, serial=1_234_567, first_sent_at=AT
)
BILL = replace(ORDER, sku="maji", sells_token=False, owes=True)

# STAN 334570 = 1,234,567 mod 449,999 + 1; the reversal's is 449,999 more.
WRITTEN: list[tuple[str, Fields, bytes]] = [
    (
        "sign-on",
        messages.network("001", "900001", AT),
        b"0800822000000000000004000000000000001126232507900001001",
    ),
    (
        "echo",
        messages.network("301", "900002", AT),
        b"0800822000000000000004000000000000001126232507900002301",
    ),
    (
        "sign-off",
        messages.network("002", "900003", AT),
        b"0800822000000000000004000000000000001126232507900003002",
    ),
    (
        "inquiry",
        messages.inquiry(US, "maji", "100200300", stan="900004", rrn="912345678901", at=AT),
        (
            b"0200323840010881800038000000000000000011262325079000042325071126601206628001"
            b"912345678901KIBANDA1032maji        100200300           404"
        ),
    ),
    (
        "payment, prepaid",
        messages.payment(US, ORDER),
        (
            b"0200323840010881800018000000000005000011262325073345702325071126601206628001"
            b"000001234567KIBANDA1032stima-token 54100234563         404"
        ),
    ),
    (
        "payment, postpaid",
        messages.payment(US, BILL),
        (
            b"0200323840010881800050000000000005000011262325073345702325071126601206628001"
            b"000001234567KIBANDA1032maji        54100234563         404"
        ),
    ),
    (
        "advice",
        messages.advice(US, replace(ORDER, request=2)),
        (
            b"0220323840010881800018000000000005000011262325073345702325071126601206628001"
            b"000001234567KIBANDA1032stima-token 54100234563         404"
        ),
    ),
    (
        "advice, again",
        messages.advice(US, replace(ORDER, request=3)),
        (
            b"0221323840010881800018000000000005000011262325073345702325071126601206628001"
            b"000001234567KIBANDA1032stima-token 54100234563         404"
        ),
    ),
    (
        "reversal",
        messages.reversal(US, replace(ORDER, request=2)),
        (
            b"0400B2384001088180000000004000000000180000000000050000112623250778456923250711266012"
            b"06628001000001234567KIBANDA1032stima-token 54100234563         404"
            b"0200334570112623250700000628001" + b"0" * 11
        ),
    ),
    (
        "reversal, again",
        messages.reversal(US, replace(ORDER, request=7)),
        (
            b"0401B2384001088180000000004000000000180000000000050000112623250778456923250711266012"
            b"06628001000001234567KIBANDA1032stima-token 54100234563         404"
            b"0200334570112623250700000628001" + b"0" * 11
        ),
    ),
]


@pytest.mark.parametrize(
    ("fields", "written"), [row[1:] for row in WRITTEN], ids=[row[0] for row in WRITTEN]
)
def test_what_we_send(fields: Fields, written: bytes) -> None:
    assert messages.encode(fields) == written
    read = messages.decode(written)
    assert {name: read[name] for name in fields} == fields


def test_no_stan_of_another_sort_is_a_purchase_and_each_reversal_has_its_own() -> None:
    numbers = Numbers()
    others = {int(numbers.stan()) for _ in range(300)}
    assert len(others) == 300
    for serial in (1, 449_998, 449_999, 450_000, 899_998, 123_456_789_012):
        bought = messages.payment(US, replace(ORDER, serial=serial))
        undone = messages.reversal(US, replace(ORDER, serial=serial))
        assert 1 <= int(bought["11"]) <= 449_999 < int(undone["11"]) < 900_000 <= min(others)
        assert bought["37"] == undone["37"] == f"{serial:012d}"
    assert max(others) <= 999_999
    assert all(numbers.rrn()[0] == "9" and len(numbers.rrn()) == 12 for _ in range(50))


def test_the_codec_refuses_what_does_not_fit() -> None:
    for field, value in (("48", "é"), ("4", "1" * 13), ("41", "short")):
        with pytest.raises(messages.MessageError):
            messages.encode(messages.payment(US, ORDER) | {field: value})


SALES: list[tuple[Fields, str, str]] = [
    ({}, "paid", "paid"),
    ({"f62": f"2{TOKEN}{'1' * 20}"}, "paid", "paid"),
    ({"f62": f"3{TOKEN}{'1' * 20}{'2' * 20}"}, "paid", "paid"),
    ({"f62": ""}, "unknown", "paid_without_token"),
    ({"f62": "0"}, "unknown", "paid_without_token"),
    ({"f62": TOKEN}, "unknown", "paid_without_token"),
    ({"f62": "173786976294838206464"}, "unknown", "paid_without_token"),
    ({"f62": f"1{TOKEN[:19]}"}, "unknown", "paid_without_token"),
    ({"f62": f"2{TOKEN}"}, "unknown", "paid_without_token"),
    ({"f62": f"2{TOKEN}{TOKEN}"}, "unknown", "paid_without_token"),
    ({"f62": f"4{TOKEN}{'1' * 20}{'2' * 20}{'3' * 20}"}, "unknown", "paid_without_token"),
    ({"f39": "05"}, "refused", "refused"),
    ({"f39": "14"}, "refused", "refused"),
    ({"f39": "30"}, "refused_first", "refused_first"),
    ({"f39": "91"}, "refused_first", "refused_first"),
    ({"f39": "68"}, "unknown", "code_not_final"),
    ({"f39": "94"}, "unknown", "code_not_final"),
    ({"f39": "96"}, "unknown", "code_not_final"),
    ({"f39": "77"}, "unknown", "code_not_final"),
    ({"f39": ""}, "unknown", "body_foreign"),
    ({"f39": "0?"}, "unknown", "body_foreign"),
    ({"f11": "000001"}, "unknown", "other_reference"),
    ({"f37": "000001234568"}, "unknown", "other_reference"),
    ({"f37": "000001234568", "f39": "05"}, "unknown", "other_reference"),
    ({"f41": "KIBANDA2"}, "unknown", "other_terminal"),
    ({"f41": ""}, "unknown", "other_terminal"),
    ({"f4": "000000050100"}, "unknown", "other_amount"),
    ({"f4": "000000050100", "f39": "05"}, "unknown", "other_amount"),
    ({"f4": ""}, "unknown", "other_amount"),
    ({"f49": "360"}, "unknown", "other_amount"),
    ({"f48": "other       54100234563"}, "unknown", "other_product"),
    ({"f48": "stima-token 54100234571"}, "unknown", "other_customer"),
    ({"f48": "stima-token 54100234563"}, "paid", "paid"),  # DE48 need not be padded
    ({"f48": ""}, "unknown", "other_product"),
]


@pytest.fixture(scope="module")
def rules(demo: Market) -> Biller:
    biller = market_with(
        demo, "line",
        family="iso8583", silence_policy="advise",
        refused_codes=("05", "14"), refused_first_codes=("30", "51", "91"),
    ).billers["line"]  # fmt: skip
    assert isinstance(biller, Biller)
    return biller


@pytest.mark.parametrize(("changes", "outcome", "reason"), SALES)
def test_what_the_answer_to_a_purchase_means(
    rules: Biller, changes: Fields, outcome: str, reason: str
) -> None:
    asked = messages.payment(US, ORDER)
    said = messages.decode(
        messages.encode(answer_to(asked, "00", **{"f62": f"1{TOKEN}"} | changes))
    )
    answer = messages.read_sale(said, asked, ORDER, rules)
    assert (answer.outcome, answer.reason) == (outcome, reason)
    assert answer.in_format == (not reason.startswith(("other_reference", "body_")))
    kept = ((TOKEN,), ()) if reason == "other_amount" else ((),)  # what staff may need
    assert answer.tokens[:1] in (((TOKEN,),) if outcome == "paid" else kept)


def test_what_the_answer_to_an_advice_means(rules: Biller) -> None:
    asked = messages.advice(US, replace(ORDER, request=2))
    for code, outcome in (
        ("00", "paid"), ("05", "refused"), ("14", "refused"),
        ("30", "unknown"), ("51", "unknown"), ("91", "unknown"), ("25", "unknown"),
        ("68", "unknown"), ("94", "unknown"), ("96", "unknown"),
    ):  # fmt: skip
        said = answer_to(asked, code, f"1{TOKEN}")
        assert said["t"] == "0230"
        assert messages.read_sale(said, asked, ORDER, rules).outcome == outcome, code


def test_a_receipt_instead_of_tokens(rules: Biller) -> None:
    asked = messages.payment(US, BILL)
    told = messages.read_sale(answer_to(asked, "00", "RC0000000077    "), asked, BILL, rules)
    assert (told.outcome, told.receipt_no, told.tokens) == ("paid", "RC0000000077", ())
    silent = messages.read_sale(answer_to(asked, "00"), asked, BILL, rules)
    assert (silent.outcome, silent.receipt_no) == ("paid", "")


REVERSALS = [
    ("00", {}, "refused", "reversed"),
    ("25", {}, "refused", "never_arrived"),
    ("96", {}, "unknown", "not_reversed"),
    ("05", {}, "unknown", "not_reversed"),
    ("91", {}, "unknown", "not_reversed"),
    ("94", {}, "unknown", "not_reversed"),
    ("00", {"f62": f"1{TOKEN}"}, "refused", "reversed"),
    ("00", {"f4": "000000000001"}, "unknown", "other_amount"),
    ("25", {"f37": "000000000001"}, "unknown", "other_reference"),
    ("25", {"f48": "stima-token 54100234571"}, "unknown", "other_customer"),
]


@pytest.mark.parametrize(("code", "changes", "outcome", "reason"), REVERSALS)
def test_what_the_answer_to_a_reversal_means(
    code: str, changes: Fields, outcome: str, reason: str
) -> None:
    asked = messages.reversal(US, replace(ORDER, request=2))
    answer = messages.read_reversal(answer_to(asked, code, **changes), asked)
    assert (answer.outcome, answer.reason, answer.tokens) == (outcome, reason, ())


def month(period: str, amount_minor: int, penalty_minor: int = 0) -> str:
    return f"{period}{amount_minor:012d}{penalty_minor:012d}"


BILLS: list[tuple[str, Bill | str | None]] = [
    (NAME + "P00", Bill("100200300", "GRACE KAMAU")),
    (
        NAME + "B02" + month("202608", 120_000, 5_000) + month("202609", 90_000),
        Bill(
            "100200300",
            "GRACE KAMAU",
            215_000,
            (Line("08/2026", 120_000, 5_000), Line("09/2026", 90_000)),
        ),
    ),
    (NAME + "B00", Bill("100200300", "GRACE KAMAU", 0, ())),
    (NAME + "B02" + month("202608", 1), "bill_unreadable"),
    (NAME + "B01" + month("202608", 1) + "x", "bill_unreadable"),
    (NAME + "B01" + month("202613", 1), "bill_unreadable"),
    (NAME + "B01" + month("202608", 1)[:-1], "bill_unreadable"),
    (NAME + "P01", "bill_unreadable"),
    (NAME, "bill_unreadable"),
    ("\x01".ljust(25) + "P00", "nameless"),
    ("", "nameless"),
]


@pytest.mark.parametrize(("told", "meant"), BILLS)
def test_what_an_inquiry_tells(told: str, meant: Bill | str | None) -> None:
    asked = messages.inquiry(US, "maji", "100200300", stan="900004", rrn="9" * 12, at=AT)
    said = answer_to(asked, "00", told)
    if not isinstance(meant, str):
        assert messages.read_bill(said, asked, "100200300") == meant
        return
    with pytest.raises(InquiryError) as raised:
        messages.read_bill(said, asked, "100200300")
    assert (raised.value.reason, raised.value.in_format, raised.value.nothing_owed) == (
        meant, True, False,
    )  # fmt: skip


def test_an_inquiry_that_names_nobody() -> None:
    asked = messages.inquiry(US, "maji", "100200300", stan="900004", rrn="9" * 12, at=AT)
    assert messages.read_bill(answer_to(asked, "14"), asked, "100200300") is None
    for code, changes, reason, in_format, nothing in (
        ("88", {}, "nothing_open", True, True),
        ("91", {}, "code_not_final", True, False),
        ("96", {}, "code_not_final", True, False),
        ("88", {"f48": "maji        100200301"}, "other_customer", True, False),
        ("14", {"f48": "maji        100200301"}, "other_customer", True, False),
        ("14", {"f37": "1" * 12}, "other_reference", False, False),
    ):
        with pytest.raises(InquiryError) as raised:
            messages.read_bill(answer_to(asked, code, **changes), asked, "100200300")
        error = raised.value
        assert (error.reason, error.in_format, error.nothing_owed) == (reason, in_format, nothing)


def test_settings_that_no_switch_would_take(rules: Biller) -> None:
    good = {"url": "tcp://127.0.0.1:7000", "username": ACQUIRER, "api_key": TERMINAL}
    Iso8583("line", rules, BillerCredentials.model_validate(good), KES)
    for wrong, said in (
        ({"url": "https://biller.example"}, "tls://host:port"),
        ({"url": "tcp://127.0.0.1"}, "tls://host:port"),
        ({"username": "kibanda"}, "username"),
        ({"username": "1" * 12}, "username"),
        ({"api_key": "KIBANDA"}, "api_key"),
        ({"api_key": "KIBANDÀ1"}, "api_key"),
    ):
        credentials = BillerCredentials.model_validate(good | wrong)
        with pytest.raises(ValueError, match=said):
            Iso8583("line", rules, credentials, KES)
    with pytest.raises(ValueError, match="currency XTS"):
        Iso8583("line", rules, BillerCredentials.model_validate(good), Currency("XTS", 2))
    assert address_of("tls://switch.example:7443").tls

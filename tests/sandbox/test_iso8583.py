"""The ISO 8583 biller, over its TCP port: literal fields, one sale an RRN, reversals, faults."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import iso8583
import pytest
from iso8583.specs import default_ascii

from tests.outside_world import Sandbox, wait_until
from tests.sandbox.billers import new_number, sold, undone

METER = "54100234563"
_numbers = count(1)
Fields = dict[str, str]


@dataclass
class Line:
    """A connection to the switch; `told` waits for one message."""

    socket: socket.socket

    def send(self, fields: Fields) -> None:
        content, _ = iso8583.encode(dict(fields), default_ascii)
        self.socket.sendall(struct.pack(">H", len(content)) + content)

    def frame(self) -> bytes:
        (length,) = struct.unpack(">H", self._exactly(2))
        return self._exactly(length)

    def told(self) -> Fields:
        fields, _ = iso8583.decode(self.frame(), default_ascii)
        return fields

    def ask(self, fields: Fields) -> Fields:
        self.send(fields)
        return self.told()

    def network(self, code: str) -> str:
        return self.ask({"t": "0800", "7": "1127101010", "11": "900001", "70": code})["39"]

    def is_silent(self) -> bool:
        """Nothing comes by itself, and the line still echoes."""
        return self.network("301") == "00"

    def _exactly(self, length: int) -> bytes:
        content = b""
        while len(content) < length:
            part = self.socket.recv(length - len(content))
            if not part:
                raise EOFError(content)
            content += part
        return content


def connect(billers: Sandbox) -> Line:
    there = socket.create_connection(("127.0.0.1", billers.ports["jiji"]), timeout=3)
    return Line(there)


@pytest.fixture
def line(billers: Sandbox) -> Iterator[Line]:
    """Signed on."""
    opened = connect(billers)
    assert opened.network("001") == "00"
    yield opened
    opened.socket.close()


def about(sku: str, number: str) -> str:
    return sku.ljust(12) + number.ljust(20)


def request(kind: str, code: str, amount: int, sku: str, number: str, **more: str) -> Fields:
    stan = next(_numbers)
    return {
        "t": kind,
        "3": code,
        "4": f"{amount:012d}",
        "7": "1127101010",
        "11": f"{stan:06d}",
        "12": "101010",
        "13": "1127",
        "18": "6012",
        "32": "12345",
        "37": f"{stan:012d}",
        "41": "KIBANDA1",
        "48": about(sku, number),
        "49": "404",
        **more,
    }


def token(amount: int = 50_000, kind: str = "0200") -> Fields:
    return request(kind, "180000", amount, "UNITS", METER)


def reversal(original: Fields, kind: str = "0400") -> Fields:
    stan = f"{next(_numbers):06d}"
    data = f"0200{original['11']}{original['7']}{original['32']:0>11}{'0' * 11}"
    return {**original, "t": kind, "11": stan, "90": data}


def owed(line: Line, sku: str, number: str) -> list[tuple[str, int, int]]:
    """Month, amount and penalty of every open line."""
    told = line.ask(request("0200", "380000", 0, sku, number))
    assert told["39"] == "00"
    bill = told["62"][25:]
    assert bill[0] == "B"
    found = re.findall(r"(\d{6})(\d{12})(\d{12})", bill[3:])
    assert len(found) == int(bill[1:3])
    return [(month, int(amount), int(penalty)) for month, amount, penalty in found]


def test_nothing_before_sign_on_and_nothing_after_sign_off(billers: Sandbox) -> None:
    line = connect(billers)
    asked = token()
    assert line.ask(asked)["39"] == "91"
    assert line.network("301") == "00"
    assert line.network("999") == "30"
    assert line.network("001") == "00"
    assert line.ask(asked)["39"] == "00"
    assert line.network("002") == "00"
    assert line.ask(asked)["39"] == "91"
    line.socket.close()


def test_an_inquiry_of_a_meter(line: Line) -> None:
    asked = request("0200", "380000", 0, "UNITS", METER)
    told = line.ask(asked)
    assert {name: told[name] for name in asked if name != "t"} == {
        name: value for name, value in asked.items() if name != "t"
    }
    assert (told["t"], told["39"]) == ("0210", "00")
    assert told["62"] == "PETER KAMAU".ljust(25) + "P00"


def test_an_inquiry_of_a_bill(line: Line) -> None:
    number = new_number()
    months = owed(line, "POWER", number)
    assert 1 <= len(months) <= 3
    assert all(penalty > 0 for _, _, penalty in months[:-1])
    assert months[-1][2] == 0
    ((month, amount, penalty),) = owed(line, "PERMIT", "AB123450")
    assert (len(month), penalty) == (6, 0)
    assert amount > 0


@pytest.mark.parametrize(
    ("sku", "number", "changes", "code"),
    [
        ("UNITS", "54100234564", {}, "14"),
        ("POWER", "12345679", {}, "14"),
        ("POWER", "12345608", {}, "88"),
        ("OTHER", "12345671", {}, "05"),
        ("POWER", "12345671", {"41": "OTHER001"}, "05"),
        ("POWER", "12345671", {"32": "999"}, "05"),
        ("POWER", "12345671", {"49": "360"}, "30"),
    ],
)
def test_an_inquiry_that_finds_nothing(
    line: Line, sku: str, number: str, changes: Fields, code: str
) -> None:
    told = line.ask(request("0200", "380000", 0, sku, number, **changes))
    assert (told["39"], told.get("62")) == (code, None)


def test_tokens_once_however_often_it_is_asked_for(billers: Sandbox, line: Line) -> None:
    asked = token()
    told = line.ask(asked)
    assert (told["t"], told["39"], told["4"]) == ("0210", "00", "000000050000")
    (sale,) = sold(billers, "jiji", asked["37"])
    assert told["62"] == f"1{sale['token']}"
    assert (sale["customer_no"], sale["sku"], sale["amount"]) == (METER, "UNITS", 500)
    for kind in ("0200", "0220", "0221", "0221"):
        again = line.ask({**asked, "t": kind})
        assert (again["39"], again["62"]) == ("00", told["62"])
        assert again["t"] == ("0210" if kind == "0200" else "0230")
    assert len(sold(billers, "jiji", asked["37"])) == 1


def test_an_advice_completes_what_never_came(billers: Sandbox, line: Line) -> None:
    asked = token(12_345, "0220")
    told = line.ask(asked)
    assert (told["t"], told["39"]) == ("0230", "00")
    assert [sale["amount"] for sale in sold(billers, "jiji", asked["37"])] == ["123.45"]


@pytest.mark.parametrize(
    ("change", "code"), [({"4": "000000000100"}, "94"), ({"48": about("UNITS", "5")}, "94")]
)
def test_other_content_under_a_known_rrn(line: Line, change: Fields, code: str) -> None:
    asked = token()
    line.ask(asked)
    assert line.ask({**asked, **change, "t": "0220"})["39"] == code


def test_a_bill_in_parts_then_whole(billers: Sandbox, line: Line) -> None:
    number = new_number()
    total = sum(amount + penalty for _, amount, penalty in owed(line, "POWER", number))
    part = request("0200", "500000", 5_050, "POWER", number)
    told = line.ask(part)
    assert told["39"] == "00"
    assert told["62"] == sold(billers, "jiji", part["37"])[0]["receipt"]
    assert len(told["62"]) == 16
    rest = sum(amount + penalty for _, amount, penalty in owed(line, "POWER", number))
    assert rest == total - 5_050
    too_much = request("0200", "500000", rest + 1, "POWER", number)
    assert line.ask(too_much)["39"] == "13"
    assert line.ask(request("0200", "500000", rest, "POWER", number))["39"] == "00"
    assert line.ask(request("0200", "380000", 0, "POWER", number))["39"] == "88"
    assert line.ask({**too_much, "t": "0220"})["39"] == "13", "an advice sells nothing declined"
    assert line.ask(request("0200", "500000", 100, "POWER", number))["39"] == "88"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request("0200", "500000", 100, "UNITS", METER), "30"),
        (request("0200", "180000", 100, "POWER", "12345671"), "30"),
        (request("0200", "180000", 0, "UNITS", METER), "13"),
        (request("0200", "500000", 1, "PERMIT", "AB123451"), "13"),
        (request("0200", "180000", 100, "UNITS", "54100234564"), "14"),
        (request("0200", "180000", 999_999_999_999, "UNITS", METER), "51"),
        (request("0200", "180000", 100, "OTHER", METER), "05"),
    ],
)
def test_what_the_biller_refuses(billers: Sandbox, line: Line, asked: Fields, code: str) -> None:
    told = line.ask(asked)
    assert (told["39"], told.get("62")) == (code, None)
    assert line.ask({**asked, "t": "0221"})["39"] == code
    assert sold(billers, "jiji", asked["37"]) == []


def test_a_reversal_undoes_and_says_so_again(billers: Sandbox, line: Line) -> None:
    asked = token()
    line.ask(asked)
    for kind in ("0400", "0401", "0401"):
        told = line.ask(reversal(asked, kind))
        assert (told["t"], told["39"], told["37"]) == ("0410", "00", asked["37"])
    assert sold(billers, "jiji", asked["37"]) == []
    (sale,) = undone(billers, "jiji", asked["37"])
    assert sale["amount"] == 500
    assert line.ask({**asked, "t": "0220"})["39"] == "94"


def test_what_was_reversed_before_it_came_is_never_sold(billers: Sandbox, line: Line) -> None:
    asked = token()
    for kind in ("0400", "0401"):
        assert line.ask(reversal(asked, kind))["39"] == "25"
    for kind in ("0200", "0220"):
        assert line.ask({**asked, "t": kind})["39"] == "94"
    assert sold(billers, "jiji", asked["37"]) == []


def test_a_reversal_that_cannot_be_done_now_or_read(billers: Sandbox, line: Line) -> None:
    asked = token()
    line.ask(asked)
    billers.fault("biller:jiji", "refuse", on="reversal")
    assert line.ask(reversal(asked))["39"] == "96"
    assert line.ask({**reversal(asked), "90": "1" * 42})["39"] == "30"
    assert len(sold(billers, "jiji", asked["37"])) == 1
    assert line.ask(reversal(asked, "0401"))["39"] == "00"


def test_answers_come_in_the_order_in_which_they_are_done(billers: Sandbox, line: Line) -> None:
    billers.fault("biller:jiji", "slow", seconds=0.4)
    slow, quick = token(), token()
    line.send(slow)
    wait_until(lambda: billers.get("/faults").json() == [])
    line.send(quick)
    assert [line.told()["11"] for _ in range(2)] == [quick["11"], slow["11"]]


def test_many_in_flight(billers: Sandbox, line: Line) -> None:
    asked = [token() for _ in range(32)]
    for one in asked:
        line.send(one)
    told = [line.told() for _ in asked]
    assert {one["37"] for one in told} == {one["37"] for one in asked}
    assert {one["39"] for one in told} == {"00"}


@pytest.mark.parametrize(
    ("kind", "sales"),
    [
        ("no_answer", 0),
        ("lost_reply", 1),
        ("refuse_after_lost_reply", 1),
    ],
)
def test_silence(billers: Sandbox, line: Line, kind: str, sales: int) -> None:
    asked = token()
    billers.fault("biller:jiji", kind)
    line.send(asked)
    wait_until(lambda: billers.get("/faults").json() == [])
    wait_until(lambda: len(sold(billers, "jiji", asked["37"])) == sales)
    assert line.is_silent()
    duplicate = kind == "refuse_after_lost_reply"
    assert line.ask({**asked, "t": "0220"})["39"] == ("94" if duplicate else "00")


def test_a_wholly_dead_switch_does_not_echo(billers: Sandbox, line: Line) -> None:
    billers.fault("biller:jiji", "no_answer", on="all")
    line.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        line.network("301")


@pytest.mark.parametrize(
    ("kind", "first", "then", "sales"),
    [
        ("refuse", "05", "05", 0),
        ("not_formed", "91", "00", 1),
        ("late_success", "68", "00", 1),
        ("late_refusal", "68", "05", 0),
        ("pending_forever", "68", "68", 0),
        ("duplicate_stan", "94", "00", 1),
    ],
)
def test_outcomes(
    billers: Sandbox, line: Line, kind: str, first: str, then: str, sales: int
) -> None:
    asked = token()
    billers.fault("biller:jiji", kind, seconds=0.2)
    assert line.ask(asked)["39"] == first
    wait_until(lambda: line.ask({**asked, "t": "0221"})["39"] == then)
    assert len(sold(billers, "jiji", asked["37"])) == sales


@pytest.mark.parametrize(
    ("kind", "tokens"), [("two_tokens", 2), ("three_tokens", 3), ("bad_token", 1)]
)
def test_tokens(billers: Sandbox, line: Line, kind: str, tokens: int) -> None:
    asked = token()
    billers.fault("biller:jiji", kind)
    told = line.ask(asked)["62"]
    (sale,) = sold(billers, "jiji", asked["37"])
    assert told == f"{tokens}{''.join(sale['tokens'])}"
    assert (int(sale["token"]) > 2**66 - 1) == (kind == "bad_token")


def test_a_wrong_amount(billers: Sandbox, line: Line) -> None:
    asked = token()
    billers.fault("biller:jiji", "wrong_amount")
    assert line.ask(asked)["4"] == "000000050100"
    assert sold(billers, "jiji", asked["37"])[0]["amount"] == 500


def test_messages_that_cannot_be_read(billers: Sandbox, line: Line) -> None:
    nonsense, cut_short = token(), token()
    billers.fault("biller:jiji", "wrong_body")
    line.send(nonsense)
    assert line.frame() == b"Welcome to StimaNet free Wi-Fi"
    billers.fault("biller:jiji", "malformed")
    line.send(cut_short)
    with pytest.raises(iso8583.DecodeError):
        line.told()
    assert line.is_silent()
    assert sold(billers, "jiji", nonsense["37"]) == []
    assert len(sold(billers, "jiji", cut_short["37"])) == 1


def test_a_line_cut_in_mid_message(billers: Sandbox, line: Line) -> None:
    asked = token()
    billers.fault("biller:jiji", "cut")
    line.send(asked)
    with pytest.raises(EOFError) as cut:
        line.frame()
    assert cut.value.args[0].startswith(b"0210")
    assert len(sold(billers, "jiji", asked["37"])) == 1


def test_what_it_cannot_read_is_not_answered(line: Line) -> None:
    for content in (b"0200 is no message", b"\xff" * 30):
        line.socket.sendall(struct.pack(">H", len(content)) + content)
    line.send({**token(), "t": "0500"})
    assert line.is_silent()

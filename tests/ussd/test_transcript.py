"""The language of transcripts: what is refused by which sentence, and how screens are compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateways import africastalking
from app.ussd.playback import Difference, Player
from app.ussd.transcript import BYTES_MOST, FORMS, Line, Memory, TranscriptError, parse, read

BROKEN = {
    "dail *384*123#": "1: there is no verb `dail`; perhaps `dial`. The verbs are person, stranger,",
    "dial *384*123#\n>1": "2: a space is missing after `>`",
    "dial *384*123#\nsms<Paid": "2: a space is missing after `sms<`",
    "# nobody\n\ndial 384": "3: `dial` takes a code, as in `dial *384*123#`",
    "person english 5": "1: `person` takes a language and a balance, as in `person en 5,000.00`",
    "stranger Amina": "1: `stranger` stands alone on its line",
    "fault biller:stima slow seconds=soon": "1: `fault` takes a target, a kind and facts in JSON",
    "dial *384*123#\nreplies many": "2: `replies` takes a number, as in `replies 3`",
    "< Kibanda": "1: `<` comes before the first `dial`",
    "# nothing\n": " has nothing to play; a transcript begins with `dial`",
}
UNFILLED = {
    "dial *384*123#\n> {meter}": "2: {meter} has no value: give it one, as in --set meter=…",
    "dial *384*123#\n< {owner}": "2: {owner} has no value: give it one, as in --set owner=…",
    "dial *384*123#\n> {ref}": "2: {ref} is typed before any screen or SMS has shown it",
    "dial *384*123#\n> {name}": "2: {name} can be shown but not typed: write what is typed",
    "dial *384*123#\n< {pin}": "2: {pin} stands in a reply only: no screen shows a PIN",
}


@pytest.mark.parametrize(("text", "sentence"), BROKEN.items())
def test_a_line_without_meaning_is_named(text: str, sentence: str) -> None:
    with pytest.raises(TranscriptError) as refused:
        parse("pay.txt", text)
    assert str(refused.value).startswith(f"pay.txt:{sentence}")


@pytest.mark.parametrize(("text", "sentence"), UNFILLED.items())
def test_a_placeholder_that_nothing_fills_is_named(text: str, sentence: str) -> None:
    with pytest.raises(TranscriptError) as refused:
        parse("pay.txt", text).require(())
    assert str(refused.value) == f"pay.txt:{sentence}"


def test_what_was_shown_or_given_can_be_typed() -> None:
    story = parse("pay.txt", "dial *384*123*51*{meter}#\n< Ref {ref}\n> {ref}\n> {pin2}\n> {pin}")
    story.require({"meter"})
    assert {name: line.number for name, line in story.pins.items()} == {"pin2": 4, "pin": 5}


def test_files_that_are_no_transcripts(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "large.txt").write_bytes(b"#" * (BYTES_MOST + 1))
    for name, sentence in (
        ("binary.txt", "is no text in UTF-8"),
        ("large.txt", "this is too large for a transcript"),
        ("missing.txt", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(TranscriptError) as refused:
            read(tmp_path / name)
        assert str(refused.value) == f"{name}: {sentence}"


def test_a_fault_of_brackets_alone_is_refused() -> None:
    with pytest.raises(TranscriptError, match="takes a target, a kind and facts in JSON"):
        parse("pay.txt", f"fault sms down times={'[' * 100_000}")


VERBS = st.sampled_from([*FORMS, "", "#", "dail"])
WORDS = st.text(st.sampled_from('{}refpin217*# =-"<>\n\r\t\u0661\u2028\ud800'), max_size=20)


@given(st.lists(st.tuples(VERBS, WORDS), max_size=12))
def test_every_text_is_a_transcript_or_is_refused_by_a_sentence(
    lines: list[tuple[str, str]],
) -> None:
    text = "\n".join(f"{verb} {words}" for verb, words in [("dial", "*1#"), *lines])
    with contextlib.suppress(TranscriptError):
        story = parse("pay.txt", text)
        story.require(())
        for line in story.lines:
            Memory().matches(line.text, line.text)
            Memory().difference(line.text, "Kibanda")


def test_a_blank_line_parts_two_sms_and_windows_ends_of_lines_do_not_matter() -> None:
    text = "\ufeffdial *384*123#\r\n< A\r\n<\r\n<  B\r\n\r\nsms< 1\r\nsms< 2\r\n\r\nsms< 3\r\n"
    assert parse("pay.txt", text).lines == (
        Line(1, "dial", "*384*123#"),
        Line(2, "<", "A\n\n B"),
        Line(6, "sms<", "1\n2"),
        Line(9, "sms<", "3"),
    )


def test_a_reference_must_come_again_as_it_came() -> None:
    memory = Memory()
    assert memory.matches("Ref {ref}, {day} {time}", "Ref M445DEFB, 24/11 19:04")
    assert memory.known == {"ref": "M445DEFB"}
    assert memory.matches("Ref {ref}, {day}", "Ref M445DEFB, 25/11")
    assert not memory.matches("Ref {ref}", "Ref SYJE5KEB")
    assert memory.matches("Ref {ref2}", "Ref SYJE5KEB")
    assert not memory.matches("Ref {ref3}", "Ref lower-case")


def test_a_reference_twice_on_one_screen_is_one() -> None:
    assert Memory().matches("{ref}\n{ref}", "M445DEFB\nM445DEFB")
    memory = Memory()
    expected, shown = "Ref {ref}\nLast {ref}", "Ref M445DEFB\nLast SYJE5KEB"
    assert not memory.matches(expected, shown)
    assert memory.difference(expected, shown).split("\n") == [
        "- Ref {ref}",
        "- Last {ref}",
        "+ Ref M445DEFB",
        "+ Last SYJE5KEB",
    ]
    assert memory.known == {}


def test_a_difference_shows_only_what_differs() -> None:
    told = Memory({"meter": "54100234563"}).difference(
        "Paid KES 200.00. Ref {ref}\nMeter {meter}\n0 Back",
        "Paid KES 200.00. Ref M445DEFB\nMeter 54100234571\n0 Back",
    )
    assert told.splitlines() == [
        "  Paid KES 200.00. Ref M445DEFB",
        "- Meter 54100234563",
        "+ Meter 54100234571",
        "  0 Back",
    ]


@dataclass
class Scripted:
    """A phone whose screens and SMS stand written; it keeps what was typed."""

    screens: list[str]
    sms: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    open: bool = False

    def dial(self, code: str) -> str:
        return self.reply(code)

    def reply(self, text: str) -> str:
        self.typed.append(text)
        screen = self.screens.pop(0)
        self.open = not screen.startswith("Bye")
        return screen

    def drop(self) -> None:
        self.open = False

    def hear_sms(self) -> str | None:
        return self.sms.pop(0) if self.sms else None

    def person(self, _language: str, _balance: str) -> Scripted:
        return self

    def stranger(self) -> Scripted:
        return self

    def fault(self, target: str, kind: str, facts: Mapping[str, object]) -> None:
        self.typed.append(f"{target} {kind} {facts}")

    def clear(self) -> None:
        self.typed.append("clear")


def played(phone: Scripted, text: str, tell: Callable[[str], None] = print) -> Player:
    player = Player(
        parse("pay.txt", text),
        phone,
        africastalking.GATEWAY,
        secrets={"pin": "7391"},
        phone=phone,
        tell=tell,
    )
    player.play()
    return player


def test_every_verb_does_what_it_says() -> None:
    phone, told = Scripted(["Menu", "PIN?", "Bye SYJE5KEB", "Menu"], ["Paid"]), []
    text = """person en 1.00\nstranger\nfault sms down times=1\ndial *384*123#\n< Menu\n> 1
> {pin}\n< Bye {ref}\nreplies 2\nend\nsms< Paid\nclear\ndial *384*123#\n< Menu\ndrop\nend"""
    player = played(phone, text, told.append)
    assert phone.typed == [
        "sms down {'times': 1}", "*384*123#", "1", "7391", "clear", "*384*123#",
    ]  # fmt: skip
    assert (player.screens, player.messages) == (4, 1)
    assert "> {pin}" in told
    assert "7391" not in "\n".join(told)


@pytest.mark.parametrize(
    ("screens", "sms", "text", "sentence"),
    [
        (["A"], [], "< B", "2: the screen differs (- expected, + shown)\n- B\n+ A"),
        (["A"], [], "end", "2: the session is still open"),
        (["A"], [], "replies 1", "2: it took 0 replies"),
        (["Bye"], [], "> 1", "2: no menu is open here: the session is over"),
        (["A" * 183], [], "", "1: the screen does not fit: 183 septets, 182 are the most"),
        (["ሀ" * 81], [], "", "1: the screen does not fit: 81 UCS-2 units, 80 are the most"),
        (["A"], [], "sms< Paid", "2: no SMS came. Expected:\nPaid"),
        (["A"], ["a" * 161], "sms< Paid", "2: the SMS has 2 parts, 1 are allowed:\naaa"),
        (["A"], ["ሀ" * 202], "sms< Paid", "2: the SMS has 4 parts, 3 are allowed:\nሀ"),
        (["A"], ["ሀ" * 201], "sms< Paid", "2: the SMS differs (- expected, + shown)\n- Paid\n"),
    ],
)
def test_the_first_difference_ends_it(
    screens: list[str], sms: list[str], text: str, sentence: str
) -> None:
    with pytest.raises(Difference) as found:
        played(Scripted(screens, sms), f"dial *384*123#\n{text}")
    assert str(found.value).startswith(f"pay.txt:{sentence}")


def test_a_transcript_has_an_end_in_time() -> None:
    phone = Scripted(["A"])
    story = parse("pay.txt", "dial *384*123#")
    player = Player(story, phone, africastalking.GATEWAY, phone=phone, seconds=0)
    with pytest.raises(Difference, match=r"^pay.txt:1: it takes longer than 0 s$"):
        player.play()
    assert phone.typed == []

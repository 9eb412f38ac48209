"""Every transcript of this folder, played on a phone against the running system."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.gateways.wire import USSD_SEPTETS
from app.money import Currency
from app.text.width import septets, sms_parts
from tests.journeys.transcript import Line, Story
from tests.people import fresh_meter
from tests.world import Phone, World

FOLDER = Path(__file__).parent
STORIES = sorted(FOLDER.glob("*.txt"))
KES = Currency("KES", 2)
AddPerson = Callable[..., str]


class Player:
    """Plays one story; each verb of the transcript is a method."""

    def __init__(self, world: World, story: Story, add_person: AddPerson) -> None:
        self.world, self.story, self.add_person = world, story, add_person
        self.story.known["meter"] = fresh_meter()
        self.phone: Phone | None = None
        self.screen = ""
        self.sms_read = 0
        self.replies = 0

    def play(self) -> None:
        lines = self.story.lines()
        for verb, group in itertools.groupby(lines, key=lambda line: line.verb):
            if verb in {"<", "sms<"}:
                self._expect(verb, list(group))
                continue
            for line in group:
                getattr(self, f"do_{'reply' if verb == '>' else verb}")(line)

    def do_person(self, line: Line) -> None:
        language, amount = line.rest.split()
        self.phone = Phone(self.world, self.add_person(language, KES.parse(amount)))

    def do_stranger(self, _line: Line) -> None:
        self.phone = Phone(self.world, self.add_person(None, 0))

    def do_dial(self, line: Line) -> None:
        self.replies = 0
        self._show(self._handset.dial(self.story.fill(line.rest)))

    def do_reply(self, line: Line) -> None:
        self.replies += 1
        self._show(self._handset.reply(self.story.fill(line.rest)))

    def do_end(self, line: Line) -> None:
        assert not self._handset.open, f"{line.number}: the session is still open"

    def do_drop(self, _line: Line) -> None:
        self._handset.drop()

    def do_fault(self, line: Line) -> None:
        target, kind, *facts = line.rest.split()
        values = {name: json.loads(value) for name, value in (fact.split("=") for fact in facts)}
        self.world.fault(target, kind, **values)

    def do_clear(self, _line: Line) -> None:
        self.world.clear_faults()

    def do_replies(self, line: Line) -> None:
        assert self.replies == int(line.rest), f"{line.number}: it took {self.replies} replies"

    @property
    def _handset(self) -> Phone:
        assert self.phone, "the story begins with `person` or `stranger`"
        return self.phone

    def _show(self, screen: str) -> None:
        assert septets(screen) <= USSD_SEPTETS, f"{septets(screen)} septets:\n{screen}"
        self.screen = screen

    def _expect(self, verb: str, lines: list[Line]) -> None:
        expected = "\n".join(line.rest for line in lines)
        if verb == "<":
            self.story.expect(expected, self.screen, lines[0].number)
            return
        self.sms_read += 1
        text = self._handset.wait_sms(self.sms_read)[self.sms_read - 1]
        assert sms_parts(text) == 1, text
        self.story.expect(expected, text, lines[0].number)


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, world: World, add_person: AddPerson) -> None:
    try:
        Player(world, Story(path), add_person).play()
    finally:
        world.clear_faults()

"""Transcripts played on a phone of the sandbox; app/ussd/transcript.py has their language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from app.gateways import africastalking
from app.money import Currency
from app.ussd.playback import Player
from app.ussd.transcript import read
from tests.people import fresh_meter
from tests.world import Phone, World

KES = Currency("KES", 2)
AddPerson = Callable[..., str]


class Handset(Phone):
    """A phone that reads its SMS one after the other, and sees what the network cut off."""

    heard = 0

    def hear_sms(self) -> str:
        self.heard += 1
        return self.wait_sms(self.heard)[self.heard - 1]

    def _act(self, action: str, body: dict[str, str]) -> str:
        shown = self.world.sandbox("POST", f"/phones/{self.msisdn}/{action}", body)
        assert shown["septets"] <= shown["limit"], f"{shown['septets']} units:\n{shown['screen']}"
        return str(shown["screen"])


class Stage:
    """The people of a story are fresh ones of the database; its faults are the sandbox's."""

    def __init__(self, world: World, add_person: AddPerson, currency: Currency = KES) -> None:
        self.world, self.add_person, self.currency = world, add_person, currency
        self.clear = world.clear_faults

    def person(self, language: str, balance: str) -> Handset:
        return Handset(self.world, self.add_person(language, self.currency.parse(balance)))

    def stranger(self) -> Handset:
        return Handset(self.world, self.add_person(None, 0))

    def fault(self, target: str, kind: str, facts: Mapping[str, object]) -> None:
        self.world.fault(target, kind, **facts)


def play(world: World, path: Path, add_person: AddPerson, currency: Currency = KES) -> None:
    """Play one file with a fresh `{meter}`, and clear its faults whatever became of it."""
    stage = Stage(world, add_person, currency)
    try:
        Player(read(path), stage, africastalking.GATEWAY, known={"meter": fresh_meter()}).play()
    finally:
        stage.clear()

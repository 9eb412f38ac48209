"""`ussd transcript FILE…`: plays transcripts against a running server, as its operator would.

It speaks HTTP alone: neither database nor Redis is asked. Exit code 1 at the first difference; 2
when a file cannot be played or the server cannot be asked, for then nothing is known.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from flask.cli import with_appcontext

from app import msisdn as numbers
from app.cli.output import CannotAsk, refusing, runtime
from app.errors import DomainError
from app.gateways import africastalking
from app.gateways.africastalking_phone import WirePhone
from app.gateways.sandbox import Sandbox
from app.settings import Settings
from app.ussd.playback import Difference, Player
from app.ussd.transcript import PIN, Line, Transcript, TranscriptError, faults, kind, read

AMINA = "+254711000001"
STRANGER_DIGITS = 6
OF_THE_SANDBOX = frozenset({"person", "stranger", "sms<", "fault", "clear"})
SENTENCES: Mapping[str, str] = {
    "server_away": "Nobody answers at {url} ({reason}). Does the server run there?",
    "server_refuses": "{url} refuses our token or our address. CALLBACK_TOKEN must be the server's"
    " own, and CALLBACK_ALLOWED_IPS there must let us in.",
    "server_other": "At {url} there is no Kibanda: HTTP {status}.",
    "sandbox_away": "No sandbox answers at {url} ({reason}). Does it run there?",
    "fault_refused": "The sandbox knows no such fault: {why}.",
}


@click.command("transcript")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--url", help="the server (default: this machine, at PORT)")
@click.option("--sandbox", "sandbox_url", help="its sandbox: for people, SMS and faults")
@click.option("--msisdn", default=AMINA, show_default=True, help="whose phone it is")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="fills {NAME}")
@click.option("--quiet", is_flag=True, help="say only what differs")
@with_appcontext
@refusing
def transcript(
    *,
    files: tuple[Path, ...],
    url: str | None,
    sandbox_url: str | None,
    msisdn: str,
    pairs: tuple[str, ...],
    quiet: bool,
) -> None:
    """Play transcripts against a running server; exit code 1 at the first difference.

    PINs that a file writes as {pin}, {pin2} come from KIBANDA_PIN (a comma list), or are asked for.
    """
    parts = runtime()
    known = dict(_pair(pair) for pair in pairs)
    with _naming_trouble():
        number = _number(msisdn, parts.market.region)
        stories = [read(path) for path in files]
        for story in stories:
            story.require(known)
            _require_sandbox(story, there=sandbox_url is not None)
        stage = Stage(
            url=url or f"http://127.0.0.1:{parts.settings.port}",
            token=parts.settings.callback_token.get_secret_value(),
            service_codes=parts.market.service_codes,
            msisdn=number,
            sandbox=Sandbox(sandbox_url) if sandbox_url is not None else None,
            tell=(lambda _line: None) if quiet else click.echo,
        )
        pins = _pins(stories, parts.settings)
        for story in stories:
            stage.play(story, known, pins)


@dataclass
class Stage:
    """Whose phone it is, and where the server and the sandbox are."""

    url: str
    token: str = field(repr=False)
    service_codes: tuple[str, ...]
    msisdn: str
    sandbox: Sandbox | None
    tell: Callable[[str], None]
    phones: list[SandboxPhone] = field(default_factory=list)

    def play(self, story: Transcript, known: Mapping[str, str], pins: Mapping[str, str]) -> None:
        """Raises as Player does; leaves no open session and no fault behind."""
        player = Player(
            story,
            self,
            africastalking.GATEWAY,
            known=known,
            secrets=pins,
            phone=self._phone(self.msisdn),
            tell=self.tell,
        )
        self.tell(f"# {story.name}, {self.url}, {self.msisdn}")
        try:
            player.play()
        finally:
            self._tidy(story)
        self.tell(f"# {story.name}: {player.screens} screens and {player.messages} SMS as written")

    def person(self, _language: str, _balance: str) -> SandboxPhone:
        """Who is registered cannot be made over HTTP: it is the one of --msisdn."""
        return self._phone(self.msisdn)

    def stranger(self) -> SandboxPhone:
        digits = secrets.randbelow(10**STRANGER_DIGITS)
        return self._phone(f"{self.msisdn[:-STRANGER_DIGITS]}{digits:0{STRANGER_DIGITS}d}")

    def fault(self, target: str, kind: str, facts: Mapping[str, object]) -> None:
        assert self.sandbox, "refused before anything was dialled"
        self.sandbox.fault(target, kind, facts)

    def clear(self) -> None:
        assert self.sandbox, "refused before anything was dialled"
        self.sandbox.clear()

    def _phone(self, msisdn: str) -> SandboxPhone:
        phone = SandboxPhone(
            WirePhone(self.url, self.token, msisdn, self.service_codes, self.tell), self.sandbox
        )
        self.phones.append(phone)
        return phone

    def _tidy(self, story: Transcript) -> None:
        for phone in self.phones:
            phone.drop()
        self.phones.clear()
        if self.sandbox and any(line.verb == "fault" for line in story.lines):
            self.sandbox.clear()


class SandboxPhone:
    """A phone at the wire, whose SMS the sandbox has."""

    def __init__(self, phone: WirePhone, sandbox: Sandbox | None) -> None:
        self._phone, self._sandbox = phone, sandbox
        self._heard = len(sandbox.inbox(phone.msisdn)) if sandbox else 0
        self.dial, self.reply, self.drop = phone.dial, phone.reply, phone.drop

    @property
    def open(self) -> bool:
        return self._phone.open

    def hear_sms(self) -> str | None:
        """The next SMS since this phone was taken; None if none came in time."""
        assert self._sandbox, "refused before anything was dialled"
        text = self._sandbox.wait_sms(self._phone.msisdn, self._heard)
        self._heard += text is not None
        return text


def _pair(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (equals and name.isidentifier() and value) or kind(name) == PIN:
        raise click.UsageError("--set takes NAME=VALUE, and never a PIN")
    return name, value


def _number(written: str, region: str) -> str:
    try:
        return numbers.parse(written, region)
    except DomainError as error:
        sentence = "this is no telephone number; write it like +254711000001"
        raise click.BadParameter(sentence, param_hint="--msisdn") from error


def _require_sandbox(story: Transcript, *, there: bool) -> None:
    """Raises TranscriptError for what cannot be done, before anything is dialled."""
    for line in story.lines:
        if line.verb in OF_THE_SANDBOX and not there:
            raise story.error(line, f"`{line.verb}` needs the sandbox: give its address, --sandbox")
        if line.verb == "fault" and faults(line)[0] == "ussd":
            sentence = "faults of ussd are for phones of the sandbox; here, write `drop`"
            raise story.error(line, sentence)


def _pins(stories: Iterable[Transcript], settings: Settings) -> dict[str, str]:
    """The PINs that the transcripts need, from the environment or from a person."""
    needed: dict[str, tuple[Transcript, Line]] = {}
    for story in stories:
        for name, line in story.pins.items():
            needed.setdefault(name, (story, line))
    given = settings.kibanda_pin.get_secret_value().split(",") if settings.kibanda_pin else []
    return {name: _pin(name, given, *where) for name, where in needed.items()}


def _pin(name: str, given: list[str], story: Transcript, line: Line) -> str:
    place = int(name.removeprefix(PIN) or 1) - 1
    if 0 <= place < len(given) and given[place].strip():
        return given[place].strip()
    if not sys.stdin.isatty():
        raise story.error(line, f"{{{name}}} is a PIN: set KIBANDA_PIN, or run it in a terminal")
    question = f"{{{name}}} of {story.name}:{line.number}"
    asked: str = click.prompt(question, hide_input=True, err=True)
    return asked


@contextmanager
def _naming_trouble() -> Iterator[None]:
    """A difference is exit code 1; all else that stops a transcript is 2, with a sentence."""
    try:
        yield
    except Difference as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except TranscriptError as error:
        raise CannotAsk(str(error)) from error
    except DomainError as error:
        if error.code not in SENTENCES:
            raise
        raise CannotAsk(f"{error.code}: {SENTENCES[error.code].format(**error.facts)}") from error


COMMANDS = (transcript,)

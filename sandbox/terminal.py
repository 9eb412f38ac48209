"""`python -m sandbox.terminal [number]`: the phone, typed. It talks to the running sandbox by HTTP.

Reads one line at a time and prints what the phone shows; works in a pipe too, then without prompts.
While a menu is open a line is the reply, just as typed; words that begin with / are for the phone.
"""

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

import requests

HELP = """\
*CODE#           dial, for example {code}
1                while a menu is open: the reply, sent as typed
/sms             the inbox, oldest first
/drop            lose the network
/hangup          the red key
/number NUMBER   take another phone: a person's first name, or a number
/state           what the phone shows now
/help            this
/quit            put the phone away"""

_WAIT_SECONDS = 40.0  # longer than the operator waits for an answer, duplicates included
_NUMBER = re.compile(r"\+?[1-9][0-9]{6,14}")
_AT_HOME = re.compile(r"0[1-9][0-9]{7,11}")


class PhoneError(Exception):
    """What the phone could not do; the text says what to do about it."""


class Terminal:
    """One phone in the hand, at first the first person's. Raises PhoneError without a sandbox."""

    def __init__(self, url: str) -> None:
        self.url = url
        told = self._request("GET", "/config")
        self.service_code: str = told["service_code"]
        self._country_code: str = told["country_code"]
        self._people = {
            one["name"].partition(" ")[0].lower(): one["msisdn"] for one in told["people"]
        }
        self.msisdn: str = told["people"][0]["msisdn"]
        self.open = False

    @property
    def prompt(self) -> str:
        return "reply> " if self.open else f"{self.msisdn}> "

    def obey(self, line: str) -> str:
        """Do what one line says and return what to print; raises PhoneError."""
        word, _, rest = line.strip().partition(" ")
        match word:
            case "":
                return ""
            case "/help":
                return HELP.format(code=self.service_code)
            case "/sms":
                return self._inbox()
            case "/number":
                self.take(rest)
                return self._show(self._ask("GET", ""))
            case "/drop" | "/hangup":
                return self._act(word[1:], {})
            case "/state":
                return self._show(self._ask("GET", ""))
        if word.startswith("/"):
            raise PhoneError(f"{word} is no word of this phone; /help lists them")
        if self.open:
            return self._act("reply", {"text": line.rstrip("\r\n")})
        if word.startswith("*"):
            return self._act("dial", {"code": word})
        raise PhoneError(f"no menu is open; dial {self.service_code} first, or see /help")

    def take(self, name: str) -> None:
        """Another phone, by a person's first name or a number; raises PhoneError."""
        written = name.strip().replace(" ", "")
        if written.lower() in self._people:
            self.msisdn = self._people[written.lower()]
        elif _AT_HOME.fullmatch(written):
            self.msisdn = f"+{self._country_code}{written[1:]}"
        elif _NUMBER.fullmatch(written):
            self.msisdn = f"+{written.removeprefix('+')}"
        else:
            names = ", ".join(self._people)
            raise PhoneError(f"choose {names}, or write a number like {self.msisdn}")

    def _act(self, action: str, body: dict[str, str]) -> str:
        return self._show(self._ask("POST", f"/{action}", body))

    def _show(self, state: dict[str, Any]) -> str:
        self.open = bool(state["open"])
        if not state["screen"]:
            return "(no service)" if state["kind"] == "lost" else "(idle)"
        room = f"{state['septets']}/{state['limit']} {state['encoding']}"
        left = f", {state['seconds_left']:.0f} s left" if self.open else ", session over"
        return f"{state['screen']}\n-- {room}{left}"

    def _inbox(self) -> str:
        messages = self._ask("GET", "/sms")
        if not messages:
            return "(no messages)"
        return "\n".join(f"[{sms['at']}] {sms['from']}: {sms['text']}" for sms in messages)

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        return self._request(method, f"/phones/{self.msisdn}{path}", body)

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        try:
            answer = requests.request(method, self.url + path, json=body, timeout=_WAIT_SECONDS)
            told = answer.json()
        except requests.ConnectionError:
            raise PhoneError(f"no sandbox at {self.url}; start it with: make run") from None
        except (requests.Timeout, ValueError):
            raise PhoneError(f"the sandbox at {self.url} gave no answer") from None
        if not answer.ok:
            raise PhoneError(str(told["error"]))
        return told


def run(terminal: Terminal, lines: Iterable[str], *, prompting: bool) -> int:
    """Obey every line until /quit or the end; returns the exit status: 1 if a line could not be."""
    status = 0
    _prompt(terminal, prompting)
    for line in lines:
        if line.strip() == "/quit":
            break
        try:
            shown = terminal.obey(line)
        except PhoneError as error:
            shown, status = f"! {error}", 1
        if shown:
            print(shown, flush=True)
        _prompt(terminal, prompting)
    return 0 if prompting else status


def _prompt(terminal: Terminal, prompting: bool) -> None:
    if prompting:
        print(terminal.prompt, end="", flush=True)


def main() -> None:
    url = f"http://127.0.0.1:{os.environ.get('SANDBOX_PORT', '8001')}"
    try:
        terminal = Terminal(url)
        if len(sys.argv) > 1:
            terminal.take(sys.argv[1])
    except PhoneError as error:
        sys.exit(f"phone: {error}")
    prompting = sys.stdin.isatty()
    if prompting:
        print(f"A phone at {url}. Dial {terminal.service_code}; /help lists the rest.")
    try:
        sys.exit(run(terminal, sys.stdin, prompting=prompting))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""A process that refuses to start names the setting, and never quotes a value."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import markets
from app.settings import DEMO_KEY, Settings
from tests import forkserver
from tests.ports import free_port
from tests.world import ROOT

KEY = base64.b64encode(b"a-key-that-nobody-may-see-in-log").decode()
STARTS = {
    "web": ("-c", "from app.factory import create_web; create_web()"),
    "web server": ("-m", "gunicorn", "--config", "gunicorn.conf.py", "app.factory:create_web()"),
    "worker": ("-m", "workers", "payments"),
}
ALL_STARTS = STARTS | {
    "schedule": ("-m", "workers.schedule"),
    "command": ("-m", "flask", "--app", "app.factory", "migrate"),
}
BROKEN = {
    "PIN_KEYS": KEY,
    "SESSION_KEY": KEY[:-8],
    "BILLER_CREDENTIALS": json.dumps({"stima": {"url": "https://b", "api_key": KEY}}),
}
BROKEN_TOO = {
    "PIN_KEYS": f"one:{KEY}",
    "SESSION_KEY": f"{KEY}!",
    "BILLER_CREDENTIALS": json.dumps({"stima": KEY}),
    "PORT": "0",
}
BROKEN_JSON = {"BILLER_CREDENTIALS": f'{{"stima":{{"api_key":"{KEY}"'}
CASES = [(name, {name: value}) for case in (BROKEN, BROKEN_TOO) for name, value in case.items()]


def refused(start: str, *, forked: bool, **environment: str) -> tuple[int, str]:
    """Exit code and words of a process that does not start; `forked` spares it the imports."""
    command = [sys.executable, *ALL_STARTS[start]]
    env = {"PATH": os.environ["PATH"], "FLASK_SKIP_DOTENV": "1", **environment}
    if forked:
        done = forkserver.run(command, cwd=ROOT, env=env, seconds=20)
    else:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=20, check=False
        )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("start", ALL_STARTS)
def test_a_wrong_market_file_is_one_sentence_with_its_line(start: str, tmp_path: Path) -> None:
    text = (markets.FOLDER / "demo.toml").read_text()
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace("dormant_days", "dorman_days"))
    line = text.splitlines().index("dormant_days = 180") + 1
    code, said = refused(start, forked=False, KIBANDA_MARKET=str(path), PORT=str(free_port()))
    sentence = (
        f"{path}:{line}: people.dorman_days: there is no such name here; perhaps dormant_days"
    )
    assert code > 0
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("name", "broken"), [*CASES, ("BILLER_CREDENTIALS", BROKEN_JSON)])
def test_a_broken_value_is_named_and_not_quoted(
    start: str, name: str, broken: dict[str, str]
) -> None:
    code, said = refused(start, forked=True, CALLBACK_TOKEN=KEY, AT_API_KEY=KEY, **broken)
    assert code > 0, said
    assert name.lower() in said.lower()
    for hidden in (KEY, KEY[:-8], KEY[:12]):
        assert hidden not in said


LIVE = {
    "callback_token": "t" * 32,
    "pin_keys": f"1:{KEY}",
    "session_key": KEY,
    "at_username": "kibanda",
    "at_api_key": "real",
    "at_api_url": "https://api.africastalking.com",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("callback_token", "demo"),
        ("pin_keys", f"1:{DEMO_KEY}"),
        ("session_key", DEMO_KEY),
        ("at_username", "sandbox"),
        ("at_api_key", "demo-at-key"),
        ("at_api_url", "http://127.0.0.1:8001"),
        ("kibanda_failpoint", "sms.after_send"),
    ],
)
def test_what_is_the_demos_is_refused_outside_it(name: str, value: str) -> None:
    Settings(**LIVE).refuse_demo_secrets()  # type: ignore[arg-type]  # as the environment gives it
    with pytest.raises(ValueError, match=f"^{name.upper()} "):
        Settings(**{**LIVE, name: value}).refuse_demo_secrets()  # type: ignore[arg-type]

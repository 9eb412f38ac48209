"""The demo market for runs that must end in minutes: its billers are asked after a second.

Nothing but the rules of its file differ: shorter time-outs, an early end of asking, the day's files
soon. Its zone is one where it is about noon, so that no run ends on another day than it began.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

DEMO = Path(__file__).parent.parent / "app" / "markets" / "demo.toml"


def write(
    folder: Path,
    *,
    doubt_seconds: int,
    files_leave_at: datetime,
    timeout_seconds: int = 2,
    pin_digits: int = 4,
) -> Path:
    """The market's file. `doubt_seconds`: after that nobody is asked any more. `pin_digits`: long
    PINs can be looked for in logs, where four digits are found by chance.
    """
    zone = _zone_at_noon(datetime.now(UTC))
    cut_off = f"cut_off = {files_leave_at.astimezone(ZoneInfo(zone)):%H:%M:%S}"
    changes = {
        'timezone = "Africa/Nairobi"': f'timezone = "{zone}"',
        "\ntimeout_seconds = 10\n": f"\ntimeout_seconds = {timeout_seconds}\n",
        "ask_after_seconds = [2, 3, 5, 10, 20, 30, 60]": "ask_after_seconds = [1, 1, 2]",
        "length = 4\n": f"length = {pin_digits}\n",
        "manual_after_seconds = 900": f"manual_after_seconds = {doubt_seconds}",
        "breaker_open_seconds = 5": "breaker_open_seconds = 1",
        "cut_off = 18:00:00": cut_off,
        "cut_off = 20:00:00": cut_off,
    }
    text = DEMO.read_text()
    for rule, quick in changes.items():
        assert rule in text, f"the demo market has no {rule.strip()!r} any more"
        text = text.replace(rule, quick)
    path = folder / "quick.toml"
    path.write_text(text)
    return path


def _zone_at_noon(at: datetime) -> str:
    ahead = 12 - at.hour
    return f"Etc/GMT{-ahead:+d}"  # their signs are the other way round

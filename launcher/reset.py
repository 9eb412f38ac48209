"""`python -m launcher reset`: drop the demo's data."""

from __future__ import annotations

from pathlib import Path

from launcher import places as ours
from launcher.terminal import Terminal


def reset(project: Path) -> int:
    """Delete the data of the project's own servers. Raises CannotStartError while they run."""
    terminal = Terminal()
    places = ours.for_project(project)
    if not places.base.is_dir():
        terminal.say(f"there is no data in {places.base}")
        return 0
    with ours.claimed(places):
        ours.drop(places)
    terminal.say(f"dropped {places.base}; `make run` begins anew")
    return 0

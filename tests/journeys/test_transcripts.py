"""Every transcript of this folder, played on a phone against the running system."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.transcript import AddPerson, play
from tests.world import World

FOLDER = Path(__file__).parent
STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, world: World, add_person: AddPerson) -> None:
    play(world, path, add_person)

"""Every story of several phones in `stories/`, played against the running system."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.runtime import Runtime
from tests.journeys.cast import play
from tests.world import World

FOLDER = Path(__file__).parent / "stories"
STORIES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, world: World, runtime: Runtime) -> None:
    play(path, world, runtime)

"""Two thousand hops without a plan; `python -m tests.floods --hops 1000000` takes a million."""

from __future__ import annotations

from collections.abc import Callable

from app.runtime import Runtime
from tests.floods.random_hops import judged
from tests.floods.rubbish import SEED, Before
from tests.world import World

HOPS = 1_500


def test_random_hops(world: World, runtime: Runtime, add_person: Callable[..., str]) -> None:
    languages = ("en", "sw", "fr", "am")
    people = [add_person(languages[count % 4], 10_000) for count in range(40)]
    judged(world, Before(world, runtime), people, HOPS, SEED, say=False)

"""One sandbox and one stand-in for Kibanda for this folder; every test leaves them clean."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.outside_world import Sandbox, StandIn, running_sandbox, stand_in
from tests.sandbox import billers as billers_wire

_numbers = count(254722000001)


@pytest.fixture(scope="session")
def shared_kibanda() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture(scope="session")
def shared_sandbox(
    shared_kibanda: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    data = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(shared_kibanda.url, data, SANDBOX_ANSWER_SECONDS="1") as running:
        yield running


@pytest.fixture
def kibanda(shared_kibanda: StandIn) -> StandIn:
    shared_kibanda.forget()
    return shared_kibanda


@pytest.fixture
def outside(shared_sandbox: Sandbox, kibanda: StandIn) -> Iterator[Sandbox]:
    yield shared_sandbox
    shared_sandbox.clear_faults()


@pytest.fixture
def msisdn() -> str:
    """A number that no other test uses."""
    return f"+{next(_numbers)}"


@pytest.fixture(scope="session")
def shared_billers(
    shared_kibanda: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    data = tmp_path_factory.mktemp("billers")
    told, port = billers_wire.settings(shared_kibanda.url, str(data / "files"))
    with running_sandbox(shared_kibanda.url, data, SANDBOX_BILLERS=told) as running:
        running.ports["jiji"] = port
        yield running


@pytest.fixture
def billers(shared_billers: Sandbox, kibanda: StandIn) -> Iterator[Sandbox]:
    """A sandbox with one biller of every family."""
    yield shared_billers
    shared_billers.clear_faults()

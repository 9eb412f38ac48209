"""One office for all tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launcher.servers import Servers
from tests.cli.office import Office, own_office


@pytest.fixture(scope="session")
def office(servers: Servers, own_name: str) -> Iterator[Office]:
    with own_office(servers, own_name) as made:
        yield made

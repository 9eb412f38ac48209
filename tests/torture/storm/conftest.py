"""One crowd for all tests of the judge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from launcher.servers import Servers
from tests.torture.storm.lived import Lived, live


@pytest.fixture(scope="session")
def lived(
    servers: Servers, own_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lived]:
    with live(servers, own_name, tmp_path_factory.mktemp("storm")) as crowd:
        yield crowd

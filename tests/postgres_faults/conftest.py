"""Servers that these tests may stop and kill, and stores on them."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.postgres import VERSIONS, address, binaries
from tests.postgres_server import Server
from tests.stores import children

__all__ = ["children"]


@pytest.fixture(scope="session", params=VERSIONS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of each version, which keeps its data durably. Whoever stops it starts it again."""
    with Server(binaries(request.param), tmp_path_factory.mktemp("server")) as own:
        yield own


@pytest.fixture
def schema() -> str:
    """The name of a schema that nobody has used."""
    return f"test_{uuid4().hex}"


@pytest.fixture
def place(server: Server, schema: str) -> str:
    """The address of a store on the server. Nobody has made it yet."""
    return address(server, schema)

"""An empty store on each server, with processes to work in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.children import Children
from tests.postgres import dsn, fresh_schema, postgres

from .held import Place

__all__ = ["postgres"]


@pytest.fixture
def place(postgres: str) -> Iterator[Place]:
    """An empty schema on each server in turn."""
    with fresh_schema(postgres) as schema:
        yield Place(dsn(postgres), schema)


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """Starts other processes, and leaves none behind."""
    with Children() as started:
        yield started

"""Child processes, and a file for a store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.sqlite import SqliteLog
from tests.crash.children import Children


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    """Starts other processes, and leaves none behind."""
    with Children() as started:
        yield started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(path, busy_seconds=0.05)) as opened:
        yield opened

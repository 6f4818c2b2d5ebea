"""The store that these tests damage: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .example import make


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example. Not to be changed."""
    return make(tmp_path_factory.mktemp("healthy"))


@pytest.fixture
def folder(healthy: Path, tmp_path: Path) -> Path:
    """A copy of the example, to be damaged."""
    return Path(shutil.copytree(healthy, tmp_path / "store"))

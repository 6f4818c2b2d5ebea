"""The stores that these tests run on: of every kind, on every version of Postgres."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores import BACKENDS, LASTING, address_of, children, clock, file_store, folder, lasting_store, store

__all__ = ["children", "clock", "file_store", "folder", "lasting_store", "store"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn."""
    return str(request.param)


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest, folder: Path) -> str:
    """The address of each kind of store in turn that outlives its process."""
    return address_of(str(request.param), folder)

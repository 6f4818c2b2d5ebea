"""The stores that these tests run on."""

from __future__ import annotations

import pytest

from tests.stores import ONE_OF_EACH, children, clock, file_store, folder, lasting, lasting_store, store

__all__ = ["children", "clock", "file_store", "folder", "lasting", "lasting_store", "store"]


@pytest.fixture(params=ONE_OF_EACH)
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of store in turn: every command in every state is much to try."""
    return str(request.param)

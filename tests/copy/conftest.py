"""The stores that are copied here, and those they are copied to: of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from projections import Store, open_store
from tests.stores import ONE_OF_EACH, address_of, children

from .comparing import THRESHOLD

__all__ = ["children"]

Open = Callable[[str, str], Store]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a store of a kind under a name, and closes it after the test."""
    with ExitStack() as stores:

        def open(backend: str, name: str) -> Store:
            address = address_of(backend, tmp_path / name)
            return stores.enter_context(open_store(address, durability="none", threshold=THRESHOLD))

        yield open


@pytest.fixture(params=ONE_OF_EACH)
def source(request: pytest.FixtureRequest, opened: Open) -> Store:
    """An empty store of each kind, to be copied."""
    return opened(request.param, "source")


@pytest.fixture(params=ONE_OF_EACH)
def target(request: pytest.FixtureRequest, opened: Open) -> Store:
    """An empty store of each kind, to be copied to."""
    return opened(request.param, "target")


@pytest.fixture
def original(opened: Open) -> Store:
    """An empty store to be copied, where it does not matter which."""
    return opened("memory", "original")

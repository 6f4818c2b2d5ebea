"""Stores of every kind that are sealed, and what somebody has put in their place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.keys import new_key
from eventstore.seal import Seal, sign_seal
from eventstore.sealing import seal_log
from projections import Store, open_store
from tests.cli.conftest import run
from tests.stores import address_of, backend, clock, folder, store

from .forging import NOON, fill

__all__ = ["backend", "clock", "folder", "run", "store"]


@pytest.fixture
def other(backend: str, tmp_path: Path) -> Iterator[Store]:
    """An empty store of the same kind, for what somebody puts in the place of the first."""
    with open_store(address_of(backend, tmp_path / "other"), durability="none") as opened:
        yield opened


@pytest.fixture
def seal() -> Seal:
    """A seal of some streams, whose store is gone."""
    with open_store("memory:") as opened:
        fill(opened)
        return seal_log(opened.log, made_at=NOON)


@pytest.fixture(scope="session")
def key() -> tuple[bytes, bytes]:
    """A key and its public half."""
    return new_key()


@pytest.fixture
def signed(seal: Seal, key: tuple[bytes, bytes]) -> Seal:
    """That seal, signed with that key."""
    return sign_seal(seal, key[0])

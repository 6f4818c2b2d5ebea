"""The stores that these tests run on."""

from __future__ import annotations

from tests.cli.conftest import run
from tests.stores import backend, children, clock, file_store, folder, lasting, lasting_store, store

__all__ = ["backend", "children", "clock", "file_store", "folder", "lasting", "lasting_store", "run", "store"]

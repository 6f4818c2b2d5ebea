"""The stores that these tests run on, and the command line."""

from __future__ import annotations

from tests.cli.conftest import address, kind, made, run
from tests.stores import backend, children, clock, file_store, folder, lasting, lasting_store, store

__all__ = [
    "address",
    "backend",
    "children",
    "clock",
    "file_store",
    "folder",
    "kind",
    "lasting",
    "lasting_store",
    "made",
    "run",
    "store",
]

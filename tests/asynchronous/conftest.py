"""The stores that these tests run on."""

from __future__ import annotations

from tests.stores import backend, clock, folder, store

__all__ = ["backend", "clock", "folder", "store"]

"""The stores that these tests run on."""

from __future__ import annotations

from tests.stores import backend, children

__all__ = ["backend", "children"]

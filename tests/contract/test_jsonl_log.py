"""The file log keeps the contract: as it is opened by default, and where everything happens at its edges."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore.jsonl import JsonlLog
from eventstore.log import Hook, Log
from eventstore.testing import PersistentLogContract


class TestJsonlLog(PersistentLogContract):
    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        return JsonlLog(place, hook=hook)


class TestJsonlLogOfManySegmentsAndIndexWrites(PersistentLogContract):
    @pytest.fixture(autouse=True)
    def frequent_index_writes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("eventstore.index.FLUSH_AFTER", 7)

    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        return JsonlLog(place, hook=hook, segment_bytes=1_500)


class TestJsonlLogInBatches(PersistentLogContract):
    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        return JsonlLog(place, hook=hook, durability="batched")

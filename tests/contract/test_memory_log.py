"""The memory log keeps the contract: it is what all others are compared with."""

from __future__ import annotations

from pathlib import Path

from eventstore.log import Hook, Log
from eventstore.memory import MemoryLog
from eventstore.testing import LogContract


class TestMemoryLog(LogContract):
    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        return MemoryLog(hook=hook)

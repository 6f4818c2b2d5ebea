"""One closing line says how much the crash programme has done; and a place for indexes that survive a crash."""

from __future__ import annotations

import functools
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

import eventstore.index


class UnsyncedConnection(sqlite3.Connection):
    """SQLite without its own syncs: the simulated disk decides what a power cut leaves of an index."""

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        return super().executescript(script.replace("synchronous = NORMAL", "synchronous = OFF"))


@pytest.fixture
def index_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where indexes are kept, written after every other event."""
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=UnsyncedConnection))
    monkeypatch.setattr(eventstore.index, "FLUSH_AFTER", 2)
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures = Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                figures.update({name: value for name, value in report.user_properties if isinstance(value, int)})
    if figures:
        done = ", ".join(f"{number:,} {name}" for name, number in figures.items())
        seed = terminalreporter.config.getoption("randomly_seed", "random")
        terminalreporter.write_line(f"crash programme: {done}, seed {seed}")

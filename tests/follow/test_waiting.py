"""Waiting for what another process commits. It is told of by the system, and not found by looking now and then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eventstore.changes import _PAUSES
from eventstore.errors import Closed
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Log, NewEvent
from eventstore.sqlite import SqliteLog

PATIENCE = 60.0

Kind = type[JsonlLog] | type[SqliteLog]


@pytest.fixture(params=[JsonlLog, SqliteLog])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.setattr("eventstore.changes._POLL_SECONDS", 2 * PATIENCE)
    kind: Kind = request.param
    return kind


@pytest.fixture
def other(kind: Kind, tmp_path: Path) -> Iterator[Log]:
    """What another process has open."""
    log = kind(tmp_path / "store", durability="none")
    yield log
    log.close()


@pytest.fixture
def log(kind: Kind, tmp_path: Path, other: Log) -> Iterator[Log]:
    log = kind(tmp_path / "store", durability="none")
    yield log
    log.close()


def append(log: Log) -> None:
    log.append([Append("run", [NewEvent(type="x", data=b"")])])


def test_a_commit_that_comes_just_after_the_first_look_is_seen(
    log: Log, other: Log, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[int] = []
    head: Any = kind.head

    def overtaken(self: Log) -> int:
        heads.append(head(self))
        if len(heads) == 1:
            append(other)
        return heads[-1]

    monkeypatch.setattr(kind, "head", overtaken)

    assert log.wait(0, PATIENCE)

    assert heads == [0, 1]


def test_a_commit_that_can_be_read_only_some_time_after_its_write_is_looked_for_again(
    log: Log, other: Log, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(other)
    heads = iter([0, 0, 0, 1])
    monkeypatch.setattr(kind, "head", lambda _: next(heads))

    assert log.wait(0, PATIENCE)


def test_a_commit_that_comes_long_after_the_last_look_is_told_of(
    log: Log, other: Log, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    head: Any = kind.head
    heads: list[int] = []
    quiet = threading.Event()

    def counted(self: Log) -> int:
        heads.append(head(self))
        if len(heads) == 2 + len(_PAUSES):
            quiet.set()
        return heads[-1]

    monkeypatch.setattr(kind, "head", counted)

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(log.wait, 0, PATIENCE)
        assert quiet.wait(PATIENCE)
        append(other)
        assert waiting.result(PATIENCE)


def test_an_error_of_a_look_is_raised_to_whoever_waits(log: Log, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    def head(self: Log) -> int:
        monkeypatch.undo()
        self.close()
        return 0

    monkeypatch.setattr(kind, "head", head)

    with pytest.raises(Closed):
        log.wait(0, PATIENCE)

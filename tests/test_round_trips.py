"""How often Postgres is asked: each round trip is waited for, and on the way to a far server little else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore.log import Append, Checkpoint, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from eventstore.postgres_pipeline import exchange
from projections import Store, Task, open_store
from tests.postgres import SERVERS
from tests.stores import address_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A running run of two tasks on Postgres, where nobody is told of commits: to tell is a round trip, too."""
    with open_store(f"{address_of(SERVERS[0], tmp_path)}&notify=off", durability="none") as opened:
        opened.create_run("nightly", run_id="run")
        opened.schedule_tasks("run", [Task("extract"), Task("load", depends_on=["extract"])])
        opened.start_run("run")
        yield opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each round trip had; to be cleared before what counts."""
    numbers: list[int] = []

    def counting(connection: Any, statements: Any, prepared: Any) -> Any:
        if statements:
            numbers.append(len(statements))
        return exchange(connection, statements, prepared)

    monkeypatch.setattr("eventstore.postgres_database.exchange", counting)
    return numbers


def test_a_change_of_a_run_takes_three_round_trips(store: Store, asked: list[int]) -> None:
    asked.clear()
    store.update_run("run", metadata={"note": "x"})
    assert len(asked) == 3


def test_a_start_takes_three_round_trips(store: Store, asked: list[int]) -> None:
    asked.clear()
    store.start_task("run", "extract")
    assert len(asked) == 3


def test_a_start_of_what_depends_on_something_takes_one_more(store: Store, asked: list[int]) -> None:
    store.start_task("run", "extract")
    store.complete_task("run", "extract", 1)
    asked.clear()
    store.start_task("run", "load")
    assert len(asked) == 4


def test_a_completion_takes_three_round_trips(store: Store, asked: list[int]) -> None:
    store.start_task("run", "extract")
    asked.clear()
    store.complete_task("run", "extract", 1)
    assert len(asked) == 3


def test_who_keeps_others_out_takes_three_round_trips(store: Store, asked: list[int]) -> None:
    """To begin, to look, and to write and commit; one more if there is a checkpoint to look at."""
    asked.clear()
    store.log.restore([[event] for event in _elsewhere(3)])
    assert len(asked) == 3
    asked.clear()
    store.log.append([Append("other", [_said()])], checkpoint=Checkpoint("mine", 1))
    assert len(asked) == 4


def test_many_commits_take_no_more_round_trips_than_one(store: Store, asked: list[int]) -> None:
    asked.clear()
    store.log.restore([[event] for event in _elsewhere(50)])
    assert len(asked) == 3
    assert store.log.version("far") == 50


def _said() -> NewEvent:
    return NewEvent(type="said.something", data=b"{}")


def _elsewhere(number: int) -> list[RecordedEvent]:
    """Events of another log."""
    log = MemoryLog()
    log.append([Append("far", [_said() for _ in range(number)])])
    return list(log.read("far"))

"""How often a command asks the server: what it is decided on, the commit, and what has come of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each round trip had, from now on."""
    numbers: list[int] = []

    def counting(connection: Any, statements: Any, prepared: Any) -> Any:
        numbers.append(len(statements))
        return exchange(connection, statements, prepared)

    monkeypatch.setattr("eventstore.postgres_database.exchange", counting)
    return numbers


def test_a_change_of_a_run_takes_three_round_trips(store: Store, asked: list[int]) -> None:
    store.update_run("run", metadata={"note": "x"})
    assert len(asked) == 3


def test_a_start_takes_three_round_trips(store: Store, asked: list[int]) -> None:
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

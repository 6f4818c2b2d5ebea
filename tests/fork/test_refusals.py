"""What cannot be forked is refused before anything is written."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from eventstore.errors import Conflict, EventStoreError, InvalidInput, NotFound, WrongExpectedVersion
from eventstore.log import Append, NewEvent
from projections import Store
from tests.fork.origins import origin_of
from tests.stores import NOON

REFUSED: list[tuple[type[EventStoreError], dict[str, Any]]] = [
    (NotFound, {"run_id": "nobody"}),
    (NotFound, {"run_id": "deleted"}),
    (NotFound, {"run_id": "never created"}),
    (NotFound, {"run_id": "$purges"}),
    (NotFound, {"time": NOON - timedelta(days=1)}),
    (NotFound, {"position": 0}),
    (InvalidInput, {"version": 0}),
    (InvalidInput, {"version": -1}),
    (InvalidInput, {"version": 13}),
    (InvalidInput, {"version": 2**70}),
    (InvalidInput, {"version": "7"}),
    (InvalidInput, {"position": "7"}),
    (InvalidInput, {"time": datetime(2026, 1, 31)}),
    (InvalidInput, {"fork_id": "$fork"}),
    (InvalidInput, {"fork_id": ""}),
    (InvalidInput, {"fork_id": 7}),
    (Conflict, {"fork_id": "origin"}),
    (Conflict, {"fork_id": "other"}),
    (Conflict, {"fork_id": "gone fork"}),
    (Conflict, {"run_id": "other", "fork_id": "fork"}),
    (Conflict, {"version": 7, "fork_id": "fork"}),
    (WrongExpectedVersion, {"fork_id": "never created"}),
]


@pytest.fixture
def refusing(store: Store) -> Store:
    """A store with runs of all kinds."""
    origin_of(store)
    store.create_run("flow", run_id="other")
    store.create_run("flow", run_id="deleted")
    store.delete_run("deleted", force=True)
    store.log.append([Append("never created", [NewEvent(type="x.y", data=b"{}")])])
    store.fork_run("other", fork_id="gone fork")
    store.delete_run("gone fork", force=True)
    store.fork_run("origin", version=8, fork_id="fork")
    return store


def test_what_cannot_be_forked_is_refused(refusing: Store) -> None:
    head = refusing.log.head()
    for error, wanted in REFUSED:
        with pytest.raises(error):
            refusing.fork_run(**{"run_id": "origin", **wanted})
    assert refusing.log.head() == head


def test_an_inherited_event_is_forked_where_it_stands(refusing: Store) -> None:
    with pytest.raises(InvalidInput) as refused:
        refusing.fork_run("fork", version=-2)
    assert refused.value.hint == "That is inherited: fork 'origin' at version 6."
    assert refusing.fork_run("origin", version=6).forked_version == 6


def test_a_run_cannot_be_created_in_place_of_a_fork(refusing: Store) -> None:
    with pytest.raises(Conflict):
        refusing.create_run("flow", run_id="fork")


def test_before_a_fork_was_made_there_was_none(refusing: Store) -> None:
    origin_position = next(refusing.log.read("origin", after=7)).position
    with pytest.raises(NotFound):
        refusing.fork_run("fork", position=origin_position)

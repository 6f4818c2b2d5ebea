"""Blobs that nothing refers to are removed in the end, and no others ever."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from eventstore.blobs import RENEWAL
from eventstore.errors import EventStoreError, InvalidInput, LogCorrupt, UnsupportedSchema
from eventstore.events import WORKFLOW_STREAM, WorkflowSaved
from eventstore.log import Append, NewEvent
from projections import Store
from projections.upkeep import Collected
from tests.stores import Clock, completed, open_again, run_of

LARGE = "x" * 100_000
SIZE = len(LARGE) + 2
DAY = timedelta(days=1)
NOTHING = Collected(0, 0, 0)


def test_a_blob_whose_writer_never_came_to_its_event_is_collected_when_it_is_old(store: Store, clock: Clock) -> None:
    value = store.values.keep(LARGE)
    assert store.collect_blobs() == Collected(0, 0, 1)
    assert store.load(value) == LARGE
    clock.time += DAY
    assert store.collect_blobs() == Collected(1, SIZE, 0)
    assert list(store.values.blobs.digests()) == []
    assert store.collect_blobs() == NOTHING


def test_the_grace_period_can_be_chosen(store: Store, clock: Clock) -> None:
    store.values.keep(LARGE)
    clock.time += timedelta(seconds=600) + RENEWAL
    assert store.collect_blobs(grace=620) == Collected(0, 0, 1)
    assert store.collect_blobs(grace=500) == Collected(1, SIZE, 0)


def test_a_blob_that_was_put_again_within_the_grace_period_stays(store: Store, clock: Clock) -> None:
    """Even if that was so soon after the first time that nothing was written."""
    clock.step = timedelta()
    store.values.keep(LARGE)
    clock.time += RENEWAL
    value = store.values.keep(LARGE)
    clock.time += timedelta(seconds=600)
    assert store.collect_blobs(grace=600) == Collected(0, 0, 1)
    assert store.load(value) == LARGE


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), 1e10])
def test_an_impossible_grace_period_is_refused(store: Store, grace: float) -> None:
    with pytest.raises(InvalidInput, match="grace period"):
        store.collect_blobs(grace=grace)


def test_what_any_event_refers_to_stays(store: Store, clock: Clock) -> None:
    """Inputs, outputs that were superseded, failures, definitions; of runs that were deleted, too."""
    store.create_run("flow", run_id="input", input=f"input {LARGE}")
    run_of(store, "a", "b")
    completed(store, "run", "a", f"first {LARGE}")
    store.invalidate_task("run", "a")
    completed(store, "run", "a", f"second {LARGE}")
    store.start_task("run", "b")
    store.fail_task("run", "b", f"message {LARGE}")
    store.delete_run("run", force=True)
    definition = store.values.keep({"steps": LARGE})
    saved = store.codec.encode(WorkflowSaved("flow", "Flow", 1, definition.digest, definition))
    digest = store.values.blobs.put(b"named by a program of a user's own")
    own = NewEvent(type="billing.charged", data=b'{"receipt":"%s"}' % digest.encode())
    store.log.append([Append(f"{WORKFLOW_STREAM}flow", [saved]), Append("invoice-1", [own])])
    before = list(store.values.blobs.digests())
    assert len(before) == 6
    clock.time += DAY
    assert store.collect_blobs() == NOTHING
    assert list(store.values.blobs.digests()) == before
    assert store.verify().clean


def test_a_dry_run_removes_nothing_and_says_the_same(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    completed(store, "run", "a", LARGE)
    for number in range(3):
        store.values.keep(f"{number} {LARGE}")
    clock.time += DAY
    store.values.keep(f"new {LARGE}")
    before = list(store.values.blobs.digests())
    told = store.collect_blobs(dry_run=True)
    assert list(store.values.blobs.digests()) == before
    assert told == store.collect_blobs() == Collected(3, 3 * (SIZE + 2), 1)
    assert len(list(store.values.blobs.digests())) == 2


@pytest.mark.parametrize("last", ["look", "remove"])
def test_a_blob_that_a_writer_comes_to_need_meanwhile_stays(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """It is put again before its event is appended, however late that is in the collection."""
    run_of(store, "a")
    store.values.keep(LARGE)
    clock.time += DAY
    blobs = store.values.blobs
    call = getattr(blobs, last)

    def complete_first(*digest: Any, **how: Any) -> object:
        monkeypatch.undo()
        completed(store, "run", "a", LARGE)
        return call(*digest, **how)

    monkeypatch.setattr(blobs, last, complete_first)
    assert store.collect_blobs().blobs == 0
    assert store.get_result("run", "a") == LARGE


def test_what_others_have_appended_is_known(lasting: str, lasting_store: Store, clock: Clock) -> None:
    with open_again(lasting, clock) as other:
        run_of(other, "a")
        completed(other, "run", "a", LARGE)
        clock.time += DAY
        assert lasting_store.collect_blobs() == NOTHING
        assert lasting_store.purge_run("run", force=True).blobs == 1
        assert other.collect_blobs() == NOTHING


@pytest.mark.parametrize(
    "event",
    [
        NewEvent(type="taskRunCompleted", data=b'{"task_id":"a"}', schema=99),
        NewEvent(type="taskRunCompleted", data=b'{"rubbish":1}'),
    ],
    ids=["of a newer program", "damaged"],
)
def test_an_event_that_cannot_be_understood_stops_a_collection(store: Store, clock: Clock, event: NewEvent) -> None:
    """It may refer to any of them."""
    store.values.keep(LARGE)
    clock.time += DAY
    store.log.append([Append("run", [event])])
    with pytest.raises(EventStoreError, match="taskRunCompleted") as caught:
        store.collect_blobs()
    assert isinstance(caught.value, UnsupportedSchema) == (event.schema == 99)
    assert len(list(store.values.blobs.digests())) == 1


def test_a_damaged_log_stops_a_collection(file_store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    file_store.values.keep(LARGE)
    clock.time += DAY

    def damaged() -> int:
        raise LogCorrupt("segment", 1, 2, "rubbish")

    monkeypatch.setattr(file_store.log, "head", damaged)
    with pytest.raises(LogCorrupt):
        file_store.collect_blobs()
    assert len(list(file_store.values.blobs.digests())) == 1


def test_what_a_killed_writer_left_half_written_goes_too(file_store: Store, clock: Clock, folder: Path) -> None:
    value = file_store.values.keep(LARGE)
    digests = folder / "_blobs" / value.digest[:2]
    for name in ("_old.new", "_new.new", "notes.txt"):
        (digests / name).write_bytes(b"half of")
        os.utime(digests / name, (0, clock.time.timestamp()))
    clock.time += DAY
    os.utime(digests / "_new.new", (0, clock.time.timestamp()))
    assert file_store.collect_blobs(dry_run=True) == file_store.collect_blobs() == Collected(1, SIZE, 0)
    assert sorted(path.name for path in digests.iterdir()) == ["_new.new", "notes.txt"]

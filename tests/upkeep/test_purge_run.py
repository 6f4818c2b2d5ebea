"""A purged run is gone with all that belongs to it, and what others need stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from eventstore.errors import BlobMissing, Conflict, EventStoreError, NotFound, Unavailable
from eventstore.events import TELEMETRY_STREAM, ResultRejected, RunStarted, TaskRunScheduled
from eventstore.log import PURGES, Append
from eventstore.purges import purge_of
from projections import Store
from projections.purge import PurgedRuns
from tests.stores import Clock, check_views, completed, run_of, tables_of

LARGE, OTHER = "x" * 100_000, "y" * 200_000
SIZE = len(LARGE) + 2
DAY = timedelta(days=1)


def ended(store: Store, run_id: str = "run", output: object = 1, parent: str | None = None) -> str:
    """A run that has completed, with one output."""
    store.create_run("flow", run_id=run_id, parent_run_id=parent)
    store.start_run(run_id)
    store.schedule_task(run_id, "a")
    completed(store, run_id, "a", output)
    store.complete_run(run_id)
    return run_id


def append(store: Store, stream: str, *events: msgspec.Struct) -> None:
    """What an import or another program leaves there."""
    store.log.append([Append(stream, [store.codec.encode(event) for event in events])])


END: dict[str, Callable[[Store], object]] = {
    "completed": lambda store: store.complete_run("run"),
    "failed": lambda store: store.fail_run("run", "no"),
    "cancelled": lambda store: store.cancel_run("run"),
    "deleted": lambda store: store.delete_run("run", force=True),
}


@pytest.mark.parametrize("end", END.values(), ids=END.keys())
def test_a_run_that_has_ended_is_purged_and_others_stay(store: Store, end: Callable[[Store], object]) -> None:
    before = tables_of(store)
    run_of(store, "a")
    completed(store, "run", "a", 1)
    end(store)
    events = store.log.version("run")
    assert store.purge_run("run") == PurgedRuns(("run",), events, 0, 0, 0)
    assert list(store.log.read("run")) == []
    assert tables_of(store) == before
    check_views(store)
    ended(store, "kept")
    assert store.get_completed_node_outputs("kept") == {"a": 1}


def test_the_record_says_who_purged_what_and_why(store: Store) -> None:
    ended(store)
    last = list(store.log.read("run"))[-1]
    store.acting(actor="ada", correlation="c-1").purge_run("run", reason="spring cleaning")
    (record,) = store.log.read(PURGES)
    purged = purge_of(record)
    assert (purged.stream, purged.events, purged.last_position, purged.last_hash) == (
        "run",
        last.version,
        last.position,
        last.hash,
    )
    assert record.meta == {"actor": "ada", "correlation": "c-1", "reason": "spring cleaning"}
    ended(store, "without")
    store.purge_run("without")
    assert list(store.log.read(PURGES))[-1].meta == {}


PREPARE: dict[str, Callable[[Store], object]] = {
    "pending": lambda store: store.create_run("flow", run_id="run"),
    "running": run_of,
    "waiting": lambda store: store.wait_run(run_of(store), "approval"),
}


@pytest.mark.parametrize("prepare", PREPARE.values(), ids=PREPARE.keys())
def test_a_run_that_is_going_on_is_purged_only_with_force(store: Store, prepare: Callable[[Store], object]) -> None:
    prepare(store)
    head = store.log.head()
    with pytest.raises(Conflict, match="run 'run' is ") as caught:
        store.purge_run("run")
    assert "force" in caught.value.hint
    assert store.log.head() == head
    assert store.purge_run("run", force=True).runs == ("run",)


def test_the_worker_of_a_run_that_was_purged_finds_none(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.purge_run("run", force=True)
    for command in (
        lambda: store.complete_task("run", "a", 1, attempt=1),
        lambda: store.complete_run("run"),
        lambda: store.schedule_task("run", "b"),
        lambda: store.purge_run("run", force=True),
    ):
        with pytest.raises(NotFound, match="no run 'run'"):
            command()
    assert store.log.version("run") == 0


def test_a_run_that_is_resumed_while_it_is_looked_at_is_not_purged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(store)
    store.fail_run("run", "no")
    purge, resumed = store.log.purge, list[str]()

    def resume_first(stream: str, **how: Any) -> object:
        if not resumed:
            resumed.append(store.resume("run").run.status)
        return purge(stream, **how)

    monkeypatch.setattr(store.log, "purge", resume_first)
    with pytest.raises(Conflict, match="run 'run' is running"):
        store.purge_run("run")
    assert resumed == ["running"]
    assert store.log.version("run") == 4


def test_a_run_that_has_changed_and_may_still_be_purged_is_looked_at_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(store)
    purge, deleted = store.log.purge, list[str]()

    def delete_first(stream: str, **how: Any) -> object:
        if not deleted:
            deleted.append(store.delete_run("run").id)
        return purge(stream, **how)

    monkeypatch.setattr(store.log, "purge", delete_first)
    assert store.purge_run("run").events == 7


def test_telemetry_goes_with_its_run(store: Store) -> None:
    ended(store)
    append(store, f"{TELEMETRY_STREAM}run", ResultRejected("a", 1, 1, "fenced", "late"))
    append(store, f"{TELEMETRY_STREAM}run-2", ResultRejected("a", 1, 1, "fenced", "late"))
    assert store.purge_run("run").events == 7
    assert store.log.version(f"{TELEMETRY_STREAM}run") == 0
    assert store.log.version(f"{TELEMETRY_STREAM}run-2") == 1
    assert [purge_of(record).stream for record in store.log.read(PURGES)] == [f"{TELEMETRY_STREAM}run", "run"]


def test_a_run_whose_id_is_too_long_for_telemetry_is_purged(store: Store) -> None:
    run_id = "ü" * 512
    ended(store, run_id)
    assert store.purge_run(run_id).runs == (run_id,)


@pytest.mark.parametrize("run_id", ["never", "$workflow/never", "ü" * 513, ""])
def test_a_run_there_never_was_cannot_be_purged(store: Store, run_id: str) -> None:
    with pytest.raises(EventStoreError):
        store.purge_run(run_id, force=True)
    assert store.log.head() == 0


def test_events_of_a_run_that_was_never_created_are_purged_with_force(store: Store) -> None:
    append(store, "orphan", RunStarted("worker", 1))
    append(store, "tasks", TaskRunScheduled("a"))
    for run_id in ("orphan", "tasks"):
        with pytest.raises(NotFound) as caught:
            store.purge_run(run_id)
        assert "force" in caught.value.hint
        assert store.purge_run(run_id, force=True) == PurgedRuns((run_id,), 1, 0, 0, 0)
    check_views(store)


@pytest.mark.parametrize("stream", ["$workflow/flow", "$board/card", "$telemetry/run"])
def test_what_is_no_run_is_not_purged(store: Store, stream: str) -> None:
    append(store, stream, ResultRejected("a"))
    with pytest.raises(NotFound):
        store.purge_run(stream, force=True)
    assert store.log.head() == 1


def test_a_purged_run_can_be_made_anew(store: Store) -> None:
    ended(store)
    store.delete_run("run")
    store.purge_run("run")
    assert store.create_run("another", run_id="run").version == 1
    assert store.list_task_runs("run") == []


def test_a_run_with_children_stays_until_they_are_gone(store: Store) -> None:
    ended(store, "parent")
    ended(store, "child", parent="parent")
    store.delete_run("child")
    with pytest.raises(Conflict, match="children that are still there: 'child'") as caught:
        store.purge_run("parent", force=True)
    assert "cascade" in caught.value.hint
    store.purge_run("child")
    assert store.purge_run("parent").runs == ("parent",)


def test_a_cascade_purges_the_lowest_runs_first(store: Store) -> None:
    ended(store, "top")
    for run_id, parent in (("left", "top"), ("right", "top"), ("leaf", "left")):
        ended(store, run_id, parent=parent)
    ended(store, "stranger")
    purged = store.purge_run("top", cascade=True)
    assert purged.runs[-1] == "top"
    assert set(purged.runs) == {"top", "left", "right", "leaf"}
    assert purged.runs.index("leaf") < purged.runs.index("left")
    assert [run.id for run in store.list_runs()] == ["stranger"]


def test_a_cascade_in_which_one_run_is_going_on_purges_none(store: Store) -> None:
    ended(store, "top")
    ended(store, "left", parent="top")
    store.create_run("flow", run_id="right", parent_run_id="top")
    head = store.log.head()
    with pytest.raises(Conflict, match="run 'right' is pending"):
        store.purge_run("top", cascade=True)
    assert store.log.head() == head
    assert len(store.purge_run("top", cascade=True, force=True).runs) == 3


def test_blobs_that_only_the_run_needs_go_with_it(store: Store, clock: Clock) -> None:
    ended(store, output=LARGE)
    ended(store, "other", output=OTHER)
    clock.time += DAY
    assert store.purge_run("run") == PurgedRuns(("run",), 6, 1, SIZE, 0)
    assert len(list(store.values.blobs.digests())) == 1
    assert store.get_result("other", "a") == OTHER


def test_a_blob_that_two_runs_need_stays_until_both_are_purged(store: Store, clock: Clock) -> None:
    for run_id in ("one", "two"):
        ended(store, run_id, LARGE)
    clock.time += DAY
    assert store.purge_run("one").blobs == 0
    assert store.get_result("two", "a") == LARGE
    assert store.purge_run("two").blobs == 1
    assert list(store.values.blobs.digests()) == []


def test_a_blob_that_was_put_just_now_is_left_to_a_later_collection(store: Store, clock: Clock) -> None:
    """Somebody may be about to append an event that needs it."""
    ended(store, output=LARGE)
    assert store.purge_run("run") == PurgedRuns(("run",), 6, 0, 0, 1)
    assert store.collect_blobs().blobs == 0
    clock.time += DAY
    assert store.collect_blobs().blobs == 1


def test_a_blob_put_again_by_a_writer_that_has_not_appended_yet_stays(store: Store, clock: Clock) -> None:
    ended(store, output=LARGE)
    clock.time += DAY
    value = store.values.keep(LARGE)
    assert store.purge_run("run").blobs_left == 1
    assert store.load(value) == LARGE


@pytest.mark.parametrize("cascade", [False, True])
def test_a_dry_run_removes_nothing_and_says_the_same(store: Store, clock: Clock, cascade: bool) -> None:
    ended(store, output=LARGE)
    append(store, f"{TELEMETRY_STREAM}run", ResultRejected("a", 1, 1, "fenced", "late"))
    if cascade:
        ended(store, "child", LARGE, parent="run")
    clock.time += DAY
    head, blobs = store.log.head(), list(store.values.blobs.digests())
    told = store.purge_run("run", cascade=cascade, dry_run=True)
    assert (store.log.head(), list(store.values.blobs.digests())) == (head, blobs)
    assert told == store.purge_run("run", cascade=cascade)
    assert told.blobs == 1


def test_a_crash_between_the_purge_and_its_blobs_leaves_blobs_that_are_collected(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(store, output=LARGE)
    clock.time += DAY

    def crash(*_: object, **__: object) -> int:
        raise Unavailable("the process was killed")

    with monkeypatch.context() as planted:
        planted.setattr(store.values.blobs, "remove", crash)
        with pytest.raises(Unavailable):
            store.purge_run("run")
    assert store.log.version("run") == 0
    assert [finding.code for finding in store.verify().findings] == ["blob-unreferenced"]
    assert store.collect_blobs().bytes == SIZE
    assert store.verify().findings == ()


def test_a_crash_between_telemetry_and_run_is_made_up_for_by_the_same_call(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(store)
    append(store, f"{TELEMETRY_STREAM}run", ResultRejected("a", 1, 1, "fenced", "late"))
    purge = store.log.purge

    def crash(stream: str, **how: Any) -> object:
        if stream == "run":
            raise Unavailable("the process was killed")
        return purge(stream, **how)

    with monkeypatch.context() as planted:
        planted.setattr(store.log, "purge", crash)
        with pytest.raises(Unavailable):
            store.purge_run("run")
    assert store.purge_run("run").events == 6
    assert [store.log.version(stream) for stream in ("run", f"{TELEMETRY_STREAM}run")] == [0, 0]


def test_a_blob_of_a_purged_run_cannot_be_loaded_any_more(store: Store, clock: Clock) -> None:
    ended(store, output=LARGE)
    output = store.get_output("run", "a")
    assert output is not None
    assert output.output is not None
    clock.time += DAY
    store.purge_run("run")
    with pytest.raises(BlobMissing):
        store.load(output.output)

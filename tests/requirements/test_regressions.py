"""What went wrong in other systems, and what users lost by it: none of it happens here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from eventstore.blobs import digest_of
from eventstore.errors import (
    BlobCorrupt,
    ClaimHeld,
    Closed,
    Conflict,
    EventStoreError,
    Fenced,
    InvalidTransition,
    LogCorrupt,
    NotFound,
    WrongExpectedVersion,
)
from eventstore.log import Append, NewEvent
from eventstore.memory import MemoryLog
from eventstore.names import encode_name
from eventstore.values import encode_value
from projections import Run, Store, Task, TaskRun, open_store
from projections.tables import DamagedViews
from tests.commands.test_concurrency import at_once
from tests.stores import Clock, check_views, completed, files_in, folded, open_again, run_of, tables_of

from .damage import damage_blob, damage_event, damage_output, tear

MANY = 250
LARGE = "x" * 1_000


def happened(number: int = 0) -> NewEvent:
    return NewEvent(type="custom.happened", data=b"%d" % number)


def test_resume_after_crash_during_reexecution(store: Store) -> None:
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    completed(store, "run", "a", "old a")
    completed(store, "run", "b", "made from old a")
    store.invalidate_task("run", "a")
    store.start_task("run", "a")
    for _ in range(2):  # the process dies, and so does the next one
        plan = store.resume("run").plan
        assert (plan.reusable, [task.task_id for task in plan.in_doubt]) == ((), ["a"])
        assert store.get_completed_node_outputs("run") == {}
    completed(store, "run", "a", "new a")
    assert store.get_completed_node_outputs("run") == {"a": "new a"}


def test_lost_append_raises(lasting: str) -> None:
    with open_again(lasting) as store:
        run_of(store, "a")
        attempt = store.start_task("run", "a").attempt
        store.log.close()
        with pytest.raises(Closed):
            store.complete_task("run", "a", "lost", attempt=attempt)
    with open_again(lasting) as again:
        assert again.get_output("run", "a") is None


def test_event_for_unknown_run_rejected(store: Store) -> None:
    commands: Sequence[Callable[[], object]] = (
        lambda: store.start_run("nobody"),
        lambda: store.schedule_task("nobody", "a"),
        lambda: store.start_task("nobody", "a"),
        lambda: store.complete_task("nobody", "a", 1),
        lambda: store.add_event("nobody", "custom.note", {}),
        lambda: store.create_run("part", parent_run_id="nobody"),
    )
    for command in commands:
        with pytest.raises(NotFound):
            command()
    assert store.log.head() == 0


def test_clock_step_back_keeps_order(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    clock.time -= timedelta(days=1)
    store.complete_task("run", "a", 1)
    store.create_run("flow", run_id="later")
    assert [event.version for event in store.log.read("run")] == [1, 2, 3, 4, 5]
    assert [run.id for run in store.list_runs()] == ["run", "later"]
    assert [attempt.status for attempt in store.list_attempts("run", "a")] == ["completed"]


def test_append_cost_flat_to_1e6(store: Store) -> None:
    """Counted in calls, since no test should look at a clock; the benchmarks go on to a million."""

    def calls_of(job: Callable[[], object]) -> int:
        calls = 0

        def count(frame: FrameType, event: str, argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            job()
        finally:
            sys.setprofile(None)
        return calls

    def append(stream: str, events: int) -> None:
        store.log.append([Append(stream, [happened(number) for number in range(events)])])

    append("warm", 1)
    few = min(calls_of(partial(append, f"few {number}", 1)) for number in range(5))
    for number in range(20):
        append(f"many {number}", 500)
    many = min(calls_of(partial(append, f"more {number}", 1)) for number in range(5))
    assert many <= few * 1.1


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_terminal_never_reverts(store: Store, end: str) -> None:
    run_of(store, "a")
    store.complete_run("run") if end == "completed" else store.cancel_run("run")
    head = store.log.head()
    commands: Sequence[Callable[[], object]] = (
        lambda: store.start_run("run"),
        lambda: store.wait_run("run", "approval"),
        lambda: store.fail_run("run", "no"),
        lambda: store.resume("run", force=True),
        lambda: store.update_run("run", status="running"),
        lambda: store.start_task("run", "a"),
    )
    for command in commands:
        with pytest.raises(InvalidTransition):
            command()
    assert (store.log.head(), [run.status for run in store.list_runs()]) == (head, [end])


def test_recover_run_with_250_running_tasks(store: Store) -> None:
    task_ids = [f"task {number}" for number in range(MANY)]
    run_of(store)
    store.schedule_tasks("run", [Task(task_id) for task_id in task_ids])
    for task_id in task_ids:
        store.start_task("run", task_id)
    plan = store.resume("run").plan
    assert [task.task_id for task in plan.in_doubt] == list(plan.ready) == task_ids
    assert store.list_task_runs("run", status="running") == []


def test_concurrent_transactions_isolated(store: Store) -> None:
    store.log.append([Append("shared", [happened()])])

    def both(name: str) -> None:
        store.log.append([Append(name, [happened()]), Append("shared", [happened()], 1)])

    results = at_once(*(partial(both, f"writer {number}") for number in range(6)))
    winners = [number for number, result in enumerate(results) if result is None]
    assert len(winners) == 1
    assert all(isinstance(result, WrongExpectedVersion) for result in results if result is not None)
    written = [f"writer {number}" for number in range(6) if store.log.version(f"writer {number}")]
    assert written == [f"writer {winners[0]}"]


def test_foreign_write_not_rolled_back(store: Store) -> None:
    def write(number: int) -> None:
        wrong = [] if number % 2 else [Append("nothing", [happened()], 7)]
        store.log.append([Append(f"writer {number}", [happened()]), *wrong])

    results = at_once(*(partial(write, number) for number in range(8)))
    assert [result is None for result in results] == [bool(number % 2) for number in range(8)]
    assert [store.log.version(f"writer {number}") for number in range(8)] == [number % 2 for number in range(8)]


@pytest.mark.parametrize("name", ["a:b", "a/b", "..", "../../up", "con:", "ä🦄\u2028", "x" * 300, "case", "CASE", "-"])
def test_ids_with_colon_slash_dotdot(store: Store, folder: Path, name: str) -> None:
    run_of(store, name, name.swapcase() + "'", run_id=name)
    completed(store, name, name, {"of": name})
    assert store.get_completed_node_outputs(name) == {name: {"of": name}}
    assert [run.id for run in store.list_runs()] == [name]
    check_views(store)
    if store.address.startswith("jsonl:"):
        assert {path.split("/")[0] for path in files_in(folder)} == {encode_name(name).split("/")[0]}
        assert {path.name for path in folder.parent.iterdir()} == {folder.name}


def test_delete_definition_keeps_runs(store: Store) -> None:
    store.save_workflow("etl", {"steps": ["a"]})
    run = store.create_run("etl", workflow_id="etl")
    store.delete_workflow("etl")
    assert store.get_workflow("etl") is None
    assert store.get_run(run.id) == run
    assert (run.workflow_version, store.list_runs(workflow_id="etl")) == (1, [run])


def test_unknown_dependency_rejected(store: Store) -> None:
    with pytest.raises(NotFound, match="nobody"):
        store.board.create("Paint", task_id="paint", depends_on=["nobody"])
    assert store.log.head() == 0


def test_delete_dependency_does_not_strand(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    store.board.create("Paint", task_id="paint", depends_on=["sand"])
    with pytest.raises(Conflict, match="paint"):
        store.board.delete("sand")
    store.board.delete("sand", cascade="detach")
    paint = store.board.get("paint")
    assert paint is not None
    assert (paint.status, store.board.next_ready()) == ("ready", paint)


def test_manual_block_not_auto_lifted(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    store.board.create("Paint", task_id="paint")
    store.board.block("paint", "no brush")
    store.board.update("paint", depends_on=["sand"])
    store.board.assign("sand", "ada")
    store.board.submit("sand")
    store.board.approve("sand")
    blocked = store.board.get("paint")
    assert blocked is not None
    assert (blocked.status, blocked.reason) == ("blocked", "no brush")
    assert store.board.unblock("paint").status == "ready"


def test_torn_store_never_loads_empty(lasting: str, folder: Path) -> None:
    with open_again(lasting) as store:
        run_of(store, "a")
        store.board.create("Sand", task_id="sand")
        for number in range(50):
            store.log.append([Append(f"filler {number}", [happened()])])
    tear(lasting, folder)
    with pytest.raises(EventStoreError), open_again(lasting) as torn:
        list(torn.log.read_all())


def test_50_concurrent_appends_50_sequences(store: Store) -> None:
    at_once(*(partial(store.log.append, [Append("one", [happened(number)])]) for number in range(50)))
    events = list(store.log.read("one"))
    assert [event.version for event in events] == list(range(1, 51))
    assert {event.data for event in events} == {b"%d" % number for number in range(50)}


def test_append_after_torn_tail_readable(file_store: Store, folder: Path, clock: Clock) -> None:
    """Only files have a tail; in databases it is the database that sees to it."""
    run_of(file_store, "a")
    file_store.close()
    (segment,) = (folder / "_log").glob("*.jsonl")
    for torn in (b'{"sum":"0123', b'{"sum":"\xe2\x80', b"\0" * 30):
        with segment.open("ab") as file:
            file.write(torn)
        with open_again(folder, clock) as again:
            head = again.log.head()
            again.log.append([Append("next", [happened()])])
            assert again.log.head() == head + 1
            assert len(list(again.log.read_all())) == head + 1


def test_u2028_nul_and_partial_utf8(store: Store) -> None:
    run_of(store, "a")
    text = "line\u2028line\x85\0\v\fend\r\n"
    completed(store, "run", "a", text)
    partial_utf8 = NewEvent(type="custom.bytes", data=b"\xe2\x80\n\0", content_type="application/octet-stream")
    store.log.append([Append("bytes", [partial_utf8])])
    assert store.get_result("run", "a") == text
    assert [event.data for event in store.log.read("bytes")] == [partial_utf8.data]
    assert store.verify().clean


def test_snapshot_equals_replay(store: Store) -> None:
    run_of(store, "a", "b")
    store.start_task("run", "a")
    store.fail_task("run", "a", "no")
    store.retry_task("run", "a")
    completed(store, "run", "a", 1)
    store.start_task("run", "b")
    assert tables_of(store) == folded(store)
    started = store.as_of("run").row(TaskRun, "run", "a")
    assert started == store.get_task_run("run", "a")
    assert (started and started.started_at) == store.list_attempts("run", "a")[0].started_at


Damage = Callable[[str, Path], None]
DAMAGES: dict[str, tuple[Damage, type[EventStoreError]]] = {
    "event": (partial(damage_event, version=5), LogCorrupt),
    "output": (damage_output, DamagedViews),
    "blob": (partial(damage_blob, digest_of(encode_value(LARGE))), BlobCorrupt),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_corrupt_payload_raises_not_empty(lasting: str, folder: Path, what: str) -> None:
    damage, expected = DAMAGES[what]
    with open_again(lasting, threshold=100) as store:
        run_of(store, "small", "large")
        completed(store, "run", "small", {"n": 1})
        completed(store, "run", "large", LARGE)
    damage(lasting, folder)
    with pytest.raises(expected), open_again(lasting, threshold=100) as damaged:
        list(damaged.log.read("run")) if what == "event" else damaged.get_completed_node_outputs("run")


def test_time_travel_not_truncated(store: Store) -> None:
    count = 3_000
    run_of(store)
    store.schedule_tasks("run", [Task(f"task {number}") for number in range(count)])
    last = store.log.version("run")
    store.cancel_run("run")
    then = store.as_of("run", version=last)
    assert [task.status for task in then.rows(TaskRun)] == ["pending"] * count
    assert [run.status for run in then.rows(Run)] == ["running"]


def test_duplicate_version_rejected(store: Store) -> None:
    first = store.log.append([Append("one", [happened(1)], 0)])
    with pytest.raises(WrongExpectedVersion):
        store.log.append([Append("one", [happened(2)], 0)])
    other = MemoryLog()
    other.append([Append("one", [happened(3)], 0)])
    with pytest.raises(Conflict):  # another log's event of the same version
        store.log.restore([list(other.read_all())])
    assert [event.id for event in store.log.read("one")] == [event.id for event in first.events]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 70_000, 1_000_000])
def test_output_equal_after_resume_any_size(lasting: str, size: int) -> None:
    output = {"text": "ü" * size, "size": size}
    with open_again(lasting, threshold=100) as store:
        run_of(store, "a")
        completed(store, "run", "a", output)
    with open_again(lasting, threshold=100) as again:
        again.resume("run")
        assert again.get_completed_node_outputs("run") == {"a": output}


def test_two_resumers_one_winner(store: Store) -> None:
    run_of(store, "a")
    results = at_once(*(partial(store.resume, "run", worker=str(number), lease=60) for number in range(2)))
    assert sorted(isinstance(result, ClaimHeld) for result in results) == [False, True]


def test_zombie_completion_fenced(store: Store) -> None:
    run_of(store, "a")
    zombie = store.start_task("run", "a", worker="first", epoch=1)
    claim = store.resume("run", worker="second")
    with pytest.raises(Fenced):
        store.complete_task("run", "a", "too late", attempt=zombie.attempt, epoch=1)
    with pytest.raises(Conflict):
        store.complete_task("run", "a", "too late", attempt=zombie.attempt)
    attempt = store.start_task("run", "a", worker="second", epoch=claim.epoch)
    store.complete_task("run", "a", "in time", attempt=attempt.attempt, epoch=claim.epoch)
    assert store.get_completed_node_outputs("run") == {"a": "in time"}


def test_second_resume_same_reuse_set(store: Store) -> None:
    run_of(store, "a", "b", "c")
    completed(store, "run", "a", 1)
    completed(store, "run", "b", 2)
    plans = []
    for _ in range(3):
        plans.append(store.resume("run").plan.reusable)
        for reusable in plans[-1]:
            store.reuse_task("run", reusable.task_id)
    assert plans[0] == plans[1] == plans[2]
    assert [task.task_id for task in plans[0]] == ["a", "b"]


def test_skipped_vs_reused_projection(store: Store) -> None:
    run_of(store, "reused", "skipped")
    completed(store, "run", "reused", 1)
    store.skip_task("run", "skipped", "not needed")
    store.resume("run")
    store.reuse_task("run", "reused")
    statuses = {task.task_id: (task.status, task.reused_version is None) for task in store.list_task_runs("run")}
    assert statuses == {"reused": ("completed", False), "skipped": ("skipped", True)}
    assert store.get_completed_node_outputs("run") == {"reused": 1}


def test_per_backend_identical_event_stream(lasting: str) -> None:
    def drive(store: Store) -> list[tuple[str, int, str, bytes]]:
        run_of(store, "a", "ü/../:")
        store.start_task("run", "a")
        store.fail_task("run", "a", "no")
        store.retry_task("run", "a")
        completed(store, "run", "a", {"deep": [1.5, None, "\u2028"]})
        store.skip_task("run", "ü/../:")
        store.complete_run("run", "x" * 70_000)
        store.board.create("Sand", task_id="sand")
        return [(event.stream, event.version, event.type, event.data) for event in store.log.read_all()]

    with open_again(lasting) as here, open_store("memory:", clock=Clock()) as there:
        assert drive(here) == drive(there)
        assert tables_of(here) == tables_of(there)

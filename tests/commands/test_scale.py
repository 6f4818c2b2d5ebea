"""Large runs: whole, and no dearer by the step than small ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from eventstore.events import TaskRunCompleted, TaskRunStarted
from eventstore.log import Append
from projections import Store, Task
from tests.stores import completed, run_of

MANY = 20_000
AT_ONCE = 2_000


def append(store: Store, events: Sequence[msgspec.Struct]) -> None:
    """What a worker would report, many at once."""
    store.log.append([Append("run", [store.codec.encode(event) for event in events])])


def test_a_run_of_many_tasks_is_listed_and_resumed_whole(lasting_store: Store) -> None:
    root, *others = task_ids = [f"task {number}" for number in range(MANY)]
    tasks = [Task(root), *(Task(task_id, depends_on=[root]) for task_id in others)]
    value = lasting_store.values.keep(1)
    consumed = {task_id: {root: value.digest} for task_id in others} | {root: {}}
    run_of(lasting_store)
    for first in range(0, MANY, AT_ONCE):
        chunk = task_ids[first : first + AT_ONCE]
        scheduled = lasting_store.schedule_tasks("run", tasks[first : first + AT_ONCE])
        assert [task.task_id for task in scheduled] == chunk
        append(lasting_store, [TaskRunStarted(task_id, 1, consumes=consumed[task_id]) for task_id in chunk])
        if first + AT_ONCE < MANY:
            append(lasting_store, [TaskRunCompleted(task_id, 1, value, consumed[task_id]) for task_id in chunk])
    done, doubtful = task_ids[:-AT_ONCE], task_ids[-AT_ONCE:]
    assert [task.task_id for task in lasting_store.list_task_runs("run")] == task_ids
    assert [task.task_id for task in lasting_store.list_task_runs("run", status="completed")] == done
    assert len(lasting_store.list_attempts("run")) == MANY
    plan = lasting_store.resume("run").plan
    assert [task.task_id for task in plan.reusable] == done
    assert [task.task_id for task in plan.in_doubt] == list(plan.ready) == doubtful
    assert plan.totals.attempts == {"completed": len(done), "interrupted": len(doubtful)}
    assert lasting_store.get_completed_node_outputs("run") == dict.fromkeys(done, 1)


def size_of(folder: Path, name: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(name))


def test_a_step_appends_the_same_bytes_however_many_came_before(file_store: Store, folder: Path) -> None:
    count = 300
    task_ids = [f"task {number:03d}" for number in range(count)]
    run_of(file_store)
    file_store.schedule_tasks("run", [Task(id, depends_on=task_ids[n - 1 : n]) for n, id in enumerate(task_ids)])
    log, events, run = [], [], []
    for task_id in task_ids:
        completed(file_store, "run", task_id, "output")
        file_store.write_folders()
        log.append(size_of(folder / "_log", "*.jsonl"))
        events.append(size_of(folder, "events.jsonl"))
        run.append(size_of(folder, "run.json"))
    for sizes in (log, events):
        steps = [after - before for before, after in pairwise(sizes)]
        assert max(steps) - min(steps) <= 20  # the digits of numbers that grow
    assert len(set(run)) == 1


def test_a_resumption_appends_the_same_bytes_however_often_it_was_resumed(store: Store) -> None:
    run_of(store, "a", "b", "c")
    for task_id in ("a", "b"):
        completed(store, "run", task_id, "x" * 1_000)
    sizes = []
    for _ in range(20):
        before = store.log.version("run")
        store.resume("run", worker="rescuer", force=True)
        for task_id in ("a", "b"):
            store.reuse_task("run", task_id)
        sizes.append(sum(len(event.data) for event in store.log.read("run", after=before)))
    assert max(sizes) - min(sizes) <= 5
    assert list(store.get_completed_node_outputs("run")) == ["a", "b"]

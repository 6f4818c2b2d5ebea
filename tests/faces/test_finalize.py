"""A run and its tasks end in one commit, or nothing of it happens."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from eventstore.errors import Conflict, EventStoreError, Fenced, InvalidInput, InvalidTransition, InvalidValue, NotFound
from eventstore.failure import Failure
from projections import Store, TaskEnd
from tests.commands.test_concurrency import at_once
from tests.stores import check_views, run_of, tables_of

DONE = TaskEnd(status="completed", output={"n": 1}, attempt=1, usage={"tokens": 2})
BROKEN = TaskEnd(status="failed", error=ValueError("no"), attempt=1)
STOPPED = TaskEnd(status="cancelled", reason="not needed")
LEFT_OUT = TaskEnd(status="skipped", reason="nothing to do")


@pytest.fixture
def run(store: Store) -> str:
    """A run with three tasks at work, and one that waits for them."""
    run_of(store, "a", "b", "c", "d")
    for task_id in "abc":
        store.start_task("run", task_id, worker="w")
    return "run"


def statuses(store: Store) -> dict[str, str]:
    return {task.task_id: task.status for task in store.list_task_runs("run")}


def test_all_ends_are_one_commit(store: Store, run: str) -> None:
    before = store.log.head()
    ends = {"a": DONE, "b": BROKEN, "c": STOPPED, "d": LEFT_OUT}
    assert store.finish_run(run, "completed", tasks=ends, output="done").status == "completed"
    events = list(store.log.read_all(after=before))
    assert len({event.commit for event in events}) == 1
    assert [event.type for event in events] == [
        "taskRunCompleted",
        "taskRunFailed",
        "taskRunCancelled",
        "taskRunSkipped",
        "runCompleted",
    ]
    assert statuses(store) == {"a": "completed", "b": "failed", "c": "cancelled", "d": "skipped"}
    assert store.get_result(run, "a") == {"n": 1}
    failure = store.get_failure(run, "b")
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "no")
    check_views(store)


BAD: dict[str, tuple[dict[str, Any], type[EventStoreError]]] = {
    "unknown task": ({"e": DONE}, NotFound),
    "impossible step": ({"d": TaskEnd(status="completed")}, InvalidTransition),
    "old attempt": ({"c": TaskEnd(status="completed", attempt=7)}, Conflict),
    "value that cannot be kept": ({"c": TaskEnd(status="completed", output=float("nan"))}, InvalidValue),
    "no error": ({"c": TaskEnd(status="failed")}, InvalidInput),
    "no end": ({"c": TaskEnd(status="running")}, InvalidInput),
}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_end_refuses_all(store: Store, run: str, bad: str) -> None:
    end, error = BAD[bad]
    before = tables_of(store), store.log.head()
    with pytest.raises(error):
        store.finish_run(run, "failed", tasks={"a": DONE, "b": BROKEN, **end}, error="no")
    assert (tables_of(store), store.log.head()) == before


def test_a_run_that_cannot_end_so_keeps_its_tasks_going(store: Store, run: str) -> None:
    head = store.log.head()
    with pytest.raises(Conflict, match="still has running tasks: 'c'"):
        store.finish_run(run, "completed", tasks={"a": DONE, "b": BROKEN})
    for wrong in ("waiting", "pending", ""):
        with pytest.raises(InvalidInput):
            store.finish_run(run, wrong, tasks={})
    with pytest.raises(InvalidInput, match="without an error"):
        store.finish_run(run, "failed", tasks={"a": DONE})
    assert store.log.head() == head


def test_tasks_that_are_not_named_fare_as_when_the_run_ends_alone(store: Store, run: str) -> None:
    store.finish_run(run, "failed", tasks={"a": DONE}, error=Failure(type="Halt"))
    assert statuses(store) == {"a": "completed", "b": "pending", "c": "pending", "d": "pending"}
    store.resume(run)
    store.finish_run(run, "cancelled", tasks={"b": LEFT_OUT}, reason="enough")
    assert statuses(store) == {"a": "completed", "b": "skipped", "c": "cancelled", "d": "cancelled"}


def test_the_same_again_has_no_effect(store: Store, run: str) -> None:
    ends = {"a": DONE, "b": BROKEN, "c": STOPPED}
    first = store.finish_run(run, "completed", tasks=ends, output=1)
    head = store.log.head()
    assert store.finish_run(run, "completed", tasks=ends, output=1) == first
    assert store.log.head() == head
    with pytest.raises(Conflict):
        store.finish_run(run, "completed", tasks={**ends, "a": BROKEN}, output=1)


def test_an_unknown_run_and_a_superseded_worker_are_refused(store: Store, run: str) -> None:
    with pytest.raises(NotFound):
        store.finish_run("nobody", "completed", tasks={})
    store.resume(run, force=True)
    with pytest.raises(Fenced):
        store.finish_run(run, "completed", tasks={}, epoch=1)


def test_of_several_that_end_it_differently_one_wins(store: Store, run: str) -> None:
    def finish(number: int) -> None:
        ends = {task_id: TaskEnd(status="completed", output=number) for task_id in "abc"}
        store.finish_run(run, "completed", tasks=ends, output=number)

    outcomes = at_once(*(partial(finish, number) for number in range(4)))
    assert len([outcome for outcome in outcomes if not isinstance(outcome, Exception)]) == 1
    ended = store.get_run(run)
    assert ended is not None
    assert ended.output is not None
    winner = store.load(ended.output)
    assert store.get_completed_node_outputs(run) == dict.fromkeys("abc", winner)

"""State store: task runs and their attempts belong to an execution, and change one by one or all together."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest

from eventstore.errors import Conflict, InvalidTransition, InvalidValue, NotFound, WrongExpectedVersion
from eventstore.log import Append, NewEvent
from projections import StateStore, Store, Task, TaskEnd
from tests.commands.test_concurrency import at_once
from tests.stores import Clock, check_views, completed, open_again, run_of

ODD_IDS = ("a", "A", "a:b", "../a", "a/../b", "..", ".", "_a", "ü\u2028", "Ü", "%2e", "x" * 300, "\U0001f4ee", " ")


@pytest.fixture
def states(store: Store) -> StateStore:
    """The interface to a store of each kind."""
    return StateStore(store)


def begun(states: StateStore, *task_ids: str) -> None:
    """An execution that is running, with these task runs."""
    states.create_execution(workflow_name="flow", execution_id="run")
    states.update_execution("run", "running", worker="first")
    for task_id in task_ids:
        states.create_task_run("run", task_id)


def state_of(states: StateStore, task_id: str) -> str:
    task = states.get_task_run("run", task_id)
    assert task is not None
    return task.status


def test_s1_07_a_task_run_is_linked_to_its_execution_and_created_once(states: StateStore) -> None:
    begun(states)
    first = states.create_task_run("run", "a", name="A", depends_on=["b"], input={"n": 1})
    assert (first.run_id, first.task_id, first.status, first.attempt) == ("run", "a", "pending", 0)
    head = states.store.log.head()
    assert states.create_task_run("run", "a", name="A", depends_on=["b"], input={"n": 1}) == first
    assert states.store.log.head() == head
    with pytest.raises(NotFound):
        states.create_task_run("nobody", "a")
    assert states.store.log.version("nobody") == 0


def test_s1_07_ids_may_hold_any_characters(states: StateStore) -> None:
    for run_id in ODD_IDS:
        states.create_execution(workflow_name="flow", execution_id=run_id)
        states.update_execution(run_id, "running")
        for task_id in ODD_IDS:
            states.create_task_run(run_id, task_id)
        completed(states.store, run_id, run_id, run_id)
    for run_id in ODD_IDS:
        assert [task.task_id for task in states.list_task_runs(run_id)] == list(ODD_IDS)
        assert states.store.get_completed_node_outputs(run_id) == {run_id: run_id}
    check_views(states.store)


def test_s1_08_a_change_of_a_task_run_obeys_its_states(states: StateStore) -> None:
    begun(states, "a")
    with pytest.raises(InvalidTransition):
        states.update_task_run("run", "a", "completed", output=1)
    assert states.update_task_run("run", "a", "running", worker="w").status == "running"
    assert states.update_task_run("run", "a", "completed", output=1, attempt=1).status == "completed"
    head = states.store.log.version("run")
    assert states.update_task_run("run", "a", "completed", output=1, attempt=1).status == "completed"
    with pytest.raises(Conflict):
        states.update_task_run("run", "a", "completed", output=2, attempt=1)
    with pytest.raises(InvalidTransition):
        states.update_task_run("run", "a", "failed", error="no")
    with pytest.raises(NotFound):
        states.update_task_run("run", "b", "running")
    assert states.store.log.version("run") == head


def test_s1_08_task_runs_of_one_execution_do_not_disturb_each_other(states: StateStore) -> None:
    task_ids = [str(number) for number in range(8)]
    begun(states, *task_ids)

    def work(task_id: str) -> None:
        states.update_task_run("run", task_id, "running", worker=task_id)
        states.update_task_run("run", task_id, "completed", output=task_id, attempt=1)

    assert at_once(*(partial(work, task_id) for task_id in task_ids)) == [None] * len(task_ids)
    assert {task.status for task in states.list_task_runs("run")} == {"completed"}


def test_s1_09_task_runs_are_listed_by_execution_all_of_them(states: StateStore) -> None:
    begun(states)
    task_ids = [f"task {number}" for number in range(1_500)]
    states.store.schedule_tasks("run", [Task(task_id) for task_id in task_ids])
    states.create_execution(workflow_name="flow", execution_id="other")
    assert [task.task_id for task in states.list_task_runs("run")] == task_ids
    assert states.list_task_runs("nobody") == states.list_task_runs("other") == []
    states.update_task_run("run", "task 7", "running")
    assert [task.task_id for task in states.list_task_runs("run", "running")] == ["task 7"]


def test_s1_10_the_first_attempt_is_1_and_a_retry_is_the_next(states: StateStore, clock: Clock) -> None:
    begun(states, "a")
    assert states.record_attempt("run", "a").attempt == 1
    states.update_task_run("run", "a", "failed", error="no", attempt=1)
    assert states.record_attempt("run", "a", reason="flaky").attempt == 2
    states.update_task_run("run", "a", "failed", error="no", attempt=2)
    due = states.update_task_run("run", "a", "waiting", reason="flaky", delay=60).due
    assert due is not None
    with pytest.raises(Conflict, match="not to start before"):
        states.record_attempt("run", "a")
    clock.time = due
    assert states.record_attempt("run", "a", worker="w").attempt == 3
    task = states.get_task_run("run", "a")
    assert task is not None
    assert (task.attempt, task.status) == (3, "running")


def test_s1_10_numbers_have_no_holes_though_many_retry_at_once(states: StateStore) -> None:
    begun(states, "a")
    states.record_attempt("run", "a")
    for number in range(2, 5):
        states.update_task_run("run", "a", "failed", error="no", attempt=number - 1)
        results = at_once(*[partial(states.record_attempt, "run", "a", reason="again")] * 6)
        assert len([result for result in results if not isinstance(result, Conflict)]) == 1
    assert [attempt.attempt for attempt in states.list_attempts("run", "a")] == [1, 2, 3, 4]


def test_s1_10_a_completed_task_has_another_attempt_only_if_it_is_to_run_again(states: StateStore) -> None:
    begun(states, "a")
    completed(states.store, "run", "a", 1)
    with pytest.raises(InvalidTransition):
        states.record_attempt("run", "a")
    assert states.record_attempt("run", "a", reason="wrong input", rerun=True).attempt == 2
    assert states.get_output("run", "a") is None


def test_s1_11_attempts_are_listed_by_number_with_all_there_is_to_know(states: StateStore) -> None:
    begun(states, "a")
    for number in range(1, 12):
        states.record_attempt("run", "a", reason="again", worker=f"worker {number}")
        states.update_task_run("run", "a", "failed", error=f"no {number}", attempt=number, usage={"tokens": number})
    states.record_attempt("run", "a", worker="last")
    states.update_task_run("run", "a", "completed", output="done", attempt=12, usage={"tokens": 12.5})
    attempts = states.list_attempts("run", "a")
    assert [attempt.attempt for attempt in attempts] == list(range(1, 13))
    assert [attempt.failure and attempt.failure.message for attempt in attempts] == [
        *(f"no {number}" for number in range(1, 12)),
        None,
    ]
    assert [attempt.status for attempt in attempts] == ["failed"] * 11 + ["completed"]
    assert [attempt.worker for attempt in attempts[-2:]] == ["worker 11", "last"]
    assert attempts[-1].usage == {"tokens": 12.5}
    assert all(each.started_at and each.finished_at and each.started_at < each.finished_at for each in attempts)
    output = states.get_output("run", "a")
    assert output is not None
    assert output.output is not None
    assert (output.attempt, states.load(output.output)) == (12, "done")
    assert [attempt.digest for attempt in attempts] == [None] * 11 + [output.digest]


def test_s1_12_an_execution_and_its_task_runs_end_together_or_not_at_all(states: StateStore) -> None:
    begun(states, "a", "b")
    for task_id in "ab":
        states.update_task_run("run", task_id, "running")
    head = states.store.log.head()
    good = {"a": TaskEnd(status="completed", output=1)}
    for bad, error in (
        (TaskEnd(status="completed", output=object()), InvalidValue),
        (TaskEnd(status="completed", attempt=9), Conflict),
    ):
        with pytest.raises(error):
            states.finish("run", "completed", {**good, "b": bad})
    assert states.store.log.head() == head
    assert (state_of(states, "a"), state_of(states, "b")) == ("running", "running")
    states.finish("run", "completed", {**good, "b": TaskEnd(status="failed", error="no")})
    assert (state_of(states, "a"), state_of(states, "b")) == ("completed", "failed")
    assert len({event.commit for event in states.store.log.read_all(after=head)}) == 1


def test_s1_12_a_commit_over_several_streams_is_all_or_nothing(store: Store) -> None:
    def commit(first: int) -> list[Append]:
        return [Append(str(stream), [NewEvent(type="custom.n", data=b"1")], 0) for stream in range(first, 4)]

    with pytest.raises(WrongExpectedVersion):
        store.log.append([*commit(1), Append("other", [NewEvent(type="custom.n", data=b"1")], 7)])
    assert store.log.head() == 0
    store.log.append(commit(0))
    assert [store.log.version(str(stream)) for stream in range(4)] == [1, 1, 1, 1]


def test_s1_12_commits_at_the_same_time_never_mix_and_none_undoes_another(store: Store) -> None:
    def write(number: int) -> None:
        for _ in range(5):
            events = [NewEvent(type="custom.n", data=b"%d" % number) for _ in range(3)]
            with pytest.raises(WrongExpectedVersion):
                store.log.append([Append(f"own {number}", events), Append("shared", (), 10_000)])
            store.log.append([Append(f"own {number}", events[:2]), Append("shared", events[2:])])

    assert at_once(*(partial(write, number) for number in range(6))) == [None] * 6
    commits = [list(events) for _, events in itertools.groupby(store.log.read_all(), lambda event: event.commit)]
    assert [len(events) for events in commits] == [3] * 30
    assert all(len({event.data for event in events}) == 1 for events in commits)


def test_s1_12_a_torn_commit_disappears_as_a_whole(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a", "b")
    for task_id in "ab":
        file_store.start_task("run", task_id)
    head = file_store.log.head()
    file_store.finish_run("run", "completed", tasks=dict.fromkeys("ab", TaskEnd(status="completed", output=1)))
    file_store.close()
    (segment,) = (folder / "_log").glob("*.jsonl")
    (folder / "_log/index.db").unlink()  # which knows what was durable, and would not take this for an unfinished write
    data = segment.read_bytes()
    segment.write_bytes(data[: data.rindex(b"\n", 0, -1) + 200])
    with open_again(folder) as again:
        assert again.log.head() == head
        assert [task.status for task in again.list_task_runs("run")] == ["running", "running"]

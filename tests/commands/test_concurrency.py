"""Workers at once, in threads and in processes: one wins where one can, all win where all can, and nothing is lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import pytest

from eventstore.errors import Conflict, InvalidTransition
from eventstore.log import Appended, RecordedEvent
from projections import Attempt, Store, Task
from tests.crash.children import Children
from tests.stores import check_views, folded, open_again, run_of, tables_of

PATIENCE = 60.0
WORKERS = 8


def at_once(*jobs: Callable[[], object]) -> list[object]:
    """Do the jobs in threads that begin together, and return what each came to: a result, or a conflict."""
    results: list[object] = [None] * len(jobs)
    begin = threading.Barrier(len(jobs))

    def work(place: int, job: Callable[[], object]) -> None:
        begin.wait(PATIENCE)
        try:
            results[place] = job()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=work, args=place_and_job, daemon=True) for place_and_job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    unexpected = [
        result for result in results if isinstance(result, BaseException) and not isinstance(result, Conflict)
    ]
    assert unexpected == []
    return results


def test_of_many_workers_that_start_one_task_one_wins(store: Store) -> None:
    run_of(store, "a")
    results = at_once(*(partial(store.start_task, "run", "a", worker=str(n)) for n in range(WORKERS)))
    (attempt,) = [result for result in results if not isinstance(result, Conflict)]
    assert [type(result) for result in results].count(InvalidTransition) == WORKERS - 1
    assert store.list_attempts("run") == [attempt]


def test_of_many_that_retry_and_start_a_failed_task_one_wins_each_time(store: Store) -> None:
    def insist(worker: str) -> Attempt:
        with suppress(Conflict):  # somebody has started it already
            store.retry_task("run", "a")
        return store.start_task("run", "a", worker=worker)

    run_of(store, "a")
    store.start_task("run", "a")
    for number in (2, 3, 4):
        store.fail_task("run", "a", "no")
        results = at_once(*(partial(insist, str(worker)) for worker in range(WORKERS)))
        (won,) = [result for result in results if isinstance(result, Attempt)]
        assert won.attempt == number
    assert [attempt.attempt for attempt in store.list_attempts("run")] == [1, 2, 3, 4]
    retries = [event for event in store.log.read("run") if event.type == "taskRunRetryScheduled"]
    assert len(retries) == 3


def test_of_many_that_create_one_run_all_get_it(store: Store) -> None:
    results = at_once(*[lambda: store.create_run("flow", run_id="run", input=[1])] * WORKERS)
    assert results == [store.get_run("run")] * WORKERS
    assert store.log.head() == 1


def test_of_many_that_report_one_result_all_are_heard_and_it_is_kept_once(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    results = at_once(*[lambda: store.complete_task("run", "a", "same", attempt=1)] * WORKERS)
    assert results == [store.get_task_run("run", "a")] * WORKERS
    assert store.log.version("run") == 5


def test_of_many_that_report_different_results_one_wins(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    results = at_once(*(partial(store.complete_task, "run", "a", n) for n in range(WORKERS)))
    (winner,) = [place for place, result in enumerate(results) if not isinstance(result, Conflict)]
    assert store.get_result("run", "a") == winner


def test_of_many_that_schedule_overlapping_tasks_each_is_scheduled_once(store: Store) -> None:
    run_of(store)
    chunks = [[Task(str(number)) for number in range(n, n + 10)] for n in range(WORKERS)]
    at_once(*(partial(store.schedule_tasks, "run", chunk) for chunk in chunks))
    assert Counter(task.task_id for task in store.list_task_runs("run")) == Counter(map(str, range(WORKERS + 9)))
    assert store.log.version("run") == 2 + WORKERS + 9


def finish(store: Store, task_ids: Sequence[str]) -> None:
    for task_id in task_ids:
        attempt = store.start_task("run", task_id).attempt
        store.complete_task("run", task_id, f"output of {task_id}", attempt=attempt)


def test_threads_that_finish_different_tasks_of_one_run_all_succeed_without_deciding_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = [[f"{worker}.{number}" for number in range(8)] for worker in range(WORKERS)]
    task_ids = [task_id for share in shares for task_id in share]
    run_of(store)
    store.schedule_tasks("run", [Task(task_id) for task_id in task_ids])
    tried: list[int] = []
    append = store.log.append

    def counted(commit: Any, **more: Any) -> Appended:
        tried.append(1)
        return append(commit, **more)

    monkeypatch.setattr(store.log, "append", counted)
    at_once(*(partial(finish, store, share) for share in shares))
    outputs = store.get_completed_node_outputs("run")
    assert outputs == {task_id: f"output of {task_id}" for task_id in task_ids}
    assert store.log.version("run") == 2 + 3 * len(task_ids)
    assert len(tried) == 2 * len(task_ids)
    assert tables_of(store) == folded(store)


def finish_in_a_process(test: Connection, address: str, task_ids: Sequence[str]) -> None:
    with open_again(address) as store:
        test.send("ready")
        test.recv()
        finish(store, task_ids)


def test_processes_that_finish_different_tasks_of_one_run_all_succeed(
    lasting_store: Store, lasting: str, children: Children
) -> None:
    shares = [[f"{worker}.{number}" for number in range(15)] for worker in range(3)]
    run_of(lasting_store)
    lasting_store.schedule_tasks("run", [Task(task_id) for share in shares for task_id in share])
    started = [children.start(finish_in_a_process, lasting, share) for share in shares]
    for child in started:
        assert child.receive() == "ready"
    for child in started:
        child.send("go")
    for child in started:
        assert child.result() is None
    expected = {task_id: f"output of {task_id}" for share in shares for task_id in share}
    assert lasting_store.get_completed_node_outputs("run") == expected
    assert lasting_store.log.version("run") == 2 + 3 * len(expected)
    check_views(lasting_store)


def try_to_start(test: Connection, address: str, worker: str) -> list[str]:
    """Try to start each of many tasks as soon as it is told to, and say which it got."""
    won = []
    with open_again(address) as store:
        test.send("ready")
        test.recv()
        for task in store.list_task_runs("run"):
            with suppress(Conflict):
                won.append(store.start_task("run", task.task_id, worker=worker).task_id)
    return won


def test_of_processes_that_start_the_same_tasks_one_wins_each(
    lasting_store: Store, lasting: str, children: Children
) -> None:
    task_ids = [str(number) for number in range(20)]
    run_of(lasting_store, *task_ids)
    started = [children.start(try_to_start, lasting, f"worker {number}") for number in range(3)]
    for child in started:
        assert child.receive() == "ready"
    for child in started:
        child.send("go")
    won = {f"worker {number}": child.result() for number, child in enumerate(started)}
    assert sorted(task_id for share in won.values() for task_id in share) == sorted(task_ids)
    assert all(attempt.task_id in won[attempt.worker] for attempt in lasting_store.list_attempts("run"))


def test_attempts_are_numbered_without_gaps_however_many_retry(store: Store) -> None:
    run_of(store, "a")

    def insist() -> None:
        for _ in range(12):
            with suppress(Conflict):
                store.start_task("run", "a")
            with suppress(Conflict):
                store.fail_task("run", "a", "no")
            with suppress(Conflict):
                store.retry_task("run", "a")

    at_once(*[insist] * 4)
    attempts = store.list_attempts("run")
    assert [attempt.attempt for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert len(attempts) >= 12
    started = [event.data for event in store.log.read("run") if event.type == "taskRunStarted"]
    assert len(started) == len(attempts)


class Meddler:
    """Another worker that takes a task over as soon as it hears that it was started."""

    def __init__(self, store: Store, address: str) -> None:
        self._store, self._address, self._views = store, address, store.log.hook

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        if self._views is not None:
            self._views.committed(events)
        if events[0].type == "taskRunStarted":
            self._store.log.hook = self._views
            with open_again(self._address) as other:
                other.fail_task("run", "a", "lost")
                other.retry_task("run", "a")
                other.start_task("run", "a", worker="other")


def test_who_starts_a_task_is_told_of_its_own_attempt_though_another_has_begun_since(
    lasting_store: Store, lasting: str
) -> None:
    run_of(lasting_store, "a")
    lasting_store.log.hook = Meddler(lasting_store, lasting)
    attempt = lasting_store.start_task("run", "a", worker="me")
    assert (attempt.attempt, attempt.worker, attempt.status) == (1, "me", "failed")
    with pytest.raises(Conflict, match="superseded"):
        lasting_store.complete_task("run", "a", "late", attempt=attempt.attempt)


def test_a_decision_made_in_vain_is_made_again(
    lasting_store: Store, lasting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(lasting_store, "a", "b")
    lasting_store.start_task("run", "a")
    append = lasting_store.log.append
    with open_again(lasting) as other:

        def after_another(commit: Any, **more: Any) -> Appended:
            monkeypatch.setattr(lasting_store.log, "append", append)
            other.start_task("run", "b")
            return append(commit, **more)

        monkeypatch.setattr(lasting_store.log, "append", after_another)
        assert lasting_store.complete_task("run", "a", 1).status == "completed"
    assert [task.status for task in lasting_store.list_task_runs("run")] == ["completed", "running"]

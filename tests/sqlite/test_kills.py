"""Writers are killed, again and again, and the file must have all they saw acknowledged, whole, once and in order.

EVENTSTORE_KILLS sets how many are killed, as for the log of files, and EVENTSTORE_CRASH_SEED when about that is.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.events import TaskRunCompleted
from eventstore.sqlite import SqliteLog
from projections import Store, open_store
from projections.fold import Fold
from tests.crash.children import Children
from tests.crash.oracle import Attempts, survivors_of
from tests.crash.writer_process import first_attempts
from tests.stores import tables_of

from .writer_process import append_for_ever, output_of, work_for_ever

KILLS = int(os.environ.get("EVENTSTORE_KILLS", "120"))
SHAPES = [(1, 1), (1, 4), (3, 2)]
ROUNDS_PER_STORE = 4


def seeded() -> tuple[int, random.Random]:
    seed = int(os.environ.get("EVENTSTORE_CRASH_SEED") or random.randrange(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown with a failure
    return seed, random.Random(seed)


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize(("processes", "threads"), SHAPES)
def test_killed_writers_lose_nothing_acknowledged(
    tmp_path: Path, children: Children, record_property: Callable[[str, object], None], processes: int, threads: int
) -> None:
    seed, choices = seeded()
    rounds = max(2, KILLS // 2 // len(SHAPES) // processes)
    record_property("kills of SQLite writers", rounds * processes)
    for round in range(rounds):
        path = tmp_path / f"{round // ROUNDS_PER_STORE}.db"
        if round % ROUNDS_PER_STORE == 0:
            known: list[Attempts] = []
        writers = [[f"{round}.{process}.{thread}" for thread in range(threads)] for process in range(processes)]
        acknowledged = dict.fromkeys((name for names in writers for name in names), 0)
        running = [children.start(append_for_ever, path, names) for names in writers]
        for child in running:
            for _ in range(choices.randint(0, 15)):
                acknowledged[child.receive()] += 1
            spin(choices.random() * 0.003)
            child.kill()
        for child in running:
            for name in child.rest():
                acknowledged[name] += 1
            assert child.end() == -signal.SIGKILL
        new = [Attempts(first_attempts(name, count + 1), count) for name, count in acknowledged.items()]
        with closing(SqliteLog(path)) as log:
            survivors = survivors_of(log, known + new)[len(known) :]
            for attempts, survived in zip(new, survivors, strict=True):
                assert log.append(attempts.commits[-1]).repeated == (survived > attempts.acknowledged), f"seed {seed}"
            known += [Attempts(attempts.commits, len(attempts.commits)) for attempts in new]
            survivors_of(log, known)
            assert log.database.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("processes", [1, 3])
def test_killed_workers_leave_views_that_are_what_the_log_says_and_resume_gives_what_was_completed(
    tmp_path: Path, children: Children, record_property: Callable[[str, object], None], processes: int
) -> None:
    _, choices = seeded()
    rounds = max(2, KILLS // 4 // processes)
    record_property("kills of SQLite workers", rounds * processes)
    for round in range(rounds):
        path = tmp_path / f"{round // ROUNDS_PER_STORE}.db"
        running = [children.start(work_for_ever, path, f"{round}.{process}") for process in range(processes)]
        completed: set[tuple[str, str]] = set()
        for child in running:
            completed |= {child.receive() for _ in range(choices.randint(0, 8))}
            spin(choices.random() * 0.005)
            child.kill()
        for child in running:
            completed |= set(child.rest())
            assert child.end() == -signal.SIGKILL
        with open_store(f"sqlite:{path}") as store:
            check_work(store, completed)


def check_work(store: Store, completed: set[tuple[str, str]]) -> None:
    """The views are a refold of the log, and every run's outputs those of its tasks that are completed there."""
    report = store.verify()
    assert report.clean, report.findings
    assert tables_of(store) == Fold.of(store.log.read_all(), store.codec).tables
    kept = set()
    for run in store.list_runs():
        events = [store.codec.decode(event) for event in store.log.read(run.id)]
        outputs = store.get_completed_node_outputs(run.id)
        assert list(outputs) == [event.task_id for event in events if isinstance(event, TaskRunCompleted)]
        for task, output in outputs.items():
            assert output == output_of(run.id, task)
            kept.add((run.id, task))
    assert completed <= kept

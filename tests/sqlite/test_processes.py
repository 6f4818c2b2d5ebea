"""Many processes and threads at one file."""

from __future__ import annotations

import contextlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from eventstore.errors import Closed, WrongExpectedVersion
from eventstore.log import Append
from eventstore.memory import MemoryLog
from eventstore.sqlite import SqliteLog
from projections import open_store
from tests.crash.children import Children
from tests.crash.oracle import Attempts, check_streams, survivors_of
from tests.crash.writer_process import first_attempts

from .writer_process import append_some, open_at_once, use_after_fork, written

PROCESSES = 10
COMMITS = 30


def test_ten_processes_open_a_fresh_file_at_once(tmp_path: Path, children: Children) -> None:
    for round in range(5):
        path = tmp_path / f"{round}.db"
        running = [children.start(open_at_once, path, str(number)) for number in range(PROCESSES)]
        assert {child.receive() for child in running} == {"ready"}
        for child in running:
            child.send("go")
        assert [child.result() for child in running] == [1] * PROCESSES
        with open_store(f"sqlite:{path}", create=False) as store:
            assert {run.id for run in store.list_runs()} == {str(number) for number in range(PROCESSES)}
            assert store.verify().findings == ()


def test_what_many_processes_append_is_what_a_log_in_memory_makes_of_it(path: Path, children: Children) -> None:
    names = [str(number) for number in range(PROCESSES)]
    running = [children.start(append_some, path, name, COMMITS) for name in names]
    assert [child.result() for child in running] == [COMMITS] * PROCESSES
    with closing(SqliteLog(path)) as log:
        attempts = {name: first_attempts(name, COMMITS) for name in names}
        assert survivors_of(log, [Attempts(attempts[name], COMMITS) for name in names]) == [COMMITS] * PROCESSES
        commit_of = {commit[0].events[0].id: commit for commits in attempts.values() for commit in commits}
        events = list(log.read_all())
        times = {event.commit: event.recorded_at for event in events}
        clock = iter(times.values())
        model = MemoryLog(clock=clock.__next__)
        for event in events:
            if event.position == event.commit:
                model.append(commit_of[event.id])
        assert list(model.read_all()) == events


def test_a_log_refuses_to_work_in_a_process_forked_from_its_own(path: Path, children: Children) -> None:
    assert children.start(use_after_fork, path).result() == ["closed"] * 4
    with closing(SqliteLog(path)) as log:
        assert log.version("stream") == 2
        check_streams(log, list(log.read_all()))


def test_eight_threads_read_while_eight_append(log: SqliteLog) -> None:
    done = threading.Event()

    def append(thread: int) -> list[UUID]:
        choices, ids = random.Random(thread), []
        for number in range(40):
            events = [written(b"%d" % number) for _ in range(choices.randint(1, 3))]
            log.append([Append(f"own-{thread}", events), Append("shared", [written()])])
            ids += [event.id for event in events]
        return ids

    def read(thread: int) -> int:
        seen = 0
        while not done.is_set():
            events = list(log.read_all())
            assert len(events) >= seen
            versions = [event.version for event in log.read(f"own-{thread}")]
            assert versions == list(range(1, len(versions) + 1))
            assert len(list(log.read_all(backward=True))) >= len(events)
            seen = len(events)
        return seen

    with ThreadPoolExecutor(16) as threads:
        readers = [threads.submit(read, number) for number in range(8)]
        writers = [threads.submit(append, number) for number in range(8)]
        try:
            ids = [writer.result() for writer in writers]
        finally:
            done.set()
        assert all(reader.result() for reader in readers)
    assert [[event.id for event in log.read(f"own-{number}")] for number in range(8)] == ids
    check_streams(log, list(log.read_all()))


def test_of_many_threads_with_one_expectation_exactly_one_wins(log: SqliteLog) -> None:
    def race(version: int) -> int:
        try:
            log.append([Append("race", [written()], expected=version)])
        except WrongExpectedVersion:
            return 0
        return 1

    with ThreadPoolExecutor(8) as threads:
        for version in range(20):
            assert sum(threads.map(race, [version] * 8)) == 1


def test_close_from_another_thread_ends_all_that_is_going_on_with_closed(path: Path) -> None:
    log = SqliteLog(path)
    log.append([Append("stream", [written() for _ in range(3_000)])])
    started = threading.Barrier(4)

    def append_until_closed() -> int:
        started.wait()
        with contextlib.suppress(Closed):
            while True:
                log.append([Append("more", [written()])])
                done[0] += 1
        return done[0]

    def read_until_closed() -> None:
        started.wait()
        with contextlib.suppress(Closed):
            while True:
                list(log.read("stream"))

    done = [0]
    with ThreadPoolExecutor(4) as threads:
        waiting = threads.submit(log.wait, 10**9)
        appending = threads.submit(append_until_closed)
        reading = [threads.submit(read_until_closed) for _ in range(2)]
        started.wait()
        while not done[0]:
            assert not appending.done()
        log.close()
        with pytest.raises(Closed):
            waiting.result()
        appended = appending.result()
        for read in reading:
            read.result()
    log.close()
    with closing(SqliteLog(path)) as again:
        assert again.version("more") == appended
        assert again.version("stream") == 3_000

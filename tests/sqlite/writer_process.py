"""What the child processes of these tests do to a SQLite file."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from eventstore.errors import EventStoreError
from eventstore.log import Append, NewEvent
from eventstore.sqlite import SqliteLog
from projections import open_store
from tests.crash.children import failures_told
from tests.crash.writer_process import attempts_of


def written(data: bytes = b"{}") -> NewEvent:
    return NewEvent(type="written", data=data)


def append_for_ever(test: Connection, path: Path, writers: Sequence[str]) -> None:
    """One thread for each writer. Tells of every acknowledged commit, by its writer's name."""
    log = SqliteLog(path)

    def write(writer: str) -> None:
        with failures_told(test):
            for commit in attempts_of(writer):
                log.append(commit)
                test.send(writer)

    with ThreadPoolExecutor(len(writers)) as threads:
        list(threads.map(write, writers))


def work_for_ever(test: Connection, path: Path, worker: str) -> None:
    """Runs of three tasks, one after the other. Tells of every task that is known to be completed."""
    store = open_store(f"sqlite:{path}", threshold=100)
    for number in itertools.count():
        run = f"{worker}.{number}"
        store.create_run("flow", run_id=run)
        store.start_run(run, worker=worker)
        for task in ("a", "b", "c"):
            store.schedule_task(run, task)
            attempt = store.start_task(run, task).attempt
            store.complete_task(run, task, output_of(run, task), attempt=attempt)
            test.send((run, task))


def output_of(run: str, task: str) -> object:
    """What the task of a run puts out, the same whoever asks; that of one task is kept as a blob."""
    return {"run": run, "task": task, "filler": "é" * (200 if task == "b" else 3)}


def open_at_once(test: Connection, path: Path, name: str) -> int:
    """Open a store when the test says so, and append to it."""
    test.send("ready")
    test.recv()
    with open_store(f"sqlite:{path}") as store:
        store.create_run("flow", run_id=name)
        return store.log.version(name)


def hold_the_lock(test: Connection, path: Path) -> None:
    """Begin to write, and go on when the test says so."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        test.send("writing")
        test.recv()


def use_after_fork(test: Connection, path: Path) -> list[str]:
    """Use a log in a process forked from the one that opened it, and give the codes of the errors that brings."""
    with closing(SqliteLog(path)) as log:
        log.append([Append("stream", [written()])])
        ours, theirs = Pipe()
        if os.fork() == 0:
            uses = (log.head, lambda: log.append([]), lambda: list(log.read_all()), lambda: log.version("stream"))
            theirs.send([_code_of(use) for use in uses])
            log.close()
            os._exit(0)
        os.wait()
        codes: list[str] = ours.recv()
        log.append([Append("stream", [written()])])
    return codes


def _code_of(use: Callable[[], object]) -> str:
    try:
        use()
    except EventStoreError as error:
        return error.code
    return "none"


def open_as_nobody(test: Connection, folder: Path, name: str) -> tuple[str, str]:
    """Open a log as a user who is not root, and give the code and the hint of the error that brings."""
    os.chdir(folder)
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        SqliteLog(Path(name))
    except EventStoreError as error:
        return error.code, error.hint
    return "none", ""


def append_some(test: Connection, path: Path, writer: str, commits: int) -> int:
    """Append the first commits of a writer of this name."""
    with closing(SqliteLog(path)) as log:
        for commit in itertools.islice(attempts_of(writer), commits):
            log.append(commit)
    return commits

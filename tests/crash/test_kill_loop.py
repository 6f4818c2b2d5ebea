"""Writers are killed, again and again, and the log must have all they saw acknowledged and nothing else but one more.

EVENTSTORE_KILLS sets how many are killed at random moments, and EVENTSTORE_CRASH_SEED which commits they make and when
about that is; the kills at every single disk call come on top.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from eventstore.jsonl import JsonlLog
from eventstore.log import PURGES, RecordedEvent
from eventstore.segments import FOLDER

from .children import Children
from .oracle import Attempts, check_streams, mentions, survivors_of
from .writer_process import SEGMENT_BYTES, SHARED, append_for_ever, append_some, first_attempts, purge

KILLS = int(os.environ.get("EVENTSTORE_KILLS", "400"))
ROUNDS_PER_STORE = 6
SHAPES = [(1, 1), (1, 4), (2, 1), (2, 3)]


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Children() as children:
        yield children


def open_log(root: Path, segment_bytes: int = SEGMENT_BYTES) -> JsonlLog:
    return JsonlLog(root, segment_bytes=segment_bytes)


@contextmanager
def told(**circumstances: object) -> Iterator[None]:
    """Whatever fails inside says under which circumstances."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {circumstances}")
        raise


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def kill_writers(
    children: Children, root: Path, processes: Sequence[Sequence[str]], choices: random.Random
) -> list[Attempts]:
    """Let processes append, a thread for every writer, kill them at random moments, and tell what they attempted."""
    acknowledged = Counter[str]()
    running = [children.start(append_for_ever, root, writers) for writers in processes]
    for child in running:
        acknowledged.update(child.receive() for _ in range(choices.randint(0, 20)))
        spin(choices.random() * 0.003)
        child.kill()
    for child in running:
        acknowledged.update(child.rest())
        assert child.end() == -signal.SIGKILL
    return [
        Attempts(first_attempts(writer, acknowledged[writer] + 1), acknowledged[writer])
        for writers in processes
        for writer in writers
    ]


def retry_the_last(log: JsonlLog, writers: Sequence[Attempts]) -> None:
    """What a program does after a crash: repeat what was not acknowledged. It is then there exactly once."""
    survivors = survivors_of(log, writers)
    for attempts, survived in zip(writers, survivors, strict=True):
        for commit in attempts.commits[attempts.acknowledged :]:
            assert log.append(commit).repeated == (survived > attempts.acknowledged)
    assert survivors_of(log, writers) == [len(attempts.commits) for attempts in writers]


@pytest.mark.parametrize(("processes", "threads"), SHAPES)
def test_killed_writers_lose_nothing_acknowledged(
    tmp_path: Path, children: Children, record_property: Callable[[str, object], None], processes: int, threads: int
) -> None:
    seed = int(os.environ.get("EVENTSTORE_CRASH_SEED") or random.randrange(2**32))
    choices = random.Random(seed)
    kills_per_store = processes * ROUNDS_PER_STORE
    stores = max(1, KILLS // len(SHAPES) // kills_per_store)
    record_property("kills", stores * kills_per_store)
    for store in range(stores):
        root = tmp_path / str(store)
        known: list[Attempts] = []
        with told(seed=seed, store=store), closing(open_log(root)) as bystander:
            for round in range(ROUNDS_PER_STORE):
                writers = [[f"{round}.{process}.{thread}" for thread in range(threads)] for process in range(processes)]
                new = kill_writers(children, root, writers, choices)
                with closing(open_log(root)) as log:
                    first, second = choices.sample([log, bystander], 2)
                    retry_the_last(first, known + new)
                    known += [Attempts(attempts.commits, len(attempts.commits)) for attempts in new]
                    survivors_of(second, known)
        shutil.rmtree(root)


def test_a_kill_at_any_disk_call_of_an_append_loses_nothing_acknowledged(
    tmp_path: Path, children: Children, record_property: Callable[[str, object], None]
) -> None:
    for call in count(1):
        written = random.random()
        root = tmp_path / str(call)
        with told(call=call, written=written):
            child = children.start(append_some, root, "writer", 8, call, written)
            acknowledged = sum(message == "writer" for message in child.rest())
            killed = child.end() == -signal.SIGKILL
            assert killed or acknowledged == 8
            writer = Attempts(first_attempts("writer", min(acknowledged + 1, 8)), acknowledged)
            with closing(open_log(root)) as log:
                retry_the_last(log, [writer])
            with closing(open_log(root)) as log:
                assert survivors_of(log, [writer]) == [len(writer.commits)]
                assert not log.repairs
        if not killed:
            record_property("kills", call - 1)
            return


@pytest.mark.parametrize("segment_bytes", [SEGMENT_BYTES, 1_000_000], ids=["many segments", "one segment"])
@pytest.mark.parametrize("found_by", ["a process that was there", "a process that comes"])
def test_a_kill_at_any_disk_call_of_a_purge_leaves_the_stream_whole_or_gone(
    tmp_path: Path,
    children: Children,
    record_property: Callable[[str, object], None],
    found_by: str,
    segment_bytes: int,
) -> None:
    stream, template = SHARED[0], tmp_path / "template"
    commits = first_attempts("writer", 12)
    with closing(open_log(template, segment_bytes)) as log:
        for commit in commits:
            log.append(commit)
        before = list(log.read_all())
    others = [event for event in before if event.stream != stream]
    untouched = [commit for commit in commits if all(append.stream != stream for append in commit)]
    for call in count(1):
        written = random.random()
        root = tmp_path / str(call)
        shutil.copytree(template, root)
        with told(call=call, written=written), ExitStack() as stack:
            if found_by == "a process that was there":
                log = stack.enter_context(closing(open_log(root, segment_bytes)))
            child = children.start(purge, root, stream, segment_bytes, call, written)
            list(child.rest())
            killed = child.end() == -signal.SIGKILL
            if found_by == "a process that comes":
                log = stack.enter_context(closing(open_log(root, segment_bytes)))
            *after, last = log.read_all()
            assert [*after, last] == before or (after == others and last.stream == PURGES)
            assert list(log.read_all(backward=True)) == [last, *reversed(after)]
            assert all(log.append(commit).repeated for commit in untouched)
            assert log.purge(stream).events == (len(before) - len(others) if last.stream != PURGES else 0)
            check_purged(log, stream, others)
            with closing(open_log(root, segment_bytes)) as reopened:
                check_purged(reopened, stream, others)
        if not killed:
            record_property("kills", call - 1)
            return


def check_purged(log: JsonlLog, stream: str, others: Sequence[RecordedEvent]) -> None:
    *rest, last = log.read_all()
    assert rest == others
    assert last.stream == PURGES
    assert not list(log.read(stream))
    check_streams(log, [*rest, last])
    assert not any(mentions(segment, stream) for segment in (log.root / FOLDER).glob("*.jsonl"))

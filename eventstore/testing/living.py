"""Living with a log: waiting for news, being told of it, and letting go."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventstore.errors import Closed, WrongExpectedVersion
from eventstore.log import PURGES, Append, Checkpoint, Hook, Log, RecordedEvent
from eventstore.testing.opening import PATIENCE, Opening, event, events, in_threads, write


class Told(Hook):
    """A hook that remembers what it was told, and what it could read of it at that moment."""

    def __init__(self) -> None:
        self.commits: list[list[RecordedEvent]] = []
        self.read: list[list[RecordedEvent]] = []
        self.log: Log | None = None

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Take note."""
        self.commits.append(list(events))
        if self.log is not None:
            self.read.append(list(self.log.read_all(after=events[0].position - 1)))


class Failing(Told):
    """A hook that takes note and then fails."""

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Take note, and fail."""
        super().committed(events)
        raise RuntimeError("the views are broken")


class Waiting(Opening):
    """`wait` is a hint that there is news; reading is what tells which."""

    def test_waiting_for_what_is_there_returns_at_once(self, log: Log) -> None:
        write(log, "a", 2)
        assert [log.wait(after) for after in (-1, 0, 1)] == [True, True, True]
        assert log.wait(1, timeout=0)

    @pytest.mark.parametrize("timeout", [0.05, 0, -1])
    def test_waiting_for_what_does_not_come_ends_in_time(self, log: Log, timeout: float) -> None:
        write(log, "a", 2)
        begun = time.monotonic()
        assert not log.wait(log.head(), timeout)
        assert timeout <= time.monotonic() - begun < PATIENCE
        assert not log.wait(2**70, timeout)

    def test_waiting_ends_when_another_thread_appends(self, log: Log) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(log.wait, log.head(), 2 * PATIENCE)
            write(log, "a")
            assert waiting.result(PATIENCE)

    def test_waiting_ends_when_another_thread_purges(self, log: Log) -> None:
        write(log, "a")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(log.wait, log.head(), 2 * PATIENCE)
            log.purge("a")
            assert waiting.result(PATIENCE)

    def test_waiting_goes_on_until_the_position_is_passed(self, log: Log) -> None:
        first = write(log, "a").events[0].position
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(log.wait, first + 2, 2 * PATIENCE)
            for _ in range(3):
                assert log.head() > first + 2 or not waiting.done()
                write(log, "a")
            assert waiting.result(PATIENCE)

    def test_eight_threads_can_wait_at_once(self, log: Log) -> None:
        def wait_or_write(number: int) -> bool:
            return log.wait(0, PATIENCE) if number else bool(write(log, "a").events)

        assert in_threads(wait_or_write) == 8 * [True]


class Hooks(Opening):
    """Views are told of commits through a hook; they can never stand in a writer's way."""

    def test_the_hook_is_told_once_of_every_commit_in_order(self, tmp_path: Path) -> None:
        told = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=told)) as log:
            first = log.append([Append("a", events(2)), Append("b", events(1))])
            second = write(log, "b")
            assert told.commits == [list(first.events), list(second.events)]

    def test_the_hook_can_read_what_it_is_told_of(self, tmp_path: Path) -> None:
        told = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=told)) as log:
            told.log = log
            write(log, "a", 2)
            write(log, "b")
            log.purge("a")
            assert told.read == told.commits

    def test_the_hook_is_not_told_of_what_was_not_written(self, tmp_path: Path) -> None:
        told = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=told)) as log:
            commit = [Append("a", events(2), 0)]
            log.append(commit)
            log.append(commit)
            log.append([Append("a", (), 2)])
            log.append([], checkpoint=Checkpoint("views", 1))
            log.purge("unknown")
            with pytest.raises(WrongExpectedVersion):
                write(log, "a", expected=0)
            assert [len(commit) for commit in told.commits] == [2]

    def test_the_hook_is_told_of_a_purge_by_its_record(self, tmp_path: Path) -> None:
        told = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=told)) as log:
            write(log, "a")
            log.purge("a")
            assert told.commits[1:] == [list(log.read(PURGES))]

    def test_the_hook_is_told_of_many_writers_commits_in_the_order_of_the_log(self, tmp_path: Path) -> None:
        """It may be told of several commits at once, if they became durable at once."""
        told = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=told)) as log:
            in_threads(lambda number: [write(log, f"s-{number}", 2) for _ in range(10)])
            assert [e for commit in told.commits for e in commit] == list(log.read_all())

    def test_a_hook_that_fails_fails_no_append_and_is_told_of_the_next_one(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        failing = Failing()
        with contextlib.closing(self.open_log(tmp_path, hook=failing)) as log, caplog.at_level(logging.WARNING):
            first = write(log, "a", 2)
            second = write(log, "a", expected=2)
            log.purge("a")

            assert first.events[0].version == 1
            assert len(failing.commits) == 3
            assert failing.commits[:2] == [list(first.events), list(second.events)]
        broken = [record for record in caplog.records if "the views are broken" in str(record.exc_info)]
        assert len(broken) == 3

    def test_a_hook_that_fails_wakes_who_waits_all_the_same(self, tmp_path: Path) -> None:
        with contextlib.closing(self.open_log(tmp_path, hook=Failing())) as log, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(log.wait, 0, 2 * PATIENCE)
            write(log, "a")
            assert waiting.result(PATIENCE)


CALLS: dict[str, Callable[[Log], object]] = {
    "append": lambda log: write(log, "a"),
    "check": lambda log: log.append([Append("a")]),
    "read": lambda log: list(log.read("a")),
    "read_all": lambda log: list(log.read_all()),
    "version": lambda log: log.version("a"),
    "head": lambda log: log.head(),
    "checkpoint": lambda log: log.checkpoint("views"),
    "wait": lambda log: log.wait(0, 0),
    "checkpoints": lambda log: log.checkpoints(),
    "purge": lambda log: log.purge("a"),
    "restore": lambda log: log.restore([]),
    "hold": lambda log: log.hold("views").release(),
    "holder": lambda log: log.holder("views"),
}


class Closing(Opening):
    """A closed log says so; nothing else goes wrong."""

    def test_closing_twice_does_nothing_more(self, log: Log) -> None:
        write(log, "a")
        for _ in range(3):
            log.close()

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_any_call_afterwards_raises_closed(self, log: Log, call: Callable[[Log], object]) -> None:
        write(log, "a")
        log.close()
        with pytest.raises(Closed):
            call(log)

    def test_closing_ends_all_waiting_with_closed(self, log: Log) -> None:
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(log.wait, log.head(), 2 * PATIENCE) for _ in range(4)]
            log.close()
            for each in waiting:
                with pytest.raises(Closed):
                    each.result(PATIENCE)

    @pytest.mark.parametrize("backward", [False, True])
    def test_a_read_that_outlives_its_log_goes_on_or_raises_closed(self, log: Log, backward: bool) -> None:
        for _ in range(30):
            log.append([Append("a", [event(bytes(100))]), Append("b", events(1))])
        expected = [list(log.read("a", backward=backward)), list(log.read_all(backward=backward))]
        readers = [log.read("a", backward=backward), log.read_all(backward=backward)]
        seen = [[next(reader)] for reader in readers]
        log.close()
        for found, reader, everything in zip(seen, readers, expected, strict=True):
            with contextlib.suppress(Closed):
                found.extend(reader)
            assert found == everything[: len(found)]

    def test_threads_that_use_a_log_while_it_is_closed_see_closed_and_nothing_else(self, log: Log) -> None:
        calls = list(CALLS.values())
        write(log, "a")

        def use(number: int) -> bool:
            if number == 0:
                log.wait(20, PATIENCE)
                log.close()
            try:
                for _ in range(10_000):
                    write(log, f"s-{number}")
                    calls[number](log)
            except Closed:
                return True
            return False

        assert in_threads(use) == 8 * [True]

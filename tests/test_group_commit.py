"""Group commit: who is served when, who hears of which error, and how many share one sync."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from eventstore.group import GroupCommit, Ticket
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, NewEvent

from .crash.disks import CountingDisk

THREADS = 64
PATIENCE = 30.0


class Refused(Exception):
    """What the test's own server says of a request it does not like."""


class Server:
    """Answers a number with its double and refuses odd ones; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failure: Exception | None = None
        self.group = GroupCommit(self.serve)

    def serve(self, batch: list[Ticket[int, int]]) -> None:
        self.batches.append([ticket.request for ticket in batch])
        for ticket in batch:
            if ticket.request % 2:
                ticket.error = Refused(ticket.request)
            elif self.failure is None:
                ticket.result = 2 * ticket.request
        if self.failure is not None:
            raise self.failure

    def wait_for_queue(self, length: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.group._queue) != length:
            assert time.monotonic() < deadline

    def submit_behind_a_turn(self, pool: ThreadPoolExecutor, requests: list[int]) -> list[Future[int]]:
        """Have threads submit these in this order, all while the turn is taken."""
        with self.group.turn():
            futures = []
            for request in requests:
                futures.append(pool.submit(self.group.submit, request))
                self.wait_for_queue(len(futures))
        return futures


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def test_a_request_alone_is_served_at_once(server: Server) -> None:
    assert server.group.submit(4) == 8
    assert server.batches == [[4]]


def test_requests_that_wait_are_served_together_in_the_order_they_came(
    server: Server, pool: ThreadPoolExecutor
) -> None:
    requests = [10, 4, 8, 2, 6]
    futures = server.submit_behind_a_turn(pool, requests)
    assert [future.result(PATIENCE) for future in futures] == [2 * request for request in requests]
    assert server.batches == [requests]


def test_an_error_reaches_the_thread_whose_request_it_is_about(server: Server, pool: ThreadPoolExecutor) -> None:
    futures = server.submit_behind_a_turn(pool, [2, 3, 4, 5])
    errors = [future.exception(PATIENCE) for future in futures]
    assert [error and error.args for error in errors] == [None, (3,), None, (5,)]


def test_an_error_of_the_whole_batch_reaches_all_that_have_none_of_their_own(
    server: Server, pool: ThreadPoolExecutor
) -> None:
    server.failure = failure = OSError("no space")
    futures = server.submit_behind_a_turn(pool, [2, 3, 4])
    errors = [future.exception(PATIENCE) for future in futures]
    assert errors[0] is failure
    assert isinstance(errors[1], Refused)
    assert errors[2] is failure


def test_requests_go_on_after_a_failure(server: Server) -> None:
    server.failure = OSError("no space")
    with pytest.raises(OSError, match="no space"):
        server.group.submit(2)
    server.failure = None
    assert server.group.submit(2) == 4


def test_a_turn_excludes_every_other_turn_and_request(server: Server, pool: ThreadPoolExecutor) -> None:
    happened = []

    def take_turn() -> None:
        with server.group.turn():
            happened.append("second turn")

    with server.group.turn():
        turn = pool.submit(take_turn)
        server.wait_for_queue(1)
        request = pool.submit(server.group.submit, 2)
        server.wait_for_queue(2)
        happened.append("first turn")
        assert not server.batches
    turn.result(PATIENCE)
    assert request.result(PATIENCE) == 4
    assert happened == ["first turn", "second turn"]


def test_a_turn_ends_with_an_error_inside_it(server: Server) -> None:
    with contextlib.suppress(Refused), server.group.turn():
        raise Refused
    assert server.group.submit(2) == 4


def test_who_holds_the_turn_can_take_it_again_and_keeps_it(server: Server, pool: ThreadPoolExecutor) -> None:
    with server.group.turn():
        with server.group.turn():
            pass
        request = pool.submit(server.group.submit, 2)
        server.wait_for_queue(1)
        assert not server.batches
    assert request.result(PATIENCE) == 4


def test_who_holds_the_turn_is_served_before_all_that_wait(server: Server, pool: ThreadPoolExecutor) -> None:
    with server.group.turn():
        request = pool.submit(server.group.submit, 2)
        server.wait_for_queue(1)
        assert server.group.submit(4) == 8
    assert request.result(PATIENCE) == 4
    assert server.batches == [[4], [2]]


def test_a_request_made_while_serving_is_served_at_once() -> None:
    group: GroupCommit[int, int]

    def serve(batch: list[Ticket[int, int]]) -> None:
        for ticket in batch:
            ticket.result = ticket.request + group.submit(ticket.request - 1) if ticket.request else 0

    group = GroupCommit(serve)
    assert group.submit(4) == 10
    assert group.submit(1) == 1


def test_a_turn_comes_although_another_thread_submits_without_pause(server: Server, pool: ThreadPoolExecutor) -> None:
    stop = threading.Event()

    def submit_until_stopped() -> None:
        while not stop.is_set():
            server.group.submit(2)

    def take_turns() -> None:
        for _ in range(100):
            with server.group.turn():
                pass

    busy = pool.submit(submit_until_stopped)
    try:
        pool.submit(take_turns).result(PATIENCE)
    finally:
        stop.set()
    busy.result(PATIENCE)


def test_a_thread_interrupted_while_it_waits_leaves_the_queue(server: Server, pool: ThreadPoolExecutor) -> None:
    def interrupt(signum: int, frame: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def interrupt_once_it_waits() -> None:
        server.wait_for_queue(1)
        while not interrupted.is_set():  # a signal that comes just before the wait does not end it
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def hold_the_turn() -> None:
        with server.group.turn():
            held.set()
            assert release.wait(PATIENCE)

    held, release, interrupted = threading.Event(), threading.Event(), threading.Event()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        holder = pool.submit(hold_the_turn)
        assert held.wait(PATIENCE)
        interrupter = pool.submit(interrupt_once_it_waits)
        with pytest.raises(KeyboardInterrupt):
            server.group.submit(2)
        interrupter.result(PATIENCE)
    finally:
        signal.signal(signal.SIGUSR1, before)
        release.set()
    holder.result(PATIENCE)
    assert server.group.submit(4) == 8
    assert server.batches == [[4]]


def test_a_thread_that_gave_up_keeps_nobody_from_hearing_of_the_batch_it_was_in(
    server: Server, pool: ThreadPoolExecutor
) -> None:
    interrupted = Ticket[int, int](4)

    def serve(batch: list[Ticket[int, int]]) -> None:
        server.group._leave(interrupted)
        server.serve(batch)

    server.group = GroupCommit(serve)
    with server.group.turn():
        before = pool.submit(server.group.submit, 2)
        server.wait_for_queue(1)
        server.group._queue.append(interrupted)
        after = pool.submit(server.group.submit, 6)
        server.wait_for_queue(3)
    assert before.result(PATIENCE) == 4
    assert after.result(PATIENCE) == 12
    assert server.batches == [[2, 4, 6]]


def test_many_threads_share_few_turns(server: Server, pool: ThreadPoolExecutor) -> None:
    futures = server.submit_behind_a_turn(pool, [0] * THREADS)
    assert [future.result(PATIENCE) for future in futures] == [0] * THREADS
    assert len(server.batches) == 1


def test_many_threads_of_a_log_share_few_syncs(tmp_path: Path, pool: ThreadPoolExecutor) -> None:
    disk = CountingDisk(tmp_path)
    with contextlib.closing(JsonlLog(tmp_path, disk=disk)) as log:
        before = disk.syncs

        def append(thread: int) -> None:
            for number in range(20):
                event = NewEvent(type="written", data=b"%d" % number)
                log.append([Append(f"stream-{thread}", [event], expected=number)])

        list(pool.map(append, range(THREADS)))
        assert disk.syncs - before < THREADS * 20 / 4
        assert log.head() == THREADS * 20
        for thread in range(THREADS):
            assert [int(event.data) for event in log.read(f"stream-{thread}")] == list(range(20))

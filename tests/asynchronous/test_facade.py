"""One facade for stores, logs, boards, interfaces and consumers: what is awaited does what the blocking call does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import assert_type

import pytest

from eventstore.asynchronous import Async
from eventstore.consumer import Consumer
from eventstore.errors import InvalidInput, NotFound
from eventstore.log import Append, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from projections import Run, StateStore, Store, TaskStore, WorkflowStore, open_async
from projections.transfer import export_run
from tests.asynchronous.gate import until
from tests.stores import NOON


def test_a_run_is_driven_and_read_back(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            run = await facade.create_run("nightly", run_id="sunday")
            await facade.acting(actor="ada").at(NOON).start_run("sunday")
            await facade.schedule_task("sunday", "fetch")
            await facade.start_task("sunday", "fetch")
            await facade.complete_task("sunday", "fetch", [1, 2])
            assert run.status == "pending"
            assert await facade.get_completed_node_outputs("sunday") == {"fetch": [1, 2]}
            started = [event async for event in facade.log.read("sunday", after=1, until=2)]
            assert (started[0].meta["actor"], started[0].time) == ("ada", NOON)

    asyncio.run(scenario())


def test_errors_are_those_of_the_blocking_call(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            with pytest.raises(NotFound):
                await facade.start_run("nobody")
            with pytest.raises(TypeError):
                facade.acting("ada")
            with pytest.raises(TypeError):
                await facade.start_run()
            with pytest.raises(AttributeError):
                _ = facade.start_runn
            with pytest.raises(AttributeError):
                _ = facade._log
            assert await facade.log.head() == 0

    asyncio.run(scenario())


def test_the_board_and_the_interfaces_share_the_threads_of_the_store(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            await facade.board.create("Sand the door", task_id="sand")
            claimed = await facade.board.acting(actor="ada").claim_next("ada")
            assert (claimed.id, claimed.status) == ("sand", "working")
            await facade.wrap(WorkflowStore(store)).create_workflow_run("deploy", id="42")
            assert (await facade.wrap(StateStore(store)).get_execution("42")).status == "pending"
            await facade.start_run("42")
            tasks = facade.wrap(TaskStore(store))
            await tasks.persist_start("42", "build")
            assert (await tasks.store.get_task_run("42", "build")).status == "running"

    asyncio.run(scenario())


def test_a_consumer_handles_what_comes_until_its_task_is_cancelled(store: Store) -> None:
    handled: list[str] = []

    def handle(events: Sequence[RecordedEvent]) -> None:
        handled.extend(event.stream for event in events)

    async def scenario() -> None:
        async with Async(store) as facade:
            async with facade.wrap(await facade.call(Consumer, store.log, "names", handle)) as consumer:
                await facade.create_run("nightly", run_id="one")
                assert await consumer.catch_up() == 1
                running = asyncio.create_task(consumer.run())
                await facade.create_run("nightly", run_id="two")
                await until(lambda: len(handled) == 2)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
            assert (await consumer.standing()).stuck_at is None

    asyncio.run(scenario())
    assert handled == ["one", "two"]


def test_whole_logs_and_exports_are_iterated_page_by_page(store: Store) -> None:
    store.log.append([Append("many", [NewEvent(type="noted", data=b"%d" % number) for number in range(250)])])
    store.create_run("nightly", run_id="sunday")

    async def scenario() -> None:
        async with Async(store) as facade:
            assert [event async for event in facade.log.read_all()] == list(store.log.read_all())
            first = await anext(await facade.log.read("many", backward=True))
            assert first.version == 250
            exported = facade.wrap(await facade.call(export_run, store, "sunday"))
            assert [line async for line in exported] == list(export_run(store, "sunday"))

    asyncio.run(scenario())


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(150)
        raise NotFound("item", "150")

    async def scenario() -> None:
        async with Async(MemoryLog()) as facade:
            found = facade.wrap(items())
            assert [await anext(found) for _ in range(150)] == list(range(150))
            with pytest.raises(NotFound):
                await anext(found)
            with pytest.raises(StopAsyncIteration):
                await anext(found)

    asyncio.run(scenario())


def test_context_managers_are_entered_and_left_in_threads(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            await facade.create_run("nightly", run_id="sunday")
            claim = await facade.resume("sunday", worker="ada", lease=600)
            async with facade.heartbeat("sunday", epoch=claim.epoch, lease=600) as heartbeat:
                await heartbeat.check()
                assert not heartbeat.lost
            async with facade.log.purging():
                await facade.log.purge("sunday")
            assert [event.type async for event in facade.log.read_all()] == ["streamPurged"]
            with pytest.raises(ZeroDivisionError):
                async with facade.log.purging():
                    _ = 1 / 0

    asyncio.run(scenario())


def test_calls_are_coroutines_for_whatever_takes_coroutines() -> None:
    async def scenario() -> None:
        async with open_async("memory:") as store, asyncio.TaskGroup() as group:
            task = group.create_task(store.create_run("nightly", run_id="one"))
            assert "Store.create_run" in repr(task)
            other = await asyncio.wait_for(store.create_run("nightly", run_id="two"), timeout=60)
            runs = await asyncio.gather(task, store.get_run("two"))
            assert [run.id for run in runs] == ["one", other.id]

    asyncio.run(scenario())


def test_a_call_that_nobody_awaits_is_told_of_and_does_nothing() -> None:
    async def scenario() -> None:
        async with open_async("memory:") as store:
            with pytest.warns(RuntimeWarning, match=r"'Store\.create_run' was never awaited"):
                store.create_run("nightly")
            assert await store.log.head() == 0

    asyncio.run(scenario())


def test_type_checkers_see_what_a_call_takes_and_returns() -> None:
    async def scenario() -> None:
        async with open_async("memory:") as store:
            assert_type(store.sync, Store)
            run = assert_type(await store.call(store.sync.create_run, "nightly", run_id="sunday"), Run)
            assert run.id == "sunday"

    asyncio.run(scenario())


def test_each_call_sees_the_context_of_its_caller() -> None:
    request: ContextVar[str] = ContextVar("request")

    async def scenario() -> None:
        async with open_async("memory:", threads=1) as store:

            async def ask(name: str) -> str:
                request.set(name)
                await asyncio.sleep(0)
                return await store.call(request.get)

            assert await asyncio.gather(*(ask(f"{number}") for number in range(20))) == [f"{n}" for n in range(20)]

    asyncio.run(scenario())


def test_no_call_runs_in_the_thread_of_the_loop() -> None:
    threads: set[int] = set()

    def clock() -> datetime:
        threads.add(threading.get_ident())
        return NOON

    log = MemoryLog(clock=clock)

    async def scenario() -> None:
        async with Async(log) as facade:
            await facade.append([Append("a", [NewEvent(type="noted", data=b"")])])

    asyncio.run(scenario())
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_one_facade_serves_one_loop_after_the_other(store: Store) -> None:
    facade = Async(store)
    asyncio.run(facade.call(store.create_run, "nightly", run_id="one"))
    asyncio.run(facade.call(store.create_run, "nightly", run_id="two"))
    assert asyncio.run(facade.call(len, store.list_runs())) == 2
    asyncio.run(facade.close())


def test_what_would_leave_its_caller_waiting_for_ever_is_an_error() -> None:
    async def scenario() -> None:
        async with Async(MemoryLog()) as facade:
            with pytest.raises(RuntimeError, match="StopIteration"):
                await facade.call(next, iter(()))

    asyncio.run(scenario())


def test_without_threads_there_is_no_facade() -> None:
    with pytest.raises(InvalidInput):
        Async(MemoryLog(), threads=0)


def test_a_facade_says_what_it_is_of_and_what_it_can_do() -> None:
    facade = Async(MemoryLog())
    assert repr(facade) == "<Async <MemoryLog streams=0 head=0>>"
    assert {"append", "wrap", "sync"} <= set(dir(facade))
    assert "_events" not in dir(facade)

"""Closing, and the ends of loops and programs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore.asynchronous import Async
from eventstore.consumer import Consumer
from eventstore.errors import Closed, Unavailable
from eventstore.log import Append, NewEvent
from projections import Store, open_async
from tests.asynchronous.gate import PATIENCE, Gate, until

NEW = [Append("a", [NewEvent(type="noted", data=b"1")])]


def test_closing_waits_for_what_is_under_way_and_refuses_the_rest(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(store.log, "append", gate.before(store.log.append))

    async def scenario() -> None:
        facade = Async(store)
        under_way = asyncio.create_task(facade.log.append(NEW))
        await gate.reached()
        closing = asyncio.create_task(facade.close())
        await until(lambda: facade._workers._closed)
        with pytest.raises(Closed):
            await facade.get_run("sunday")
        gate.open()
        assert (await under_way).versions == {"a": 1}
        await closing
        await facade.close()
        with pytest.raises(Closed):
            store.log.head()

    asyncio.run(scenario())


CALLS: dict[str, Callable[[Async[Store]], Awaitable[Any]]] = {
    "a command": lambda store: store.create_run("nightly"),
    "a part": lambda store: store.board.create("Sand"),
    "a follower": lambda store: store.follow(),
    "a wait": lambda store: store.log.wait(0),
    "an iterator": lambda store: anext(store.wrap(iter([1]))),
    "a function": lambda store: store.call(print),
    "a part's end": lambda store: store.log.close(),
}


@pytest.mark.parametrize("name", CALLS)
def test_after_closing_every_call_is_refused(name: str) -> None:
    async def scenario() -> None:
        async with open_async("memory:") as store:
            pass
        with pytest.raises(Closed):
            await CALLS[name](store)

    asyncio.run(scenario())


def test_closing_ends_a_consumer_when_it_has_stored_what_it_is_at(store: Store) -> None:
    gate = Gate()

    def handle(events: object) -> list[Append]:
        gate.stop()
        return [Append("effects", [NewEvent(type="noted", data=b"2")])]

    async def scenario() -> None:
        facade = Async(store)
        await facade.log.append(NEW)
        consumer = facade.wrap(await facade.call(Consumer, store.log, "name", handle, streams=["a"]))
        running = asyncio.create_task(consumer.run())
        await gate.reached()
        closing = asyncio.create_task(facade.close())
        await until(lambda: bool(consumer.sync._events.closed))
        gate.open()
        await closing
        await running
        assert consumer.sync._checkpoint == 1

    asyncio.run(scenario())


def test_an_interrupt_closes_the_store_and_ends_the_loop(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade, facade.follow() as events:
            waiting = asyncio.create_task(anext(events))
            await events.caught_up.wait()
            signal.raise_signal(signal.SIGINT)
            await waiting

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(scenario())
    with pytest.raises(Closed):
        store.log.head()


def test_a_loop_ends_while_a_follower_is_open(store: Store) -> None:
    async def scenario() -> None:
        events = await Async(store).follow()
        waiting = asyncio.create_task(anext(events))
        await events.caught_up.wait()
        assert not waiting.done()

    asyncio.run(scenario())


PROGRAM = """
import asyncio
from eventstore.asynchronous import Async
from eventstore.consumer import Consumer
from projections import open_store

async def main():
    store = Async(open_store("jsonl:store"))
    events = await store.follow()
    waits = [asyncio.create_task(anext(events)), asyncio.create_task(store.log.wait(0))]
    consumer = store.wrap(Consumer(store.sync.log, "name", print))
    waits.append(asyncio.create_task(consumer.run()))
    await events.caught_up.wait()
    print("over")

asyncio.run(main())
"""


def test_a_program_ends_that_leaves_everything_open(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")


def test_a_store_that_cannot_be_opened_is_an_error() -> None:
    async def scenario() -> None:
        with pytest.raises(Unavailable):
            async with open_async("jsonl:/nowhere/at/all", create=False):
                pass

    asyncio.run(scenario())

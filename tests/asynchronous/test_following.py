"""`async for` over what is there and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from eventstore.asynchronous import Async
from eventstore.errors import Closed, InvalidInput, Unavailable
from eventstore.log import Append, NewEvent
from projections import Store
from tests.asynchronous.gate import PATIENCE, until


def note(store: Store, *numbers: int, stream: str = "a") -> None:
    for number in numbers:
        store.log.append([Append(stream, [NewEvent(type="noted", data=b"%d" % number)])])


async def soon(awaited: Awaitable[Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        return await awaited


def test_a_follower_gives_what_is_there_and_what_comes_and_ends_when_it_is_closed(store: Store) -> None:
    note(store, *range(120))

    async def scenario() -> None:
        async with Async(store) as facade, facade.follow() as events:
            seen = []

            async def iterate() -> None:
                async for event in events:
                    seen.append(int(event.data))

            task = asyncio.create_task(iterate())
            await soon(events.caught_up.wait())
            assert seen == list(range(120))
            await facade.call(note, store, 120, 121)
            await until(lambda: len(seen) == 122)
            await events.close()
            await soon(task)
            assert events.closed
            assert seen == list(range(122))

    asyncio.run(scenario())


def test_a_follower_gives_the_streams_and_types_it_was_asked_for(store: Store) -> None:
    note(store, 1, 2)
    note(store, 3, stream="b")
    note(store, 4)

    async def scenario() -> None:
        async with Async(store) as facade:
            async with facade.follow(streams=["b"]) as events:
                assert (await soon(anext(events))).data == b"3"
            async with facade.follow(after=3, types=["noted"]) as events:
                assert (await soon(anext(events))).data == b"4"
            with pytest.raises(InvalidInput):
                await facade.follow(types="noted")

    asyncio.run(scenario())


def test_the_position_is_that_of_the_last_event_given_out(store: Store) -> None:
    note(store, 1, 2, 3)
    note(store, 4, stream="b")

    async def scenario() -> None:
        async with Async(store) as facade, facade.follow(streams=["a"]) as events:
            for position in (1, 2):
                await soon(anext(events))
                assert events.position == position
                assert not events.caught_up.is_set()
            await soon(anext(events))
            waiting = asyncio.create_task(anext(events))
            await soon(events.caught_up.wait())
            assert events.position == 4
            waiting.cancel()

    asyncio.run(scenario())


def test_a_wait_that_is_cancelled_loses_no_event(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade, facade.follow() as events:
            for number in range(5):
                waiting = asyncio.create_task(anext(events))
                await asyncio.sleep(0)
                waiting.cancel()
                await facade.call(note, store, number)
                assert (await soon(anext(events))).data == b"%d" % number

    asyncio.run(scenario())


def test_a_log_that_cannot_be_reached_is_an_error_after_which_the_follower_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object, **__: object) -> None:
        raise Unavailable("the connection is lost")

    async def scenario() -> None:
        async with Async(store) as facade, facade.follow() as events:
            events.sync._patience = 0
            with monkeypatch.context() as broken:
                broken.setattr(store.log, "head", lose)
                with pytest.raises(Unavailable):
                    await soon(anext(events))
            await facade.call(note, store, 1)
            assert (await soon(anext(events))).data == b"1"

    asyncio.run(scenario())


def test_more_followers_than_threads_leave_the_threads_to_others(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store, threads=1) as facade:
            followers = [await facade.follow() for _ in range(5)]
            waits = [asyncio.create_task(anext(events)) for events in followers]
            news = asyncio.create_task(facade.log.wait(0))
            for events in followers:
                await soon(events.caught_up.wait())
            assert not await facade.log.wait(0, timeout=0)
            await soon(facade.call(note, store, 1))
            assert {event.data for event in await soon(asyncio.gather(*waits))} == {b"1"}
            assert await soon(news)

    asyncio.run(scenario())


def test_who_waits_for_a_log_that_is_closed_is_told(store: Store) -> None:
    async def scenario() -> None:
        facade = Async(store)
        events = await facade.follow()
        waiting = asyncio.create_task(anext(events))
        news = asyncio.create_task(facade.log.wait(0))
        await soon(events.caught_up.wait())
        await facade.close()
        for task in (waiting, news):
            with pytest.raises(Closed):
                await soon(task)

    asyncio.run(scenario())

"""Cancelled awaits: what was not begun is not done, what was begun goes on, and the same call again is safe."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType

import pytest

from eventstore.asynchronous import Async
from eventstore.log import Append, NewEvent
from projections import Store
from tests.asynchronous.gate import Gate, until

CREATED = ["runCreated"]


async def cancelled(task: asyncio.Task[object]) -> None:
    """Cancel a task, and see that it is at once, whatever its thread does."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def types(store: Store) -> list[str]:
    return [event.type for event in store.log.read_all()]


def test_what_was_not_begun_is_not_done(store: Store) -> None:
    gate = Gate()

    async def scenario() -> None:
        facade = Async(store, threads=1)
        first = asyncio.create_task(facade.call(gate.stop))
        await gate.reached()
        second = asyncio.create_task(facade.create_run("nightly", run_id="sunday"))
        await asyncio.sleep(0)
        await cancelled(second)
        gate.open()
        await first
        assert await facade.call(types, store) == []
        await facade.create_run("nightly", run_id="sunday")
        assert await facade.call(types, store) == CREATED
        await facade.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_command_that_was_begun_goes_on_and_has_no_effect_again(
    store: Store, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(store.log, "append", getattr(gate, moment)(store.log.append))

    async def scenario() -> None:
        async with Async(store) as facade:
            task = asyncio.create_task(facade.create_run("nightly", run_id="sunday"))
            await gate.reached()
            await cancelled(task)
            gate.open()
            run = await facade.create_run("nightly", run_id="sunday")
            assert run == await facade.get_run("sunday")
        assert run.version == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_that_was_begun_is_there_once_when_it_is_repeated(
    store: Store, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    commit = [Append("a", [NewEvent(type="noted", data=b"1")], 0)]
    monkeypatch.setattr(store.log, "append", getattr(gate, moment)(store.log.append))

    async def scenario() -> None:
        async with Async(store) as facade:
            task = asyncio.create_task(facade.log.append(commit))
            await gate.reached()
            await cancelled(task)
            again = await facade.log.append(commit)  # while the first one is still held
            assert again.repeated == (moment == "after")
            gate.open()
            assert (await facade.log.append(commit)).repeated
            assert [event async for event in facade.log.read_all()] == list(again.events)

    asyncio.run(scenario())


def test_what_is_cancelled_is_done_when_the_facade_is_closed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    monkeypatch.setattr(store.log, "append", gate.before(store.log.append))
    seen: list[list[str]] = []
    monkeypatch.setattr(store, "close", lambda: seen.append(types(store)))

    async def scenario() -> None:
        facade = Async(store)
        task = asyncio.create_task(facade.create_run("nightly", run_id="sunday"))
        await gate.reached()
        await cancelled(task)
        closing = asyncio.create_task(facade.close())
        await asyncio.sleep(0)
        assert not closing.done()
        gate.open()
        await closing

    asyncio.run(scenario())
    assert seen == [CREATED]


class Door:
    """Can be opened, entered and left, and is held while it is."""

    def __init__(self, gate: Gate) -> None:
        self.left = threading.Event()
        self.gate = gate

    def __enter__(self) -> None:
        self.gate.stop()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.left.set()

    def opened(self) -> Door:
        """Open the door."""
        self.gate.stop()
        return self

    def close(self) -> None:
        """Close it again."""
        self.left.set()


def test_what_was_to_be_entered_is_left_again(store: Store) -> None:
    door = Door(Gate())

    async def scenario() -> None:
        async with Async(store) as facade:
            entering = asyncio.create_task(facade.wrap(door).__aenter__())
            await door.gate.reached()
            await cancelled(entering)
            assert not door.left.is_set()
            door.gate.open()
            await until(door.left.is_set)

    asyncio.run(scenario())


def test_what_is_left_is_left_even_if_that_is_cancelled_twice(store: Store) -> None:
    door, busy = Door(Gate()), Gate()
    door.gate.open()

    async def scenario() -> None:
        async with Async(store, threads=1) as facade:
            inside = facade.wrap(door)
            await inside.__aenter__()
            call = asyncio.create_task(facade.call(busy.stop))
            await busy.reached()
            leaving = asyncio.create_task(inside.__aexit__(None, None, None))
            await asyncio.sleep(0)
            await cancelled(leaving)
            busy.open()
            await call
            await until(door.left.is_set)

    asyncio.run(scenario())


def test_what_was_to_be_opened_is_closed_again() -> None:
    door = Door(Gate())

    async def scenario() -> None:
        opening = asyncio.create_task(Async.open(door.opened))
        await door.gate.reached()
        await cancelled(opening)
        assert not door.left.is_set()
        door.gate.open()
        await until(door.left.is_set)

    asyncio.run(scenario())

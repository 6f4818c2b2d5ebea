"""Many coroutines append at once: they share commits, and each hears of its own results, order and conflicts."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from eventstore.asynchronous import Async
from eventstore.errors import Conflict, InvalidInput, WrongExpectedVersion
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Appended, NewEvent
from eventstore.sqlite import SqliteLog
from projections import Store
from tests.asynchronous.gate import until
from tests.crash.disks import CountingDisk

COROUTINES = 40


def one(stream: str, data: bytes = b"", expected: int | None = None) -> list[Append]:
    event = NewEvent(type="noted", data=data)
    return [Append(stream, [event]) if expected is None else Append(stream, [event], expected)]


def append_at_once(log: JsonlLog | SqliteLog) -> None:
    """Have coroutines append while somebody else has the turn."""

    async def scenario() -> None:
        facade = Async(log)
        with log._group.turn():
            appends = [asyncio.create_task(facade.append(one(f"{number}"))) for number in range(COROUTINES)]
            await until(lambda: len(log._group._queue) == COROUTINES)
        for number, result in enumerate(await asyncio.gather(*appends)):
            assert result.versions == {f"{number}": 1}
        await facade.close()

    asyncio.run(scenario())


def test_appends_to_files_share_one_sync(tmp_path: Path) -> None:
    disk = CountingDisk(tmp_path / "store")
    log = JsonlLog(tmp_path / "store", disk=disk)
    log.append(one("first"))
    before = disk.syncs
    append_at_once(log)
    assert disk.syncs - before == 1


def test_appends_to_sqlite_share_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SqliteLog(tmp_path / "store.db")
    transactions = Counter[str]()
    writing = log.database.writing

    def counted() -> object:
        transactions["writing"] += 1
        return writing()

    monkeypatch.setattr(log.database, "writing", counted)
    append_at_once(log)
    assert transactions["writing"] == 1


def test_what_one_coroutine_appends_is_in_its_order(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:

            async def append_in_turn(name: str) -> None:
                for number in range(10):
                    await facade.log.append(one("shared", b"%s %d" % (name.encode(), number)))

            await asyncio.gather(*(append_in_turn(name) for name in "abcdef"))
            found = [event.data.decode() async for event in facade.log.read("shared")]
            for name in "abcdef":
                assert [text for text in found if text[0] == name] == [f"{name} {number}" for number in range(10)]

    asyncio.run(scenario())


def test_of_coroutines_with_one_expectation_one_wins_and_each_other_hears_of_it(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            appends = [facade.log.append(one("a", b"%d" % number, expected=0)) for number in range(COROUTINES)]
            results = await asyncio.gather(*appends, return_exceptions=True)
            (winner,) = [result for result in results if isinstance(result, Appended)]
            assert [event async for event in facade.log.read("a")] == list(winner.events)
            refused = [error for error in results if isinstance(error, WrongExpectedVersion)]
            assert len(refused) == COROUTINES - 1

    asyncio.run(scenario())


def test_a_refusal_reaches_its_own_caller_only(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            commits = one("good"), one("wrong", expected=7), one("")
            results = await asyncio.gather(*map(facade.log.append, commits), return_exceptions=True)
            assert [type(result) for result in results] == [Appended, WrongExpectedVersion, InvalidInput]

    asyncio.run(scenario())


def test_more_coroutines_than_threads_work_on_one_run_and_others_get_through(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store, threads=3) as facade:
            await facade.create_run("nightly", run_id="busy")
            await facade.start_run("busy")

            async def work(task_id: str) -> None:
                await facade.schedule_task("busy", task_id)
                await facade.start_task("busy", task_id)
                await facade.complete_task("busy", task_id, task_id)

            async def work_elsewhere() -> None:
                await facade.create_run("nightly", run_id="quiet")
                await facade.start_run("quiet")
                assert (await facade.complete_run("quiet")).status == "completed"

            await asyncio.gather(*(work(f"{number}") for number in range(COROUTINES)), work_elsewhere())
            outputs = await facade.get_completed_node_outputs("busy")
            assert outputs == {task_id: task_id for task_id in outputs}
            assert len(outputs) == COROUTINES

    asyncio.run(scenario())


def test_coroutines_that_claim_board_tasks_get_one_each(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            for number in range(5):
                await facade.board.create(f"Task {number}")
            claims = [facade.board.claim_next(f"agent-{number}") for number in range(8)]
            claimed = [task.id for task in await asyncio.gather(*claims) if task is not None]
            assert len(claimed) == len(set(claimed)) == 5

    asyncio.run(scenario())


def test_two_coroutines_cannot_both_end_a_run(store: Store) -> None:
    async def scenario() -> None:
        async with Async(store) as facade:
            await facade.create_run("nightly", run_id="sunday")
            await facade.start_run("sunday")
            ends = facade.complete_run("sunday", 1), facade.fail_run("sunday", "no")
            results = await asyncio.gather(*ends, return_exceptions=True)
            assert [isinstance(result, Conflict) for result in results].count(True) == 1

    asyncio.run(scenario())

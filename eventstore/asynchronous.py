"""One facade for `asyncio`: whatever blocks, awaited.

There are no twins of logs, stores and boards to keep in step. `Async(log)` has the methods of the log, each run in a
thread. Threads that append at once share one write and one sync of a log, so coroutines do, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import CoroutineType, TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

from eventstore.async_iterators import AsyncFollower, AsyncItems
from eventstore.follow import Follower
from eventstore.workers import THREADS, Workers

_PARTS = frozenset({"board", "log", "store"})
_WAITS = {"run": "close", "wait": None}
"""Methods that may wait for as long as nothing happens, and which one ends them, if any does."""

P = ParamSpec("P")
T = TypeVar("T")
ResultT = TypeVar("ResultT")


class Call(Coroutine[Any, Any, Any]):
    """A method called through the facade: a coroutine, like any other.

    `async for` awaits it and iterates over what it returns; `async with` awaits it and enters what it returns.
    """

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """The name is for warnings and lists of tasks."""
        assert isinstance(coroutine, CoroutineType)
        self._coroutine = coroutine
        self.__qualname__ = coroutine.__qualname__ = name

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Go on with the coroutine."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an error in the coroutine."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End the coroutine."""
        self._coroutine.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for item in await self._coroutine:
            yield item

    async def __aenter__(self) -> Any:
        self._entered = await self._coroutine
        return await self._entered.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> Any:
        return await self._entered.__aexit__(kind, error, at)


class Async(Generic[T]):
    """An object whose methods are awaited. They do, take, return and raise what those of `sync`, the object, do.

        async with await Async.open(partial(JsonlLog, "runs")) as log:
            await log.append([Append("a", [NewEvent(type="noted", data=b"1")])])
            async for event in log.read("a"):
                ...

    What a method returns comes as it is, but for iterators, which are for `async for`, and context managers, which are
    for `async with`. Methods that return the same object with other settings, such as `acting`, are not awaited. The
    attributes `log`, `board` and `store` are facades, which share the threads; others are as they are. What never
    blocks can as well be called on `sync`: `heartbeat.sync.check()`.

    **Threads.** `threads` calls are at work at once; the others are begun as these end, first come, first served. So
    coroutines that all want one run keep others waiting for a while, never for ever. Followers, `wait` and
    `Consumer.run` have threads of their own while they wait. Each call sees the context variables of its caller. On
    Postgres each append has a connection while it is at work, and the server shares its flushes among them.

    **Order.** A call begins before the next one of its coroutine. Among coroutines there is no order.

    **Cancellation.** A thread cannot be stopped. If an `await` is cancelled before a thread was free for its call,
    nothing is done. After that the call goes on, and what it does may have happened or be about to. So repeat it with
    the same ids: a run's, an attempt's, those of events. A command that was done has no effect then, and a commit is
    there once. What was to be opened or entered is closed again; what was to be closed or left, is. A cancelled
    `Consumer.run` closes its consumer; a follower loses no event.

    **Closing** begins nothing more, waits for the calls that were made before and for consumers, and closes the object.
    Repeated calls do nothing; any other call afterwards raises `Closed`.
    """

    def __init__(self, sync: T, workers: Workers | None = None, *, threads: int = THREADS) -> None:
        """`workers` are those of another facade, which will close them."""
        self.sync, self._owner = sync, workers is None
        self._workers = workers or Workers(threads)

    @classmethod
    async def open(cls, opener: Callable[[], T], *, threads: int = THREADS) -> Self:
        """The facade of what is opened in a thread. If this is cancelled, it is closed again."""
        workers = Workers(threads)
        opened = cls(await workers.open(opener, _close), workers)
        opened._owner = True
        return opened

    def __repr__(self) -> str:
        return f"<Async {self.sync!r}>"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self.sync) if not name.startswith("_"))})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = getattr(self.sync, name)
        if name in _PARTS:
            return self.wrap(value)
        if not callable(value):
            return value
        if getattr(value, "__annotations__", {}).get("return") == "Self":
            return lambda *args, **kwargs: self.wrap(value(*args, **kwargs))
        full_name = f"{type(self.sync).__name__}.{name}"
        return lambda *args, **kwargs: Call(full_name, self._called(name, partial(value, *args, **kwargs)))

    async def _called(self, name: str, function: Callable[[], Any]) -> Any:
        if name in _WAITS:
            end = _WAITS[name]
            return await self._workers.wait(function, getattr(self.sync, end) if end else None)
        result = await self._workers.call(function)
        if isinstance(result, Follower | Iterator | AbstractContextManager):
            return self.wrap(result)
        return result

    def wrap(self, other: Any) -> Any:
        """A facade of another object, such as a `Consumer` of this log; or an iterator, for `async for`. It shares the
        threads, and lasts no longer than this facade.
        """
        if isinstance(other, Follower):
            return AsyncFollower(other, self._workers)
        if isinstance(other, Iterator):
            return AsyncItems(other, self._workers)
        return Async(other, self._workers)

    async def call(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call any function in a thread, and return what it returns. Type checkers see its types:
        `await store.call(store.sync.create_run, "nightly")`.
        """
        return await self._workers.call(function, *args, **kwargs)

    async def close(self) -> None:
        """Close the object. The facade whose threads these are waits for all calls first, and ends the threads."""
        if self._owner:
            await asyncio.shield(asyncio.to_thread(self._close_all))
        else:
            await self._workers.finish(_close, self.sync)

    def _close_all(self) -> None:
        if self._workers.close():
            _close(self.sync)

    async def __aenter__(self) -> Self:
        if isinstance(self.sync, AbstractContextManager):
            leave = partial(self.sync.__exit__, None, None, None)
            await self._workers.open(self.sync.__enter__, lambda _: leave())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> Any:
        if self._owner:
            return await self.close()
        if isinstance(self.sync, AbstractContextManager):
            return await self._workers.finish(self.sync.__exit__, kind, error, at)
        return None


def _close(thing: Any) -> None:
    if hasattr(thing, "close"):
        thing.close()

"""Threads in which blocking calls run while an event loop goes on.

Calls share a fixed number of threads and are begun in the order they were made. What may wait for as long as nothing
happens gets a thread of its own, so any number of waits leaves all threads to the calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import Context, copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from eventstore.errors import Closed, InvalidInput

THREADS = 64
"""How many calls are at work at once, unless told otherwise."""

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class Workers:
    """Runs functions in threads, each in a copy of its caller's context. After `close` everything raises `Closed`."""

    def __init__(self, threads: int = THREADS) -> None:
        if threads < 1:
            raise InvalidInput(f"{threads} threads", "Give one at least.")
        self._closed = False
        self._calls = ThreadPoolExecutor(threads, "eventstore-call")
        self._waits: dict[Future[Any], Callable[[], object]] = {}
        self._mutex = threading.Lock()

    def begin(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> Future[ResultT]:
        """Have a function called as soon as a thread is free. Until then its future can be cancelled."""
        with self._mutex:
            self._check_open()
            return self._calls.submit(_run, copy_context(), partial(function, *args, **kwargs))

    async def call(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call a function, and return what it returns or raise what it raises.

        If this is cancelled, a function that has not been begun is not called; one that has goes on to its end.
        """
        return await asyncio.wrap_future(self.begin(function, *args, **kwargs))

    async def open(self, function: Callable[[], ResultT], close: Callable[[ResultT], object]) -> ResultT:
        """Call a function that opens something. If this is cancelled, that is closed as soon as it is open."""
        future = self.begin(function)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: done.cancelled() or done.exception() or close(done.result()))
            raise

    async def finish(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call a function that has to be called: also if this is cancelled."""
        return await asyncio.shield(asyncio.wrap_future(self.begin(function, *args, **kwargs)))

    def begin_wait(self, function: Callable[[], ResultT], end: Callable[[], object] | None = None) -> Future[ResultT]:
        """Call a function that may wait for long, at once. `close` calls `end`, and waits until it has returned;
        without an `end`, neither `close` nor the end of the program waits for it.
        """
        context, future = copy_context(), Future[ResultT]()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                future.set_result(_run(context, function))
            except BaseException as error:
                future.set_exception(error)

        with self._mutex:
            self._check_open()
            threading.Thread(target=run, name="eventstore-wait", daemon=True).start()
            if end is not None:
                self._waits[future] = end
                future.add_done_callback(self._waits.pop)
        return future

    async def wait(self, function: Callable[[], ResultT], end: Callable[[], object] | None = None) -> ResultT:
        """Call a function that may wait for long, and return what it returns. If this is cancelled, `end` is called."""
        future = self.begin_wait(function, end)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if end is not None:
                end()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the asynchronous facade")

    def close(self) -> bool:
        """Begin nothing more, end what waits, and return True when all calls have ended. Again: False, at once."""
        with self._mutex:
            if self._closed:
                return False
            self._closed = True
            waits = dict(self._waits)
        for end in waits.values():
            end()
        self._calls.shutdown()
        wait(waits)
        return True


def _run(context: Context, function: Callable[[], ResultT]) -> ResultT:
    try:
        return context.run(function)
    except StopIteration as error:  # which no future can hold: whoever awaits it would wait for ever
        raise RuntimeError(f"{function} raised StopIteration") from error

"""What blocking iterators give, for `async for`: fetched by threads, many items at a time.

An `await` that is cancelled loses nothing: the page it waited for is kept, and the next `await` begins with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from eventstore.follow import Follower
from eventstore.log import RecordedEvent
from eventstore.workers import Workers

PAGE = 100
"""Items that are fetched at most at once."""

_WAIT_SECONDS = 0.5

ItemT = TypeVar("ItemT")


class Page(NamedTuple, Generic[ItemT]):
    """Items in sequence, and what comes after them: an error, the end, or more. A follower's position, behind them."""

    items: list[ItemT]
    error: Exception | None = None
    ended: bool = False
    position: int = 0


class AsyncItems(Generic[ItemT]):
    """The items of a blocking iterator, which is `sync`. After an error it goes on as that one does. One task at a time
    iterates.
    """

    def __init__(self, items: Iterator[ItemT], workers: Workers) -> None:
        self.sync, self._workers = items, workers
        self._page = Page[ItemT]([])
        self._ready: deque[ItemT] = deque()
        self._fetching: Future[Page[ItemT]] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.sync!r}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        while not self._ready:
            if self._page.ended:
                raise StopAsyncIteration
            await self._turn_page()
        return self._ready.popleft()

    async def _turn_page(self) -> None:
        """Go on to the next page; before that, raise what is behind the last one."""
        error, self._page = self._page.error, self._page._replace(error=None)
        if error is not None:
            raise error
        if self._fetching is None or self._fetching.cancelled():
            self._fetching = self._begin()
        self._page = await asyncio.wrap_future(self._fetching)
        self._fetching, self._ready = None, deque(self._page.items)

    def _begin(self) -> Future[Page[ItemT]]:
        """Begin to fetch the next page."""
        return self._workers.begin(self._fetch)

    def _fetch(self) -> Page[ItemT]:
        items: list[ItemT] = []
        try:
            items.extend(islice(self.sync, PAGE))
        except Exception as error:
            return Page(items, error)
        return Page(items, ended=len(items) < PAGE)


class AsyncFollower(AsyncItems[RecordedEvent]):
    """The events of a log after a position, in its order, those to come too. See `eventstore.follow.Follower`.

    Iterating ends only when the follower is closed: by any task or thread, or by leaving its `async with`. For a time
    limit, use `asyncio.timeout`. `caught_up` is set once all that was there has been given out and the next event is
    asked for. While a task waits, so does a thread, which ends soon after the task is cancelled.
    """

    sync: Follower

    def __init__(self, follower: Follower, workers: Workers) -> None:
        super().__init__(follower, workers)
        self.caught_up = asyncio.Event()
        self._position = follower.position

    @property
    def position(self) -> int:
        """How far it has come: everything up to here was given out, or is not of its types and streams."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self.sync.closed

    async def __anext__(self) -> RecordedEvent:
        while not self.closed:
            if self._ready:
                event = self._ready.popleft()
                self._position = event.position if self._ready else self._page.position
                return event
            if self._fetching is None and self.sync.caught_up.is_set():
                self.caught_up.set()
            await self._turn_page()
            if not self._ready:
                self._position = max(self._position, self._page.position)
        raise StopAsyncIteration

    def _begin(self) -> Future[Page[RecordedEvent]]:
        return self._workers.begin_wait(self._fetch)

    def _fetch(self) -> Page[RecordedEvent]:
        events: list[RecordedEvent] = []
        try:
            event = self.sync.next(_WAIT_SECONDS if self.sync.caught_up.is_set() else 0)
            while event is not None:
                events.append(event)
                event = self.sync.next(0) if len(events) < PAGE else None
        except Exception as error:
            return Page(events, error, position=self.sync.position)
        return Page(events, position=self.sync.position)

    async def close(self) -> None:
        """End the iteration, also of a task that waits, which notices soon. Repeated calls do nothing.

        The log stays open.
        """
        self.sync.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

"""Stores for `asyncio`; see `eventstore.asynchronous`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Unpack

from eventstore.asynchronous import Async
from eventstore.workers import THREADS
from projections.face import Options
from projections.store import Store, open_store


@asynccontextmanager
async def open_async(
    address: str | Path, *, threads: int = THREADS, **options: Unpack[Options]
) -> AsyncIterator[Async[Store]]:
    """The store at an address, with methods that are awaited; it is closed in the end. See `open_store` and `Async`.

    The words of an interface: `store.wrap(WorkflowStore(store.sync))`.
    """
    async with await Async.open(partial(open_store, address, **options), threads=threads) as store:
        yield store

"""What the three interfaces that engines program against have in common: the store behind them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from eventstore.codec import Codec
from eventstore.log import Durability
from eventstore.payload import Value
from projections.store import Store, open_store


class Options(TypedDict, total=False):
    """What `open_store` can be told besides the address."""

    durability: Durability
    codec: Codec | None
    create: bool
    threshold: int
    snapshot_every: int
    clock: Callable[[], datetime]


class Face:
    """A store in the words of one interface. `store` is the whole of it, for what the interface has no word for.

    Safe for threads, as the store is. Closing it closes what `open` opened; a store that was given stays open.
    """

    _opened = False

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, address: str | Path, **options: Unpack[Options]) -> Self:
        """The interface to the store at an address, which is created if there is none. See `open_store`."""
        face = cls(open_store(address, **options))
        face._opened = True
        return face

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.store.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release what `open` opened. Repeated calls do nothing."""
        if self._opened:
            self.store.close()

    def load(self, value: Value) -> Any:
        """The exact value of an input, an output or a definition. Raises `BlobMissing` or `BlobCorrupt`."""
        return self.store.load(value)

    def _at(self, time: datetime | None) -> Store:
        return self.store if time is None else self.store.at(time)

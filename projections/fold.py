"""The views as dictionaries: what time travel reads, and what the tables are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from eventstore.codec import Codec
from eventstore.log import RecordedEvent
from projections.project import project
from projections.rows import BY_TABLE, Key, Patch, Put, RowT, Scalar, defaults, parse, parse_all

Columns = dict[str, Scalar]


class Fold:
    """Every table as a dictionary from key to the columns that are not the key."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Columns]] = {table: {} for table in BY_TABLE}

    @classmethod
    def of(cls, events: Iterable[RecordedEvent], codec: Codec) -> Self:
        """The views these events make. What forks inherit must be among them, see `projections.inheritance`."""
        folded = cls()
        for recorded in events:
            folded.take(recorded, codec)
        return folded

    def take(self, recorded: RecordedEvent, codec: Codec) -> None:
        """Make the patches of one more event."""
        for patch in project(codec.decode(recorded), recorded):
            self.apply(patch)

    def apply(self, patch: Patch) -> None:
        """Change the dictionaries as the patch says."""
        rows = self.tables[patch.table]
        if isinstance(patch, Put):
            rows.setdefault(patch.key, dict(defaults(patch.table))).update(patch.values)
        elif len(patch.key) == len(BY_TABLE[patch.table].KEY):
            rows.pop(patch.key, None)
        else:
            for key in [key for key in rows if key[: len(patch.key)] == patch.key]:
                del rows[key]

    def rows(self, kind: type[RowT]) -> list[RowT]:
        """The table's rows, typed, in the order their keys first came up."""
        return parse_all(kind, [(*key, *columns.values()) for key, columns in self.tables[kind.TABLE].items()])

    def row(self, kind: type[RowT], *key: str | int) -> RowT | None:
        """One row, typed, or None."""
        columns = self.tables[kind.TABLE].get(key)
        return None if columns is None else parse(kind, (*key, *columns.values()))

    def copy(self) -> Self:
        """Another one that is the same and can be changed by itself."""
        other = type(self)()
        other.tables = {table: {key: dict(row) for key, row in rows.items()} for table, rows in self.tables.items()}
        return other

    @property
    def size(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.tables.values()))

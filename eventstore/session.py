"""What SQL is run on: the seam between the statements, which are the same for SQLite and Postgres, and the two.

Parameters are `$1`, `$2` …, tables are named `main.…`: in SQLite that is the file's own schema, for Postgres the
store's schema is put in its place. A list goes in as one JSON text and comes apart in `main.json_each`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

Argument = str | bytes | int | float | Sequence[str] | Sequence[bytes] | Sequence[int] | None
"""Sequences are for Postgres only."""


class Statement(NamedTuple):
    """Fixed text and what stands for its parameters."""

    text: str
    arguments: Sequence[Argument] = ()


class Batch(NamedTuple):
    """Fixed text that is run once for each of these rows of arguments."""

    text: str
    rows: Sequence[Sequence[Argument]]


class Session(Protocol):
    """One connection, inside one transaction."""

    def rows(self, text: str, arguments: Sequence[Argument] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows; none if it gives none."""

    def ask(self, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
        """Run several statements, in order, in one round trip where the database is at the end of a wire, and return
        the rows of each.
        """

    def run(self, batches: Sequence[Batch]) -> None:
        """The same for what gives no rows, before what is asked next, or the transaction ends."""

    def has_table(self, name: str) -> bool:
        """Whether the store has a table of this name."""


class Database(Protocol):
    """A database that several threads use at once. Its errors are this project's own."""

    def rows(self, text: str, arguments: Sequence[Argument] = ()) -> list[tuple[Any, ...]]:
        """Run one reading statement by itself, and return all its rows."""

    def answers(self, questions: Sequence[Statement], *, together: bool) -> list[list[tuple[Any, ...]]]:
        """Run several reading statements in one round trip, and return the rows of each.

        `together`: all see one and the same state; otherwise each may see more than the one before it.
        """

    def write(self, text: str, arguments: Sequence[Argument] = ()) -> list[tuple[Any, ...]]:
        """Run one statement by itself that writes, and may be run twice, beside what others do. Returns its rows."""

    def reading(self) -> AbstractContextManager[Session]:
        """A transaction that only reads, and sees one and the same state all the time."""

    def writing(self) -> AbstractContextManager[Session]:
        """A transaction beside which nobody else appends. It is rolled back if an error leaves it."""

    def aside(self) -> AbstractContextManager[Session]:
        """A transaction beside which nothing is purged, for what is worth a write but worth nobody's waiting. Raises
        `Unavailable` if others are in its way.
        """

    def reclaim(self, *tables: str) -> None:
        """Give the space of what was removed from these tables back, beside what others do and as far as that goes."""

    def close(self) -> None:
        """Release everything. Repeated calls do nothing."""

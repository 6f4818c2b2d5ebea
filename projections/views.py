"""What queries and stores need of the views, however these are kept up to date.

*Following* views are tables behind a checkpoint, beside a log of files or in memory. *Inline* views are tables in the
log's own database, changed in the transaction of each append.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from eventstore.errors import InvalidInput, LogCorrupt
from eventstore.log import RecordedEvent
from eventstore.session import Session, Statement
from eventstore.validate import MAX_NUMBER
from projections.snapshot import Outline, Snapshot
from projections.tables import Columns, Contents

_COMPARED_ID = re.compile(r"\b(?:\w*id|forked_from|depends_on|assignee|hash) = \$(\d+)")

WithEvents = tuple[Contents, list[Outline], Iterator[RecordedEvent | LogCorrupt]]


class Views(Protocol):
    """Tables that say what the events of one log mean. Safe for threads; several processes may share them."""

    def ask(self, *queries: Statement) -> list[list[Columns]]:
        """The rows of each query, all from one state, in which everything appended so far shows. One round trip."""

    def ask_at(self, stream: str, *queries: Statement) -> tuple[int, list[list[Columns]]]:
        """The same, with a version of the stream, 0 if there is none, than which no row is older: what is decided on
        these rows may be appended at this version. Still one round trip: to ask the log first would take another.
        """

    def ask_if_current(self, query: Statement) -> list[Columns]:
        """The rows of one query, in one statement, if everything appended so far shows in the tables; otherwise none,
        as if it had none, and it takes `ask` to tell. In its text `$current` stands for the condition that says so.
        """

    def at_once(self) -> AbstractContextManager[Session]:
        """A session whose queries all see one and the same state, in which everything appended so far shows."""

    def with_events(self) -> AbstractContextManager[WithEvents]:
        """The rows of all tables, the snapshots, and the events that they should follow from: none has more than the
        others, but for snapshots that have just been kept.

        In place of events that are damaged, an error is returned.
        """

    def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot beside the tables, unless the log no longer has the event that it was taken after. Whatever
        removes the run's rows removes it too.
        """

    def catch_up(self) -> None:
        """Take whatever has been appended and not been taken yet. Reading does so by itself."""

    def write_folders(self) -> None:
        """Bring the tables, and the run folders if there are any, up to date with everything appended so far."""

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make everything again from the whole log. Other readers see the old tables until all are done.

        `progress` is told how many events were taken since it was last told.
        """

    def reclaim(self) -> None:
        """Give the space of what has been removed from the database of these tables back, as far as that goes."""

    def close(self) -> None:
        """Release what the log does not own. Repeated calls do nothing."""


def check_questions(questions: Iterable[Statement]) -> None:
    """Refuse what not every database can be asked about, so that all of them say the same. Raises `InvalidInput`."""
    for question in questions:
        ids = _ids_in(question.text)
        for place, argument in enumerate(question.arguments, 1):
            if type(argument) is int and place not in ids:
                if abs(argument) > MAX_NUMBER:
                    raise InvalidInput(f"{argument} is beyond 64 bits", "No number in a store is.")
            elif argument is not None:
                check_text(argument)


@functools.lru_cache(500)
def _ids_in(text: str) -> frozenset[int]:
    """The places of the parameters that ids are compared with. SQLite would compare a number, too, and find nothing."""
    return frozenset(map(int, _COMPARED_ID.findall(text)))


def check_text(text: object) -> None:
    """Refuse what is no text, or one that no store can look up. Raises `InvalidInput`."""
    if not isinstance(text, str):
        raise InvalidInput(f"{text!r} is {type(text).__name__}, not str", "Give ids and names as texts.")
    if "\0" in text:
        raise InvalidInput(f"{text!r} contains a NUL character", "No id in a store has one.")

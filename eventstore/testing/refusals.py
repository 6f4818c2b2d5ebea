"""What no log takes: it is refused whole, before anything is written, and the log goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from eventstore.errors import InvalidInput, TooLarge
from eventstore.log import EXISTS, PURGES, Append, Checkpoint, Log
from eventstore.testing.opening import Opening, event, events, unchanged, write
from eventstore.validate import MAX_COMMIT_BYTES, MAX_DATA_BYTES, MAX_ID_BYTES, MAX_META_BYTES, MAX_NUMBER

IMPOSSIBLE_NAMES: dict[str, Any] = {
    "empty": "",
    "a NUL": "run\0",
    "a lone surrogate": "run\ud800",
    "too long": "r" * (MAX_ID_BYTES + 1),
    "too long in UTF-8": "é" * (MAX_ID_BYTES // 2 + 1),
    "bytes": b"run",
    "a number": 7,
    "nothing": None,
}
IMPOSSIBLE_FIELDS: dict[str, dict[str, Any]] = {
    "an id that is text": {"id": "0198c5a0-0000-7000-8000-000000000000"},
    "no id": {"id": None},
    "data that is text": {"data": "{}"},
    "data that can change": {"data": bytearray(b"{}")},
    "data that is not encoded": {"data": {"node": "a"}},
    "a schema version of zero": {"schema": 0},
    "a schema version that is text": {"schema": "1"},
    "half a schema version": {"schema": 1.5},
    "a schema version that is a truth value": {"schema": True},
    "a schema version beyond 64 bits": {"schema": MAX_NUMBER + 1},
    "a time without a zone": {"time": datetime(2026, 2, 3, 4, 5)},
    "a time that is text": {"time": "2026-02-03T04:05:00Z"},
    "a time before the year 1 in UTC": {"time": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
    "a time after the year 9999 in UTC": {"time": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=1)))},
    "no meta": {"meta": None},
    "meta that is not a mapping": {"meta": [("actor", "ada")]},
    "a meta value that is a number": {"meta": {"attempt": 1}},
    "a meta key that is a number": {"meta": {1: "attempt"}},
    "a meta value with a NUL": {"meta": {"actor": "a\0da"}},
    "a meta key with a lone surrogate": {"meta": {"\udfff": "ada"}},
}
IMPOSSIBLE_COMMITS: dict[str, Callable[[], Any]] = {
    "an entry by itself": lambda: Append("a", events(1)),
    "an iterator": lambda: (Append("a", [each]) for each in events(1)),
    "events by themselves": lambda: events(1),
    "an iterator of events": lambda: [_append("a", iter(events(1)))],
    "data by itself": lambda: [_append("a", [b"{}"])],
    "text for events": lambda: [_append("a", "{}")],
}
IMPOSSIBLE_VERSIONS: dict[str, Any] = {
    "negative": -1,
    "nothing": None,
    "text": "0",
    "a truth value": False,
    "a fraction": 0.0,
    "beyond 64 bits": MAX_NUMBER + 1,
}
IMPOSSIBLE_CHECKPOINTS: dict[str, dict[str, Any]] = {
    "no name": {"name": ""},
    "a name that is a number": {"name": 1},
    "a negative position": {"position": -1},
    "no position": {"position": None},
    "a position beyond 64 bits": {"position": MAX_NUMBER + 1},
    "a previous position that is text": {"previous": "0"},
    "an expectation that is for streams": {"previous": EXISTS},
}

_append: Any = Append


def _each(cases: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("wrong", [pytest.param(case, id=why) for why, case in cases.items()])


class Refusals(Opening):
    """Every refusal is an `InvalidInput` or `TooLarge`, and both are ValueErrors."""

    def refuses(self, log: Log, commit: Any, checkpoint: Any = None) -> None:
        """Check that the log takes nothing of this, and everything afterwards."""
        write(log, "a")
        with unchanged(log), pytest.raises((InvalidInput, TooLarge)):
            log.append(commit, checkpoint=checkpoint)
        assert write(log, "a", expected=1).versions["a"] == 2
        assert [e.version for e in log.read("a")] == [1, 2]

    @_each(IMPOSSIBLE_NAMES)
    def test_impossible_stream_ids_are_refused(self, log: Log, wrong: Any) -> None:
        self.refuses(log, [Append("a", events(1)), Append(wrong, events(1))])

    @_each(IMPOSSIBLE_NAMES)
    def test_impossible_stream_ids_are_refused_even_if_they_are_only_checked(self, log: Log, wrong: Any) -> None:
        self.refuses(log, [Append("a", events(1)), Append(wrong, (), 0)])

    @_each(IMPOSSIBLE_NAMES)
    def test_impossible_names_are_refused_by_reads_too(self, log: Log, wrong: Any) -> None:
        """Not every database could even look for them, so no log does."""
        write(log, "a")
        for read in (log.version, log.read, log.checkpoint, log.purge):
            with unchanged(log), pytest.raises((InvalidInput, TooLarge)):
                read(wrong)

    @_each(IMPOSSIBLE_NAMES)
    def test_impossible_event_types_are_refused(self, log: Log, wrong: Any) -> None:
        self.refuses(log, [Append("a", [event(), event(type=wrong)])])

    @_each(IMPOSSIBLE_NAMES)
    def test_impossible_content_types_are_refused(self, log: Log, wrong: Any) -> None:
        self.refuses(log, [Append("a", [event(), event(content_type=wrong)])])

    @_each(IMPOSSIBLE_FIELDS)
    def test_an_event_with_an_impossible_field_is_refused(self, log: Log, wrong: dict[str, Any]) -> None:
        self.refuses(log, [Append("a", [event(), event(**wrong)]), Append("b", events(1))])

    @_each(IMPOSSIBLE_COMMITS)
    def test_what_is_not_a_commit_is_refused(self, log: Log, wrong: Callable[[], Any]) -> None:
        """An iterator above all: it would be empty by the time it was to be written, and nobody would know."""
        self.refuses(log, wrong())

    @_each(IMPOSSIBLE_VERSIONS)
    def test_impossible_expected_versions_are_refused(self, log: Log, wrong: Any) -> None:
        self.refuses(log, [Append("new", events(1), wrong)])
        with pytest.raises(InvalidInput):
            log.purge("a", expected=wrong)

    @_each(IMPOSSIBLE_CHECKPOINTS)
    def test_impossible_checkpoints_are_refused(self, log: Log, wrong: dict[str, Any]) -> None:
        self.refuses(log, [Append("a", events(1))], Checkpoint(**{"name": "views", "position": 1, **wrong}))
        assert log.checkpoint("views") is None

    def test_two_events_with_one_id_are_refused(self, log: Log) -> None:
        first = event(b"1")
        self.refuses(log, [Append("a", [first]), Append("b", [event(b"2", id=first.id)])])

    def test_the_logs_own_stream_cannot_be_appended_to_or_purged(self, log: Log) -> None:
        self.refuses(log, [Append(PURGES, events(1))])
        self.refuses_to_purge(log, PURGES)

    def refuses_to_purge(self, log: Log, stream: str) -> None:
        """Check that this stream is not for its users to remove."""
        write(log, "gone")
        log.purge("gone")
        with unchanged(log), pytest.raises(InvalidInput):
            log.purge(stream)

    def test_data_may_be_as_large_as_the_limit_and_no_larger(self, log: Log) -> None:
        largest = bytes(MAX_DATA_BYTES)
        self.refuses(log, [Append("a", [event(largest + b"!")])])
        log.append([Append("large", [event(largest)])])
        assert next(log.read("large")).data == largest

    def test_meta_may_be_as_large_as_the_limit_and_no_larger(self, log: Log) -> None:
        largest = {"traceparent": "x" * (MAX_META_BYTES - len("traceparent"))}
        self.refuses(log, [Append("a", [event(), event(meta=largest | {"y": ""})])])
        log.append([Append("large", [event(meta=largest)])])
        assert next(log.read("large")).meta == largest

    def test_names_may_be_as_long_as_the_limit(self, log: Log) -> None:
        longest = "é" * (MAX_ID_BYTES // 2)
        log.append([Append(longest, [event(type=longest, content_type=longest)])])
        found = next(log.read(longest))
        assert (found.stream, found.type, found.content_type) == (longest, longest, longest)

    def test_a_commit_larger_than_the_limit_is_refused_whole(self, log: Log) -> None:
        largest = bytes(MAX_DATA_BYTES)
        too_many = MAX_COMMIT_BYTES // MAX_DATA_BYTES + 1
        self.refuses(log, [Append("a", [event(largest) for _ in range(too_many)])])

    def test_numbers_may_have_63_bits(self, log: Log) -> None:
        log.append([Append("a", [event(schema=MAX_NUMBER)])], checkpoint=Checkpoint("views", MAX_NUMBER))
        assert (next(log.read("a")).schema, log.checkpoint("views")) == (MAX_NUMBER, MAX_NUMBER)

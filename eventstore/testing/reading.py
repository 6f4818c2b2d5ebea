"""Reading: forward and backward, in pages, up to an end that is fixed when the call is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

import pytest

from eventstore.errors import InvalidInput
from eventstore.log import PURGES, Append, Log, RecordedEvent
from eventstore.testing.opening import Opening, datas, event, events, write

Read = Callable[..., Iterator[RecordedEvent]]

FAR = 2**70
BOUNDS = (-FAR, -1, 0, 1, 2, 3, 5, 7, 8, 9, FAR)


def mixed(log: Log) -> None:
    """Fill the log with commits over one, two and three streams, and two types, with a hole in the middle."""
    write(log, "a", 2)
    log.append([Append("b", [event(type="ended")]), Append("a", events(1))])
    write(log, "gone", 2)
    log.append([Append("c", [event(type="ended")]), Append("b", events(1)), Append("c", events(2))])
    write(log, "a", 1)
    log.purge("gone")


def pages(read: Read, number: Callable[[RecordedEvent], int], size: int) -> list[RecordedEvent]:
    """All that is read forward, in pages of this size."""
    found: list[RecordedEvent] = []
    while page := list(read(after=number(found[-1]) if found else 0, limit=size)):
        assert not found or number(page[0]) > number(found[-1])
        found += page
    return found


def pages_backward(read: Read, number: Callable[[RecordedEvent], int], size: int) -> list[RecordedEvent]:
    """All that is read backward, in pages of this size."""
    found: list[RecordedEvent] = []
    while page := list(read(until=number(found[-1]) - 1 if found else None, limit=size, backward=True)):
        assert not found or number(page[0]) < number(found[-1])
        found += page
    return found


def version(event: RecordedEvent) -> int:
    """An event's place in its stream."""
    return event.version


def position(event: RecordedEvent) -> int:
    """An event's place in the whole log."""
    return event.position


class Reading(Opening):
    """A read is a finite look at what was there when it was asked for."""

    def test_an_unknown_stream_is_empty(self, log: Log) -> None:
        write(log, "a")
        assert list(log.read("b")) == list(log.read("b", backward=True)) == list(log.read("A")) == []

    def test_a_streams_events_are_those_within_the_bounds(self, log: Log) -> None:
        mixed(log)
        everything = list(log.read("a"))
        assert [e.version for e in everything] == [1, 2, 3, 4]
        for after, until, backward, limit in product(BOUNDS, (None, *BOUNDS), (False, True), (None, 0, 1, 3, 9)):
            inside = [e for e in everything if after < e.version and (until is None or e.version <= until)]
            expected = (inside[::-1] if backward else inside)[:limit]
            assert list(log.read("a", after=after, until=until, backward=backward, limit=limit)) == expected

    def test_the_whole_logs_events_are_those_within_the_bounds_and_of_the_types_and_streams(self, log: Log) -> None:
        mixed(log)
        everything = list(log.read_all())
        edges = sorted({0, FAR} | {e.position + step for e in everything for step in (-1, 0)})
        for after, until, backward, limit in product((-1, *edges), (None, *edges[::3]), (False, True), (None, 0, 1, 4)):
            for types, streams in (
                (None, None),
                ({"ended"}, None),
                (["ended", "noted"], {"a", "c"}),
                (("unknown",), None),
                ((), ["a"]),
                (None, ["c"]),
                ({"ended"}, ("b", "unknown")),
                (None, ()),
            ):
                inside = [
                    e
                    for e in everything
                    if after < e.position
                    and (until is None or e.position <= until)
                    and (types is None or e.type in types)
                    and (streams is None or e.stream in streams)
                ]
                expected = (inside[::-1] if backward else inside)[:limit]
                found = log.read_all(
                    after=after, until=until, backward=backward, types=types, streams=streams, limit=limit
                )
                assert list(found) == expected

    @pytest.mark.parametrize("size", [1, 2, 1000])
    def test_pages_of_any_size_give_the_same_events(self, log: Log, size: int) -> None:
        for count in (1, 2, 30, 58) * 11:
            log.append([Append("a", events(count)), Append("b", events(count // 10))])

        def read(**bounds: Any) -> Iterator[RecordedEvent]:
            return log.read("a", **bounds)

        for reading, number in ((read, version), (log.read_all, position)):
            everything = list(reading())
            assert everything == sorted(everything, key=number)
            assert pages(reading, number, size) == everything
            assert pages_backward(reading, number, size) == everything[::-1]
        assert log.version("a") == 1001

    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    def test_pages_cross_the_gaps_that_purges_leave(self, log: Log, size: int) -> None:
        for number in range(30):
            log.append([Append(f"gone-{number % 3}", events(2)), Append("kept", events(1))])
        log.append([Append("gone-0", events(600))])
        write(log, "kept")
        kept = list(log.read("kept"))
        for number in range(3):
            log.purge(f"gone-{number}")

        everything = pages(log.read_all, position, size)

        assert [e for e in everything if e.stream != PURGES] == kept
        assert pages_backward(log.read_all, position, size) == everything[::-1]
        assert list(log.read("kept")) == kept

    def test_a_negative_limit_is_an_error_and_not_everything(self, log: Log) -> None:
        write(log, "a")
        with pytest.raises(InvalidInput):
            log.read("a", limit=-1)
        with pytest.raises(InvalidInput):
            log.read_all(limit=-1)
        with pytest.raises(InvalidInput):
            log.read_all(limit=2**63)

    @pytest.mark.parametrize("name", ["", "\ud800", "a\0b", 1])
    def test_names_that_no_event_can_have_are_refused_when_the_read_is_asked_for(self, log: Log, name: Any) -> None:
        with pytest.raises(InvalidInput):
            log.read(name)
        with pytest.raises(InvalidInput):
            log.read_all(types=[name])
        with pytest.raises(InvalidInput):
            log.read_all(streams=[name])

    @pytest.mark.parametrize("bound", ["after", "until", "limit"])
    @pytest.mark.parametrize("value", ["1", 1.5, [1]])
    def test_bounds_that_are_no_numbers_are_refused_when_the_read_is_asked_for(
        self, log: Log, bound: str, value: Any
    ) -> None:
        with pytest.raises(InvalidInput):
            log.read("a", **{bound: value})
        with pytest.raises(InvalidInput):
            log.read_all(**{bound: value})

    @pytest.mark.parametrize("value", [1, 10**30, "yes", None])
    def test_backward_is_no_number_of_events(self, log: Log, value: Any) -> None:
        with pytest.raises(InvalidInput, match="backward"):
            log.read("a", backward=value)
        with pytest.raises(InvalidInput, match="backward"):
            log.read_all(backward=value)

    @pytest.mark.parametrize("value", ["noted", b"noted", 7])
    def test_one_type_or_stream_where_several_can_be_given_is_refused(self, log: Log, value: Any) -> None:
        with pytest.raises(InvalidInput):
            log.read_all(types=value)
        with pytest.raises(InvalidInput):
            log.read_all(streams=value)

    @pytest.mark.parametrize("begun", [False, True])
    def test_a_read_never_shows_what_is_appended_after_it_was_asked_for(self, log: Log, begun: bool) -> None:
        write(log, "a", 3)
        readers = [
            reader
            for backward in (False, True)
            for until in (None, FAR)
            for reader in (
                log.read("a", until=until, backward=backward),
                log.read_all(until=until, backward=backward),
                log.read_all(until=until, backward=backward, types=["noted"]),
            )
        ]
        expected = [[1, 2, 3]] * 6 + [[3, 2, 1]] * 6
        seen = [[next(reader).version] if begun else [] for reader in readers]
        for _ in range(20):
            write(log, "a", 2)

        assert [[*first, *(e.version for e in rest)] for first, rest in zip(seen, readers, strict=True)] == expected

    def test_a_read_of_an_unknown_stream_stays_empty_when_the_stream_is_made(self, log: Log) -> None:
        reader = log.read("a")
        write(log, "a")
        assert list(reader) == []

    def test_a_reader_that_appends_for_every_event_comes_to_an_end(self, log: Log) -> None:
        write(log, "a", 50)
        for found in islice(log.read_all(), 100):
            log.append([Append("copies", [event(found.data)])])
        assert datas(log.read("copies")) == datas(log.read("a"))

    def test_a_reader_that_stops_early_leaves_nothing_behind(self, log: Log) -> None:
        write(log, "a", 20)
        for _ in range(20):
            assert next(log.read("a")).version == 1
            assert next(log.read_all(backward=True)).version == 20
        assert write(log, "a", expected=20).versions["a"] == 21

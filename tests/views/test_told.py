"""What has been told and not been taken: a shortcut past the log, never more than it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventstore.log import ANY, Append, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from projections import told
from projections.told import Told


@pytest.fixture
def events() -> Sequence[RecordedEvent]:
    log = MemoryLog()
    log.append([Append("s", [NewEvent(type="noted", data=b"x" * 10) for _ in range(9)], ANY)])
    return list(log.read_all())


def test_commits_that_follow_one_another_are_taken_together_and_once(events: Sequence[RecordedEvent]) -> None:
    known = Told()
    known.add(events[2:4])
    known.add(events[4:5])
    assert list(known.take(after=2)) == list(events[2:5])
    assert not known
    assert list(known.take(after=2)) == []


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_what_does_not_follow_the_tables_is_forgotten(events: Sequence[RecordedEvent], after: int) -> None:
    known = Told()
    known.add(events[2:5])
    assert list(known.take(after)) == []
    assert not known


def test_what_others_have_written_between_makes_it_forget_all_before(events: Sequence[RecordedEvent]) -> None:
    known = Told()
    known.add(events[:2])
    known.add(events[3:5])
    assert list(known.take(after=3)) == list(events[3:5])


@pytest.mark.parametrize("limit", ["MANY_EVENTS", "MANY_BYTES"])
def test_it_never_holds_more_than_so_much(
    events: Sequence[RecordedEvent], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, limit, 3 if limit == "MANY_EVENTS" else 30)
    known = Told()
    known.add(events[:2])
    known.add(events[2:4])
    assert list(known.take(after=2)) == list(events[2:4])
    known.add(events[4:8])
    assert not known

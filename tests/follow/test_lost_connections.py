"""A follower whose log cannot be reached for a while goes on where it was; a system that tells nothing is asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import pytest

from eventstore.errors import Unavailable
from eventstore.follow import follow
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Log, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from eventstore.sqlite import SqliteLog


class Flaky(MemoryLog):
    """A memory log that is lost after every three events, and whenever it is asked twice where it ends."""

    lost = asked = 0

    def read_all(self, **bounds: Any) -> Iterator[RecordedEvent]:
        """Break off after three events."""
        for number, event in enumerate(super().read_all(**bounds)):
            if number == 3:
                self._lose()
            yield event

    def head(self) -> int:
        """Fail every other time."""
        self.asked += 1
        if self.asked % 2:
            self._lose()
        return super().head()

    def _lose(self) -> None:
        self.lost += 1
        raise Unavailable("the connection is lost")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.follow._PAUSE_SECONDS", 0)


def append(log: Log, count: int = 1) -> None:
    for number in range(count):
        log.append([Append("a", [NewEvent(type="noted", data=b"%d" % number)])])


def test_a_log_that_is_lost_again_and_again_is_followed_without_loss_or_repetition() -> None:
    log = Flaky()
    append(log, 20)
    with follow(log) as follower:
        assert list(islice(follower, 20)) == list(log.read("a"))
        append(log, 2)
        assert list(islice(follower, 2)) == list(log.read("a", after=20))
    assert log.lost > 6


def test_a_log_that_stays_lost_is_given_up_and_followed_again_later() -> None:
    log = Flaky()
    append(log, 5)
    with follow(log, patience=0) as follower:
        with pytest.raises(Unavailable):
            follower.next()
        found = list(islice(follower, 3))
        with pytest.raises(Unavailable):
            follower.next()
        assert [*found, *islice(follower, 2)] == list(log.read("a"))


def test_a_follower_of_a_lost_log_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    log = MemoryLog()

    def lose() -> int:
        follower.close()
        raise Unavailable("the connection is lost")

    with follow(log) as follower:
        monkeypatch.setattr(log, "head", lose)
        assert list(follower) == []


def test_a_long_log_is_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.follow._AT_ONCE", 4)
    log = MemoryLog()
    append(log, 30)
    log.append([Append("b", [NewEvent(type="noted", data=b"")])])
    with follow(log, streams=["b"]) as follower:
        assert follower.next(timeout=0) == next(log.read("b"))
        assert follower.next(timeout=0) is None
        assert follower.position == log.head()


@pytest.mark.parametrize("kind", [JsonlLog, SqliteLog])
def test_where_the_system_has_no_watches_left_the_log_is_asked(
    kind: type[JsonlLog | SqliteLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.watch", refuse)
    one, other = kind(tmp_path / "store"), kind(tmp_path / "store")
    try:
        with follow(one) as follower:
            assert follower.next(timeout=0.1) is None
            append(other)
            assert follower.next(timeout=60) == next(other.read("a"))
    finally:
        one.close()
        other.close()

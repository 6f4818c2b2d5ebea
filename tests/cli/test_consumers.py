"""`eventstore consumers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from eventstore.consumer import Consumer
from eventstore.hold import worker
from eventstore.log import Append, Log, NewEvent, RecordedEvent
from projections import open_store

from .conftest import Run


def fail_on(data: bytes, given: Sequence[RecordedEvent]) -> Iterator[Append]:
    if data in [event.data for event in given]:
        raise ValueError("cannot take \x1b[31m it")
    yield from ()


def consume(log: Log, name: str, data: bytes) -> None:
    with Consumer(log, name, lambda given: fail_on(data, given), types=["tests.noted"]) as consumer:
        consumer.catch_up()


@pytest.fixture
def with_consumers(place: str) -> str:
    """The example, which has a consumer `reader`, with one that is done, and one that fails on its second event."""
    with open_store(place, durability="none") as store:
        events = [NewEvent(type="tests.noted", data=data) for data in (b"1", b"2")]
        store.log.append([Append("$work", events)])
        consume(store.log, "done", b"")
        with pytest.raises(ValueError, match="cannot take"):
            consume(store.log, "stuck", b"2")
    return place


def test_a_store_without_consumers_has_none_to_list(run: Run, tmp_path: Path) -> None:
    open_store(tmp_path / "empty.db").close()
    run = partial(run, "consumers", "-s", tmp_path / "empty.db")
    assert run().text == ["NAME  CHECKPOINT  LAG  RUN BY  STUCK AT  ERROR"]
    assert run("-o", "json").json == run("-o", "jsonl").jsonl == []


def test_consumers_are_listed_with_what_they_fail_on(run: Run, with_consumers: str) -> None:
    done, _, stuck = listed = run("consumers", "-s", with_consumers, "-o", "json").json
    assert (done["name"], done["stuck_at"]) == ("done", None)
    assert (stuck["name"], stuck["stuck_at"]) == ("stuck", stuck["checkpoint"] + 1)
    assert run("consumers", "-s", with_consumers, "-o", "jsonl").jsonl == listed
    _, first, _, second = run("consumers", "-s", with_consumers).text
    assert first.split() == ["done", str(done["checkpoint"]), "1", "nobody"]
    assert second.split()[:5] == ["stuck", str(stuck["checkpoint"]), "2", "nobody", str(stuck["stuck_at"])]
    assert second.endswith(r"ValueError: cannot take \x1b[31m it")


def test_one_consumer_is_told_of_with_what_to_do(run: Run, with_consumers: str) -> None:
    found = run("consumers", "stuck", "-s", with_consumers, "-o", "json").json
    text = run("consumers", "stuck", "-s", with_consumers).text
    assert f"stuck at    {found['stuck_at']}" in text
    assert "stream      $work" in text
    assert text[-1] == found["advice"]
    assert "Mend the handler" in text[-1]


def test_who_runs_a_consumer_is_told(run: Run, with_consumers: str) -> None:
    assert run("consumers", "done", "-s", with_consumers).text[-1] == "Nobody runs it, unless with catch_up: run it."
    with open_store(with_consumers) as store, store.log.hold("done"):
        found = run("consumers", "done", "-s", with_consumers, "-o", "json").json
        assert found["holder"] == worker()
        assert found["holder"] in found["advice"]
    with open_store(with_consumers) as store:
        assert store.verify().clean


def test_a_consumer_that_nobody_knows_is_not_found(run: Run, address: str) -> None:
    ended = run("consumers", "nobody", "-s", address)
    assert (ended.code, ended.out) == (3, "")
    assert "eventstore consumers" in ended.err

"""What is no history of Temporal is refused, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.errors import InvalidInput
from projections import Store, open_store
from projections.import_temporal import import_temporal
from tests.histories import DECIDED, EVENTS, HISTORY, START, WALK, Told, events_of


@pytest.fixture
def store() -> Iterator[Store]:
    """What is refused, is refused before the store is looked at, so any will do."""
    with open_store("memory:") as opened:
        yield opened


FOREVER: Told = ("ACTIVITY_TASK_STARTED", {"scheduledEventId": "5", "attempt": 2**31 - 1})
STARTED: Told = ("ACTIVITY_TASK_STARTED", {"scheduledEventId": "5", "attempt": 1})
TIMER = {"timerId": "1", "workflowTaskCompletedEventId": "4"}
LARGE = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MTEx" * 50_000}]}


def history(*told: Told) -> bytes:
    return json.dumps({"events": events_of(*told)}).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "cut short, or not JSON at all"),
    "text": (b"Dear reader,", "cut short, or not JSON at all"),
    "another format": (b'{"jobs": {}}', "not a history of Temporal"),
    "numbers": (b"[1, 2]", "not a history of Temporal"),
    "no events": (b'{"events": []}', "has no events"),
    "cut short": (HISTORY.read_bytes()[:2000], "cut short"),
    "cut short and compressed": (gzip.compress(HISTORY.read_bytes())[:-20], "its gzip stream has no end"),
    "no UTF-8": (HISTORY.read_bytes().replace(b"FirePots", b"Fire\xff"), "not JSON"),
    "too deep": (b"[" * 200 + b"]" * 200, "nested deeper than 128 levels"),
    "without its start": (json.dumps(EVENTS[1:]).encode(), "event 2 stands where event 1 should"),
    "with a hole": (json.dumps(EVENTS[:3] + EVENTS[4:]).encode(), "event 5 stands where event 4 should"),
    "another beginning": (history(*DECIDED), "not with 'workflowExecutionStarted'"),
    "two executions": (
        history(START, ("WORKFLOW_EXECUTION_COMPLETED", {}), *DECIDED),
        "goes on with another execution after event 2",
    ),
    "two beginnings": (history(START, *DECIDED, START), "goes on with another execution after event 4"),
    "no such type": (history(("../TYPE", {})), "event 1 has the type 'EVENT_TYPE_../TYPE'"),
    "a type that is a number": (b'[{"eventId": 1, "eventTime": "2025-04-05T08:00:00Z", "eventType": 1}]', "eventType"),
    "no zone": (json.dumps(EVENTS).replace("125Z", "125").encode(), "without a zone"),
    "no time of ours": (history(START).replace(b"2025-04-05T08:00:01+00", b"0001-01-01T00:00:00+09"), "out of range"),
    "not as written": (history((START[0], {"workflowType": "Stroll"})), "event 1 is not as Temporal writes it"),
    "a stranger": (history(START, *DECIDED, STARTED), "an activity of event 5, which has none"),
    "started twice": (history(START, *DECIDED, WALK, STARTED, STARTED), "starts an activity that is running"),
    "attempts for ever": (history(START, *DECIDED, WALK, FOREVER), "implies 2,147,483,646 attempts"),
    "a timer of no length": (history(START, *DECIDED, ("TIMER_STARTED", TIMER)), "starts a timer of ''"),
    "an activity without id": (history(START, *DECIDED, ("ACTIVITY_TASK_SCHEDULED", {})), "activity id is empty"),
    "a run id with a NUL": (history((START[0], {"originalExecutionRunId": "\0"})), "NUL"),
    "a name too long": (history((START[0], {"workflowType": {"name": "x" * 2_000}})), "event 1"),
    "much, and then nonsense": (history((START[0], {"input": LARGE}), STARTED), "an activity of event 5"),
    "too much for one event": (history((START[0], {"header": "h" * 17_000_000})), "the limit is 16,777,216"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_is_refused_with_its_name_and_what_is_wrong(
    store: Store, tmp_path: Path, content: bytes, reason: str
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        import_temporal(store, bad)
    text = str(caught.value)
    assert text.startswith(f"{bad}: ")
    assert reason in text
    assert "\n" not in text
    assert len(text) < len(str(bad)) + 500
    assert caught.value.hint
    assert store.log.head() == 0


@pytest.mark.parametrize("bad", ["cut short", "much, and then nonsense", "too much for one event"])
def test_a_bad_file_leaves_nothing_behind(tmp_path: Path, bad: str) -> None:
    path, folder = tmp_path / "bad.json", tmp_path / "store"
    path.write_bytes(BAD[bad][0])
    with open_store(folder, durability="none") as store:
        import_temporal(store, HISTORY)
        before = store.log.head(), sorted(os.walk(folder))
        with pytest.raises(InvalidInput):
            import_temporal(store, path)
        assert (store.log.head(), sorted(os.walk(folder))) == before
        assert store.verify().clean


def test_a_file_that_grows_without_end_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.temporal.MAX_HISTORY_BYTES", 2_000_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b" " * 3_000_000))
    with open_store("memory:") as store, pytest.raises(InvalidInput, match="larger than 2,000,000 bytes"):
        import_temporal(store, path)


def test_a_file_that_is_not_there_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        import_temporal(store, tmp_path / "none.json")

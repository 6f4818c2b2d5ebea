"""Status and metadata of a run in one commit: what is new is noted, and what is set for good stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from eventstore.errors import ClaimHeld, Conflict, Fenced, InvalidInput, InvalidTransition, InvalidValue, NotFound
from eventstore.events import RunUpdated
from projections import Run, Store
from tests.commands.test_concurrency import WORKERS, at_once
from tests.stores import Clock, check_views, run_of

Given = dict[str, Any]

REACH: dict[str, Callable[[Store], object]] = {
    "pending": lambda store: store.create_run("flow", run_id="run"),
    "running": lambda store: run_of(store),
    "waiting": lambda store: store.wait_run(run_of(store), "approval"),
    "completed": lambda store: store.complete_run(run_of(store), "done"),
    "failed": lambda store: store.fail_run(run_of(store), "broken"),
    "cancelled": lambda store: store.cancel_run(run_of(store), "enough"),
}
TO: dict[str, Given] = {
    "pending": {},
    "running": {"worker": "first"},
    "waiting": {"reason": "approval"},
    "completed": {"output": "done"},
    "failed": {"error": "broken"},
    "cancelled": {"reason": "enough"},
}
ALLOWED = {
    ("pending", "running"),
    ("pending", "failed"),
    ("pending", "cancelled"),
    ("running", "waiting"),
    ("running", "completed"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("waiting", "running"),
    ("waiting", "completed"),
    ("waiting", "failed"),
    ("waiting", "cancelled"),
    ("failed", "running"),
}
PAIRS = [(current, wanted) for current in REACH for wanted in TO]
ENDS = ("completed", "failed", "cancelled")


def types_after(store: Store, version: int) -> list[str]:
    return [event.type for event in store.log.read("run", after=version)]


@pytest.mark.parametrize(("current", "wanted"), sorted(ALLOWED))
def test_a_status_and_metadata_change_in_one_commit(store: Store, current: str, wanted: str) -> None:
    REACH[current](store)
    version = store.log.version("run")
    run = store.update_run("run", status=wanted, metadata={"by": "me"}, **TO[wanted])
    assert (run.status, run.metadata) == (wanted, {"by": "me"})
    assert run == store.get_run("run")
    events = list(store.log.read("run", after=version))
    assert events[0].type == "runUpdated"
    assert len(events) == 2
    assert len({event.commit for event in events}) == 1


@pytest.mark.parametrize("status", REACH)
@pytest.mark.parametrize("detailed", [False, True])
def test_the_status_that_a_run_has_is_no_event(store: Store, status: str, detailed: bool) -> None:
    REACH[status](store)
    before = store.log.head(), store.get_run("run")
    store.update_run("run", status=status, **(TO[status] if detailed else {}))
    assert (store.log.head(), store.get_run("run")) == before


@pytest.mark.parametrize(("current", "wanted"), [p for p in PAIRS if p not in ALLOWED and p[0] != p[1]])
def test_a_forbidden_step_says_what_is_allowed_and_changes_no_metadata_either(
    store: Store, current: str, wanted: str
) -> None:
    REACH[current](store)
    before = store.log.head(), store.get_run("run")
    with pytest.raises(InvalidTransition) as caught:
        store.update_run("run", status=wanted, metadata={"by": "me"}, **TO[wanted])
    assert caught.value.current == current
    assert (store.log.head(), store.get_run("run")) == before


CONTRADICTIONS: dict[str, tuple[Given, type[Conflict]]] = {
    "running": ({"worker": "other"}, ClaimHeld),
    "waiting": ({"reason": "a signal"}, InvalidTransition),
    "completed": ({"output": "other"}, Conflict),
    "failed": ({"error": "other"}, Conflict),
}


@pytest.mark.parametrize("status", CONTRADICTIONS)
def test_the_status_that_a_run_has_with_something_else_to_say_is_refused(store: Store, status: str) -> None:
    REACH[status](store)
    before = store.log.head()
    given, error = CONTRADICTIONS[status]
    with pytest.raises(error):
        store.update_run("run", status=status, **given)
    assert store.log.head() == before


MEANINGLESS: list[Given] = [
    {"status": "done"},
    {"status": "failed", "output": 1},
    {"output": 1},
    {"status": "completed", "error": "no"},
    {"status": "running", "reason": "why not"},
    {"status": "waiting", "lease": 10},
    {"worker": "me"},
    {"status": "failed"},
]


@pytest.mark.parametrize("given", MEANINGLESS)
def test_what_would_be_lost_or_is_missing_is_refused(store: Store, given: Given) -> None:
    run_of(store)
    with pytest.raises(InvalidInput):
        store.update_run("run", metadata={"a": 1}, **given)
    assert store.log.head() == 2


def test_a_run_is_begun_and_taken_up_again_with_a_new_claim_each_time(store: Store, clock: Clock) -> None:
    store.create_run("flow", run_id="run")
    started = store.update_run("run", status="running", worker="w", lease=60)
    assert (started.epoch, started.worker) == (1, "w")
    assert started.lease_until is not None
    assert timedelta(seconds=55) < started.lease_until - clock.time < timedelta(seconds=60)
    store.schedule_task("run", "a")
    store.start_task("run", "a")
    store.update_run("run", status="waiting", reason="approval", epoch=1)
    with pytest.raises(ClaimHeld):
        store.update_run("run", status="running", worker="other")
    resumed = store.update_run("run", status="running", worker="w", epoch=1)
    assert (resumed.status, resumed.epoch, resumed.waiting_reason) == ("running", 2, None)
    assert types_after(store, store.log.version("run") - 2) == ["runResumed", "taskRunInterrupted"]
    with pytest.raises(Fenced):
        store.update_run("run", metadata={"late": True}, epoch=1)


def test_an_update_to_an_end_ends_what_the_command_for_it_would(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    with pytest.raises(Conflict, match="running tasks"):
        store.update_run("run", status="completed")
    store.update_run("run", status="failed", error=ValueError("no"))
    assert [attempt.status for attempt in store.list_attempts("run")] == ["interrupted"]


def test_metadata_are_replaced_at_the_top_level_and_kept_whole(store: Store) -> None:
    store.create_run("flow", run_id="run", metadata={"tags": ["a"], "nested": {"x": 1, "y": 2}, "kept": 1})
    new: Any = {"nested": {"x": 3}, "new": None, 7: "seven"}
    run = store.update_run("run", metadata=new)
    assert run.metadata == {"tags": ["a"], "nested": {"x": 3}, "kept": 1, "new": None, "7": "seven"}
    (event,) = store.log.read("run", after=1)
    decoded = store.codec.decode(event)
    assert isinstance(decoded, RunUpdated)
    assert bytes(decoded.metadata) == b'{"tags":["a"],"nested":{"x":3},"kept":1,"new":null,"7":"seven"}'
    assert store.list_runs(metadata={"new": None, "kept": 1}) == [run]
    assert store.list_runs(metadata={"nested": {"x": 1, "y": 2}}) == []
    check_views(store)


@pytest.mark.parametrize(
    "given", [{}, {"metadata": {}}, {"metadata": {"b": {"y": 1, "x": 2}}}, {"write_once": {"c": 1}}]
)
def test_an_update_that_says_nothing_new_is_no_event(store: Store, given: Given) -> None:
    store.create_run("flow", run_id="run", metadata={"a": 1, "b": {"x": 2, "y": 1}})
    before = store.update_run("run", write_once={"c": 1})
    assert store.update_run("run", **given) == before
    assert store.log.head() == 2


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0, False), ([1], [True]), (None, 0), ("1", 1)])
def test_values_that_only_python_calls_equal_are_different_metadata(store: Store, old: object, new: object) -> None:
    store.create_run("flow", run_id="run", metadata={"a": old})
    run = store.update_run("run", metadata={"a": new})
    assert repr(run.metadata) == repr({"a": new})
    store.update_run("run", write_once={"a": new})
    with pytest.raises(Conflict):
        store.update_run("run", metadata={"a": old})


def test_what_was_set_once_stays_whoever_sets_it_again(store: Store) -> None:
    store.create_run("flow", run_id="run", metadata={"commit": "unknown"})
    run = store.update_run("run", write_once={"commit": "abc"}, metadata={"other": 1})
    assert (run.metadata, run.write_once) == ({"commit": "abc", "other": 1}, ("commit",))
    head = store.log.head()
    assert store.update_run("run", metadata={"commit": "abc"}, write_once={"commit": "abc"}) == run
    for given in ({"metadata": {"commit": "def"}}, {"write_once": {"commit": None}}):
        with pytest.raises(Conflict, match="'commit'"):
            store.update_run("run", **given)
    assert store.log.head() == head
    assert store.update_run("run", write_once={"seed": 7}).write_once == ("commit", "seed")
    assert store.update_run("run", metadata={"other": 2}).write_once == ("commit", "seed")
    check_views(store)


def test_one_key_with_two_values_in_one_update_is_a_conflict(store: Store) -> None:
    store.create_run("flow", run_id="run")
    with pytest.raises(Conflict, match="'a'"):
        store.update_run("run", metadata={"a": 1}, write_once={"a": 2})
    assert store.log.head() == 1


def test_of_many_that_set_a_key_once_one_wins(store: Store) -> None:
    store.create_run("flow", run_id="run")
    results = at_once(*(partial(store.update_run, "run", write_once={"winner": n}) for n in range(WORKERS)))
    (won,) = [result for result in results if isinstance(result, Run)]
    assert store.get_run("run") == won


def test_of_many_that_set_different_keys_all_are_heard(store: Store) -> None:
    store.create_run("flow", run_id="run")
    at_once(*(partial(store.update_run, "run", metadata={str(n): n}) for n in range(WORKERS)))
    run = store.get_run("run")
    assert run is not None
    assert run.metadata == {str(n): n for n in range(WORKERS)}


def test_a_run_whose_metadata_have_changed_is_still_the_run_that_was_created(store: Store) -> None:
    create = partial(store.create_run, "flow", run_id="run", metadata={"a": 1, "text": "a\0b"}, user_message="\0")
    create()
    run = store.update_run("run", metadata={"a": 2, "b": 3})
    assert create() == run
    with pytest.raises(Conflict, match="other content"):
        store.create_run("flow", run_id="run", metadata={"a": 2, "b": 3}, user_message="\0")
    assert store.log.head() == 2


@pytest.mark.parametrize("end", ENDS)
def test_metadata_can_still_be_set_when_a_run_has_ended(store: Store, end: str) -> None:
    REACH[end](store)
    run = store.update_run("run", metadata={"rating": 5}, write_once={"seen": True})
    assert (run.status, run.metadata) == (end, {"rating": 5, "seen": True})


def test_a_run_that_is_deleted_or_unknown_cannot_be_updated(store: Store) -> None:
    with pytest.raises(NotFound):
        store.update_run("run", metadata={"a": 1})
    store.delete_run(run_of(store), force=True)
    head = store.log.head()
    for given in ({"metadata": {"a": 1}}, {"status": "cancelled"}, {}):
        with pytest.raises(NotFound):
            store.update_run("run", **given)
    assert store.log.head() == head


@pytest.mark.parametrize("bad", [math.nan, {1, 2}, object(), 2**64, "\udc80", b"bytes"])
@pytest.mark.parametrize("argument", ["metadata", "write_once"])
def test_metadata_that_cannot_be_kept_are_refused_and_the_status_stays(
    store: Store, argument: str, bad: object
) -> None:
    run_of(store)
    given: Given = {argument: {"m": bad}}
    with pytest.raises(InvalidValue):
        store.update_run("run", status="completed", **given)
    assert store.log.head() == 2


def test_what_a_view_cannot_show_is_still_kept_when_other_metadata_change(store: Store) -> None:
    store.create_run("flow", run_id="run", metadata={"text": "a\0b"})
    for key in ("x", "y"):
        store.update_run("run", metadata={key: 1}, write_once={"key\0": "a\0b"})
    last = next(store.log.read("run", backward=True))
    assert store.log.version("run") == 3
    assert last.data.count(rb"a\u0000b") == 2
    with pytest.raises(Conflict):
        store.update_run("run", metadata={"key\0": "a\ufffdb"})

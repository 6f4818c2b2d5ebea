"""The outputs that a resumed run goes on with are those of its log, at once and exactly, or an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.blobs import MemoryBlobs, digest_of
from eventstore.errors import TooLarge
from eventstore.events import RunEvent, TaskRunCompleted, TaskRunStarted
from eventstore.log import Append
from eventstore.payload import Value, Values
from eventstore.sql_log import SqlLog
from eventstore.values import MAX_DEPTH
from projections import Store
from projections.outputs import reusable_values
from projections.resume import stale_outputs
from projections.rows import Output
from projections.tables import DamagedViews
from tests.stores import completed, examples, run_of


@contextmanager
def without_views(store: Store) -> Iterator[None]:
    """What is appended inside, no views are told of."""
    log = store.log
    hook, log.hook = log.hook, None
    inline = log.inline if isinstance(log, SqlLog) else None
    if isinstance(log, SqlLog):
        log.inline = None
    yield
    log.hook = hook
    if isinstance(log, SqlLog):
        log.inline = inline


def append(store: Store, events: Iterable[RunEvent]) -> None:
    """As another program does."""
    store.log.append([Append("run", [store.codec.encode(event) for event in events])])


def nested(depth: int) -> Value:
    """A list in a list, and so on, of more than two characters each level."""
    data = b"[ " * depth + b" ]" * depth
    return Value(digest_of(data), len(data), json=msgspec.Raw(data))


def test_a_completion_that_the_views_were_not_told_of_is_among_the_outputs_at_once(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", 1)
    assert store.get_completed_node_outputs("run") == {"a": 1}
    with without_views(store):
        append(store, [TaskRunStarted("b", 1), TaskRunCompleted("b", 1, store.values.keep(2))])
    assert store.get_completed_node_outputs("run") == {"a": 1, "b": 2}
    with without_views(store):
        append(store, [TaskRunStarted("a", 2)])
    assert store.get_completed_node_outputs("run") == {"b": 2}


def test_outputs_are_what_is_got_one_by_one(store: Store) -> None:
    deep: object = None
    for _ in range(MAX_DEPTH):
        deep = [deep]
    values = [None, False, 0, 1.0, -0.0, "", "ä\u2028\0", {}, [[], {"": None}], {"digest": "x"}, "long " * 20_000, deep]
    run_of(store, *map(str, range(len(values))))
    for number, value in enumerate(values):
        completed(store, "run", str(number), value)
    found = store.get_completed_node_outputs("run")
    assert list(map(repr, found.values())) == list(map(repr, values))
    assert repr(found) == repr({task_id: store.get_result("run", task_id) for task_id in found})


def test_an_output_that_another_program_has_nested_too_deep_is_refused_unless_it_is_stale(store: Store) -> None:
    run_of(store, "a", "b", "c")
    completed(store, "run", "a")
    append(store, [TaskRunStarted("b", 1), TaskRunCompleted("b", 1, nested(MAX_DEPTH))])
    assert list(store.get_completed_node_outputs("run")) == ["a", "b"]
    append(store, [TaskRunStarted("c", 1), TaskRunCompleted("c", 1, nested(MAX_DEPTH + 1), {"a": "another"})])
    assert list(store.get_completed_node_outputs("run")) == ["a", "b"]
    append(store, [TaskRunStarted("c", 2), TaskRunCompleted("c", 2, nested(MAX_DEPTH + 1))])
    for ask in (lambda: store.get_completed_node_outputs("run"), lambda: store.get_result("run", "c")):
        with pytest.raises(TooLarge, match="nested deeper"):
            ask()


@pytest.mark.parametrize("output", [None, 7, "", "{", "[]", "{}", '{"digest":1,"size":1,"json":1}', '{"digest":"d"}'])
def test_a_damaged_row_is_an_error_and_no_output_less(output: object) -> None:
    with pytest.raises(DamagedViews, match="a row of the table node_outputs is damaged") as caught:
        reusable_values([("a", output, None)], Values(MemoryBlobs()))
    assert "eventstore rebuild" in caught.value.hint
    with pytest.raises(DamagedViews):
        reusable_values([("a", '{"digest":"d","size":1,"json":1}', '{"b":')], Values(MemoryBlobs()))


TASKS = st.sampled_from("abcd")
DIGESTS = st.sampled_from(("", "one", "two"))
MADE_FROM = st.dictionaries(TASKS, st.tuples(DIGESTS, st.dictionaries(TASKS, DIGESTS)))


@examples(1)
@given(made=MADE_FROM)
def test_outputs_are_all_but_those_that_the_plan_calls_stale(made: dict[str, tuple[str, dict[str, str]]]) -> None:
    outputs = [Output("run", task_id, digest=digest, consumed=consumed) for task_id, (digest, consumed) in made.items()]
    rows = [
        (
            output.task_id,
            msgspec.json.encode(Value(output.digest, 1, json=msgspec.Raw(b"1"))).decode(),
            msgspec.json.encode(output.consumed).decode() if output.consumed else None,
        )
        for output in outputs
    ]
    stale = stale_outputs(outputs)
    expected = [output.task_id for output in outputs if output.task_id not in stale]
    assert list(reusable_values(rows, Values(MemoryBlobs()))) == expected

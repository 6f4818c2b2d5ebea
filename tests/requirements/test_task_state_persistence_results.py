"""Task state persistence: results come back exactly as they were, however large, or with an error that says why not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from eventstore.blobs import digest_of
from eventstore.errors import BlobCorrupt, BlobMissing, Conflict, InvalidValue, NotFound, TooLarge, Unavailable
from eventstore.log import Append, Appended
from eventstore.payload import THRESHOLD, Value, Values
from projections import Store, open_store
from tests.codec.json_values import json_values
from tests.stores import Clock, address_of, completed, examples, open_again, run_of
from tests.verify.example import codes

from .damage import damage_blob, remove_blob

SMALL = 100


@pytest.fixture
def small(backend: str, folder: Path, clock: Clock) -> Iterator[Store]:
    """A store that keeps whatever has over a hundred bytes as a blob."""
    with open_store(address_of(backend, folder), durability="none", clock=clock, threshold=SMALL) as opened:
        yield opened


def value_of(store: Store, task_id: str, run_id: str = "run") -> Value:
    output = store.get_output(run_id, task_id)
    assert output is not None
    assert output.output is not None
    return output.output


def blobs_of(store: Store) -> list[str]:
    return list(store.values.blobs.digests())


def test_s0_04_persist_task_output_linked_to_its_run_task_and_attempt(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", "once")
    store.retry_task("run", "a")
    completed(store, "run", "a", {"rows": 3})
    output = store.get_output("run", "a")
    assert output is not None
    assert (output.run_id, output.task_id, output.attempt) == ("run", "a", 2)
    assert output.digest == digest_of(b'{"rows":3}')
    assert store.get_result("run", "a") == {"rows": 3}


def test_s0_04_an_output_that_is_none_is_not_the_same_as_no_output(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", None)
    assert store.get_result("run", "a") is None
    assert store.get_output("run", "a") is not None
    assert store.get_output("run", "b") is None
    assert store.get_completed_node_outputs("run") == {"a": None}


REFUSED: dict[str, Any] = {
    "NaN": {"x": [math.nan]},
    "infinity": -math.inf,
    "bytes": b"abc",
    "a set": {1, 2},
    "an object": object(),
    "an integer beyond 64 bits": 2**64,
    "a lone surrogate": "\ud800",
    "a lone surrogate in a key": {"\ud800": 1},
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_s0_04_what_json_cannot_carry_is_refused_before_anything_is_written(small: Store, value: Any) -> None:
    run_of(small, "a")
    small.start_task("run", "a")
    head = small.log.head()
    for output in (value, ["x" * SMALL, value]):
        with pytest.raises(InvalidValue) as refused:
            small.complete_task("run", "a", output)
        assert refused.value.path.startswith("$")
    assert small.log.head() == head
    assert blobs_of(small) == []
    task = small.get_task_run("run", "a")
    assert task is not None
    assert task.status == "running"


KEPT: dict[str, tuple[Any, Any]] = {
    "a time is its text": (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
    "a tuple is a list": ((1, (2,)), [1, [2]]),
    "an integer over 53 bits": (2**53 + 1, 2**53 + 1),
    "the largest integer": (2**64 - 1, 2**64 - 1),
    "the smallest integer": (-(2**63), -(2**63)),
    "an integer is no fraction": ([1, 1.0, True], [1, 1.0, True]),
    "minus zero": (-0.0, -0.0),
    "characters of every kind": ("\0\x85\u2028\u2029\U0001f600", "\0\x85\u2028\u2029\U0001f600"),
}


@pytest.mark.parametrize(("value", "expected"), KEPT.values(), ids=KEPT.keys())
def test_s0_04_every_other_value_comes_back_as_the_policy_says(store: Store, value: Any, expected: Any) -> None:
    run_of(store, "a")
    completed(store, "run", "a", value)
    assert repr(store.get_result("run", "a")) == repr(expected)


@examples(0.3)
@given(value=json_values)
def test_s0_04_any_json_value_comes_back_as_it_was(value: Any) -> None:
    for threshold in (0, THRESHOLD):
        with open_store("memory:", clock=Clock(), threshold=threshold) as store:
            run_of(store, "a")
            completed(store, "run", "a", value)
            assert repr(store.get_result("run", "a")) == repr(value)


def test_s0_05_retrieve_task_result_of_the_effective_completion(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a", "old")
    store.invalidate_task("run", "a")
    with pytest.raises(NotFound, match="output of task"):
        store.get_result("run", "a")
    completed(store, "run", "a", "new")
    assert store.get_result("run", "a") == "new"


def test_s0_05_what_is_unknown_is_none_and_what_is_not_completed_has_another_status(store: Store) -> None:
    run_of(store, "a")
    for run_id, task_id in (("unknown", "a"), ("run", "unknown")):
        assert store.get_output(run_id, task_id) is None
        assert store.get_task_run(run_id, task_id) is None
    assert store.get_output("run", "a") is None
    task = store.get_task_run("run", "a")
    assert task is not None
    assert task.status == "pending"
    with pytest.raises(NotFound, match="output of task 'a'") as refused:  # for None would be a value
        store.get_result("run", "a")
    assert refused.value.hint == "It is not completed, or was invalidated."


def test_s0_05_a_result_whose_bytes_are_gone_or_changed_is_an_error_and_never_its_preview(
    lasting: str, folder: Path
) -> None:
    with open_again(lasting, threshold=SMALL) as store:
        run_of(store, "a")
        completed(store, "run", "a", "x" * 1_000)
        digest = value_of(store, "a").digest
    for damage, error in ((damage_blob, BlobCorrupt), (remove_blob, BlobMissing)):
        damage(digest, lasting, folder)
        with open_again(lasting) as store:
            with pytest.raises(error):
                store.get_result("run", "a")
            with pytest.raises(error):
                store.get_completed_node_outputs("run")


@pytest.mark.parametrize("size", [THRESHOLD - 2, THRESHOLD - 1, 5_000_000])
def test_s0_06_large_results_are_referred_to_and_never_truncated(store: Store, size: int) -> None:
    run_of(store, "a")
    text = "x" * size
    completed(store, "run", "a", text)
    value = value_of(store, "a")
    data = msgspec.json.encode(text)
    assert (value.digest, value.size) == (digest_of(data), len(data))
    assert blobs_of(store) == ([value.digest] if len(data) > THRESHOLD else [])
    inline = not isinstance(value.json, msgspec.UnsetType)
    previewed = not isinstance(value.preview, msgspec.UnsetType)
    assert (inline, previewed) == (len(data) <= THRESHOLD, len(data) > THRESHOLD)  # one or the other, never both
    assert store.get_result("run", "a") == text


def test_s0_06_the_limit_is_configurable_and_the_same_bytes_are_stored_once(small: Store) -> None:
    run_of(small, "a", "b")
    run_of(small, "a", run_id="other")
    for run_id, task_id in (("run", "a"), ("run", "b"), ("other", "a")):
        completed(small, run_id, task_id, ["same"] * 100)
    assert len(blobs_of(small)) == 1


def test_s0_06_a_preview_ends_where_a_character_ends(small: Store) -> None:
    run_of(small, "a")
    text = "x" + "ä€\U0001f600" * 100
    completed(small, "run", "a", text)
    preview = value_of(small, "a").preview
    assert isinstance(preview, str)
    assert f'"{text}'.startswith(preview)
    assert 190 <= len(preview.encode()) <= 200


def test_s0_06_a_crash_between_value_and_event_leaves_only_a_blob_to_be_collected(
    small: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(small, "a")
    small.start_task("run", "a")
    found: list[str] = []

    def crash(commit: list[Append], **options: object) -> Appended:
        found.extend(blobs_of(small))  # which is there before its event
        raise Unavailable("the process was stopped here")

    with monkeypatch.context() as patched:
        patched.setattr(small.log, "append", crash)
        with pytest.raises(Unavailable):
            small.complete_task("run", "a", "x" * 1_000)
    assert len(found) == 1
    assert codes(small.verify()) == {"info blob-unreferenced"}
    assert small.complete_task("run", "a", "x" * 1_000).status == "completed"
    assert blobs_of(small) == found
    assert small.verify().findings == ()


def test_s0_06_a_purge_keeps_the_blobs_that_other_runs_refer_to(small: Store, clock: Clock) -> None:
    for run_id in ("run", "kept"):
        run_of(small, "shared", "own", run_id=run_id)
        completed(small, run_id, "shared", "shared" * 100)
        completed(small, run_id, "own", run_id * 100)
        small.complete_run(run_id)
    own, shared = value_of(small, "own").digest, value_of(small, "shared").digest
    clock.time += timedelta(hours=2)
    small.purge_run("run")
    small.collect_blobs(grace=3600)
    assert own not in blobs_of(small)
    assert shared in blobs_of(small)
    assert small.get_completed_node_outputs("kept") == {"shared": "shared" * 100, "own": "kept" * 100}
    assert small.verify().findings == ()


def test_s0_06_what_is_beyond_the_hard_limit_is_refused_and_the_run_can_still_be_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    monkeypatch.setattr(store, "_values", Values(store.values.blobs, max_bytes=1_000))
    with pytest.raises(TooLarge) as refused:
        store.complete_task("run", "a", "x" * 1_000)
    assert "1,002 bytes of JSON; the limit is 1,000" in str(refused.value)
    assert store.fail_task("run", "a", refused.value).status == "failed"
    assert store.fail_run("run", refused.value).status == "failed"
    with pytest.raises(Conflict):
        store.complete_task("run", "a", 1)

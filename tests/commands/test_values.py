"""Inputs and outputs come back exactly, small ones and large ones, or with an error that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.blobs import blob_path
from eventstore.errors import BlobCorrupt, BlobMissing, NotFound
from projections import Store, open_store
from tests.sql_stores import SQL, change
from tests.stores import Clock, address_of, completed, examples, files_in, open_again, run_of

THRESHOLD = 100

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=30,
)  # fmt: skip


@pytest.fixture
def store(backend: str, folder: Path, clock: Clock) -> Iterator[Store]:
    with open_store(address_of(backend, folder), durability="none", clock=clock, threshold=THRESHOLD) as opened:
        yield opened


@examples(0.5)
@given(value=json_values, threshold=st.sampled_from((0, 10, 100_000)))
def test_any_json_value_comes_back_as_it_was(value: object, threshold: int) -> None:
    with open_store("memory:", clock=Clock(), threshold=threshold) as store:
        run_of(store, "a")
        completed(store, "run", "a", value)
        result = store.get_result("run", "a")
        assert result == value
        assert repr(result) == repr(value)  # 1 is not 1.0, and not True
        assert store.get_completed_node_outputs("run") == {"a": value}


def test_no_value_is_a_value_and_no_output_is_none(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", None)
    assert store.get_result("run", "a") is None
    assert store.get_completed_node_outputs("run") == {"a": None}
    for task_id in ("b", "unknown"):
        assert store.get_output("run", task_id) is None
        with pytest.raises(NotFound, match=f"output of task '{task_id}'"):
            store.get_result("run", task_id)


@pytest.mark.parametrize("size", [THRESHOLD - 2, THRESHOLD - 1, 70_000, 3_000_000])
def test_an_output_of_any_size_comes_back_exactly(store: Store, size: int) -> None:
    text = "ä\u2028\0" * (size // 3) + "x" * (size % 3)
    run_of(store, "a")
    completed(store, "run", "a", text)
    assert store.get_result("run", "a") == text
    output = store.get_output("run", "a")
    assert output is not None
    assert output.output is not None
    assert isinstance(output.output.json, msgspec.UnsetType) == (output.output.size > THRESHOLD)


def test_just_over_the_threshold_is_a_blob_and_just_under_is_not(store: Store) -> None:
    run_of(store, "in", "out")
    completed(store, "run", "in", "x" * (THRESHOLD - 2))
    assert list(store.values.blobs.digests()) == []
    completed(store, "run", "out", "x" * (THRESHOLD - 1))
    assert len(list(store.values.blobs.digests())) == 1


def test_the_same_bytes_are_stored_once(store: Store) -> None:
    run_of(store, "a", "b")
    for task_id in ("a", "b"):
        completed(store, "run", task_id, ["same"] * 100)
    store.create_run("flow", run_id="other", input=["same"] * 100)
    assert len(list(store.values.blobs.digests())) == 1


def test_large_inputs_come_back_exactly(store: Store) -> None:
    rows = list(range(1000))
    run = store.create_run("flow", run_id="run", input=rows)
    task = store.schedule_task("run", "a", input=rows)
    assert run.input is not None
    assert task.input is not None
    assert store.load(run.input) == store.load(task.input) == rows


def test_metadata_stays_with_its_run_and_its_task(store: Store) -> None:
    metadata = {"owner": "me", "nested": {"n": [1, None]}, "": "empty key"}
    assert store.create_run("flow", run_id="run", metadata=metadata).metadata == metadata
    assert store.schedule_task("run", "a", metadata=metadata).metadata == metadata
    assert store.create_run("flow", metadata={}).metadata is None


@pytest.fixture
def blob(folder: Path, file_store: Store) -> Path:
    """The file of the only blob of a run whose task "large" has put out much, and whose task "small" little."""
    file_store.close()
    with open_again(folder, threshold=THRESHOLD) as store:
        run_of(store, "small", "large")
        completed(store, "run", "small", 1)
        completed(store, "run", "large", "x" * 1_000)
        (digest,) = store.values.blobs.digests()
    return folder / blob_path(digest)


def test_a_blob_that_is_missing_is_an_error_and_never_its_preview(blob: Path, folder: Path) -> None:
    blob.unlink()
    with open_again(folder) as store:
        with pytest.raises(BlobMissing) as caught:
            store.get_result("run", "large")
        assert caught.value.digest == blob.parent.name + blob.name
        with pytest.raises(BlobMissing):
            store.get_completed_node_outputs("run")
        assert store.get_result("run", "small") == 1


@pytest.mark.parametrize("content", [b"", b'"xxx"', b'"' + b"x" * 999 + b'y"'])
def test_a_blob_that_was_changed_is_an_error_and_never_its_content(blob: Path, folder: Path, content: bytes) -> None:
    blob.write_bytes(content)
    with open_again(folder) as store:
        with pytest.raises(BlobCorrupt):
            store.get_result("run", "large")
        with pytest.raises(BlobCorrupt):
            store.get_completed_node_outputs("run")


def test_running_the_task_again_mends_a_blob_that_is_gone(blob: Path, folder: Path) -> None:
    blob.unlink()
    with open_again(folder, threshold=THRESHOLD) as store:
        store.invalidate_task("run", "large")
        completed(store, "run", "large", "x" * 1_000)
        assert store.get_result("run", "large") == "x" * 1_000


@pytest.mark.parametrize(
    ("damage", "error"),
    [("DELETE FROM blobs", BlobMissing), ("UPDATE blobs SET data = ?", BlobCorrupt)],
    ids=["missing", "changed"],
)
@pytest.mark.parametrize("kind", SQL)
def test_a_blob_in_a_database_is_given_whole_or_not_at_all_and_mended_by_running_the_task_again(
    folder: Path, kind: str, damage: str, error: type[Exception]
) -> None:
    address = address_of(kind, folder)
    with open_again(address, threshold=THRESHOLD) as store:
        run_of(store, "small", "large")
        completed(store, "run", "small", 1)
        completed(store, "run", "large", "x" * 1_000)
        change(address, damage, *[b'"xxx"'] * damage.count("?"))
        for ask in (lambda: store.get_result("run", "large"), lambda: store.get_completed_node_outputs("run")):
            with pytest.raises(error):
                ask()
        assert store.get_result("run", "small") == 1
        store.invalidate_task("run", "large")
        completed(store, "run", "large", "x" * 1_000)
        assert store.get_result("run", "large") == "x" * 1_000


def test_a_preview_ends_where_a_character_ends(store: Store, folder: Path) -> None:
    run_of(store, "a")
    completed(store, "run", "a", "🙂" * 20_000)
    output = store.get_output("run", "a")
    assert output is not None
    assert output.output is not None
    assert output.output.preview == '"' + "🙂" * 49
    assert not any(b"\xef\xbf\xbd" in data for data in files_in(folder).values())

"""Traces become runs: whole, exact, once, and nothing is left of a bad one."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import InvalidInput
from projections import Store, open_store
from projections.import_wfformat import Imported, import_wfformat
from projections.schedule import Shape, schedule, shape
from projections.wfformat import read_trace
from tests.stores import ONE_OF_EACH, address_of

DATA = Path(__file__).parent / "data"
NEWER = DATA / "trace-1.5.json"
OLDER = DATA / "trace-1.4.json"
BEGIN = datetime(2024, 3, 10, 9, 15, tzinfo=UTC)


@pytest.fixture(params=ONE_OF_EACH)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    with open_store(address_of(str(request.param), tmp_path / "store"), durability="none") as opened:
        yield opened


def edited(path: Path, **changes: object) -> Path:
    """A trace with these fields changed."""
    document: Any = json.loads(NEWER.read_bytes())
    path.write_text(json.dumps(document | changes))
    return path


def imported(store: Store, path: Path = NEWER) -> Imported:
    done = import_wfformat(store, path)
    assert not done.repeated
    return done


def shape_in(store: Store, run_id: str) -> Shape:
    """The workflow's shape, by what the views say of its task runs and attempts."""
    parents = {task.task_id: task.depends_on or () for task in store.list_task_runs(run_id)}
    runtimes = {}
    for attempt in store.list_attempts(run_id):
        assert attempt.started_at is not None
        assert attempt.finished_at is not None
        runtimes[attempt.task_id] = (attempt.finished_at - attempt.started_at).total_seconds()
    return shape(parents, runtimes)


@pytest.mark.parametrize("path", [OLDER, NEWER], ids=["1.4", "1.5"])
def test_a_trace_becomes_a_run_that_has_ended(store: Store, path: Path) -> None:
    done = imported(store, path)
    run = store.get_run(done.run_id)
    assert run is not None
    assert (run.workflow_name, run.status, run.worker) == ("photo-shoot", "completed", "wfformat")
    assert run.user_message == "Three rolls of film: developed, shown and published"
    assert (run.created_at, run.started_at) == (BEGIN, BEGIN)
    assert run.finished_at == BEGIN + timedelta(seconds=done.makespan)
    assert run.metadata == {
        "source": "wfformat",
        "schema_version": path.stem.removeprefix("trace-"),
        "machines": {"darkroom": 4, "attic": 2},
        "traced_makespan_s": 161.75,
    }
    assert run.output is not None
    assert store.load(run.output) == {"tasks": 7, "makespan_s": done.makespan}
    assert (done.file, done.tasks, done.edges, done.makespan) == (str(path), 7, 11, 149.25)


def test_tasks_keep_their_order_names_dependencies_and_measurements(store: Store) -> None:
    tasks = store.list_task_runs(imported(store).run_id)
    traced = read_trace(NEWER).tasks
    assert [(t.task_id, t.name, t.depends_on or ()) for t in tasks] == [(t.id, t.name, t.parents) for t in traced]
    assert [task.metadata for task in tasks] == [task.meta for task in traced]
    assert {(task.status, task.attempt) for task in tasks} == {("completed", 1)}


def test_attempts_run_when_and_where_the_schedule_puts_them(store: Store) -> None:
    run_id = imported(store).run_id
    planned = schedule(read_trace(NEWER))
    for attempt in store.list_attempts(run_id):
        interval = planned[attempt.task_id]
        assert attempt.worker == interval.machine
        assert attempt.started_at == BEGIN + timedelta(seconds=interval.start)
        assert attempt.finished_at == BEGIN + timedelta(seconds=interval.end)


def test_outputs_say_what_ran_where_for_how_long(store: Store) -> None:
    run_id = imported(store).run_id
    outputs = store.get_completed_node_outputs(run_id)
    assert outputs["t2"] == {"task": "t2", "runtime_s": 95.25, "machine": "darkroom"}
    assert list(outputs) == sorted(outputs, key=lambda task_id: (schedule(read_trace(NEWER))[task_id].end, task_id))


def test_every_task_has_consumed_what_its_parents_put_out(store: Store) -> None:
    run_id = imported(store).run_id
    digests = {output.task_id: output.digest for output in store.list_outputs(run_id)}
    parents = {task.task_id: task.depends_on or () for task in store.list_task_runs(run_id)}
    for output in store.list_outputs(run_id):
        assert (output.consumed or {}) == {parent: digests[parent] for parent in parents[output.task_id]}
    assert store.resume_plan(run_id).stale == ()


def test_events_are_in_the_order_of_their_times_and_no_task_starts_before_its_parents_end(store: Store) -> None:
    run_id = imported(store).run_id
    events = list(store.log.read(run_id))
    assert [event.time for event in events] == sorted(event.time for event in events)
    parents = {task.task_id: task.depends_on or () for task in store.list_task_runs(run_id)}
    completed: set[str] = set()
    for event in events:
        task_id = json.loads(event.data).get("task_id")
        if event.type == "taskRunStarted":
            assert completed.issuperset(parents[task_id])
        elif event.type == "taskRunCompleted":
            completed.add(task_id)


def test_the_views_have_the_shape_of_the_trace(store: Store) -> None:
    for path in (OLDER, NEWER):
        tasks = read_trace(path).tasks
        traced = shape({task.id: task.parents for task in tasks}, {task.id: task.runtime for task in tasks})
        assert shape_in(store, imported(store, path).run_id) == traced


def test_importing_again_changes_nothing_whatever_the_file_is_called(store: Store, tmp_path: Path) -> None:
    first = imported(store)
    head = store.log.head()
    packed = tmp_path / "other name.gz"
    packed.write_bytes(gzip.compress(NEWER.read_bytes()))
    plain = tmp_path / "plain"
    plain.write_bytes(NEWER.read_bytes())
    for path in (NEWER, packed, plain):
        again = import_wfformat(store, path)
        assert again.repeated
        assert (again.run_id, again.makespan) == (first.run_id, first.makespan)
    assert store.log.head() == head
    assert len(store.list_runs()) == 1


def test_importing_again_finds_a_run_that_has_changed_since(store: Store) -> None:
    run_id = imported(store).run_id
    store.delete_run(run_id)
    assert import_wfformat(store, NEWER).repeated
    assert store.list_runs() == []


def test_a_purged_trace_can_be_imported_again(store: Store) -> None:
    run_id = imported(store).run_id
    store.log.purge(run_id)
    assert imported(store).run_id == run_id


def test_other_content_is_another_run(store: Store, tmp_path: Path) -> None:
    first = imported(store)
    second = imported(store, edited(tmp_path / NEWER.name, description="The same again"))
    assert first.run_id != second.run_id
    assert len(store.list_runs()) == 2


@pytest.mark.parametrize("name", ["$purges", "$$", "a/../b", "_log", "é" * 500, "two\nlines", "."])
def test_any_name_makes_a_run_id(store: Store, tmp_path: Path, name: str) -> None:
    run_id = imported(store, edited(tmp_path / "trace.json", name=name)).run_id
    assert not run_id.startswith("$")
    run = store.get_run(run_id)
    assert run is not None
    assert run.workflow_name == name
    assert store.verify().clean


BAD: dict[str, bytes] = {
    "nothing": b"",
    "text": b"Dear reader,",
    "another format": b'{"jobs": {}}',
    "cut short": NEWER.read_bytes()[:2000],
    "cut short and compressed": gzip.compress(NEWER.read_bytes())[:-20],
    "a cycle": NEWER.read_bytes().replace(b'"parents": []', b'"parents": ["t7"]', 1),
    "a name with a NUL": NEWER.read_bytes().replace(b"photo-shoot", b"photo\\u0000shoot"),
    "a task id with a NUL": NEWER.read_bytes().replace(b'"t1"', b'"t\\u0000"'),
    "a task id too long": NEWER.read_bytes().replace(b'"t1"', b'"%s"' % (b"t" * 2_000)),
    "a task id of too many bytes": NEWER.read_bytes().replace(b'"t1"', b'"%s"' % ("é" * 600).encode()),
    "a machine's name too long": NEWER.read_bytes().replace(b'"attic"', b'"%s"' % (b"a" * 100_000)),
    "too much for one event": NEWER.read_bytes().replace(b"Three rolls", b"T" * (17 * 1024 * 1024)),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_a_bad_file_leaves_nothing_behind(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    folder = tmp_path / "store"
    with open_store(folder, durability="none") as store:
        imported(store)
        store.write_folders()
        before = store.log.head(), sorted(os.listdir(folder)), store.list_runs()
        with pytest.raises(InvalidInput) as caught:
            import_wfformat(store, bad)
        text = str(caught.value)
        assert text.startswith(f"{bad}: ")
        assert "\n" not in text
        assert len(text) < len(str(bad)) + 1_500
        assert caught.value.hint
        assert (store.log.head(), sorted(os.listdir(folder)), store.list_runs()) == before
        assert store.verify().findings == ()


def test_a_file_name_that_is_no_text_is_spelt_out(store: Store, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.json")
    path.write_bytes(NEWER.read_bytes())
    assert imported(store, path).file == str(tmp_path / r"\xff.json")

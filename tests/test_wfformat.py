"""Reading WfFormat traces, and scheduling what they tell."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import InvalidInput
from projections.schedule import Interval, schedule, shape
from projections.wfformat import TraceTask, read_trace

DATA = Path(__file__).parent / "data"
NEWER = DATA / "trace-1.5.json"
OLDER = DATA / "trace-1.4.json"

SPECIFIED = ("workflow", "specification", "tasks")
EXECUTED = ("workflow", "execution", "tasks")
REMOVED = object()

Edit = Callable[..., Path]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """Writes a trace with one place in it changed, and says where."""

    def edit(place: tuple[str | int, ...], value: object, source: Path = NEWER) -> Path:
        document: Any = json.loads(source.read_bytes())
        part = document
        for step in place[:-1]:
            part = part[step]
        if value is REMOVED:
            del part[place[-1]]
        else:
            part[place[-1]] = value
        path = tmp_path / "edited.json"
        path.write_text(json.dumps(document))
        return path

    return edit


def parents_of(path: Path) -> dict[str, tuple[str, ...]]:
    return {task.id: task.parents for task in read_trace(path).tasks}


def refusal(path: Path) -> str:
    """What a refused file is told, after checking what all refusals have in common."""
    with pytest.raises(InvalidInput) as caught:
        read_trace(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < len(str(path)) + 500
    assert caught.value.hint
    return text.removeprefix(f"{path}: ")


def test_a_trace_is_read_with_all_it_tells() -> None:
    read = read_trace(NEWER)
    assert (read.name, read.schema_version) == ("photo-shoot", "1.5")
    assert read.description == "Three rolls of film: developed, shown and published"
    assert read.executed_at == datetime(2024, 3, 10, 9, 15, tzinfo=UTC)
    assert read.executed_at.tzinfo is UTC
    assert read.machines == {"darkroom": 4, "attic": 2}
    assert read.makespan == 161.75
    assert [task.id for task in read.tasks] == ["t1", "t2", "t3", "t4", "t5", "t6", "t7"]
    assert read.tasks[1] == TraceTask(
        id="t2",
        name="develop_1",
        parents=("t1",),
        runtime=95.25,
        machines=("darkroom",),
        cores=2,
        meta={
            "command": {"program": "develop", "arguments": ["--preset", "portrait", "roll-1"]},
            "cpu": 188.2,
            "memory": 1610612736,
            "read_bytes": 320000000,
            "written_bytes": 540000000,
            "energy_kwh": 0.002,
            "power_w": 65.5,
            "priority": 20,
        },
    )


def test_both_versions_of_a_workflow_give_the_same_tasks() -> None:
    older, newer = read_trace(OLDER), read_trace(NEWER)
    assert older.schema_version == "1.4"
    assert older.tasks == newer.tasks
    assert (older.machines, older.executed_at) == (newer.machines, newer.executed_at)
    assert (older.makespan, older.name, older.description) == (newer.makespan, newer.name, newer.description)


def test_compression_is_recognised_by_content_and_leaves_the_digest_alone(tmp_path: Path) -> None:
    packed = tmp_path / "trace.json"
    packed.write_bytes(gzip.compress(NEWER.read_bytes()))
    assert read_trace(packed) == read_trace(NEWER)
    assert read_trace(packed).digest == hashlib.sha256(NEWER.read_bytes()).hexdigest()


def test_what_a_trace_does_not_tell_is_not_in_meta(edited: Edit) -> None:
    bare = read_trace(edited((*EXECUTED, 0), {"id": "t1", "runtimeInSeconds": 3, "memoryInBytes": None})).tasks[0]
    assert bare.meta == {}
    assert (bare.runtime, bare.machines, bare.cores) == (3.0, (), 1)


def test_unknown_fields_are_passed_over(edited: Edit) -> None:
    path = edited(("workflow", "execution", "metrics"), {"sumTaskRuntimesInSeconds": [1, {"a": None}]})
    assert read_trace(path).tasks == read_trace(NEWER).tasks


def test_a_fraction_of_a_core_takes_a_whole_one(edited: Edit) -> None:
    assert read_trace(edited((*EXECUTED, 0, "coreCount"), 1.5)).tasks[0].cores == 2


def test_parents_are_what_either_end_says_once_each_in_order(edited: Edit) -> None:
    path = edited((*SPECIFIED, 4, "parents"), ["t4", "t3", "t4"])
    assert parents_of(path)["t5"] == ("t4", "t3", "t2")
    path = edited((*SPECIFIED, 0, "children"), [])
    assert parents_of(path) == parents_of(NEWER)


def test_version_1_4_refers_by_id_as_well_as_by_name(edited: Edit) -> None:
    path = edited(("workflow", "tasks", 4, "parents"), ["t2", "develop_2", "t4"], OLDER)
    assert parents_of(path) == parents_of(OLDER)


def test_version_1_4_takes_children_into_account(edited: Edit) -> None:
    path = edited(("workflow", "tasks", 0, "children"), ["publish"], OLDER)
    assert parents_of(path)["t7"] == ("t5", "t6", "t1")


def test_a_task_of_version_1_4_without_id_goes_by_its_name(edited: Edit) -> None:
    read = read_trace(edited(("workflow", "tasks", 0, "id"), REMOVED, OLDER))
    assert read.tasks[0].id == "ingest"
    assert read.tasks[1].parents == ("ingest",)


def test_a_task_of_version_1_4_without_runtime_took_none(edited: Edit) -> None:
    path = edited(("workflow", "tasks", 0, "runtimeInSeconds"), REMOVED, OLDER)
    assert read_trace(path).tasks[0].runtime == 0.0


def test_a_name_two_tasks_share_is_no_reference(edited: Edit) -> None:
    path = edited(("workflow", "tasks", 2, "name"), "develop_1", OLDER)
    assert refusal(path) == "task 't5' has the unknown parent 'develop_1'"


def test_a_machine_of_unknown_size_is_left_out(edited: Edit) -> None:
    path = edited(("workflow", "execution", "machines", 1, "cpu"), {"vendor": "unknown"})
    assert read_trace(path).machines == {"darkroom": 4}


@pytest.mark.parametrize(
    ("notation", "expected"),
    [
        ("20200401T153414+0000", datetime(2020, 4, 1, 15, 34, 14, tzinfo=UTC)),
        ("2020-12-27T19:56:25+00:00", datetime(2020, 12, 27, 19, 56, 25, tzinfo=UTC)),
        ("2020-12-27T19:56:25-08:00", datetime(2020, 12, 28, 3, 56, 25, tzinfo=UTC)),
        ("2020-04-15T13:23:10.415984Z", datetime(2020, 4, 15, 13, 23, 10, 415984, tzinfo=UTC)),
        ("2020-12-30T02:25:22", datetime(2020, 12, 30, 2, 25, 22, tzinfo=UTC)),
        ("05-10-23T16:23:32Z", datetime(2023, 5, 10, 16, 23, 32, tzinfo=UTC)),
        ("12-19-20T21:31:53Z", datetime(2020, 12, 19, 21, 31, 53, tzinfo=UTC)),
    ],
)
def test_every_notation_of_time_is_read(edited: Edit, notation: str, expected: datetime) -> None:
    assert read_trace(edited(("workflow", "execution", "executedAt"), notation)).executed_at == expected


@pytest.mark.parametrize("unreadable", [REMOVED, None, "", "yesterday", 1585756454, "0001-01-01T00:00:00+14:00"])
def test_an_unreadable_time_of_execution_gives_way_to_that_of_creation(edited: Edit, unreadable: object) -> None:
    path = edited(("workflow", "execution", "executedAt"), unreadable)
    assert read_trace(path).executed_at == datetime(2024, 3, 10, 9, 30, tzinfo=UTC)
    path.write_text(path.read_text().replace('"createdAt"', '"madeAt"'))
    assert read_trace(path).executed_at == datetime(1970, 1, 1, tzinfo=UTC)


BAD_PLACES: dict[str, tuple[tuple[str | int, ...], object, str]] = {
    "no version": (("schemaVersion",), REMOVED, "not a WfFormat trace: Object missing required field"),
    "an older version": (("schemaVersion",), "1.3", "WfFormat version '1.3' is not supported"),
    "a version that is a number": (("schemaVersion",), 1.5, "not a WfFormat trace: Expected `str`"),
    "no name": (("name",), REMOVED, "not a WfFormat trace: Object missing required field `name`"),
    "an empty name": (("name",), "", "not a WfFormat trace: Expected `str` of length >= 1"),
    "no workflow": (("workflow",), REMOVED, "not a WfFormat trace: Object missing required field"),
    "no specification": (("workflow", "specification"), REMOVED, "has no tasks"),
    "no tasks": (SPECIFIED, [], "has no tasks"),
    "no execution": (("workflow", "execution"), REMOVED, "task 't1' has no execution entry"),
    "a task not executed": ((*EXECUTED, 6), REMOVED, "task 't7' has no execution entry"),
    "an execution of no task": ((*SPECIFIED, 6, "id"), "t8", "execution entry 't7' belongs to no task"),
    "an empty task id": ((*SPECIFIED, 2, "id"), "", "one of its tasks has no id"),
    "no id of an execution": ((*EXECUTED, 2, "id"), REMOVED, "one of its execution entries has no id"),
    "a repeated task id": ((*SPECIFIED, 2, "id"), "t2", "two of its tasks have the id 't2'"),
    "a repeated execution": ((*EXECUTED, 2, "id"), "t2", "two of its execution entries have the id 't2'"),
    "an unknown parent": ((*SPECIFIED, 1, "parents"), ["t1", "t9"], "task 't2' has the unknown parent 't9'"),
    "an unknown child": ((*SPECIFIED, 1, "children"), ["t9"], "task 't2' has the unknown child 't9'"),
    "a parent that is a number": ((*SPECIFIED, 1, "parents"), [1], "not a WfFormat trace: Expected `str`"),
    "its own parent": ((*SPECIFIED, 1, "parents"), ["t2"], "wait for each other: 't2' → 't2'"),
    "a cycle": ((*SPECIFIED, 0, "parents"), ["t5"], "wait for each other: 't"),
    "a negative runtime": ((*EXECUTED, 0, "runtimeInSeconds"), -0.5, "task 't1' has the negative runtime -0.5"),
    "no runtime": ((*EXECUTED, 0, "runtimeInSeconds"), REMOVED, "task 't1' has no runtime"),
    "a runtime in words": ((*EXECUTED, 0, "runtimeInSeconds"), "3 s", "Expected `float | null`, got `str`"),
    "an endless runtime": ((*EXECUTED, 0, "runtimeInSeconds"), 1e300, "its runtimes reach beyond the year 9999"),
    "a NaN runtime": ((*EXECUTED, 0, "runtimeInSeconds"), float("nan"), "not JSON: "),
    "no cores": ((*EXECUTED, 0, "coreCount"), 0, "Expected `float` >= 1.0"),
    "a machine without cores": (
        ("workflow", "execution", "machines", 0, "cpu", "coreCount"),
        0,
        "Expected `float` >= 1.0",
    ),
    "an integer beyond 64 bits": ((*EXECUTED, 0, "readBytes"), 2**64, "Expected `int` <= 9223372036854775807"),
}


@pytest.mark.parametrize(("place", "value", "reason"), BAD_PLACES.values(), ids=BAD_PLACES.keys())
def test_a_bad_place_is_told(edited: Edit, place: tuple[str | int, ...], value: object, reason: str) -> None:
    assert reason in refusal(edited(place, value))


BAD_CONTENT: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cut short, or not JSON at all"),
    "text": (b"Dear reader,\n", "cut short, or not JSON at all"),
    "a list": (b"[]", "not a WfFormat trace: Expected `object`, got `array`"),
    "null": (b"null", "not a WfFormat trace: Expected `object`, got `null`"),
    "another format": (b'{"jobs": {"build": {}}}', "not a WfFormat trace: Object missing required field"),
    "two documents": (b"{} {}", "not a WfFormat trace: "),
    "not UTF-8": (b'{"schemaVersion": "\xff"}', "not JSON: "),
    "a number too large for a float": (b'{"schemaVersion": "1.5", "name": 1e999}', "not a WfFormat trace: "),
    "damaged gzip": (gzip.compress(b"{}")[:-6] + b"\0" * 6, "damaged: "),
    "damaged deflate": (gzip.compress(b"{}")[:10] + b"\xff" * 20, "damaged: "),
    "gzip with a tail": (gzip.compress(NEWER.read_bytes()) + b"tail", "damaged: "),
    "gzip of text": (gzip.compress(b"Dear reader,\n"), "cut short, or not JSON at all"),
    "nested lists": (b"[" * 1_000_000, "nested deeper than 128 levels"),
    "nested in a field nobody reads": (
        b'{"x": ' + b'{"y": [' * 100_000 + b"]}" * 100_000 + b"}",
        "nested deeper than 128 levels",
    ),
}


@pytest.mark.parametrize(("content", "reason"), BAD_CONTENT.values(), ids=BAD_CONTENT.keys())
def test_bad_content_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.json.gz"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_a_trace_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.json"
    plain = NEWER.read_bytes().rstrip()
    packed = gzip.compress(plain)
    for whole, step in ((plain, 101), (packed, 7)):
        for length in range(0, len(whole), step):
            path.write_bytes(whole[:length])
            assert refusal(path)
    path.write_bytes(packed[:-1])
    assert refusal(path) == "cut short: its gzip stream has no end"
    path.write_bytes(plain[:-1])
    assert refusal(path) == "not JSON: Input data was truncated"


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.wfformat.MAX_TRACE_BYTES", 2_000_000)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * 50_000_000)[:-100])
    # Whoever unpacked it all would find the end missing.
    assert refusal(path) == "larger than 2,000,000 bytes, decompressed"
    path.write_bytes(b" " * 2_000_001)
    assert refusal(path) == "larger than 2,000,000 bytes, decompressed"


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "Is a directory"
    assert refusal(tmp_path / "absent.json") == "No such file or directory"
    assert refusal(NEWER / "trace.json") == "Not a directory"
    assert "name too long" in refusal(tmp_path / ("x" * 300)).lower()


def test_a_cycle_is_told_as_a_path(edited: Edit) -> None:
    path = edited((*SPECIFIED, 0, "parents"), ["t5"])
    steps = refusal(path).removeprefix("its tasks wait for each other: ").split(" → ")
    ids = [step.strip("'") for step in steps]
    assert ids[0] == ids[-1]
    assert len(ids) == 4
    parents = parents_of(NEWER) | {"t1": ("t5",)}
    assert all(before in parents[after] for before, after in itertools.pairwise(ids))


def chain(length: int, first_parents: list[str]) -> bytes:
    specified = [{"id": str(i), "name": "link", "parents": [str(i - 1)] if i else first_parents} for i in range(length)]
    executed = [{"id": str(i), "runtimeInSeconds": 1} for i in range(length)]
    workflow = {"specification": {"tasks": specified}, "execution": {"tasks": executed}}
    return json.dumps({"schemaVersion": "1.5", "name": "chain", "workflow": workflow}).encode()


def test_a_chain_of_any_length_is_read_measured_and_scheduled(tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    path.write_bytes(chain(20_000, []))
    read = read_trace(path)
    assert schedule(read)["19999"] == Interval(19999.0, 20000.0, "")
    assert shape({t.id: t.parents for t in read.tasks}, {t.id: 1.0 for t in read.tasks}).levels == 20_000


def test_a_long_cycle_is_told_in_a_short_line(tmp_path: Path) -> None:
    path = tmp_path / "ring.json"
    path.write_bytes(chain(20_000, ["19999"]))
    assert "19996 more" in refusal(path)


def test_a_long_id_is_told_in_a_short_line(edited: Edit) -> None:
    assert "the unknown parent 'xxx" in refusal(edited((*SPECIFIED, 1, "parents"), ["x" * 100_000]))
    assert refusal(edited(("schemaVersion",), "9" * 100_000)).startswith("WfFormat version '999")

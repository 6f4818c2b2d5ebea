"""Workflow store on files: each run is a directory that people and their tools can read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from eventstore.disk import Disk
from eventstore.errors import LogCorrupt
from eventstore.names import decode_name
from projections import Store, WorkflowStore, open_store
from tests.crash.children import Children
from tests.stores import check_views, completed, files_due, files_in, open_again, run_of

ODD = 'line\nbreak \u2028 \u2029 \u0085 \r "quoted" ü \U0001f4ee \x0b\x0c\x1c'


def lines_of(path: Path) -> list[bytes]:
    *lines, end = path.read_bytes().split(b"\n")
    assert end == b""
    return lines


def segment_of(folder: Path) -> Path:
    (segment,) = (folder / "_log").glob("*.jsonl")
    return segment


def test_s2_05_each_run_is_a_directory_of_its_own_that_it_cannot_leave(file_store: Store, folder: Path) -> None:
    ids = ["plain", "../../etc", "..", "a/b", "A/b", "/root", "_log", "_blobs", ".hidden", "ü:*?", "x" * 300]
    for run_id in ids:
        file_store.create_run("flow", run_id=run_id)
    file_store.write_folders()
    found = {path.relative_to(folder).parent for path in folder.rglob("run.json")}
    assert {decode_name(str(path)) for path in found} == set(ids)
    assert (folder / "plain" / "run.json").is_file()
    assert not [path for path in folder.parent.iterdir() if path != folder]
    assert [run.id for run in file_store.list_runs()] == ids


def test_s2_05_listing_runs_reads_no_event_file_and_minds_no_foreign_one(file_store: Store, folder: Path) -> None:
    for number in range(3):
        file_store.create_run("flow", run_id=str(number))
        file_store.write_folders()
        (folder / str(number) / "events.jsonl").write_bytes(b"\xff not to be read")
    (folder / "notes.txt").write_text("mine")
    (folder / "0" / "report.html").write_text("mine")
    shutil.copytree(folder / "0", folder / "copy of 0")
    file_store.close()
    with open_again(folder) as again:
        assert [run.id for run in again.list_runs()] == ["0", "1", "2"]
        again.start_run("0")
        assert (folder / "0" / "report.html").read_text() == (folder / "notes.txt").read_text() == "mine"


def create_many(test: Connection, folder: Path, name: str) -> str:
    """Create runs, and say so when all are there."""
    with open_again(folder) as store:
        for number in range(20):
            store.create_run("flow", run_id=f"{name} {number}")
    return name


def stop_while_writing(test: Connection, folder: Path) -> None:
    """Create a run, then write half of the next one, with the store locked, and go no further."""
    with open_again(folder) as store, pytest.MonkeyPatch.context() as patch:
        store.create_run("flow", run_id="victim")
        store.write_folders()

        def write_half(_: Disk, file: int, data: bytes) -> int:
            os.write(file, data[: len(data) // 2])
            test.send("half is written")
            test.recv()
            return 0

        patch.setattr(Disk, "write", write_half)
        store.create_run("flow", run_id="lost")


def test_s2_05_processes_share_a_directory_and_one_that_is_killed_locks_nobody_out(
    folder: Path, children: Children
) -> None:
    victim = children.start(stop_while_writing, folder)
    assert victim.receive() == "half is written"
    others = [children.start(create_many, folder, name) for name in ("one", "two")]
    victim.kill()
    victim.end()
    assert [child.result() for child in others] == ["one", "two"]
    with open_again(folder) as store:
        created = {run.id for run in store.list_runs()}
        assert created == {"victim"} | {f"{name} {number}" for name in ("one", "two") for number in range(20)}
        assert store.verify().clean
        check_views(store)


def test_s2_06_events_are_one_json_object_a_line_whatever_they_say(file_store: Store, folder: Path) -> None:
    workflows = WorkflowStore(file_store)
    workflows.create_workflow_run("flow", id="run", user_message=ODD)
    workflows.create_workflow_event("run", "custom.said", {ODD: ODD})
    file_store.write_folders()
    lines = lines_of(folder / "run" / "events.jsonl")
    events = [json.loads(line.decode("utf-8")) for line in lines]
    assert [(event["version"], event["type"]) for event in events] == [(1, "runCreated"), (2, "custom.said")]
    assert (events[0]["data"]["user_message"], events[1]["data"]) == (ODD, {ODD: ODD})
    file_store.write_folders()
    log = [json.loads(line.decode("utf-8")) for line in lines_of(segment_of(folder))]
    assert len(log) == 2
    file_store.close()
    with open_again(folder) as again:
        run = again.get_run("run")
        assert run is not None
        assert run.user_message == ODD


TORN = {"in the middle": 0.5, "before its end": 0.99, "after its beginning": 0.01, "inside of a character": None}


@pytest.mark.parametrize("where", TORN)
def test_s2_06_a_torn_last_line_is_cut_and_kept_aside_and_never_written_on(folder: Path, where: str) -> None:
    with open_again(folder) as store:
        store.create_run("flow", run_id="run")
        store.create_run("flow", run_id="last", user_message="ü")
        head = store.log.head()
    data = segment_of(folder).read_bytes()
    line = data[data.rindex(b"\n", 0, -1) + 1 :]
    share = TORN[where]
    torn = line[: line.index("ü".encode()) + 1] if share is None else line[: int(len(line) * share) + 1]
    segment_of(folder).write_bytes(data + torn)
    with open_again(folder) as store:
        assert store.log.head() == head
        assert any(path.read_bytes() == torn for path in folder.rglob("*") if path.is_file())
        store.create_run("flow", run_id="next")
    assert segment_of(folder).read_bytes().startswith(data)
    assert [json.loads(line) for line in lines_of(segment_of(folder))]
    with open_again(folder) as store:
        assert [run.id for run in store.list_runs()] == ["run", "last", "next"]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing but NUL": lambda line: bytes(len(line)),
    "another byte": lambda line: line[:-9] + b"#" + line[-8:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_s2_06_damage_in_the_middle_is_an_error_that_says_where(folder: Path, damage: str) -> None:
    with open_again(folder) as store:
        for number in range(3):
            store.create_run("flow", run_id=str(number))
    first, second, third = lines_of(segment_of(folder))
    segment_of(folder).write_bytes(b"\n".join([first, DAMAGE[damage](second), third, b""]))
    with pytest.raises(LogCorrupt) as refused, open_again(folder) as store:
        list(store.log.read("1"))
    assert segment_of(folder).name in refused.value.file
    assert (refused.value.offset, refused.value.length) == (len(first) + 1, len(second) + 1)


def test_s2_07_each_output_is_a_file_that_says_where_it_came_from(file_store: Store, folder: Path) -> None:
    run_of(file_store, "../a", "A", "a")
    for task_id in ("../a", "A", "a"):
        completed(file_store, "run", task_id, {"of": task_id})
    file_store.write_folders()
    files = sorted((folder / "run" / "outputs").iterdir())
    assert {decode_name(path.name.removesuffix(".json")) for path in files} == {"../a", "A", "a"}
    for path in files:
        said = json.loads(path.read_bytes())
        output = file_store.get_output("run", said["task_id"])
        assert output is not None
        assert said["output"] == {"of": said["task_id"]}
        assert (said["attempt"], said["version"], said["digest"]) == (1, output.version, output.digest)


def test_s2_07_outputs_follow_from_the_events_and_never_the_other_way_round(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a", "b", "c")
    for task_id in ("a", "b"):
        completed(file_store, "run", task_id, task_id)
    file_store.write_folders()
    outputs = folder / "run" / "outputs"
    (outputs / "a.json").write_bytes((outputs / "b.json").read_bytes())
    (outputs / "b.json").unlink()
    (outputs / "c.json").write_text('{"task_id":"c","output":"forged"}')
    workflows = WorkflowStore(file_store)
    assert workflows.get_completed_dag_node_outputs("run") == {"a": "a", "b": "b"}
    file_store.rebuild()
    assert files_in(folder) == files_due(file_store, folder)
    file_store.invalidate_task("run", "a")
    file_store.write_folders()
    assert [path.name for path in outputs.iterdir()] == ["b.json"]


def test_s2_08_run_json_holds_the_run_at_every_status_and_how_fresh_it_is(file_store: Store, folder: Path) -> None:
    workflows = WorkflowStore(file_store)
    workflows.create_workflow_run("flow", id="run", user_message="do it", metadata={"n": 1})
    file_store.write_folders()
    told = [json.loads((folder / "run" / "run.json").read_bytes())]
    for status in ("running", "waiting", "completed"):
        workflows.update_workflow_run("run", status=status)
        file_store.write_folders()
        told.append(json.loads((folder / "run" / "run.json").read_bytes()))
    assert [run["status"] for run in told] == ["pending", "running", "waiting", "completed"]
    assert [run["version"] for run in told] == [1, 2, 3, 4]
    assert (told[0]["id"], told[0]["workflow_name"], told[0]["user_message"]) == ("run", "flow", "do it")
    assert told[-1]["metadata"] == {"n": 1}


def test_s2_08_a_lost_or_spoilt_run_json_is_made_again(file_store: Store, folder: Path) -> None:
    run_of(file_store)
    file_store.write_folders()
    path = folder / "run" / "run.json"
    good = path.read_bytes()
    path.unlink()
    file_store.rebuild()
    assert path.read_bytes() == good
    path.write_bytes(b'{"status":"completed"}')
    file_store.wait_run("run", "approval")
    file_store.write_folders()
    assert json.loads(path.read_bytes())["status"] == "waiting"
    assert files_in(folder) == files_due(file_store, folder)
    with open_store(f"jsonl:{folder}", create=False) as other:
        assert other.get_run("run") == file_store.get_run("run")

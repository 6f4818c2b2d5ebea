"""A run's folder is there for people and their tools: true soon after a command, and mended after any accident."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from eventstore.codec import Codec
from eventstore.log import Append, NewEvent
from eventstore.names import decode_name, encode_name
from projections import Store
from projections.following_folders import FollowingFolders
from projections.verify_files import verify_files
from tests.stores import completed, files_due, files_in, following, open_again, run_of

PATIENCE = 60.0
"""Seconds after which a thread counts as stuck."""


def test_a_run_is_files_that_ordinary_tools_read(file_store: Store, folder: Path) -> None:
    run_of(file_store, "extract")
    completed(file_store, "run", "extract", {"rows": 3})
    file_store.write_folders()
    run = json.loads((folder / "run" / "run.json").read_bytes())
    assert (run["id"], run["workflow_name"], run["status"]) == ("run", "flow", "running")
    lines = (folder / "run" / "events.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    events = [json.loads(line) for line in lines]
    assert [event["version"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["position"] for event in events] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in events][-2:] == ["taskRunStarted", "taskRunCompleted"]
    output = json.loads((folder / "run" / "outputs" / "extract.json").read_bytes())
    assert (output["task_id"], output["attempt"], output["output"], output["version"]) == ("extract", 1, {"rows": 3}, 5)


def test_a_large_output_is_named_by_its_blob(folder: Path) -> None:
    with open_again(folder, threshold=10) as store:
        run_of(store, "a")
        completed(store, "run", "a", "x" * 50)
        store.write_folders()
        output = json.loads((folder / "run" / "outputs" / "a.json").read_bytes())
        assert "output" not in output
        assert json.loads((folder / output["blob"]).read_bytes()) == "x" * 50
        assert output["size"] == 52


def test_a_folder_is_written_soon_after_a_commit(
    file_store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up, written = FollowingFolders.catch_up, threading.Event()

    def tell(folders: FollowingFolders) -> None:
        catch_up(folders)
        written.set()

    monkeypatch.setattr(FollowingFolders, "catch_up", tell)
    file_store.create_run("flow", run_id="run")
    assert written.wait(PATIENCE)
    assert files_in(folder) == files_due(file_store, folder) != {}


def test_closing_leaves_no_folder_behind(folder: Path) -> None:
    with open_again(folder) as store:
        run_of(store, "a")
        completed(store, "run", "a", 1)
        due = files_due(store, folder)
    assert files_in(folder) == due


def test_what_a_killed_program_has_not_written_is_no_damage_and_is_written_by_the_next(
    file_store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(file_store, "a", "b")
    completed(file_store, "run", "b")
    file_store.write_folders()
    monkeypatch.setattr(FollowingFolders, "soon", lambda _: None)
    completed(file_store, "run", "a", 1)
    file_store.invalidate_task("run", "b")
    run_of(file_store, "c", run_id="new")
    killed = Path(shutil.copytree(folder, folder.with_name("killed")))
    assert "new" not in [path.name for path in killed.iterdir()]
    assert verify_files(killed, Codec()).clean
    with open_again(killed) as restarted:
        assert files_in(killed) == files_due(restarted, killed)


def test_line_separators_of_unicode_do_not_break_a_line(file_store: Store, folder: Path) -> None:
    file_store.create_run("flow", run_id="run", user_message="one\u2028two\u0085three\nfour\0")
    file_store.write_folders()
    (line,) = (folder / "run" / "events.jsonl").read_bytes().splitlines()
    assert json.loads(line)["data"]["user_message"] == "one\u2028two\u0085three\nfour\0"


def test_an_output_that_no_longer_counts_has_no_file(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a")
    completed(file_store, "run", "a", 1)
    file_store.write_folders()
    assert (folder / "run" / "outputs" / "a.json").exists()
    file_store.invalidate_task("run", "a")
    file_store.write_folders()
    assert not (folder / "run" / "outputs" / "a.json").exists()


def test_a_deleted_run_has_no_folder(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a")
    completed(file_store, "run", "a")
    file_store.write_folders()
    file_store.delete_run("run", force=True)
    file_store.write_folders()
    assert files_in(folder) == {}
    assert not (folder / "run").exists()


def test_a_purged_run_has_no_folder_however_long_its_id(file_store: Store, folder: Path) -> None:
    run_id = "ä" * 400
    run_of(file_store, "ö" * 400, run_id=run_id)
    completed(file_store, run_id, "ö" * 400)
    file_store.write_folders()
    assert len(files_in(folder)) == 3
    file_store.log.purge(run_id)
    assert [part.name for part in folder.iterdir() if not part.name.startswith("_")] == []


def test_a_run_that_was_purged_and_made_again_has_only_its_new_files(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a", "b")
    completed(file_store, "run", "a")
    file_store.write_folders()
    file_store.log.hook = None
    file_store.log.purge("run")
    run_of(file_store, "c")
    file_store.log.hook = following(file_store)
    completed(file_store, "run", "c")
    file_store.write_folders()
    assert files_in(folder) == files_due(file_store, folder)
    assert set(files_in(folder)) == {"run/run.json", "run/events.jsonl", "run/outputs/c.json"}


@pytest.mark.parametrize("run_id", ["..", ".", "a/../../b", "_views.db", "CON", "con", "x:y", "\n", "日本", "🙂" * 225])
def test_any_run_id_is_a_folder_of_its_own(file_store: Store, folder: Path, run_id: str) -> None:
    run_of(file_store, run_id, run_id=run_id)
    completed(file_store, run_id, run_id, run_id)
    file_store.write_folders()
    name = encode_name(run_id)
    assert decode_name(name) == run_id
    assert set(files_in(folder)) == {f"{name}/run.json", f"{name}/events.jsonl", f"{name}/outputs/{name}.json"}
    assert files_in(folder) == files_due(file_store, folder)
    assert {part.name for part in folder.parent.iterdir()} == {"store"}


def test_ids_that_differ_only_in_case_have_names_that_differ_in_more(file_store: Store, folder: Path) -> None:
    for run_id in ("run", "Run", "RUN"):
        run_of(file_store, "a", "A", run_id=run_id)
        completed(file_store, run_id, "a", "small")
        completed(file_store, run_id, "A", "capital")
    file_store.write_folders()
    assert len({path.lower() for path in files_in(folder)}) == 3 * 4


Accident = Callable[[Path], object]
ACCIDENTS: dict[str, Accident] = {
    "the folder is deleted": lambda run: shutil.rmtree(run),
    "run.json is deleted": lambda run: (run / "run.json").unlink(),
    "events.jsonl is deleted": lambda run: (run / "events.jsonl").unlink(),
    "events.jsonl is cut": lambda run: (run / "events.jsonl").write_bytes(b""),
    "a line is added to events.jsonl": lambda run: append(run / "events.jsonl", b'{"position":99}\n'),
    "half a line is added to events.jsonl": lambda run: append(run / "events.jsonl", b'{"posi'),
}


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


@pytest.mark.parametrize("accident", ACCIDENTS.values(), ids=ACCIDENTS.keys())
def test_an_accident_is_mended_by_the_next_event_of_the_run(
    file_store: Store, folder: Path, accident: Accident
) -> None:
    run_of(file_store, "a", "b")
    completed(file_store, "run", "a")
    file_store.write_folders()
    accident(folder / "run")
    file_store.start_task("run", "b")
    file_store.write_folders()
    assert files_in(folder) == files_due(file_store, folder)


ACCIDENTS_TO_OUTPUTS: dict[str, Accident] = {
    **ACCIDENTS,
    "an output is deleted": lambda run: (run / "outputs" / "a.json").unlink(),
    "all outputs are deleted": lambda run: shutil.rmtree(run / "outputs"),
}


@pytest.mark.parametrize("accident", ACCIDENTS_TO_OUTPUTS.values(), ids=ACCIDENTS_TO_OUTPUTS.keys())
def test_an_accident_is_mended_when_the_run_itself_goes_on(file_store: Store, folder: Path, accident: Accident) -> None:
    run_of(file_store, "a", "b")
    completed(file_store, "run", "a")
    file_store.write_folders()
    accident(folder / "run")
    file_store.wait_run("run", "approval")
    file_store.write_folders()
    assert files_in(folder) == files_due(file_store, folder)


REBUILT: dict[str, Accident] = {
    **ACCIDENTS_TO_OUTPUTS,
    "an output is changed": lambda run: append(run / "outputs" / "a.json", b" "),
    "run.json is changed": lambda run: (run / "run.json").write_bytes(b"{}"),
    "an event is changed": lambda run: (run / "events.jsonl").write_bytes(
        (run / "events.jsonl").read_bytes().replace(b"flow", b"glow")
    ),
    "an output of nothing is added": lambda run: (run / "outputs" / "ghost.json").write_bytes(b"{}"),
    "a draft is left": lambda run: (run / "_0123.new").write_bytes(b"{"),
}


@pytest.mark.parametrize("accident", REBUILT.values(), ids=REBUILT.keys())
def test_any_accident_is_mended_by_rebuilding(file_store: Store, folder: Path, accident: Accident) -> None:
    run_of(file_store, "a", "b")
    completed(file_store, "run", "a")
    file_store.write_folders()
    before = files_in(folder)
    accident(folder / "run")
    file_store.rebuild()
    assert files_in(folder) == before


def test_a_writer_that_died_between_files_and_checkpoint_leaves_nothing_behind(folder: Path) -> None:
    with open_again(folder) as store:
        run_of(store, "a")
        store.write_folders()
        before = {path: path.read_bytes() for path in folder.rglob("_views.db*")}
        completed(store, "run", "a", 1)
        store.write_folders()
        after = files_in(folder)
        for path in folder.rglob("_views.db*"):
            path.unlink()
        for path, content in before.items():
            path.write_bytes(content)
        with open_again(folder) as restarted:
            assert restarted.get_result("run", "a") == 1
            assert files_in(folder) == after == files_due(restarted, folder)


def test_other_peoples_files_stay(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a")
    mine = {"run/report.html": b"<p>", "run/data/x.csv": b"1,2", "notes.txt": b"hello", "notes/outputs/y": b"y"}
    for path, content in mine.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    file_store.log.purge("notes")
    completed(file_store, "run", "a")
    file_store.write_folders()
    file_store.rebuild()
    file_store.delete_run("run", force=True)
    file_store.log.purge("run")
    assert files_in(folder) == mine


def test_a_folder_that_cannot_be_written_holds_nothing_up_and_is_written_later(
    file_store: Store, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "run").write_bytes(b"a file where a folder should be")
    with caplog.at_level(logging.WARNING, "eventstore"):
        run_of(file_store, "a")
        file_store.write_folders()
    assert "folder of run 'run'" in caplog.text
    assert file_store.list_task_runs("run")[0].status == "pending"
    (folder / "run").unlink()
    file_store.start_task("run", "a")
    file_store.write_folders()
    assert files_in(folder) == files_due(file_store, folder)


def test_rebuilding_says_when_a_folder_cannot_be_written(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a")
    file_store.write_folders()
    shutil.rmtree(folder / "run")
    (folder / "run").write_bytes(b"")
    with pytest.raises(OSError, match="cannot write the run folders"):
        file_store.rebuild()
    assert [task.task_id for task in file_store.list_task_runs("run")] == ["a"]


def test_streams_that_are_no_runs_have_no_folders(file_store: Store, folder: Path) -> None:
    file_store.log.append([Append("sensor", [NewEvent(type="sensor.read", data=b"{}")])])
    file_store.write_folders()
    assert files_in(folder) == {}


def test_folders_and_files_are_private(file_store: Store, folder: Path) -> None:
    run_of(file_store, "a")
    completed(file_store, "run", "a")
    file_store.write_folders()
    modes = {path.stat().st_mode & 0o777 for path in (folder / "run").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in [folder, *(folder / "run").glob("outputs")]} == {0o700}


def test_a_run_that_is_gone_loses_a_folder_that_the_tables_know_nothing_of(folder: Path) -> None:
    with open_again(folder) as store:
        run_of(store, "a", run_id="kept")
        run_of(store, "a", run_id="deleted")
        run_of(store, "a", run_id="purged")
        store.write_folders()
        leftovers = shutil.copytree(folder, folder.with_name("leftovers"))
        store.delete_run("deleted", force=True)
        store.log.purge("purged")
    for name in ("deleted", "purged"):
        shutil.copytree(leftovers / name, folder / name)
    (folder / "_views.db").unlink()
    with open_again(folder) as store:
        assert set(files_in(folder)) == {"kept/run.json", "kept/events.jsonl"}
        assert files_in(folder) == files_due(store, folder)


def test_the_thread_ends_that_a_store_is_closed_beside_just_as_folders_are_due(file_store: Store) -> None:
    folders = following(file_store)._folders
    assert folders is not None
    stop = folders._stop

    class ClosedMeanwhile(threading.Event):
        def clear(self) -> None:
            stop.set()
            self.set()
            super().clear()

    folders._due = ClosedMeanwhile()
    file_store.create_run("flow")
    assert folders._writer is not None
    folders._writer.join(PATIENCE)
    assert not folders._writer.is_alive()
    stop.clear()

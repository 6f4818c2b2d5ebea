"""How commands end when they cannot do what was asked: a code for programs, one line and a hint for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventstore.errors import Conflict, EventStoreError, Unavailable
from projections import Store
from projections.cli import main
from tests.sql_stores import change_event
from tests.stores import ONE_OF_EACH
from tests.verify.example import change_views, segments

from .conftest import Outcome, Run

READING = (
    ["runs"],
    ["show", "done"],
    ["events", "done"],
    ["outputs", "done"],
    ["resume-plan", "done"],
    ["verify"],
    ["rebuild"],
)
TRACE = Path(__file__).parents[1] / "data" / "trace-1.5.json"


def assert_refused(ended: Outcome, code: int, *words: str) -> None:
    """No data, one line that says what, one that says what to do, and no traceback."""
    assert (ended.code, ended.out) == (code, "")
    error, hint = ended.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    for word in words:
        assert word in ended.err


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """As somebody who may not look into this folder, whoever runs the tests."""
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_where_there_is_no_store_nothing_is_made(run: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("hello")
    for name in ("absent", "folder", "file", "file/below"):
        for scheme in ("", "jsonl:", "sqlite:"):
            no_database = name == "file" and scheme != "jsonl:"
            assert_refused(run(*command, "-s", f"{scheme}{tmp_path}/{name}"), 2 if no_database else 6, name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_store_that_may_not_be_read_is_unavailable(run: Run, folder: Path, command: list[str]) -> None:
    assert run(*command, "-s", folder).code == 0  # and all that it needs is imported
    with without_rights(folder):
        ended = run(*command, "-s", folder)
    assert_refused(ended, 6, "Permission denied", "Check the owner and the permissions")


def test_a_store_that_cannot_be_made_is_unavailable(run: Run, tmp_path: Path) -> None:
    assert run("import", "wfformat", TRACE, "-s", tmp_path / "first").code == 0
    (tmp_path / "file").write_text("hello")
    ended = run("import", "wfformat", TRACE, "-s", f"jsonl:{tmp_path}/file")
    assert (ended.code, ended.out) == (6, "")
    assert ended.err.startswith("error: ")
    with without_rights(tmp_path):
        for name in ("new", "new.db"):
            assert_refused(run("import", "wfformat", TRACE, "-s", tmp_path / name), 6, "Permission denied")


@pytest.mark.parametrize("command", ["show", "events", "outputs", "resume-plan", "timeline", "tree", "fork", "purge"])
def test_an_unknown_run_is_not_found(run: Run, address: str, command: str) -> None:
    for run_id in ("nope", "../done", "💥", "x" * 900):
        assert_refused(run(command, run_id, "-s", address), 3, "eventstore runs")


def test_a_deleted_run_is_not_found(run: Run, address: str) -> None:
    for command in ("show", "outputs", "resume-plan"):
        assert run(command, "gone", "-s", address).code == 3


def test_an_unknown_task_is_not_found(run: Run, address: str) -> None:
    assert_refused(run("outputs", "done", "nope", "-s", address), 3, "nope")
    assert_refused(run("approve", "nope", "a", "-s", address), 3, "eventstore runs")
    assert_refused(run("outputs", "failed", "write", "-s", address), 3, "not completed")


def test_an_unknown_status_is_a_usage_error_that_lists_the_known_ones(run: Run, address: str) -> None:
    known = ("pending", "running", "waiting", "completed", "failed", "cancelled")
    assert_refused(run("runs", "--status", "done", "-s", address), 2, "unknown status 'done'", *known)


def test_a_store_in_memory_cannot_be_verified(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert_refused(run("verify", "-s", "memory:"), 2, "memory")
    assert run("runs", "-s", "memory:", "-o", "json").json == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs"],
        ["show", "-s", "x"],
        ["show", "a", "b", "-s", "x"],
        ["runs", "-s", "x", "-o", "yaml"],
        ["runs", "-s", "x", "--limit", "-1"],
        ["runs", "-s", "x", "--limit", "many"],
        ["runs", "-s", "x", "--nope"],
        ["import", "wfformat", "-s", "x"],
        ["import", "nope"],
        ["nope"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_with_the_way_to_help(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    usage, way, *_, error = ended.err.splitlines()
    assert usage.startswith("Usage: eventstore")
    assert way.endswith("for help.")
    assert error.startswith("Error: ")


def test_text_that_is_no_utf_8_is_a_usage_error(run: Run, address: str) -> None:
    for command in (
        ["show", "\udcff"],
        ["events", "\udcff"],
        ["outputs", "done", "\udcff"],
        ["runs", "--workflow", "\udcff"],
        ["purge", "\udcff", "--yes"],
        ["board", "show", "\udcff"],
        ["board", "list", "--assignee", "\udcff"],
    ):
        assert_refused(run(*command, "-s", address), 2, "lone surrogate")


def test_numbers_and_times_that_no_store_has_are_usage_errors(run: Run, address: str) -> None:
    assert_refused(run("board", "list", "--priority", 10**30, "-s", address), 2, "beyond 64 bits")
    for time in ("0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"):
        assert_refused(run("purge", "--ended-before", time, "-s", address), 2, "outside the years 1 to 9999")


def test_a_damaged_log_is_corrupt(run: Run, folder: Path) -> None:
    data = segments(folder)[-1].read_bytes()
    segments(folder)[-1].write_bytes(data[:-300])
    for command in READING:
        ended = run(*command, "-s", folder)
        if command == ["verify"]:
            assert ended.code == 5
        else:
            assert_refused(ended, 5, "eventstore verify")


@pytest.mark.parametrize("kind", ONE_OF_EACH[2:])
def test_a_damaged_log_in_a_database_is_corrupt(run: Run, place: str) -> None:
    change_event(place, "UPDATE workflow_events SET payload = ? WHERE run_id = 'done' AND sequence = 2", b"{}")
    for command in (["events", "done"], ["rebuild"]):
        ended = run(*command, "-s", place)
        assert ended.code == 5
        assert "position 2" in ended.err
    assert run("verify", "-s", place).code == 5
    assert run("show", "done", "-s", place).code == 0  # the views are as they were


def test_a_lost_or_damaged_blob_is_corrupt(run: Run, folder: Path) -> None:
    (blob,) = (folder / "_blobs" / "d6").iterdir()
    blob.write_bytes(b"Dear nobody")
    for format in ("text", "json", "jsonl"):
        assert_refused(run("outputs", "done", "write", "-s", folder, "-o", format), 5, blob.name)
    assert_refused(run("outputs", "done", "-s", folder, "-o", "json"), 5)
    blob.unlink()
    assert_refused(run("outputs", "done", "write", "-s", folder), 5, "missing")
    assert run("outputs", "done", "-s", folder).code == 0


def test_bad_traces_are_usage_errors_that_name_the_file(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    store = tmp_path / "store"
    assert_refused(run("import", "wfformat", bad, TRACE, "-s", store), 2, str(bad))
    assert not store.exists()
    ended = run("import", "wfformat", TRACE, bad, "-s", store)
    assert ended.code == 2
    assert str(bad) in ended.err
    assert len(ended.out.splitlines()) == 2  # what was imported before it
    assert len(run("runs", "-s", store).text) == 2


def test_a_conflict_has_its_own_code(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(store: Store) -> None:
        raise Conflict("somebody was\nfaster", "Try again.")

    monkeypatch.setattr(Store, "rebuild", lambda store, progress: conflict(store))
    ended = run("rebuild", "-s", folder)
    assert_refused(ended, 4, r"error: somebody was\nfaster", "hint: Try again.")


def test_a_system_error_nobody_foresaw_is_told_in_one_line(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: Store, progress: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(Store, "rebuild", full)
    assert_refused(run("rebuild", "-s", folder), 6, "somewhere: No space left on device", "Free some space")


def test_an_error_without_a_hint_is_one_line(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(store: Store, progress: object) -> None:
        raise EventStoreError("it did not work")

    monkeypatch.setattr(Store, "rebuild", fail)
    ended = run("rebuild", "-s", folder)
    assert (ended.code, ended.out, ended.err) == (1, "", "error: it did not work\n")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        main(["--debug", "runs", "-s", str(tmp_path)])


def test_views_are_mended_where_they_can_be(run: Run, folder: Path) -> None:
    change_views(folder, "UPDATE checkpoints SET hash = 'x' WHERE name = 'views'")
    assert run("runs", "-s", folder).code == 0
    assert run("verify", "-s", folder).code == 0

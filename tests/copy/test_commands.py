"""`eventstore copy`, `export` and `import run`: what they say, and how they end."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from projections import open_store
from projections.cli import output
from tests.cli.conftest import Run, run
from tests.cli.test_processes import PROGRAM
from tests.cli.test_progress import Screen, screen
from tests.verify.example import check, make

from .comparing import assert_copies

__all__ = ["run", "screen"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of the example."""
    return make(tmp_path / "store")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where a copy is to come."""
    return tmp_path / "there"


def test_a_copy_says_how_much_it_copied(run: Run, store: Path, there: Path) -> None:
    assert run("copy", store, there).text == ["equal: copied 33 of 33 events, 2 of 2 blobs, 1 checkpoints"]
    assert run("copy", store, f"jsonl:{there}").text == ["equal: copied 0 of 33 events, 0 of 2 blobs, 1 checkpoints"]
    with open_store(store) as one, open_store(there) as other:
        assert_copies(one, other)
    assert check(there).findings == ()


def test_a_copy_says_it_in_json(run: Run, store: Path, there: Path) -> None:
    expected = {
        "equal": True,
        "events": 33,
        "new_events": 33,
        "blobs": 2,
        "new_blobs": 2,
        "checkpoints": 1,
        "differences": [],
    }
    assert run("copy", store, there, "-o", "json").json == expected
    assert run("copy", store, there, "-o", "jsonl").jsonl == [expected | {"new_events": 0, "new_blobs": 0}]


def test_a_copy_that_differs_ends_with_5_and_says_in_what(run: Run, store: Path, there: Path) -> None:
    run("copy", store, there)
    (blob, *_) = there.glob("_blobs/*/*")
    blob.write_bytes(b"damaged")
    ended = run("copy", store, there)
    assert ended.code == 5
    assert blob.name in ended.out
    assert "NOT equal" in ended.out
    ended = run("copy", store, there, "-o", "json")
    assert (ended.code, json.loads(ended.out)["equal"]) == (5, False)


def test_a_store_that_is_no_copy_ends_it_with_4(run: Run, store: Path, there: Path) -> None:
    with open_store(there) as other:
        other.create_run("other", run_id="own")
    ended = run("copy", store, there)
    assert (ended.code, ended.out) == (4, "")
    assert "'own'" in ended.err
    assert "hint: Copy into an empty store" in ended.err


def test_a_store_is_not_copied_to_itself(run: Run, store: Path) -> None:
    for other in (store, f"jsonl:{store}", store / ".." / "store"):
        ended = run("copy", store, other)
        assert (ended.code, ended.out) == (2, "")
        assert "hint:" in ended.err


def test_nothing_is_begun_for_a_store_that_is_not_there(run: Run, tmp_path: Path, there: Path) -> None:
    ended = run("copy", tmp_path / "nothing", there)
    assert (ended.code, ended.out) == (6, "")
    assert not there.exists()


def test_a_copy_is_of_two_stores(run: Run, store: Path) -> None:
    assert run("copy", store).code == 2


def test_a_run_goes_to_a_file_and_from_there_into_a_store(run: Run, store: Path, there: Path, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    assert run("export", "done", "-s", store, "--to", file).text == [f"exported 15 events to {file}"]
    assert run("import", "run", file, "-s", there).text == [
        "RUN   EVENTS  NEW  BLOBS  NOTE",
        "done  15      15   1",
    ]
    assert run("import", "run", file, "-s", there).text[1:] == ["done  15      0    1      already there"]
    assert run("outputs", "done", "-s", there).out == run("outputs", "done", "-s", store).out
    assert list(tmp_path.glob(".export*")) == []
    assert file.stat().st_mode & 0o077 == 0


def test_a_run_goes_to_stdout_as_to_a_file(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    run("export", "done", "-s", store, "--to", file)
    ended = run("export", "done", "-s", store)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.encode() == file.read_bytes()


def test_several_runs_are_imported_and_said_in_json(run: Run, store: Path, there: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{run_id}.jsonl" for run_id in ("done", "gone")]
    for file in files:
        run("export", file.stem, "-s", store, "--to", file)
    done, gone = (
        {"run_id": "done", "events": 15, "new_events": 15, "blobs": 1},
        {"run_id": "gone", "events": 3, "new_events": 3, "blobs": 0},
    )
    assert run("import", "run", *files, "-s", there, "-o", "json").json == [done, gone]
    assert run("import", "run", files[1], "-s", there, "-o", "jsonl").jsonl == [gone | {"new_events": 0}]


@pytest.mark.parametrize("given", ["-", "/dev/stdin"])
def test_a_run_comes_through_a_pipe(store: Path, there: Path, given: str) -> None:
    exported = subprocess.run([*PROGRAM, "export", "done", "-s", store], check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(
        [*PROGRAM, "import", "run", given, "-s", there], check=True, input=exported, stdout=subprocess.DEVNULL
    )
    with open_store(there) as other:
        assert other.get_result("done", "fold") == {"folds": 2}


def test_a_file_that_is_there_is_replaced_only_if_asked_to(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    file.write_text("mine")
    ended = run("export", "done", "-s", store, "--to", file)
    assert (ended.code, file.read_text()) == (4, "mine")
    assert "--yes" in ended.err
    assert run("export", "done", "-s", store, "--to", file, "--yes").code == 0
    assert file.read_text().startswith('{"file":"run"')


def test_an_export_that_fails_leaves_no_file(run: Run, store: Path, tmp_path: Path) -> None:
    for blob in store.glob("_blobs/*/*"):
        blob.unlink()
    folder = tmp_path / "files"
    folder.mkdir()
    assert run("export", "done", "-s", store, "--to", folder / "done.jsonl").code == 5
    assert list(folder.iterdir()) == []
    assert run("export", "done", "-s", store, "--to", folder / "none" / "done.jsonl").code == 6


def test_an_unknown_run_ends_an_export_with_3(run: Run, store: Path, tmp_path: Path) -> None:
    ended = run("export", "unknown", "-s", store, "--to", tmp_path / "unknown.jsonl")
    assert (ended.code, ended.out) == (3, "")
    assert not (tmp_path / "unknown.jsonl").exists()


def test_a_bad_file_ends_an_import_with_2_and_begins_no_store(
    run: Run, store: Path, there: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    run("export", "gone", "-s", store, "--to", good)
    bad.write_bytes(good.read_bytes()[:-5])
    ended = run("import", "run", bad, good, "-s", there)
    assert (ended.code, ended.out) == (2, "")
    assert f"error: {bad}, line 4: " in ended.err
    assert "hint: " in ended.err
    assert not there.exists()

    ended = run("import", "run", good, bad, "-s", there, "-o", "jsonl")
    assert (ended.code, ended.out.count("\n")) == (2, 1)


def test_a_file_that_is_not_there_ends_an_import_with_6(run: Run, there: Path, tmp_path: Path) -> None:
    assert run("import", "run", tmp_path / "none.jsonl", "-s", there).code == 6
    assert not there.exists()


def test_another_run_of_the_same_id_ends_an_import_with_4(run: Run, store: Path, there: Path, tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    run("export", "done", "-s", store, "--to", file)
    with open_store(there) as other:
        other.create_run("letters", run_id="done")
    ended = run("import", "run", file, "-s", there)
    assert (ended.code, ended.out) == (4, "")
    assert "hint: Import into another store" in ended.err


def test_long_work_shows_its_progress_on_a_terminal(
    screen: Screen, store: Path, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0)
    file = tmp_path / "done.jsonl"
    seen = {
        "copy": screen("copy", store, there),
        "export": screen("export", "done", "-s", store, "--to", file),
        "import": screen("import", "run", file, "-s", tmp_path / "new"),
    }
    labels = {
        "copy": ["copying blobs", "copying events", "comparing events", "comparing blobs"],
        "export": ["exporting"],
        "import": ["checking", "importing"],
    }
    for command, shown in seen.items():
        assert all(label in shown for label in labels[command])
        assert shown.count("100%") >= len(labels[command])


def test_who_stops_reading_an_export_ends_it_quietly(store: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with io.FileIO(theirs, "w") as closed:
        ended = subprocess.run(
            [*PROGRAM, "export", "done", "-s", store],
            check=False,
            stdout=closed,
            stderr=subprocess.PIPE,
        )
    assert (ended.returncode, ended.stderr) == (0, b"")

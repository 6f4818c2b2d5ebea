"""Importing histories of Temporal on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.stores import address_of

from .conftest import Run

HISTORY = Path(__file__).parents[1] / "data" / "history.json"
RUN = "0195f000-0000-7000-8000-000000000002"


def test_a_history_is_imported_and_importing_it_again_changes_nothing(run: Run, kind: str, tmp_path: Path) -> None:
    store = address_of(kind, tmp_path / "new")
    names, line = run("import", "temporal", HISTORY, "-s", store).text
    assert names.split() == ["RUN", "WORKFLOW", "EVENTS", "TASKS", "NOTE"]
    assert line.split() == [RUN, "FirePots", "42", "5"]
    (again,) = run("import", "temporal", HISTORY, "-s", store, "-o", "json").json
    assert again == {
        "file": str(HISTORY),
        "run_id": RUN,
        "workflow": "FirePots",
        "events": 42,
        "tasks": 5,
        "repeated": True,
    }
    assert run("import", "temporal", HISTORY, "-s", store).text[1].endswith("already there")


def test_a_run_that_was_imported_is_shown(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "new"
    assert run("import", "temporal", HISTORY, "-s", store).code == 0
    shown = "\n".join(run("show", RUN, "-s", store).text)
    assert "FirePots" in shown
    assert "Broken: the vase is in pieces" in shown
    assert run("verify", "-s", store).code == 0


def test_no_store_is_begun_for_a_file_that_is_no_history(run: Run, tmp_path: Path) -> None:
    bad, store = tmp_path / "bad.json", tmp_path / "store"
    bad.write_text("[]")
    ended = run("import", "temporal", bad, HISTORY, "-s", store)
    assert (ended.code, ended.out) == (2, "")
    assert f"{bad}: has no events" in ended.err
    assert not store.exists()


def test_what_was_imported_before_a_bad_file_is_told(run: Run, tmp_path: Path) -> None:
    bad, store = tmp_path / "bad.json", tmp_path / "store"
    bad.write_text("[]")
    ended = run("import", "temporal", HISTORY, bad, "-s", store)
    assert ended.code == 2
    assert RUN in ended.out
    assert run("show", RUN, "-s", store).code == 0

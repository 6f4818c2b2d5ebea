"""Runs are found on the command line by everything they can be found by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from projections import open_store
from tests.stores import Clock, address_of

from .conftest import Run
from .test_exit_codes import assert_refused


@pytest.fixture(scope="module")
def runs_in(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a run every hour from noon on. Not to be changed."""
    address = address_of("sqlite", tmp_path_factory.mktemp("runs") / "store")
    clock = Clock(step=timedelta(0))
    with open_store(address, durability="none", clock=clock) as store:
        for run_id, parent in {"a": None, "b": "a", "c": "a", "d": "b"}.items():
            store.create_run("flow", run_id=run_id, parent_run_id=parent, metadata={"id": run_id, "n": len(run_id)})
            clock.time += timedelta(hours=1)
        store.cancel_run("d")
        store.delete_run("d")
    return address


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "abc"),
        (["--since", "2026-01-31T13:00Z"], "bc"),
        (["--since", "2026-01-31T14:00:00+02:00"], "abc"),
        (["--until", "2026-01-31T13:00:00.000000Z"], "a"),
        (["--since", "2026-01-31T13:00+00:00", "--until", "2026-01-31T14:00Z"], "b"),
        (["--metadata", 'id="b"'], "b"),
        (["--metadata", "n=1", "--metadata", 'id="c"'], "c"),
        (["--metadata", "n=1.0"], ""),
        (["--parent", "a"], "bc"),
        (["--parent", "b", "--deleted"], "d"),
        (["--newest"], "cba"),
        (["--newest", "--offset", 1, "--limit", 1], "b"),
        (["--offset", 2], "c"),
        (["--offset", 10**30], ""),
    ],
)
def test_runs_are_chosen(run: Run, runs_in: str, options: list[object], expected: str) -> None:
    assert [each["id"] for each in run("runs", *options, "-s", runs_in, "-o", "json").json] == list(expected)


def test_a_page_for_people_says_how_to_go_on_beside_the_data(run: Run, runs_in: str) -> None:
    page = run("runs", "--offset", 1, "--limit", 1, "-s", runs_in)
    assert (page.code, len(page.out.splitlines())) == (0, 2)
    assert page.err == "2 to 2 of 3; go on with --offset 2\n"
    assert len(run("runs", "--offset", 2, "--limit", 1, "-s", runs_in).text) == 2
    assert len(run("runs", "--offset", 1, "--limit", 1, "-s", runs_in, "-o", "jsonl").jsonl) == 1


def test_runs_are_counted(run: Run, runs_in: str) -> None:
    counts = run("runs", "--count", "--deleted", "-s", runs_in, "-o", "json").json
    assert counts == {"pending": 3, "running": 0, "waiting": 0, "completed": 0, "failed": 0, "cancelled": 1}
    names, pending, *_, cancelled = run("runs", "--count", "-s", runs_in).text
    assert (names.split(), pending.split(), cancelled.split()) == (
        ["STATUS", "RUNS"],
        ["pending", "3"],
        ["cancelled", "0"],
    )
    ended = run("runs", "--count", "--status", "failed", "-s", runs_in)
    assert (ended.code, ended.out) == (2, "")


@pytest.mark.parametrize("time", ["2026-01-31T12:00", "2026-01-31", "noon", "", "2026-13-01T00:00Z"])
@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_without_a_zone_is_a_usage_error(run: Run, runs_in: str, option: str, time: str) -> None:
    assert_refused(run("runs", option, time, "-s", runs_in), 2, option, "not a time with its zone", "UTC")


@pytest.mark.parametrize("pair", ["id=b", "id", "id=", "", "id={", "id=NaN", "id=\udcff"])
def test_metadata_that_are_no_json_are_a_usage_error(run: Run, runs_in: str, pair: str) -> None:
    assert_refused(run("runs", "--metadata", pair, "-s", runs_in), 2, "--metadata", "KEY=JSON", "quotes")


def test_times_are_told_in_the_form_they_can_be_asked_for(run: Run, runs_in: str) -> None:
    (found,) = run("runs", "--limit", 1, "-s", runs_in, "-o", "json").json
    assert datetime.fromisoformat(found["created_at"]) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    (again,) = run("runs", "--since", found["created_at"], "--limit", 1, "-s", runs_in, "-o", "json").json
    assert again == found


def test_what_is_not_there_has_no_page(run: Run, tmp_path: Path) -> None:
    empty = address_of("sqlite", tmp_path / "empty")
    open_store(empty).close()
    assert run("runs", "--limit", 5, "-s", empty).text == ["RUN  WORKFLOW  STATUS  CREATED  FINISHED"]
    assert set(run("runs", "--count", "-s", empty, "-o", "json").json.values()) == {0}

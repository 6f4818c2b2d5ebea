"""What each command shows, for people and for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from eventstore.log import Append, NewEvent
from projections import open_store
from projections.addresses import parse_address
from tests.sql_stores import change
from tests.stores import address_of
from tests.verify.example import change_views, contents

from .conftest import Run

TRACES = Path(__file__).parents[1] / "data"


def words(line: str) -> list[str]:
    return line.split()


def test_runs_are_listed_oldest_first(run: Run, address: str) -> None:
    lines = run("runs", "-s", address).text
    assert words(lines[0]) == ["RUN", "WORKFLOW", "STATUS", "CREATED", "FINISHED"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["done", "failed", "going on"]
    assert "completed" in lines[1]
    in_json = run("runs", "-s", address, "-o", "json").json
    assert [(each["id"], each["status"]) for each in in_json] == [
        ("done", "completed"),
        ("failed", "failed"),
        ("going on", "waiting"),
    ]
    assert run("runs", "-s", address, "-o", "jsonl").jsonl == in_json


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--status", "failed"], ["failed"]),
        (["--status", "failed", "--status", "waiting"], ["failed", "going on"]),
        (["--status", "pending"], []),
        (["--workflow", "letters", "--limit", 2], ["done", "failed"]),
        (["--workflow", "parcels"], []),
        (["--limit", 0], []),
        (["--limit", 10**30], ["done", "failed", "going on"]),
    ],
)
def test_runs_are_chosen(run: Run, address: str, options: list[object], expected: list[str]) -> None:
    assert [each["id"] for each in run("runs", *options, "-s", address, "-o", "json").json] == expected


def test_columns_stand_under_their_names(run: Run, address: str) -> None:
    names, *lines = run("runs", "-s", address).text
    for name in ("WORKFLOW", "STATUS", "CREATED"):
        place = names.index(name)
        assert all(line[place - 1] == " " != line[place] for line in lines)


def test_a_run_is_shown_with_its_tasks(run: Run, address: str) -> None:
    lines = run("show", "done", "-s", address).text
    assert lines[:4] == ["run       done", "workflow  letters", "message   Wish you were here", "status    completed"]
    table = lines[lines.index("") + 1 :]
    assert words(table[0]) == ["TASK", "STATUS", "ATTEMPT", "FINISHED", "NOTE"]
    assert [words(line)[:3] for line in table[1:]] == [
        ["write", "completed", "1"],
        ["fold", "completed", "2"],
        ["post", "completed", "1"],
    ]


def test_a_run_in_json_has_all_attempts(run: Run, address: str) -> None:
    shown = run("show", "done", "-s", address, "-o", "json").json
    assert shown["run"]["user_message"] == "Wish you were here"
    assert [task["task_id"] for task in shown["task_runs"]] == ["write", "fold", "post"]
    fold = [attempt for attempt in shown["attempts"] if attempt["task_id"] == "fold"]
    assert [(attempt["attempt"], attempt["status"]) for attempt in fold] == [(1, "failed"), (2, "completed")]
    assert fold[0]["failure"]["message"] == "paper jam"
    assert run("show", "done", "-s", address, "-o", "jsonl").json == shown


def test_what_a_run_waits_for_and_who_holds_it_is_shown(run: Run, address: str) -> None:
    lines = run("show", "going on", "-s", address).text
    assert "waits for a reply" in lines
    assert "worker    two" in lines
    assert any(line.startswith("lease     20") for line in lines)


def test_why_a_run_and_a_task_failed_is_shown(run: Run, place: str) -> None:
    with open_store(place) as store:
        store.resume("failed", worker="second")
        store.start_task("failed", "write")
        store.fail_task("failed", "write", ValueError("no paper\neither"))
        store.fail_run("failed", TimeoutError("gave up"))
    lines = run("show", "failed", "-s", place).text
    assert "failure   TimeoutError: gave up" in lines
    assert lines[-1].endswith(r"ValueError: no paper\neither")


def test_a_retry_a_skip_and_a_reuse_are_shown(run: Run, place: str) -> None:
    with open_store(place, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as store:
        store.create_run("letters", run_id="mixed")
        store.start_run("mixed")
        for task_id in ("a", "b", "c"):
            store.schedule_task("mixed", task_id)
        attempt = store.start_task("mixed", "a").attempt
        store.complete_task("mixed", "a", 1, attempt=attempt)
        store.start_task("mixed", "b")
        store.fail_task("mixed", "b", "busy")
        store.retry_task("mixed", "b", reason="try later", delay=90)
        store.skip_task("mixed", "c", "not needed")
        store.resume("mixed")
        store.reuse_task("mixed", "a")
    a, b, c = run("show", "mixed", "-s", place).text[-3:]
    assert a.endswith("reused from version 7")
    assert b.endswith("try later, until 2026-01-01 00:01:30.000Z")
    assert c.endswith("not needed")


def test_events_are_shown_in_order(run: Run, address: str) -> None:
    names, *lines = run("events", "done", "-s", address).text
    assert words(names) == ["VERSION", "TIME", "EVENT", "DATA"]
    assert [words(line)[0] for line in lines] == [str(version) for version in range(1, 16)]
    assert words(lines[0])[3] == "runCreated"
    assert len(run("events", "done", "--limit", 3, "-s", address).text) == 4
    assert len(run("events", "done", "--limit", 10**30, "-s", address).text) == 16


def test_events_in_json_are_those_of_the_file(run: Run, folder: Path) -> None:
    kept = [json.loads(line) for line in (folder / "done" / "events.jsonl").read_text().splitlines()]
    assert run("events", "done", "-s", folder, "-o", "jsonl").jsonl == kept
    assert run("events", "done", "-s", folder, "-o", "json").json == kept
    assert kept[0]["data"]["user_message"] == "Wish you were here"


def test_events_of_a_deleted_run_are_still_shown(run: Run, address: str) -> None:
    assert run("show", "gone", "-s", address).code == 3
    assert [event["type"] for event in run("events", "gone", "-s", address, "-o", "jsonl").jsonl] == [
        "runCreated",
        "runCancelled",
        "runDeleted",
    ]


def test_data_that_is_not_json_is_shown_in_base64(run: Run, place: str) -> None:
    with open_store(place) as store:
        laid_out = NewEvent(type="a.b", data=b'{\n\t"a": 1.50,\r\n\t"b": "\\n"\n}')
        binary = NewEvent(type="a.b", data=b"\x00\xff", content_type="application/octet-stream")
        rubbish = NewEvent(type="a.b", data=b'{"a":')
        store.log.append([Append("odd", [laid_out, binary, rubbish])])
    shown = run("events", "odd", "-s", place, "-o", "json").json
    assert [event.get("data64") for event in shown] == ["ewoJImEiOiAxLjUwLA0KCSJiIjogIlxuIgp9", "AP8=", "eyJhIjo="]
    assert len(run("events", "odd", "-s", place).text) == 4


def test_json_laid_out_with_tabs_stays_valid(run: Run, place: str) -> None:
    with open_store(place) as store:
        store.log.append([Append("odd", [NewEvent(type="a.b", data=b'{\t"a":\r[1,\t2]}')])])
    (event,) = run("events", "odd", "-s", place, "-o", "jsonl").jsonl
    assert event["data"] == {"a": [1, 2]}


def test_outputs_are_listed(run: Run, address: str) -> None:
    names, *lines = run("outputs", "done", "-s", address).text
    assert words(names) == ["TASK", "BYTES", "KEPT", "OUTPUT"]
    assert words(lines[0])[:4] == ["write", "642", "blob", '"Dear']
    assert lines[0].endswith("…")
    assert words(lines[1]) == ["fold", "11", "inline", '{"folds":2}']
    assert words(lines[2]) == ["post", "4", "inline", "null"]


def test_outputs_in_json_are_whole(run: Run, address: str) -> None:
    rows = run("outputs", "done", "-s", address, "-o", "json").json
    expected = {"write": "Dear everybody, " * 40, "fold": {"folds": 2}, "post": None}
    assert {row["task_id"]: row["output"] for row in rows} == expected
    assert run("outputs", "done", "-s", address, "-o", "jsonl").jsonl == rows
    for task_id, output in expected.items():
        for format in ("text", "json", "jsonl"):
            assert run("outputs", "done", task_id, "-s", address, "-o", format).json == output


def test_a_resume_plan_says_what_becomes_of_each_task(run: Run, place: str) -> None:
    with open_store(place) as store:
        store.create_run("letters", run_id="cut")
        store.start_run("cut")
        for task_id, needs in {"a": [], "b": ["a"], "c": ["b"], "d": [], "e": [], "f": ["e"], "g": []}.items():
            store.schedule_task("cut", task_id, depends_on=needs)
        for task_id in ("a", "b", "g"):
            attempt = store.start_task("cut", task_id).attempt
            store.complete_task("cut", task_id, task_id, attempt=attempt)
        store.invalidate_task("cut", "a")
        for task_id in ("d", "e"):
            store.start_task("cut", task_id)
        store.fail_task("cut", "e", "no")
    first, _, names, *lines = run("resume-plan", "cut", "-s", place).text
    assert first == "cut is running"
    assert words(names) == ["TASK", "PLAN", "WHY"]
    assert [line.split(maxsplit=1) for line in lines] == [
        ["g", "reusable  completed at version 15"],
        ["b", "stale     made from an output of 'a' that is no longer there"],
        ["d", "in doubt  attempt 1 was started and never ended"],
        ["e", "failed    runs again once it is retried"],
        ["a", "ready     may start now"],
        ["b", "blocked   needs a"],
        ["c", "blocked   needs b"],
        ["f", "blocked   needs e"],
    ]
    plan = run("resume-plan", "cut", "-s", place, "-o", "json").json
    assert plan["blocked"] == {"b": ["a"], "c": ["b"], "f": ["e"]}
    assert plan["totals"]["attempts"] == {"completed": 3, "running": 1, "failed": 1}
    assert run("resume-plan", "cut", "-s", place, "-o", "jsonl").json == plan


def test_verify_says_that_a_store_is_clean(run: Run, address: str) -> None:
    assert run("verify", "-s", address).text == ["clean: 33 events, 7 streams, 4 runs, 2 blobs"]
    report = run("verify", "-s", address, "-o", "json").json
    assert (report["clean"], report["events"], report["findings"]) == (True, 33, [])
    assert run("verify", "-s", address, "-o", "jsonl").jsonl == []


def test_verify_changes_no_file(run: Run, example: Path) -> None:
    before = contents(example)
    assert run("verify", "-s", example).code == 0
    assert contents(example) == before


DRIFT = "DELETE FROM attempts WHERE task_id = 'post'"


def lose_a_row(place: str) -> None:
    if place.startswith("jsonl:"):
        change_views(parse_address(place).path, DRIFT)
    else:
        change(place, DRIFT)


def test_verify_says_what_is_wrong_and_what_to_do(run: Run, place: str) -> None:
    lose_a_row(place)
    ended = run("verify", "-s", place)
    assert (ended.code, ended.err) == (5, "")
    assert ended.out.splitlines() == [
        "warning view-drift: attempts ('done', 'post', 1): the row is missing",
        "    Run `eventstore rebuild`: the views are made again from the log.",
        "NOT clean: 33 events, 7 streams, 4 runs, 2 blobs",
    ]
    for format in ("json", "jsonl"):
        ended = run("verify", "-s", place, "-o", format)
        assert (ended.code, ended.err) == (5, "")
        finding = json.loads(ended.out)
        finding = finding["findings"][0] if format == "json" else finding
        assert (finding["severity"], finding["code"]) == ("warning", "view-drift")


def test_rebuild_makes_the_views_again(run: Run, place: str) -> None:
    lose_a_row(place)
    assert run("rebuild", "-s", place).text == ["rebuilt up to position 35"]
    assert run("verify", "-s", place).code == 0
    assert run("rebuild", "-s", place, "-o", "json").json == {"position": 35}


def test_rebuild_makes_the_run_folders_again(run: Run, folder: Path) -> None:
    (folder / "done" / "run.json").unlink()
    assert run("verify", "-s", folder).code == 5
    assert run("rebuild", "-s", folder).code == 0
    assert run("verify", "-s", folder).code == 0


def test_traces_are_imported_and_importing_them_again_changes_nothing(run: Run, kind: str, tmp_path: Path) -> None:
    files = [TRACES / "trace-1.4.json", TRACES / "trace-1.5.json"]
    store = address_of(kind, tmp_path / "new")
    names, *lines = run("import", "wfformat", *files, "-s", store).text
    assert names.startswith("RUN ")
    assert [words(line)[1:] for line in lines] == [["7", "11", "149.250"]] * 2
    again = run("import", "wfformat", *files, "-s", store, "-o", "json").json
    assert [each["repeated"] for each in again] == [True, True]
    assert [each["file"] for each in again] == [str(file) for file in files]
    assert run("import", "wfformat", files[0], "-s", store, "-o", "jsonl").jsonl == again[:1]
    assert {each["id"] for each in run("runs", "-s", store, "-o", "json").json} == {each["run_id"] for each in again}


def test_an_empty_store_shows_nothing(run: Run, kind: str, tmp_path: Path) -> None:
    empty = address_of(kind, tmp_path / "empty")
    open_store(empty).close()
    assert len(run("runs", "-s", empty).text) == 1
    assert run("runs", "-s", empty, "-o", "json").json == []
    assert run("runs", "-s", empty, "-o", "jsonl").out == ""
    assert run("verify", "-s", empty).text == ["clean: 0 events, 0 streams, 0 runs, 0 blobs"]
    assert run("rebuild", "-s", empty).text == ["rebuilt up to position 0"]


def test_a_run_without_tasks_is_shown(run: Run, place: str) -> None:
    with open_store(place) as store:
        store.create_run("letters", run_id="bare")
    assert run("show", "bare", "-s", place).text[-1].startswith("TASK")
    assert run("outputs", "bare", "-s", place, "-o", "json").json == []
    assert run("resume-plan", "bare", "-s", place).text == ["bare is pending", "", "TASK  PLAN  WHY"]


def test_huge_values_are_shown_short_and_printed_whole(run: Run, place: str) -> None:
    with open_store(place) as store:
        store.create_run("w" * 100_000, run_id="huge", user_message="m" * 100_000)
        store.start_run("huge")
        store.schedule_task("huge", "t" * 500)
        attempt = store.start_task("huge", "t" * 500)
        store.complete_task("huge", "t" * 500, list(range(300_000)), attempt=attempt.attempt)
        store.schedule_task("huge", "failing")
        store.start_task("huge", "failing")
        store.fail_task("huge", "failing", "e" * 1_000_000)
    for command in (["runs"], ["show", "huge"], ["events", "huge"], ["outputs", "huge"], ["resume-plan", "huge"]):
        lines = run(*command, "-s", place).text
        assert sum(map(len, lines)) < 8_000
        assert max(map(len, lines)) < 900
    assert run("outputs", "huge", "t" * 500, "-s", place).json == list(range(300_000))
    assert run("show", "huge", "-s", place, "-o", "json").json["run"]["user_message"] == "m" * 100_000


def test_options_stand_before_or_after_the_arguments(run: Run, address: str) -> None:
    shown = run("events", "done", "--limit", 2, "-s", address, "-o", "jsonl")
    assert run("events", "-o", "jsonl", "-s", address, "--limit", 2, "done") == shown
    assert run("events", "--store", address, "done", "--output=jsonl", "--limit=2") == shown


def test_the_environment_names_the_store(run: Run, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run("runs", "-s", address)
    monkeypatch.setenv("EVENTSTORE_URL", address)
    assert run("runs") == shown
    monkeypatch.setenv("EVENTSTORE_URL", "jsonl:/nowhere")
    assert run("runs", "-s", address) == shown

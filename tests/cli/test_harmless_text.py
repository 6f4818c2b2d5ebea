"""Whatever stands in a store, showing it cannot repaint a terminal, and JSON says it exactly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections import open_store
from projections.cli.output import safe, short
from tests.stores import ONE_OF_EACH, address_of

from .conftest import Run

EVIL = "a\x1b[31mred\x1b]0;title\x07\x1b[2J\r\n\tnext\x7f\x85\x9b31m\u2028\u2029\u202e\u2066\u2069\u200f\u061c日é🎉\\n"
NUL = f"\x00{EVIL}"
RUN = f"run {EVIL}"
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module", params=ONE_OF_EACH[1:])
def evil(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a store of each kind, in which every text is evil."""
    return filled(address_of(str(request.param), tmp_path_factory.mktemp("evil") / "store"))


def filled(address: str) -> str:
    with open_store(address, durability="none", threshold=600) as store:
        store.create_run(EVIL, run_id=RUN, user_message=NUL, input={NUL: NUL}, metadata={NUL: NUL})
        store.start_run(RUN, worker=EVIL)
        for task_id in (EVIL, f"2{EVIL}", f"3{EVIL}", f"4{EVIL}"):
            store.schedule_task(RUN, task_id, name=EVIL)
        attempt = store.start_task(RUN, EVIL, worker=EVIL).attempt
        store.complete_task(RUN, EVIL, {NUL: NUL}, attempt=attempt)
        attempt = store.start_task(RUN, f"4{EVIL}").attempt
        store.complete_task(RUN, f"4{EVIL}", NUL * 100, attempt=attempt)
        store.start_task(RUN, f"2{EVIL}")
        store.fail_task(RUN, f"2{EVIL}", ValueError(NUL))
        store.skip_task(RUN, f"3{EVIL}", EVIL)
        store.invalidate_task(RUN, f"3{EVIL}", EVIL)
        store.wait_run(RUN, EVIL)
    return address


COMMANDS = (
    ["runs"],
    ["show", RUN],
    ["events", RUN],
    ["outputs", RUN],
    ["outputs", RUN, EVIL],
    ["resume-plan", RUN],
)


@pytest.mark.parametrize("format", ["text", "json", "jsonl"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_what_is_shown_is_harmless(run: Run, evil: str, command: list[str], format: str) -> None:
    ended = run(*command, "-s", evil, "-o", format)
    assert (ended.code, ended.err) == (0, "")
    assert not HARMFUL.search(ended.out)


def test_no_text_of_the_store_makes_a_line_of_its_own(run: Run, evil: str) -> None:
    assert len(run("runs", "-s", evil).text) == 2
    assert len(run("outputs", RUN, "-s", evil).text) == 3
    assert not any(line.startswith(("next", "\tnext")) for line in run("show", RUN, "-s", evil).text)


def test_json_says_every_text_exactly(run: Run, evil: str) -> None:
    (listed,) = run("runs", "-s", evil, "-o", "json").json
    # Postgres keeps no NUL in a column of text, so views hold a sign in its place. The events hold it.
    assert (listed["id"], listed["workflow_name"], listed["user_message"]) == (RUN, EVIL, NUL.replace("\0", "\ufffd"))
    assert listed["metadata"] == {NUL: NUL}
    shown = run("show", RUN, "-s", evil, "-o", "json").json
    assert [task["task_id"] for task in shown["task_runs"]] == [EVIL, f"2{EVIL}", f"3{EVIL}", f"4{EVIL}"]
    failures = [attempt["failure"]["message"] for attempt in shown["attempts"] if attempt["failure"]]
    assert failures == [NUL]
    events = run("events", RUN, "-s", evil, "-o", "jsonl").jsonl
    assert events[0]["data"]["user_message"] == NUL
    outputs = run("outputs", RUN, "-s", evil, "-o", "json").json
    assert [each["output"] for each in outputs] == [{NUL: NUL}, NUL * 100]
    assert run("outputs", RUN, f"4{EVIL}", "-s", evil).json == NUL * 100


def test_errors_repeat_no_evil_text(run: Run, evil: str, tmp_path: Path) -> None:
    trace = tmp_path / f"x{RUN.replace('/', '')}.json"
    trace.write_text("{}")
    for command in (
        ["show", f"no {RUN}", "-s", evil],
        ["runs", "-s", tmp_path / RUN],
        ["runs", "--status", RUN, "-s", evil],
        ["import", "wfformat", trace, "-s", evil],
    ):
        ended = run(*command)
        assert ended.code in (2, 3, 6)
        assert len(ended.err.splitlines()) == 2
        assert not HARMFUL.search(ended.err)


def test_findings_of_verification_are_harmless(run: Run, tmp_path: Path) -> None:
    filled(str(tmp_path))
    stray = next(tmp_path.glob("*/outputs")) / f"{RUN}\udcff.json"
    stray.write_bytes(b"")
    for format in ("text", "json", "jsonl"):
        ended = run("verify", "-s", tmp_path, "-o", format)
        assert (ended.code, ended.err) == (5, "")
        assert "file-stray" in ended.out
        assert not HARMFUL.search(ended.out)


@given(st.text(st.characters(codec=None), max_size=300))
def test_safe_text_is_one_harmless_line_that_can_be_printed(text: str) -> None:
    for shown in (safe(text), short(text)):
        assert not HARMFUL.search(shown)
        assert len(shown.splitlines()) <= 1
        shown.encode()
    assert len(short(text)) <= 80


def test_ordinary_text_is_shown_as_it_is() -> None:
    text = "Grüße, 日本語, עברית, 🎉, é, \\n, 'quotes'"
    assert safe(text) == short(text) == text
    assert safe("\x1b[0m\n\x9b\u202e") == r"\x1b[0m\n\x9b\u202e"

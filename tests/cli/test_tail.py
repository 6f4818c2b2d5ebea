"""`eventstore tail`: the end of the log, and what comes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from projections import open_store

from .conftest import Run
from .test_processes import PROGRAM


def test_without_more_it_shows_the_last_ten_events(run: Run, address: str) -> None:
    with open_store(address) as store:
        positions = [event.position for event in store.log.read_all()]
    assert [int(line.split()[0]) for line in run("tail", "-s", address).text] == positions[-10:]
    assert [event["position"] for event in run("tail", "-n", 3, "-s", address, "-o", "json").json] == positions[-3:]
    assert run("tail", "-n", 0, "-s", address).text == []


def test_it_begins_after_a_position(run: Run, address: str) -> None:
    with open_store(address) as store:
        positions = [event.position for event in store.log.read_all()]
    for after in (0, positions[3], positions[-1], positions[-1] + 7):
        shown = run("tail", "--after", after, "-s", address, "-o", "jsonl").jsonl
        assert [event["position"] for event in shown] == [each for each in positions if each > after]


def test_it_shows_types_and_streams_that_are_asked_for(run: Run, address: str) -> None:
    shown = run("tail", "--type", "taskRunStarted", "--type", "runFailed", "-s", address, "-o", "jsonl").jsonl
    assert {event["type"] for event in shown} == {"taskRunStarted", "runFailed"}
    only = run("tail", "-n", 1, "--type", "runCreated", "--stream", "done", "-s", address).text
    (line,) = only
    assert line.split()[3:5] == ["done", "runCreated"]


@pytest.mark.parametrize("wrong", [("--after", 1, "--last", 1), ("--follow", "-o", "json"), ("--after", -1)])
def test_what_makes_no_sense_is_refused(run: Run, example: Path, wrong: tuple[object, ...]) -> None:
    assert run("tail", *wrong, "-s", example).code == 2


@contextmanager
def tailing(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Another process that follows, and what it prints."""
    command = [*PROGRAM, "tail", "--follow", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def test_it_follows_what_another_process_appends_until_it_is_interrupted(place: str) -> None:
    with open_store(place) as store, tailing("-n", "1", "-s", place, "-o", "jsonl") as (process, printed):
        (last,) = store.log.read_all(backward=True, limit=1)
        assert json.loads(printed.readline())["position"] == last.position
        for number in range(3):
            store.create_run("letters", run_id=f"new-{number}")
            event = json.loads(printed.readline())
            assert (event["stream"], event["type"]) == (f"new-{number}", "runCreated")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        assert not {"Aborted", "Traceback"} & set(err.replace("!", " ").split())

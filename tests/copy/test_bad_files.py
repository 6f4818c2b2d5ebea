"""Files that are no run, or not all of one, are refused before anything is written, by name and line."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.chain import event_hash
from eventstore.errors import InvalidInput
from eventstore.line import CommitLine, decode_line, encode_line
from projections import Store, open_store
from projections.transfer import EndLine
from tests.stores import examples
from tests.verify.example import fill

from .comparing import blobs_of, bring_in, exported
from .conftest import Open

Edit = Callable[[list[Any]], object]


def refused(store: Store, file: bytes) -> InvalidInput:
    """Check that this file is refused, before anything is written, and say how."""
    with pytest.raises(InvalidInput) as caught:
        bring_in(store, file)
    assert (store.log.head(), blobs_of(store)) == (0, {})
    assert str(caught.value).startswith("run.jsonl, line ")
    assert caught.value.hint
    return caught.value


@pytest.fixture(scope="module")
def file() -> bytes:
    """The file of a run with a blob."""
    with open_store("memory:", threshold=200) as store:
        fill(store)
        return exported(store)


@pytest.fixture
def empty(opened: Open) -> Store:
    """A store to which nothing of a bad file may come."""
    return opened("memory", "empty")


def test_a_file_that_is_cut_off_anywhere_is_refused(empty: Store, file: bytes) -> None:
    lines = file.splitlines(keepends=True)
    for count in range(len(lines)):
        assert f"line {count + 1}: the file ends too early" in str(refused(empty, b"".join(lines[:count])))
    for size in random.Random(5).sample(range(1, len(file) - 1), 60):
        refused(empty, file[:size])
    assert bring_in(empty, file[:-1]).new_events == 15


def test_any_changed_byte_is_found(empty: Store, file: bytes) -> None:
    @examples(0.5)
    @given(st.integers(0, len(file) - 2), st.integers(1, 255))
    def is_found(place: int, change: int) -> None:
        refused(empty, file[:place] + bytes([file[place] ^ change]) + file[place + 1 :])

    is_found()


def test_lines_that_are_lost_or_moved_or_twice_are_found(empty: Store, file: bytes) -> None:
    lines = file.splitlines(keepends=True)
    for place in range(len(lines)):
        refused(empty, b"".join(lines[:place] + lines[place + 1 :]))
        refused(empty, b"".join(lines[: place + 1] + lines[place:]))
        swapped = list(lines)
        swapped[place], swapped[place - 1] = swapped[place - 1], swapped[place]
        refused(empty, b"".join(swapped))


@pytest.mark.parametrize(
    "file",
    [b"", b"\n", b"{}\n", b"[1]\n", b"\0\xff", b"[" * 100_000, b'{"file":"end"}\n', b"run,event\n1,2\n"],
    ids=["nothing", "an empty line", "an object", "a list", "bytes", "deep", "half an end", "CSV"],
)
def test_what_is_no_file_of_a_run_is_refused(empty: Store, file: bytes) -> None:
    refused(empty, file)


def forged(file: bytes, edit: Edit) -> bytes:
    """The file with its lines edited, and everything that only guards against accidents made to fit again."""
    lines: list[Any] = [
        decode_line(raw) if raw.startswith(b'{"sum"') else json.loads(raw)
        for raw in file.splitlines(keepends=True)[:-1]
    ]
    edit(lines)
    raws = [encode_line(line) if isinstance(line, CommitLine) else json.dumps(line).encode() + b"\n" for line in lines]
    commits = [line for line in lines if isinstance(line, CommitLine)]
    blobs = {line["digest"] for line in lines if isinstance(line, dict) and line["file"] == "blob"}
    whole = b"".join(raws)
    end = EndLine(len(commits), sum(len(c.events) for c in commits), len(blobs), hashlib.sha256(whole).hexdigest())
    return whole + msgspec.json.encode(end) + b"\n"


def change_event(place: int, **fields: object) -> Edit:
    def edit(lines: list[Any]) -> None:
        line = lines[place]
        events = (msgspec.structs.replace(line.events[0], **fields), *line.events[1:])
        lines[place] = msgspec.structs.replace(line, events=events)

    return edit


def change_line(place: int, **fields: object) -> Edit:
    def edit(lines: list[Any]) -> None:
        line = lines[place]
        lines[place] = line | fields if isinstance(line, dict) else msgspec.structs.replace(line, **fields)

    return edit


def drop_blob(lines: list[Any]) -> None:
    lines[:] = [line for line in lines if isinstance(line, CommitLine) or line["file"] != "blob"]


def blob_after_its_event(lines: list[Any]) -> None:
    (place,) = (n for n, line in enumerate(lines) if isinstance(line, dict) and line["file"] == "blob")
    lines[place], lines[place + 1] = lines[place + 1], lines[place]


def undecodable(lines: list[Any]) -> None:
    """An event that says what it says, in a chain that holds, and cannot be read."""
    del lines[2:]
    (event,) = lines[1].recorded()
    changed = msgspec.structs.replace(event, data=b"[]")
    change_event(1, data=msgspec.Raw(b"[]"), hash=event_hash("", "done", 1, changed))(lines)


FORGERIES: dict[str, tuple[Edit, str]] = {
    "a newer format": (change_line(0, format=2), "version 2; this program knows up to 1"),
    "another run": (change_line(0, run="other"), "not version 1 of run 'other'"),
    "a reserved stream": (change_line(0, run="$purges"), "not the id of a run"),
    "no first line": (lambda lines: lines.pop(0), "begins with one line"),
    "another first line in the middle": (lambda lines: lines.insert(3, lines[0]), "begins with one line"),
    "no events": (lambda lines: lines.__delitem__(slice(1, None)), "changed"),
    "changed data": (change_event(2, data=msgspec.Raw(b"{}")), "was changed"),
    "a changed time": (change_event(2, time=datetime(2026, 1, 1)), "no time zone"),
    "a changed type": (change_event(1, type="runStarted"), "was changed"),
    "an event of another stream": (change_event(2, stream="other"), "not version 2 of run 'done'"),
    "another version": (change_event(2, version=7), "not version 2 of run 'done'"),
    "another commit number": (change_line(2, commit=7), "commit 7 stands where commit 2 belongs"),
    "another position": (change_line(2, position=7), "stands where commit 2 belongs"),
    "a purged event": (change_line(2, events=(None,)), "stands where commit 2 belongs"),
    "a commit without events": (change_line(2, events=()), "no events"),
    "a lost commit": (lambda lines: lines.pop(2), "commit 3 stands where commit 2 belongs"),
    "no blob": (drop_blob, "needs blob"),
    "a blob behind its event": (blob_after_its_event, "needs blob"),
    "undecodable data": (undecodable, "line 2"),
}


@pytest.mark.parametrize(("edit", "reason"), FORGERIES.values(), ids=FORGERIES)
def test_a_file_that_was_made_to_look_right_is_still_checked(
    empty: Store, file: bytes, edit: Edit, reason: str
) -> None:
    assert reason in str(refused(empty, forged(file, edit)))


def test_a_blob_that_is_another_is_refused(empty: Store, file: bytes) -> None:
    def change(lines: list[Any]) -> None:
        (place,) = (n for n, line in enumerate(lines) if isinstance(line, dict) and line["file"] == "blob")
        lines[place]["data"] = "AAAA"

    assert "does not match its digest" in str(refused(empty, forged(file, change)))


def test_a_file_of_a_newer_program_says_so(empty: Store, file: bytes) -> None:
    assert "Upgrade" in refused(empty, forged(file, change_line(0, format=2))).hint
    assert "Upgrade" in refused(empty, forged(file, newer_event)).hint


def newer_event(lines: list[Any]) -> None:
    (event,) = lines[1].recorded()
    changed = msgspec.structs.replace(event, schema=2)
    change_event(1, schema=2, hash=event_hash("", "done", 1, changed))(lines)


def test_fields_that_a_later_version_adds_are_passed_over(empty: Store, file: bytes) -> None:
    assert bring_in(empty, forged(file, change_line(0, note="new"))).new_events == 15

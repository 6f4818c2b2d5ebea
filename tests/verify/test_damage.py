"""Every kind of damage gives its finding, wherever else it shows."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from eventstore.events import RunCreated, RunStarted, TaskRunCompleted, TaskRunStarted
from eventstore.line import EventLine, encode_line
from eventstore.log import NewEvent, RecordedEvent
from eventstore.payload import Value
from projections import open_store

from .example import (
    append,
    change_index,
    change_views,
    check,
    codes,
    contents,
    events,
    lines,
    raw_lines,
    rehash,
    segments,
    write_lines,
)

BLOB = "d66089bff87201b97ece182ea833b3cdb63c3d3949427e77125140f183d83a61"
NOTHING = Value("0" * 64, 4, json=msgspec.Raw(b"null"))


def of_type(found: list[bytes], type: str) -> int:
    """Which line holds the first event of this type."""
    return next(place for place, raw in enumerate(found) if f'"type":"{type}"'.encode() in raw)


def rearranged(change: Callable[[list[bytes]], None], segment: int = 0) -> Callable[[Path], None]:
    """A change of a segment's lines as bytes."""

    def rearrange(folder: Path) -> None:
        found = raw_lines(segments(folder)[segment])
        change(found)
        segments(folder)[segment].write_bytes(b"".join(found))

    return rearrange


def flip_a_bit(found: list[bytes]) -> None:
    place = of_type(found, "taskRunFailed") + 3
    found[place] = found[place].replace(b'"attempt":2', b'"attempt":3')


def remove_a_line(found: list[bytes]) -> None:
    del found[of_type(found, "taskRunRetryScheduled")]


def swap_lines(found: list[bytes]) -> None:
    place = of_type(found, "taskRunRetryScheduled")
    found[place], found[place + 1] = found[place + 1], found[place]


def swap_the_last_lines(found: list[bytes]) -> None:
    found[-1], found[-2] = found[-2], found[-1]


def repeat_a_line(found: list[bytes]) -> None:
    place = of_type(found, "taskRunRetryScheduled")
    found.insert(place, found[place])


def cut_off_lines(found: list[bytes]) -> None:
    del found[-2:]


def cut_off_part_of_the_last_line(found: list[bytes]) -> None:
    found[-1] = found[-1][:-40]


def move_positions_on(folder: Path) -> None:
    """As a foreign writer might."""
    *others, last = lines(segments(folder)[-1])
    write_lines(segments(folder)[-1], [*others, msgspec.structs.replace(last, position=last.position + 1)])


def write_half_a_line(folder: Path) -> None:
    with open(segments(folder)[-1], "ab") as file:
        file.write(b'{"sum":"0123')


def lose_sectors_of_a_write(folder: Path) -> None:
    """Two commits were written at once, and power was cut when the second had reached the device."""
    last = lines(segments(folder)[-1])[-1]
    raw = encode_line(msgspec.structs.replace(last, commit=last.commit + 1, position=last.next_position))
    with open(segments(folder)[-1], "ab") as file:
        first = raw.ljust(1024 - file.tell() % 512, b" ")
        file.write(b"\0" * len(first) + raw)


def change_an_event(change: Callable[[EventLine], EventLine], position: int = 6) -> Callable[[Path], None]:
    """Change an event in its line, and make the line's checksum right again."""

    def changed(folder: Path) -> None:
        found = lines(segments(folder)[0])
        (place,) = (p for p, line in enumerate(found) if line.position <= position < line.next_position)
        line = found[place]
        event = line.events[position - line.position]
        assert event is not None
        all_events = list(line.events)
        all_events[position - line.position] = change(event)
        found[place] = msgspec.structs.replace(line, events=tuple(all_events))
        write_lines(segments(folder)[0], found)

    return changed


def another_worker(event: EventLine) -> EventLine:
    assert isinstance(event.data, msgspec.Raw)
    return msgspec.structs.replace(event, data=msgspec.Raw(bytes(event.data).replace(b'"epoch":1', b'"epoch":2')))


def skip_a_version(folder: Path) -> None:
    def skip(event: RecordedEvent) -> RecordedEvent:
        later = event.stream == "done" and event.version > 6
        return msgspec.structs.replace(event, version=event.version + 1) if later else event

    rehash(folder, skip)


def forge(folder: Path) -> None:
    """Change an event of a closed segment, and every hash and checksum that would show it."""

    def other(event: RecordedEvent) -> RecordedEvent:
        return msgspec.structs.replace(event, meta={"by": "nobody"}) if event.position == 6 else event

    rehash(folder, other)


def remove(*names: str) -> Callable[[Path], None]:
    def removed(folder: Path) -> None:
        for name in names:
            (found,) = folder.glob(name)
            found.unlink()

    return removed


def write(name: str, data: bytes) -> Callable[[Path], None]:
    """Put a file there, or other bytes into one that matches."""

    def written(folder: Path) -> None:
        path = next(folder.glob(name), folder / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return written


def appended(stream: str, *new: msgspec.Struct | NewEvent) -> Callable[[Path], None]:
    return lambda folder: append(folder, stream, *new)


def views(statement: str) -> Callable[[Path], None]:
    return lambda folder: change_views(folder, statement)


def index(statement: str) -> Callable[[Path], None]:
    return lambda folder: change_index(folder, statement)


def set_views_back(folder: Path) -> None:
    """As a crash can leave them."""
    there = next(event for event in events(folder) if event.position == 30)
    change_views(folder, f"UPDATE checkpoints SET position = 30, hash = '{there.hash}' WHERE name = 'views'")


def views_of_another_program(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "_views.db")) as connection:
        connection.execute("PRAGMA user_version = 99")


def link(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(folder / "_log/lock")


def pipe(name: str) -> Callable[[Path], None]:
    return lambda folder: os.mkfifo(folder / name)


def file_for(name: str) -> Callable[[Path], None]:
    """A file where a folder belongs."""

    def replaced(folder: Path) -> None:
        shutil.rmtree(folder / name)
        (folder / name).write_bytes(b"")

    return replaced


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        for change in changes:
            change(folder)

    return changed


UNORDERED = {"error log-corrupt", "error version-gap", "warning file-drift"}

DAMAGE: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "a flipped bit": (rearranged(flip_a_bit), {*UNORDERED, "warning view-drift", "warning file-stray"}),
    "a removed line": (rearranged(remove_a_line), UNORDERED),
    "swapped lines": (rearranged(swap_lines), UNORDERED),
    "swapped lines at the end": (rearranged(swap_the_last_lines, -1), {"error log-corrupt"}),
    "a repeated line": (rearranged(repeat_a_line), UNORDERED),
    "a removed first segment": (remove("_log/*1.jsonl"), {"error log-corrupt", "warning view-drift"}),
    "a removed last segment": (remove("_log/*24.jsonl"), {"error log-behind-index", "warning view-ahead"}),
    "a truncated segment": (rearranged(cut_off_lines, -1), {"error log-behind-index", "warning view-ahead"}),
    "a truncated segment without an index": (
        both(rearranged(cut_off_lines, -1), remove("_log/index.db")),
        {"warning view-ahead", "info index-missing"},
    ),
    "a truncated closed segment": (
        rearranged(cut_off_lines, 0),
        {"error log-corrupt", "warning view-drift", "warning file-missing"},
    ),
    "a last line cut short": (
        rearranged(cut_off_part_of_the_last_line, -1),
        {"error log-behind-index", "info unfinished-write"},
    ),
    "a position that skips": (move_positions_on, {"error log-corrupt", "info view-behind"}),
    "an unfinished tail": (write_half_a_line, {"info unfinished-write"}),
    "an unfinished tail of lost sectors": (lose_sectors_of_a_write, {"info unfinished-write"}),
    "a changed event": (
        change_an_event(another_worker),
        {"error hash-mismatch", "warning view-drift", "warning file-drift"},
    ),
    "a skipped version": (
        skip_a_version,
        {"error version-gap", "warning view-drift", "warning file-drift", "warning index-drift"},
    ),
    "a forged history": (forge, {"warning file-drift", "warning index-drift"}),
    "a task of no run": (appended("ghost", TaskRunStarted("t", 1)), {"error orphan-task", "info view-behind"}),
    "a task never scheduled": (
        appended("failed", TaskRunStarted("t", 1)),
        {"error orphan-task", "info view-behind"},
    ),
    "an attempt never started": (
        appended("failed", TaskRunCompleted("write", 7, NOTHING)),
        {"error orphan-attempt", "info view-behind"},
    ),
    "a run never created": (appended("odd", RunStarted("w")), {"error orphan-run", "info view-behind"}),
    "data that is not what its type says": (
        appended("odd", NewEvent(type="runCreated", data=b"rubbish")),
        {"error undecodable", "info view-behind"},
    ),
    "an event of a newer program": (
        appended("odd", NewEvent(type="runCreated", data=b"{}", schema=2)),
        {"warning newer-schema", "info view-behind"},
    ),
    "an event of an unknown type": (appended("odd", NewEvent(type="a.b", data=b"\xff")), {"info view-behind"}),
    "a missing blob": (remove("_blobs/d6/*"), {"error blob-missing"}),
    "a corrupt blob": (write("_blobs/d6/*", b"Dear nobody"), {"error blob-corrupt"}),
    "a blob that is a folder": (
        both(remove("_blobs/d6/*"), lambda folder: (folder / "_blobs/d6" / BLOB[2:]).mkdir()),
        {"error blob-unreadable"},
    ),
    "a file for the blobs' folder": (file_for("_blobs"), {"error blob-unreadable"}),
    "a reference to an impossible blob": (
        appended("odd", RunCreated("flow", input=Value("../../secrets", 70_000, preview="s"))),
        {"error blob-missing", "info view-behind"},
    ),
    "an unreferenced blob": (write(f"_blobs/00/{'0' * 62}", b"x"), {"info blob-unreferenced"}),
    "a half-written blob": (write("_blobs/00/_draft.new", b"x"), set()),
    "a changed row": (views("UPDATE workflow_runs SET status = 'failed' WHERE id = 'done'"), {"warning view-drift"}),
    "a missing row": (views("DELETE FROM attempts WHERE task_id = 'post'"), {"warning view-drift"}),
    "an extra row": (views("INSERT INTO task_runs (run_id, task_id) VALUES ('x', 'y')"), {"warning view-drift"}),
    "a row of bytes": (views("UPDATE workflows SET name = x'ff'"), {"warning view-drift"}),
    "a key of bytes": (views("UPDATE workflows SET id = x'ff'"), {"warning view-unreadable"}),
    "a checkpoint that is text": (
        views("UPDATE checkpoints SET position = 'x' WHERE name = 'views'"),
        {"warning view-unreadable"},
    ),
    "views ahead": (views("UPDATE checkpoints SET position = 1000 WHERE name = 'views'"), {"warning view-ahead"}),
    "views behind": (set_views_back, {"info view-behind", "warning view-drift"}),
    "views of another log": (views("UPDATE checkpoints SET hash = 'x' WHERE name = 'views'"), {"warning view-foreign"}),
    "views of another program": (views_of_another_program, {"info view-other-format"}),
    "no views": (remove("_views.db"), {"info view-missing"}),
    "rubbish for views": (write("_views.db", b"rubbish" * 500), {"warning view-unreadable"}),
    "nothing for views": (write("_views.db", b""), {"info view-other-format"}),
    "no index": (remove("_log/index.db"), {"info index-missing"}),
    "rubbish for an index": (write("_log/index.db", b"rubbish" * 500), {"warning index-unreadable"}),
    "an index that looks in the wrong place": (
        index("UPDATE events SET start = start + 1 WHERE position = 5"),
        {"warning index-drift"},
    ),
    "an index without an event": (index("DELETE FROM events WHERE position = 5"), {"warning index-drift"}),
    "an index without the last event": (index("DELETE FROM events WHERE position = 35"), {"warning index-drift"}),
    "an index with an event too many": (
        index("INSERT INTO events VALUES (99, 1, 99, x'00', 24, 0, 0)"),
        {"warning index-drift"},
    ),
    "an index with another version": (
        index("UPDATE streams SET version = 1 WHERE id = 'done'"),
        {"warning index-drift"},
    ),
    "an index with another checkpoint": (index("UPDATE checkpoints SET position = 1"), {"warning index-drift"}),
    "an index that saw another commit": (index("UPDATE witness SET checksum = '0'"), {"error log-contradicts-index"}),
    "an index ahead": (index("UPDATE witness SET commit_number = 1000"), {"error log-behind-index"}),
    "an index with text for a number": (index("UPDATE witness SET commit_number = 'x'"), {"warning index-unreadable"}),
    "no run.json": (remove("done/run.json"), {"warning file-missing"}),
    "another run.json": (write("done/run.json", b"{}"), {"warning file-drift"}),
    "no events.jsonl": (remove("done/events.jsonl"), {"warning file-missing"}),
    "another events.jsonl": (write("done/events.jsonl", b""), {"warning file-drift"}),
    "no output file": (remove("done/outputs/fold.json"), {"warning file-missing"}),
    "another output file": (write("done/outputs/fold.json", b"{}\n"), {"warning file-drift"}),
    "an output file too many": (write("done/outputs/tear.json", b"{}\n"), {"warning file-stray"}),
    "a half-written file": (write("done/_0123.new", b"{"), {"info file-draft"}),
    "somebody's own file": (write("done/notes.txt", b"hello"), set()),
    "a folder of a deleted run": (write("gone/run.json", b"{}"), {"warning file-stray"}),
    "a folder of a purged run": (write("purged/events.jsonl", b"{}"), {"warning file-stray"}),
    "a link for a file": (both(remove("done/run.json"), link("done/run.json")), {"warning file-unreadable"}),
    "a pipe for a file": (both(remove("done/run.json"), pipe("done/run.json")), {"warning file-unreadable"}),
    "a file for a run's folder": (file_for("done"), {"warning file-unreadable"}),
    "a file name that is no text": (write("done/outputs/\udcff.json", b""), {"warning file-stray"}),
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found(folder: Path, damage: Callable[[Path], None], expected: set[str]) -> None:
    damage(folder)
    before = contents(folder)
    found = codes(check(folder))
    assert found - ({"info blob-unreferenced"} - expected) == expected  # whoever loses an event may lose its blob
    assert contents(folder) == before


def test_all_damage_of_a_store_is_reported_the_worst_first(folder: Path) -> None:
    together = ["a flipped bit", "a corrupt blob", "a missing row", "rubbish for an index", "a half-written file"]
    together += ["somebody's own file", "an unfinished tail", "no run.json"]
    expected: set[str] = set()
    for name in together:
        damage, found = DAMAGE[name]
        damage(folder)
        expected |= found
    report = check(folder)
    assert codes(report) == {*expected, "info blob-unreferenced"} - {"info blob-unreferenced"}
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_a_finding_says_where_and_what(folder: Path) -> None:
    DAMAGE["a flipped bit"][0](folder)
    (
        corrupt,
        gap,
        *_,
    ) = check(folder).findings
    place = raw_lines(segments(folder)[0])
    start = sum(map(len, place[: of_type(place, "taskRunFailed") + 3]))
    length = len(place[of_type(place, "taskRunFailed") + 3])
    assert corrupt.where == f"_log/00000000000000000001.jsonl, bytes {start}–{start + length}"
    assert corrupt.message == "the checksum does not match"
    assert gap.where == "position 13, version 13 of stream 'done'"
    assert gap.message == "version 13 follows version 11"


def test_nobody_is_told_to_mend_views_while_the_log_has_lost_something(folder: Path) -> None:
    DAMAGE["a flipped bit"][0](folder)
    DAMAGE["an extra row"][0](folder)
    advice = {finding.action for finding in check(folder).findings if finding.severity == "warning"}
    assert advice == {"Restore the log first: this may hold what it has lost."}


MENDABLE = {
    name: damage
    for name, (damage, expected) in DAMAGE.items()
    if all(code.startswith(("warning file", "warning view", "warning index", "info")) for code in expected)
    and "view-ahead" not in str(expected)
}


@pytest.mark.parametrize("damage", MENDABLE.values(), ids=MENDABLE.keys())
def test_the_advice_mends_what_is_disposable(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder)
    report = check(folder)
    for finding in report.findings:
        if finding.action.startswith("Remove"):
            (folder / finding.where).unlink()
    with open_store(folder) as store:
        if any("eventstore rebuild" in finding.action for finding in report.findings):
            store.rebuild()
    assert codes(check(folder)) <= {"info blob-unreferenced", "info file-draft"}

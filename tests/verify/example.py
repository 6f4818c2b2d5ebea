"""A store with something of everything in it, and the tools to damage it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from eventstore.chain import GENESIS, event_hash
from eventstore.codec import Codec
from eventstore.events import WORKFLOW_STREAM, WorkflowSaved
from eventstore.jsonl import JsonlLog
from eventstore.line import CommitLine, EventLine, decode_line, encode_line, event_line
from eventstore.log import Append, Checkpoint, NewEvent, RecordedEvent
from projections import Store, Task, open_store
from projections.verify import Report
from projections.verify_files import verify_files

Change = Callable[[Path], object]


def fill(store: Store) -> None:
    """Runs that ended in every way, with retries, blobs, a checkpoint, a deletion, and a purge that made segments."""
    store.create_run("letters", run_id="done", input={"to": "everybody"}, user_message="Wish you were here")
    store.start_run("done", worker="one")
    store.schedule_tasks("done", [Task("write"), Task("fold", depends_on=["write"]), Task("post", depends_on=["fold"])])
    complete(store, "done", "write", "Dear everybody, " * 40)
    store.start_task("done", "fold")
    store.fail_task("done", "fold", ValueError("paper jam"))
    store.retry_task("done", "fold")
    complete(store, "done", "fold", {"folds": 2})
    complete(store, "done", "post", None)
    store.complete_run("done", "posted")

    store.create_run("letters", run_id="gone")
    store.create_run("letters", run_id="purged")
    store.start_run("purged")
    store.create_run("letters", run_id="failed")
    store.start_run("failed")
    store.schedule_task("failed", "write")
    store.start_task("failed", "write")
    store.fail_run("failed", "no ink")
    store.delete_run("gone", force=True)
    store.log.purge("purged")

    store.create_run("letters", run_id="going on")
    store.start_run("going on", worker="two", lease=60)
    store.schedule_task("going on", "write")
    complete(store, "going on", "write", "Dear all, " * 40)
    store.wait_run("going on", "a reply")
    definition = store.values.keep({"steps": ["write", "fold", "post"]})
    saved = store.codec.encode(WorkflowSaved("letters", "Letters", 1, definition.digest, definition))
    note = NewEvent(type="notes.taken", data=b"\x00\xff", content_type="application/octet-stream")
    store.log.append([Append(f"{WORKFLOW_STREAM}letters", [saved]), Append("$notes", [note])])
    store.log.append([], checkpoint=Checkpoint("reader", 7))


def complete(store: Store, run_id: str, task_id: str, output: object) -> None:
    attempt = store.start_task(run_id, task_id)
    store.complete_task(run_id, task_id, output, attempt=attempt.attempt, usage={"tokens": 3})


def make(folder: Path) -> Path:
    """The example in this folder, closed."""
    with open_store(folder, durability="none", threshold=200) as store:
        fill(store)
    return folder


def check(folder: Path) -> Report:
    """Verify the store, and make sure of what holds for every finding."""
    report = verify_files(folder, Codec())
    for finding in report.findings:
        assert finding.severity in ("error", "warning", "info")
        assert finding.code.replace("-", "").islower()
        assert all((finding.where, finding.message, finding.action))
        assert finding.action.endswith(".")
        assert not finding.message.endswith(".")
    assert report.clean == all(finding.severity == "info" for finding in report.findings)
    return report


def codes(report: Report) -> set[str]:
    """What was found, each kind once, as `severity code`."""
    return {f"{finding.severity} {finding.code}" for finding in report.findings}


def contents(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Everything in the folder, with its mode, time of change and digest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (status.st_mode, status.st_mtime_ns, digest)
    return found


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "_log").glob("*.jsonl"))


def raw_lines(segment: Path) -> list[bytes]:
    return segment.read_bytes().splitlines(keepends=True)


def lines(segment: Path) -> list[CommitLine]:
    return [decode_line(raw) for raw in raw_lines(segment)]


def write_lines(segment: Path, written: list[CommitLine]) -> None:
    """Put these lines in place of the segment's, with right checksums."""
    segment.write_bytes(b"".join(map(encode_line, written)))


def events(folder: Path) -> Iterator[RecordedEvent]:
    """All events, in order."""
    for segment in segments(folder):
        for line in lines(segment):
            yield from line.recorded()


def rehash(folder: Path, change: Callable[[RecordedEvent], RecordedEvent]) -> None:
    """Change events, and make every hash and checksum after it right again, as somebody who forges a log would."""
    heads: dict[str, str] = {}

    def forged(event: RecordedEvent) -> EventLine:
        changed = change(event)
        hash = event_hash(heads.get(event.stream, GENESIS), changed.stream, changed.version, changed)
        heads[event.stream] = hash
        return event_line(msgspec.structs.replace(changed, hash=hash))

    for segment in segments(folder):
        rewritten = []
        for line in lines(segment):
            recorded = {event.position: event for event in line.recorded()}
            places = range(line.position, line.next_position)
            kept = tuple(forged(recorded[place]) if place in recorded else None for place in places)
            rewritten.append(msgspec.structs.replace(line, events=kept))
        write_lines(segment, rewritten)


def append(folder: Path, stream: str, *new: msgspec.Struct | NewEvent) -> None:
    """Append to the log behind the views' back."""
    codec = Codec()
    made = [event if isinstance(event, NewEvent) else codec.encode(event) for event in new]
    with closing(JsonlLog(folder)) as log:
        log.append([Append(stream, made)])


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """One of the store's databases, to be changed. It is left as SQLite leaves one: without files beside it."""
    with closing(sqlite3.connect(path)) as connection:
        yield connection
        connection.commit()


def change_views(folder: Path, statement: str) -> None:
    with database(folder / "_views.db") as connection:
        assert connection.execute(statement).rowcount == 1


def change_index(folder: Path, statement: str) -> None:
    with database(folder / "_log" / "index.db") as connection:
        assert connection.execute(statement).rowcount == 1

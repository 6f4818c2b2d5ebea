"""What is sealed here, and what somebody could make of it who can do anything to a store but reach its seals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from msgspec.structs import replace

from eventstore.chain import GENESIS, event_hash
from eventstore.copying import Commit, commits_in
from eventstore.log import Append, Log, NewEvent, RecordedEvent
from eventstore.seal import Seal
from eventstore.sealing import compare_with_seal
from projections import Store
from tests.stores import completed, run_of

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def fill(store: Store) -> None:
    """Two runs, another stream between them, and a purge."""
    store.create_run("flow", run_id="purged before")
    run_of(store, "write", run_id="first")
    store.log.purge("purged before")
    store.log.append([Append("ünïcode / notes", [NewEvent(type="notes.taken", data=b"1")])])
    completed(store, "first", "write", "Dear everybody")
    run_of(store, "write", "post", run_id="second")
    completed(store, "second", "write", "Dear all")


def differences(log: Log, seal: Seal, *, quick: bool = False) -> dict[str, str]:
    """What kind of difference there is in which stream."""
    return {found.stream: found.kind for found in compare_with_seal(log, seal, quick=quick)}


def commits_of(store: Store) -> list[Commit]:
    """Everything the store has, to be restored elsewhere."""
    return list(commits_in(store.log.read_all()))


def without(commits: Iterable[Commit], stream: str) -> list[Commit]:
    """The commits as if there had never been that stream."""
    rest = ([event for event in commit if event.stream != stream] for commit in commits)
    return [commit for commit in rest if commit]


def forged(commits: Iterable[Commit], change: Callable[[RecordedEvent], RecordedEvent]) -> list[Commit]:
    """The commits with changed events, and with every hash right again."""
    heads: dict[str, str] = {}

    def rehashed(event: RecordedEvent) -> RecordedEvent:
        changed = change(event)
        hash = event_hash(heads.get(event.stream, GENESIS), changed.stream, changed.version, changed)
        heads[event.stream] = hash
        return replace(changed, hash=hash)

    return [[rehashed(event) for event in commit] for commit in commits]

"""A snapshot makes a question about the past quick and answers it as the events do, which count whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import Codec
from eventstore.errors import Unavailable
from eventstore.log import RecordedEvent
from eventstore.session import Session
from projections import Store, TaskRun, open_store, snapshot
from projections.fold import Fold
from projections.following_views import FollowingViews
from projections.inheritance import with_inherited
from projections.snapshot import KEPT, Replay, superfluous, worth_keeping
from tests.sql_stores import sql_log
from tests.stores import ONE_OF_EACH, Clock, address_of, completed, examples, run_of, tables_of
from tests.views.histories import FORK_ID, RUN_IDS, THRESHOLD, Step, commands

EVERY = 5
DAMAGE = {
    "of another event": "UPDATE main.snapshots SET hash = 'ab'",
    "of another place in the log": "UPDATE main.snapshots SET position = position - 1",
    "cut off": "UPDATE main.snapshots SET data = substr(data, 1, 40)",
    "empty": "UPDATE main.snapshots SET data = substr(data, 1, 0)",
    "without a time": "UPDATE main.snapshots SET latest = ''",
    "before its event": "UPDATE main.snapshots SET version = version - 1",
}


@pytest.fixture(scope="module", params=ONE_OF_EACH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Clock]]:
    """A store of each kind that all examples use, and its clock."""
    address, clock = address_of(request.param, tmp_path_factory.mktemp("shared") / "store"), Clock()
    with open_store(address, durability="none", threshold=THRESHOLD, snapshot_every=EVERY, clock=clock) as opened:
        yield opened, clock


@pytest.fixture
def asked(backend: str, folder: Path, clock: Clock) -> Iterator[Store]:
    """A store of each kind with a run of twelve events, that keeps a snapshot of more than five."""
    with open_store(address_of(backend, folder), durability="none", snapshot_every=EVERY, clock=clock) as opened:
        run_of(opened, *"abcd")
        for task in "abc":
            completed(opened, "run", task, task)
        yield opened


@pytest.fixture
def decoded(asked: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions of the events that are decoded."""
    versions: list[int] = []
    decode = Codec.decode

    def noted(codec: Codec, event: Any) -> Any:
        if isinstance(event, RecordedEvent):
            versions.append(event.version)
        return decode(codec, event)

    monkeypatch.setattr(Codec, "decode", noted)
    return versions


def written(store: Store, text: str) -> list[tuple[Any, ...]]:
    """What a statement gives that another program runs on the views."""

    def run(session: Session) -> list[tuple[Any, ...]]:
        return session.rows(text)

    if isinstance(store.views, FollowingViews):
        with store.views._writing() as session:
            return run(session)
    with sql_log(store).database.writing() as session:
        return run(session)


def kept(store: Store, run_id: str = "run") -> list[int]:
    """The versions of which there are snapshots."""
    rows = written(store, "SELECT run_id, version FROM main.snapshots ORDER BY version")
    return [version for run, version in rows if run == run_id]


def in_order(fold: Fold) -> list[Any]:
    """All that is to be seen of a fold, the order of rows and columns included."""
    return [(table, [(key, list(row.items())) for key, row in rows.items()]) for table, rows in fold.tables.items()]


def until(store: Store, events: list[RecordedEvent], time: datetime) -> list[Any]:
    own = list(takewhile(lambda event: event.recorded_at <= time, (event for event in events if event.version > 0)))
    inherited = [event for event in events if event.version < 1 and own]
    return in_order(Fold.of([*inherited, *own], store.codec))


def replayed(store: Store, version: int) -> list[Any]:
    return in_order(Fold.of(store.log.read("run", until=version), store.codec))


@examples(0.05)
@given(history=commands(), jumps=st.lists(st.integers(-9, 9), min_size=80, max_size=80))
def test_whatever_was_asked_before_every_moment_is_the_fold_of_its_events(
    shared: tuple[Store, Clock], history: list[Step], jumps: list[int]
) -> None:
    """The runs are purged and made anew with each example, and the clock is set back now and then."""
    store, clock = shared
    run_ids = (FORK_ID, *RUN_IDS)
    for run_id in run_ids:
        store.log.purge(run_id)
    for step, jump in zip(history, jumps, strict=False):
        clock.time += timedelta(seconds=jump)
        step.take(store)
        store.as_of(step.run_id)
    for run_id in run_ids:
        events, fold = list(with_inherited(store.log.read(run_id), store.codec, store.log.read)), Fold()
        for event in events:
            fold.take(event, store.codec)
            if event.version < 1:  # until its first own event there is no fork
                continue
            assert in_order(store.as_of(run_id, version=event.version)) == in_order(fold)
            assert in_order(store.as_of(run_id, position=event.position)) == in_order(fold)
            assert in_order(store.as_of(run_id, time=event.recorded_at)) == until(store, events, event.recorded_at)
    assert store.verify().clean


def test_a_question_that_was_asked_before_reads_only_what_has_come_since(asked: Store, decoded: list[int]) -> None:
    last = asked.log.version("run")
    assert in_order(asked.as_of("run")) == replayed(asked, last)
    decoded.clear()
    asked.as_of("run")
    assert decoded == []
    asked.start_task("run", "d")
    decoded.clear()
    assert asked.as_of("run").rows(TaskRun)[-1].status == "running"
    assert decoded == [last + 1]
    decoded.clear()
    asked.diff("run", "run")
    assert decoded == [last + 1] * 2


def test_a_question_about_what_was_before_a_snapshot_does_not_use_it(asked: Store) -> None:
    asked.as_of("run")
    (version,) = kept(asked)
    for earlier in range(version):
        assert in_order(asked.as_of("run", version=earlier)) == replayed(asked, earlier)


def test_few_events_are_no_reason_to_keep_anything(asked: Store) -> None:
    asked.as_of("run", version=EVERY)
    assert kept(asked) == []
    asked.as_of("run", version=EVERY + 1)
    assert kept(asked) == [EVERY + 1]


def test_halving_twice_reads_less_the_second_time(asked: Store, decoded: list[int]) -> None:
    def has_completed(fold: Fold) -> bool:
        return any(task.status == "completed" for task in fold.rows(TaskRun))

    first = asked.bisect("run", has_completed)
    read = len(decoded)
    decoded.clear()
    assert asked.bisect("run", has_completed) == first == asked.bisect("run", has_completed, monotone=False)
    assert len(decoded) - asked.log.version("run") < read


def test_a_purge_removes_the_snapshots_of_its_run_and_no_others(asked: Store) -> None:
    run_of(asked, *"abcd", run_id="other")
    for run_id in ("run", "other"):
        asked.as_of(run_id)
    asked.delete_run("run", force=True)
    assert kept(asked) != []
    asked.purge_run("run")
    asked.views.catch_up()
    assert (kept(asked), len(kept(asked, "other"))) == ([], 1)
    run_of(asked, "z")
    assert [task.task_id for task in asked.as_of("run").rows(TaskRun)] == ["z"]


def test_nothing_is_kept_of_a_run_that_was_purged_while_it_was_folded(asked: Store) -> None:
    replay = Replay()
    replay.take(asked.log.read("run"), asked.codec)
    late = replay.snapshot()
    asked.log.purge("run")
    asked.views.keep(late)
    run_of(asked, *"abcd")
    asked.views.keep(late)
    assert kept(asked) == []


def test_a_rebuild_drops_them(asked: Store) -> None:
    asked.as_of("run")
    asked.rebuild()
    assert kept(asked) == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_that_is_false_is_not_used_and_verification_finds_it(asked: Store, damage: str) -> None:
    asked.as_of("run", version=8)
    assert asked.verify().clean
    written(asked, DAMAGE[damage])
    (version,) = kept(asked)
    found = [(finding.code, finding.where) for finding in asked.verify().findings]
    assert found == [("snapshot-drift", f"version {version} of run 'run'")]
    for version in range(8, 13):
        assert in_order(asked.as_of("run", version=version)) == replayed(asked, version)


def test_one_that_is_false_is_mended_with_the_views(asked: Store) -> None:
    asked.as_of("run")
    written(asked, DAMAGE["of another event"])
    assert [remedy.name for remedy in asked.repair(dry_run=False).remedies] == ["rebuild"]
    assert asked.verify().clean


def test_one_with_other_rows_is_found(asked: Store) -> None:
    asked.as_of("run", version=8)
    other = Replay()
    other.take(asked.log.read("run", until=8), asked.codec)
    other.fold.tables["task_runs"]["run", "a"]["status"] = "skipped"
    asked.views.keep(other.snapshot())
    assert [finding.code for finding in asked.verify().findings] == ["snapshot-drift"]


def test_rows_that_were_made_in_another_way_are_not_used(
    asked: Store, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.as_of("run")
    try:
        monkeypatch.setattr(snapshot, "PROJECTION", 0)
        snapshot.format_digest.cache_clear()
        decoded.clear()
        asked.as_of("run", version=9)
        assert decoded == [*range(1, 10)]
        assert kept(asked) == [9]
    finally:
        monkeypatch.undo()
        snapshot.format_digest.cache_clear()


def test_a_database_that_cannot_be_written_is_no_reason_to_fail(asked: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("read-only")

    monkeypatch.setattr(asked.views, "keep", refuse)
    last = asked.log.version("run")
    assert in_order(asked.as_of("run")) == replayed(asked, last)
    monkeypatch.setattr(asked.views, "ask", refuse)
    assert in_order(asked.as_of("run")) == replayed(asked, last)


def test_nothing_but_snapshots_is_left_behind(asked: Store) -> None:
    before = list(asked.log.read_all()), asked.log.checkpoints(), tables_of(asked)
    asked.as_of("run")
    asked.bisect("run", bool)
    assert kept(asked) != []
    assert (list(asked.log.read_all()), asked.log.checkpoints(), tables_of(asked)) == before


def test_rows_of_many_more_than_the_events_that_made_them_are_not_kept() -> None:
    assert worth_keeping(6, 12, EVERY)
    assert not worth_keeping(6, 13, EVERY)
    assert not worth_keeping(EVERY, 1, EVERY)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200))
def test_few_stay_and_the_newest_always_does(steps: list[int]) -> None:
    versions: list[int] = []
    for step in steps:
        versions.append(step + (versions[-1] if versions else 0))
        given_up = superfluous(versions)
        assert versions[-1] not in given_up
        versions = [version for version in versions if version not in given_up]
        assert len(versions) <= KEPT


def test_those_near_the_end_stand_closer_together() -> None:
    versions: list[int] = []
    for version in range(1, 1001):
        versions.append(version)
        versions = [each for each in versions if each not in superfluous(versions)]
    gaps = [later - earlier for earlier, later in pairwise(versions)]
    assert gaps == sorted(gaps, reverse=True)
    assert (versions[-1], gaps[-1] <= 5, versions[0] <= 700) == (1000, True, True)

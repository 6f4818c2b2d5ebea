"""Views in the log's own database change with each append; what was appended without them they make up for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from eventstore.codec import Codec
from eventstore.errors import Closed, InvalidValue, UnsupportedStore
from eventstore.events import RunCreated, TaskRunScheduled
from eventstore.log import PURGES, Append, NewEvent, Purged, RecordedEvent
from eventstore.postgres import PostgresLog
from eventstore.sqlite import SqliteLog
from projections import Store
from projections.addresses import parse_address
from projections.inheritance import begins_fork
from projections.inline_views import UNPROJECTED, InlineViews
from projections.rows import Run
from tests.postgres import SERVERS
from tests.sql_stores import SQL, change, change_event, in_schema, open_log, sql_log
from tests.stores import address_of, completed, examples, folded, open_again, run_of, tables_of
from tests.views.histories import THRESHOLD, RawAppend, RawPurge, Step, commands, raw_history


@pytest.fixture(params=SQL)
def address(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a store in a database is kept, for each kind of database in turn."""
    return address_of(str(request.param), folder)


@pytest.fixture
def inline_store(address: str) -> Iterator[Store]:
    with open_again(address) as store:
        yield store


@contextmanager
def without_views(store: Store) -> Iterator[None]:
    """What is appended inside, the views are not told of."""
    log = sql_log(store)
    views, log.inline = log.inline, None
    yield
    log.inline = views


def unprojected(store: Store) -> list[tuple[int, ...]]:
    return sql_log(store).database.rows(UNPROJECTED)


def history_and_comparison(store: Store, history: Sequence[Step | RawAppend | RawPurge]) -> None:
    for step in history:
        head = store.log.head()
        step.take(store)
        assert unprojected(store) == [] or any(map(begins_fork, store.log.read_all(after=head)))
        assert tables_of(store) == folded(store)
    tables = tables_of(store)
    store.rebuild()
    assert tables_of(store) == tables


def share(kind: str) -> float:
    """How many of the usual examples to try: fewer where each takes a server's time."""
    return 0.5 if kind == "sqlite" else 0.05


@pytest.mark.parametrize("kind", SQL)
def test_after_any_commands_the_tables_are_what_the_log_says(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @examples(share(kind))
    @given(history=commands())
    def so(history: list[Step]) -> None:
        address = address_of(kind, tmp_path_factory.mktemp("any", numbered=True))
        with open_again(address, threshold=THRESHOLD) as store:
            history_and_comparison(store, history)

    so()


@pytest.mark.parametrize("kind", SQL)
def test_after_any_events_the_tables_are_what_the_log_says(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @examples(share(kind))
    @given(history=raw_history())
    def so(history: list[RawAppend | RawPurge]) -> None:
        with open_again(address_of(kind, tmp_path_factory.mktemp("any", numbered=True))) as store:
            history_and_comparison(store, history)

    so()


@pytest.mark.parametrize("kind", SQL)
def test_whatever_was_appended_without_views_they_say_what_they_would_have_said(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @examples(2 * share(kind))
    @given(history=raw_history())
    def so(history: list[RawAppend | RawPurge]) -> None:
        with open_again(address_of(kind, tmp_path_factory.mktemp("late", numbered=True))) as store:
            for place, step in enumerate(history):
                if place % 3 == 0:
                    step.take(store)
                else:
                    with without_views(store):
                        step.take(store)
                if place % 5 == 0:
                    assert tables_of(store) == folded(store)
            assert tables_of(store) == folded(store)
            assert unprojected(store) == []

    so()


def test_a_row_has_the_position_of_its_own_event_though_the_commit_goes_on(inline_store: Store) -> None:
    inline_store.create_run("flow", run_id="first")
    new = [inline_store.codec.encode(event) for event in (RunCreated("flow"), TaskRunScheduled("a"))]
    inline_store.log.append([Append("second", new), Append("third", [inline_store.codec.encode(RunCreated("flow"))])])
    assert [run.position for run in inline_store.list_runs()] == [1, 2, 4]
    assert [task.position for task in inline_store.list_task_runs("second")] == [3]


def test_views_are_in_the_transaction_of_the_append_in_sqlite(folder: Path) -> None:
    address = address_of("sqlite", folder)
    with (
        open_again(address) as store,
        closing(sqlite3.connect(parse_address(address).path, isolation_level=None)) as connection,
    ):
        assert isinstance(store.log, SqliteLog)
        created = store.codec.encode(RunCreated("flow"))
        for end, runs in (("ROLLBACK", []), ("COMMIT", ["run"])):
            connection.execute("BEGIN IMMEDIATE")
            store.log.append_within(connection, [Append("run", [created])])
            assert connection.execute("SELECT id FROM workflow_runs").fetchall() == [("run",)]
            assert store.list_runs() == []
            connection.execute(end)
            assert [run.id for run in store.list_runs()] == runs


@pytest.mark.parametrize("server", SERVERS)
def test_views_are_in_the_transaction_of_the_append_in_postgres(folder: Path, server: str) -> None:
    address = address_of(server, folder)
    with open_again(address) as store, in_schema(address) as connection:
        assert isinstance(store.log, PostgresLog)
        created = store.codec.encode(RunCreated("flow"))
        for end, runs in ((connection.rollback, []), (connection.commit, ["run"])):
            connection.execute("SELECT 1")
            store.log.append_within(connection, [Append("run", [created])])
            assert connection.execute("SELECT id FROM workflow_runs").fetchall() == [("run",)]
            assert store.list_runs() == []
            end()
            assert [run.id for run in store.list_runs()] == runs


def test_events_that_a_program_without_views_appended_show_at_the_next_reading(
    inline_store: Store, address: str
) -> None:
    run_of(inline_store, "a")
    with closing(open_log(address)) as log:
        log.append([Append("run", [inline_store.codec.encode(TaskRunScheduled("b"))])])
        log.append([Append("other", [inline_store.codec.encode(RunCreated("flow"))])])
    assert [task.task_id for task in inline_store.list_task_runs("run")] == ["a", "b"]
    assert [run.id for run in inline_store.list_runs()] == ["run", "other"]
    assert unprojected(inline_store) == []


def test_a_run_that_a_program_without_views_purged_is_gone_at_the_next_reading(
    inline_store: Store, address: str
) -> None:
    for run_id in ("purged", "anew", "kept"):
        run_of(inline_store, "a", run_id=run_id)
    with closing(open_log(address)) as log:
        log.purge("purged")
        log.purge("anew")
        log.append([Append("anew", [inline_store.codec.encode(RunCreated("another"))])])
    inline_store.create_run("flow", run_id="last")
    assert inline_store.get_run("purged") is None
    assert [run.workflow_name for run in inline_store.list_runs()] == ["flow", "another", "flow"]
    assert tables_of(inline_store) == folded(inline_store)


def test_an_event_that_cannot_be_read_is_kept_and_stops_the_views_rather_than_being_passed_over(
    inline_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    run_of(inline_store)
    inline_store.log.append([Append("bad", [NewEvent(type="runCreated", data=b'{"workflow_name":7}')])])
    assert "views could not follow" in caplog.text
    assert inline_store.log.version("bad") == 1
    for _ in range(2):
        with pytest.raises(InvalidValue, match="runCreated"):
            inline_store.get_run("run")
    inline_store.log.purge("bad")
    assert inline_store.get_run("run") is not None
    assert tables_of(inline_store) == folded(inline_store)


def test_only_the_log_itself_can_take_a_run_out_of_the_views(inline_store: Store) -> None:
    run_of(inline_store)
    inline_store.log.append([Append("x", [inline_store.codec.encode(Purged("run", 2))])])
    assert inline_store.get_run("run") is not None
    with without_views(inline_store):
        inline_store.log.append([Append("x", [inline_store.codec.encode(Purged("run", 2))])])
    assert inline_store.get_run("run") is not None
    assert folded(inline_store) == tables_of(inline_store)


def test_a_log_that_never_had_views_gets_them_from_all_its_events(address: str) -> None:
    codec = Codec()
    with closing(open_log(address)) as log:
        for run_id in ("purged", "run"):
            log.append([Append(run_id, [codec.encode(RunCreated("flow")), codec.encode(TaskRunScheduled("a"))])])
        log.purge("purged")
    with open_again(address) as store:
        assert unprojected(store) == []
        assert [run.id for run in store.list_runs()] == ["run"]
        assert tables_of(store) == folded(store)


def test_views_made_by_a_newer_program_are_left_alone(address: str) -> None:
    with open_again(address) as store:
        run_of(store)
    change(address, "UPDATE schema_versions SET version = 99 WHERE part = 'views'")
    with pytest.raises(UnsupportedStore):
        open_again(address)
    with closing(open_log(address)) as log:
        assert log.version("run") == 2


def test_opening_again_changes_nothing_and_a_rebuilding_everything(address: str) -> None:
    with open_again(address) as store:
        run_of(store, "a")
        completed(store, "run", "a", 1)
        before = tables_of(store)
    change(address, "UPDATE attempts SET worker = 'somebody'")
    change(address, "INSERT INTO workflow_runs (id, position) VALUES ('nobody', 99)")
    with open_again(address) as store:
        assert [attempt.worker for attempt in store.list_attempts("run")] == ["somebody"]
        assert [run.id for run in store.list_runs()] == ["run", "nobody"]
        store.rebuild()
        assert tables_of(store) == before


def test_rebuilding_tells_how_far_it_is(inline_store: Store) -> None:
    run_of(inline_store, "a", "b")
    told: list[int] = []
    inline_store.rebuild(told.append)
    assert sum(told) == inline_store.log.head()


def test_readers_see_the_old_tables_while_new_ones_are_made_and_when_that_is_broken_off(
    inline_store: Store, address: str
) -> None:
    run_of(inline_store, "a")
    change(address, "UPDATE task_runs SET name = 'old'")
    seen: list[str] = []

    def look_and_stop(_: int) -> None:
        seen.extend(task.name for task in other.list_task_runs("run"))
        raise KeyboardInterrupt

    with open_again(address) as other, pytest.raises(KeyboardInterrupt):
        inline_store.rebuild(look_and_stop)
    assert seen == ["old"] == [task.name for task in inline_store.list_task_runs("run")]


def test_rows_and_events_are_of_one_state(inline_store: Store, address: str) -> None:
    run_of(inline_store, "a")
    with open_again(address) as other, inline_store.views.with_events() as (contents, _, events):
        other.create_run("flow", run_id="later")
        assert [event.stream for event in events if isinstance(event, RecordedEvent)] == ["run"] * 3
        assert list(contents[Run.TABLE]) == [("run",)]


def test_an_open_store_verifies_itself_and_finds_what_is_wrong(inline_store: Store, address: str) -> None:
    run_of(inline_store, "a")
    completed(inline_store, "run", "a", 1)
    inline_store.create_run("flow", run_id="purged")
    inline_store.log.purge("purged")
    assert inline_store.verify().findings == ()
    change(address, "UPDATE attempts SET worker = 'somebody'")
    (finding,) = inline_store.verify().findings
    assert (finding.code, finding.where) == ("view-drift", "attempts ('run', 'a', 1)")
    inline_store.rebuild()
    assert inline_store.verify().findings == ()


def test_all_damaged_events_are_reported_and_nobody_is_told_to_mend_views_before_the_log(
    inline_store: Store, address: str
) -> None:
    run_of(inline_store, "a", "b", "c")
    change_event(address, "UPDATE workflow_events SET event_type = 'x' WHERE position = 3")
    change_event(address, "UPDATE workflow_events SET payload = ? WHERE position = 5", b"\0")
    findings = inline_store.verify().findings
    damaged = [finding.where for finding in findings if finding.code == "log-corrupt"]
    assert [where.split(" (")[0] for where in damaged] == ["the event at position 3", "the event at position 5"]
    assert {finding.code for finding in findings if finding.severity == "error"} == {"log-corrupt", "version-gap"}
    advice = {finding.action for finding in findings if finding.severity == "warning"}
    assert advice == {"Restore the log first: this may hold what it has lost."}


def test_programs_with_and_without_views_write_at_once_and_nothing_is_lost(address: str) -> None:
    codec = Codec()

    def write_without(name: str) -> None:
        with closing(open_log(address)) as log:
            for number in range(10):
                log.append([Append(f"{name} {number}", [codec.encode(RunCreated("flow"))])])

    with open_again(address) as store:
        writers = [threading.Thread(target=write_without, args=(name,)) for name in ("one", "two")]
        for writer in writers:
            writer.start()
        for number in range(10):
            run_of(store, "a", run_id=f"three {number}")
            assert store.get_run(f"three {number}") is not None
        for writer in writers:
            writer.join()
        assert len(store.list_runs()) == 30
        assert tables_of(store) == folded(store)


def test_closed_views_say_that_they_are_closed(inline_store: Store) -> None:
    inline_store.close()
    with pytest.raises(Closed):
        inline_store.get_run("run")


def test_what_a_commit_does_to_the_views_is_told_without_reading(inline_store: Store) -> None:
    views, log = inline_store.views, sql_log(inline_store)
    assert isinstance(views, InlineViews)
    run_of(inline_store, "a")
    events = list(log.read("run"))
    log.purge("run")
    events += log.read(PURGES)
    log.close()
    for event in events:
        nowhere = msgspec.structs.replace(event, position=0, commit=0)  # as it is until Postgres has given it a place
        assert views.statements([nowhere if log.dialect == "postgres" else event]) == views.statements([event]) != []

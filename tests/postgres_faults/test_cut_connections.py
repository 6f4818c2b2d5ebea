"""The connection breaks at any message of an append, so that nobody knows what became of it: it is there just once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import get_args

import psycopg
import pytest

import eventstore.postgres
import eventstore.postgres_database
from eventstore.log import Append, Checkpoint, NewEvent
from eventstore.postgres import Ordering, PostgresLog
from eventstore.postgres_errors import ConnectionLost
from projections import Store, open_store
from projections.inline_views import UNPROJECTED
from tests.postgres import VERSIONS, address, binaries
from tests.postgres_server import Server
from tests.sql_stores import sql_log
from tests.stores import folded, tables_of

from .proxy import Direction, Proxy
from .writers import two_runs


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstore.postgres, "_PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("half", [False, True], ids=["before", "within"])
@pytest.mark.parametrize("direction", get_args(Direction))
@pytest.mark.parametrize("ordering", get_args(Ordering))
def test_an_append_whose_connection_breaks_at_any_message_is_there_once(
    proxy: Proxy,
    schema: str,
    record_property: Callable[[str, object], None],
    ordering: Ordering,
    direction: Direction,
    half: bool,
) -> None:
    results = set()
    # What is prepared makes for fewer messages, so that some would not be met; notifications come in between.
    with open_store(f"{proxy.dsn}&schema={schema}&ordering={ordering}&prepare=off&notify=off") as store:
        expected = []
        for number in count(1):
            commit = two_runs(number)
            proxy.cut_before(number, direction, half=half)
            appended = store.log.append(commit)
            results.add(appended.repeated)
            cut = proxy.has_cut
            proxy.cut_before(0, direction)
            assert [event.id for event in appended.events] == [event.id for entry in commit for event in entry.events]
            expected += [event.id for event in appended.events]
            if not cut:
                break
        assert [event.id for event in store.log.read_all()] == expected
        check_views(store)
    if direction == "to the client":
        assert results == {False, True}  # some were committed before the cut, some were not
    record_property("cuts", number - 1)


def check_views(store: Store) -> None:
    assert sql_log(store).database.rows(UNPROJECTED) == []
    assert tables_of(store) == folded(store)
    assert store.verify().clean


def test_a_cut_connection_never_moves_a_checkpoint_alone(proxy: Proxy, schema: str) -> None:
    with closing(PostgresLog(proxy.dsn, schema=schema)) as log:
        previous = None
        for number in count(1):
            commit = [Append("run", [NewEvent(type="written", data=b"{}")])]
            proxy.cut_before(number, "to the client")
            log.append(commit, checkpoint=Checkpoint("reader", number, previous=previous))
            assert (log.checkpoint("reader"), log.version("run")) == (number, number)
            previous = number
            if not proxy.has_cut:
                return


def test_reads_whose_connection_breaks_are_read_again(proxy: Proxy, schema: str) -> None:
    with closing(PostgresLog(proxy.dsn, schema=schema, connections=1)) as log:
        (event,) = log.append([Append("run", [NewEvent(type="written", data=b"{}")])]).events
        reads: list[Callable[[], bool]] = [
            lambda: log.head() == event.position,
            lambda: log.version("run") == 1,
            lambda: [*log.read("run")] == [event],
            lambda: [*log.read_all()] == [event],
            lambda: log.checkpoints() == {},
        ]
        for read in reads:
            for direction in get_args(Direction):
                proxy.cut_before(1, direction)
                assert read()
                assert proxy.has_cut


def test_a_commit_that_still_runs_when_it_is_repeated_is_waited_for(proxy: Proxy, server: Server, schema: str) -> None:
    """The client has lost its connection; the server has not noticed, and commits when the append is repeated."""
    events = [NewEvent(type="written", data=b"{}")]
    with (
        closing(PostgresLog(server.dsn, schema=schema)) as log,
        psycopg.connect(server.dsn) as lost,
        psycopg.connect(server.dsn, autocommit=True) as other,
    ):
        log.append_within(lost, [Append("run", events)])
        repeated: list[bool] = []
        repeating = threading.Thread(target=lambda: repeated.append(log.append([Append("run", events)]).repeated))
        repeating.start()
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
            assert repeating.is_alive()
        lost.commit()
        repeating.join()
        assert repeated == [True]
        assert [event.id for event in log.read_all()] == [events[0].id]


def test_an_append_to_a_server_that_stays_away_fails_and_the_next_one_does_not(
    tmp_path_factory: pytest.TempPathFactory, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventstore.postgres, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(eventstore.postgres_database, "POOL_SECONDS", 0.2)
    with (
        Server(binaries(VERSIONS[0]), tmp_path_factory.mktemp("server")) as server,
        closing(PostgresLog(server.dsn, schema=schema)) as log,
    ):
        event = NewEvent(type="written", data=b"{}")
        server.stop()
        with pytest.raises(ConnectionLost, match="no connection to be had"):
            log.append([Append("run", [event])])
        server.start()
        monkeypatch.undo()
        assert not log.append([Append("run", [event])]).repeated


def test_the_addresses_differ_but_the_store_is_one(proxy: Proxy, server: Server, schema: str) -> None:
    with closing(PostgresLog(proxy.dsn, schema=schema)) as one, open_store(address(server, schema)) as other:
        one.append([Append("run", [NewEvent(type="written", data=b"{}")])])
        assert other.log.version("run") == 1

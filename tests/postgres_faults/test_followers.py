"""Followers of a server that is lost for a while: they go on where they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import pytest

from eventstore.follow import follow
from eventstore.log import Append, Log, NewEvent
from eventstore.postgres import PostgresLog
from tests.postgres_server import Server

from .proxy import Proxy


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


def append(log: Log, count: int) -> None:
    for number in range(count):
        log.append([Append("a", [NewEvent(type="noted", data=b"%d" % number)])])


def test_a_follower_goes_on_when_its_connections_are_cut(proxy: Proxy, server: Server, schema: str) -> None:
    with (
        closing(PostgresLog(proxy.dsn, schema=schema)) as log,
        closing(PostgresLog(server.dsn, schema=schema)) as writer,
        follow(log) as follower,
    ):
        for number in range(5):
            proxy.cut_all()
            append(writer, 3)
            assert [event.version for event in islice(follower, 2)] == [3 * number + 1, 3 * number + 2]
            proxy.cut_all()
            assert [event.version for event in islice(follower, 1)] == [3 * number + 3]

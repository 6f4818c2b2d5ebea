"""The network swallows everything from some moment on: every call ends, soon, and with an error that says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from uuid import UUID

import pytest

import eventstore.postgres
import eventstore.postgres_database
from eventstore.errors import OutcomeUnknown, Unavailable
from eventstore.log import Append, Checkpoint, NewEvent
from eventstore.postgres import PostgresLog
from eventstore.sql_blobs import SqlBlobs
from tests.postgres_server import Server

from .proxy import Proxy

SOON = 3.0
"""Seconds. The times below are a fraction of it."""

BY_ID = NewEvent(type="written", data=b"{}", id=UUID("01915f2e-2d5b-7c3a-9b57-40d8f4b0c1a3"))

CALLS: dict[str, Callable[[PostgresLog], object]] = {
    "append": lambda log: log.append([Append("run", [BY_ID])]),
    "append with a checkpoint": lambda log: log.append([Append("run", [BY_ID])], checkpoint=Checkpoint("reader", 1)),
    "read": lambda log: list(log.read("run")),
    "read_all": lambda log: list(log.read_all()),
    "version": lambda log: log.version("run"),
    "head": lambda log: log.head(),
    "wait": lambda log: log.wait(0),
    "checkpoint": lambda log: log.checkpoint("reader"),
    "purge": lambda log: log.purge("run"),
    "put a blob": lambda log: SqlBlobs(log.database).put(b"large"),
}


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstore.postgres, "_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(eventstore.postgres_database, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(eventstore.postgres_database, "POOL_SECONDS", 0.2)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_into_a_black_hole_ends(server: Server, schema: str, call: str) -> None:
    with Proxy(server.port) as proxy, closing(PostgresLog(proxy.dsn, schema=schema)) as log:
        log.append([Append("run", [NewEvent(type="written", data=b"{}")])])
        proxy.swallow()
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=r"no answer in|no connection to be had") as caught:
            CALLS[call](log)
        assert time.monotonic() - begun < SOON
        assert caught.value.retriable
        assert caught.value.hint
        proxy.heal()


def test_an_append_whose_answer_is_swallowed_says_that_nobody_knows(server: Server, schema: str) -> None:
    with Proxy(server.port) as proxy, closing(PostgresLog(proxy.dsn, schema=schema)) as log:
        log.append([Append("run", [NewEvent(type="written", data=b"{}")], 0)])
        proxy.swallow("to the client")
        with pytest.raises(OutcomeUnknown, match="no answer in"):
            log.append([Append("other", [BY_ID], 0)])
        proxy.heal()
        with closing(PostgresLog(server.dsn, schema=schema)) as again:
            assert again.append([Append("other", [BY_ID], 0)]).repeated


def test_to_connect_into_a_black_hole_fails_in_the_time_that_connecting_may_take(server: Server, schema: str) -> None:
    with Proxy(server.port) as proxy:
        proxy.swallow()
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="timeout") as caught:
            PostgresLog(f"{proxy.dsn}&connect_timeout=2", schema=schema)
        proxy.heal()
        assert 1 < time.monotonic() - begun < 2 + SOON
        assert caught.value.hint

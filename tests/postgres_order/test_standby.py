"""A standby has no locks of its primary, so it cannot tell what is under way there, and does not show the whole log."""

from __future__ import annotations

from contextlib import closing

import pytest

from eventstore.errors import Unavailable
from eventstore.log import Append
from eventstore.postgres import PostgresLog
from tests.postgres import VERSIONS, binaries
from tests.postgres_server import Server

from .held import written


@pytest.mark.parametrize("version", VERSIONS)
def test_a_standby_shows_streams_but_not_the_whole_log(version: str) -> None:
    with Server(binaries(version), durable=False) as server:
        with closing(PostgresLog(server.dsn)) as log:
            events = log.append([Append("stream", written(3))]).events
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        with closing(PostgresLog(server.dsn)) as log:
            assert tuple(log.read("stream")) == events
            with pytest.raises(Unavailable, match="standby") as refused:
                list(log.read_all())
            assert "primary" in refused.value.hint

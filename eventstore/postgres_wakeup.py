"""What wakes those who wait for a Postgres log: NOTIFY after a commit, LISTEN where somebody waits.

Both are hints. An append only marks that there is something new. A thread tells of it, in a transaction of its own: in
the append's, NOTIFY would have all commits of the server wait for one another. Whoever waits looks at the log all the
same: often, until the listener is known to hear; then seldom, until something is found that it has not told of. So
poolers that carry no notifications, and writers that send none, cost time and never an event.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

import psycopg

from eventstore.errors import EventStoreError
from eventstore.postgres_database import ImpatientConnection, PostgresDatabase

NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')"

NOTIFY_SECONDS = 0.01
"""Commits that come closer together than this are told of at once. Each time costs a follower 0.3 ms of CPU or more."""
_POLL_SECONDS = 0.05
_HEARING_POLL_SECONDS = 1.0
_RECONNECT_SECONDS = 1.0
_CLOSE_SECONDS = 1.0


class Wakeup:
    """Wakes the threads that wait for a log: of its process at once, of others by way of the server.

    A channel is a schema's, so stores in one database do not wake each other. Without `notify`, nothing is sent or
    listened for. Connects nowhere before there is something to tell or to wait for.
    """

    def __init__(self, database: PostgresDatabase, *, notify: bool) -> None:
        self._changed = threading.Condition()
        self._changes = 0
        self._closed = False
        self._notifier: Notifier | None = None
        self._listener: Listener | None = None
        if notify:
            channel = f"flowledger_{database.schema}"
            self._notifier = Notifier(lambda: database.write(NOTIFY, (channel,)))
            # Who begins to listen is told something: to know that it hears, and because it may have missed something.
            self._listener = Listener(database.conninfo, channel, self._notifier.mark, self._wake)

    def committed(self) -> None:
        """There is something new: wake whoever waits here, and have the others told."""
        self._wake()
        if self._notifier is not None:
            self._notifier.mark()

    def _wake(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def wait(self, head: Callable[[], int], after: int, timeout: float | None) -> bool:
        """See `Log.wait`. `head` says where the log ends."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, told = _POLL_SECONDS, True
        while True:
            seen = self._changes
            if head() > after:
                if self._listener is not None and not told:
                    self._listener.hears = False
                return True
            remaining = pause if deadline is None else min(pause, deadline - time.monotonic())
            if remaining <= 0:
                return False
            if self._listener is not None:
                self._listener.start()
            told = self._await_change(seen, remaining)
            # What was told may not show yet, while an older append is under way.
            hears = self._listener is not None and self._listener.hears
            pause = min(2 * pause, _HEARING_POLL_SECONDS) if hears and not told else _POLL_SECONDS

    def _await_change(self, seen: int, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._changes != seen or self._closed, timeout)

    def close(self) -> None:
        """Tell what is still to be told, wake whoever waits, and end the threads: one that is held up by a network
        that swallows packets ends by itself, later. Repeated calls do nothing.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for part in (self._notifier, self._listener):
            if part is not None:
                part.close()


class Notifier:
    """Tells that there is news, now and then, in a thread that begins with the first."""

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        self._marked = threading.Condition()
        self._news = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def mark(self) -> None:
        """There is news. Costs no time."""
        if self._news:
            return
        with self._marked:
            self._news = True
            self._marked.notify()
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="eventstore-notify", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._await_news():
            with contextlib.suppress(EventStoreError):
                self._tell()
            self._closed.wait(NOTIFY_SECONDS)

    def _await_news(self) -> bool:
        """Wait for news. False if none will come any more."""
        with self._marked:
            self._marked.wait_for(lambda: self._news or self._closed.is_set())
            news, self._news = self._news, False
            return news

    def close(self) -> None:
        """Tell what is marked, and end."""
        with self._marked:
            self._closed.set()
            self._marked.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)


class Listener:
    """Listens to a channel, on a connection of its own that is made again when it is lost, in a thread of its own.

    `hears` says that something was heard since it began. Whoever finds news that it has not told of sets that back.
    """

    def __init__(self, conninfo: str, channel: str, begun: Callable[[], object], heard: Callable[[], object]) -> None:
        self._conninfo, self._channel, self._begun, self._heard = conninfo, channel, begun, heard
        self.hears = False
        self._starting = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen. Repeated calls do nothing."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None and not self._closed.is_set():
                self._hang_up, hung_up = socket.socketpair()
                self._thread = threading.Thread(
                    target=self._run, args=(hung_up,), name="eventstore-listen", daemon=True
                )
                self._thread.start()

    def _run(self, hung_up: socket.socket) -> None:
        with hung_up:
            while not self._closed.is_set():
                with contextlib.suppress(psycopg.Error, OSError):
                    self._listen(hung_up)
                self.hears = False
                self._closed.wait(_RECONNECT_SECONDS)

    def _listen(self, hung_up: socket.socket) -> None:
        """Listen until told to hang up. Raises psycopg's errors when the connection is lost or not to be had."""
        with ImpatientConnection.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f'LISTEN "{self._channel}"'.encode(), prepare=False)
            self._begun()
            poll = select.poll()
            for end in (connection, hung_up):
                poll.register(end.fileno(), select.POLLIN)
            while not self._closed.is_set():
                poll.poll()
                if [*connection.notifies(timeout=0)]:
                    self.hears = True
                    self._heard()

    def close(self) -> None:
        """Hang up."""
        with self._starting:
            self._closed.set()
        if self._thread is not None:
            self._hang_up.close()
            self._thread.join(_CLOSE_SECONDS)

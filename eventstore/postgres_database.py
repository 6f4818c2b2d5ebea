"""A Postgres schema as a `Database`: a pool of connections, none of which keeps anything between transactions but what
is prepared on it, so a transaction pooler such as PgBouncer can stand in between.

A network that swallows packets must not hang anybody: the kernel gives up on unanswered packets
(`tcp_user_timeout`), and every wait for an answer has an end here too.
"""

from __future__ import annotations

import contextlib
import functools
import select
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import TupleRow, tuple_row
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper
from psycopg_pool import ConnectionPool

from eventstore.errors import InvalidInput, Unavailable, lone_surrogate
from eventstore.postgres_errors import ConnectionLost, parsed, shown, translated
from eventstore.postgres_pipeline import Prepared, exchange
from eventstore.session import Argument, Batch, Statement

ANSWER_SECONDS = 60.0
"""How long to wait for the answers to what was sent before the connection is given up."""
LOCK_SECONDS = 30
"""How long to wait for other writers: less, so that the server is the one to say so."""
CONNECT_SECONDS = 5
POOL_SECONDS = 10.0
"""How long to wait for a connection, of which one may have to be made."""
_SETTINGS: dict[str, str | int] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 10_000,
    "application_name": "flowledger",
    "client_encoding": "utf8",
}
PROBED = {"keepalives_idle": 10, "keepalives_interval": 10, "keepalives_count": 3}
"""For connections that are silent for long: a server that is gone is known by its not answering the system's probes."""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
COMMIT = "COMMIT"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
SET_DURABILITY = """set_config('synchronous_commit', CASE WHEN $2 = 'off' THEN 'off' ELSE
    coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on') END, true)"""
ENTER = f"SELECT set_config('lock_timeout', $1, true), {SET_DURABILITY}, set_config('search_path', $3, true)"
PLACE = """SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()),
    current_setting('transaction_isolation') FROM pg_control_system()"""
ENTER_WITHIN = """SELECT current_setting('lock_timeout'), set_config('lock_timeout', $1, true),
    CASE WHEN $2 = 'on' AND current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', true) END"""
SET_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', $1, true)"
LOCK_OUT_OTHERS = "SELECT pg_advisory_xact_lock($1::bigint::int, 0)"
STAND_BESIDE_OTHERS = "SELECT pg_try_advisory_xact_lock_shared($1::bigint::int, 0)"
HAS_TABLE = "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = $2"
HAS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = $1"
LOCK_SCHEMA = "SELECT pg_advisory_xact_lock($1)"

Result = TypeVar("Result")
Connection = psycopg.Connection[TupleRow]


class ImpatientConnection(Connection):
    """A connection that does not wait for ever."""

    @functools.cached_property
    def prepared(self) -> Prepared:
        """What `exchange` has prepared."""
        return {}

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        """Give up after a while, and for good: nobody is to wait for this connection a second time."""
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            if timeout is not None:
                raise
            self.close()
            raise psycopg.OperationalError(f"no answer in {ANSWER_SECONDS:.0f} s") from None


class PostgresSession:
    """A connection as a `Session`."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, prepared: Prepared | None = None) -> None:
        """`prepared` is what is prepared on the connection, if anything may be."""
        self.connection, self._schema, self._prepared = connection, schema, prepared
        self._held: list[Statement] = []

    def rows(self, text: str, arguments: Sequence[Argument] = ()) -> list[TupleRow]:
        (rows,) = self.ask([Statement(text, arguments)])
        return rows

    def ask(self, statements: Sequence[Statement]) -> list[list[TupleRow]]:
        held, self._held = self._held, []
        asked = [(_qualified(text, self._schema), arguments) for text, arguments in [*held, *statements]]
        return exchange(self.connection, asked, self._prepared)[len(held) :]

    def run(self, batches: Sequence[Batch]) -> None:
        """See `Session.run`. It is sent along with what is asked next, such as the commit: so what a writer does who
        keeps all others out takes one round trip, however many commits it is.
        """
        self._held += [Statement(text, row) for text, rows in batches for row in rows]

    def has_table(self, name: str) -> bool:
        return bool(self.rows(HAS_TABLE, (self._schema, name)))


class PostgresDatabase:
    """A schema of a database. Safe for threads; any number of processes and machines may use it."""

    def __init__(self, dsn: str, schema: str, *, durable: bool, prepare: bool, connections: int) -> None:
        """Connects nowhere yet."""
        parts = parsed(dsn)
        self.name, self.schema, self._prepare = f"{shown(parts)}?schema={schema}", schema, prepare
        self._durable = "on" if durable else "off"
        self.surroundings = (f"{LOCK_SECONDS}s", self._durable)
        self.enter = Statement(ENTER, (*self.surroundings, schema))
        self.conninfo = make_conninfo(**(_SETTINGS | parts))
        self._pool = ConnectionPool(
            self.conninfo,
            connection_class=ImpatientConnection,
            kwargs={"autocommit": True},
            configure=_configure,
            min_size=1,
            max_size=connections,
            timeout=POOL_SECONDS,
            reconnect_timeout=POOL_SECONDS,  # then whoever asks next tries again, at once
            open=False,
        )
        self._gate = 0
        self._place: TupleRow = ()

    def open(self, prepare_schema: Callable[[PostgresSession], int], *, create: bool) -> None:
        """Have the schema made ready, by one process at a time, and open the pool. `prepare_schema` returns the key of
        the lock that keeps other writers out.

        The first connection is not the pool's: its error says what is wrong, where the pool's would only be late.
        """
        with self.translating(), self.connect(self.conninfo) as connection:
            session = self.session(connection)
            session.ask([Statement(BEGIN), self.enter, Statement(LOCK_SCHEMA, (zlib.crc32(self.schema.encode()),))])
            if not create and not session.has_table("workflow_events"):
                raise Unavailable(f"there is no store in {self.name}", "Check address and schema.")
            if not session.rows(HAS_SCHEMA, (self.schema,)):
                session.rows(f'CREATE SCHEMA "{self.schema}"')
            (self._place,) = session.rows(PLACE)
            self._gate = prepare_schema(session)
            session.rows(COMMIT)
        self._pool.open()

    def connect(self, conninfo: str) -> ImpatientConnection:
        """A connection that is not the pool's."""
        connection = ImpatientConnection.connect(conninfo, autocommit=True)
        _configure(connection)
        return connection

    def session(self, connection: ImpatientConnection) -> PostgresSession:
        """A session on a connection."""
        return PostgresSession(connection, self.schema, connection.prepared if self._prepare else None)

    def rows(self, text: str, arguments: Sequence[Argument] = ()) -> list[TupleRow]:
        """See `Database.rows`. What is only read is read again when the server was restarted meanwhile."""
        (rows,) = self._read([Statement(text, arguments)])
        return rows

    def answers(self, questions: Sequence[Statement], *, together: bool) -> list[list[TupleRow]]:
        """See `Database.answers`, and `rows`."""
        if not together:
            return self._read(questions)
        _, *answers, _ = self._read([Statement(BEGIN_READING), *questions, Statement(COMMIT)])
        return answers

    def _read(self, statements: Sequence[Statement]) -> list[list[TupleRow]]:
        return self.found(lambda session: session.ask(statements))

    def found(self, search: Callable[[PostgresSession], Result]) -> Result:
        """What is found outside any transaction, by a search that is made again if the connection breaks."""
        try:
            with self.connection() as connection:
                return search(self.session(connection))
        except ConnectionLost:
            with self.connection() as connection:
                return search(self.session(connection))

    def write(self, text: str, arguments: Sequence[Argument] = ()) -> list[TupleRow]:
        return self.rows(text, arguments)

    @contextlib.contextmanager
    def reading(self) -> Iterator[PostgresSession]:
        with self._begun([Statement(BEGIN_READING)]) as session:
            yield session
            session.rows(COMMIT)

    @contextlib.contextmanager
    def writing(self) -> Iterator[PostgresSession]:
        with self._begun([Statement(BEGIN), self.enter, Statement(LOCK_OUT_OTHERS, (self._gate,))]) as session:
            yield session
            with self.translating(committing=True):
                session.rows(COMMIT)

    @contextlib.contextmanager
    def aside(self) -> Iterator[PostgresSession]:
        """See `Database.aside`. It never waits for who has locked others out: then appends would wait for it."""
        with self._begun([Statement(BEGIN), self.enter]) as session:
            if session.rows(STAND_BESIDE_OTHERS, (self._gate,)) != [(True,)]:
                raise Unavailable(f"others have {self.name} to themselves", "Try again.")
            yield session
            with self.translating(committing=True):
                session.rows(COMMIT)

    @contextlib.contextmanager
    def within(self, connection: psycopg.Connection[Any]) -> Iterator[PostgresSession]:
        """A session in the transaction of somebody else's connection, with other writers locked out until that ends.

        Of that connection's settings nothing changes, except that its commit may become durable that was not to be.
        Raises `InvalidInput` for a connection on which the events could not be appended.
        """
        check_in_transaction(connection)
        with self.translating():
            session = PostgresSession(connection, self.schema)
            place = psycopg.Cursor(connection, row_factory=tuple_row).execute(PLACE).fetchone()  # may begin it
            if place is None or place[:2] != self._place[:2]:
                raise InvalidInput("the connection is to another database", f"Connect to that of {self.name}.")
            if place[2] != "read committed":
                hint = "Others may have appended since such a transaction began to look."
                raise InvalidInput(f"the transaction is {place[2].upper()}, not READ COMMITTED", hint)
            ((lock_timeout, _, _),) = session.rows(ENTER_WITHIN, (f"{LOCK_SECONDS}s", self._durable))
            session.ask([Statement(LOCK_OUT_OTHERS, (self._gate,)), Statement(SET_LOCK_TIMEOUT, (lock_timeout,))])
            yield session
            session.ask(())

    @contextlib.contextmanager
    def _begun(self, beginning: Sequence[Statement]) -> Iterator[PostgresSession]:
        """A session that has run these statements, on a connection that turned out to be alive."""
        with contextlib.ExitStack() as stack:
            try:
                session = self.session(stack.enter_context(self.connection()))
                with self.translating():
                    session.ask(beginning)
            except ConnectionLost:
                stack.close()
                session = self.session(stack.enter_context(self.connection()))
                session.ask(beginning)
            yield session

    @contextlib.contextmanager
    def connection(self, *, committing: bool = False) -> Iterator[ImpatientConnection]:
        """A connection of the pool. `committing`: what is done with it is a whole transaction, sent in one piece."""
        with self.translating(committing=committing):
            connection = self._pool.getconn()
            while ended(connection):
                connection.close()
                self._pool.putconn(connection)
                connection = self._pool.getconn()
            try:
                yield connection
            finally:
                _clean(connection)
                self._pool.putconn(connection)

    def reclaim(self, *tables: str) -> None:
        """Vacuum the tables, as far as this role may: what was removed makes room for what comes, and empty pages at
        the end of a table are given back. Nobody waits for that.
        """
        text = f"VACUUM {', '.join(f'main.{table}' for table in tables)}"
        conninfo = make_conninfo(self.conninfo, **PROBED)
        with self.translating(), psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(_qualified(text, self.schema))

    def close(self) -> None:
        self._pool.close()

    @contextlib.contextmanager
    def translating(self, *, committing: bool = False) -> Iterator[None]:
        """The server's errors as this project's. `committing` says that there was something to be committed."""
        try:
            yield
        except psycopg.Error as error:
            raise translated(error, self.name, committing=committing) from error
        except UnicodeEncodeError as error:
            raise lone_surrogate(error) from None


def _configure(connection: psycopg.Connection[Any]) -> None:
    """One type for each kind of argument, so that a statement is prepared once and not once for each size of number;
    and lists in binary.
    """
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.adapters.register_dumper(str, StrBinaryDumper)
    connection.adapters.register_dumper(list, ListBinaryDumper)  # as text they take half of a batch's time to escape
    connection.prepare_threshold = None  # it would throw away what `exchange` has prepared


def check_in_transaction(connection: psycopg.Connection[Any]) -> None:
    """Raises `InvalidInput` unless the connection is in a transaction, or will be with the next statement."""
    if connection.closed:
        raise InvalidInput("the connection is closed", "Give one that is open, and in a transaction.")
    status = connection.info.transaction_status
    if status == TransactionStatus.INERROR:
        raise InvalidInput("the connection's transaction has failed", "Roll it back, and begin another.")
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        raise InvalidInput("the connection is in a pipeline", "Leave the pipeline first.")
    if status == TransactionStatus.ACTIVE:
        raise InvalidInput("the connection is busy", "Fetch the results of what it is doing.")
    if status == TransactionStatus.IDLE and connection.autocommit:
        raise InvalidInput("the connection is in no transaction", "Begin one: `with connection.transaction():`.")
    if connection.info.encoding != "utf-8":
        raise InvalidInput(f"the connection's client_encoding is {connection.info.encoding}", "Set it to UTF8.")


def ended(connection: Connection) -> bool:
    """Whether the server has hung up, as when it was restarted: else a connection that is idle has nothing to say."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _clean(connection: Connection) -> None:
    """Leave the connection in no transaction, or closed."""
    status = connection.info.transaction_status
    try:
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            connection.rollback()
        elif status != TransactionStatus.IDLE:
            connection.close()
    except psycopg.Error:
        connection.close()


@functools.lru_cache(5_000)  # a process may use any number of stores, each with some 200 texts
def _qualified(text: str, schema: str) -> bytes:
    """The statement for the tables of a schema, whose name has been checked."""
    return text.replace("main.", f'"{schema}".').encode()

"""Several statements in one round trip: libpq's pipeline, filled at once and then read to its end.

psycopg's own pipeline makes a cursor for each statement, sends it by itself, and looks whether an answer is there: for
an append that took more of the client's time than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import adapt
from psycopg.abc import Buffer, PQGen, Transformer
from psycopg.errors import DuplicatePreparedStatement, InvalidSqlStatementName, error_from_result
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow

from eventstore.session import Argument

Kind = tuple[bytes, tuple[int, ...]]
"""What is prepared once: a text with these types of arguments."""
Prepared = dict[Kind, bytes]
"""What is prepared on a connection, with the names that the server knows it by."""

_MOST_PREPARED = 500


class _Message(NamedTuple):
    kind: Kind
    values: Sequence[Buffer | None]
    formats: Sequence[int]


def exchange(
    connection: psycopg.Connection[Any],
    statements: Sequence[tuple[bytes, Sequence[Argument]]],
    prepared: Prepared | None,
) -> list[list[TupleRow]]:
    """Run statements, in order, and return the rows of each. Outside a transaction they are one together.

    Raises the error of the first that fails; none after it runs. What is new to `prepared` is prepared and comes to it;
    where those are too many, all are forgotten first. Without it nothing is prepared. If somebody else has changed what
    is prepared on the connection, it is closed.
    """
    if not statements:
        return []
    if prepared is not None and len(prepared) >= _MOST_PREPARED:
        exchange(connection, [(b"DEALLOCATE ALL", ())], None)
        prepared.clear()
    pgconn, transformer = connection.pgconn, adapt.Transformer(connection)
    messages = [_message(transformer, *statement) for statement in statements]  # before anything is sent: it may fail
    new: Prepared = {}
    pgconn.enter_pipeline_mode()
    try:
        asked = [kind for message in messages for kind in _send(pgconn, message, prepared, new)]
        pgconn.pipeline_sync()
        answers = connection.wait(_answers(pgconn, len(asked)))
    except BaseException:
        if new:  # nobody knows which of them are prepared
            connection.close()
        raise
    finally:
        _leave(connection)
    rows = []
    for kind, answer in zip(asked, answers, strict=False):
        if answer.status == ExecStatus.FATAL_ERROR:
            error = error_from_result(answer, encoding=connection.info.encoding)
            if prepared is not None and isinstance(error, DuplicatePreparedStatement | InvalidSqlStatementName):
                connection.close()  # a pooler has changed what is prepared on it: it would fail for ever
            raise error
        if kind is None:
            rows.append(_rows(transformer, answer))
        elif prepared is not None:
            prepared[kind] = new[kind]
    if len(answers) < len(asked):
        raise psycopg.OperationalError("the connection was lost before all answers had come")
    return rows


def _message(transformer: Transformer, text: bytes, arguments: Sequence[Argument]) -> _Message:
    values = transformer.dump_sequence(arguments, [adapt.PyFormat.AUTO] * len(arguments))
    return _Message((text, tuple(transformer.types or ())), values, transformer.formats or ())


def _send(pgconn: PGconn, message: _Message, prepared: Prepared | None, new: Prepared) -> Sequence[Kind | None]:
    """Send a statement, and before it what prepares it. Returns what the answers will be to: None is the statement."""
    kind, values, formats = message
    if prepared is None:
        pgconn.send_query_params(kind[0], values, kind[1], formats, Format.BINARY)
        return (None,)
    name = prepared.get(kind) or new.get(kind)
    if name is not None:
        pgconn.send_query_prepared(name, values, formats, Format.BINARY)
        return (None,)
    new[kind] = b"flowledger_%d" % (len(prepared) + len(new))  # in a row: what follows one that fails is not there
    pgconn.send_prepare(new[kind], *kind)
    pgconn.send_query_prepared(new[kind], values, formats, Format.BINARY)
    return (kind, None)


def _answers(pgconn: PGconn, number: int) -> PQGen[list[PGresult]]:
    yield from send(pgconn)
    answers: list[PGresult] = []
    for _ in range(number):
        answers += yield from fetch_many(pgconn)  # nothing, once the connection is lost
    yield from fetch_many(pgconn)  # the end of the pipeline
    return answers


def _leave(connection: psycopg.Connection[Any]) -> None:
    """Leave the pipeline; close a connection on which it was not read to its end."""
    try:
        connection.pgconn.exit_pipeline_mode()
    except psycopg.OperationalError:
        connection.close()


def _rows(transformer: Transformer, answer: PGresult) -> list[TupleRow]:
    if not answer.ntuples:
        return []
    transformer.set_pgresult(answer)
    return transformer.load_rows(0, answer.ntuples, tuple)

"""The views as SQL tables: turns patches into statements, and reads rows back.

Upserts are made from the row classes' column names, once for each set of columns; all other SQL is fixed text.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files as package_files

import msgspec

from eventstore.errors import Unavailable
from eventstore.session import Argument, Batch, Session, Statement
from projections.rows import BY_TABLE, Key, Patch, Put, Row, RowT, Run, Scalar, parse_all

EVENTS_AT_ONCE = 500
"""Events whose rows are made together, where there are many. With 2,000 each takes a tenth more: what becomes of so
many falls out of the processor's caches.
"""

FORGET_SNAPSHOTS = "DELETE FROM main.snapshots WHERE run_id = $1"
FORGET_ALL_SNAPSHOTS = "DELETE FROM main.snapshots"

Columns = tuple[Scalar, ...]
"""A row as the database returns it."""
Contents = dict[str, dict[Key, dict[str, Scalar]]]
"""Every table in the form of `Fold.tables`."""


class DamagedViews(Unavailable):
    """What is in the tables of the views is not what was written there."""

    code = "views-damaged"
    retriable = False


def sqlite_schema() -> str:
    """The statements that make the tables in a SQLite file of their own."""
    folder = package_files("projections").joinpath("schema/sqlite")
    return "".join(file.read_text() for file in sorted(folder.iterdir(), key=lambda file: file.name))


def apply(session: Session, patches: Iterable[Patch], *, arrays: bool = False) -> None:
    """Make the patches, in order, inside the caller's transaction."""
    session.run(statements(patches, arrays=arrays))


def statements(patches: Iterable[Patch], *, unplaced: bool = False, arrays: bool = False) -> list[Batch]:
    """What makes the tables as they are after these patches, in order; never more rows of arguments than patches, but
    for one more where a run is removed: its snapshots go with its row.

    `unplaced`: the database gives the events their positions in the transaction that this is part of, so nobody knows
    them yet. They are looked up there: a row's first key column names the stream of its events, and `version` is that
    of the event which the patch comes from.
    `arrays`: rows that are put into the same columns are one, which has a list for each column, as only Postgres can
    take. What is removed is not: Postgres would go on to read a whole table for a list, if it was small at first.
    """
    puts: dict[str, dict[str | int, dict[Key, Mapping[str, Scalar]]]] = defaultdict(lambda: defaultdict(dict))
    deletes: dict[tuple[str, int], dict[Key, None]] = defaultdict(dict)  # by table and width of the key
    for patch in patches:
        table, key = patch.table, patch.key
        group = puts[table][key[0]]  # by what the key begins with, so that nothing looks for that in all rows
        if isinstance(patch, Put):
            values = _with_version(patch.values) if unplaced else patch.values
            group[key] = {**group[key], **values} if key in group else values
            continue
        deletes[table, len(key)][key] = None
        if len(key) == len(BY_TABLE[table].KEY):
            group.pop(key, None)
        else:
            for other in [other for other in group if _begins(other, key)]:
                del group[other]
    # What is put after a deletion is put into a row that is not there, so all deletions can be made before. Then no two
    # rows of arguments are for the same row, their order means nothing, and those of one text can stand together.
    made = [Batch(_delete(*what), list(deletes[what])) for what in sorted(deletes)]
    made += [Batch(FORGET_SNAPSHOTS, list(keys)) for (table, _), keys in deletes.items() if table == Run.TABLE]
    for table in sorted(puts):
        rows: dict[tuple[str, ...], list[Columns]] = defaultdict(list)
        for group in puts[table].values():
            for key, values in group.items():
                rows[tuple(values)].append((*key, *values.values()))
        made += [_puts(table, names, rows[names], unplaced=unplaced, arrays=arrays) for names in sorted(rows)]
    return made


def _puts(table: str, names: tuple[str, ...], rows: Sequence[Columns], *, unplaced: bool, arrays: bool) -> Batch:
    if not arrays or len(rows) == 1:
        return Batch(_upsert(table, names, unplaced, arrays=False), rows)
    # Ten rows in two thirds of the client's time that they take one by one, a thousand in less than half of it.
    return Batch(_upsert(table, names, unplaced, arrays=True), [[list(column) for column in zip(*rows, strict=True)]])


def _with_version(values: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """The values with the version of an event in place of its position."""
    return {**values, "position": values["version"]} if "position" in values else values


def _begins(key: Key, with_: Key) -> bool:
    return key[: len(with_)] == with_


def clear(session: Session) -> None:
    """Remove every row and every snapshot, inside the caller's transaction."""
    session.run([*(Batch(_delete(table, 0), [()]) for table in BY_TABLE), Batch(FORGET_ALL_SNAPSHOTS, [()])])


def select(session: Session, kind: type[RowT], rest: str, arguments: Sequence[Argument] = ()) -> list[RowT]:
    """The typed rows that a query gives."""
    return parsed(kind, session.rows(*query(kind, rest, arguments)))


def query(kind: type[RowT], rest: str, arguments: Sequence[Argument] = ()) -> Statement:
    """A query for rows of a table, which goes on after its FROM with this fixed text.

    Its parameters are `$1`, `$2` …, in the order of the arguments.
    """
    return Statement(_select(kind.TABLE, rest), arguments)


def parsed(kind: type[RowT], rows: Sequence[Columns]) -> list[RowT]:
    """The typed rows that these columns stand for. Raises `DamagedViews`."""
    try:
        return parse_all(kind, rows)
    except (msgspec.DecodeError, ValueError) as error:
        raise damaged(kind.TABLE, error) from error


def damaged(table: str, error: Exception) -> DamagedViews:
    """What to raise if this went wrong with a row of the table."""
    hint = "The events are safe: run `eventstore rebuild`."
    return DamagedViews(f"a row of the table {table} is damaged: {error}", hint)


def contents(session: Session, table: str) -> dict[Key, dict[str, Scalar]]:
    """A whole table in the form of `Fold.tables`."""
    kind = BY_TABLE[table]
    width = len(kind.KEY)
    names = kind.__struct_fields__[width:]
    return {row[:width]: dict(zip(names, row[width:], strict=True)) for row in session.rows(_select(table, ""))}


def all_contents(session: Session) -> Contents:
    """All tables, whole."""
    return {table: contents(session, table) for table in BY_TABLE}


@functools.cache
def _select(table: str, rest: str) -> str:
    return f"SELECT {', '.join(BY_TABLE[table].__struct_fields__)} FROM main.{table} {rest}"


@functools.cache
def _upsert(table: str, columns: tuple[str, ...], unplaced: bool, *, arrays: bool) -> str:
    kind = BY_TABLE[table]
    names = (*kind.KEY, *columns)
    given = [f"new.{name}" if arrays else f"${place}" for place, name in enumerate(names, 1)]
    stream = f"'{kind.STREAMS}' || {given[0]}" if kind.STREAMS else given[0]
    values = ", ".join(
        f"(SELECT position FROM main.workflow_events WHERE run_id = {stream} AND sequence = {value})"
        if unplaced and name == "position"
        else value
        for name, value in zip(names, given, strict=True)
    )
    source = f"SELECT {values} FROM {_unnested(kind, names)}" if arrays else f"VALUES ({values})"
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    insert = f"INSERT INTO main.{table} ({', '.join(names)}) {source}"
    return f"{insert} ON CONFLICT ({', '.join(kind.KEY)}) DO {f'UPDATE SET {changes}' if changes else 'NOTHING'}"


def _unnested(kind: type[Row], names: Sequence[str]) -> str:
    numbers = {name for name in names if kind.__annotations__[name].startswith("int")}
    lists = (f"${place}::{'bigint' if name in numbers else 'text'}[]" for place, name in enumerate(names, 1))
    return f"unnest({', '.join(lists)}) AS new ({', '.join(names)})"


@functools.cache
def _delete(table: str, width: int) -> str:
    conditions = [f"{name} = ${place}" for place, name in enumerate(BY_TABLE[table].KEY[:width], 1)]
    return f"DELETE FROM main.{table} WHERE {' AND '.join(conditions) or 'true'}"

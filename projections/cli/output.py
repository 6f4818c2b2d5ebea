"""How results are printed: as text for people, or as JSON for programs. And the options all commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from projections.store import Store

Format = Literal["text", "json", "jsonl"]
Command = TypeVar("Command", bound=Callable[..., Any])

# C0 and C1 controls, line and paragraph separators, and what turns the writing direction: they could repaint a terminal.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def store_option(command: Command) -> Command:
    """`--store ADDRESS`, or EVENTSTORE_URL."""
    return click.option(
        "--store", "-s", "address", envvar="EVENTSTORE_URL", required=True, metavar="ADDRESS",
        help="The store's folder. Default: EVENTSTORE_URL.",
    )(command)  # fmt: skip


def format_option(command: Command) -> Command:
    """`-o text|json|jsonl`."""
    return click.option(
        "--output", "-o", "format", type=click.Choice(["text", "json", "jsonl"]), default="text", show_default=True
    )(command)


def existing(address: str) -> Store:
    """The store at this address, which must be there."""
    from projections.store import open_store

    return open_store(address, create=False)


def safe(text: object) -> str:
    """The text with everything that could act on a terminal spelt out."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}" if match[0] < "\x80" else _escaped(match), str(text))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def print_json(value: object) -> None:
    """One line of JSON; what could act on a terminal is escaped, which JSON allows."""
    import msgspec

    click.echo(_UNSAFE.sub(_escaped, msgspec.json.encode(value).decode()))


def print_rows(
    rows: Iterable[object], format: Format, columns: Sequence[str], cells: Callable[[Any], Sequence[object]]
) -> None:
    """Many things: a table, one JSON array, or one JSON object a line."""
    if format == "json":
        print_json(list(rows))
    elif format == "jsonl":
        for row in rows:
            print_json(row)
    else:
        print_table(columns, [cells(row) for row in rows])


def print_table(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Aligned columns under their names; only the names if there is nothing."""
    texts = [[safe("" if cell is None else cell) for cell in line] for line in (columns, *lines)]
    widths = [max(len(line[place]) for line in texts) for place in range(len(columns))]
    for line in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def moment(time: Any) -> str:
    """A time for people: UTC, to the millisecond."""
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"

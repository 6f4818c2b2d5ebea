"""How results are printed: as text for people, or as JSON for programs. And what all commands share."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime

    from projections.store import Store

Format = Literal["text", "json", "jsonl"]
Command = TypeVar("Command", bound=Callable[..., Any])

PATIENCE = 1.0
"""Seconds after which work is worth a progress bar."""

_WIDEST = 80

# What could repaint a terminal: controls of ASCII and Latin-1, separators of lines and paragraphs, and what turns the
# writing direction. And lone surrogates, which stand in file names for bytes that are no text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# In JSON these stand between its parts only, if somebody has laid it out for reading.
_LAYOUT = str.maketrans("\t\r\n", "   ")


def store_option(command: Command) -> Command:
    """`--store ADDRESS`, or EVENTSTORE_URL."""
    return click.option(
        "--store",
        "-s",
        "address",
        envvar="EVENTSTORE_URL",
        show_envvar=True,
        required=True,
        metavar="ADDRESS",
        help="The store: jsonl:FOLDER, sqlite:FILE, postgresql://USER@HOST/DATABASE?schema=NAME, or just a path.",
    )(command)


def limit_option(command: Command) -> Command:
    """`--limit N`."""
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        callback=lambda _context, _option, limit: limit if limit is None else min(limit, sys.maxsize),
        help="Show at most so many.",
    )(command)


def format_option(command: Command) -> Command:
    """`-o text|json|jsonl`."""
    return click.option(
        "--output",
        "-o",
        "format",
        type=click.Choice(["text", "json", "jsonl"]),
        default="text",
        show_default=True,
        help="Text for people, one JSON document, or one a line.",
    )(command)


def examples(*commands: str) -> str:
    """The end of a command's help."""
    lines = "".join(f"\n  eventstore {command}" for command in commands)
    return f"\b\n{'Example' if len(commands) == 1 else 'Examples'}:{lines}"  # \b keeps the lines apart


def existing(address: str) -> Store:
    """The store at this address, which must be there."""
    from projections.store import open_store

    return open_store(address, create=False)


def safe(text: object) -> str:
    """The text with everything that could act on a terminal spelt out."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], str(text))


def print_json(value: object) -> None:
    """One line of JSON, in UTF-8; what could act on a terminal is escaped, which JSON allows."""
    import msgspec

    text = msgspec.json.encode(value).decode().translate(_LAYOUT)
    click.echo(_UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode())


def print_rows(rows: Iterable[object], format: Format) -> None:
    """Many things as JSON: one array, or one thing a line as soon as it is there."""
    if format == "json":
        print_json(list(rows))
    else:
        for row in rows:
            print_json(row)


def print_table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Aligned columns under their names; only the names if there is nothing. Long cells are cut, but for the first."""
    texts = [columns, *([safe(first), *map(short, rest)] for first, *rest in lines)]
    widths = [min(max(len(line[place]) for line in texts), _WIDEST) for place in range(len(columns))]
    for line in texts:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def short(value: object) -> str:
    """As much of the value's text as a line has room for, safe to print; nothing for None."""
    text = "" if value is None else str(value)
    shown = safe(text[: _WIDEST + 1])
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"


def moment(time: datetime | None) -> str:
    """A time for people: UTC, to the millisecond."""
    return "" if time is None else f"{time.replace(tzinfo=None).isoformat(' ', 'milliseconds')}Z"


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """What to call with every part of the total that is done.

    On a terminal, work that takes over a second gets a progress bar, on stderr.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    begun, done = time.monotonic(), 0
    bar = click.progressbar(length=total, label=label, file=sys.stderr)

    def advance(part: int) -> None:
        nonlocal done
        done += part
        if time.monotonic() - begun >= PATIENCE:
            bar.update(done - bar.pos)

    try:
        yield advance
        if bar.pos:
            bar.update(total - bar.pos)
    finally:
        if bar.pos:
            bar.render_finish()

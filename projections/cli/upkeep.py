"""Commands that check a store and mend its views."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from projections.cli.output import Format, existing, format_option, print_json, print_rows, print_table, store_option


@click.command()
@store_option
@format_option
def verify(address: str, format: Format) -> None:
    """Check everything a store holds: log, hashes, views, files, blobs. Writes nothing.

    Exits with 5 if anything is wrong.
    """
    from eventstore.codec import Codec
    from eventstore.errors import Unavailable
    from projections.store import parse_address
    from projections.verify_files import verify_files

    _, path = parse_address(address)
    if not (path / "_log").is_dir():
        raise Unavailable(f"there is no store in {path}", "Give the folder of a store with --store.")
    report = verify_files(path, Codec())
    if format == "json":
        print_json(report)
    elif format == "jsonl":
        print_rows(report.findings, format, (), lambda _: ())
    else:
        if report.findings:
            lines = [(f.severity, f.code, f.where, f.message, f.action) for f in report.findings]
            print_table(("SEVERITY", "CODE", "WHERE", "WHAT", "WHAT TO DO"), lines)
            click.echo()
        verdict = "clean" if report.clean else "NOT clean"
        counts = f"{report.events:,} events, {report.streams:,} streams, {report.runs:,} runs, {report.blobs:,} blobs"
        click.echo(f"{verdict}: {counts}")
    if not report.clean:
        raise click.exceptions.Exit(5)


@click.command()
@store_option
def rebuild(address: str) -> None:
    """Make the views, and the folders of all runs, again from the log."""
    with existing(address) as store:
        head = store.log.head()
        with _progress(head, "rebuilding") as advance:
            store.rebuild(advance)
        click.echo(f"rebuilt from {head:,} events", err=True)


@contextmanager
def _progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, if that is a terminal and there is enough to do."""
    if total < 20_000 or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label=what, file=sys.stderr) as bar:
        yield bar.update

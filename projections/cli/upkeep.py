"""Commands that check a store and mend its views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    print_json,
    print_rows,
    progress,
    safe,
    store_option,
)

if TYPE_CHECKING:
    from projections.findings import Finding
    from projections.verify import Report


@click.command(epilog=examples("verify --store my-store"))
@store_option
@format_option
def verify(address: str, format: Format) -> None:
    """Check everything a store holds, and change nothing.

    Exits with 5 if anything is wrong. Others may go on using the store meanwhile.
    """
    import msgspec

    report = verified(address)
    if format == "json":
        print_json({"clean": report.clean, **msgspec.structs.asdict(report)})
    elif format == "jsonl":
        print_rows(report.findings, format)
    else:
        print_findings(report.findings)
        counts = f"{report.events:,} events, {report.streams:,} streams, {report.runs:,} runs, {report.blobs:,} blobs"
        click.echo(f"{'clean' if report.clean else 'NOT clean'}: {counts}")
    if not report.clean:
        raise click.exceptions.Exit(5)


def verified(address: str) -> Report:
    """What verification finds there. A store of files is not even opened."""
    from eventstore.codec import Codec
    from eventstore.errors import InvalidInput
    from projections.addresses import parse_address
    from projections.store import open_store
    from projections.verify_files import bytes_to_verify, verify_files
    from projections.verify_sqlite import verify_sqlite

    parsed = parse_address(address)
    if parsed.scheme == "memory":
        raise InvalidInput("a store in memory ends with its process", "Give the address of a store that lasts.")
    if parsed.scheme == "jsonl":
        with progress(bytes_to_verify(parsed.path), "verifying") as advance:
            return verify_files(parsed.path, Codec(), advance)
    if parsed.scheme == "sqlite":
        return verify_sqlite(parsed.path, Codec())
    with open_store(address, create=False) as store, progress(store.log.head(), "verifying") as advance:
        return store.verify(advance)


def print_findings(findings: Iterable[Finding]) -> None:
    """What was found, and what to do about it, for people."""
    for finding in findings:
        click.echo(f"{finding.severity} {finding.code}: {safe(finding.where)}: {safe(finding.message)}")
        click.echo(f"    {safe(finding.action)}")


@click.command(epilog=examples("rebuild --store my-store"))
@store_option
@format_option
def rebuild(address: str, format: Format) -> None:
    """Make all views, run folders included, again from the log."""
    with existing(address) as store:
        head = store.log.head()
        with progress(head, "rebuilding") as advance:
            store.rebuild(advance)
    if format == "text":
        click.echo(f"rebuilt up to position {head:,}")
    else:
        print_json({"position": head})

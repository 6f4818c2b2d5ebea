"""Commands that remove things for good."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from projections.cli.arguments import parse_time
from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    print_json,
    safe,
    store_option,
)

if TYPE_CHECKING:
    from projections.purge import PurgedRuns
    from projections.store import Store

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


dry_run_option = click.option("--dry-run", is_flag=True, help="Remove nothing, and say what would be removed.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(
    epilog=examples(
        "purge my-run --store my-store --reason 'asked to forget'",
        "purge --older-than 30d --store my-store --dry-run",
    )
)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--ended-before", metavar="TIME", help="All runs that ended before this time, given with its zone.")
@click.option("--older-than", metavar="DURATION", help="All that ended so long ago: 30d, 12h.")
@click.option("--status", multiple=True, help="Of these, only runs in this status; may be given several times.")
@click.option("--workflow", help="Of these, only runs of this workflow.")
@click.option("--deleted", is_flag=True, help="Of these, only runs that were deleted before that time.")
@click.option("--cascade", is_flag=True, help="The named runs with all runs below them.")
@click.option("--force", is_flag=True, help="The named runs, even if they are going on.")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stays in the record of the purge.")
@dry_run_option
@yes_option
@store_option
@format_option
def purge(
    runs: tuple[str, ...],
    ended_before: str | None,
    older_than: str | None,
    status: tuple[str, ...],
    workflow: str | None,
    deleted: bool,
    cascade: bool,
    force: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    address: str,
    format: Format,
) -> None:
    """Remove runs for good, with all that only they need.

    That is their events, files and large values. Runs are named, or chosen by their end. A record of each stays: which,
    how much, when and why. Of runs that are chosen, those that cannot be removed are told, and stop no others; the
    command then exits with 1.
    """
    _check_choice(runs, ended_before, older_than, by_end=bool(status or workflow or deleted), named=cascade or force)
    before = parse_time("--ended-before", ended_before) if older_than is None else _end(older_than)

    def purged(store: Store, *, dry_run: bool) -> PurgedRuns:
        if before is None:
            return store.purge_named(runs, reason=reason, force=force, cascade=cascade, dry_run=dry_run)
        return store.purge_runs(
            ended_before=before,
            status=status or None,
            workflow=workflow,
            deleted_only=deleted,
            reason=reason,
            dry_run=dry_run,
        )

    with existing(address) as store:
        result = purged(store, dry_run=True)
        if result.runs and not dry_run:
            _ask(f"Remove {_amount(result)} for good?", yes=yes)
            result = purged(store, dry_run=False)
            if before is None:
                store.reclaim()
    if format == "text":
        for run_id in result.runs:
            click.echo(f"{'would purge' if dry_run else 'purged'} {safe(run_id)}")
        for refused in result.refused:
            click.echo(f"kept {safe(refused.run_id)}: {safe(refused.reason)}")
        if result.needed_by_forks:
            click.echo(f"kept {result.needed_by_forks:,} runs that others were forked from")
        click.echo(f"{'would remove' if dry_run else 'removed'} {_amount(result)}")
        if result.blobs_left:
            click.echo(f"{result.blobs_left:,} large values are too new to be removed: `eventstore gc` does it later")
    else:
        print_json({"dry_run": dry_run, **_fields(result)})
    if result.refused:
        raise click.exceptions.Exit(1)


@click.command(epilog=examples("gc --store my-store --dry-run", "gc --grace 1d --store my-store --yes"))
@click.option(
    "--grace",
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="Keep what was written so recently: its event may be about to come.",
)
@dry_run_option
@yes_option
@store_option
@format_option
def gc(grace: str, dry_run: bool, yes: bool, address: str, format: Format) -> None:
    """Remove large values that no event refers to.

    Writers that were stopped leave such, and purges. Others may go on using the store, except for copies and imports
    into it that take longer than --grace.
    """
    seconds = _duration("--grace", grace).total_seconds()
    with existing(address) as store:
        result = store.collect_blobs(grace=seconds, dry_run=True)
        if result.blobs and not dry_run:
            _ask(f"Remove {result.blobs:,} large values of {result.bytes:,} bytes for good?", yes=yes)
            result = store.collect_blobs(grace=seconds)
    if format == "text":
        verb = "would remove" if dry_run else "removed"
        click.echo(f"{verb} {result.blobs:,} large values of {result.bytes:,} bytes; {result.blobs_left:,} are too new")
    else:
        print_json({"dry_run": dry_run, **_fields(result)})


def _check_choice(
    runs: tuple[str, ...], ended_before: str | None, older_than: str | None, *, by_end: bool, named: bool
) -> None:
    if [bool(runs), older_than is not None, ended_before is not None].count(True) != 1:
        raise click.UsageError("Name the runs, or give one of --ended-before and --older-than.")
    if by_end and runs:
        raise click.UsageError("--status, --workflow and --deleted choose among runs that are not named.")
    if named and not runs:
        raise click.UsageError("--cascade and --force are for runs that are named.")


def _end(older_than: str) -> datetime:
    from eventstore.errors import InvalidInput

    try:
        return datetime.now(UTC) - _duration("--older-than", older_than)
    except OverflowError:
        raise InvalidInput(f"--older-than {older_than!r} is longer ago than there are dates") from None


def _duration(option: str, text: str) -> timedelta:
    from eventstore.errors import InvalidInput

    found = _DURATION.fullmatch(text)
    with suppress(OverflowError):
        if found is not None:
            return timedelta(**{_UNITS[found[2]]: float(found[1])})
    raise InvalidInput(f"{option} {text!r} is not a duration", "Write 90s, 30m, 1h, 7d or 2w.")


def _ask(question: str, *, yes: bool) -> None:
    from eventstore.errors import InvalidInput

    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput("nothing was removed: there is nobody to ask", "Give --yes, or look first with --dry-run.")
    if not click.confirm(question, err=True):
        click.echo("nothing was removed", err=True)
        raise click.exceptions.Exit(1)


def _amount(purged: PurgedRuns) -> str:
    events = f"{len(purged.runs):,} runs with {purged.events:,} events"
    return f"{events}, and {purged.blobs:,} large values of {purged.bytes:,} bytes"


def _fields(result: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(result)

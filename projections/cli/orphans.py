"""Commands that report what belongs to nothing, and that mend what can be mended."""

from __future__ import annotations

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    print_json,
    print_rows,
    safe,
    store_option,
)
from projections.cli.upkeep import print_findings, verified

_DONE = {"rebuild": "rebuilt", "adopt": "adopted", "purge": "purged"}


@click.command(epilog=examples("orphans --store my-store"))
@store_option
@format_option
def orphans(address: str, format: Format) -> None:
    """List runs, tasks and attempts without what they belong to.

    Only imports, partial restores and other programs leave such. Changes nothing. Exits with 5 if there are any that
    do harm.
    """
    with existing(address) as store:
        found = store.orphans()
    if format == "text":
        print_findings(found)
    else:
        print_rows(found, format)
    if any(finding.severity == "error" for finding in found):
        raise click.exceptions.Exit(5)


@click.command(
    epilog=examples(
        "repair --store my-store",
        "repair --adopt --workflow letters --store my-store --yes",
    )
)
@click.option("--adopt", is_flag=True, help="Keep what was never created: as runs, which can be cancelled and deleted.")
@click.option("--workflow", metavar="NAME", help="The workflow of adopted runs; 'unknown' if not given.")
@click.option("--purge", is_flag=True, help="Remove the events of what was never created.")
@click.option("--yes", is_flag=True, help="Do it, and do not only show what would be done.")
@store_option
@format_option
def repair(adopt: bool, workflow: str | None, purge: bool, yes: bool, address: str, format: Format) -> None:
    """Mend what verification finds, as far as there is a remedy.

    Without --yes, changes nothing. Views and run folders are made again. What was never created is left unless --adopt
    or --purge says what is to become of it. Refuses if the log itself may be damaged. Exits with 5 if anything is left
    that is wrong.
    """
    from eventstore.errors import InvalidInput
    from projections.repair import UNKNOWN, plan_repair

    if workflow is not None and not adopt:
        raise InvalidInput("--workflow says what adopted runs are of", "Give --adopt with it.")
    report = verified(address)
    done = plan_repair(report, adopt=adopt, purge=purge)
    if yes and done.remedies:
        with existing(address) as store:
            name = UNKNOWN if workflow is None else workflow
            done = store.repair(report, adopt=adopt, purge=purge, workflow_name=name, dry_run=False)
    if format == "text":
        for remedy in done.remedies:
            verb = _DONE[remedy.name] if done.done else f"would {remedy.name}"
            click.echo(f"{verb} {safe(repr(remedy.stream)) if remedy.stream else 'all views'}")
        print_findings(done.left)
        if not done.remedies and not done.left:
            click.echo("nothing to repair")
    else:
        print_json(done)
    if done.left:
        raise click.exceptions.Exit(5)

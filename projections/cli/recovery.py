"""The command that takes over runs whose workers are gone."""

from __future__ import annotations

import os
import socket

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    moment,
    print_json,
    print_table,
    safe,
    store_option,
)


@click.command(
    epilog=examples(
        "recover --dry-run --store my-store",
        "recover --worker nightly --lease 300 --store my-store -o json",
    )
)
@click.option("--worker", metavar="NAME", help="Who claims them; host and process id if not given.")
@click.option("--lease", type=float, default=60, show_default=True, help="For how many seconds nobody else can.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many; 1 if not given, all with --dry-run.")
@click.option("--unleased", is_flag=True, help="Runs without a lease, too; their workers may be at work.")
@click.option("--dry-run", is_flag=True, help="Claim nothing, and say what could be claimed.")
@store_option
@format_option
def recover(
    worker: str | None,
    lease: float,
    limit: int | None,
    unleased: bool,
    dry_run: bool,
    address: str,
    format: Format,
) -> None:
    """Claim the oldest runs whose leases have run out.

    Go on with each under the epoch that is printed, before the new lease has run out. Damaged runs are passed over,
    and told.
    """
    with existing(address) as store:
        recovery = store.recover(
            worker or f"{socket.gethostname()}:{os.getpid()}",
            lease,
            limit=limit if dry_run else limit or 1,
            include_unleased=unleased,
            dry_run=dry_run,
        )
    if format != "text":
        print_json(recovery)
        return
    lines = (
        (r.run.id, r.run.status, r.run.worker, r.epoch, moment(r.run.lease_until), ", ".join(r.plan.ready))
        for r in recovery.claimed
    )
    print_table(("RUN", "STATUS", "WORKER", "EPOCH", "LEASE UNTIL", "READY"), lines)
    for broken in recovery.broken:
        click.echo(f"passed over {safe(broken.run_id)}: {safe(broken.reason)}", err=True)
        if broken.hint:
            click.echo(f"hint: {safe(broken.hint)}", err=True)

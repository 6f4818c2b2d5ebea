"""The demonstration."""

from __future__ import annotations

import click

from projections.cli.output import examples


@click.command(epilog=examples("demo", "demo --store demo-store", "demo --store sqlite:demo.db"))
@click.option(
    "--store", "-s", "address", metavar="ADDRESS", help="A store for it, of any kind that lasts.  [default: a new one]"
)
def demo(address: str | None) -> None:
    """Watch a real workflow get killed, and resume.

    It analyses the Python standard library, and goes on from its completed node outputs. Takes a few seconds, and
    leaves a store to look into.
    """
    import tempfile

    from projections.demo.show import run_demo

    run_demo(address or tempfile.mkdtemp(prefix="flowledger-demo-"), click.echo)

"""The demonstration."""

from __future__ import annotations

from pathlib import Path

import click

from projections.cli.output import examples


@click.command(epilog=examples("demo", "demo --store demo-store"))
@click.option("--store", "-s", "folder", type=click.Path(path_type=Path), help="A folder for it.  [default: a new one]")
def demo(folder: Path | None) -> None:
    """Watch a real workflow get killed, and resume.

    It analyses the Python standard library, and goes on from its completed node outputs. Takes a few seconds, and
    leaves a store to look into.
    """
    import tempfile

    from projections.demo.show import run_demo

    run_demo(folder or Path(tempfile.mkdtemp(prefix="flowledger-demo-")), click.echo)

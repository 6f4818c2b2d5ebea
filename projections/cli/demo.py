"""The demonstration."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--store", "-s", "folder", type=click.Path(path_type=Path), help="Where to keep it. Default: a new folder."
)
def demo(folder: Path | None) -> None:
    """Watch a real workflow get killed and resume from its completed node outputs.

    It analyses the Python standard library. Takes a few seconds and leaves a store to look into.
    """
    import tempfile

    from projections.demo.show import run_demo

    run_demo(folder or Path(tempfile.mkdtemp(prefix="flowledger-demo-")), click.echo)
